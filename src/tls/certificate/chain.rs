//! Puts certificates in order: the server's, who signed it, who signed that one, up to the root.
//!
//! The result depends on what the certificates say, never on their order in the file.

use std::cmp::Ordering;
use std::time::SystemTime;

use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509KeyUsage, X509Ref, X509VerifyResult};

use super::words;

/// A certificate and where it was.
#[derive(Debug, Clone)]
pub struct Placed {
    /// The certificate.
    pub cert: X509,
    /// The line where it begins; `None` in a binary file.
    pub line: Option<usize>,
    /// Its place among the certificates of the file, from 0.
    pub position: usize,
}

/// The certificates in order.
#[derive(Debug)]
pub struct Chain {
    /// The server's.
    pub leaf: Placed,
    /// Whoever signed it, and so on. The last may be a root.
    pub above: Vec<Placed>,
    /// What didn't sign any of these.
    pub unrelated: Vec<Placed>,
    /// What is there more than once, but for the first.
    pub duplicates: Vec<Placed>,
}

/// Sorts the certificates of a file. With a key, the server's certificate is the one for that key if there is one.
/// `None` without certificates.
pub fn sort(certs: Vec<Placed>, key: Option<&PKey<Private>>, now: SystemTime) -> Option<Chain> {
    let (mut unique, mut duplicates) = (Vec::<Placed>::new(), Vec::new());
    for placed in certs {
        if unique.iter().any(|known| *known.cert == *placed.cert) {
            duplicates.push(placed);
        } else {
            unique.push(placed);
        }
    }
    let leaf = find_leaf(&unique, key, now)?;
    let leaf = unique.swap_remove(leaf);
    let mut above = Vec::<Placed>::new();
    loop {
        let top = above.last().map_or(&leaf.cert, |placed| &placed.cert);
        if is_self_signed(top) {
            break;
        }
        let issuer = best(&unique, now, |placed| signed_by(top, &placed.cert));
        match issuer {
            Some(issuer) => above.push(unique.swap_remove(issuer)),
            None => break,
        }
    }
    unique.sort_by_key(|placed| placed.position);
    Some(Chain {
        leaf,
        above,
        unrelated: unique,
        duplicates,
    })
}

/// Whether `issuer` signed `cert`, by name, key identifier, usage and signature.
pub fn signed_by(cert: &X509Ref, issuer: &X509Ref) -> bool {
    issuer.issued(cert) == X509VerifyResult::OK
        && issuer
            .public_key()
            .and_then(|key| cert.verify(&key))
            .unwrap_or(false)
}

/// Whether it signed itself.
///
/// Whether it may sign (keyUsage) doesn't matter: what is self-signed is often a server's own.
pub fn is_self_signed(cert: &X509Ref) -> bool {
    cert.subject_name()
        .try_cmp(cert.issuer_name())
        .is_ok_and(Ordering::is_eq)
        && cert
            .public_key()
            .and_then(|key| cert.verify(&key))
            .unwrap_or(false)
}

/// Whether it is an authority's rather than a server's, as far as it says so: it may sign certificates (keyUsage) and
/// names no server.
pub fn is_authority(cert: &X509Ref) -> bool {
    may_sign(cert) && super::host::alternative_names(cert).is_none()
}

fn find_leaf(certs: &[Placed], key: Option<&PKey<Private>>, now: SystemTime) -> Option<usize> {
    let fits = |placed: &Placed| {
        let of_cert = placed.cert.public_key();
        key.is_some_and(|key| of_cert.is_ok_and(|of_cert| of_cert.public_eq(key)))
    };
    let has_issuer = |cert: &X509| certs.iter().any(|other| signed_by(cert, &other.cert));
    let signs_none = |placed: &Placed| {
        let mut others = certs
            .iter()
            .filter(|other| other.position != placed.position);
        !others.any(|other| signed_by(&other.cert, &placed.cert))
    };
    // An authority's key is never meant where there is something that the authority signed.
    best(certs, now, |placed| fits(placed) && signs_none(placed))
        .or_else(|| {
            best(certs, now, |placed| {
                !may_sign(&placed.cert) && signs_none(placed) && has_issuer(&placed.cert)
            })
        })
        .or_else(|| {
            best(certs, now, |placed| {
                !may_sign(&placed.cert) && signs_none(placed)
            })
        })
        .or_else(|| best(certs, now, signs_none))
        .or_else(|| best(certs, now, |_| true))
}

fn may_sign(cert: &X509Ref) -> bool {
    cert.key_usage()
        .is_some_and(|usage| usage.contains(X509KeyUsage::KEY_CERT_SIGN))
}

/// Of those that fit: the one that is valid, that is so the longest, and if that doesn't settle it either, one.
fn best(certs: &[Placed], now: SystemTime, fits: impl Fn(&Placed) -> bool) -> Option<usize> {
    let rank = |placed: &Placed| {
        let from = words::system_time(placed.cert.not_before());
        let until = words::system_time(placed.cert.not_after());
        let digest = placed.cert.digest(MessageDigest::sha256());
        let digest = digest.map(|digest| digest.to_vec()).unwrap_or_default();
        (from <= now && now < until, until, digest)
    };
    certs
        .iter()
        .enumerate()
        .filter(|(_, placed)| fits(placed))
        .max_by_key(|(_, placed)| rank(placed))
        .map(|(index, _)| index)
}
