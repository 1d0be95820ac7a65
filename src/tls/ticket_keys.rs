//! The keys that session tickets are sealed with (RFC 5077, RFC 8446 section 4.6.1).
//!
//! The newest key makes tickets, every known one opens them. They come from a file that nodes share and that is
//! looked at again when it changes, or are random and change by themselves.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::Sha256;

/// Bytes of a key's name.
pub const NAME_LENGTH: usize = 16;
/// Bytes of an initialisation vector of AES.
pub const IV_LENGTH: usize = 16;

/// Random keys change this often. OpenSSL's sessions last two hours.
const RANDOM_KEY_LIFE: Duration = Duration::from_secs(8 * 3600);
/// Random keys that still open tickets, the newest included.
const RANDOM_KEYS_KEPT: usize = 2;
/// A file has at most as many: each ticket that fits none is held against all names.
const MOST_KEYS: usize = 64;
/// Fewer bytes can be guessed.
const LEAST_SECRET: usize = 32;
const MOST_FILE: u64 = 64 * 1024;

/// One key.
#[derive(Clone)]
pub struct TicketKey {
    /// What the ticket says of which key it is.
    pub name: [u8; NAME_LENGTH],
    /// For AES-256-CBC.
    pub cipher: [u8; 32],
    /// For HMAC-SHA256.
    pub mac: [u8; 32],
}

impl TicketKey {
    /// The key that all nodes make of one secret.
    pub fn derive(secret: &[u8]) -> Self {
        let mut name = [0; NAME_LENGTH];
        let full = expand(secret, b"equipoise ticket name");
        for (to, from) in name.iter_mut().zip(full) {
            *to = from;
        }
        Self {
            name,
            cipher: expand(secret, b"equipoise ticket cipher"),
            mac: expand(secret, b"equipoise ticket mac"),
        }
    }

    /// From its parts in a row.
    fn of(bytes: &[u8]) -> Option<Self> {
        let (name, rest) = bytes.split_at_checked(NAME_LENGTH)?;
        let (cipher, mac) = rest.split_at_checked(32)?;
        Some(Self {
            name: name.try_into().ok()?,
            cipher: cipher.try_into().ok()?,
            mac: mac.try_into().ok()?,
        })
    }

    fn random() -> Self {
        let mut secret = [0; 48];
        rand::RngCore::fill_bytes(&mut rand::rng(), &mut secret);
        Self::derive(&secret)
    }
}

fn expand(secret: &[u8], label: &[u8]) -> [u8; 32] {
    match Hmac::<Sha256>::new_from_slice(secret) {
        Ok(mut mac) => {
            mac.update(label);
            mac.finalize().into_bytes().into()
        }
        // HMAC takes keys of any length.
        Err(_) => [0; 32],
    }
}

/// The keys of a listener, newest first.
pub struct TicketKeys {
    keys: ArcSwap<Vec<TicketKey>>,
    /// When the newest was made, if keys are random.
    random_since: Mutex<Option<Instant>>,
}

impl TicketKeys {
    /// Random ones.
    pub fn random(now: Instant) -> Arc<Self> {
        Arc::new(Self {
            keys: ArcSwap::from_pointee(vec![TicketKey::random()]),
            random_since: Mutex::new(Some(now)),
        })
    }

    /// Those of a file's.
    pub fn of(keys: Vec<TicketKey>) -> Arc<Self> {
        Arc::new(Self {
            keys: ArcSwap::from_pointee(keys),
            random_since: Mutex::new(None),
        })
    }

    /// From now on these; `None` = random ones, beginning anew unless they were random before.
    pub fn replace(&self, keys: Option<Vec<TicketKey>>, now: Instant) {
        let mut since = self.random_since.lock();
        match keys {
            Some(keys) => {
                *since = None;
                self.keys.store(Arc::new(keys));
            }
            None if since.is_none() => {
                *since = Some(now);
                self.keys.store(Arc::new(vec![TicketKey::random()]));
            }
            None => {}
        }
    }

