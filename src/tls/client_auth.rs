//! Certificates of clients: who is asked, what is accepted, and what servers are told of it.

use std::fmt::Write as _;

use http::HeaderValue;
use openssl::asn1::Asn1TimeRef;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::ssl::{SslContextBuilder, SslRef, SslVerifyMode};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Crl, X509NameRef, X509Ref};
use sha2::{Digest, Sha256};

use super::Trouble;
use super::certificate;
use super::established::ClientCertificate;
use super::openssl_calls::add_revocations;
use crate::config::model;

/// What clients are held to.
pub struct ClientAuthority {
    required: bool,
    authorities: Vec<X509>,
    /// Empty = nobody asks whether a certificate was revoked.
    revocations: Vec<X509Crl>,
    /// Names these rules: a session of other rules doesn't go on under them.
    rules: [u8; 32],
}

impl ClientAuthority {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// What is wrong, with the key that it is wrong for.
    pub fn load(settings: &model::ClientAuth) -> Result<Self, Trouble> {
        let authorities = certificate::read_ca_bundle(&settings.ca)
            .map_err(|wrong| Trouble::at(&["client_auth", "ca"], wrong.to_string()))?;
        let mut rules = Sha256::new();
        rules.update([u8::from(settings.required)]);
        for authority in &authorities {
            rules.update(authority.to_der().unwrap_or_default());
        }
        let mut revocations = Vec::new();
        if let Some(path) = &settings.crl {
            revocations = certificate::read_crls(path)
                .map_err(|wrong| Trouble::at(&["client_auth", "crl"], wrong.to_string()))?;
            for list in &revocations {
                rules.update(list.to_der().unwrap_or_default());
            }
        }
        Ok(Self {
            required: settings.required,
            authorities,
            revocations,
            rules: rules.finalize().into(),
        })
    }

    /// Revocation lists that have run out, with no newer one of the same authority beside them: they refuse everybody.
    pub fn overdue(&self) -> Vec<Trouble> {
        let issuer = |list: &X509Crl| distinguished_name(list.issuer_name());
        let (current, overdue): (Vec<_>, Vec<_>) = self
            .revocations
            .iter()
            .partition(|list| list.next_update().is_none_or(is_current));
        overdue
            .into_iter()
            .filter(|list| !current.iter().any(|newer| issuer(newer) == issuer(list)))
            .map(|list| {
                let until = list.next_update().map(ToString::to_string);
                let message = format!(
                    "the revocation list of {} ran out on {}: every client with a certificate is refused; take a newer one from the authority",
                    issuer(list),
                    until.unwrap_or_default()
                );
                Trouble::at(&["client_auth", "crl"], message)
            })
            .collect()
    }

    /// Makes a listener's handshakes ask clients for certificates.
    ///
    /// # Errors
    ///
    /// OpenSSL's.
    pub fn apply(&self, context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        let mut store = X509StoreBuilder::new()?;
        for authority in &self.authorities {
            store.add_cert(authority.clone())?;
            context.add_client_ca(authority)?;
        }
        for list in &self.revocations {
            add_revocations(&mut store, list)?;
        }
        if !self.revocations.is_empty() {
            store.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)?;
        }
        context.set_verify_cert_store(store.build())?;
        let mut mode = SslVerifyMode::PEER;
        if self.required {
            mode |= SslVerifyMode::FAIL_IF_NO_PEER_CERT;
        }
        context.set_verify(mode);
        context.set_session_id_context(&self.rules)
    }
}

/// The client's certificate, if it has shown one, which the handshake has verified.
///
/// # Errors
///
/// It has expired since: an earlier session went on, in which it had not.
pub fn shown(ssl: &SslRef) -> Result<Option<ClientCertificate>, &'static str> {
    let Some(certificate) = ssl.peer_certificate() else {
        return Ok(None);
    };
    if ssl.session_reused() && !is_current(certificate.not_after()) {
        return Err("the client's certificate has expired since its session began");
    }
    Ok(describe(&certificate))
}

fn is_current(not_after: &Asn1TimeRef) -> bool {
    openssl::asn1::Asn1Time::days_from_now(0).is_ok_and(|now| *not_after > *now)
}

fn describe(certificate: &X509Ref) -> Option<ClientCertificate> {
    let serial = certificate
        .serial_number()
        .to_bn()
        .ok()?
        .to_hex_str()
        .ok()?;
    let fingerprint = certificate.digest(MessageDigest::sha256()).ok()?;
    let mut hex = String::with_capacity(64);
    for byte in &*fingerprint {
        write!(hex, "{byte:02x}").ok()?;
    }
    Some(ClientCertificate {
        subject: HeaderValue::try_from(distinguished_name(certificate.subject_name())).ok()?,
        common_name: common_name(certificate.subject_name()),
        serial: HeaderValue::try_from(serial.to_string()).ok()?,
        fingerprint: HeaderValue::try_from(hex).ok()?,
    })
}

/// The last common name, which is the most specific one.
fn common_name(name: &X509NameRef) -> Option<Box<str>> {
    let last = name.entries_by_nid(Nid::COMMONNAME).last()?;
    let text = last.data().to_string().ok()?;
    Some(text.into_boxed_str())
}

/// A name as text by RFC 4514, in ASCII: `CN=alice,O=Example`.
fn distinguished_name(name: &X509NameRef) -> String {
    let parts: Vec<String> = certificate::attributes(name)
        .into_iter()
        .map(|(kind, value)| {
            let mut part = kind + "=";
            match value.to_string() {
                Ok(text) => escape(text.as_bytes(), &mut part),
                Err(_) => escape(value.as_slice(), &mut part),
            }
            part
        })
        .collect();
    parts.join(",")
}

/// RFC 4514 section 2.4.
fn escape(value: &[u8], out: &mut String) {
    for (index, byte) in value.iter().enumerate() {
        let at_edge = index == 0 || index + 1 == value.len();
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' | b'=' => {
                out.push('\\');
                out.push(char::from(*byte));
            }
            b'#' if index == 0 => out.push_str("\\#"),
            b' ' if at_edge => out.push_str("\\ "),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => {
                // Writing to a String can't fail.
                let _ = write!(out, "\\{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use openssl::x509::X509NameBuilder;

    use super::*;

    fn name(entries: &[(Nid, &str)]) -> String {
        let mut builder = X509NameBuilder::new().unwrap();
        for (nid, text) in entries {
            builder.append_entry_by_nid(*nid, text).unwrap();
        }
        distinguished_name(&builder.build())
    }

    #[test]
    fn names_are_written_by_rfc_4514() {
        assert_eq!(
            name(&[
                (Nid::COUNTRYNAME, "DE"),
                (Nid::ORGANIZATIONNAME, "Müller, Söhne + Co"),
                (Nid::COMMONNAME, " alice#1 "),
            ]),
            "CN=\\ alice#1\\ ,O=M\\C3\\BCller\\, S\\C3\\B6hne \\+ Co,C=DE"
        );
    }

    #[test]
    fn a_name_cannot_end_its_header() {
        let written = name(&[(Nid::COMMONNAME, "a\r\nX-Admin: yes")]);
        assert_eq!(written, "CN=a\\0D\\0AX-Admin: yes");
        assert!(HeaderValue::try_from(written).is_ok());
    }
}
