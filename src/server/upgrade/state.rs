//! What an instance knows: told by the old one, and taken up by the new one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::instance::Instance;
use super::heir::{Heir, Sessions, UpgradeError};
use super::message::{Discovered, State, Tickets};
use super::predecessor::Predecessor;
use crate::config::model::PoolServer;
use crate::observe::metrics::Totals;
use crate::persistence::table::{Absorber, Follower};
use crate::tls::Terminator;

impl State {
    /// The servers that DNS named.
    pub(in super::super) fn discovered_servers(&self) -> HashMap<Arc<str>, Vec<PoolServer>> {
        let discovered = self.discovered.iter();
        discovered
            .map(|(pool, servers)| {
                let servers = servers.iter().filter_map(Discovered::server);
                (Arc::from(pool.as_str()), servers.collect())
            })
            .collect()
    }
}

impl Instance {
    pub(super) fn known_state(&self) -> State {
        let now = Instant::now();
        let pools = self.state.lock().pools.clone();
        let listeners = self.listeners.load_full();
        let terminators = listeners
            .iter()
            .filter_map(|one| Some((&*one.name, Arc::clone(one.terminator.as_ref()?))));
        let terminators = terminators.chain(self.admin.tls.load_full().map(|one| (ADMIN, one)));
        State {
            overrides: self.overrides.lock().clone(),
            is_drained: self.drain.is_leaving(),
            discovered: self
                .discoveries
                .found()
                .into_iter()
                .map(|(pool, servers)| {
                    let servers = servers.iter().map(discovered);
                    (pool.to_string(), servers.collect())
                })
                .collect(),
            pools: pools
                .iter()
                .map(|running| running.pool.known_state(now))
                .collect(),
            ticket_keys: terminators
                .filter_map(|(name, terminator)| {
                    Some((name.to_owned(), tickets(&terminator, now)?))
                })
                .collect(),
            requests: listeners
                .iter()
                .map(|one| (one.name.to_string(), one.service.requests()))
                .collect(),
            totals: self.metrics.totals(),
        }
    }

    /// Goes on with what another process knew, but for what was needed to make this instance.
    pub(in super::super) fn inherit(&self, state: &State) {
        let now = Instant::now();
        for listening in self.listeners.load().iter() {
            if let Some(requests) = state.requests.get(&*listening.name) {
                listening.service.inherit_requests(*requests);
            }
            if let Some(terminator) = &listening.terminator {
                take_tickets(terminator, state.ticket_keys.get(&*listening.name), now);
            }
        }
        if let Some(terminator) = self.admin.tls.load_full() {
            take_tickets(&terminator, state.ticket_keys.get(ADMIN), now);
        }
        if state.is_drained {
            self.drain.send_away(now, Duration::ZERO);
        }
        // The state directory may be another one.
        self.keep_drained(state.is_drained);
        self.metrics.inherit(&state.totals, &Totals::default());
    }

    /// Takes over from the old process, now that this one accepts connections, and accompanies it to its end.
    ///
    /// # Errors
    ///
    /// The old process is gone, or doesn't say that it has stopped.
    pub(in super::super) fn succeed(
        self: &Arc<Self>,
        heir: Heir,
        state: State,
        sessions: Vec<(String, Absorber)>,
    ) -> Result<(), UpgradeError> {
        let pid = heir.predecessor();
        let pools = self.state.lock().pools.clone();
        let tables = pools
            .iter()
            .filter_map(|running| Some((running.pool.name(), &**running.table.as_ref()?)));
        // From now on the old one hears of what is bound here.
        let follower = Follower::new(tables);
        let taken = heir.serving();
        // Either way nobody else writes these any more.
        self.own_pid_file();
        self.keep_sessions(false);
        Predecessor::accompany(self, pid, taken?, follower, sessions, state.totals);
        Ok(())
    }

    /// Fills the session tables with what the old process knew. Returns who takes what it says later.
    pub(in super::super) fn take_sessions(&self, sessions: &Sessions) -> Vec<(String, Absorber)> {
        let pools = self.state.lock().pools.clone();
        let mut absorbers: Vec<_> = pools
            .iter()
            .filter_map(|running| {
                let table = running.table.as_ref()?;
                Some((running.pool.name().to_string(), Absorber::new(table)))
            })
            .collect();
        let mut counts = BTreeMap::new();
        for (pool, absorber) in &mut absorbers {
            for (_, records) in sessions.iter().filter(|(of, _)| of == pool) {
                if let Err(error) = absorber.collect(records) {
                    tracing::error!(pool, "sessions of the old process are lost: {error}");
                }
            }
            counts.insert(pool.clone(), absorber.settle(0));
        }
        for (pool, sessions) in counts {
            if sessions > 0 {
                tracing::info!(pool, sessions, "sessions taken over");
            }
        }
        absorbers
    }
}

/// What the admin listener is called among those with tickets.
const ADMIN: &str = "admin";

fn discovered(server: &PoolServer) -> Discovered {
    Discovered {
        address: server.address.to_string(),
        name: server.name.to_string(),
        weight: server.weight,
        backup: server.backup,
    }
}

impl Discovered {
    /// The server as discovery found it; `None` if its address can't be read.
    fn server(&self) -> Option<PoolServer> {
        let name: Arc<str> = Arc::from(self.name.as_str());
        Some(PoolServer {
            route: Arc::clone(&name),
            name,
            address: crate::config::server_address(&self.address).ok()?,
            weight: self.weight,
            max_connections: 0,
            backup: self.backup,
            operator: crate::config::model::Operator::Ready,
        })
    }
}

fn tickets(terminator: &Terminator, now: Instant) -> Option<Tickets> {
    let (keys, age) = terminator.random_ticket_keys(now)?;
    Some(Tickets {
        keys: keys.iter().map(|key| STANDARD.encode(key)).collect(),
        age: age.as_secs(),
    })
}

fn take_tickets(terminator: &Terminator, tickets: Option<&Tickets>, now: Instant) {
    let Some(tickets) = tickets else { return };
    let keys = tickets.keys.iter();
    let keys: Vec<_> = keys.filter_map(|key| STANDARD.decode(key).ok()).collect();
    terminator.take_random_ticket_keys(&keys, Duration::from_secs(tickets.age), now);
}
