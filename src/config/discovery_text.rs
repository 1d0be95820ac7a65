//! Names to discover servers by, and who is asked about them, as they are written.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::address::{Upstream, host_name};
use super::problem::shown;
use super::scalar::{Scalar, scalar};

/// A name that stands for servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiscoveredName {
    /// Each address of it is a server at that port.
    Addresses(String, u16),
    /// Its SRV records name the servers (RFC 2782).
    Services(String),
}

impl Scalar for DiscoveredName {
    const FORMAT: &'static str = "equipoise-discovered-name";

    fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('_') && !text.contains(':') {
            host_name(text)?;
            return Ok(Self::Services(text.to_ascii_lowercase()));
        }
        match Upstream::parse(text)? {
            Upstream::Name(host, port) => Ok(Self::Addresses(host, port)),
            Upstream::Socket(_) | Upstream::Unix(_) => Err(format!(
                "`{}` is no name; write it under servers",
                shown(text)
            )),
        }
    }
}

impl fmt::Display for DiscoveredName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(host, port) => write!(f, "{host}:{port}"),
            Self::Services(name) => f.write_str(name),
        }
    }
}

scalar!(DiscoveredName, { "type": "string" });

/// The DNS server that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameServer {
    /// As the machine resolves names.
    System,
    /// A name server.
    At(SocketAddr),
}

impl Scalar for NameServer {
    const FORMAT: &'static str = "equipoise-name-server";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "system" {
            return Ok(Self::System);
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self::At(SocketAddr::new(address, 53)));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() > 0 => Ok(Self::At(address)),
            _ => Err(format!(
                "`{}` is neither system nor the address of a name server, such as 10.0.0.2 or 10.0.0.2:53",
                shown(text)
            )),
        }
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::At(address) => address.fmt(f),
        }
    }
}

scalar!(NameServer, { "type": "string" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_addresses_and_of_services() {
        for text in ["app.test:8080", "app:80", "_http._tcp.app.test"] {
            let parsed = DiscoveredName::parse(text).map(|parsed| parsed.to_string());
            assert_eq!(parsed.as_deref(), Ok(text));
        }
        for text in [
            "app.test",
            "10.0.0.1:80",
            "unix:/a",
            "_http._tcp",
            "",
            "http://app:80",
        ] {
            let parsed = DiscoveredName::parse(text);
            assert!(
                parsed.is_err() || text == "_http._tcp",
                "{text}: {parsed:?}"
            );
        }
    }

    #[test]
    fn name_servers_have_port_53_unless_told() {
        for (text, shown) in [
            ("system", "system"),
            ("10.0.0.2", "10.0.0.2:53"),
            ("10.0.0.2:5353", "10.0.0.2:5353"),
            ("::1", "[::1]:53"),
            ("[::1]:54", "[::1]:54"),
        ] {
            let parsed = NameServer::parse(text).map(|parsed| parsed.to_string());
            assert_eq!(parsed.as_deref(), Ok(shown));
        }
        for text in ["dns.test", "10.0.0.2:0", ""] {
            assert!(NameServer::parse(text).is_err(), "{text}");
        }
    }
}
