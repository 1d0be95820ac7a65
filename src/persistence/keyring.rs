//! The secrets that sign session cookies, from a file or made at the first start.
//!
//! A file holds one secret a line: any text of at least 16 bytes, spaces around it not counted. Blank
//! lines and lines that begin with `#` are ignored. The first secret signs, all of them verify, so a
//! secret is replaced by putting the new one on top and taking the old one out when its cookies are
//! gone.
//!
//! A secret is never used as a key itself. Keys are derived from it with HKDF (RFC 5869) and a label
//! for each purpose, so that no two purposes, and no two pools, share a key.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac as _};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use sha2::Sha256;

use crate::config::refuse_pipe;
use crate::headers::trim;

/// HMAC-SHA256 (RFC 2104) with the key's state computed already; clone it to use it.
pub(super) type HmacSha256 = Hmac<Sha256>;

/// Shortest secret accepted, in bytes.
const MIN_SECRET: usize = 16;
/// Most secrets accepted; each one more is one more key that a token may name.
const MAX_SECRETS: usize = 16;
/// Largest secret file accepted, in bytes.
const MAX_FILE: u64 = 64 * 1024;
/// Name of the generated secret file in the state directory.
const GENERATED: &str = "cookie.key";
/// Salt of the extraction step (RFC 5869 section 2.2).
const SALT: &[u8] = b"equipoise session cookie";

/// At least one secret. The first signs, all verify.
#[derive(Clone)]
pub struct Keyring {
    secrets: Vec<Secret>,
}

impl Keyring {
    /// Reads secrets, one a line.
    ///
    /// # Errors
    /// No secret in it, one that is too short, or more than 16.
    pub fn parse(text: &[u8]) -> Result<Self, SecretError> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut lines: Vec<&[u8]> = Vec::new();
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = trim(line.strip_suffix(b"\r").unwrap_or(line));
            // A file system that lost what was written gives zeros, which everybody could guess.
            let is_blank = line.iter().all(|byte| *byte == 0);
            if is_blank || line.starts_with(b"#") || lines.contains(&line) {
                continue;
            }
            if line.len() < MIN_SECRET {
                return Err(SecretError::TooShort {
                    line: index + 1,
                    length: line.len(),
                });
            }
            if lines.len() == MAX_SECRETS {
                return Err(SecretError::TooMany);
            }
            lines.push(line);
        }
        if lines.is_empty() {
            return Err(SecretError::Empty);
        }
        Ok(Self {
            secrets: lines.into_iter().map(Secret::extract).collect(),
        })
    }

    /// Reads the secrets in the file at `path`.
    ///
    /// # Errors
    /// The file can't be read, or [`Keyring::parse`] refuses what is in it.
    pub fn load(path: &Path) -> Result<LoadedKeys, KeyError> {
        read(path)
            .map_err(|source| KeyError::Read {
                path: path.to_owned(),
                source,
            })
            .and_then(|(text, mode)| {
                let keyring = Self::parse(&text).map_err(|source| KeyError::Secret {
                    path: path.to_owned(),
                    source,
                })?;
                Ok(LoadedKeys {
                    keyring,
                    warnings: warnings(path, mode),
                })
            })
    }

    /// Reads the generated secret in `state_dir`, making both at the first start.
    ///
    /// Processes that do this at the same time end with the same secret: it is written to a file of
    /// its own and then given its name with `link(2)`, which only one of them can do.
    ///
    /// A file without a secret, as a crash may leave it, is set aside and made anew: nobody wrote it, and nothing that it
    /// signed is lost.
    ///
    /// # Errors
    /// The directory or file can't be made or read, or [`Keyring::parse`] refuses what is in it.
    pub fn load_or_create(state_dir: &Path) -> Result<LoadedKeys, KeyError> {
        if let Some(keys) = Self::load_generated(state_dir)? {
            return Ok(keys);
        }
        let path = state_dir.join(GENERATED);
        let failed = |source| KeyError::Create {
            path: path.clone(),
            source,
        };
        let aside = set_aside(state_dir, &path).map_err(failed)?;
        create(state_dir, &path).map_err(failed)?;
        let mut loaded = Self::load(&path)?;
        loaded
            .warnings
            .extend(aside.map(|aside| KeyWarning::SetAside {
                path: path.clone(),
                aside,
            }));
        Ok(loaded)
    }

    /// Reads the generated secret in `state_dir`; `None` = there is none yet, or a file that a crash left empty.
    ///
    /// # Errors
    /// The file can't be read, or [`Keyring::parse`] refuses what is in it.
    pub fn load_generated(state_dir: &Path) -> Result<Option<LoadedKeys>, KeyError> {
        match Self::load(&state_dir.join(GENERATED)) {
            Err(KeyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(KeyError::Secret {
                source: SecretError::Empty,
                ..
            }) => Ok(None),
            done => done.map(Some),
        }
    }

    /// One generator of keys a secret, the signing one first.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.secrets.iter()
    }
}

