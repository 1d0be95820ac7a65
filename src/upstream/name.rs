//! The name that a server is asked for over TLS, and whose certificate it must have.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::model::ServerAddress;

/// A host name or an IP address, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName {
    text: Arc<str>,
    address: Option<IpAddr>,
}

impl ServerName {
    /// A name as configured. `None` if it is empty.
    pub fn new(text: &str) -> Option<Self> {
        // The dot at the end is DNS's, not the certificate's (RFC 6066 section 3).
        let text = text.strip_suffix('.').unwrap_or(text);
        (!text.is_empty()).then(|| Self {
            text: Arc::from(text),
            address: text.parse().ok(),
        })
    }

    /// The host of a server's address. `None` for a Unix socket, which has none.
    pub fn of_address(address: &ServerAddress) -> Option<Self> {
        match address {
            ServerAddress::Socket(address) => Some(Self::from(address.ip())),
            ServerAddress::Name(host, _) => Self::new(host),
            ServerAddress::Unix(_) => None,
        }
    }

    /// The name as text; an IP address as it is written without brackets.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The IP address, if it is one: it is verified against `iPAddress` names (RFC 9525 section 6.5), and never sent
    /// as SNI (RFC 6066 section 3).
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }
}

impl From<IpAddr> for ServerName {
    fn from(address: IpAddr) -> Self {
        Self {
            text: Arc::from(address.to_string()),
            address: Some(address),
        }
    }
}

impl std::fmt::Display for ServerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_host_of_the_address() {
        let of = |address| ServerName::of_address(&address);
        let host = of(ServerAddress::Name("app.internal.".into(), 443)).unwrap();
        assert_eq!((host.as_str(), host.address()), ("app.internal", None));
        let v6 = of(ServerAddress::Socket("[::1]:443".parse().unwrap())).unwrap();
        assert_eq!(
            (v6.as_str(), v6.address()),
            ("::1", Some("::1".parse().unwrap()))
        );
        assert_eq!(of(ServerAddress::Unix("/run/app.sock".into())), None);
        assert_eq!(ServerName::new(""), None);
    }
}
