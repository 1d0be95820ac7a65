//! What is known of the session of a request or a connection, from its message or from the session table.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use super::{PoolSite, Stay};
use crate::balance::Slot;
use crate::config::model::OnUnavailable;
use crate::headers::Fields;
use crate::observe::PersistenceResult;
use crate::persistence::table::{Answer, Waited};
use crate::persistence::{
    Answered, Bound, Found, Learned, Lookup, Moment, RequestView, SessionKey, SessionKeys, Stayed,
    UnixTime,
};
use crate::pool::{Admission, Server};

/// A request's session.
#[derive(Default)]
pub struct Binding {
    /// The server it is bound to, until that proves unable.
    bound: Option<Bound<Arc<Server>>>,
    /// Further sessions that the request brings, each to be had if the servers of those before it prove unable.
    others: VecDeque<Another>,
    /// The first of them, once it has proved unable: it is the one that moves if the others do as well.
    first: Option<Entry>,
    /// Where in the table it was found, or is to be remembered.
    place: Option<SessionKey>,
    /// It was found there, bound to this server.
    found: Option<Arc<str>>,
    /// It was found there, bound to this server, and this request has moved it.
    left: Option<Arc<str>>,
    /// How long the request has waited for a shared table.
    waited: Waited,
    /// A digest of what requests have in common that are to go to one server, if the pool hashes that and the request has
    /// it.
    pub key: Option<u64>,
    /// For metric and log; `None` without persistence.
    pub result: Option<PersistenceResult>,
}

/// A further session of a request.
struct Another {
    bound: Bound<Arc<Server>>,
    /// Where it stands in the table, if it does.
    entry: Option<Entry>,
}

/// A place in the table, and the server that it names.
type Entry = (SessionKey, Arc<str>);

impl Binding {
    /// Reads the session's binding, and what else decides where the request goes.
    pub async fn read(target: &PoolSite, request: &RequestView<'_>) -> Self {
        let mut this = match &target.affinity {
            None => Self::default(),
            Some(affinity) => match affinity.lookup(request, UnixTime::now()) {
                Found::Said(lookup) => Self::of(lookup),
                Found::Ask(keys) => Self::ask(target, keys).await,
            },
        };
        this.key = target.key(request);
        this
    }

    /// The binding of a connection whose messages are nobody's business here. All that is known of it is its client, so
    /// only a session of `source_ip` is found, and only the client's address is hashed.
    pub async fn of_client(target: &PoolSite, client: IpAddr) -> Self {
        let headers = Fields::new();
        let view = RequestView {
            headers: &headers,
            path: b"",
            query: None,
            client,
            last_token: None,
        };
        if target.idle.is_some() {
            return Self::read(target, &view).await;
        }
        Self {
            key: target.key(&view),
            ..Self::default()
        }
    }

    /// What keeps the session from expiring while its connection lasts; `None`: it isn't in a table.
    pub fn stay(&self, target: &PoolSite) -> Option<Stay> {
        let idle = target.idle?;
        Some(Stay::new(target.table.as_ref()?, self.place?, idle))
    }

    fn of(lookup: Lookup<Arc<Server>>) -> Self {
        let (bound, others, result) = match lookup {
            Lookup::Miss => (None, Vec::new(), PersistenceResult::Miss),
            Lookup::Invalid => (None, Vec::new(), PersistenceResult::Invalid),
            Lookup::Expired => (None, Vec::new(), PersistenceResult::Expired),
            // Its server was removed from the configuration.
            Lookup::Gone => (None, Vec::new(), PersistenceResult::Unavailable),
            Lookup::Bound(bound, others) => (Some(bound), others, PersistenceResult::Hit),
        };
        let others = others
            .into_iter()
            .map(|bound| Another { bound, entry: None });
        Self {
            bound,
            others: others.collect(),
            result: Some(result),
            ..Self::default()
        }
    }

