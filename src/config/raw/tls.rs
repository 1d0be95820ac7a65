//! `listeners.NAME.tls`, `pools.NAME.tls` and certificates as they are written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::scalar;
use super::super::text::{FilePath, Text};
use super::super::tls_text::{AlpnName, Contact, DnsName, HttpsUrl, OpensslList, ServerName};
use super::super::units::Span;

/// TLS towards clients.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Certificates with their keys. A client gets the one that covers the name it asks for: exact names
    /// first, then wildcards, else the first of the list. An RSA and an ECDSA certificate for one name are served
    /// side by side.
    pub certificates: Vec<Certificate>,
    /// One certificate with its key: a shorter way to write a list of one. It comes before those of the list.
    pub certificate: Option<Certificate>,
    /// Certificates obtained and renewed by themselves (RFC 8555), Let's Encrypt's for example; null = none.
    pub acme: Option<Acme>,
    /// The oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
    /// The newest version of TLS that is spoken.
    pub max_version: TlsVersion,
    /// TLS 1.2 ciphers by OpenSSL's names, separated by colons; null = those with forward secrecy and AEAD.
    pub ciphers: Option<OpensslList>,
    /// TLS 1.3 cipher suites, separated by colons; null = OpenSSL's.
    pub cipher_suites: Option<OpensslList>,
    /// Groups for the key exchange, the preferred one first, separated by colons; null = X25519MLKEM768 first.
    pub groups: Option<OpensslList>,
    /// Protocols above TLS that are offered (ALPN), the preferred one first. https: h2 and http/1.1, both by default.
    /// tls: what the servers speak, by its names there, such as postgresql; by default nothing is said of it.
    pub alpn: Option<Vec<AlpnName>>,
    /// true: a client that asks for no name, or for one that no certificate covers, is refused; false: it gets the
    /// first certificate.
    pub strict_sni: bool,
    /// Certificates of clients.
    pub client_auth: ClientAuth,
    /// File of keys for session tickets, one a line (`openssl rand -base64 48`): the first makes tickets, all open
    /// them. null = random keys that change by themselves. Nodes that share traffic need the same file.
    pub session_ticket_key_file: Option<FilePath>,
    /// What certificates' issuers say of them (OCSP).
    pub ocsp: Ocsp,
    /// How long a handshake may take.
    pub handshake_timeout: Span,
}

/// What certificates' issuers say of them (RFC 6960).
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ocsp {
    /// auto: what the issuer of a certificate answers is shown with it, if it names a responder; off: clients ask
    /// themselves, if they do.
    pub stapling: Stapling,
}

/// Whether OCSP answers are shown in handshakes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Stapling {
    #[default]
    Off,
    Auto,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            certificate: None,
            acme: None,
            min_version: TlsVersion::V12,
            max_version: TlsVersion::V13,
            ciphers: None,
            cipher_suites: None,
            groups: None,
            alpn: None,
            strict_sni: false,
            client_auth: ClientAuth::default(),
            session_ticket_key_file: None,
            ocsp: Ocsp::default(),
            handshake_timeout: Span::secs(10),
        }
    }
}

/// A certificate and its key. What a file holds is found out from its content: PEM, DER, P7B or PFX.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The certificate, with its intermediates after it.
    #[serde(default)]
    pub cert: Option<FilePath>,
    /// Its private key; null = in the file of the certificate.
    #[serde(default)]
    pub key: Option<FilePath>,
    /// One file with certificate, intermediates and key, such as a PFX; instead of cert and key.
    #[serde(default)]
    pub bundle: Option<FilePath>,
    /// File whose first line is the password of the key or bundle; null = it has none.
    #[serde(default)]
    pub password_file: Option<FilePath>,
}

/// Certificates by ACME (RFC 8555).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// URL of the authority's directory.
    #[serde(default = "lets_encrypt")]
    pub directory: HttpsUrl,
    /// Where the authority writes to; null = no address.
    #[serde(default)]
    pub email: Option<Contact>,
    /// The names of the certificate. Several listeners may want the same: it is obtained once.
    #[schemars(length(min = 1))]
    pub domains: Vec<DnsName>,
    /// Directory for account, keys and certificates. Nodes may share it. null = `acme` in server.state_dir.
    #[serde(default)]
    pub storage: Option<FilePath>,
    /// How the authority is shown that the names are ours. http-01: on port 80, by any listener of protocol http;
    /// tls-alpn-01: on port 443, by this listener.
    #[serde(default)]
    pub challenge: Challenge,
    /// Binds the account to one that the authority knows (RFC 8555 section 7.3.4); null = none.
    #[serde(default)]
    pub external_account: Option<ExternalAccount>,
    /// File of certificates that the authority's own server is verified by; null = the system's.
    #[serde(default)]
    pub ca: Option<FilePath>,
}

fn lets_encrypt() -> HttpsUrl {
    HttpsUrl("https://acme-v02.api.letsencrypt.org/directory".into())
}

/// How a name is validated.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Challenge {
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

/// An account at the authority.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccount {
    /// The key's id, from the authority.
    pub key_id: Text,
    /// File whose first line is the key, in base64url as the authority gives it.
    pub hmac_key_file: FilePath,
}

/// Versions of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    V12,
    V13,
}

impl Serialize for TlsVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::V12 => "1.2",
            Self::V13 => "1.3",
        })
    }
}

impl<'de> Deserialize<'de> for TlsVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Without quotes it is a number to YAML.
        match scalar::text(deserializer)?.as_str() {
            "1.2" => Ok(Self::V12),
            "1.3" => Ok(Self::V13),
            _ => Err(serde::de::Error::custom("not a version of TLS")),
        }
    }
}

impl JsonSchema for TlsVersion {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TlsVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ["1.2", "1.3", 1.2, 1.3] })
    }
}

/// Certificates of clients.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields, default)]
pub struct ClientAuth {
    /// none: not asked for; optional: asked for, and verified if there is one; required: no handshake without.
    pub mode: ClientAuthMode,
    /// File of the authorities whose certificates are accepted. Needed unless mode is none.
    pub ca: Option<FilePath>,
    /// File of revocation lists; null = none is looked at.
    pub crl: Option<FilePath>,
    /// Whether servers get X-Client-Cert-Subject, -Serial, -Fingerprint and -Verify.
    pub forward: bool,
}

impl Default for ClientAuth {
    fn default() -> Self {
        Self {
            mode: ClientAuthMode::None,
            ca: None,
            crl: None,
            forward: false,
        }
    }
}

/// Whether clients are asked for certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ClientAuthMode {
    None,
    Optional,
    Required,
}

/// TLS towards servers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTls {
    /// Whether the servers' certificates are verified. Without that anybody in between can read along.
    pub verify: bool,
    /// The name that servers are asked for, and whose certificate they must have; null = the host of each server's
    /// address.
    pub server_name: Option<ServerName>,
    /// File of the authorities that servers are verified by; null = the system's.
    pub ca: Option<FilePath>,
    /// A certificate for servers that ask for one; null = none.
    pub certificate: Option<Certificate>,
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self {
            verify: true,
            server_name: None,
            ca: None,
            certificate: None,
        }
    }
}
