//! What is known of a connection after its TLS handshake.

use http::HeaderValue;

use crate::config::model::Alpn;

/// A TLS connection, as its requests know it.
#[derive(Debug)]
pub struct Established {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// OpenSSL's name of the cipher suite.
    pub cipher: &'static str,
    /// The name that the client asked for, in lower case.
    pub sni: Option<Box<str>>,
    /// What was agreed on to be spoken (RFC 7301), if anything was.
    pub alpn: Option<Alpn>,
    /// An earlier session went on.
    pub resumed: bool,
    /// What the client has shown of itself; `None` = it was not asked, or had nothing.
    pub client: Option<ClientCertificate>,
    /// Whether servers are told of the client's certificate.
    pub forward_client: bool,
    /// A request for a host other than [`Self::sni`] is to be answered with 421.
    pub strict_sni: bool,
}

/// A client's certificate, verified.
#[derive(Debug)]
pub struct ClientCertificate {
    /// The subject by RFC 4514.
    pub subject: HeaderValue,
    /// The common name in it, if it has one.
    pub common_name: Option<Box<str>>,
    /// The serial number in hexadecimal.
    pub serial: HeaderValue,
    /// SHA-256 of the certificate in hexadecimal.
    pub fingerprint: HeaderValue,
}
