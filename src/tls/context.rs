//! A listener's settings and certificates as OpenSSL's context.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    AlpnError, ClientHelloResponse, NameType, SniError, Ssl, SslAlert, SslContext,
    SslContextBuilder, SslMethod, SslMode, SslOptions, SslRef, SslVersion, select_next_proto,
};
use openssl::x509::X509;

use super::Trouble;
use super::client_auth::ClientAuthority;
use super::client_hello::host_name;
use super::names::{Chosen, Names};
use super::ocsp::Staples;
use super::openssl_calls::{
    EXTENSION_ALPN, EXTENSION_SERVER_NAME, client_hello_extension, use_ticket_keys,
};
use super::ticket_keys::TicketKeys;
use crate::config::model;

/// TLS 1.2: forward secrecy and authenticated encryption alone.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
                       ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
                       ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
/// The first one withstands quantum computers (draft-ietf-tls-ecdhe-mlkem); the slash says that a client which knows it
/// is asked for it, if it has guessed another one.
const GROUPS: &str = "X25519MLKEM768/X25519:P-256:P-384";
/// Sessions of listeners that ask for no client certificates may go on at each other.
const SESSIONS_OF_ANYBODY: &[u8] = b"equipoise";
/// RFC 8737 section 6.2.
const ACME_TLS: &[u8] = b"acme-tls/1";

/// HTTP/1.0 as a list of one.
const HTTP_10: &[u8] = b"\x08http/1.0";

/// Answers to an ACME authority that validates a name over TLS (RFC 8737).
pub trait AlpnChallenges: Send + Sync {
    /// The certificate that proves that `name` is ours, if somebody is to be shown that now. It may read a file, and make a
    /// key: not for a thread that many wait for.
    fn certificate(&self, name: &str) -> Option<(X509, PKey<Private>)>;
}

/// A handshake that only validates a name (RFC 8737). It is held up until it is known what it is to be shown.
struct Validation {
    /// The name that is asked for.
    name: Option<Box<str>>,
    /// What proves that it is ours, once that has been looked for.
    proof: OnceLock<Option<(X509, PKey<Private>)>>,
}

/// What a context is made of.
pub struct Parts<'a> {
    /// The settings.
    pub settings: &'a model::Tls,
    /// The certificates.
    pub names: Names,
    /// Client certificates; `None` = not asked for.
    pub clients: Option<&'a ClientAuthority>,
    /// For session tickets.
    pub ticket_keys: Arc<TicketKeys>,
    /// What issuers say of the certificates; `None` = it isn't shown.
    pub staples: Option<Arc<Staples>>,
    /// Whether an authority may validate names.
    pub validations: bool,
}

/// Builds a context.
///
/// # Errors
///
/// What OpenSSL doesn't take, with the key that it is wrong for.
pub fn build(parts: Parts<'_>) -> Result<SslContext, Trouble> {
    let settings = parts.settings;
    let mut context = basics(settings).map_err(|error| Trouble::at(&[], words(&error)))?;
    let ciphers = settings.ciphers.as_deref().unwrap_or(CIPHERS);
    context
        .set_cipher_list(ciphers)
        .map_err(|error| unknown("ciphers", "openssl ciphers -v -tls1_2", &error))?;
    if let Some(suites) = &settings.cipher_suites {
        context
            .set_ciphersuites(suites)
            .map_err(|error| unknown("cipher_suites", "openssl ciphers -v -tls1_3 -s", &error))?;
    }
    context
        .set_groups_list(settings.groups.as_deref().unwrap_or(GROUPS))
        .map_err(|error| unknown("groups", "openssl list -tls-groups", &error))?;
    match parts.clients {
        Some(clients) => clients.apply(&mut context),
        None => context.set_session_id_context(SESSIONS_OF_ANYBODY),
    }
    .and_then(|()| use_ticket_keys(&mut context, parts.ticket_keys))
    .map_err(|error| Trouble::at(&[], words(&error)))?;
    if let Some(staples) = parts.staples {
        staple(&mut context, staples).map_err(|error| Trouble::at(&[], words(&error)))?;
    }
    offer(&mut context, settings);
    serve(
        &mut context,
        parts.names,
        settings.strict_sni,
        parts.validations,
    )
    .map_err(|error| Trouble::at(&[], words(&error)))?;
    Ok(context.build())
}