    /// Makes a new random key when it is time.
    pub fn maintain(&self, now: Instant) {
        let mut since = self.random_since.lock();
        if since.is_some_and(|since| now.duration_since(since) >= RANDOM_KEY_LIFE) {
            *since = Some(now);
            let mut keys = vec![TicketKey::random()];
            keys.extend(self.keys.load().iter().take(RANDOM_KEYS_KEPT - 1).cloned());
            self.keys.store(Arc::new(keys));
        }
    }

    /// The keys as bytes, newest first, and how old the newest is, if they are random: for another process.
    pub fn random_ones(&self, now: Instant) -> Option<(Vec<Vec<u8>>, Duration)> {
        let since = (*self.random_since.lock())?;
        let keys = self.keys.load();
        let bytes = |key: &TicketKey| [&key.name[..], &key.cipher, &key.mac].concat();
        let keys = keys.iter().map(bytes).collect();
        Some((keys, now.saturating_duration_since(since)))
    }

    /// Goes on with those of another process, if they are random here, too.
    pub fn take_random_ones(&self, keys: &[Vec<u8>], age: Duration, now: Instant) {
        let mut since = self.random_since.lock();
        let keys: Vec<_> = keys.iter().filter_map(|key| TicketKey::of(key)).collect();
        if since.is_some() && !keys.is_empty() {
            *since = Some(now.checked_sub(age).unwrap_or(now));
            self.keys.store(Arc::new(keys));
        }
    }

    /// The key that makes tickets.
    pub fn newest(&self) -> Option<TicketKey> {
        self.keys.load().first().cloned()
    }

    /// The key of that name, and whether it is the newest.
    pub fn named(&self, name: &[u8]) -> Option<(TicketKey, bool)> {
        let keys = self.keys.load();
        let place = keys.iter().position(|key| key.name == name)?;
        Some((keys.get(place)?.clone(), place == 0))
    }
}

