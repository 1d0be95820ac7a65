//! Does the chain lead to a root that clients have, and do the names and the purpose fit?

use openssl::nid::Nid;
use openssl::x509::{X509ExtendedKeyUsage, X509Ref};

use crate::tls::certificate::chain::{Chain, is_self_signed};
use crate::tls::certificate::contents::Contents;
use crate::tls::certificate::examine::{Examination, Purpose};
use crate::tls::certificate::finding::{Fault, Finding, Severity};
use crate::tls::certificate::host::{alternative_names, covers, names};
use crate::tls::certificate::mend::Mender;
use crate::tls::certificate::words::{self, name, title};

/// Checks it.
pub fn check(
    findings: &mut Vec<Finding>,
    mender: Mender<'_>,
    contents: &Contents,
    chain: &Chain,
    examination: &Examination<'_>,
) {
    let leaf = &chain.leaf.cert;
    let find = |fault, severity, what: String| {
        Finding::new(fault, severity, &contents.path, what).at(chain.leaf.line)
    };
    if examination.purpose == Purpose::Server {
        if is_self_signed(leaf) {
            if !examination.roots.lead_to(leaf) {
                let what = format!("self-signed: nobody but itself vouches for {}", title(leaf));
                findings.push(
                    find(Fault::SelfSigned, Severity::Warning, what)
                        .mend(
                            "have it signed by an authority that the clients trust (this makes the request for it), or \
                             make them trust it",
                        )
                        .command(mender.request(&names(leaf), false)),
                );
            }
        } else {
            findings.extend(incomplete(mender, contents, chain, examination));
        }
        if alternative_names(leaf).is_none() {
            let what = format!(
                "no subjectAltName: it names {} as common name only",
                title(leaf)
            );
            findings.push(
                find(Fault::NoAlternativeName, Severity::Warning, what)
                    .mend("have it issued anew with the names as subjectAltName; this makes the request:")
                    .command(mender.request(&names(leaf), false)),
            );
        }
    }
    for host in examination.hosts {
        let mut covered = names(leaf);
        if !covers(&covered, host) {
            let list = if covered.is_empty() {
                "no name".to_owned()
            } else {
                words::list(&covered)
            };
            let what = format!("name not covered: {host}; the certificate is for {list}");
            covered.push(host.to_ascii_lowercase());
            findings.push(
                find(Fault::NameNotCovered, Severity::Error, what)
                    .mend("have it issued anew with this name, too; this makes the request:")
                    .command(mender.request(&covered, false)),
            );
        }
    }
    let (wanted, word) = match examination.purpose {
        Purpose::Server => (X509ExtendedKeyUsage::SSL_SERVER, "serverAuth"),
        Purpose::Client => (X509ExtendedKeyUsage::SSL_CLIENT, "clientAuth"),
    };
    let usage = leaf.extended_key_usage();
    if usage.is_some_and(|usage| !usage.intersects(wanted | X509ExtendedKeyUsage::ANYEKU)) {
        let what = format!(
            "wrong purpose: the certificate of {} may not be used for {word} (extendedKeyUsage)",
            title(leaf)
        );
        findings.push(
            find(Fault::WrongPurpose, Severity::Error, what)
                .mend(format!(
                    "have it issued anew, for {word}; this makes the request:"
                ))
                .command(format!(
                    "{} -addext extendedKeyUsage={word}",
                    mender.request(&names(leaf), false)
                )),
        );
    }
}

/// Whether there is a certificate missing between the last one and a root.
///
/// Who signed the last one is not in the file. If that one is a root, all is well; whether it is can't be seen from
/// here if the system doesn't know it. So: a server's certificate alone was very likely signed by an intermediate;
/// something above it was given with care, and is doubted only if it says itself where its issuer can be had.
fn incomplete(
    mender: Mender<'_>,
    contents: &Contents,
    chain: &Chain,
    examination: &Examination<'_>,
) -> Option<Finding> {
    // What can't be read may be just what is missing, and is told already.
    if !contents.damage.is_empty() {
        return None;
    }
    let all = || std::iter::once(&chain.leaf).chain(&chain.above);
    let top = all().last()?;
    if is_self_signed(&top.cert) || all().any(|placed| examination.roots.lead_to(&placed.cert)) {
        return None;
    }
    let issuer = name(top.cert.issuer_name());
    let url = ca_issuers(&top.cert);
    let alone = chain.above.is_empty();
    let severity = match (alone, &url) {
        (true, Some(_)) => Severity::Error,
        (true, None) | (false, Some(_)) => Severity::Warning,
        (false, None) => return None,
    };
    let what = format!(
        "intermediate missing, or a private authority whose root clients must have: {} was signed by {issuer}, which is \
         neither in the file nor among this system's roots",
        title(&top.cert)
    );
    let finding =
        Finding::new(Fault::IntermediateMissing, severity, &contents.path, what).at(top.line);
    let private = "If it is a private authority's, tell its root to `equipoise cert check --ca FILE`, or to this system \
                   (update-ca-certificates)";
    Some(match url {
        Some(url) => finding
            .mend(format!("{private}. Otherwise add the intermediate:"))
            .command(mender.fetch_issuer(&url, contents.encoding)),
        None => finding.mend(format!(
            "add the intermediate: the issuer sends it along (chain.pem, ca-bundle.crt, …), then: {}. {private}",
            mender.join("INTERMEDIATE", contents.encoding)
        )),
    })
}

/// Where the issuer's certificate can be had (RFC 5280, section 4.2.2.1), over plain HTTP as usual.
fn ca_issuers(cert: &X509Ref) -> Option<String> {
    let information = cert.authority_info()?;
    information.iter().find_map(|description| {
        let is_issuers = description.method().nid() == Nid::AD_CA_ISSUERS;
        let url = description.location().uri().filter(|_| is_issuers)?;
        let is_web = url.starts_with("http://") || url.starts_with("https://");
        // It becomes part of a command.
        let is_plain = url.chars().all(|c| c.is_ascii_graphic());
        (is_web && is_plain && url.len() <= 1024).then(|| url.to_owned())
    })
}