fn unknown(key: &str, list: &str, error: &ErrorStack) -> Trouble {
    let message = format!(
        "OpenSSL knows something in it not ({}); `{list}` shows what there is",
        words(error)
    );
    Trouble::at(&[key], message)
}

fn words(error: &ErrorStack) -> String {
    error
        .errors()
        .last()
        .and_then(openssl::error::Error::reason)
        .unwrap_or("an error of OpenSSL")
        .to_owned()
}

fn basics(settings: &model::Tls) -> Result<SslContextBuilder, ErrorStack> {
    let version = |version| match version {
        model::TlsVersion::V12 => SslVersion::TLS1_2,
        model::TlsVersion::V13 => SslVersion::TLS1_3,
    };
    let mut context = SslContextBuilder::new(SslMethod::tls_server())?;
    context.set_min_proto_version(Some(version(settings.min_version)))?;
    context.set_max_proto_version(Some(version(settings.max_version)))?;
    context.set_options(
        SslOptions::CIPHER_SERVER_PREFERENCE
            // Clients without AES in hardware put ChaCha20 first, and shall have it.
            | SslOptions::PRIORITIZE_CHACHA
            | SslOptions::NO_COMPRESSION
            | SslOptions::NO_RENEGOTIATION,
    );
    // A response is written as it comes, and an idle connection holds no buffers.
    context.set_mode(
        SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::RELEASE_BUFFERS,
    );
    // A record's header and what follows it are read at once.
    context.set_read_ahead(true);
    Ok(context)
}

/// A client that offers protocols of which we know none is refused (RFC 7301 section 3.2).
fn offer(context: &mut SslContextBuilder, settings: &model::Tls) {
    let mut offered = Vec::new();
    for protocol in settings.alpn.iter().map(model::Alpn::wire) {
        offered.extend(u8::try_from(protocol.len()));
        offered.extend_from_slice(protocol);
    }
    let speaks_http1 = settings.alpn.contains(&model::Alpn::Http11);
    context.set_alpn_select_callback(move |ssl, theirs| {
        if is_validation(ssl) {
            return theirs.get(1..).ok_or(AlpnError::ALERT_FATAL);
        }
        if offered.is_empty() {
            return Err(AlpnError::NOACK);
        }
        let ours = select_next_proto(&offered, theirs)
            // Who offers the older version alone is served by the newer, as nginx has it.
            .or_else(|| speaks_http1.then(|| select_next_proto(HTTP_10, theirs))?)
            .ok_or(AlpnError::ALERT_FATAL)?;
        // What is given back must live as long as the handshake, so it is the client's copy.
        theirs
            .windows(ours.len())
            .find(|window| *window == ours)
            .ok_or(AlpnError::ALERT_FATAL)
    });
}

/// Shows what the issuer of the chosen certificate says of it, to clients that ask.
fn staple(context: &mut SslContextBuilder, staples: Arc<Staples>) -> Result<(), ErrorStack> {
    context.set_status_callback(move |ssl| {
        let answer = ssl
            .certificate()
            .and_then(|leaf| staples.of(leaf, SystemTime::now()));
        match answer {
            Some(answer) => ssl.set_ocsp_status(&answer).map(|()| true),
            None => Ok(false),
        }
    })
}

