//! The process towards its operating system: file descriptors, pid file, privileges.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Group, Uid, User, getgrouplist, initgroups, setgid, setgroups, setuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities,
};

use super::pid_file::PidFileError;
use crate::config::model::{Config, Server, Store};
use crate::descriptors::{Shares, TooFew};

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// File descriptors.
    #[error(transparent)]
    Descriptors(#[from] TooFew),
    /// The pid file.
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    /// There is no such user.
    #[error("there is no user {0:?} on this machine")]
    NoUser(String),
    /// There is no such group.
    #[error("there is no group {0:?} on this machine")]
    NoGroup(String),
    /// A number that no user has, and no group beside it.
    #[error(
        "no user on this machine has the number {0}, so that server.group has to be given as well"
    )]
    NoGroupOf(String),
    /// The change of user or group was refused.
    #[error("cannot become user {user:?}: {source}")]
    Privileges {
        /// The user wanted.
        user: String,
        /// What the system said.
        source: nix::Error,
    },
}

impl ProcessError {
    /// The key below `server` that it is about.
    pub fn key(&self) -> &'static str {
        match self {
            Self::PidFile(_) => "pid_file",
            Self::NoGroup(_) => "group",
            _ => "user",
        }
    }
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
    tell_too_few(wanted, shares);
    Ok(shares)
}

/// Warns if so many connections can't be had with these descriptors.
pub fn tell_too_few(wanted: usize, shares: Shares) {
    if shares.clients < wanted {
        tracing::warn!(
            max_connections = wanted,
            descriptors = shares.limit,
            holding_at_most = shares.clients,
            "server.max_connections needs more file descriptors than this process may have \
             (two for each connection, and some for checks and files); raise LimitNOFILE or ulimit -Hn"
        );
    }
}

/// How many this process has open, or as many as it is likely to have, where the system doesn't tell.
fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(64, Iterator::count)
}

/// Who the process is to become after binding.
#[derive(Debug, Clone)]
pub struct Identity {
    /// As it is configured.
    pub name: String,
    /// `None` = the user stays.
    uid: Option<Uid>,
    gid: Gid,
    /// The name that supplementary groups are known by; `None` = there are none.
    known_as: Option<CString>,
}

impl Identity {
    /// Whether this process can become that one.
    ///
    /// # Errors
    ///
    /// It can't; why, in words.
    pub fn check(&self) -> Result<(), String> {
        let now = Uid::effective();
        let is_same_user = self.uid.is_none_or(|uid| uid == now);
        if now.is_root() || is_same_user && self.gid == Gid::effective() {
            Ok(())
        } else {
            Err(format!(
                "cannot become user {:?}: only root can, and this is user {now}; start as root, or as that user with null here",
                self.name
            ))
        }
    }

    /// Whether this is the user of that number.
    pub fn is_uid(&self, uid: u32) -> bool {
        self.uid.is_some_and(|own| own.as_raw() == uid)
    }

    /// Whether it may write in a directory, as far as its mode tells.
    ///
    /// # Errors
    ///
    /// It may not, or the directory can't be looked at.
    pub fn may_write(&self, directory: &Path) -> Result<(), String> {
        let found = std::fs::metadata(directory)
            .map_err(|error| format!("{} can't be looked at: {error}", directory.display()))?;
        let uid = self.uid.unwrap_or_else(Uid::effective);
        let groups = self.known_as.as_ref().map_or_else(Vec::new, |name| {
            getgrouplist(name, self.gid).unwrap_or_default()
        });
        let is_in =
            |gid: u32| self.gid.as_raw() == gid || groups.iter().any(|one| one.as_raw() == gid);
        let bits = if found.uid() == uid.as_raw() {
            found.mode() >> 6
        } else if is_in(found.gid()) {
            found.mode() >> 3
        } else {
            found.mode()
        };
        if uid.is_root() || bits & 0o3 == 0o3 {
            Ok(())
        } else {
            Err(format!(
                "user {} may not write in {}",
                self.name,
                directory.display()
            ))
        }
    }

