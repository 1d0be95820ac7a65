//! Listeners and where they listen: opened, moved to other addresses and closed while connections are served.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use socket2::Socket;
use tokio_util::task::TaskTracker;

use super::arrivals::Arrivals;
use super::instance::Instance;
use super::refusals::Refusals;
use super::service::Service;
use crate::config::model::{self, Config};
use crate::config::{Loaded as Configuration, Problems};
use crate::dispatch::PoolSite;
use crate::listen::{self, Closing, Limits, Listener, Reception};
use crate::supervise::{self, Task};
use crate::tls::{Loaded, Terminator};
use crate::workers::{Worker, Workers};

/// A listener of the configuration in force.
pub struct Listening {
    /// Its name.
    pub name: Arc<str>,
    /// What it speaks.
    pub protocol: model::Protocol,
    /// What serves its connections.
    pub service: Service,
    /// How many there may be.
    pub limits: Arc<Limits>,
    /// For connections that are accepted from now on.
    pub reception: Arc<ArcSwap<Reception>>,
    /// `None` for the protocols without TLS.
    pub terminator: Option<Arc<Terminator>>,
    /// The probes that its connections are to have.
    keepalive: Mutex<model::TcpKeepalive>,
    accepting: Mutex<Vec<Accepting>>,
}

/// A bound socket.
pub struct Bound {
    /// As it is configured: its port may be 0.
    configured: SocketAddr,
    address: SocketAddr,
    socket: Arc<Listener>,
}

/// A socket that connections are accepted on.
struct Accepting {
    bound: Arc<Bound>,
    closing: Arc<Closing>,
}

/// The sockets that each listener is to have.
pub type Sockets = HashMap<Arc<str>, Vec<Arc<Bound>>>;

impl Bound {
    /// Takes a socket that was bound to `configured`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn new(
        configured: SocketAddr,
        socket: std::net::TcpListener,
        workers: &Workers,
    ) -> std::io::Result<Self> {
        Ok(Self {
            configured,
            address: socket.local_addr()?,
            socket: Arc::new(Listener::new(socket, workers)?),
        })
    }

    /// The address as it is configured: its port may be 0.
    pub fn configured(&self) -> SocketAddr {
        self.configured
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Listening {
    /// A listener that doesn't listen yet.
    pub fn new(
        model: &model::Listener,
        service: Service,
        limits: Arc<Limits>,
        terminator: Option<Arc<Terminator>>,
    ) -> Self {
        Self {
            name: Arc::clone(&model.name),
            protocol: model.protocol,
            service,
            limits,
            reception: Arc::new(ArcSwap::from_pointee(Reception::new(model))),
            terminator,
            keepalive: Mutex::new(model.tcp_keepalive),
            accepting: Mutex::default(),
        }
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let accepting = self.accepting.lock();
        accepting.iter().map(|one| one.bound.address).collect()
    }

    /// Takes another configuration of it, but for its pools.
    pub fn heed(&self, model: &model::Listener) {
        *self.keepalive.lock() = model.tcp_keepalive;
        for one in self.accepting.lock().iter() {
            listen::tune(&one.bound.socket, model.tcp_keepalive);
        }
        self.reception.store(Arc::new(Reception::new(model)));
        self.limits.resize(model.max_connections);
    }

    /// Gives up the sockets. Each is closed when the connections in its backlog have been accepted.
    pub fn let_go(&self) {
        self.accepting.lock().clear();
    }

    /// Accepts no more. Somebody else goes on with the sockets that `is_kept` says; the others are closed.
    pub fn hand_over(&self, is_kept: impl Fn(&Arc<Bound>) -> bool) {
        for one in self.accepting.lock().drain(..) {
            if is_kept(&one.bound) {
                one.closing.hand_over();
            } else {
                one.closing.close();
            }
        }
    }

    /// Its sockets.
    pub fn bound(&self) -> Vec<Arc<Bound>> {
        let accepting = self.accepting.lock();
        accepting.iter().map(|one| Arc::clone(&one.bound)).collect()
    }
}

/// The sockets that the listeners of `next` are to have: those that are open by now, whoever has them, and new ones.
///
/// # Errors
///
/// Every address that can't be had. Nothing has changed then.
pub fn sockets(
    now: &[Arc<Listening>],
    next: &Configuration,
    workers: &Workers,
) -> Result<Sockets, Problems> {
    let mut spare: Vec<(Arc<str>, Arc<Bound>)> = now
        .iter()
        .flat_map(|one| {
            one.bound()
                .into_iter()
                .map(|bound| (Arc::clone(&one.name), bound))
        })
        .collect();
    let mut take = |listener: Option<&Arc<str>>, address: SocketAddr| {
        let of = |(name, bound): &(Arc<str>, Arc<Bound>)| {
            bound.configured == address && listener.is_none_or(|listener| listener == name)
        };
        let found = spare.iter().position(of);
        found.map(|at| spare.swap_remove(at).1)
    };
    let mut sockets = Sockets::new();
    let mut wanting = Vec::new();
    // Their own first: port 0 is another port for each.
    for model in &next.config.listeners {
        let mut own = Vec::new();
        for (index, address) in model.bind.iter().enumerate() {
            if let Some(bound) = take(Some(&model.name), *address) {
                own.push(bound);
            } else {
                // As it is written: one address is no list.
                let index = (model.bind.len() > 1).then(|| index.to_string());
                wanting.push((&model.name, index, *address));
            }
        }
        sockets.insert(Arc::clone(&model.name), own);
    }
    // Then those that others leave.
    let mut missing = Vec::new();
    for (name, index, address) in wanting {
        match take(None, address).filter(|_| address.port() != 0) {
            Some(bound) => sockets.entry(Arc::clone(name)).or_default().push(bound),
            None => missing.push((name, index, address)),
        }
    }
    let mut problems = Problems::default();
    for (name, index, address) in missing {
        let overlapping = spare
            .iter()
            .filter(|(_, bound)| listen::overlap(bound.configured, address))
            .filter_map(|(_, bound)| bound.as_fd().try_clone_to_owned().ok());
        let overlapping: Vec<_> = overlapping.map(Socket::from).collect();
        let found = listen::bind_beside(address, &overlapping)
            .and_then(|socket| Bound::new(address, socket, workers))
            .map(Arc::new);
        match found {
            Ok(bound) => sockets.entry(Arc::clone(name)).or_default().push(bound),
            Err(error) => {
                let mut path = vec!["listeners", name, "bind"];
                path.extend(index.as_deref());
                let message = format!("can't listen on {address}: {}", listen::words(&error));
                problems.push(next.problem(&path, message));
            }
        }
    }
    if problems.is_empty() {
        Ok(sockets)
    } else {
        Err(problems)
    }
}

/// The listener of that name, if it speaks the same: it goes on with another configuration.
pub fn same<'a>(
    listeners: &'a [Arc<Listening>],
    model: &model::Listener,
) -> Option<&'a Arc<Listening>> {
    let mut listeners = listeners.iter();
    listeners.find(|one| one.name == model.name && one.protocol == model.protocol)
}

