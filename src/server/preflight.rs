//! What of this machine would stop a start, or spoil what comes after it: looked at without touching anything.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use nix::unistd::{AccessFlags, access};
use socket2::{Domain, Protocol, Socket, Type};

use super::occupant;
use super::process::{self, Identity, ProcessError};
use super::sources;
use crate::acme;
use crate::admin::Tokens;
use crate::config::model::{AccessLogPath, Acme, AdminBind, Config, Persistence, UPGRADE_SOCKET};
use crate::config::{Loaded, Problem, refuse_pipe};
use crate::persistence::Keyring;
use crate::tls::certificate;

/// What was found.
#[derive(Default)]
pub struct Findings {
    /// With these nothing starts.
    pub problems: Vec<Problem>,
    /// It starts, and won't do all that is wanted of it.
    pub errors: Vec<Problem>,
    /// What may become a problem.
    pub warnings: Vec<Problem>,
}

/// Looks at users, directories and files that `run` needs.
pub fn examine(loaded: &Loaded) -> Findings {
    let mut found = Findings::default();
    let config = &loaded.config;
    let identity = process::identity(&config.server).unwrap_or_default();
    let unknown = process::unknown(&config.server).into_iter();
    let place = |error: ProcessError| loaded.problem(&["server", error.key()], error.to_string());
    found.problems.extend(unknown.map(place));
    if let Some(identity) = &identity
        && let Err(reason) = identity.check()
    {
        found
            .problems
            .push(loaded.problem(&["server", "user"], reason));
    }
    if let AccessLogPath::File(path) = &config.logging.access_log.path
        && let Err(reason) = may_write_file(path)
    {
        let at = ["logging", "access_log", "path"];
        found.problems.push(loaded.problem(&at, reason));
    }
    if let Some(path) = &config.server.pid_file
        && let Err(reason) = may_write_file(path)
    {
        found
            .problems
            .push(loaded.problem(&["server", "pid_file"], reason));
    }
    if needs_state(config)
        && let Err(reason) = may_keep_key(&config.server.state_dir)
    {
        found
            .problems
            .push(loaded.problem(&["server", "state_dir"], reason));
    }
    if let Some(admin) = &config.admin
        && let AdminBind::Unix(path) = &admin.bind
        && let Err(reason) = may_bind_unix(path)
    {
        found
            .problems
            .push(loaded.problem(&["admin", "bind"], reason));
    }
    // The one by default is done without where it can't be had.
    if let Some(path) = &config.server.upgrade_socket
        && path != Path::new(UPGRADE_SOCKET)
        && let Err(reason) = may_bind_unix(path)
    {
        let at = ["server", "upgrade_socket"];
        found.problems.push(loaded.problem(&at, reason));
    }
    storage(loaded, identity.as_ref(), &mut found);
    found
}

/// Looks whether the addresses of all listeners can be had, and those that servers are to be connected to from. An instance of the same program that has one already is taken
/// for the one that this configuration runs.
pub fn addresses(loaded: &Loaded) -> Findings {
    let mut found = Findings {
        warnings: sources::missing(loaded),
        ..Findings::default()
    };
    let config = &loaded.config;
    let mut look = |path: &[&str], address: SocketAddr| match may_bind(address) {
        Ok(None) => {}
        Ok(Some(doubt)) => found.warnings.push(loaded.problem(path, doubt)),
        Err(reason) => found.problems.push(loaded.problem(path, reason)),
    };
    if let Some(admin) = &config.admin
        && let AdminBind::Tcp(address) = admin.bind
    {
        look(&["admin", "bind"], address);
    }
    for listener in &config.listeners {
        for (index, address) in listener.bind.iter().enumerate() {
            let index = index.to_string();
            let path = ["listeners", &*listener.name, "bind", &*index];
            let path = if listener.bind.len() > 1 {
                path.as_slice()
            } else {
                path.get(..3).unwrap_or_default()
            };
            look(path, *address);
        }
    }
    found
}

/// What would stop a reload, looked at by the process that runs: once it has become another user, it can't tell what files of
/// root's are like.
pub fn of_reload(loaded: &Loaded) -> Vec<Problem> {
    let mut found = addresses(loaded).problems;
    if loaded.config.server.user.is_none() {
        found.extend(examine(loaded).problems);
    }
    found
}

/// Reads the file of the admin listener's tokens.
pub fn tokens(loaded: &Loaded) -> Option<Problem> {
    let path = loaded.config.admin.as_ref()?.token_file.as_ref()?;
    let error = Tokens::load(path).err()?;
    Some(loaded.problem(&["admin", "token_file"], error.to_string()))
}