/// Picks certificates by name.
fn serve(
    context: &mut SslContextBuilder,
    names: Names,
    strict: bool,
    validations: bool,
) -> Result<(), ErrorStack> {
    if validations {
        let place = place_of_validation()?;
        context.set_client_hello_callback(move |ssl, _| {
            let protocols = client_hello_extension(ssl, EXTENSION_ALPN);
            if !protocols.is_some_and(offers_only_acme) {
                return Ok(ClientHelloResponse::SUCCESS);
            }
            if let Some(validation) = ssl.ex_data(place) {
                return Ok(match validation.proof.get() {
                    Some(_) => ClientHelloResponse::SUCCESS,
                    None => ClientHelloResponse::RETRY,
                });
            }
            let name = client_hello_extension(ssl, EXTENSION_SERVER_NAME).and_then(host_name);
            let proof = OnceLock::new();
            ssl.set_ex_data(place, Validation { name, proof });
            Ok(ClientHelloResponse::RETRY)
        });
    }
    context.set_servername_callback(move |ssl, alert| {
        let refuse = |alert: &mut SslAlert, why| {
            *alert = why;
            Err(SniError::ALERT_FATAL)
        };
        if let Some(validation) = validation(ssl) {
            let proof = validation.proof.get().cloned().flatten();
            let shown = proof.is_some_and(|(certificate, key)| {
                ssl.set_certificate(&certificate).is_ok() && ssl.set_private_key(&key).is_ok()
            });
            return if shown {
                Ok(())
            } else {
                refuse(alert, SslAlert::UNRECOGNIZED_NAME)
            };
        }
        let covering = ssl
            .servername(NameType::HOST_NAME)
            .and_then(|name| names.covering(name));
        let chosen = match covering {
            Some(chosen) => chosen,
            None if strict => return refuse(alert, SslAlert::UNRECOGNIZED_NAME),
            None => match names.default() {
                Some(chosen) => chosen,
                // The first certificate is still on its way.
                None => return refuse(alert, SslAlert::INTERNAL_ERROR),
            },
        };
        show(ssl, chosen).or_else(|error| {
            tracing::error!(%error, "a certificate can't be served");
            refuse(alert, SslAlert::INTERNAL_ERROR)
        })
    });
    Ok(())
}

fn show(ssl: &mut SslRef, chosen: &Chosen) -> Result<(), ErrorStack> {
    for loaded in chosen.iter() {
        let identity = &loaded.identity;
        ssl.set_certificate(&identity.leaf)?;
        for certificate in &identity.chain {
            ssl.add_chain_cert(certificate.clone())?;
        }
        ssl.set_private_key(&identity.key)?;
    }
    Ok(())
}

/// Where it is kept that a handshake only validates a name.
fn place_of_validation() -> Result<Index<Ssl, Validation>, ErrorStack> {
    static PLACE: OnceLock<Index<Ssl, Validation>> = OnceLock::new();
    if let Some(place) = PLACE.get() {
        return Ok(*place);
    }
    let place = Ssl::new_ex_index()?;
    Ok(*PLACE.get_or_init(|| place))
}

fn validation(ssl: &SslRef) -> Option<&Validation> {
    ssl.ex_data(place_of_validation().ok()?)
}

/// Whether a handshake only validates a name (RFC 8737): nothing is said in such a connection.
pub fn is_validation(ssl: &SslRef) -> bool {
    validation(ssl).is_some()
}

/// The name that a handshake validates, if it does. It goes on once [`prove`] has been told what is shown.
pub fn validated_name(ssl: &SslRef) -> Option<&str> {
    validation(ssl)?.name.as_deref()
}

/// What a handshake that validates a name is to be shown; `None`: the name isn't ours.
pub fn prove(ssl: &SslRef, proof: Option<(X509, PKey<Private>)>) {
    if let Some(validation) = validation(ssl) {
        // It is looked for once.
        drop(validation.proof.set(proof));
    }
}

/// A ProtocolNameList (RFC 7301 section 3.1) of ACME's name alone.
fn offers_only_acme(extension: &[u8]) -> bool {
    let (Some((length, list)), name) = (extension.split_first_chunk::<2>(), ACME_TLS) else {
        return false;
    };
    usize::from(u16::from_be_bytes(*length)) == list.len()
        && list
            .split_first()
            .is_some_and(|(length, rest)| usize::from(*length) == name.len() && rest == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acme_is_meant_only_where_it_stands_alone() {
        assert!(offers_only_acme(b"\0\x0b\x0aacme-tls/1"));
        for other in [
            &b""[..],
            b"\0",
            b"\0\x0b",
            b"\0\x0c\x0aacme-tls/1",
            b"\0\x0b\x0bacme-tls/1",
            b"\0\x0e\x0aacme-tls/1\x02h2",
            b"\0\x03\x02h2",
        ] {
            assert!(!offers_only_acme(other), "{other:?}");
        }
    }
}