/// The sockets of a start, in the order of the listeners.
pub fn first_sockets(
    config: &Config,
    bound: Vec<Vec<std::net::TcpListener>>,
    workers: &Workers,
) -> Sockets {
    let mut sockets = Sockets::new();
    for (model, of_listener) in config.listeners.iter().zip(bound) {
        let all = sockets.entry(Arc::clone(&model.name)).or_default();
        for (configured, socket) in model.bind.iter().zip(of_listener) {
            match Bound::new(*configured, socket, workers) {
                Ok(bound) => all.push(Arc::new(bound)),
                Err(error) => {
                    tracing::error!(%error, listener = &*model.name, "cannot listen");
                }
            }
        }
    }
    sockets
}

impl Instance {
    /// Puts the listeners of another configuration in force, on their sockets. `secured` gives what ends TLS of a new one,
    /// and what one that goes on is to serve.
    pub(super) fn relisten(
        &self,
        config: &Config,
        sites: &HashMap<Arc<str>, Arc<PoolSite>>,
        sockets: &Sockets,
        mut secured: impl FnMut(&model::Listener) -> (Option<Arc<Terminator>>, Option<Loaded>),
    ) {
        let before = self.listeners.load_full();
        let next = config.listeners.iter().map(|model| {
            let (terminator, loaded) = secured(model);
            let Some(listening) = same(&before, model) else {
                return Arc::new(self.listener(model, sites, terminator));
            };
            listening.heed(model);
            listening.service.reconfigure(model, sites, &self.metrics);
            if let (Some(terminator), Some(loaded)) = (&listening.terminator, loaded)
                && let Err(trouble) = terminator.replace(loaded)
            {
                // It was tried when it was loaded.
                tracing::error!(listener = &*listening.name, "{trouble}");
            }
            Arc::clone(listening)
        });
        let next: Vec<_> = next.collect();
        let is_gone = |one: &&Arc<Listening>| !next.iter().any(|next| Arc::ptr_eq(one, next));
        let gone: Vec<_> = before.iter().filter(is_gone).cloned().collect();
        self.listen(&gone, &next, sockets);
        for one in &gone {
            if !next.iter().any(|next| next.name == one.name) {
                self.metrics.forget_listener(&one.name);
            }
        }
        self.listeners.store(Arc::new(next));
        // A stop may have begun meanwhile, or long before.
        if self.drain.is_stopping() {
            self.close_sockets();
        }
    }

