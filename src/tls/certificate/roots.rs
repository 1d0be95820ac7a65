//! The roots that this system trusts. Only the check looks at them: is the chain complete?

use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;

use openssl::x509::{X509, X509Ref};

use super::chain::signed_by;
use super::file::{self, BUNDLE_LIMIT};

/// Files of a directory of roots that are read. Distributions have a few hundred.
const FILES: usize = 2000;

/// Roots, to be found by name.
#[derive(Debug, Default, Clone)]
pub struct Roots {
    /// By OpenSSL's hash of the subject, which takes equal names for equal however they are written.
    by_subject: HashMap<u32, Vec<X509>>,
}

impl Roots {
    /// The system's, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name. Read once.
    pub fn system() -> &'static Self {
        static SYSTEM: OnceLock<Roots> = OnceLock::new();
        SYSTEM.get_or_init(|| {
            let places = openssl_probe::probe();
            let mut roots = Self::default();
            if let Some(file) = &places.cert_file {
                roots.add_file(file);
            }
            // The directory mostly has the same again, one by one.
            if let (None, Some(directory)) = (&places.cert_file, &places.cert_dir) {
                let files = std::fs::read_dir(directory).into_iter().flatten();
                for entry in files.flatten().take(FILES) {
                    roots.add_file(&entry.path());
                }
            }
            roots
        })
    }

    /// These, too.
    #[must_use]
    pub fn with(mut self, more: Vec<X509>) -> Self {
        for root in more {
            self.add(root);
        }
        self
    }

    /// Whether the certificate is one of them, is signed by one, or is one of them signed by somebody else (the same
    /// name and key).
    pub fn lead_to(&self, cert: &X509Ref) -> bool {
        let same = |root: &X509| {
            let keys = (root.public_key(), cert.public_key());
            matches!(keys, (Ok(a), Ok(b)) if a.public_eq(&b))
        };
        self.named(cert.subject_name_hash()).iter().any(same)
            || self
                .named(cert.issuer_name_hash())
                .iter()
                .any(|root| signed_by(cert, root))
    }

    fn named(&self, hash: u32) -> &[X509] {
        self.by_subject.get(&hash).map_or(&[], Vec::as_slice)
    }

    fn add_file(&mut self, path: &Path) {
        // A file that can't be read has no roots; whoever asks is told that the chain isn't known to end.
        let pem = file::read(path, BUNDLE_LIMIT).unwrap_or_default();
        for root in X509::stack_from_pem(&pem).unwrap_or_default() {
            self.add(root);
        }
    }

    fn add(&mut self, root: X509) {
        self.by_subject
            .entry(root.subject_name_hash())
            .or_default()
            .push(root);
    }
}
