//! Listening sockets that the service manager keeps while no process has them, so that nobody is refused during a restart
//! or after a crash: systemd's file descriptor store (`FileDescriptorStoreMax=`), and those that it has opened itself
//! (socket units). Both come back as `LISTEN_FDS` (sd_listen_fds(3)).

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;

use listenfd::ListenFd;
use socket2::Socket;

use super::instance::Instance;
use super::notify::Notifier;
use crate::admin;
use crate::config::model::{AdminBind, Config};
use crate::listen::{self, BindError};

/// Sockets that this process was begun with.
#[derive(Debug, Default)]
pub struct Passed(Vec<(SocketAddr, TcpListener)>);

impl Passed {
    /// What the service manager has passed to this process. What isn't a listening TCP socket is left alone.
    pub fn from_environment() -> Self {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            match passed.take_tcp_listener(index).and_then(listening) {
                Ok(Some(socket)) => sockets.push(socket),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!("a descriptor of the service manager can't be used: {error}");
                }
            }
        }
        if !sockets.is_empty() {
            let count = sockets.len();
            tracing::info!(count, "listening sockets come from the service manager");
        }
        Self(sockets)
    }

    /// What they are called in the store.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|(address, _)| name(*address)).collect()
    }

    /// The socket of that address. None of port 0: which port that was is another at each start.
    pub fn take(&mut self, wanted: SocketAddr) -> Option<TcpListener> {
        let found = self.0.iter().position(|(address, _)| *address == wanted)?;
        Some(self.0.swap_remove(found).1)
    }

    /// The sockets of all listeners of a configuration, in its order: those that were passed, and new ones.
    ///
    /// # Errors
    ///
    /// The first address that can't be had.
    pub fn sockets(&mut self, config: &Config) -> Result<Vec<Vec<TcpListener>>, BindError> {
        let wanted = config.listeners.iter().flat_map(|model| &model.bind);
        let mut passed: HashMap<_, _> = wanted
            .filter_map(|address| Some((*address, self.take(*address)?)))
            .collect();
        let mut of_listener = |model: &crate::config::model::Listener| {
            let sockets = model.bind.iter().map(|address| {
                let socket = passed
                    .remove(address)
                    .map_or_else(|| self.bind(*address), Ok);
                socket.map_err(|source| BindError {
                    listener: model.name.to_string(),
                    address: *address,
                    source,
                })
            });
            sockets.collect()
        };
        config.listeners.iter().map(&mut of_listener).collect()
    }

    /// A new socket, also where one was passed on an overlapping address, which nobody wants any more.
    fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let overlapping = self
            .0
            .iter()
            .filter(|(other, _)| listen::overlap(*other, address))
            .filter_map(|(_, socket)| socket.try_clone().ok())
            .map(Socket::from);
        listen::bind_beside(address, &overlapping.collect::<Vec<_>>())
    }
}

fn listening(socket: Option<TcpListener>) -> io::Result<Option<(SocketAddr, TcpListener)>> {
    let Some(socket) = socket else {
        return Ok(None);
    };
    socket.set_nonblocking(true)?;
    Ok(Some((socket.local_addr()?, socket)))
}

/// What the socket of an address is called in the store, where a colon can't be in a name.
fn name(address: SocketAddr) -> String {
    address.to_string().replace(':', "_")
}

impl Instance {
    /// Has the service manager keep the sockets that are listened on, and no others.
    pub(super) fn store_sockets(&self, notifier: &Notifier) {
        if !notifier.has_store() {
            return;
        }
        let listeners = self.listeners.load();
        let bound: Vec<_> = listeners.iter().flat_map(|one| one.bound()).collect();
        let mut sockets: Vec<_> = bound
            .iter()
            .filter(|bound| bound.configured().port() != 0)
            .map(|bound| (name(bound.configured()), bound.as_fd()))
            .collect();
        let admin = self.admin.listener().ok().flatten();
        if let Some((AdminBind::Tcp(address), admin::Listener::Tcp(socket))) = &admin
            && address.port() != 0
        {
            sockets.push((name(*address), socket.as_fd()));
        }
        notifier.store(&sockets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_by_its_address() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut passed = Passed(vec![(address, socket)]);
        assert_eq!(passed.names(), [format!("127.0.0.1_{}", address.port())]);
        assert!(passed.take("127.0.0.1:0".parse().unwrap()).is_none());
        assert!(passed.take(address).is_some());
        assert!(passed.take(address).is_none());
    }
}