    /// Accepts connections on the sockets that each listener is to have, and no longer on others: `gone` are listeners
    /// that there were before. Must be called within a runtime.
    pub(super) fn listen(
        &self,
        gone: &[Arc<Listening>],
        listeners: &[Arc<Listening>],
        sockets: &Sockets,
    ) {
        for listening in listeners {
            let wanted = sockets.get(&listening.name).map_or(&[][..], Vec::as_slice);
            for bound in wanted {
                let is_open = listening
                    .accepting
                    .lock()
                    .iter()
                    .any(|one| Arc::ptr_eq(&one.bound, bound));
                if !is_open {
                    self.accept_on(listening, bound, &self.connections);
                }
            }
        }
        let is_wanted_by = |bound: &Arc<Bound>, name: Option<&Arc<str>>| {
            let mut wanted = sockets
                .iter()
                .filter(|(listener, _)| name.is_none_or(|name| name == *listener))
                .flat_map(|(_, wanted)| wanted);
            wanted.any(|one| Arc::ptr_eq(one, bound))
        };
        let leave = |listening: &Listening, stays: bool| {
            listening.accepting.lock().retain(|one| {
                if stays && is_wanted_by(&one.bound, Some(&listening.name)) {
                    return true;
                }
                let address = one.bound.address;
                if is_wanted_by(&one.bound, None) {
                    one.closing.hand_over();
                } else {
                    tracing::info!(%address, listener = &*listening.name, "no longer listening");
                    one.closing.close();
                }
                false
            });
        };
        for listening in listeners {
            leave(listening, true);
        }
        for listening in gone {
            leave(listening, false);
            listening.service.close();
        }
    }

    /// Accepts on a socket again that was handed over.
    pub(super) fn accept_again(&self, listener: &str, bound: &Arc<Bound>) {
        let listeners = self.listeners.load();
        if let Some(listening) = listeners.iter().find(|one| *one.name == *listener) {
            self.accept_on(listening, bound, &self.connections);
        }
    }

    /// Goes on accepting, and counts those who come from now on apart from those who are there.
    pub(super) fn serve_newcomers(&self) {
        for listening in self.listeners.load().iter() {
            let bound = listening.bound();
            listening.hand_over(|_| true);
            for one in &bound {
                self.accept_on(listening, one, &self.newcomers);
            }
        }
    }

    /// Accepts no more: who is in the backlog of a socket that the service manager keeps is the next process's.
    pub(super) fn leave_sockets_to_manager(&self) {
        for listening in self.listeners.load().iter() {
            listening.hand_over(|bound| bound.configured().port() != 0);
        }
    }

    fn accept_on(&self, listening: &Listening, bound: &Arc<Bound>, tracker: &TaskTracker) {
        let address = bound.address;
        tracing::info!(%address, listener = &*listening.name, "listening");
        let arrivals = Arc::new(Arrivals {
            reception: Arc::clone(&listening.reception),
            service: listening.service.clone(),
            terminator: listening.terminator.clone(),
            tracker: tracker.clone(),
            drain: Arc::clone(&self.drain),
            refusals: Refusals {
                listener: Arc::clone(&listening.name),
                access_log: Arc::clone(&self.access_log),
                protocol: listening.protocol.logged(),
            },
        });
        let closing = Arc::<Closing>::default();
        listening.accepting.lock().push(Accepting {
            bound: Arc::clone(bound),
            closing: Arc::clone(&closing),
        });
        listen::tune(&bound.socket, *listening.keepalive.lock());
        let socket = Arc::clone(&bound.socket);
        let (limits, drain) = (Arc::clone(&listening.limits), Arc::clone(&self.drain));
        let workers = Arc::clone(&self.workers);
        let _entered = bound.socket.acceptor().enter();
        // Tracked with the connections: those still in the backlog are to be served, too.
        supervise::keep(tracker, Task::Accept, &listening.name, move || {
            let arrivals = Arc::clone(&arrivals);
            listen::accept(
                Arc::clone(&socket),
                Arc::clone(&limits),
                Arc::clone(&drain),
                Arc::clone(&closing),
                Arc::clone(&workers),
                move |connection, admitted, worker: &Worker| {
                    arrivals.take(connection, admitted, worker);
                },
            )
        });
    }
}
