//! Where an admin listener is: as it is written on the command line, or in a configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use crate::config::model::AdminBind;

/// Where an admin listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `host:port`, plain.
    Tcp(String),
    /// `host:port`, by TLS.
    Tls(String),
    /// The path of a socket.
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => f.write_str(authority),
            Self::Tls(authority) => write!(f, "https://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Place {
    /// Where to reach what is bound there, from this machine.
    pub fn of_bind(bind: &AdminBind, secure: bool) -> Self {
        match bind {
            AdminBind::Tcp(address) => {
                // What listens on all addresses listens on loopback.
                let ip = match address.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                    ip => ip,
                };
                let authority = SocketAddr::new(ip, address.port()).to_string();
                if secure {
                    Self::Tls(authority)
                } else {
                    Self::Tcp(authority)
                }
            }
            AdminBind::Unix(path) => Self::Unix(path.clone()),
        }
    }
}

/// Parses `http://HOST:PORT`, `https://HOST:PORT`, `HOST:PORT`, or `unix:/PATH`.
///
/// # Errors
/// It is neither; the error says so in words.
pub fn place(text: &str) -> Result<Place, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return match path.strip_prefix("//").unwrap_or(path) {
            "" => Err("the path of the socket is missing".to_owned()),
            path => Ok(Place::Unix(path.into())),
        };
    }
    let (secure, authority) = match text.split_once("://") {
        Some(("http", rest)) => (false, rest.trim_end_matches('/')),
        Some(("https", rest)) => (true, rest.trim_end_matches('/')),
        Some((scheme, _)) => return Err(format!("{scheme}:// is not http://, https:// or unix:")),
        None => (false, text),
    };
    let with_port = authority
        .parse::<http::uri::Authority>()
        .ok()
        .filter(|parsed| parsed.port_u16().is_some() && !authority.contains('@'));
    match with_port {
        Some(_) if secure => Ok(Place::Tls(authority.to_owned())),
        Some(_) => Ok(Place::Tcp(authority.to_owned())),
        None => Err("not http://HOST:PORT, https://HOST:PORT or unix:/PATH".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_as_they_are_written() {
        let tcp = |text: &str| Ok(Place::Tcp(text.to_owned()));
        assert_eq!(place("http://127.0.0.1:9900"), tcp("127.0.0.1:9900"));
        assert_eq!(place("http://127.0.0.1:9900/"), tcp("127.0.0.1:9900"));
        assert_eq!(place("localhost:9900"), tcp("localhost:9900"));
        assert_eq!(place("http://[::1]:9900"), tcp("[::1]:9900"));
        let tls = Place::Tls("lb.example.com:9900".to_owned());
        assert_eq!(place("https://lb.example.com:9900/"), Ok(tls));
        for text in ["unix:/run/admin.sock", "unix:///run/admin.sock"] {
            assert_eq!(place(text), Ok(Place::Unix("/run/admin.sock".into())));
        }
        for text in [
            "",
            "9900",
            "127.0.0.1",
            "ftp://a:1",
            "https://a",
            "http://",
            "unix:",
            "http://u@h:1",
            "h:1/path",
        ] {
            assert!(place(text).is_err(), "{text}");
        }
    }

    #[test]
    fn all_addresses_are_asked_at_loopback() {
        for (bound, asked) in [
            ("0.0.0.0:9900", "127.0.0.1:9900"),
            ("[::]:9900", "[::1]:9900"),
            ("10.0.0.1:9900", "10.0.0.1:9900"),
        ] {
            let bind = AdminBind::Tcp(bound.parse().unwrap());
            assert_eq!(Place::of_bind(&bind, false), Place::Tcp(asked.to_owned()));
            assert_eq!(Place::of_bind(&bind, true), Place::Tls(asked.to_owned()));
        }
    }
}
