//! The `Host` check against DNS rebinding: a web page that an operator has open elsewhere can make
//! its own name point to 127.0.0.1 and would then be of the same origin as this listener. It can't
//! make the browser send another `Host` than its own name.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::Request;
use axum::http::header::HOST;

/// Which `Host` is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostCheck {
    /// `localhost` and IP addresses; for loopback addresses.
    ThisMachine,
    /// Any: for Unix sockets, which browsers can't reach, and for addresses with names of their
    /// own.
    Any,
}

impl HostCheck {
    /// Whether the request may be answered. One without a `Host` is not from a browser.
    pub(super) fn accepts(self, request: &Request) -> bool {
        if self == Self::Any {
            return true;
        }
        let named = request
            .uri()
            .authority()
            .is_none_or(|name| is_local(name.as_str()));
        let mut hosts = request.headers().get_all(HOST).iter();
        named && hosts.all(|host| host.to_str().is_ok_and(is_local))
    }
}

fn is_local(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.starts_with(':'))
        });
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_only() {
        for host in [
            "localhost",
            "LocalHost:9900",
            "127.0.0.1",
            "127.0.0.1:9900",
            "[::1]:9900",
            "[::1]",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9900",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "[::1].evil.example",
            "[evil]",
            "[::1",
            "user@localhost",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn every_host_of_a_request_counts() {
        let accepts = |uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().uri(uri);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            HostCheck::ThisMachine.accepts(&request.body(axum::body::Body::empty()).expect("valid"))
        };
        assert!(accepts("/", &[]));
        assert!(accepts("/", &["localhost"]));
        assert!(!accepts("/", &["localhost", "evil.example"]));
        assert!(!accepts("http://evil.example/", &["localhost"]));
        assert!(accepts("http://127.0.0.1:9900/", &["127.0.0.1:9900"]));
    }
}
