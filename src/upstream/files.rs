//! The files of a pool's TLS: authorities, and our own certificate.

use std::io;
use std::path::Path;

use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

use crate::config::model::CertificateSource;

/// A file that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Unusable {
    /// The key below the pool's `tls`.
    pub key: &'static str,
    /// What is wrong, with the file's name.
    pub message: String,
    /// We may not read it: a file of root's, and we aren't root any more.
    pub forbidden: bool,
}

/// The certificates of a file of authorities.
///
/// # Errors
///
/// It can't be read, or holds none.
pub fn authorities(path: &Path) -> Result<Vec<X509>, Unusable> {
    let text = read("ca", path)?;
    let certificates = X509::stack_from_pem(&text)
        .ok()
        .filter(|found| !found.is_empty())
        .or_else(|| X509::from_der(&text).ok().map(|only| vec![only]));
    certificates.ok_or_else(|| unusable("ca", path, "holds no certificate"))
}

/// A certificate with its chain, the leaf first, and its key.
///
/// # Errors
///
/// A file can't be read, holds something else, or they don't belong together.
pub fn identity(source: &CertificateSource) -> Result<(Vec<X509>, PKey<Private>), Unusable> {
    const KEY: &str = "certificate";
    let text = read(KEY, &source.cert)?;
    let chain = X509::stack_from_pem(&text).unwrap_or_default();
    let Some(leaf) = chain.first() else {
        return Err(unusable(KEY, &source.cert, "holds no certificate"));
    };
    let place = source.key.as_ref().unwrap_or(&source.cert);
    let text = read(KEY, place)?;
    let key = match &source.password_file {
        Some(file) => {
            let password = read(KEY, file)?;
            let line = password.split(|byte| *byte == b'\n').next();
            let line = line.unwrap_or_default().trim_ascii_end();
            PKey::private_key_from_pem_passphrase(&text, line)
        }
        // Never asks at a terminal.
        None => PKey::private_key_from_pem_callback(&text, |_| Ok(0)),
    };
    let key = key.map_err(|_| unusable(KEY, place, "holds no private key that could be read"))?;
    let belongs = leaf
        .public_key()
        .is_ok_and(|public| public.public_eq(&key));
    if belongs {
        Ok((chain, key))
    } else {
        Err(unusable(KEY, place, "is not the key of the certificate"))
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Unusable> {
    std::fs::read(path).map_err(|error| Unusable {
        key,
        message: format!("cannot read {}: {error}", path.display()),
        forbidden: error.kind() == io::ErrorKind::PermissionDenied,
    })
}

fn unusable(key: &'static str, path: &Path, what: &str) -> Unusable {
    Unusable {
        key,
        message: format!("{} {what}", path.display()),
        forbidden: false,
    }
}
