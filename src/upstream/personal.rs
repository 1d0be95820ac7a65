//! Connections to servers that belong to one client connection: a server that has been told whose connection it is
//! takes every request on it for that client's.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use rand::Rng as _;

use super::connections::Connections;
use super::link::Link;
use crate::balance::Slot;
use crate::descriptors::idle::Keeper;
use crate::pool::Server;

/// Servers and clients that one connection has connections for, at most. Only a proxy in front brings many clients.
const MOST: usize = 64;

/// The connections of one client connection. They end with it.
#[derive(Default)]
pub struct Personal {
    kept: Mutex<Vec<Of>>,
    id: OnceLock<Box<str>>,
}

struct Of {
    link: Weak<Link>,
    client: IpAddr,
    connections: Arc<Connections>,
}

impl Personal {
    /// Those to a server for a client.
    pub fn connections(
        &self,
        link: &Arc<Link>,
        server: &Server,
        client: IpAddr,
    ) -> Arc<Connections> {
        let mut kept = self.kept.lock();
        kept.retain(|one| one.link.strong_count() > 0);
        let found = kept.iter().find(|one| {
            one.client == client
                && one.connections.slot() == server.slot()
                && std::ptr::eq(one.link.as_ptr(), Arc::as_ptr(link))
        });
        if let Some(found) = found {
            return Arc::clone(&found.connections);
        }
        let connections = Arc::new(Connections::new(server.slot()));
        link.personal().add(&connections);
        if kept.len() >= MOST {
            kept.remove(0);
        }
        kept.push(Of {
            link: Arc::downgrade(link),
            client,
            connections: Arc::clone(&connections),
        });
        connections
    }

    /// What tells the client connection from all others.
    pub fn id(&self) -> &str {
        self.id.get_or_init(random_id)
    }
}

/// A name that no other connection has: 128 bits, in hexadecimal.
pub fn random_id() -> Box<str> {
    format!("{:032x}", rand::rng().random::<u128>()).into()
}

/// What the connections of all clients over one link have in common: somebody looks after them.
#[derive(Default)]
pub struct AllPersonal(Mutex<Vec<Weak<Connections>>>);

impl AllPersonal {
    fn add(&self, connections: &Arc<Connections>) {
        self.0.lock().push(Arc::downgrade(connections));
    }

    fn all(&self) -> Vec<Arc<Connections>> {
        self.0.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Closes what has been idle for too long.
    pub fn reap(&self, now: Instant) {
        self.0.lock().retain(|one| one.strong_count() > 0);
        for connections in self.all() {
            connections.reap(now);
        }
    }

    /// Closes the idle connections to servers that aren't `kept`.
    pub fn retain(&self, kept: impl Fn(Slot) -> bool) {
        for connections in self.all() {
            if !kept(connections.slot()) {
                connections.close();
            }
        }
    }
}

impl Keeper for AllPersonal {
    fn give_up_one(&self) -> bool {
        self.all()
            .iter()
            .any(|connections| connections.give_up_one())
    }
}
