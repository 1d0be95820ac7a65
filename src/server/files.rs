//! The files of a configuration that may be secret: read before privileges are dropped, and again at each reload.
//!
//! What can't be read any more because it is root's, and the process isn't root by now, goes on as it was.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::door::{Door, DoorFiles};
use super::keys::Keys;
use super::links::Links;
use super::secured::{self, Secured};
use crate::config::{Loaded, Problems};
use crate::tls::Terminator;

/// What goes on being used from reload to reload.
pub struct Kept {
    /// What signs cookies.
    pub keys: Keys,
    /// How servers are spoken to.
    pub links: Links,
}

/// What was read.
pub struct Files {
    /// What signs cookies.
    pub keys: Keys,
    /// How servers are spoken to.
    pub links: Links,
    /// What listeners are to serve; none for those that go on with what they have.
    pub secured: Secured,
    /// What the admin listener is to have.
    pub door: DoorFiles,
}

/// Reads everything anew. `terminator` gives who ends TLS of a listener by now, `door` is the admin listener.
///
/// # Errors
///
/// Everything that can't be used, where it is written.
pub fn read<'a>(
    next: &Loaded,
    known: &Kept,
    door: &Door,
    terminator: impl Fn(&Arc<str>) -> Option<&'a Terminator>,
) -> Result<Files, Problems> {
    let config = &next.config;
    let mut problems = Problems::default();
    let keys = Keys::load(config, &known.keys).map_err(|troubles| {
        for trouble in troubles.0 {
            problems.push(next.problem(&trouble.path(), trouble.to_string()));
        }
    });
    let links = Links::load(config, &known.links).map_err(|troubles| {
        for trouble in troubles.0 {
            problems.push(next.problem(&trouble.path(), trouble.source.to_string()));
        }
    });
    let door = DoorFiles::load(config, Some(door)).map_err(|troubles| {
        for trouble in troubles {
            problems.push(next.problem(&trouble.path(), trouble.message()));
        }
    });
    let mut secured = Secured::new();
    let now = SystemTime::now();
    for listener in &config.listeners {
        let Some(settings) = &listener.tls else {
            continue;
        };
        match secured::load_one(settings, now) {
            Ok(loaded) => {
                secured.insert(Arc::clone(&listener.name), loaded);
            }
            Err(troubles) => {
                let unreadable = settings.files().into_iter().find(|file| is_forbidden(file));
                let serves_it = terminator(&listener.name)
                    .is_some_and(|terminator| terminator.is_configured_as(settings));
                if let (Some(file), true) = (unreadable, serves_it) {
                    tracing::warn!(
                        listener = &*listener.name,
                        file = %file.display(),
                        "the file can't be read (permission denied); keeping this listener's certificates and keys as they are"
                    );
                    continue;
                }
                for trouble in troubles {
                    let path: Vec<&str> = ["listeners", &*listener.name, "tls"]
                        .into_iter()
                        .chain(trouble.path.iter().map(String::as_str))
                        .collect();
                    problems.push(next.problem(&path, trouble.message.clone()));
                }
            }
        }
    }
    match (keys, links, door) {
        (Ok(keys), Ok(links), Ok(door)) if problems.is_empty() => Ok(Files {
            keys,
            links,
            secured,
            door,
        }),
        _ => Err(problems),
    }
}

/// Whether a file is there and not ours to read.
pub fn is_forbidden(path: &Path) -> bool {
    // A pipe must not keep us waiting.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path);
    opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}
