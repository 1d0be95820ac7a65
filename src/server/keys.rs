//! The keys that sign cookies: read once, before privileges are dropped, and kept over reloads.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::config::model::{Config, Persistence, Pool};
use crate::persistence::{KeyError, Keyring, LoadedKeys};

/// A key that can't be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum KeyTrouble {
    /// Of a pool's `secret_file`.
    #[error("pool {pool}: {source}")]
    SecretFile {
        /// The pool.
        pool: String,
        /// What is wrong.
        source: KeyError,
    },
    /// The generated one.
    #[error(
        "cannot keep the key that signs session cookies in {}: {source}; \
         set server.state_dir to a directory that can be written, or persistence.secret_file",
        directory.display()
    )]
    StateDir {
        /// The directory.
        directory: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
}

impl KeyTrouble {
    /// The key that it is written at.
    pub fn path(&self) -> Vec<&str> {
        match self {
            Self::SecretFile { pool, .. } => vec!["pools", pool, "persistence", "secret_file"],
            Self::StateDir { .. } => vec!["server", "state_dir"],
        }
    }
}

/// All of them.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct KeyTroubles(pub Vec<KeyTrouble>);

/// Every key that the configuration names.
#[derive(Default)]
pub struct Keys {
    by_file: HashMap<PathBuf, Keyring>,
    generated: Option<Keyring>,
}

impl Keys {
    /// Reads what a configuration needs. A secret file is read anew, so that a reload takes up a rotated
    /// key; one that can't be read any more (it may be root's, and we aren't root by now) goes on as it
    /// was in `known`, as does the generated key.
    ///
    /// # Errors
    ///
    /// All keys that can't be read or kept.
    pub fn load(config: &Config, known: &Self) -> Result<Self, KeyTroubles> {
        let mut troubles = Vec::new();
        let mut keys = Self {
            by_file: HashMap::new(),
            generated: known.generated.clone(),
        };
        for pool in &config.pools {
            let Some(key) = pool.persistence.as_ref().and_then(Persistence::signing_key) else {
                continue;
            };
            match key {
                Some(path) if !keys.by_file.contains_key(path) => {
                    let keyring = match (Keyring::load(path), known.by_file.get(path)) {
                        (Ok(loaded), _) => heeded(loaded, path),
                        // What is in it is wrong: a reload has to say so, not to go on with half of it.
                        (Err(error @ KeyError::Read { .. }), Some(before)) => {
                            tracing::warn!(path = %path.display(), %error, "keeping the secret as it was");
                            before.clone()
                        }
                        (Err(source), _) => {
                            troubles.push(KeyTrouble::SecretFile {
                                pool: pool.name.to_string(),
                                source,
                            });
                            continue;
                        }
                    };
                    keys.by_file.insert(path.clone(), keyring);
                }
                None if keys.generated.is_none() => {
                    let directory = &config.server.state_dir;
                    match Keyring::load_or_create(directory) {
                        Ok(loaded) => keys.generated = Some(heeded(loaded, directory)),
                        Err(source) => {
                            troubles.push(KeyTrouble::StateDir {
                                directory: directory.clone(),
                                source,
                            });
                            break;
                        }
                    }
                }
                _ => {}
            }
        }
        if troubles.is_empty() {
            Ok(keys)
        } else {
            Err(KeyTroubles(troubles))
        }
    }

    /// The keys that sign a pool's cookies, if it has any.
    pub fn of(&self, pool: &Pool) -> Option<&Keyring> {
        match pool.persistence.as_ref()?.signing_key()? {
            Some(path) => self.by_file.get(path),
            None => self.generated.as_ref(),
        }
    }
}

fn heeded(loaded: LoadedKeys, place: &Path) -> Keyring {
    for warning in &loaded.warnings {
        tracing::warn!(path = %place.display(), "{warning}");
    }
    loaded.keyring
}
