//! What requests have in common that are to go to one server, as a number.

use std::net::IpAddr;

use crate::balance::digest;
use crate::config::model::HashKey;
use crate::persistence::{RequestView, cookie_value, query_value};

/// The number for a request; `None` if it has no such thing. What is there and empty is as good as not there.
pub(super) fn key(of: &HashKey, request: &RequestView<'_>) -> Option<u64> {
    let value = match of {
        HashKey::Source {
            prefix_v4,
            prefix_v6,
        } => return Some(of_address(request.client, *prefix_v4, *prefix_v6)),
        HashKey::Path => request.path,
        HashKey::Query(name) => query_value(request.query?, name.as_bytes())?,
        HashKey::Header(name) => request.headers.get(name)?.as_bytes(),
        HashKey::Cookie(name) => cookie_value(request.headers, name.as_bytes())?,
    };
    (!value.is_empty()).then(|| digest(value))
}

/// The same for all addresses with the same first bits. An IPv4 address in the form of an IPv6 one is an IPv4 address.
fn of_address(address: IpAddr, prefix_v4: u8, prefix_v6: u8) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix_v4.into()));
            digest(&(address.to_bits() & mask.unwrap_or(0)).to_be_bytes())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix_v6.into()));
            digest(&(address.to_bits() & mask.unwrap_or(0)).to_be_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::headers::Fields;

    fn headers(lines: &[(&'static str, &'static str)]) -> Fields {
        let mut headers = Fields::new();
        for (name, value) in lines {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn of(key_of: &HashKey, target: &str, headers: &Fields) -> Option<u64> {
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        let view = RequestView {
            headers,
            path: path.as_bytes(),
            query: query.map(str::as_bytes),
            client: IpAddr::from([192, 0, 2, 1]),
            last_token: None,
        };
        key(key_of, &view)
    }

    #[test]
    fn the_path_is_without_its_query() {
        let none = Fields::new();
        let path = |target| of(&HashKey::Path, target, &none);
        assert_eq!(path("/a?x=1"), path("/a?x=2"));
        assert_ne!(path("/a"), path("/b"));
    }

    #[test]
    fn what_is_not_there_or_empty_is_no_key() {
        let none = Fields::new();
        let query = HashKey::Query("id".into());
        assert_eq!(of(&query, "/a", &none), None);
        assert_eq!(of(&query, "/a?xid=1&id=", &none), None);
        assert_eq!(of(&query, "/a?x&id=7&id=8", &none), Some(digest(b"7")));
        let header = HashKey::Header(HeaderName::from_static("x-user"));
        assert_eq!(of(&header, "/", &none), None);
        assert_eq!(of(&header, "/", &headers(&[("x-user", "")])), None);
        let eve = headers(&[("x-user", "eve"), ("x-user", "bob")]);
        assert_eq!(of(&header, "/", &eve), Some(digest(b"eve")));
        let cookie = HashKey::Cookie("u".into());
        assert_eq!(of(&cookie, "/", &headers(&[("cookie", "uu=1; u=")])), None);
        let third = headers(&[("cookie", "uu=1"), ("cookie", "x; u=\"2\"")]);
        assert_eq!(of(&cookie, "/", &third), Some(digest(b"2")));
    }

    #[test]
    fn addresses_of_one_network_have_one_key() {
        let of = |address: &str| of_address(address.parse().unwrap(), 24, 64);
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.77"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        let everybody = |address: &str| of_address(address.parse().unwrap(), 0, 0);
        assert_eq!(everybody("192.0.2.1"), everybody("10.0.0.1"));
    }
}
