//! What the user that the process has become will miss: told at the start, because it is found out only when it hurts.

use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::files::is_forbidden;
use super::reload::Source;
use crate::config::model::{AccessLogPath, Config, Persistence, Tls, UpstreamTls};

/// Tells of the files that were read or opened before and can't be again. To be called once privileges are dropped; `user`
/// is who this is by now.
pub fn tell(config: &Config, source: Option<&Source>, user: &str) {
    let of_listeners = config.listeners.iter().filter_map(|one| one.tls.as_ref());
    let of_pools = config.pools.iter().filter_map(|one| one.tls.as_ref());
    let secrets = config.pools.iter().filter_map(|pool| {
        let key = pool.persistence.as_ref().and_then(Persistence::signing_key);
        key.flatten().cloned()
    });
    let mut files: Vec<_> = of_listeners
        .flat_map(Tls::files)
        .chain(of_pools.flat_map(UpstreamTls::files))
        .chain(secrets)
        .filter(|file| is_forbidden(file))
        .map(|file| file.display().to_string())
        .collect();
    files.sort();
    files.dedup();
    if !files.is_empty() {
        tracing::warn!(
            files = files.join(", "),
            "user {user} can't read these files: when they change, that counts from the next start on"
        );
    }
    if let Some(source) = source
        && let Err(problems) = (source.reread)()
    {
        for problem in &problems {
            tracing::warn!("as user {user} every reload will be refused: {problem}");
        }
    }
    if let AccessLogPath::File(path) = &config.logging.access_log.path
        && let Some(reason) = log_reason(path)
    {
        tracing::warn!(
            path = %path.display(),
            "user {user} can't open the access log again after it was rotated: {reason}"
        );
    }
    if let Some(path) = &config.server.pid_file
        && !may(directory(path), AccessFlags::W_OK | AccessFlags::X_OK)
    {
        tracing::info!(
            path = %path.display(),
            "user {user} can't remove the pid file at the end: it is emptied instead"
        );
    }
}

fn log_reason(path: &Path) -> Option<String> {
    if !may(path, AccessFlags::W_OK) {
        return Some("the file isn't its to write; chown it".to_owned());
    }
    let directory = directory(path);
    (!may(directory, AccessFlags::W_OK | AccessFlags::X_OK)).then(|| {
        format!(
            "it may not make files in {}; have who rotates it make the new one (logrotate: create)",
            directory.display()
        )
    })
}

fn directory(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn may(path: &Path, how: AccessFlags) -> bool {
    access(path, how).is_ok()
}
