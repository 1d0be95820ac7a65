//! raw -> model for TLS. What the files hold is looked at later, by who uses them.

use std::path::Path;
use std::sync::Arc;

use super::checks::Checks;
use super::model;
use super::problem::similar;
use super::raw;
use super::tree::At;

/// The listener's TLS: `Some` exactly for the protocols that have it. What is `written` and not sound has its own problem.
pub(super) fn tls(
    raw: &raw::Listener,
    at: &At<'_>,
    written: &At<'_>,
    state_dir: &Path,
    checks: &mut Checks<'_>,
) -> Option<model::Tls> {
    let https = raw.protocol == raw::Protocol::Https;
    let tls_at = at.key("tls");
    let is_unknown = at.is_broken(written, "protocol");
    let speaks_tls = https || raw.protocol == raw::Protocol::Tls || is_unknown;
    match (&raw.tls, speaks_tls) {
        (Some(tls), true) => {
            let alpn = alpn(tls, raw, &tls_at, checks);
            let written = written.key("tls");
            Some(common(tls, alpn, &tls_at, &written, state_dir, checks))
        }
        (Some(_), false) => {
            checks.note(
                &tls_at,
                "has no effect for this protocol; write protocol: https (or tls, for connections that aren't HTTP)",
            );
            None
        }
        (None, true) if is_unknown || written.key("tls").is_written() => None,
        (None, true) => {
            checks.note(
                &at.key("protocol"),
                "needs tls: {certificates: [{cert: …, key: …}]}",
            );
            None
        }
        (None, false) => None,
    }
}

/// The admin listener's TLS. It speaks HTTP/1.1 alone, and obtains no certificates by itself.
pub(super) fn of_admin(
    tls: &raw::Tls,
    at: &At<'_>,
    written: &At<'_>,
    state_dir: &Path,
    checks: &mut Checks<'_>,
) -> model::Tls {
    if tls.acme.is_some() {
        checks.note(
            &at.key("acme"),
            "is for listeners; name here the file that a listener's acme keeps, or another certificate",
        );
    }
    let alpn_at = at.key("alpn");
    if alpn_at.is_written() && tls.alpn.is_some() {
        checks.note(&alpn_at, "has no meaning here, where HTTP/1.1 is spoken");
    }
    if tls.client_auth.forward {
        checks.note(
            &at.key("client_auth").key("forward"),
            "has no meaning here: there is no server that could be told",
        );
    }
    model::Tls {
        acme: None,
        ..common(
            tls,
            vec![model::Alpn::Http11],
            at,
            written,
            state_dir,
            checks,
        )
    }
}

fn common(
    tls: &raw::Tls,
    alpn: Vec<model::Alpn>,
    at: &At<'_>,
    written: &At<'_>,
    state_dir: &Path,
    checks: &mut Checks<'_>,
) -> model::Tls {
    let certificates_at = at.key("certificates");
    let is_broken = ["certificates", "certificate", "acme"]
        .iter()
        .any(|key| at.is_broken(written, key));
    if tls.certificates.is_empty() && tls.certificate.is_none() && tls.acme.is_none() && !is_broken
    {
        checks.note(
            &certificates_at,
            "is empty; write certificates: [{cert: site.pem, key: site.key}], or acme",
        );
    }
    let one = tls
        .certificate
        .as_ref()
        .map(|raw| (raw, at.key("certificate")));
    let listed = tls.certificates.iter().enumerate();
    let certificates = one
        .into_iter()
        .chain(listed.map(|(index, raw)| (raw, certificates_at.item(index))))
        .filter_map(|(raw, at)| certificate(raw, &at, checks))
        .collect();
    if tls.min_version > tls.max_version {
        checks.note(&at.key("min_version"), "is above max_version");
    }
    let path = |key: &str, path: &Option<raw::FilePath>| {
        path.as_ref().map(|path| checks.path(&at.key(key), &path.0))
    };
    let session_ticket_key_file = path("session_ticket_key_file", &tls.session_ticket_key_file);
    let text = |list: &Option<raw::OpensslList>| list.as_ref().map(|list| list.0.clone());
    model::Tls {
        certificates,
        has_single: tls.certificate.is_some(),
        acme: tls
            .acme
            .as_ref()
            .map(|raw| acme(raw, &at.key("acme"), state_dir, checks)),
        min_version: version(tls.min_version),
        max_version: version(tls.max_version),
        ciphers: text(&tls.ciphers),
        cipher_suites: text(&tls.cipher_suites),
        groups: text(&tls.groups),
        alpn,
        strict_sni: tls.strict_sni,
        client_auth: client_auth(
            &tls.client_auth,
            &at.key("client_auth"),
            &written.key("client_auth"),
            checks,
        ),
        session_ticket_key_file,
        ocsp_stapling: tls.ocsp.stapling == raw::Stapling::Auto,
        handshake_timeout: checks.positive(&at.key("handshake_timeout"), tls.handshake_timeout, ""),
    }
}

