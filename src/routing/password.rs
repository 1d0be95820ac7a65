//! Who may, by name and password (RFC 7617), against the bcrypt hashes of an htpasswd file.
//!
//! A hash takes tens of milliseconds of a core on purpose. So it is computed on a thread of its own, for few requests
//! at once over the whole process, and few wait; whoever comes then is [`Verdict::Busy`]. What came out is remembered
//! for a while by a keyed digest of name, password and hash, so that the further requests of a browser cost a
//! microsecond. Passwords are remembered nowhere.
//!
//! Nothing tells which names exist: for a name that doesn't, the password is held against the hash of somebody else,
//! the same one each time, and what comes out is thrown away.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, Mac};
use http::{HeaderValue, header};
use sha2::Sha256;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::model;
use crate::headers::Fields;
use crate::recent::Recent;

/// Requests of a route that wait for a hash at most.
const WAITING: usize = 64;

/// How long they wait at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many that were right are remembered, and for how long.
const RIGHT: (usize, Duration) = (10_000, Duration::from_secs(300));

/// How many that were wrong are remembered, and for how long: who repeats itself costs one hash.
const WRONG: (usize, Duration) = (1_000, Duration::from_secs(60));

/// The longest credentials, in base64. bcrypt looks at the first 72 bytes of a password alone.
const LONGEST: usize = 1024;

/// Hashes computed at once. Half of the cores are left to the traffic.
static WORKERS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new((cores / 2).max(1)))
});

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is from this user.
    Granted(Arc<str>),
    /// No credentials, or wrong ones.
    Denied,
    /// Too many passwords are being tried: nobody knows yet.
    Busy,
}

/// The users of a route.
pub struct Passwords {
    settings: model::BasicAuth,
    challenge: HeaderValue,
    /// Hashes by name.
    users: HashMap<Arc<str>, Arc<str>>,
    /// The hashes again, for those who are no users.
    decoys: Vec<Arc<str>>,
    seed: RandomState,
    digests: Hmac<Sha256>,
    begun: Instant,
    right: Recent<[u64; 2]>,
    wrong: Recent<[u64; 2]>,
    waiting: Semaphore,
}

/// Credentials about which nothing is remembered.
struct Attempt {
    digest: [u64; 2],
    /// `None`: no user.
    user: Option<Arc<str>>,
    hash: Arc<str>,
    password: Vec<u8>,
}

impl Passwords {
    /// The users as configured; nothing is remembered yet.
    pub fn new(settings: &model::BasicAuth) -> Arc<Self> {
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", settings.realm);
        // As long as the digest's blocks, the one length that can't be wrong.
        let key: [u8; 64] = rand::random();
        let users: HashMap<Arc<str>, Arc<str>> = settings
            .users
            .iter()
            .map(|(name, hash)| (name.as_str().into(), hash.as_str().into()))
            .collect();
        Arc::new(Self {
            settings: settings.clone(),
            challenge: HeaderValue::from_str(&challenge)
                .unwrap_or(HeaderValue::from_static("Basic realm=\"restricted\"")),
            decoys: users.values().cloned().collect(),
            users,
            seed: RandomState::new(),
            digests: Hmac::new(&key.into()),
            begun: Instant::now(),
            right: Recent::new(RIGHT.0),
            wrong: Recent::new(WRONG.0),
            waiting: Semaphore::new(WAITING),
        })
    }

    /// What it was made of: as long as that is the same, a reload may keep it and what it remembers.
    pub fn settings(&self) -> &model::BasicAuth {
        &self.settings
    }

    /// What browsers show.
    pub fn realm(&self) -> &str {
        &self.settings.realm
    }

    /// The WWW-Authenticate field for those who are denied.
    pub fn challenge(&self) -> &HeaderValue {
        &self.challenge
    }

