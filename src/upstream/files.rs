//! The files of a pool's TLS: authorities, and our own certificate.

use std::path::Path;
use std::time::SystemTime;

use openssl::x509::X509;

use crate::config::model::CertificateSource;
use crate::config::refuse_pipe;
use crate::tls::certificate::{self, Finding, Loaded, Purpose};

/// A file that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Unusable {
    /// The key below the pool's `tls`.
    pub key: &'static str,
    /// What is wrong, with the file's name.
    pub message: String,
}

/// All files of one pool that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct UnusableFiles(pub Vec<Unusable>);

impl From<Unusable> for UnusableFiles {
    fn from(unusable: Unusable) -> Self {
        Self(vec![unusable])
    }
}

impl Unusable {
    /// OpenSSL doesn't take what a file holds.
    pub fn refused(key: &'static str, error: &openssl::error::ErrorStack) -> Self {
        Self {
            key,
            message: format!("OpenSSL does not take it: {error}"),
        }
    }
}

fn not_a_pipe(key: &'static str, path: &Path) -> Result<(), Unusable> {
    refuse_pipe(path).map_err(|error| Unusable {
        key,
        message: format!("{}: {error}", path.display()),
    })
}

/// The certificates of a file of authorities.
///
/// # Errors
///
/// It can't be read, or holds none.
pub fn authorities(path: &Path) -> Result<Vec<X509>, Unusable> {
    not_a_pipe("ca", path)?;
    certificate::read_ca_bundle(path).map_err(|finding| Unusable {
        key: "ca",
        message: finding.explained(),
    })
}

/// A certificate to show to servers, with its chain and its key.
///
/// # Errors
///
/// A file can't be read, holds something else, or they don't belong together.
pub fn identity(source: &CertificateSource) -> Result<Loaded, Unusable> {
    for path in source.files() {
        not_a_pipe("certificate", &path)?;
    }
    certificate::load_for(Purpose::Client, source, SystemTime::now()).map_err(|findings| {
        let fatal = findings
            .iter()
            .filter(|finding| certificate::is_fatal(std::slice::from_ref(finding)));
        let messages: Vec<String> = fatal.map(Finding::explained).collect();
        Unusable {
            key: "certificate",
            message: messages.join("; "),
        }
    })
}
