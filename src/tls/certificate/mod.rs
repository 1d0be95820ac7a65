//! Certificates and keys from files: reading them in every usual format, sorting out what can be sorted out safely, and
//! saying what can't.
//!
//! [`load`] is what a server needs: an identity, and what is wrong with it. [`examine`] is the same for those who look
//! closer (`cert check`): other names, other roots, a certificate without its key. Formats are told by content, never by
//! name. Nothing here knows Pingora, and nothing waits for anything but files.

use std::time::SystemTime;

use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509Ref};

mod bundle;
mod chain;
mod contents;
mod convert;
mod der;
mod describe;
mod examine;
mod faults;
mod file;
mod finding;
mod foreign;
mod host;
mod mend;
mod pem;
mod reasons;
mod roots;
#[cfg(test)]
mod tests;
mod unlock;
pub mod words;

pub use crate::config::model::CertificateSource as Source;
pub use bundle::{read_ca_bundle, read_crls};
pub use chain::{Chain, Placed, is_self_signed, sort};
pub use contents::{Contents, Encoding, Item, Thing};
pub use convert::{Converted, convert, has_another_key};
pub use describe::{Description, Entry, Properties, Value, describe};
pub use examine::{Examination, Examined, Purpose, examine};
pub use file::{BUNDLE_LIMIT, Password};
pub use finding::{Fault, Finding, Severity, is_fatal};
pub use foreign::Foreign;
pub use host::{covers, names};
pub use roots::Roots;
pub use unlock::Lock;
pub use words::attributes;

/// What a server (or a client) proves itself with.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its certificate.
    pub leaf: X509,
    /// Who signed it, and who signed that one, without the root.
    pub chain: Vec<X509>,
    /// The certificate of whoever signed the leaf, a root's too, if the file has it.
    pub issuer: Option<X509>,
    /// The leaf's key.
    pub key: PKey<Private>,
}

/// An identity that can be served.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The identity, in order.
    pub identity: Identity,
    /// What is wrong nevertheless, and what was sorted out. None is [`Severity::Fatal`].
    pub findings: Vec<Finding>,
}

/// Reads the files of a server's certificate.
///
/// # Errors
///
/// All findings, if it can't be served; at least one is [`Severity::Fatal`].
pub fn load(source: &Source, now: SystemTime) -> Result<Loaded, Vec<Finding>> {
    load_for(Purpose::Server, source, now)
}

/// As [`load`], for a server's certificate or a client's.
///
/// # Errors
///
/// As [`load`].
pub fn load_for(
    purpose: Purpose,
    source: &Source,
    now: SystemTime,
) -> Result<Loaded, Vec<Finding>> {
    let examined = examine(&Examination {
        source,
        purpose,
        hosts: &[],
        roots: Roots::system(),
        key_wanted: true,
        now,
    });
    match examined.identity {
        Some(identity) if !is_fatal(&examined.findings) => Ok(Loaded {
            identity,
            findings: examined.findings,
        }),
        _ => Err(examined.findings),
    }
}

/// When the certificate's validity begins.
pub fn not_before(leaf: &X509Ref) -> SystemTime {
    words::system_time(leaf.not_before())
}

/// When the certificate's validity ends.
pub fn not_after(leaf: &X509Ref) -> SystemTime {
    words::system_time(leaf.not_after())
}
