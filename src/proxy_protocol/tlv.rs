//! What version 2 says beside addresses: type, length, value, one after the other.

/// Types of TLVs.
pub mod kind {
    /// The protocol that the client agreed on (RFC 7301).
    pub const ALPN: u8 = 0x01;
    /// The host name that the client asked for by TLS.
    pub const AUTHORITY: u8 = 0x02;
    /// A checksum of the header.
    pub const CRC32C: u8 = 0x03;
    /// Nothing.
    pub const NOOP: u8 = 0x04;
    /// What tells the connection from all others.
    pub const UNIQUE_ID: u8 = 0x05;
    /// What is known of the client's TLS.
    pub const SSL: u8 = 0x20;
    /// Within that: its version.
    pub const SSL_VERSION: u8 = 0x21;
    /// Within that: the common name of the client's certificate.
    pub const SSL_CN: u8 = 0x22;
    /// Within that: its cipher.
    pub const SSL_CIPHER: u8 = 0x23;
    /// GCP's Private Service Connect: the connection's id.
    pub const GCP: u8 = 0xe0;
    /// AWS: the id of the VPC endpoint.
    pub const AWS: u8 = 0xea;
    /// Azure: the id of the private endpoint's link.
    pub const AZURE: u8 = 0xee;
}

/// The client spoke TLS.
const CLIENT_SSL: u8 = 0x01;
/// It showed a certificate on this connection.
const CLIENT_CERT_CONN: u8 = 0x02;
/// It showed one at least once in the TLS session.
const CLIENT_CERT_SESS: u8 = 0x04;

/// A list of TLVs that adds up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tlvs(Vec<u8>);

/// What is known of a client's TLS.
#[derive(Debug, Clone, Copy)]
pub struct Tls<'a> {
    /// Its version in OpenSSL's words.
    pub version: &'a str,
    /// OpenSSL's name of its cipher suite.
    pub cipher: &'a str,
    /// The certificate that the client has shown, which was verified.
    pub client: Option<TlsClient<'a>>,
}

/// A client's certificate.
#[derive(Debug, Clone, Copy)]
pub struct TlsClient<'a> {
    /// Its common name, if it has one.
    pub common_name: Option<&'a str>,
    /// It was shown in an earlier connection of the same session.
    pub resumed: bool,
}

impl Tlvs {
    /// The list that these bytes are; `None` if they don't add up.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        while !rest.is_empty() {
            (_, _, rest) = split(rest)?;
        }
        Some(Self(bytes.to_vec()))
    }

    /// As bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Type and value of each.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (kind, value, behind) = split(rest)?;
            rest = behind;
            Some((kind, value))
        })
    }

    /// The value of the first of a type.
    pub fn find(&self, kind: u8) -> Option<&[u8]> {
        self.iter()
            .find(|(found, _)| *found == kind)
            .map(|(_, value)| value)
    }

    /// Whether the client spoke TLS to the proxy that says so.
    pub fn is_tls(&self) -> bool {
        let client = self.find(kind::SSL).and_then(<[u8]>::first);
        client.is_some_and(|client| client & CLIENT_SSL != 0)
    }

    /// Where the value of the first of a type begins.
    pub(super) fn value_place(&self, kind: u8) -> Option<usize> {
        let mut place = 0;
        for (found, value) in self.iter() {
            if found == kind {
                return Some(place + 3);
            }
            place += 3 + value.len();
        }
        None
    }

    /// Those that mean something behind this hop, too.
    pub(super) fn to_pass_on(&self) -> Self {
        let mut passed = Self::default();
        for (kind, value) in self.iter() {
            if !matches!(kind, kind::CRC32C | kind::NOOP) {
                passed.push(kind, value);
            }
        }
        passed
    }

    /// Adds one, unless it is longer than can be said.
    pub(super) fn push(&mut self, kind: u8, value: &[u8]) {
        let Ok(length) = u16::try_from(value.len()) else {
            return;
        };
        self.0.push(kind);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
    }

    /// Adds what is known of the client's TLS.
    pub(super) fn push_tls(&mut self, tls: &Tls<'_>) {
        let mut client = CLIENT_SSL;
        let mut parts = Self::default();
        parts.push(kind::SSL_VERSION, tls.version.as_bytes());
        if let Some(shown) = tls.client {
            client |= CLIENT_CERT_SESS;
            if !shown.resumed {
                client |= CLIENT_CERT_CONN;
            }
            if let Some(name) = shown.common_name {
                parts.push(kind::SSL_CN, name.as_bytes());
            }
        }
        parts.push(kind::SSL_CIPHER, tls.cipher.as_bytes());
        // Zero: there was a certificate, and it was verified.
        let verified = u32::from(tls.client.is_none());
        let mut value = vec![client];
        value.extend_from_slice(&verified.to_be_bytes());
        value.extend_from_slice(&parts.0);
        self.push(kind::SSL, &value);
    }
}

/// Type, value and what is behind.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([kind, high, low], rest) = bytes.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let (value, rest) = rest.split_at_checked(length)?;
    Some((*kind, value, rest))
}
