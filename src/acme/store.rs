//! Where things are kept, and what there is.
//!
//! ```text
//! STORAGE/
//!   challenges/…                    answers of the moment
//!   acme-v02.api.letsencrypt.org-1f0c84a2/   the authority: its host, and a hash of its directory's URL
//!     account.json, account.lock
//!     www.example.com-9b3e6f00/     the certificate: its first name, and a hash of all of them
//!       site.pem                    chain and key
//!       lock                        held by who obtains it
//!       failure.json                the last failure, while there is one
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::certificate::{self, Certificate};
use super::challenges::DIRECTORIES;
use super::files::{self, Lock};
use crate::config::model;

/// An answer that is older was left by a process that was killed: no order takes as long.
const STALE_ANSWER: Duration = Duration::from_secs(86_400);
/// Letters of a name that a directory's name begins with.
const READABLE: usize = 64;

/// The place of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    storage: PathBuf,
    authority: PathBuf,
    directory: PathBuf,
    names: Vec<Arc<str>>,
}

/// What there is of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Missing,
    /// A file that can't be served, and why.
    Unusable(String),
    /// One for other names, those of an earlier configuration.
    OtherNames,
    /// What is wanted; it may be due for renewal, or have expired.
    There(Certificate),
}

/// The last try, if it failed. Kept so that nodes that share a storage wait together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Failures in a row.
    pub failures: u32,
    /// When it failed, in milliseconds since 1970.
    pub at: u64,
    /// When to try again, likewise.
    pub next: u64,
}

impl Store {
    /// The place for these settings. Touches no file.
    pub fn new(settings: &model::Acme) -> Self {
        let mut names = settings.domains.clone();
        names.sort();
        let first = settings.domains.first().map_or("none", |name| &**name);
        let url: Option<http::Uri> = settings.directory.parse().ok();
        let host = url
            .as_ref()
            .and_then(http::Uri::host)
            .unwrap_or("authority");
        let authority = settings.storage.join(labelled(host, &settings.directory));
        Self {
            storage: settings.storage.clone(),
            directory: authority.join(labelled(first, &names.join(","))),
            authority,
            names,
        }
    }

    /// The certificate, as those who serve it want to be told. The file may not exist yet.
    pub fn source(&self) -> model::CertificateSource {
        model::CertificateSource {
            cert: self.site(),
            key: None,
            password_file: None,
        }
    }

    /// The names, sorted.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The root of it all.
    pub fn storage(&self) -> &Path {
        &self.storage
    }

    /// What tells this certificate from all others.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The account's file.
    pub fn account(&self) -> PathBuf {
        self.authority.join("account.json")
    }

    /// The lock on the account's file.
    pub fn account_lock(&self) -> PathBuf {
        self.authority.join("account.lock")
    }

    /// Makes the directories, and removes answers that were left behind.
    ///
    /// If there is no certificate for these names yet, but one by the same authority for some of them (names were
    /// added to the configuration or taken from it), that one serves until the new one is there.
    ///
    /// # Errors
    ///
    /// The storage can't be written.
    pub fn prepare(&self, now: SystemTime) -> io::Result<()> {
        files::make_directory(&self.directory)?;
        self.sweep(now);
        if self.site().try_exists()? {
            return Ok(());
        }
        match self.kindred(now) {
            Some(file) => files::write(&self.site(), &file),
            None => Ok(()),
        }
    }

    /// Renames a file that can't be served, so that it stops no start. Returns what it is called now, and what was
    /// wrong.
    ///
    /// # Errors
    ///
    /// The storage can't be written.
    pub fn set_aside_unusable(&self) -> io::Result<Option<(PathBuf, String)>> {
        let Standing::Unusable(why) = self.look() else {
            return Ok(None);
        };
        let aside = self.site().with_extension("pem.unusable");
        std::fs::rename(self.site(), &aside)?;
        Ok(Some((aside, why)))
    }

    /// What there is.
    pub fn look(&self) -> Standing {
        let file = match files::read(&self.site()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Standing::Missing,
            Err(error) => return Standing::Unusable(format!("can't be read: {error}")),
        };
        match certificate::read(&file) {
            Ok(mut certificate) if certificate.is_for(&self.names) => {
                let written = std::fs::metadata(self.site()).and_then(|site| site.modified());
                // One from the future says that the clock was wrong, and no more.
                let written = written.ok().filter(|written| *written <= SystemTime::now());
                certificate.since = written.unwrap_or(certificate.since);
                Standing::There(certificate)
            }
            Ok(_) => Standing::OtherNames,
            Err(why) => Standing::Unusable(why),
        }
    }

