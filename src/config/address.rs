//! Addresses to listen on, to connect to, and to trust.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use super::problem::shown;
use super::scalar::{Scalar, scalar};

/// Where to listen: `ip:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind(pub SocketAddr);

impl Scalar for Bind {
    const FORMAT: &'static str = "equipoise-bind";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            let quoted = shown(text);
            if text.starts_with("unix:") {
                return format!("`{quoted}`: a listener can't be bound to a unix socket");
            }
            if let Some(port) = text.strip_prefix("*:").or_else(|| text.strip_prefix(':'))
                && port.parse::<u16>().is_ok()
            {
                return format!(
                    "`{quoted}` has no address; write 0.0.0.0:{port}, or \"[::]:{port}\" for IPv6"
                );
            }
            if text.parse::<u16>().is_ok() {
                return format!("`{quoted}` has no address; write 0.0.0.0:{quoted}");
            }
            if let Some(message) = port_too_high(text) {
                return message;
            }
            if let Some((address, rest)) = text.split_once([' ', '\t'])
                && !address.is_empty()
            {
                return format!(
                    "`{quoted}` has more than an address; write {} alone, and `{}` by keys of its own, such as protocol: https and tls",
                    shown(address),
                    shown(rest.trim())
                );
            }
            if let Some((host, port)) = text.rsplit_once(':')
                && port.parse::<u16>().is_ok()
                && host_name(host).is_ok()
            {
                let instead = if host == "localhost" { "127.0.0.1" } else { "0.0.0.0" };
                return format!(
                    "`{quoted}` has a name; a listener is bound to an address, such as {instead}:{port}"
                );
            }
            if let Ok(address) = text.parse::<IpAddr>() {
                return format!("`{quoted}` has no port; write {}", with_port(address, "80"));
            }
            format!("`{quoted}` is not ip:port, such as 0.0.0.0:80 or \"[::]:80\"")
        })
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

scalar!(Bind, { "type": "string" });

/// Where the admin listener listens: `ip:port` or `unix:/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    Socket(SocketAddr),
    Unix(String),
}

impl Scalar for AdminAddress {
    const FORMAT: &'static str = "equipoise-admin-bind";

    fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) => unix(path).map(Self::Unix),
            None => Bind::parse(text).map(|bind| Self::Socket(bind.0)),
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

scalar!(AdminAddress, { "type": "string" });

/// Where connections to servers come from: `client`, or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceAddress {
    Client,
    Address(IpAddr),
}

impl Scalar for SourceAddress {
    const FORMAT: &'static str = "equipoise-source";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "client" {
            return Ok(Self::Client);
        }
        match text.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() || address.is_multicast() => Err(format!(
                "`{}` is no address to connect from; leave it away for the system's choice",
                shown(text)
            )),
            Ok(address) => Ok(Self::Address(address.to_canonical())),
            Err(_) => Err(format!(
                "`{}` is neither client nor an address without a port, such as 10.0.0.1",
                shown(text)
            )),
        }
    }
}

impl fmt::Display for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

scalar!(SourceAddress, { "type": "string" });

/// Where a server is: `host:port`, `ip:port`, `[ipv6]:port` or `unix:/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    Socket(SocketAddr),
    Name(String, u16),
    Unix(String),
}

impl Scalar for Upstream {
    const FORMAT: &'static str = "equipoise-server-address";