fn needs_state(config: &Config) -> bool {
    config.pools.iter().any(|pool| {
        let key = pool.persistence.as_ref().and_then(Persistence::signing_key);
        matches!(key, Some(None))
    })
}

/// Whether a file can be written, and made if it isn't there.
fn may_write_file(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(file) if file.is_dir() => Err(format!(
            "{} is a directory; a file is wanted",
            path.display()
        )),
        Ok(_) => may(path, AccessFlags::W_OK)
            .map_err(|error| format!("{} can't be written: {error}", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => may_make_in(parent(path)),
        Err(error) => Err(format!("{} can't be written: {error}", path.display())),
    }
}

/// Whether something can be made in a directory that is there.
fn may_make_in(directory: &Path) -> Result<(), String> {
    let shown = directory.display();
    match fs::metadata(directory) {
        Ok(found) if !found.is_dir() => Err(format!("{shown} is no directory")),
        Ok(_) => may(directory, AccessFlags::W_OK | AccessFlags::X_OK)
            .map_err(|error| format!("nothing can be written in {shown}: {error}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("there is no directory {shown}"))
        }
        Err(error) => Err(format!("{shown} can't be looked at: {error}")),
    }
}

/// Whether the generated key is there, or can be made.
fn may_keep_key(directory: &Path) -> Result<(), String> {
    match Keyring::load_generated(directory) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => may_make_in(existing(directory)),
        Err(error) => Err(error.to_string()),
    }
    .map_err(|reason| {
        format!("the key that signs session cookies can't be kept: {reason}; set persistence.secret_file, or a directory that can be written")
    })
}

fn may_bind_unix(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::FileTypeExt as _;
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => may_make_in(parent(path)),
        Ok(_) => Err(format!("{} is there and is no socket", path.display())),
        Err(_) => may_make_in(parent(path)),
    }
}

/// Whether an address can be bound. With a doubt if somebody has it who can't be made out.
fn may_bind(address: SocketAddr) -> Result<Option<String>, String> {
    let bound = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )
    .and_then(|socket| {
        // As listeners do; nothing is listened on, so that nobody connects to this.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())
    });
    let Err(error) = bound else { return Ok(None) };
    if error.kind() != io::ErrorKind::AddrInUse {
        return Err(format!(
            "cannot listen on {address}: {}",
            crate::listen::words(&error)
        ));
    }
    match occupant::of(address) {
        Some(occupant) if occupant.is_our_kind => Ok(None),
        Some(occupant) => Err(format!(
            "cannot listen on {address}: {} (pid {}) has it",
            occupant.name, occupant.pid
        )),
        None => Ok(Some(format!(
            "{address} is in use by a process that can't be made out from here; that is as it should be only if it is the running instance"
        ))),
    }
}

/// The files that ACME can't do without, as far as they are no good: the keys below `tls`, and why.
pub fn unusable_for_acme(settings: &Acme) -> Vec<(Vec<&'static str>, String)> {
    let mut found = Vec::new();
    if let Some(account) = &settings.external_account
        && let Err(reason) = acme::read_external_key(&account.hmac_key_file)
    {
        let message = format!("{}: {reason}", account.hmac_key_file.display());
        found.push((vec!["acme", "external_account", "hmac_key_file"], message));
    }
    if let Some(ca) = &settings.ca
        && let Err(message) = read_authorities(ca)
    {
        found.push((vec!["acme", "ca"], message));
    }
    found
}

fn read_authorities(path: &Path) -> Result<(), String> {
    refuse_pipe(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let read = certificate::read_ca_bundle(path);
    read.map(drop).map_err(|finding| finding.to_string())
}

/// Where certificates by ACME are kept has to be writable to who works with it.
fn storage(loaded: &Loaded, identity: Option<&Identity>, found: &mut Findings) {
    for listener in &loaded.config.listeners {
        let Some(acme) = listener.tls.as_ref().and_then(|tls| tls.acme.as_ref()) else {
            continue;
        };
        let directory = existing(&acme.storage);
        let writable = match identity {
            Some(identity) => identity.may_write(directory),
            None => may_make_in(directory),
        };
        if let Err(reason) = writable {
            let path = ["listeners", &*listener.name, "tls", "acme", "storage"];
            let message = format!(
                "certificates can't be kept in {}: {reason}",
                acme.storage.display()
            );
            found.errors.push(loaded.problem(&path, message));
        }
    }
}

fn may(path: &Path, how: AccessFlags) -> Result<(), io::Error> {
    access(path, how).map_err(io::Error::from)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The directory itself or, if it isn't there, what it would be made in.
fn existing(directory: &Path) -> &Path {
    let mut here = directory;
    while !here.exists() {
        let above = parent(here);
        if above == here {
            break;
        }
        here = above;
    }
    here
}
