//! What is known of the session of a request or a connection, from its message or from the session table.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;

use super::{PoolSite, Stay};
use crate::config::model::OnUnavailable;
use crate::headers::HeadersMut;
use crate::observe::PersistenceResult;
use crate::persistence::table::{Answer, Waited};
use crate::persistence::{
    Answered, Bound, Found, Learned, Lookup, RequestView, SessionKey, SessionKeys, Stayed, UnixTime,
};
use crate::pool::Server;

/// A request's session.
#[derive(Default)]
pub struct Binding {
    /// The server it is bound to, until that proves unable.
    bound: Option<Bound<Arc<Server>>>,
    /// Where in the table it was found, or is to be remembered.
    place: Option<SessionKey>,
    /// It was found there, bound to this server.
    found: Option<Arc<str>>,
    /// It was found there, bound to this server, and this request has moved it.
    left: Option<Arc<str>>,
    /// How long the request has waited for a shared table.
    waited: Waited,
    /// For metric and log; `None` without persistence.
    pub result: Option<PersistenceResult>,
}

impl Binding {
    /// Reads the session's binding.
    pub async fn read(target: &PoolSite, request: &RequestView<'_>, now: UnixTime) -> Self {
        let Some(affinity) = &target.affinity else {
            return Self::default();
        };
        match affinity.lookup(request, now) {
            Found::Said(lookup) => Self::of(lookup),
            Found::Ask(keys) => Self::ask(target, keys, now).await,
        }
    }

    /// The binding of a connection whose messages are nobody's business here. All that is known of it is its client, so
    /// only a session of `source_ip` is found.
    pub async fn of_client(target: &PoolSite, client: IpAddr, now: SystemTime) -> Self {
        if !target.binds_at_pick {
            return Self::default();
        }
        let headers = HeaderMap::new();
        let view = RequestView {
            headers: &headers,
            path: b"",
            query: None,
            client,
        };
        Self::read(target, &view, now.into()).await
    }

    /// What keeps the session from expiring while its connection lasts; `None`: it isn't in a table.
    pub fn stay(&self, target: &PoolSite) -> Option<Stay> {
        let idle = target.idle?;
        Some(Stay::new(target.table.as_ref()?, self.place?, idle))
    }

    fn of(lookup: Lookup<Arc<Server>>) -> Self {
        let (bound, result) = match lookup {
            Lookup::Miss => (None, PersistenceResult::Miss),
            Lookup::Invalid => (None, PersistenceResult::Invalid),
            Lookup::Expired => (None, PersistenceResult::Expired),
            // Its server was removed from the configuration.
            Lookup::Gone => (None, PersistenceResult::Unavailable),
            Lookup::Bound(bound) => (Some(bound), PersistenceResult::Hit),
        };
        Self {
            bound,
            result: Some(result),
            ..Self::default()
        }
    }

    async fn ask(target: &PoolSite, keys: SessionKeys, now: UnixTime) -> Self {
        let mut this = Self::of(Lookup::Miss);
        if target.binds_at_pick {
            this.place = Some(keys.first());
        }
        let Some(table) = &target.table else {
            return this;
        };
        for key in keys.iter() {
            match table.get(key, now, &mut this.waited).await {
                Answer::Known(binding) => {
                    let lookup = match target.server(&binding.server) {
                        Some(server) => Lookup::Bound(Bound {
                            server: Arc::clone(server),
                            session_started: binding.started,
                            renew: false,
                        }),
                        None => Lookup::Gone,
                    };
                    return Self {
                        place: Some(key),
                        found: Some(binding.server),
                        waited: this.waited,
                        ..Self::of(lookup)
                    };
                }
                Answer::Expired => this.result = Some(PersistenceResult::Expired),
                Answer::Unknown => {}
            }
        }
        this
    }

    /// The server that the session is bound to.
    pub fn server(&self) -> Option<&Arc<Server>> {
        self.bound.as_ref().map(|bound| &bound.server)
    }

    /// Whether the session is bound to a server, and refused rather than taken elsewhere.
    pub fn may_not_leave(&self, target: &PoolSite) -> bool {
        self.bound.is_some() && target.on_unavailable == OnUnavailable::Reject
    }

    /// The session leaves its server. Returns which that was.
    pub fn unbind(&mut self) -> Option<Arc<Server>> {
        self.bound.take().map(|bound| bound.server)
    }

    /// Has the table remember that the session goes to `picked`. Returns the server that it goes to instead,
    /// if somebody else was first.
    pub async fn remember(&mut self, target: &PoolSite, picked: &Server) -> Option<Arc<Server>> {
        let (Some(table), Some(place)) = (&target.table, self.place) else {
            return None;
        };
        let now = SystemTime::now().into();
        let name = picked.name();
        let winner = match self.found.take() {
            Some(from) if from == *name => return None,
            Some(from) => {
                let holds = table
                    .rebind(place, &from, name, now, &mut self.waited)
                    .await;
                self.left.get_or_insert(from);
                holds
            }
            None if target.binds_at_pick => table.bind(place, name, now, &mut self.waited).await,
            None => return None,
        };
        let elsewhere = winner.server != *name;
        if elsewhere {
            // Somebody else has moved it.
            self.left = None;
        }
        self.found = Some(winner.server);
        self.found
            .as_ref()
            .filter(|_| elsewhere)
            .and_then(|name| target.server(name))
            .cloned()
    }

    /// The session turns out to be bound to `server`.
    pub fn follow(&mut self, server: Arc<Server>) {
        self.bound = Some(Bound {
            server,
            session_started: SystemTime::now().into(),
            renew: false,
        });
    }

    /// Has the table remember that the session moves from a server that can't take it.
    pub async fn move_on(&mut self, target: &PoolSite, from: &Server, to: &Server) {
        if let (Some(table), Some(place)) = (&target.table, self.place) {
            let now = SystemTime::now().into();
            let holds = table
                .rebind(place, from.name(), to.name(), now, &mut self.waited)
                .await;
            self.found = Some(holds.server);
        }
    }

    /// No server has answered. Has the table remember what it did before this request moved the session: its
    /// state is where it was, if it is anywhere, and that server may come back.
    pub async fn move_back(&mut self, target: &PoolSite) {
        if let (Some(table), Some(place)) = (&target.table, self.place)
            && let (Some(to), Some(from)) = (self.left.take(), self.found.take())
        {
            let now = SystemTime::now().into();
            table.rebind(place, &from, &to, now, &mut self.waited).await;
        }
    }

    /// Rewrites a server's response for the client, and learns from it.
    pub fn finish_response(
        &self,
        target: &PoolSite,
        server: &Server,
        request: &HeaderMap,
        response: &mut impl HeadersMut,
        https: bool,
    ) {
        let Some(affinity) = &target.affinity else {
            return;
        };
        let now = SystemTime::now().into();
        let learned = affinity.finish_response(
            response,
            &Answered {
                server: server.name(),
                route: target.route(server),
                stayed: self.bound.as_ref().map(|bound| Stayed {
                    session_started: bound.session_started,
                    renew: bound.renew,
                }),
                asked: self.place,
                request,
                now,
                https,
            },
        );
        let Some(table) = &target.table else { return };
        for lesson in learned {
            match lesson {
                Learned::Bind(key) => table.put(key, server.name(), now),
                Learned::Forget(key) => table.forget(key),
            }
        }
    }
}
