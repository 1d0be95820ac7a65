//! The process towards its operating system: file descriptors, pid file, privileges.

use std::io::Write;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Group, Uid, User, initgroups, setgid, setuid};

use crate::config::model::{Config, Server, Store};
use crate::descriptors::{Shares, TooFew};

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// File descriptors.
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    /// The pid file.
    #[error("cannot write the pid file {}: {source}", path.display())]
    PidFile {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no such user.
    #[error("server.user: there is no user {0:?} on this machine")]
    NoUser(String),
    /// There is no such group.
    #[error("server.group: there is no group {0:?} on this machine")]
    NoGroup(String),
    /// The change of user or group was refused.
    #[error("cannot become user {user:?}, group {group:?}: {source}")]
    Privileges {
        /// The user wanted.
        user: String,
        /// The group wanted.
        group: String,
        /// What the system said.
        source: nix::Error,
    },
}

/// Raises the soft limit of file descriptors to the hard limit. Returns what it is then.
pub fn raise_descriptor_limit() -> usize {
    let limit = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((_, hard)) => {
            if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
                tracing::warn!(%error, "cannot raise the limit of file descriptors");
            }
            getrlimit(Resource::RLIMIT_NOFILE).map_or(hard, |(soft, _)| soft)
        }
        Err(error) => {
            tracing::warn!(%error, "cannot read the limit of file descriptors");
            return usize::MAX;
        }
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Shares out the descriptors, of which `limit` may be had, when everything is open that is open for good. Each of the
/// `sockets` that are listened on may have a connection at hand that waits for room.
///
/// # Errors
///
/// They are too few for a single client.
pub fn share_descriptors(
    config: &Config,
    limit: usize,
    sockets: usize,
) -> Result<Shares, ProcessError> {
    let stores = config
        .pools
        .iter()
        .filter_map(|pool| pool.persistence.as_ref()?.table())
        .filter(|table| table.store != Store::Memory)
        .count();
    let open = open_descriptors() + sockets + stores;
    let wanted = config.server.max_connections;
    let shares = Shares::of(limit, open, wanted)?;
    if shares.clients < wanted {
        tracing::warn!(
            max_connections = wanted,
            descriptors = limit,
            holding_at_most = shares.clients,
            "server.max_connections needs more file descriptors than this process may have \
             (two for each connection, and some for checks and files); raise LimitNOFILE or ulimit -Hn"
        );
    }
    Ok(shares)
}

/// How many this process has open, or as many as it is likely to have, where the system doesn't tell.
fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(64, Iterator::count)
}

/// A pid file, removed when this is dropped.
pub struct PidFile {
    path: Option<PathBuf>,
}

impl PidFile {
    /// Writes the process's id, if there is a path to write it to.
    ///
    /// # Errors
    ///
    /// The file can't be written.
    pub fn write(path: Option<&Path>) -> Result<Self, ProcessError> {
        let Some(path) = path else {
            return Ok(Self { path: None });
        };
        std::fs::File::create(path)
            .and_then(|mut file| writeln!(file, "{}", std::process::id()))
            .map_err(|source| ProcessError::PidFile {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            path: Some(path.to_owned()),
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(%error, "cannot remove the pid file");
        }
    }
}

/// Becomes the configured user and group, with the user's supplementary groups.
///
/// # Errors
///
/// There is no such user or group, or the change was refused.
pub fn drop_privileges(server: &Server) -> Result<(), ProcessError> {
    let user = server.user.as_deref().map(find_user).transpose()?;
    let group = server.group.as_deref().map(find_group).transpose()?;
    if user.is_none() && group.is_none() {
        return Ok(());
    }
    let change = || {
        let gid = group.or(user.as_ref().map(|user| user.gid));
        if let Some(user) = &user {
            let name =
                std::ffi::CString::new(user.name.as_str()).map_err(|_| nix::Error::EINVAL)?;
            if Uid::effective().is_root() {
                initgroups(&name, gid.unwrap_or(user.gid))?;
            }
        }
        if let Some(gid) = gid {
            setgid(gid)?;
        }
        if let Some(user) = &user {
            setuid(user.uid)?;
        }
        Ok(())
    };
    change().map_err(|source| ProcessError::Privileges {
        user: server.user.clone().unwrap_or_default(),
        group: server.group.clone().unwrap_or_default(),
        source,
    })
}

fn find_user(name: &str) -> Result<User, ProcessError> {
    User::from_name(name)
        .ok()
        .flatten()
        .ok_or_else(|| ProcessError::NoUser(name.to_owned()))
}

fn find_group(name: &str) -> Result<Gid, ProcessError> {
    Group::from_name(name)
        .ok()
        .flatten()
        .map(|group| group.gid)
        .ok_or_else(|| ProcessError::NoGroup(name.to_owned()))
}