    fn parse(text: &str) -> Result<Self, String> {
        let quoted = shown(text);
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path).map(Self::Unix);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 {
                Err(format!("`{quoted}` has port 0, which nothing listens on"))
            } else {
                Ok(Self::Socket(address))
            };
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Err(format!(
                "`{quoted}` has no port; write {}",
                with_port(address, "8080")
            ));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return Err(url(scheme, rest, &quoted));
        }
        if let Some(message) = port_too_high(text) {
            return Err(message);
        }
        if let Some((host, path)) = text.split_once('/') {
            return Err(if host.is_empty() {
                format!("`{quoted}` is not host:port; a unix socket is written unix:/path")
            } else {
                format!(
                    "`{quoted}` has a path, /{}; write {} alone (a route's rewrite changes paths)",
                    shown(path),
                    shown(host)
                )
            });
        }
        if text.contains([' ', '\t']) {
            return Err(format!(
                "`{quoted}` has more than an address; weight, backup and others are keys of their own: {{address: \"host:port\", weight: 5}}"
            ));
        }
        if text.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(format!("`{quoted}` has no host; write 127.0.0.1:{quoted}"));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(match host_name(text) {
                Ok(()) if !text.is_empty() => {
                    format!("`{quoted}` has no port; write {quoted}:8080")
                }
                _ => format!("`{quoted}` is not host:port, ip:port or unix:/path"),
            });
        };
        host_name(host)?;
        match port.parse::<u16>() {
            Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Self::Name(host.to_ascii_lowercase(), number))
            }
            _ => Err(format!(
                "`{quoted}`: `{}` is not a port (1 to 65535)",
                shown(port)
            )),
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

scalar!(Upstream, { "type": "string" });

