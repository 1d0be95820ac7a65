//! Time, and how strong it is.

use std::time::Duration;

use openssl::nid::Nid;
use openssl::pkey::Id;
use openssl::ssl::{SslContext, SslMethod};
use openssl::x509::X509Ref;

use crate::tls::certificate::chain::{Chain, Placed, is_self_signed};
use crate::tls::certificate::contents::Contents;
use crate::tls::certificate::examine::Examination;
use crate::tls::certificate::finding::{Fault, Finding, Severity};
use crate::tls::certificate::host::names;
use crate::tls::certificate::mend::Mender;
use crate::tls::certificate::words::{self, moment, span, system_time, title};

/// How long before its end a certificate is reported.
pub const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The shortest keys that clients take, in bits.
const RSA_BITS: u32 = 2048;
const CURVE_BITS: u32 = 256;

/// Checks the server's certificate and what is above it; not the root, which is nobody's business here.
pub fn check(
    findings: &mut Vec<Finding>,
    mender: Mender<'_>,
    contents: &Contents,
    chain: &Chain,
    examination: &Examination<'_>,
) {
    let above = chain
        .above
        .iter()
        .filter(|placed| !is_self_signed(&placed.cert));
    for placed in std::iter::once(&chain.leaf).chain(above) {
        let is_leaf = placed.position == chain.leaf.position;
        let mend = |finding: Finding, new_key| {
            if is_leaf {
                finding
                    .mend("renew it; if nothing does so by itself, this makes the request for the issuer:")
                    .command(mender.request(&names(&placed.cert), new_key))
            } else {
                finding.mend(format!(
                    "it is an intermediate's: get the issuer's present one, then: {}",
                    mender.join("INTERMEDIATE", contents.encoding)
                ))
            }
        };
        let find = |fault, severity, what: String| {
            Finding::new(fault, severity, &contents.path, what).at(placed.line)
        };
        if let Some((fault, severity, what)) = time(placed, examination) {
            let finding = find(fault, severity, what);
            findings.push(match fault {
                Fault::NotYetValid => finding
                    .mend("look whether this machine's clock is right; if it is, wait:")
                    .command("date -u".to_owned()),
                _ => mend(finding, false),
            });
        }
        let severity = if is_leaf && !openssl_takes(&placed.cert) {
            Severity::Fatal
        } else {
            Severity::Error
        };
        if let Some(what) = weak_signature(&placed.cert) {
            findings.push(mend(find(Fault::WeakSignature, severity, what), false));
        }
        if let Some(what) = short_key(&placed.cert) {
            findings.push(mend(find(Fault::ShortKey, severity, what), true));
        }
    }
}

fn time(placed: &Placed, examination: &Examination<'_>) -> Option<(Fault, Severity, String)> {
    let now = examination.now;
    let from = system_time(placed.cert.not_before());
    let until = system_time(placed.cert.not_after());
    let title = title(&placed.cert);
    if let Ok(early) = from.duration_since(now)
        && !early.is_zero()
    {
        let what = format!(
            "not yet valid: the certificate of {title} begins {}, in {}",
            moment(from),
            span(early)
        );
        return Some((Fault::NotYetValid, Severity::Error, what));
    }
    match until.duration_since(now) {
        Ok(left) if left <= SOON => {
            let what = format!(
                "expires within 30 days: the certificate of {title} ends {}, in {}",
                moment(until),
                span(left)
            );
            Some((Fault::ExpiresSoon, Severity::Warning, what))
        }
        Ok(_) => None,
        Err(late) => {
            let what = format!(
                "expired: the certificate of {title} ended {}, {} ago",
                moment(until),
                span(late.duration())
            );
            Some((Fault::Expired, Severity::Error, what))
        }
    }
}

fn weak_signature(cert: &X509Ref) -> Option<String> {
    // Nobody has to trust the signature of what trusts only itself.
    if is_self_signed(cert) {
        return None;
    }
    let digest = cert
        .signature_algorithm()
        .object()
        .nid()
        .signature_algorithms()?
        .digest;
    let name = match digest {
        Nid::SHA1 => "SHA-1",
        Nid::MD5 => "MD5",
        Nid::MD5_SHA1 | Nid::MD4 | Nid::MD2 => "an old hash",
        _ => return None,
    };
    Some(format!(
        "signed with {name}: the certificate of {} ({})",
        title(cert),
        words::signature(cert)
    ))
}

fn short_key(cert: &X509Ref) -> Option<String> {
    let key = cert.public_key().ok()?;
    let (wanted, least) = match key.id() {
        Id::RSA | Id::RSA_PSS | Id::DSA => (RSA_BITS, "2048 bits"),
        Id::EC => (CURVE_BITS, "P-256"),
        _ => return None,
    };
    (key.bits() < wanted).then(|| {
        format!(
            "short key: the certificate of {} has {}; {least} is the least",
            title(cert),
            words::key(&key)
        )
    })
}

/// Whether OpenSSL, at its usual level of security, lets a server have this certificate.
fn openssl_takes(cert: &X509Ref) -> bool {
    SslContext::builder(SslMethod::tls_server())
        .and_then(|mut context| context.set_certificate(cert))
        .is_ok()
}
