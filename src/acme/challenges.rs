//! Answers to the authority, which asks any listener of any node that our names lead to.
//!
//! What the manager publishes is in memory, for this process, and in the storage, for the others that share it; both
//! end with the order that it was for.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use parking_lot::RwLock;

use super::files;
use super::tls_alpn;
use crate::tls::AlpnChallenges;

/// Longer than any token: at least 128 bits in base64url (RFC 8555 section 8.3), and 43 letters in practice.
const LONGEST_TOKEN: usize = 256;
/// The longest name (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 253;

/// The answers of the moment.
#[derive(Default)]
pub struct Challenges {
    /// By the file's path under the storage.
    here: RwLock<HashMap<PathBuf, String>>,
    storages: ArcSwap<Vec<PathBuf>>,
}

/// An answer that is given as long as this lives.
pub struct Answer {
    challenges: Arc<Challenges>,
    place: PathBuf,
    file: PathBuf,
}

impl Challenges {
    /// The key authorization that `GET /.well-known/acme-challenge/TOKEN` is answered with; `None` = not ours.
    ///
    /// May read a file: not for a thread that many wait for.
    pub fn http01(&self, token: &str) -> Option<String> {
        let answer = self.find(&http_place(token)?)?;
        // Others write there, too.
        let sound = answer.strip_prefix(token)?.strip_prefix('.')?;
        is_base64url(sound).then_some(answer)
    }

    /// The certificate for a client that offers `acme-tls/1` alone and asks for `name`; `None` = not ours.
    ///
    /// May read a file, and makes a key: not for a thread that many wait for.
    pub fn tls_alpn01(&self, name: &str) -> Option<(X509, PKey<Private>)> {
        let name = name.to_ascii_lowercase();
        let digest = self.find(&tls_place(&name)?)?;
        let digest = BASE64_URL_SAFE_NO_PAD.decode(digest).ok()?;
        tls_alpn::certificate(&name, &digest.try_into().ok()?).ok()
    }

    /// Whether nothing can be asked for, because nothing is obtained by ACME.
    pub fn is_idle(&self) -> bool {
        self.storages.load().is_empty()
    }

    /// Where answers of other processes are looked for.
    pub(super) fn look_in(&self, mut storages: Vec<PathBuf>) {
        storages.sort();
        storages.dedup();
        self.storages.store(Arc::new(storages));
    }

    /// Answers http-01 from now on.
    pub(super) fn answer_http01(
        self: &Arc<Self>,
        storage: &Path,
        token: &str,
        key_authorization: &str,
    ) -> io::Result<Answer> {
        self.publish(storage, http_place(token), key_authorization.to_owned())
    }

    /// Answers tls-alpn-01 from now on. `digest` is SHA-256 of the key authorization.
    pub(super) fn answer_tls_alpn01(
        self: &Arc<Self>,
        storage: &Path,
        name: &str,
        digest: &[u8],
    ) -> io::Result<Answer> {
        let digest = BASE64_URL_SAFE_NO_PAD.encode(digest);
        self.publish(storage, tls_place(name), digest)
    }

    fn publish(
        self: &Arc<Self>,
        storage: &Path,
        place: Option<PathBuf>,
        answer: String,
    ) -> io::Result<Answer> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the challenge is malformed");
        let place = place.ok_or_else(malformed)?;
        let file = storage.join(&place);
        if let Some(directory) = file.parent() {
            files::make_directory(directory)?;
        }
        files::write(&file, answer.as_bytes())?;
        self.here.write().insert(place.clone(), answer);
        Ok(Answer {
            challenges: Arc::clone(self),
            place,
            file,
        })
    }

    fn find(&self, place: &Path) -> Option<String> {
        if let Some(answer) = self.here.read().get(place) {
            return Some(answer.clone());
        }
        let read = |storage: &PathBuf| files::read(&storage.join(place)).ok();
        let found = self.storages.load().iter().find_map(read)?;
        String::from_utf8(found).ok()
    }
}

