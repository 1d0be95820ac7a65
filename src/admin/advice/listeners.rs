//! Of listeners: certificates, plain HTTP beside HTTPS, whom to believe, room for clients.

use super::{Advice, Facts, Severity, docs};
use crate::admin::control::CertificateStatus;
use crate::config::model::{Listener, Protocol};

/// Days before the end of a certificate's validity from which on it should have been renewed.
const SOON: i64 = 14;

pub fn advise(facts: &Facts<'_>, all: &mut Vec<Advice>) {
    for certificate in facts.certificates {
        all.extend(expiry(certificate));
        all.extend(faults(certificate));
    }
    for refused in &facts.status.certificates_refused {
        all.push(of_listener(
            "certificate_refused",
            Severity::Problem,
            &refused.listener,
            format!(
                "A file of its TLS has changed and can't be used, so what it held before is served: {}.",
                refused.reason
            ),
            "Put the file right: it is taken up without a reload. A restart as it is now would fail.",
            "tls.md#renewal",
        ));
    }
    let speaks_https = |listener: &Listener| listener.protocol == Protocol::Https;
    let has_https = facts.config.listeners.iter().any(speaks_https);
    for listener in &facts.config.listeners {
        all.extend(trusts_everybody(listener));
        if has_https {
            all.extend(plain_http(listener));
        }
    }
    for listener in facts.status.listeners.iter().filter(|one| one.full) {
        let limit = match listener.max_connections {
            0 => "server.max_connections or the file descriptors".to_owned(),
            limit => format!("its max_connections ({limit}), or the process's"),
        };
        all.push(of_listener(
            "listener_full",
            Severity::Problem,
            &listener.name,
            format!("New connections wait: {limit} leave no room."),
            "Raise the limit if the machine can bear it, or find out who holds so many connections.",
            "performance.md#file-descriptors",
        ));
    }
}

fn of_listener(
    key: &'static str,
    severity: Severity,
    listener: &str,
    finding: String,
    remedy: &str,
    page: &str,
) -> Advice {
    Advice {
        key,
        severity,
        about: format!("listener {listener}"),
        finding,
        remedy: remedy.to_owned(),
        docs: docs(page),
    }
}

fn expiry(certificate: &CertificateStatus) -> Option<Advice> {
    let days = certificate.expires_in_days;
    let name = named(certificate);
    let (key, severity, finding) = match days {
        ..0 => (
            "certificate_expired",
            Severity::Problem,
            format!("The certificate for {name} has expired: browsers refuse it."),
        ),
        0..SOON => (
            "certificate_expires_soon",
            Severity::Warning,
            format!("The certificate for {name} expires in {days} days."),
        ),
        _ => return None,
    };
    let (remedy, page) = match certificate.source {
        "acme" => (
            "It should have been renewed by now: the log says what the authority answered.",
            "lets-encrypt.md#when-it-doesnt-work",
        ),
        _ => (
            "Put a new certificate into its file; it is taken up without a reload.",
            "certificates.md#bring-your-certificate",
        ),
    };
    Some(of_listener(
        key,
        severity,
        &certificate.listener,
        finding,
        remedy,
        page,
    ))
}

fn faults(certificate: &CertificateStatus) -> Option<Advice> {
    // That one has expired is said already.
    let first = certificate.findings.first()?;
    if certificate.expires_in_days < SOON {
        return None;
    }
    Some(of_listener(
        "certificate_fault",
        Severity::Warning,
        &certificate.listener,
        format!("The certificate for {}: {first}.", named(certificate)),
        "`equipoise cert check` says all of it, and how to mend it.",
        "certificates.md#what-cert-check-knows",
    ))
}

fn named(certificate: &CertificateStatus) -> &str {
    certificate.names.first().map_or("no name", String::as_str)
}

fn plain_http(listener: &Listener) -> Option<Advice> {
    let serves = listener.protocol == Protocol::Http
        && listener.redirect_https.is_none()
        && listener.pool.is_some();
    serves.then(|| {
        of_listener(
            "http_beside_https",
            Severity::Hint,
            &listener.name,
            "It serves plain HTTP although another listener speaks HTTPS: passwords and cookies can be read on the way.".to_owned(),
            "Set redirect_https, unless only machines you trust can reach it.",
            "configuration.md#listeners",
        )
    })
}

fn trusts_everybody(listener: &Listener) -> Option<Advice> {
    let mut trusted = listener.client_address.trusted_proxies.iter();
    let everybody = trusted.find(|network| network.prefix_len() == 0)?;
    Some(of_listener(
        "everybody_is_trusted",
        Severity::Warning,
        &listener.name,
        format!(
            "trusted_proxies has {everybody}: every client can say that it has another address."
        ),
        "List the addresses of the proxies in front alone.",
        "client-address.md#trusted_proxies",
    ))
}