    /// Whose request it is.
    pub async fn check(self: &Arc<Self>, headers: &Fields) -> Verdict {
        let attempt = match self.recall(headers) {
            Ok(verdict) => return verdict,
            Err(attempt) => attempt,
        };
        let Ok(_waits) = self.waiting.try_acquire() else {
            return Verdict::Busy;
        };
        let worker = timeout(PATIENCE, Arc::clone(&WORKERS).acquire_owned()).await;
        let Ok(Ok(worker)) = worker else {
            return Verdict::Busy;
        };
        // A browser asks for several things at once: one of them may have been answered meanwhile.
        if let Some(verdict) = self.remembered(attempt.digest, attempt.user.as_ref()) {
            return verdict;
        }
        let this = Arc::clone(self);
        // It ends, and is remembered, even if nobody waits for it any more.
        let tried = spawn_blocking(move || {
            let _worker = worker;
            let fits = bcrypt::verify(&attempt.password, &attempt.hash).unwrap_or(false);
            let user = attempt.user.filter(|_| fits);
            this.remember(attempt.digest, user.is_some());
            user
        });
        match tried.await {
            Ok(Some(user)) => Verdict::Granted(user),
            Ok(None) => Verdict::Denied,
            Err(_) => Verdict::Busy,
        }
    }

    /// The verdict, if it takes no hash.
    fn recall(&self, headers: &Fields) -> Result<Verdict, Attempt> {
        let mut buffer = [0; LONGEST];
        let Some((name, password)) = credentials(headers, &mut buffer) else {
            return Ok(Verdict::Denied);
        };
        let known = std::str::from_utf8(name)
            .ok()
            .and_then(|name| self.users.get_key_value(name));
        let (user, hash) = if let Some((user, hash)) = known {
            (Some(user), hash)
        } else if let Some(hash) = self.decoy(name) {
            (None, hash)
        } else {
            return Ok(Verdict::Denied);
        };
        let digest = self.digest(name, password);
        self.remembered(digest, user).ok_or_else(|| Attempt {
            digest,
            user: user.cloned(),
            hash: Arc::clone(hash),
            password: password.to_vec(),
        })
    }

    /// The hash that somebody's password is held against who is no user.
    fn decoy(&self, name: &[u8]) -> Option<&Arc<str>> {
        let count = u64::try_from(self.decoys.len()).ok()?;
        let at = self.seed.hash_one(name).checked_rem(count)?;
        self.decoys.get(usize::try_from(at).ok()?)
    }

    fn digest(&self, name: &[u8], password: &[u8]) -> [u64; 2] {
        let mut digest = self.digests.clone();
        digest.update(name);
        // No name has one.
        digest.update(b":");
        digest.update(password);
        let bytes: [u8; 32] = digest.finalize().into_bytes().into();
        let mut halves = bytes
            .as_chunks::<8>()
            .0
            .iter()
            .copied()
            .map(u64::from_le_bytes);
        [
            halves.next().unwrap_or_default(),
            halves.next().unwrap_or_default(),
        ]
    }

    fn remembered(&self, digest: [u64; 2], user: Option<&Arc<str>>) -> Option<Verdict> {
        let now = self.now();
        let is_in = |recent: &Recent<_>| recent.update(digest, now, |until| (None, until > now));
        match user {
            Some(user) if is_in(&self.right) => Some(Verdict::Granted(Arc::clone(user))),
            _ => is_in(&self.wrong).then_some(Verdict::Denied),
        }
    }

    fn remember(&self, digest: [u64; 2], was_right: bool) {
        let (recent, lives) = if was_right {
            (&self.right, RIGHT.1)
        } else {
            (&self.wrong, WRONG.1)
        };
        let now = self.now();
        recent.update(digest, now, |_| (Some(now + lives.as_secs()), ()));
    }

    /// Seconds since it began, and one, so that 0 is over.
    fn now(&self) -> u64 {
        self.begun.elapsed().as_secs() + 1
    }
}

/// Name and password of a request (RFC 7617 section 2).
fn credentials<'a>(
    headers: &Fields,
    buffer: &'a mut [u8; LONGEST],
) -> Option<(&'a [u8], &'a [u8])> {
    const SCHEME: &[u8] = b"basic ";
    // Bits that are left over are none of our business, nor is the padding: httpd takes any.
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let (scheme, encoded) = line.as_bytes().split_at_checked(SCHEME.len())?;
    let encoded = encoded.trim_ascii();
    if !scheme.eq_ignore_ascii_case(SCHEME) || encoded.len() > LONGEST {
        return None;
    }
    let length = BASE64.decode_slice(encoded, buffer).ok()?;
    let pair = buffer.get(..length)?;
    // RFC 7617 forbids them, and to httpd, which is written in C, a zero is the end.
    if pair.iter().any(u8::is_ascii_control) {
        return None;
    }
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some((pair.get(..colon)?, pair.get(colon + 1..)?))
}

#[cfg(test)]
mod tests;