    /// Makes the access log's file, if it isn't there, as one of that user's, so that it can be opened again after a
    /// rotation. One that is there stays whose it is.
    ///
    /// # Errors
    ///
    /// It can't be made.
    pub fn make_log(&self, path: &Path) -> io::Result<()> {
        let made = OpenOptions::new()
            .append(true)
            // Of what is there already nobody knows what else it may be.
            .create_new(true)
            .mode(0o640)
            .open(path);
        match made {
            Ok(file) => {
                std::os::unix::fs::fchown(file, self.uid.map(Uid::as_raw), Some(self.gid.as_raw()))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Gives it a file.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn own(&self, path: &Path) -> io::Result<()> {
        let gid = Some(self.gid.as_raw());
        std::os::unix::fs::chown(path, self.uid.map(Uid::as_raw), gid)
    }

    /// Becomes it, with the user's supplementary groups. What it may do to the network it keeps if that is wanted, for this
    /// thread and those that it makes.
    ///
    /// # Errors
    ///
    /// The change was refused.
    pub fn assume(&self, keeps_network: bool) -> Result<(), ProcessError> {
        if keeps_network {
            outlast_users(true);
        }
        let change = || {
            if Uid::effective().is_root() && self.uid.is_some() {
                match &self.known_as {
                    Some(name) => initgroups(name, self.gid)?,
                    None => setgroups(&[self.gid])?,
                }
            }
            setgid(self.gid)?;
            self.uid.map_or(Ok(()), setuid)
        };
        change().map_err(|source| ProcessError::Privileges {
            user: self.name.clone(),
            source,
        })?;
        if keeps_network {
            keep_network_alone();
            outlast_users(false);
        }
        Ok(())
    }
}

/// Whether capabilities outlast a change of the user (capabilities(7)). Where it can't be had, what is missing later is told
/// then.
fn outlast_users(outlast: bool) {
    if let Err(error) = set_keep_capabilities(outlast) {
        tracing::warn!(%error, "cannot keep CAP_NET_ADMIN");
    }
}

/// Gives up all capabilities but `CAP_NET_ADMIN`, if there is that.
fn keep_network_alone() {
    let kept = capabilities(None).and_then(|now| {
        let network = now.permitted & CapabilitySet::NET_ADMIN;
        let sets = CapabilitySets {
            effective: network,
            permitted: network,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets)
    });
    if let Err(error) = kept {
        tracing::warn!(%error, "cannot keep CAP_NET_ADMIN");
    }
}

/// Who the configuration wants the process to become; `None` = it stays who it is. Users and groups go by their names or,
/// if nobody is called that, by their numbers.
///
/// # Errors
///
/// There is no such user or group.
pub fn identity(server: &Server) -> Result<Option<Identity>, ProcessError> {
    let group = server.group.as_deref().map(find_group).transpose()?;
    let Some(name) = &server.user else {
        return Ok(group.map(|gid| Identity {
            name: Uid::effective().to_string(),
            uid: None,
            gid,
            known_as: None,
        }));
    };
    let number = name.parse().ok().map(Uid::from_raw);
    let by_number = || number.and_then(|uid| User::from_uid(uid).ok().flatten());
    let user = User::from_name(name).ok().flatten().or_else(by_number);
    let (uid, gid, known_as) = match (user, number, group) {
        (Some(user), _, group) => (
            user.uid,
            group.unwrap_or(user.gid),
            CString::new(user.name).ok(),
        ),
        (None, Some(uid), Some(gid)) => (uid, gid, None),
        (None, Some(_), None) => return Err(ProcessError::NoGroupOf(name.clone())),
        (None, None, _) => return Err(ProcessError::NoUser(name.clone())),
    };
    Ok(Some(Identity {
        name: name.clone(),
        uid: Some(uid),
        gid,
        known_as,
    }))
}

/// All that is wrong with the user and the group.
pub fn unknown(server: &Server) -> Vec<ProcessError> {
    let alone = Server {
        group: None,
        ..server.clone()
    };
    let of_group = identity(server).err();
    let is_told = !matches!(of_group, Some(ProcessError::NoGroup(_)));
    let of_user = identity(&alone).err().filter(|error| {
        // A number without a user lacks a group only here.
        !is_told && matches!(error, ProcessError::NoUser(_))
    });
    of_group.into_iter().chain(of_user).collect()
}

fn find_group(name: &str) -> Result<Gid, ProcessError> {
    let known = Group::from_name(name).ok().flatten().map(|group| group.gid);
    known
        .or_else(|| name.parse().ok().map(Gid::from_raw))
        .ok_or_else(|| ProcessError::NoGroup(name.to_owned()))
}