    /// Takes the right to obtain this certificate; `None` = somebody else has it.
    ///
    /// # Errors
    ///
    /// The storage can't be written.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        files::make_directory(&self.directory)?;
        Lock::attempt(&self.directory.join("lock"))
    }

    /// Puts a new certificate in place. Only with the lock.
    ///
    /// # Errors
    ///
    /// The storage can't be written; what was there still is.
    pub fn publish(&self, file: &[u8], _lock: &Lock) -> io::Result<()> {
        files::write(&self.site(), file)
    }

    /// The last failure, if there was one since the last success.
    pub fn failure(&self) -> Option<Failure> {
        serde_json::from_slice(&files::read(&self.failure_file()).ok()?).ok()
    }

    /// Notes the last failure, or that there is none any more. Only with the lock.
    ///
    /// # Errors
    ///
    /// The storage can't be written.
    pub fn note(&self, failure: Option<Failure>, _lock: &Lock) -> io::Result<()> {
        match failure {
            Some(failure) => files::write(
                &self.failure_file(),
                &serde_json::to_vec(&failure).map_err(io::Error::other)?,
            ),
            None => files::remove(&self.failure_file()),
        }
    }

    fn site(&self) -> PathBuf {
        self.directory.join("site.pem")
    }

    fn failure_file(&self) -> PathBuf {
        self.directory.join("failure.json")
    }

    /// The file of a certificate of this authority that covers as many of our names as can be had, and hasn't expired.
    fn kindred(&self, now: SystemTime) -> Option<Vec<u8>> {
        let others = std::fs::read_dir(&self.authority).ok()?;
        others
            .filter_map(|other| files::read(&other.ok()?.path().join("site.pem")).ok())
            .filter_map(|file| {
                let certificate = certificate::read(&file).ok()?;
                let covered = self.names.iter().filter(|name| certificate.covers(name));
                let covered = covered.count();
                (covered > 0 && certificate.not_after > now)
                    .then_some(((covered, certificate.not_after), file))
            })
            .max_by_key(|(worth, _)| *worth)
            .map(|(_, file)| file)
    }

    fn sweep(&self, now: SystemTime) {
        for directory in DIRECTORIES {
            let Ok(files) = std::fs::read_dir(self.storage.join(directory)) else {
                continue;
            };
            for file in files.flatten() {
                let written = file.metadata().and_then(|metadata| metadata.modified());
                let age = written
                    .ok()
                    .and_then(|written| now.duration_since(written).ok());
                if age.is_some_and(|age| age > STALE_ANSWER) {
                    // Another node may have done so by now.
                    let _ = files::remove(&file.path());
                }
            }
        }
    }
}

/// A directory's name that people can read and that nothing else has: `label`, and a hash of `whole`.
fn labelled(label: &str, whole: &str) -> String {
    let safe = |letter: char| match letter {
        'a'..='z' | '0'..='9' | '-' | '.' => letter,
        'A'..='Z' => letter.to_ascii_lowercase(),
        _ => '_',
    };
    let label: String = label.chars().take(READABLE).map(safe).collect();
    let hash = Sha256::digest(whole.as_bytes());
    let hash: String = hash
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{label}-{hash}")
}

#[cfg(test)]
pub mod tests {
    use super::super::certificate::generate_key;
    use super::super::certificate::tests::{arcs, at, issue};
    use super::*;

    pub fn settings(storage: &Path, names: &[&str]) -> model::Acme {
        model::Acme {
            directory: "https://acme.example.org:14000/dir".to_owned(),
            email: None,
            domains: arcs(names),
            storage: storage.to_owned(),
            challenge: model::Challenge::Http01,
            external_account: None,
            ca: None,
        }
    }

    fn file(names: &[&str], to: i64) -> Vec<u8> {
        let key = generate_key().unwrap();
        let chain = issue(&key, names, 1000, to);
        certificate::assemble(&key, &chain, &arcs(names), at(2000)).unwrap()
    }

