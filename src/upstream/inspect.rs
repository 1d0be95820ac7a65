//! A second look at each TLS connection of Pingora's connector, before anything of a request is sent on it.
//!
//! Pingora verifies chain and host name, but no IP address (its names are DNS names), takes what ALPN ends with, and
//! would still speak TLS 1.0. What a handshake came to is noted when it is complete and judged when a request is to
//! use the connection, the first as well as any later one.

use std::any::Any;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use openssl::ssl::{SslRef, SslVersion};
use pingora::protocols::Digest;
use pingora::protocols::tls::{ALPN, HandshakeCompleteHook};
use pingora::upstreams::peer::HttpPeer;

use super::name::ServerName;
use super::trouble::{self, Trouble};
use crate::config::model::Alpn;
use crate::tls::certificate;

/// What a handshake came to.
struct Seen {
    http2: bool,
    outdated: bool,
    /// The certificate's `iPAddress` names.
    addresses: Vec<IpAddr>,
    names: Vec<String>,
}

/// Notes what a handshake came to, on the connection.
pub fn hook() -> HandshakeCompleteHook {
    static HOOK: OnceLock<HandshakeCompleteHook> = OnceLock::new();
    Arc::clone(HOOK.get_or_init(|| Arc::new(note)))
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that Pingora wants")]
fn note(ssl: &SslRef) -> Option<Arc<dyn Any + Send + Sync>> {
    let cert = ssl.peer_certificate();
    let addresses = cert
        .as_ref()
        .and_then(|cert| cert.subject_alt_names())
        .iter()
        .flatten()
        .filter_map(|name| name.ipaddress().and_then(trouble::ip))
        .collect();
    Some(Arc::new(Seen {
        http2: ssl.selected_alpn_protocol() == Some(Alpn::H2.wire()),
        outdated: !matches!(
            ssl.version2(),
            Some(SslVersion::TLS1_2 | SslVersion::TLS1_3)
        ),
        addresses,
        names: cert.as_deref().map(certificate::names).unwrap_or_default(),
    }))
}

/// Whether a request may be sent to the peer on the connection of that digest.
///
/// # Errors
///
/// Why not.
pub fn admit(peer: &HttpPeer, digest: Option<&Digest>) -> Result<(), Trouble> {
    if !peer.is_tls() {
        return Ok(());
    }
    let seen = digest
        .and_then(|digest| digest.ssl_digest.as_ref())
        .and_then(|ssl| ssl.extension.get::<Seen>());
    let Some(seen) = seen else {
        return Err(Trouble::of_reason(
            "the handshake left no trace",
            peer.client_cert_key.is_some(),
        ));
    };
    if seen.outdated {
        return Err(Trouble::outdated());
    }
    if peer.options.verify_cert && !peer.options.verify_hostname {
        let Some(name) = ServerName::new(&peer.sni) else {
            return Err(Trouble::nameless());
        };
        let held = name
            .address()
            .is_some_and(|asked| seen.addresses.contains(&asked));
        if !held {
            return Err(Trouble::other_name(&name, &seen.names));
        }
    }
    if peer.options.alpn == ALPN::H2 && !seen.http2 {
        return Err(Trouble::no_http2());
    }
    Ok(())
}
