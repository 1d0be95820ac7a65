//! What a file holds instead of a certificate or a key, and keys that don't fit.

use openssl::pkey::{PKey, Private};
use openssl::x509::X509Ref;

use crate::tls::certificate::chain::Chain;
use crate::tls::certificate::contents::{Contents, Item, Thing};
use crate::tls::certificate::examine::locked;
use crate::tls::certificate::finding::{Fault, Finding, Severity};
use crate::tls::certificate::host::names;
use crate::tls::certificate::mend::Mender;
use crate::tls::certificate::words;

/// The file for the certificate has none.
pub fn no_certificate(
    findings: &mut Vec<Finding>,
    mender: Mender<'_>,
    contents: &Contents,
    key_file: Option<&Contents>,
) {
    for item in &contents.items {
        match &item.thing {
            Thing::LockedArchive(lock) => {
                findings.push(locked(mender, &contents.path, item.line, lock, "this PFX"));
                return;
            }
            Thing::Key(_) | Thing::LockedKey(_)
                if let Some(other) = key_file.filter(|other| other.has_certificate()) =>
            {
                let what = "a certificate is wanted here, this is a private key: the two files are swapped";
                findings.push(
                    wrong(contents, item, what)
                        .mend("name them the other way round:")
                        .command(mender.check_swapped(&other.path)),
                );
                return;
            }
            _ => {}
        }
    }
    if let Some(item) = contents.items.first() {
        findings.push(instead(contents, item, "certificate"));
    }
}

/// The file for the key has none that can be used; or the certificate's file, and there is no other.
pub fn no_key(findings: &mut Vec<Finding>, mender: Mender<'_>, contents: &Contents, wanted: bool) {
    for item in &contents.items {
        let (lock, what) = match &item.thing {
            Thing::LockedKey(lock) => (lock, "this key"),
            Thing::LockedArchive(lock) => (lock, "this PFX"),
            _ => continue,
        };
        findings.push(locked(mender, &contents.path, item.line, lock, what));
        return;
    }
    if !wanted {
        return;
    }
    if contents
        .items
        .iter()
        .any(|item| matches!(item.thing, Thing::Key(_)))
    {
        // It has one: what is wrong is the other file.
        return;
    }
    let separate = mender.key_file() == Some(&*contents.path);
    match contents.items.first() {
        Some(item) if separate => findings.push(instead(contents, item, "private key")),
        _ if !separate => findings.push(
            Finding::new(
                Fault::KeyMissing,
                Severity::Fatal,
                &contents.path,
                "there is no private key: none in this file, and no file for it is named",
            )
            .mend("name the file of the key (key: in the configuration)"),
        ),
        _ => {}
    }
}

/// The key is another's.
pub fn mismatch(
    mender: Mender<'_>,
    contents: &Contents,
    leaf: &X509Ref,
    key: &PKey<Private>,
) -> Finding {
    let item = contents
        .items
        .iter()
        .find(|item| matches!(item.thing, Thing::Key(_)));
    let of_leaf = leaf.public_key().ok();
    let wanted = of_leaf.as_deref().map(words::key).unwrap_or_default();
    let digest = of_leaf
        .as_deref()
        .and_then(words::key_digest)
        .unwrap_or_default();
    let what = format!(
        "the key does not match: it is {}, the certificate of {} is for another key, {wanted}",
        words::key(key),
        words::title(leaf),
    );
    let mend = format!(
        "find the key that the certificate was requested with (cert inspect shows a public key's SHA-256, {digest} is wanted), \
         or have a certificate issued for this one; this makes the request:"
    );
    Finding::new(Fault::KeyMismatch, Severity::Fatal, &contents.path, what)
        .at(item.and_then(|item| item.line))
        .mend(mend)
        .command(mender.request(&names(leaf), false))
}

/// What lies beside the certificates and is of no use there.
pub fn besides(findings: &mut Vec<Finding>, contents: &Contents) {
    for item in &contents.items {
        let is = match &item.thing {
            Thing::Request(_) => "a request for a certificate (CSR)".to_owned(),
            Thing::Crl(_) => "a revocation list (CRL)".to_owned(),
            Thing::Foreign(foreign) => foreign.what(),
            _ => continue,
        };
        findings.push(
            Finding::new(
                Fault::WrongKind,
                Severity::Warning,
                &contents.path,
                format!("beside the certificates there is {is}, which is passed over"),
            )
            .at(item.line)
            .mend("take it out; a CRL for clients has a key of its own in the configuration"),
        );
    }
}

/// Only those of authorities: the file that issuers send along with the certificate.
pub fn chain_only(mender: Mender<'_>, contents: &Contents, chain: &Chain) -> Finding {
    let what = format!(
        "the server's certificate is missing: here are only authorities', the first is {}",
        words::title(&chain.leaf.cert)
    );
    Finding::new(Fault::WrongKind, Severity::Fatal, &contents.path, what)
        .at(chain.leaf.line)
        .mend(format!(
            "the issuer sends the server's certificate in another file; put it before these: {}",
            mender.join("SERVER", contents.encoding)
        ))
}

/// Far too many certificates.
pub fn bundle(contents: &Contents, count: usize) -> Finding {
    let what = format!(
        "{count} certificates: this is a bundle of authorities, not a server's certificate with its chain"
    );
    Finding::new(Fault::WrongKind, Severity::Fatal, &contents.path, what)
        .mend("name the file that the issuer sent for your server")
}

fn instead(contents: &Contents, item: &Item, wanted: &str) -> Finding {
    let is = match &item.thing {
        Thing::Certificate(_) => "a certificate".to_owned(),
        Thing::Key(_) | Thing::LockedKey(_) => "a private key".to_owned(),
        Thing::LockedArchive(_) => "a PFX".to_owned(),
        Thing::Crl(_) => "a revocation list (CRL)".to_owned(),
        Thing::Request(_) => "a request for a certificate (CSR)".to_owned(),
        Thing::PublicKey(_) => "a public key".to_owned(),
        Thing::Foreign(foreign) => foreign.what(),
    };
    let finding = wrong(
        contents,
        item,
        &format!("a {wanted} is wanted here, this is {is}"),
    );
    match &item.thing {
        Thing::Foreign(foreign) => finding
            .mend(foreign.mend())
            .command(foreign.command(&contents.path)),
        Thing::Request(_) => finding.mend(
            "a request goes to the issuer, who sends a certificate back; name that file. The key was made along with the \
             request and stays with you",
        ),
        Thing::PublicKey(_) => finding.mend(
            "a public key is only a part of what is wanted; look for the file that it was taken from",
        ),
        Thing::Crl(_) => finding.mend("name the file that the issuer sent for your server"),
        Thing::Certificate(_) => finding.mend(
            "look for the file that was made along with the request, mostly named .key; the issuer of a certificate \
             never has it",
        ),
        _ => finding.mend("name the file that the issuer sent, mostly named .crt, .cer or .pem"),
    }
}

fn wrong(contents: &Contents, item: &Item, what: &str) -> Finding {
    Finding::new(Fault::WrongKind, Severity::Fatal, &contents.path, what).at(item.line)
}

impl Contents {
    /// Whether there is a certificate in it.
    pub fn has_certificate(&self) -> bool {
        let mut items = self.items.iter();
        items.any(|item| matches!(item.thing, Thing::Certificate(_)))
    }
}
