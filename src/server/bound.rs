//! The addresses and files of a start: taken before anything runs, from the process before this one where it has them.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::StartError;
use super::fd_store::Passed;
use super::pid_file::PidFile;
use super::process::{self, Identity};
use super::upgrade::{self, Heir};
use crate::admin;
use crate::config::model::{AdminBind, Config, UPGRADE_SOCKET};
use crate::unix_socket::SocketFile;

/// What is listened on, not yet accepted from.
pub struct Bound {
    /// Of each listener, in the order of the configuration.
    pub sockets: Vec<Vec<TcpListener>>,
    /// The admin listener.
    pub admin: Option<(AdminBind, admin::Listener)>,
    /// Where upgrades are asked for.
    pub upgrade: Option<(PathBuf, UnixListener, SocketFile)>,
    /// What the service manager has kept, by name.
    pub stored: Vec<String>,
}

impl Bound {
    /// Takes every address: from the process before this one or from the service manager, if one of them has it.
    ///
    /// # Errors
    ///
    /// The first that can't be had.
    pub fn take(
        config: &Config,
        may_be_upgraded: bool,
        identity: Option<&Identity>,
        mut heir: Option<&mut Heir>,
    ) -> Result<Self, StartError> {
        let mut passed = Passed::from_environment();
        let stored = passed.names();
        let sockets = match heir.as_deref_mut() {
            Some(heir) => heir.sockets(config)?,
            None => passed.sockets(config)?,
        };
        let admin = match &config.admin {
            Some(settings) => {
                let handed = heir
                    .as_deref_mut()
                    .and_then(|heir| heir.admin(&settings.bind));
                let mut kept = || match &settings.bind {
                    AdminBind::Tcp(address) => passed.take(*address).map(admin::Listener::Tcp),
                    AdminBind::Unix(_) => None,
                };
                let kept = handed.or_else(|| kept().map(Ok));
                let listener = kept.unwrap_or_else(|| admin::bind(&settings.bind));
                let listener = listener.map_err(|source| StartError::Admin {
                    address: settings.bind.to_string(),
                    source,
                })?;
                Some((settings.bind.clone(), listener))
            }
            None => None,
        };
        let wanted = config.server.upgrade_socket.as_deref();
        let upgrade = match wanted.filter(|_| may_be_upgraded) {
            Some(path) => upgrade_socket(path, identity, heir)?
                .map(|(listener, file)| (path.to_owned(), listener, file)),
            None => None,
        };
        Ok(Self {
            sockets,
            admin,
            upgrade,
            stored,
        })
    }
}

fn upgrade_socket(
    path: &Path,
    identity: Option<&Identity>,
    heir: Option<&mut Heir>,
) -> Result<Option<(UnixListener, SocketFile)>, StartError> {
    let failed = |source| StartError::UpgradeSocket {
        path: path.to_owned(),
        source,
    };
    if let Some(handed) = heir.and_then(|heir| heir.upgrade_socket(path)) {
        return handed.map(Some).map_err(failed);
    }
    match upgrade::listen(path) {
        Ok((listener, file)) => {
            if let Some(identity) = identity {
                identity.own(path).map_err(failed)?;
            }
            Ok(Some((listener, file)))
        }
        // Nobody has asked for it.
        Err(error) if path == Path::new(UPGRADE_SOCKET) => {
            tracing::info!(
                path = UPGRADE_SOCKET,
                "this instance can't be upgraded while it runs: {}; server.upgrade_socket may be elsewhere",
                upgrade::words(&error)
            );
            Ok(None)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The pid file. One that another process has written stays as it is until this one serves.
///
/// # Errors
///
/// It can't be written.
pub fn pid_file(config: &Config, heir: Option<&mut Heir>) -> Result<PidFile, StartError> {
    let Some(path) = &config.server.pid_file else {
        return Ok(PidFile::default());
    };
    let Some(file) = heir.and_then(|heir| heir.pid_file(path)) else {
        return Ok(PidFile::write(Some(path)).map_err(process::ProcessError::from)?);
    };
    let mut handed = PidFile::handed(path, file);
    handed.leave(true);
    Ok(handed)
}