/// Reads a key file.
///
/// # Errors
///
/// What is wrong with it, in words; never with any of its content.
pub fn read(path: &Path) -> Result<Vec<TicketKey>, String> {
    use std::io::Read as _;
    let mut content = Vec::new();
    let file = std::fs::File::open(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    file.take(MOST_FILE + 1)
        .read_to_end(&mut content)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if content.len() as u64 > MOST_FILE {
        return Err(format!("{} is too large for a key file", path.display()));
    }
    parse(&content).map_err(|wrong| format!("{}: {wrong}", path.display()))
}

/// The keys of a file's content: a secret a line, or, as nginx has it, one key of 48 or 80 raw bytes.
fn parse(content: &[u8]) -> Result<Vec<TicketKey>, String> {
    let is_text = content
        .iter()
        .all(|byte| byte.is_ascii_graphic() || b" \t\r\n".contains(byte));
    if !is_text {
        return match content.len() {
            48 | 80 => Ok(vec![TicketKey::derive(content)]),
            other => Err(format!(
                "{other} bytes that are neither text nor a key of 48 or 80 bytes; make a key with: openssl rand -base64 48"
            )),
        };
    }
    let mut keys: Vec<TicketKey> = Vec::new();
    for (number, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let secret = line.trim_ascii();
        if secret.is_empty() || secret.starts_with(b"#") {
            continue;
        }
        let place = format!("line {}", number + 1);
        if secret.len() < LEAST_SECRET {
            return Err(format!(
                "{place}: a key has at least {LEAST_SECRET} characters; make one with: openssl rand -base64 48"
            ));
        }
        let key = TicketKey::derive(secret);
        if keys.iter().any(|known| known.name == key.name) {
            return Err(format!("{place}: this key is there twice"));
        }
        if keys.len() == MOST_KEYS {
            return Err(format!("more than {MOST_KEYS} keys"));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        return Err("no key in it; make one with: openssl rand -base64 48".to_owned());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "cG9ob3NhaGRlZTJhaWNvbzZxdW9oNnVhaDVqYWkwRWV5";
    const B: &str = "ZWVUaG9vazhvb3RoN2FpMnRhaDNpZTBhaHRlaTdvaDRh";

    #[test]
    fn the_first_line_makes_tickets_and_all_open_them() {
        let keys =
            TicketKeys::of(parse(format!("# of Monday\n{A}\n\n {B}\r\n").as_bytes()).unwrap());
        let (a, b) = (
            TicketKey::derive(A.as_bytes()),
            TicketKey::derive(B.as_bytes()),
        );
        assert_eq!(keys.newest().unwrap().name, a.name);
        assert!(keys.named(&a.name).unwrap().1);
        assert!(!keys.named(&b.name).unwrap().1);
        assert!(keys.named(&[0; NAME_LENGTH]).is_none());
    }

    #[test]
    fn parts_of_a_key_differ() {
        let key = TicketKey::derive(A.as_bytes());
        assert_ne!(key.cipher, key.mac);
        assert_ne!(key.cipher[..NAME_LENGTH], key.name);
    }

    #[test]
    fn nginxs_raw_keys_are_taken() {
        assert_eq!(parse(&[0xff; 48]).unwrap().len(), 1);
        assert_eq!(parse(&[0xff; 80]).unwrap().len(), 1);
        assert!(parse(&[0xff; 79]).is_err());
    }

    #[test]
    fn what_is_wrong_is_said_without_the_key() {
        for (content, part) in [
            ("", "no key"),
            ("\n# nothing\n", "no key"),
            ("geheim", "line 1: a key has at least 32"),
            (&format!("{A}\n{A}\n"), "line 2: this key is there twice"),
        ] {
            let wrong = parse(content.as_bytes()).map(|_| ()).unwrap_err();
            assert!(wrong.contains(part) && !wrong.contains("geheim"), "{wrong}");
        }
        let many: String = (0..70).map(|n| format!("{A}{n}\n")).collect();
        assert!(parse(many.as_bytes()).is_err());
    }

    #[test]
    fn random_keys_change_and_the_last_one_still_opens() {
        let start = Instant::now();
        let keys = TicketKeys::random(start);
        let first = keys.newest().unwrap().name;
        keys.maintain(start + Duration::from_secs(60));
        assert_eq!(keys.newest().unwrap().name, first);
        keys.maintain(start + RANDOM_KEY_LIFE);
        assert_ne!(keys.newest().unwrap().name, first);
        assert!(keys.named(&first).is_some());
        keys.maintain(start + 2 * RANDOM_KEY_LIFE);
        assert!(keys.named(&first).is_none());
    }

    #[test]
    fn another_process_goes_on_with_random_keys_and_leaves_those_of_a_file() {
        let start = Instant::now();
        let first = TicketKeys::random(start);
        let (keys, age) = first.random_ones(start + RANDOM_KEY_LIFE / 2).unwrap();
        let second = TicketKeys::random(start);
        second.take_random_ones(&keys, age, start + RANDOM_KEY_LIFE);
        let name = first.newest().unwrap().name;
        assert_eq!(second.newest().unwrap().name, name);
        assert_eq!(second.newest().unwrap().mac, first.newest().unwrap().mac);
        second.maintain(start + RANDOM_KEY_LIFE + RANDOM_KEY_LIFE / 2);
        assert_ne!(
            second.newest().unwrap().name,
            name,
            "they grow old together"
        );
        let of_a_file = TicketKeys::of(parse(A.as_bytes()).unwrap());
        assert!(of_a_file.random_ones(start).is_none());
        let before = of_a_file.newest().unwrap().name;
        of_a_file.take_random_ones(&keys, age, start);
        assert_eq!(of_a_file.newest().unwrap().name, before);
        second.take_random_ones(&[vec![1, 2, 3]], age, start);
        assert!(second.newest().is_some());
    }

    #[test]
    fn keys_of_a_file_do_not_change_by_themselves() {
        let start = Instant::now();
        let keys = TicketKeys::of(parse(A.as_bytes()).unwrap());
        let first = keys.newest().unwrap().name;
        keys.maintain(start + 10 * RANDOM_KEY_LIFE);
        assert_eq!(keys.newest().unwrap().name, first);
        keys.replace(None, start);
        let random = keys.newest().unwrap().name;
        assert_ne!(random, first);
        keys.replace(None, start);
        assert_eq!(
            keys.newest().unwrap().name,
            random,
            "still the same random one"
        );
    }
}
