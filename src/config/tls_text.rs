//! What the sections `tls` and `acme` say in text: names, lists for OpenSSL, protocols, addresses of authorities.

use std::fmt;

use super::address::{host_name, more_than_a_name};
use super::problem::shown;
use super::scalar::{Scalar, scalar};
use super::text::checked_text;

checked_text!(
    /// A name that a certificate is to have: a host name with at least one dot, or `*.` and one.
    DnsName, "equipoise-dns-name", |text| {
        if let Some(message) = more_than_a_name(text) {
            return Err(message);
        }
        if text.parse::<std::net::IpAddr>().is_ok() {
            return Err(format!("`{}` is an address; certificates by ACME are for names", shown(text)));
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        if let Some(name) = name.strip_suffix('.') {
            return Err(format!("`{}` ends in a dot, which no name in a certificate has; write {}", shown(text), shown(name)));
        }
        if name.contains('_') {
            return Err(format!("`{}` has an underscore, which no authority puts into a certificate", shown(text)));
        }
        if name.contains('*') {
            return Err(format!("`{}`: a `*` may stand for the whole first label alone, as in *.example.com", shown(text)));
        }
        host_name(name).map_err(|_| format!("`{}` is not a DNS name", shown(text)))?;
        if name.contains('.') || name == "localhost" {
            Ok(())
        } else {
            Err(format!("`{}` is a single label, for which no authority gives certificates", shown(text)))
        }
    }
);

checked_text!(
    /// The name that a server's certificate must have: a host name or an IP address.
    ServerName, "equipoise-server-name", |text| {
        if text.parse::<std::net::IpAddr>().is_ok() {
            Ok(())
        } else if let Some(message) = more_than_a_name(text) {
            Err(message)
        } else {
            host_name(text)
        }
    }
);

checked_text!(
    /// A list for OpenSSL: names, separated by colons.
    OpensslList, "equipoise-openssl-list", |text| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":-_+!@=?*/.,".contains(&byte);
        if !text.is_empty() && text.len() <= 4096 && text.bytes().all(fits) {
            Ok(())
        } else {
            Err(format!("`{}` is not a list of OpenSSL's names, separated by colons", shown(text)))
        }
    }
);

checked_text!(
    /// The name of a protocol above TLS (RFC 7301 section 3.1).
    AlpnName, "equipoise-alpn", |text| {
        if text == "acme-tls/1" {
            Err("`acme-tls/1` is offered by itself where acme has the challenge tls-alpn-01".into())
        } else if (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(())
        } else {
            Err(format!("`{}` is not the name of a protocol, such as h2 or postgresql", shown(text)))
        }
    }
);

checked_text!(
    /// An e-mail address, by the little that is certain about one.
    Contact, "equipoise-email", |text| {
        let sound = text.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty() && host_name(host).is_ok()
                && user.bytes().all(|byte| byte.is_ascii_graphic() && !b",;<>\"?".contains(&byte))
        });
        let scheme = text.get(..7).filter(|start| start.eq_ignore_ascii_case("mailto:"));
        if let Some(address) = scheme.and_then(|_| text.get(7..)) {
            Err(format!("`{}` is a URL; write {}, without mailto:", shown(text), shown(address)))
        } else if sound && text.len() <= 254 {
            Ok(())
        } else {
            Err(format!("`{}` is not an e-mail address such as admin@example.com", shown(text)))
        }
    }
);

checked_text!(
    /// A URL of scheme https.
    HttpsUrl, "equipoise-https-url", |text| {
        let uri: http::Uri = text.parse().map_err(|_| format!("`{}` is not a URL", shown(text)))?;
        match (uri.scheme_str(), uri.host()) {
            (Some("https"), Some(host)) if !host.is_empty() => Ok(()),
            (Some("http"), _) => Err("is http; it must be https".into()),
            _ => Err(format!("`{}` is not a URL such as https://acme.example.com/directory", shown(text))),
        }
    }
);
