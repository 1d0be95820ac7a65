//! The new process's side: asks the old one for what it has, and takes over when all that can fail is done.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use socket2::Socket;

use super::frame::{Frame, Kind, Wire};
use super::message::{Hello, Offer, Offered, PROTOCOL, Reason, Serving, State};
use crate::config::model::{AdminBind, Config};
use crate::listen::{self, BindError};
use crate::observe::VERSION;
use crate::unix_socket::SocketFile;

/// How long the old process may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long each part of its state may take.
const STATE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why nothing can be taken over.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// Nobody is there.
    #[error("no instance can be upgraded at {}: {why}; start without --upgrade, or say where: --upgrade=SOCKET", path.display())]
    Nobody {
        /// The upgrade socket.
        path: PathBuf,
        /// What is there instead.
        why: String,
    },
    /// Somebody is there who shouldn't be.
    #[error("{} belongs to another user (uid {uid}): nothing is taken over from there", path.display())]
    Stranger {
        /// The upgrade socket.
        path: PathBuf,
        /// Who listens there.
        uid: u32,
    },
    /// The old process won't.
    #[error("the running instance hands nothing over: {0}")]
    Refused(String),
    /// It doesn't go on.
    #[error("the running instance doesn't go on with the upgrade: {0}")]
    Broken(#[from] io::Error),
}

/// A descriptor that was handed over.
struct Handed {
    what: Offered,
    descriptor: Option<OwnedFd>,
}

/// What a process takes over from one that runs.
pub struct Heir {
    wire: Arc<Wire>,
    offer: Offer,
    handed: Vec<Handed>,
}

/// A pool's sessions, piece by piece.
pub type Sessions = Vec<(String, Vec<u8>)>;

impl Heir {
    /// Asks the instance that listens at `path` for what it has.
    ///
    /// # Errors
    ///
    /// It isn't there, or won't.
    pub fn ask(path: &Path, config: &Config) -> Result<Self, UpgradeError> {
        let wire = Arc::new(connect(path, config)?);
        let binds = config.listeners.iter();
        wire.say(
            Kind::Hello,
            &Hello {
                protocol: PROTOCOL,
                version: VERSION.to_owned(),
                pid: std::process::id(),
                binds: binds.flat_map(|one| one.bind.iter().copied()).collect(),
            },
        )?;
        let offer = expect(&wire, Kind::Offer, ANSWER_TIMEOUT)?;
        let offer: Offer = offer.parse()?;
        let mut descriptors = Vec::new();
        while descriptors.len() < offer.descriptors.len() {
            let more = expect(&wire, Kind::Descriptors, ANSWER_TIMEOUT)?.descriptors;
            if more.is_empty() {
                return Err(io::Error::from(io::ErrorKind::InvalidData).into());
            }
            descriptors.extend(more);
        }
        let handed = offer.descriptors.iter().cloned().zip(descriptors);
        let handed = handed.map(|(what, descriptor)| Handed {
            what,
            descriptor: Some(descriptor),
        });
        tracing::info!(
            pid = offer.pid,
            version = offer.version,
            "taking over from the running instance"
        );
        Ok(Self {
            wire,
            handed: handed.collect(),
            offer,
        })
    }

    /// The old process.
    pub fn predecessor(&self) -> u32 {
        self.offer.pid
    }

    /// Tells the old process that this one can't start, and why.
    pub fn fail(&self, reason: &str) {
        let reason = Reason {
            reason: reason.to_owned(),
        };
        // If it is gone, it needn't know.
        let _ = self.wire.say(Kind::Failed, &reason);
    }

    fn take(&mut self, is_it: impl Fn(&Offered) -> bool) -> Option<OwnedFd> {
        let mut handed = self.handed.iter_mut();
        let found = handed.find(|one| one.descriptor.is_some() && is_it(&one.what))?;
        found.descriptor.take()
    }

    /// The sockets of all listeners of a configuration, in its order: those that are handed over, and new ones.
    ///
    /// # Errors
    ///
    /// The first address that can't be had.
    pub fn sockets(&mut self, config: &Config) -> Result<Vec<Vec<TcpListener>>, BindError> {
        let mut taken: HashMap<(usize, usize), TcpListener> = HashMap::new();
        let wanted: Vec<_> = config
            .listeners
            .iter()
            .enumerate()
            .flat_map(|(listener, model)| {
                let binds = model.bind.iter().enumerate();
                binds.map(move |(index, address)| (listener, index, model, *address))
            })
            .collect();
        // Their own first: port 0 is another port for each.
        for own in [true, false] {
            for (listener, index, model, wanted) in &wanted {
                if taken.contains_key(&(*listener, *index)) || !own && wanted.port() == 0 {
                    continue;
                }
                let found = self.take(|what| match what {
                    Offered::Listener { name, address } => {
                        address == wanted && (!own || *name == *model.name)
                    }
                    _ => false,
                });
                if let Some(descriptor) = found {
                    taken.insert((*listener, *index), descriptor.into());
                }
            }
        }
        let mut sockets: Vec<Vec<TcpListener>> =
            config.listeners.iter().map(|_| Vec::new()).collect();
        for (listener, index, model, address) in wanted {
            let socket = match taken.remove(&(listener, index)) {
                Some(socket) => socket,
                None => self.bind(address).map_err(|source| BindError {
                    listener: model.name.to_string(),
                    address,
                    source,
                })?,
            };
            if let Some(of_listener) = sockets.get_mut(listener) {
                of_listener.push(socket);
            }
        }
        Ok(sockets)
    }