impl AlpnChallenges for Challenges {
    fn certificate(&self, name: &str) -> Option<(X509, PKey<Private>)> {
        if self.is_idle() {
            return None;
        }
        self.tls_alpn01(name)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.challenges.here.write().remove(&self.place);
        if let Err(error) = files::remove(&self.file) {
            tracing::warn!(file = %self.file.display(), %error, "ACME: an answer can't be removed");
        }
    }
}

/// The directories of answers under a storage.
pub(super) const DIRECTORIES: [&str; 2] = ["challenges/http-01", "challenges/tls-alpn-01"];

/// Where the answer to a token is; `None` for what isn't one, a path for example.
fn http_place(token: &str) -> Option<PathBuf> {
    let [directory, _] = DIRECTORIES;
    let fits = is_base64url(token) && token.len() <= LONGEST_TOKEN;
    fits.then(|| Path::new(directory).join(token))
}

/// Where the answer for a name is; `None` for what isn't one.
fn tls_place(name: &str) -> Option<PathBuf> {
    let [_, directory] = DIRECTORIES;
    let label = |label: &str| {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| known(byte) || byte == b'-' || byte == b'_')
    };
    let fits = name.len() <= LONGEST_NAME && name.split('.').all(label);
    fits.then(|| Path::new(directory).join(name))
}

fn is_base64url(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_answer_is_given_here_and_by_who_shares_the_storage_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (Arc::new(Challenges::default()), Challenges::default());
        there.look_in(vec![dir.path().to_owned()]);
        assert!(here.is_idle() && !there.is_idle());
        let answer = here
            .answer_http01(dir.path(), "tok-en_1", "tok-en_1.thumb")
            .unwrap();
        assert_eq!(here.http01("tok-en_1").as_deref(), Some("tok-en_1.thumb"));
        assert_eq!(there.http01("tok-en_1").as_deref(), Some("tok-en_1.thumb"));
        assert_eq!(there.http01("tok-en_2"), None);
        drop(answer);
        assert_eq!(here.http01("tok-en_1"), None);
        assert_eq!(there.http01("tok-en_1"), None);
    }

    #[test]
    fn a_name_is_answered_with_a_certificate_whatever_its_case() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (Arc::new(Challenges::default()), Challenges::default());
        there.look_in(vec![dir.path().to_owned()]);
        let _answer = here
            .answer_tls_alpn01(dir.path(), "a.example.com", &[7; 32])
            .unwrap();
        let (certificate, _) = there.tls_alpn01("A.example.COM").unwrap();
        let names = certificate.subject_alt_names().unwrap();
        assert_eq!(names[0].dnsname(), Some("a.example.com"));
        assert!(there.tls_alpn01("b.example.com").is_none());
    }

    #[test]
    fn what_is_no_token_reads_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let challenges = Challenges::default();
        challenges.look_in(vec![dir.path().to_owned()]);
        std::fs::create_dir_all(dir.path().join("challenges/http-01")).unwrap();
        std::fs::write(dir.path().join("secret"), "../../secret.x").unwrap();
        std::fs::write(dir.path().join("challenges/http-01/odd"), "another.x").unwrap();
        for token in [
            "../../secret",
            "",
            ".",
            "a/b",
            "a.b",
            "odd",
            "%2e%2e",
            "a\0b",
        ] {
            assert_eq!(challenges.http01(token), None, "{token}");
        }
        for name in ["../../secret", "", "..", "a..b", "a/b"] {
            assert!(challenges.tls_alpn01(name).is_none(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_place_is_outside_its_directory(text in ".{0,300}") {
            for place in [http_place(&text), tls_place(&text)].into_iter().flatten() {
                prop_assert_eq!(place.components().count(), 3);
                prop_assert!(place.components().all(|part| matches!(part, std::path::Component::Normal(_))));
            }
        }
    }
}