    async fn ask(target: &PoolSite, keys: SessionKeys) -> Self {
        let mut this = Self::of(Lookup::Miss);
        if target.binds_at_pick {
            this.place = Some(keys.first());
        }
        let Some(table) = &target.table else {
            return this;
        };
        let (now, unix) = (Moment::now(), UnixTime::now());
        let mut gone = None;
        for key in keys.iter() {
            match table.get(key, now, &mut this.waited).await {
                Answer::Known(binding) => match target.server(&binding.server) {
                    Some(server) => this.others.push_back(Another {
                        bound: Bound {
                            server: Arc::clone(server),
                            session_started: unix,
                            renew: false,
                        },
                        entry: Some((key, binding.server)),
                    }),
                    None => gone = gone.or(Some((key, binding.server))),
                },
                Answer::Expired => this.result = Some(PersistenceResult::Expired),
                Answer::Unknown => {}
            }
        }
        if this.take_next() {
            this.result = Some(PersistenceResult::Hit);
        } else if gone.is_some() {
            this.result = Some(PersistenceResult::Unavailable);
            this.stands_at(gone);
        }
        this
    }

    /// Goes on to the next session that the request brings. Whether there is one.
    pub fn take_next(&mut self) -> bool {
        let Some(Another { bound, entry }) = self.others.pop_front() else {
            return false;
        };
        if self.bound.is_some() && self.first.is_none() {
            self.first = self.place.zip(self.found.take());
        }
        self.bound = Some(bound);
        self.stands_at(entry);
        true
    }

    fn stands_at(&mut self, entry: Option<Entry>) {
        if let Some((place, server)) = entry {
            self.place = Some(place);
            self.found = Some(server);
        }
    }

    /// The server that the session is bound to.
    pub fn server(&self) -> Option<&Arc<Server>> {
        self.bound.as_ref().map(|bound| &bound.server)
    }

    /// Whether a server of one of the request's sessions takes their requests, as far as is known.
    pub fn is_open(&self) -> bool {
        let others = self.others.iter().map(|other| &other.bound);
        let mut bounds = self.bound.iter().chain(others);
        bounds.any(|bound| is_open(&bound.server))
    }

    /// Whether the session is bound to a server, and refused rather than taken elsewhere than to the server of another
    /// session that the request brings. `tried` are the servers that failed it already.
    pub fn may_not_leave(&self, target: &PoolSite, tried: &[Slot]) -> bool {
        self.bound.is_some()
            && target.on_unavailable == OnUnavailable::Reject
            && !self.has_another(tried)
    }

    /// Whether the request brings a session of another server that takes requests, as far as is known, and is not among
    /// those that it was `tried` on.
    pub fn has_another(&self, tried: &[Slot]) -> bool {
        let this = self.server().map(|server| server.slot());
        let mut others = self.others.iter().map(|other| &other.bound.server);
        others.any(|other| {
            let slot = other.slot();
            Some(slot) != this && !tried.contains(&slot) && is_open(other)
        })
    }

    /// The session leaves its server, and what others the request brings are given up. Returns which that was.
    pub fn unbind(&mut self) -> Option<Arc<Server>> {
        self.others.clear();
        let first = self.first.take();
        self.stands_at(first);
        self.bound.take().map(|bound| bound.server)
    }

    /// Writes into the table that the session goes to `picked`. Returns the server that it goes to instead, if another
    /// request of the session was first.
    pub async fn remember(&mut self, target: &PoolSite, picked: &Server) -> Option<Arc<Server>> {
        let (Some(table), Some(place)) = (&target.table, self.place) else {
            return None;
        };
        let now = Moment::now();
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
            session_started: UnixTime::now(),
            renew: false,
        });
    }

    /// Writes into the table that the session moves from a server that can't take it.
    pub async fn move_on(&mut self, target: &PoolSite, from: &Server, to: &Server) {
        if let (Some(table), Some(place)) = (&target.table, self.place) {
            let now = Moment::now();
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
            let now = Moment::now();
            table.rebind(place, &from, &to, now, &mut self.waited).await;
        }
    }

    /// Rewrites a server's response for the client, and learns from it.
    pub fn finish_response(
        &self,
        target: &PoolSite,
        server: &Server,
        request: &Fields,
        response: &mut Fields,
        https: bool,
    ) {
        let Some(affinity) = &target.affinity else {
            return;
        };
        let now = UnixTime::now();
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
                Learned::Bind(key) => table.put(key, server.name(), Moment::now()),
                Learned::Forget(key) => table.forget(key),
            }
        }
    }
}

/// Whether a server takes requests of its sessions, as far as is known without asking for a place.
fn is_open(server: &Server) -> bool {
    server.gate().admission() != Admission::Closed
}