impl fmt::Debug for Keyring {
    /// Says how many there are and nothing else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("secrets", &self.secrets.len())
            .finish()
    }
}

/// Secrets and what an operator should know about the file they came from.
#[derive(Debug, Clone)]
pub struct LoadedKeys {
    /// The secrets.
    pub keyring: Keyring,
    /// What to tell the operator.
    pub warnings: Vec<KeyWarning>,
}

/// Something wrong with a secret file that does not stop its use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyWarning {
    /// Users other than the owner and its group can read or change the file.
    #[error(
        "{} can be read or changed by every user (mode {mode:04o}): whoever reads it can forge session cookies; chmod 600 it",
        path.display()
    )]
    OpenToAll {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The generated file held nothing.
    #[error(
        "{} held no secret, as after a crash; it is {} now, and a new secret is made: cookies that were signed before count no more",
        path.display(),
        aside.display()
    )]
    SetAside {
        /// The file.
        path: PathBuf,
        /// What it is called now.
        aside: PathBuf,
    },
}

/// Why secrets could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is there but can't be read, or is not there.
    #[error("cannot read the cookie secret {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The generated file, or its directory, can't be made.
    #[error("cannot create the cookie secret {}: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file can be read but its text is no list of secrets.
    #[error("{}: {source}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// What is wrong with the text.
        source: SecretError,
    },
}

/// What is wrong with the text of a secret file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing but blank lines and comments.
    #[error(
        "holds no secret: put one on a line of its own, `openssl rand -hex 32` makes a good one"
    )]
    Empty,
    /// A line that could be guessed.
    #[error("line {line}: a secret of {length} bytes is too short, it takes at least {MIN_SECRET}")]
    TooShort {
        /// The line's number, the first is 1.
        line: usize,
        /// Bytes it has.
        length: usize,
    },
    /// More than there is a use for.
    #[error("holds more than {MAX_SECRETS} secrets: take out those whose cookies have expired")]
    TooMany,
}

/// The pseudorandom key of RFC 5869 that a secret gives.
#[derive(Clone)]
pub(super) struct Secret(HmacSha256);

impl Secret {
    fn extract(secret: &[u8]) -> Self {
        let mut mac = keyed(SALT);
        mac.update(secret);
        Self(keyed(&mac.finalize().into_bytes()))
    }

    /// The key for `purpose` in `scope`: the first block of HKDF-Expand (RFC 5869 section 2.3).
    /// `purpose` is one of our own labels and has no zero byte in it.
    pub(super) fn derive(&self, purpose: &str, scope: &str) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(scope.as_bytes());
        mac.update(&[1]);
        mac.finalize().into_bytes().into()
    }
}

/// HMAC-SHA256 under `key`.
pub(super) fn keyed(key: &[u8]) -> HmacSha256 {
    // HMAC takes a key of any length, so the error can't occur; an all-zero key of the block's size
    // would be the result, not a crash.
    HmacSha256::new_from_slice(key).unwrap_or_else(|_| HmacSha256::new(&[0; 64].into()))
}

/// The file's bytes and its permission bits.
fn read(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    refuse_pipe(path)?;
    let file = File::open(path)?;
    let mode = file.metadata()?.mode() & 0o7777;
    let mut text = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {MAX_FILE} bytes, which is no secret file"),
        ));
    }
    Ok((text, mode))
}

fn warnings(path: &Path, mode: u32) -> Vec<KeyWarning> {
    if mode & 0o006 == 0 {
        return Vec::new();
    }
    vec![KeyWarning::OpenToAll {
        path: path.to_owned(),
        mode,
    }]
}

/// Renames `path` in `dir` if it still holds no secret, and gives its new name. One process at a time, so that none
/// renames what another has just made anew.
fn set_aside(dir: &Path, path: &Path) -> io::Result<Option<PathBuf>> {
    let lock = match File::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    lock.lock()?;
    let (text, _) = match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    if !matches!(Keyring::parse(&text), Err(SecretError::Empty)) {
        return Ok(None);
    }
    let aside = path.with_extension("key.empty");
    fs::rename(path, &aside)?;
    Ok(Some(aside))
}

/// Makes `path` in `dir` with a new secret, unless someone else does it first.
fn create(dir: &Path, path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let temporary = dir.join(format!(".{GENERATED}.{}", random_hex::<8>()?));
    let made = write_new(&temporary, &format!("{}\n", random_hex::<32>()?)).and_then(|()| {
        match fs::hard_link(&temporary, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            done => done,
        }
    });
    let removed = fs::remove_file(&temporary);
    made.and(removed)?;
    // The name itself has to outlast a power failure, or every session is rebound after it.
    File::open(dir)?.sync_all()
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// `N` bytes of the kernel's randomness in hexadecimal.
fn random_hex<const N: usize>() -> io::Result<String> {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests;
