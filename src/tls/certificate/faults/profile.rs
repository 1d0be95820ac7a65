//! What a server's certificate must be beyond what OpenSSL looks at: clients go by RFC 5280 and by the CA/Browser Forum's
//! Baseline Requirements, each by another part of them.

use std::net::IpAddr;
use std::time::Duration;

use openssl::x509::{X509ExtendedKeyUsage, X509KeyUsage, X509Ref};

use crate::tls::certificate::chain::{Chain, is_self_signed};
use crate::tls::certificate::contents::Contents;
use crate::tls::certificate::der;
use crate::tls::certificate::finding::{Fault, Finding, Severity};
use crate::tls::certificate::host::{dns_names, names};
use crate::tls::certificate::mend::Mender;
use crate::tls::certificate::words::{self, system_time, title};

/// The longest that a public authority's certificate may be valid (Baseline Requirements section 6.3.2).
const LONGEST_VALIDITY: Duration = Duration::from_secs(398 * 24 * 60 * 60);

/// Octets of a serial number (RFC 5280 section 4.1.2.2).
const LONGEST_SERIAL: usize = 20;

/// Checks the server's certificate, and what is above it where that matters.
pub fn check(findings: &mut Vec<Finding>, mender: Mender<'_>, contents: &Contents, chain: &Chain) {
    let leaf = &chain.leaf.cert;
    let find = |fault, severity, what: String| {
        Finding::new(fault, severity, &contents.path, what).at(chain.leaf.line)
    };
    let title = title(leaf);
    let request = |new_key| mender.request(&names(leaf), new_key);
    if has_explicit_parameters(leaf) {
        let what = format!(
            "explicit curve parameters: the certificate of {title} spells its curve out instead of naming it"
        );
        findings.push(
            find(Fault::ExplicitParameters, Severity::Error, what)
                .mend("make a new key on a named curve, and have a certificate issued for it; this makes both:")
                .command(request(true)),
        );
    }
    // Who trusts one that only itself vouches for has been told to, and asks for less.
    let alone = is_self_signed(leaf);
    let severity = if alone {
        Severity::Warning
    } else {
        Severity::Error
    };
    if is_marked_as_authority(leaf) {
        let what = format!(
            "an authority's: the certificate of {title} may sign others (basicConstraints CA:TRUE), and no server's should"
        );
        findings.push(
            find(Fault::LeafIsAuthority, severity, what)
                .mend("have it issued anew as a server's; this makes the request:")
                .command(request(false)),
        );
    }
    if leaf
        .key_usage()
        .is_some_and(|usage| !usage.contains(X509KeyUsage::DIGITAL_SIGNATURE))
    {
        let what = format!(
            "no digitalSignature: the key of {title} may not sign (keyUsage), and in each handshake it has to"
        );
        findings.push(
            find(Fault::NoDigitalSignature, Severity::Error, what)
                .mend("have it issued anew, with digitalSignature; this makes the request:")
                .command(format!(
                    "{} -addext keyUsage=digitalSignature",
                    request(false)
                )),
        );
    }
    if !alone
        && leaf
            .extended_key_usage()
            .is_none_or(|usage| usage.intersects(X509ExtendedKeyUsage::ANYEKU))
    {
        let what = format!(
            "no serverAuth: the certificate of {title} doesn't say that it is for servers (extendedKeyUsage)"
        );
        findings.push(
            find(Fault::NoServerAuth, Severity::Warning, what)
                .mend("have it issued anew, with serverAuth; this makes the request:")
                .command(format!(
                    "{} -addext extendedKeyUsage=serverAuth",
                    request(false)
                )),
        );
    }
    if !alone && let Some(what) = long_validity(leaf) {
        findings.push(
            find(Fault::LongValidity, Severity::Warning, what)
                .mend("a private authority's may be; have a public one's issued for 398 days at most, or shorter and by itself (ACME)"),
        );
    }
    for (name, severity, why) in odd_names(leaf) {
        let what = format!("name that is none: {name} {why}");
        findings.push(
            find(Fault::BadName, severity, what)
                .mend("have it issued anew with other names; this makes the request, in which they are to be changed:")
                .command(request(false)),
        );
    }
    for placed in std::iter::once(&chain.leaf).chain(&chain.above) {
        if let Some(why) = odd_serial(&placed.cert) {
            let what = format!(
                "serial number {why}: the certificate of {}",
                words::title(&placed.cert)
            );
            findings.push(
                Finding::new(Fault::BadSerial, Severity::Error, &contents.path, what)
                    .at(placed.line)
                    .mend("the issuer has made a mistake (RFC 5280 wants 1 to 20 octets, positive); have it issued anew by another, or by a later version of its software"),
            );
        }
    }
}

/// Whether the curve is spelt out (RFC 5480 section 2.1.1 forbids that).
fn has_explicit_parameters(cert: &X509Ref) -> bool {
    cert.to_der()
        .is_ok_and(|der| der::has_explicit_curve(&der).unwrap_or(false))
}

fn is_marked_as_authority(cert: &X509Ref) -> bool {
    cert.to_der()
        .is_ok_and(|der| der::is_marked_as_authority(&der).unwrap_or(false))
}

fn long_validity(cert: &X509Ref) -> Option<String> {
    let (from, until) = (
        system_time(cert.not_before()),
        system_time(cert.not_after()),
    );
    let span = until.duration_since(from).ok()?;
    (span > LONGEST_VALIDITY).then(|| {
        format!(
            "valid for more than 398 days: the certificate of {} for {}",
            title(cert),
            words::span(span)
        )
    })
}

/// The DNS names that clients don't take for what they are meant to be.
fn odd_names(cert: &X509Ref) -> Vec<(String, Severity, &'static str)> {
    const ADDRESS: &str = "is an address, and written as a DNS name; clients look for it among the addresses (IP:) alone";
    const UNDERSCORE: &str = "has an underscore, which names of hosts don't have (RFC 5280 section 4.2.1.6); some clients refuse it";
    let mut odd = Vec::new();
    for name in dns_names(cert) {
        if name.parse::<IpAddr>().is_ok() {
            odd.push((words::shown(&name), Severity::Error, ADDRESS));
        } else if name.contains('_') {
            odd.push((words::shown(&name), Severity::Warning, UNDERSCORE));
        }
    }
    odd
}

fn odd_serial(cert: &X509Ref) -> Option<&'static str> {
    let der = cert.to_der().ok()?;
    match der::serial(&der)? {
        [] => None,
        [first, ..] if first & 0x80 != 0 => Some("negative"),
        octets if octets.len() > LONGEST_SERIAL => Some("longer than 20 octets"),
        _ => None,
    }
}