    #[test]
    fn the_same_names_in_any_order_are_one_certificate() {
        let dir = Path::new("/storage");
        let one = Store::new(&settings(
            dir,
            &["a.example.com", "b.example.com", "c.example.com"],
        ));
        let same = Store::new(&settings(
            dir,
            &["a.example.com", "c.example.com", "b.example.com"],
        ));
        let less = Store::new(&settings(dir, &["a.example.com", "b.example.com"]));
        assert_eq!(one.source(), same.source());
        assert_ne!(one.source(), less.source());
        let mut elsewhere = settings(dir, &["a.example.com", "b.example.com"]);
        elsewhere.directory.push('2');
        assert_ne!(Store::new(&elsewhere).source(), less.source());
        let path = less.source().cert.display().to_string();
        assert!(path.starts_with("/storage/acme.example.org-"), "{path}");
        assert!(
            path.contains("/a.example.com-") && path.ends_with("/site.pem"),
            "{path}"
        );
    }

    #[test]
    fn what_there_is_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(&settings(dir.path(), &["a.example.com"]));
        assert_eq!(store.look(), Standing::Missing);
        store.prepare(at(2000)).unwrap();
        assert_eq!(store.look(), Standing::Missing);
        let lock = store.lock().unwrap().unwrap();
        store
            .publish(&file(&["a.example.com"], 9000), &lock)
            .unwrap();
        assert!(matches!(store.look(), Standing::There(_)));
        store
            .publish(&file(&["a.example.com", "b.example.com"], 9000), &lock)
            .unwrap();
        assert_eq!(store.look(), Standing::OtherNames);
        store
            .publish(b"-----BEGIN CERTIFICATE-----\nhalf", &lock)
            .unwrap();
        assert!(matches!(store.look(), Standing::Unusable(_)));
        std::fs::remove_file(store.site()).unwrap();
        std::fs::create_dir(store.site()).unwrap();
        assert!(matches!(store.look(), Standing::Unusable(_)));
    }

    #[test]
    fn a_certificate_for_some_of_the_names_serves_until_the_new_one_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let put = |names: &[&str], to| {
            let store = Store::new(&settings(dir.path(), names));
            store.prepare(at(2000)).unwrap();
            let bytes = file(names, to);
            store
                .publish(&bytes, &store.lock().unwrap().unwrap())
                .unwrap();
            bytes
        };
        put(&["a.example.com"], 9000);
        let best = put(&["a.example.com", "b.example.com"], 8000);
        put(&["a.example.com", "b.example.com", "d.example.com"], 3000);
        put(&["z.example.com"], 9000);
        let store = Store::new(&settings(
            dir.path(),
            &["a.example.com", "b.example.com", "c.example.com"],
        ));
        store.prepare(at(5000)).unwrap();
        assert_eq!(files::read(&store.site()).unwrap(), best);
        assert_eq!(store.look(), Standing::OtherNames);
        let stranger = Store::new(&settings(dir.path(), &["y.example.com"]));
        stranger.prepare(at(5000)).unwrap();
        assert_eq!(stranger.look(), Standing::Missing);
    }

    #[test]
    fn a_failure_is_kept_until_it_is_over_and_a_broken_note_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(&settings(dir.path(), &["a.example.com"]));
        let lock = store.lock().unwrap().unwrap();
        assert_eq!(store.failure(), None);
        let failure = Failure {
            failures: 3,
            at: 100,
            next: 400,
        };
        store.note(Some(failure), &lock).unwrap();
        assert_eq!(store.failure(), Some(failure));
        std::fs::write(store.failure_file(), "{").unwrap();
        assert_eq!(store.failure(), None);
        store.note(None, &lock).unwrap();
        assert_eq!(store.failure(), None);
    }

    #[test]
    fn answers_that_a_killed_process_left_are_swept_away() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(&settings(dir.path(), &["a.example.com"]));
        let challenges = dir.path().join("challenges/http-01");
        std::fs::create_dir_all(&challenges).unwrap();
        std::fs::write(challenges.join("token"), "token.x").unwrap();
        store.prepare(SystemTime::now()).unwrap();
        assert!(challenges.join("token").exists());
        store.prepare(SystemTime::now() + 2 * STALE_ANSWER).unwrap();
        assert!(!challenges.join("token").exists());
    }
}
