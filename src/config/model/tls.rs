//! TLS towards clients and servers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// TLS towards clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// In the order of the file: the first is the default. Not empty unless there is `acme`.
    pub certificates: Vec<CertificateSource>,
    /// The first of them is written as `certificate`, apart from the list.
    pub has_single: bool,
    /// Certificates that are obtained and renewed by themselves.
    pub acme: Option<Acme>,
    /// Not above `max_version`.
    pub min_version: TlsVersion,
    /// Not below `min_version`.
    pub max_version: TlsVersion,
    /// TLS 1.2, in OpenSSL's syntax; `None` = ours.
    pub ciphers: Option<String>,
    /// TLS 1.3, in OpenSSL's syntax; `None` = OpenSSL's.
    pub cipher_suites: Option<String>,
    /// In OpenSSL's syntax; `None` = ours.
    pub groups: Option<String>,
    /// What is offered, the preferred one first; empty = no ALPN.
    pub alpn: Vec<Alpn>,
    /// A name that no certificate covers is refused.
    pub strict_sni: bool,
    /// Certificates of clients; `None` = not asked for.
    pub client_auth: Option<ClientAuth>,
    /// Keys for session tickets; `None` = random ones.
    pub session_ticket_key_file: Option<PathBuf>,
    /// What the issuers of certificates say of them is shown with them.
    pub ocsp_stapling: bool,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
}

impl Tls {
    /// The keys below `tls` that the certificate at `index` is written at.
    pub fn place(&self, index: usize) -> Vec<String> {
        match index.checked_sub(usize::from(self.has_single)) {
            Some(index) => vec!["certificates".to_owned(), index.to_string()],
            None => vec!["certificate".to_owned()],
        }
    }

    /// The files that the configuration names, those of ACME's own apart.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self
            .certificates
            .iter()
            .flat_map(CertificateSource::files)
            .collect();
        if let Some(clients) = &self.client_auth {
            files.push(clients.ca.clone());
            files.extend(clients.crl.clone());
        }
        files.extend(self.session_ticket_key_file.clone());
        files
    }
}

/// Versions of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    V12,
    /// RFC 8446.
    V13,
}

/// Protocols above TLS (RFC 7301).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/2.
    H2,
    /// HTTP/1.1.
    Http11,
    /// One that only servers speak, by its name on the wire.
    Other(Arc<str>),
}

impl Alpn {
    /// Its name on the wire.
    pub fn wire(&self) -> &[u8] {
        match self {
            Self::H2 => b"h2",
            Self::Http11 => b"http/1.1",
            Self::Other(name) => name.as_bytes(),
        }
    }
}

/// Where a certificate and its key are. What the files hold is found out from their content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateSource {
    /// The certificate, perhaps with intermediates and the key.
    pub cert: PathBuf,
    /// The key; `None` = in the same file.
    pub key: Option<PathBuf>,
    /// The password of key or bundle: the first line of this file.
    pub password_file: Option<PathBuf>,
}

impl CertificateSource {
    /// Its files.
    pub fn files(&self) -> Vec<PathBuf> {
        let further = self.key.iter().chain(&self.password_file);
        std::iter::once(&self.cert)
            .chain(further)
            .cloned()
            .collect()
    }
}

/// Certificates of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuth {
    /// No handshake without one.
    pub required: bool,
    /// The authorities whose certificates are accepted.
    pub ca: PathBuf,
    /// Revocation lists.
    pub crl: Option<PathBuf>,
    /// Whether servers are told.
    pub forward: bool,
}

/// Certificates by ACME (RFC 8555).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The authority's directory.
    pub directory: String,
    /// The account's contact.
    pub email: Option<String>,
    /// The certificate's names, at least one, in lower case.
    pub domains: Vec<Arc<str>>,
    /// Where account, keys and certificates are kept.
    pub storage: PathBuf,
    /// How names are validated.
    pub challenge: Challenge,
    /// An account at the authority.
    pub external_account: Option<ExternalAccount>,
    /// What the authority's own server is verified by; `None` = the system's roots.
    pub ca: Option<PathBuf>,
}

/// How a name is validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Challenge {
    /// RFC 8555 section 8.3.
    Http01,
    /// RFC 8737.
    TlsAlpn01,
}

/// An account at the authority (RFC 8555 section 7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The key's id.
    pub key_id: String,
    /// The key, in base64url, on the first line.
    pub hmac_key_file: PathBuf,
}

/// TLS towards servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Whether certificates are verified.
    pub verify: bool,
    /// The name that is asked for and verified; `None` = the host of each server's address.
    pub server_name: Option<Arc<str>>,
    /// What servers are verified by; `None` = the system's roots.
    pub ca: Option<PathBuf>,
    /// Our own certificate.
    pub certificate: Option<CertificateSource>,
}

impl UpstreamTls {
    /// The files that it names.
    pub fn files(&self) -> Vec<PathBuf> {
        let certificate = self.certificate.iter().flat_map(CertificateSource::files);
        self.ca.iter().cloned().chain(certificate).collect()
    }
}