/// A network in CIDR notation (RFC 4632); a bare address is that address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl Scalar for Network {
    const FORMAT: &'static str = "equipoise-cidr";

    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = IpAddr::from_str(text) {
            return Ok(Self(IpNet::from(address)));
        }
        let network = IpNet::from_str(text).map_err(|_| {
            format!(
                "`{}` is not a network such as 10.0.0.0/8 or fd00::/8, nor an address",
                shown(text)
            )
        })?;
        if network.addr() == network.network() {
            Ok(Self(network))
        } else {
            Err(format!(
                "`{}` has bits set beyond its prefix; the network is {}",
                shown(text),
                network.trunc()
            ))
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

scalar!(Network, { "type": "string" });

/// A host name by RFC 1123 section 2.1, with underscores, which container networks use.
pub(super) fn host_name(host: &str) -> Result<(), String> {
    let quoted = shown(host);
    if host.is_empty() {
        return Err("the host name is missing before the port".into());
    }
    if host.parse::<Ipv6Addr>().is_ok() || host.contains(':') {
        return Err(format!(
            "`{quoted}`: an IPv6 address needs brackets, such as \"[{quoted}]:80\""
        ));
    }
    let label_fits = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let labels = host.strip_suffix('.').unwrap_or(host);
    let looks_like_address = labels
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if host.len() > 253 || looks_like_address || !labels.split('.').all(label_fits) {
        return Err(format!(
            "`{quoted}` is neither a host name nor an IP address"
        ));
    }
    Ok(())
}

/// What a URL is to be written as where an address is wanted.
fn url(scheme: &str, rest: &str, quoted: &str) -> String {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let (port, tls) = match scheme {
        "https" => (":443", ", and tls: {} in the pool"),
        _ => (":80", ""),
    };
    format!(
        "`{quoted}` is a URL; write {}{} alone{tls}",
        shown(authority),
        if has_port { "" } else { port }
    )
}

/// `127.0.0.1:65536`, `host:99999` and `[::1]:70000`.
fn port_too_high(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let is_host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .map_or(!host.contains(':'), |host| host.parse::<Ipv6Addr>().is_ok());
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    (is_host && is_number && port.parse::<u16>().is_err()).then(|| {
        format!(
            "`{}` has port {}, above 65535, the highest that there is",
            shown(text),
            shown(port)
        )
    })
}

/// What has no business in a host name, in words; `None` where nothing special is known.
pub(super) fn more_than_a_name(text: &str) -> Option<String> {
    let quoted = shown(text);
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
        return Some(format!("`{quoted}` is a URL; write {}", shown(host)));
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && !host.contains(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Some(format!("`{quoted}` has a port; write {}", shown(host)));
    }
    if let Some((host, _)) = text.split_once('/') {
        return Some(format!("`{quoted}` has a path; write {}", shown(host)));
    }
    None
}

/// A path of a unix socket; 107 bytes is what `sockaddr_un` holds (unix(7)).
fn unix(path: &str) -> Result<String, String> {
    match path.len() {
        0 => Err("`unix:` has no path".into()),
        1..=107 if !path.contains('\0') => Ok(path.to_owned()),
        _ => Err("the path of a unix socket can't be longer than 107 bytes".into()),
    }
}

fn with_port(address: IpAddr, port: &str) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}:{port}"),
        IpAddr::V6(address) => format!("\"[{address}]:{port}\""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn servers() {
        assert_eq!(
            Upstream::parse("10.0.0.1:80"),
            Ok(Upstream::Socket(([10, 0, 0, 1], 80).into()))
        );
        assert!(matches!(
            Upstream::parse("[::1]:80"),
            Ok(Upstream::Socket(_))
        ));
        assert_eq!(
            Upstream::parse("Back_end-1.example.com:8080"),
            Ok(Upstream::Name("back_end-1.example.com".into(), 8080))
        );
        assert_eq!(
            Upstream::parse("unix:/run/a.sock"),
            Ok(Upstream::Unix("/run/a.sock".into()))
        );
        for (text, part) in [
            ("10.0.0.1", "has no port; write 10.0.0.1:8080"),
            ("::1", "has no port; write \"[::1]:8080\""),
            ("backend", "has no port; write backend:8080"),
            ("backend:", "is not a port"),
            ("backend:+80", "is not a port"),
            ("backend:0", "is not a port"),
            ("10.0.0.1:0", "port 0"),
            ("backend:70000", "has port 70000, above 65535"),
            ("127.0.0.1:65536", "has port 65536, above 65535"),
            ("[::1]:65536", "above 65535"),
            ("8081", "write 127.0.0.1:8081"),
            ("backend:80 weight=5", "keys of their own"),
            ("backend:80/app", "write backend:80 alone"),
            ("https://backend/x", "write backend:443 alone, and tls: {}"),
            (":80", "host name is missing"),
            ("fe80::1:2::3:80", "needs brackets"),
            ("300.1.1.1:80", "neither a host name"),
            ("http://backend:80", "is a URL; write backend:80 alone"),
            ("/run/a.sock", "unix:/path"),
            ("unix:", "has no path"),
            ("", "is not host:port"),
            ("a b:80", "more than an address"),
        ] {
            let refused = Upstream::parse(text);
            assert!(
                refused.as_ref().is_err_and(|why| why.contains(part)),
                "{text}: {refused:?}"
            );
        }
    }

    #[test]
    fn listeners() {
        assert!(Bind::parse("0.0.0.0:80").is_ok());
        assert!(Bind::parse("[::]:0").is_ok());
        for (text, part) in [
            (":80", "write 0.0.0.0:80"),
            ("*:80", "write 0.0.0.0:80"),
            ("80", "write 0.0.0.0:80"),
            ("localhost:80", "such as 127.0.0.1:80"),
            ("0.0.0.0:70000", "above 65535"),
            ("0.0.0.0:443 ssl", "write 0.0.0.0:443 alone"),
            ("10.0.0.1", "has no port"),
            ("unix:/a", "can't be bound to a unix socket"),
        ] {
            assert!(
                Bind::parse(text).is_err_and(|why| why.contains(part)),
                "{text}"
            );
        }
        assert_eq!(
            AdminAddress::parse("unix:/a"),
            Ok(AdminAddress::Unix("/a".into()))
        );
    }

    #[test]
    fn networks() {
        assert_eq!(
            Network::parse("10.0.0.1").map(|n| n.to_string()),
            Ok("10.0.0.1/32".into())
        );
        assert_eq!(
            Network::parse("::1").map(|n| n.to_string()),
            Ok("::1/128".into())
        );
        assert!(Network::parse("10.0.0.0/8").is_ok());
        assert!(Network::parse("10.0.0.1/8").is_err_and(|why| why.contains("10.0.0.0/8")));
        assert!(Network::parse("10.0.0.0/33").is_err());
        assert!(Network::parse("private").is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC*") {
            let _ = Upstream::parse(&text);
            let _ = AdminAddress::parse(&text);
            let _ = Network::parse(&text);
        }

        #[test]
        fn what_is_shown_reads_the_same(text in "[a-z0-9.:\\[\\]-]{1,20}") {
            if let Ok(address) = Upstream::parse(&text) {
                prop_assert_eq!(Upstream::parse(&address.to_string()), Ok(address));
            }
        }
    }
}