/// What is offered above TLS: of HTTP what is spoken here, and of all else what the servers are said to speak.
fn alpn(
    tls: &raw::Tls,
    listener: &raw::Listener,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> Vec<model::Alpn> {
    let alpn_at = at.key("alpn");
    let is_http = listener.protocol != raw::Protocol::Tls;
    let http2 = listener.http.http2.enabled;
    let Some(written) = &tls.alpn else {
        let all = [model::Alpn::H2, model::Alpn::Http11].into_iter();
        let all = all.skip(usize::from(!http2));
        return all.filter(|_| is_http).collect();
    };
    let mut offered = Vec::with_capacity(written.len());
    for (index, name) in written.iter().enumerate() {
        let at = alpn_at.item(index);
        let protocol = match &*name.0 {
            "h2" => model::Alpn::H2,
            "http/1.1" => model::Alpn::Http11,
            other => model::Alpn::Other(Arc::from(other)),
        };
        match &protocol {
            model::Alpn::Other(name) if is_http => {
                let message = format!("`{name}` isn't spoken by https; h2 and http/1.1 are");
                let meant = similar(name, ["h2", "http/1.1"]);
                checks.note_with(&at, message, meant);
            }
            model::Alpn::H2 if is_http && !http2 => {
                checks.note(&at, "is offered, but http.http2.enabled is false");
            }
            _ => {}
        }
        if offered.contains(&protocol) {
            checks.note(&at, "is written twice");
        }
        offered.push(protocol);
    }
    offered
}

fn version(raw: raw::TlsVersion) -> model::TlsVersion {
    match raw {
        raw::TlsVersion::V12 => model::TlsVersion::V12,
        raw::TlsVersion::V13 => model::TlsVersion::V13,
    }
}

fn certificate(
    raw: &raw::Certificate,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<model::CertificateSource> {
    let (key, file) = match (&raw.cert, &raw.bundle) {
        (Some(cert), None) => ("cert", cert),
        (None, Some(bundle)) => ("bundle", bundle),
        (Some(_), Some(_)) => {
            checks.note(
                &at.key("bundle"),
                "is written besides cert; write one of them",
            );
            return None;
        }
        (None, None) => {
            checks.note(at, "needs cert (and key), or bundle");
            return None;
        }
    };
    if raw.bundle.is_some() && raw.key.is_some() {
        checks.note(
            &at.key("key"),
            "has no meaning with bundle, which holds the key; write cert instead of bundle",
        );
    }
    Some(model::CertificateSource {
        cert: checks.path(&at.key(key), &file.0),
        key: raw
            .key
            .as_ref()
            .map(|key| checks.path(&at.key("key"), &key.0)),
        password_file: raw
            .password_file
            .as_ref()
            .map(|file| checks.path(&at.key("password_file"), &file.0)),
    })
}

fn client_auth(
    raw: &raw::ClientAuth,
    at: &At<'_>,
    written: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<model::ClientAuth> {
    if raw.mode == raw::ClientAuthMode::None {
        if at.is_broken(written, "mode") {
            return None;
        }
        for key in ["ca", "crl"] {
            let at = at.key(key);
            if at.is_written() {
                checks.note(
                    &at,
                    "has no effect with mode: none; write mode: optional or required",
                );
            }
        }
        if raw.forward {
            checks.note(&at.key("forward"), "has no effect with mode: none");
        }
        return None;
    }
    let Some(ca) = &raw.ca else {
        if !written.key("ca").is_written() {
            checks.note(
                at,
                "needs ca, the file of the authorities whose certificates are accepted",
            );
        }
        return None;
    };
    Some(model::ClientAuth {
        required: raw.mode == raw::ClientAuthMode::Required,
        ca: checks.path(&at.key("ca"), &ca.0),
        crl: raw
            .crl
            .as_ref()
            .map(|crl| checks.path(&at.key("crl"), &crl.0)),
        forward: raw.forward,
    })
}

fn acme(raw: &raw::Acme, at: &At<'_>, state_dir: &Path, checks: &mut Checks<'_>) -> model::Acme {
    let challenge = match raw.challenge {
        raw::Challenge::Http01 => model::Challenge::Http01,
        raw::Challenge::TlsAlpn01 => model::Challenge::TlsAlpn01,
    };
    let domains_at = at.key("domains");
    let mut domains: Vec<Arc<str>> = Vec::with_capacity(raw.domains.len());
    for (index, domain) in raw.domains.iter().enumerate() {
        let name = domain.0.trim_end_matches('.').to_ascii_lowercase();
        if name.starts_with("*.") {
            checks.note(
                &domains_at.item(index),
                "is a wildcard, which authorities give for the challenge dns-01 alone; list the names",
            );
        }
        if domains.iter().any(|known| **known == *name) {
            checks.note(&domains_at.item(index), "is written twice");
        } else {
            domains.push(Arc::from(name));
        }
    }
    model::Acme {
        directory: raw.directory.0.clone(),
        email: raw.email.as_ref().map(|email| email.0.clone()),
        domains,
        storage: raw.storage.as_ref().map_or_else(
            || state_dir.join("acme"),
            |path| checks.path(&at.key("storage"), &path.0),
        ),
        challenge,
        external_account: raw.external_account.as_ref().map(|account| {
            let at = at.key("external_account");
            model::ExternalAccount {
                key_id: account.key_id.0.clone(),
                hmac_key_file: checks.path(&at.key("hmac_key_file"), &account.hmac_key_file.0),
            }
        }),
        ca: raw.ca.as_ref().map(|ca| checks.path(&at.key("ca"), &ca.0)),
    }
}

/// The TLS of a pool with these servers.
pub(super) fn upstream_tls(
    raw: &raw::UpstreamTls,
    servers: &[model::PoolServer],
    discovery: Option<&model::Discovery>,
    at: &At<'_>,
    written: &At<'_>,
    checks: &mut Checks<'_>,
) -> model::UpstreamTls {
    if !raw.verify && raw.ca.is_some() {
        checks.note(&at.key("ca"), "has no effect with verify: false");
    }
    let has_name = written.key("server_name").is_written();
    let socket = servers
        .iter()
        .find(|server| matches!(server.address, model::ServerAddress::Unix(_)));
    if let (true, false, Some(server)) = (raw.verify, has_name, socket) {
        let message = format!(
            "needs server_name: a unix socket ({}) has no name that its certificate could be verified by",
            server.address
        );
        checks.note(at, message);
    }
    let discovered = discovery.and_then(|discovery| match &discovery.dns {
        model::DiscoveredName::Addresses(host, _) => Some(Arc::clone(host)),
        model::DiscoveredName::Services(name) => {
            if raw.verify && !has_name {
                let message = format!(
                    "needs server_name: {name} names services, and no server that its certificate could be verified by"
                );
                checks.note(at, message);
            }
            None
        }
    });
    model::UpstreamTls {
        verify: raw.verify,
        server_name: raw
            .server_name
            .as_ref()
            .map(|name| Arc::from(name.0.as_str()))
            .or(discovered),
        ca: raw.ca.as_ref().map(|ca| checks.path(&at.key("ca"), &ca.0)),
        certificate: raw
            .certificate
            .as_ref()
            .and_then(|raw| certificate(raw, &at.key("certificate"), checks)),
    }
}
