//! A pool as one snapshot of the configuration has it: with its sessions' persistence and its servers by name.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::key::key;
use crate::config::model;
use crate::persistence::table::SessionTable;
use crate::persistence::{Affinity, Keyring, Member, RequestView};
use crate::pool::{Pool, Server};
use crate::upstream::Link;

/// A pool and its session persistence, as requests find them.
pub struct PoolSite {
    /// The pool.
    pub pool: Arc<Pool>,
    /// How its servers are spoken to.
    pub link: Arc<Link>,
    /// How its sessions are kept on their servers, if they are.
    pub affinity: Option<Affinity<Arc<Server>>>,
    /// Where sessions are remembered that the messages say too little about.
    pub table: Option<Arc<SessionTable>>,
    /// A session is remembered when its first request is balanced, not when a server marks it.
    pub binds_at_pick: bool,
    /// After which time such a session expires.
    pub idle: Option<Duration>,
    /// What becomes of a session whose server can't take it.
    pub on_unavailable: model::OnUnavailable,
    /// What requests have in common that are to go to one server, if that decides.
    hash_key: Option<model::HashKey>,
    by_name: HashMap<Arc<str>, Arc<Server>>,
    /// By [`Slot::index`].
    routes: Vec<Arc<str>>,
}

impl PoolSite {
    /// The pool as its settings of now say, spoken to by `link`. `keys` sign its cookies, `table` remembers its
    /// sessions.
    pub fn new(
        pool: &Arc<Pool>,
        link: Arc<Link>,
        keys: Option<&Keyring>,
        table: Option<Arc<SessionTable>>,
    ) -> Arc<Self> {
        let settings = pool.settings();
        let servers = pool.servers();
        link.retain(&servers);
        let mut routes: Vec<Arc<str>> = Vec::new();
        // Both are in the order of the configuration.
        let members = servers
            .iter()
            .zip(&settings.servers)
            .map(|(server, model)| {
                let index = server.slot().index();
                if routes.len() <= index {
                    routes.resize(index + 1, Arc::from(""));
                }
                if let Some(place) = routes.get_mut(index) {
                    *place = Arc::clone(&model.route);
                }
                Member {
                    name: Arc::clone(server.name()),
                    route: Arc::clone(&model.route),
                    handle: Arc::clone(server),
                }
            });
        let members: Vec<_> = members.collect();
        let persistence = settings.persistence.as_ref();
        Arc::new(Self {
            pool: Arc::clone(pool),
            link,
            affinity: persistence
                .and_then(|settings| Affinity::new(settings, keys, pool.name(), members)),
            table,
            idle: match persistence {
                Some(model::Persistence::SourceIp(source)) => Some(source.timeout),
                _ => None,
            },
            binds_at_pick: match persistence {
                Some(model::Persistence::SourceIp(_)) => true,
                // Who sends a header may have chosen its value, so that no server would ever tell.
                Some(model::Persistence::Learn(learn)) => {
                    matches!(learn.from, model::LearnedFrom::Header(_))
                }
                _ => false,
            },
            on_unavailable: persistence.map_or(
                model::OnUnavailable::Rebalance,
                model::Persistence::on_unavailable,
            ),
            hash_key: settings.hash_key.clone(),
            by_name: servers
                .iter()
                .map(|server| (Arc::clone(server.name()), Arc::clone(server)))
                .collect(),
            routes,
        })
    }

    /// The number by which the request is shared out, if the pool does that and the request has what is hashed.
    pub fn key(&self, request: &RequestView<'_>) -> Option<u64> {
        key(self.hash_key.as_ref()?, request)
    }

    /// The server of that name, if it is in the pool.
    pub fn server(&self, name: &str) -> Option<&Arc<Server>> {
        self.by_name.get(name)
    }

    /// How a server marks its session ids.
    pub fn route(&self, server: &Server) -> &str {
        self.routes
            .get(server.slot().index())
            .map_or("", |route| route)
    }
}