    /// A new socket, also where the old process listens on an overlapping address that it is to leave.
    fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let overlapping = self.handed.iter().filter_map(|one| match &one.what {
            Offered::Listener { address: other, .. } if listen::overlap(*other, address) => {
                let descriptor = one.descriptor.as_ref()?.try_clone().ok()?;
                Some(Socket::from(descriptor))
            }
            _ => None,
        });
        listen::bind_beside(address, &overlapping.collect::<Vec<_>>())
    }

    /// The admin listener's socket, if it is to be where it was.
    pub fn admin(&mut self, bind: &AdminBind) -> Option<io::Result<crate::admin::Listener>> {
        let wanted = bind.to_string();
        let is_it =
            |what: &Offered| matches!(what, Offered::Admin { address } if *address == wanted);
        let descriptor = self.take(is_it)?;
        Some(match bind {
            AdminBind::Tcp(_) => Ok(crate::admin::Listener::Tcp(descriptor.into())),
            AdminBind::Unix(path) => unix(descriptor, path)
                .map(|(listener, file)| crate::admin::Listener::Unix(listener, Arc::new(file))),
        })
    }

    /// The upgrade socket, if it is to be where it was.
    pub fn upgrade_socket(
        &mut self,
        wanted: &Path,
    ) -> Option<io::Result<(UnixListener, SocketFile)>> {
        let is_it =
            |what: &Offered| matches!(what, Offered::Upgrade { path } if Path::new(path) == wanted);
        let descriptor = self.take(is_it)?;
        Some(unix(descriptor, wanted))
    }

    /// The pid file, if it is to be where it was.
    pub fn pid_file(&mut self, wanted: &Path) -> Option<File> {
        let is_it =
            |what: &Offered| matches!(what, Offered::PidFile { path } if Path::new(path) == wanted);
        self.take(is_it).map(File::from)
    }

    /// Says that all that may fail is done. Returns what the old process knows.
    ///
    /// # Errors
    ///
    /// It doesn't go on.
    pub fn state(&self) -> Result<(State, Sessions), UpgradeError> {
        self.wire.send(Kind::Prepared, b"")?;
        let state: State = expect(&self.wire, Kind::State, STATE_TIMEOUT)?.parse()?;
        let mut sessions = Sessions::new();
        loop {
            let frame = self.wire.receive(Some(STATE_TIMEOUT))?;
            match frame.kind {
                Kind::Sessions => sessions.extend(split_name(&frame.body)),
                Kind::Complete => return Ok((state, sessions)),
                _ => return Err(unexpected(&frame)),
            }
        }
    }

    /// Says that this process accepts connections, and waits until the old one doesn't any more. Returns the way to it.
    ///
    /// # Errors
    ///
    /// It doesn't say so. This process serves all the same.
    pub fn serving(self) -> Result<Arc<Wire>, UpgradeError> {
        let is_kept = |(index, one): (usize, &Handed)| one.descriptor.is_none().then_some(index);
        let kept = self.handed.iter().enumerate().filter_map(is_kept);
        self.wire.say(
            Kind::Serving,
            &Serving {
                kept: kept.collect(),
            },
        )?;
        expect(&self.wire, Kind::Taken, STATE_TIMEOUT)?;
        Ok(self.wire)
    }
}

/// Tells the instance at `path`, if there is one, that a process that was to take over from it can't even ask.
pub fn tell_failure(path: &Path, reason: &str) {
    if let Ok(stream) = UnixStream::connect(path) {
        let reason = Reason {
            reason: reason.to_owned(),
        };
        let _ = Wire::new(stream).say(Kind::Failed, &reason);
    }
}

fn connect(path: &Path, config: &Config) -> Result<Wire, UpgradeError> {
    let stream = UnixStream::connect(path).map_err(|error| UpgradeError::Nobody {
        path: path.to_owned(),
        why: match error.kind() {
            io::ErrorKind::NotFound => "there is no such socket".to_owned(),
            io::ErrorKind::ConnectionRefused => "nobody listens there any more".to_owned(),
            _ => error.to_string(),
        },
    })?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).map_err(io::Error::from)?;
    let uid = peer.uid.as_raw();
    let own = nix::unistd::geteuid().as_raw();
    let configured = super::super::process::identity(&config.server)
        .ok()
        .flatten();
    let may_be = uid == 0 || uid == own || configured.is_some_and(|identity| identity.is_uid(uid));
    if may_be {
        Ok(Wire::new(stream))
    } else {
        Err(UpgradeError::Stranger {
            path: path.to_owned(),
            uid,
        })
    }
}

fn expect(wire: &Wire, kind: Kind, timeout: Duration) -> Result<Frame, UpgradeError> {
    let frame = wire.receive(Some(timeout))?;
    if frame.kind == kind {
        Ok(frame)
    } else {
        Err(unexpected(&frame))
    }
}

fn unexpected(frame: &Frame) -> UpgradeError {
    match frame.parse::<Reason>() {
        Ok(reason) if frame.kind == Kind::Refused => UpgradeError::Refused(reason.reason),
        _ => UpgradeError::Broken(io::Error::from(io::ErrorKind::InvalidData)),
    }
}

/// The pool's name before its sessions.
pub fn split_name(body: &[u8]) -> Option<(String, Vec<u8>)> {
    let (length, rest) = body.split_at_checked(2)?;
    let length = u16::from_le_bytes(length.try_into().ok()?);
    let (name, records) = rest.split_at_checked(length.into())?;
    let name = std::str::from_utf8(name).ok()?;
    Some((name.to_owned(), records.to_vec()))
}

/// A pool's sessions after its name; `None` = no pool has such a name.
pub fn with_name(name: &str, records: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(name.len()).ok()?;
    let mut body = Vec::with_capacity(2 + name.len() + records.len());
    body.extend_from_slice(&length.to_le_bytes());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(records);
    Some(body)
}

fn unix(descriptor: OwnedFd, path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    Ok((descriptor.into(), SocketFile::at(path)?))
}
