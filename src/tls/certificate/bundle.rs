//! Authorities whose signatures count, and lists of what they revoked: PEM with any number, DER; certificates in P7B
//! as well.

use std::path::Path;

use openssl::x509::{X509, X509Crl};

use super::contents::{Contents, Thing};
use super::examine::unreadable;
use super::file::BUNDLE_LIMIT;
use super::finding::{Fault, Finding, Severity};

/// The certificates of a bundle of authorities; at least one.
///
/// # Errors
///
/// What is wrong with the file: it can't be read, is damaged, or has none.
pub fn read_ca_bundle(path: &Path) -> Result<Vec<X509>, Box<Finding>> {
    read(
        path,
        ("certificates of authorities", "PEM, DER and P7B"),
        |thing| match thing {
            Thing::Certificate(cert) => Some(cert),
            _ => None,
        },
    )
}

/// The revocation lists of a file; at least one.
///
/// # Errors
///
/// What is wrong with the file: it can't be read, is damaged, or has none.
pub fn read_crls(path: &Path) -> Result<Vec<X509Crl>, Box<Finding>> {
    read(
        path,
        ("revocation lists (CRL)", "PEM and DER"),
        |thing| match thing {
            Thing::Crl(crl) => Some(crl),
            _ => None,
        },
    )
}

fn read<T>(
    path: &Path,
    (wanted, forms): (&str, &str),
    pick: fn(Thing) -> Option<T>,
) -> Result<Vec<T>, Box<Finding>> {
    let contents =
        Contents::read(path, BUNDLE_LIMIT, None).map_err(|why| Box::new(unreadable(path, &why)))?;
    // Who is missing would silently not be trusted, or not be revoked.
    if let Some(damage) = contents.damage.first() {
        let finding = Finding::new(Fault::Damaged, Severity::Fatal, path, &damage.what)
            .at(Some(damage.line))
            .mend("take the file once more from where it came from");
        return Err(Box::new(finding));
    }
    let picked: Vec<T> = contents
        .items
        .into_iter()
        .filter_map(|item| pick(item.thing))
        .collect();
    if picked.is_empty() {
        let what = format!("{wanted} are wanted here, there is none in this file");
        let finding = Finding::new(Fault::WrongKind, Severity::Fatal, path, what)
            .mend(format!("name another file; {forms} will do"));
        return Err(Box::new(finding));
    }
    Ok(picked)
}
