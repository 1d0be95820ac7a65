//! `Forwarded` (RFC 7239): one element for each proxy on the way, of pairs such as `for=192.0.2.1`.
//!
//! Its values may be quoted, so a quote that is never closed would swallow what is written behind it. A field that isn't
//! well-formed from its beginning to its end is therefore none: nothing in it is believed, and nothing of it is
//! passed on.

use std::net::IpAddr;

use crate::headers::names::FORWARDED;
use http::HeaderValue;

use super::entry;
use crate::headers::{Fields, is_tchar, list_members, trim, unquote};

/// Addresses, the nearest proxy's first; `None` for an element that names none. Nothing, if the field is malformed.
pub(super) fn addresses_from_right(
    request: &Fields,
) -> impl Iterator<Item = Option<IpAddr>> + use<> {
    let told = told(request).unwrap_or_default();
    let addresses: Vec<_> = told
        .into_iter()
        .rev()
        .take(super::MAX_ENTRIES)
        .map(|told| entry::address(told.from?))
        .collect();
    addresses.into_iter()
}

/// Address and protocol of each element, the nearest proxy's first, as far as they are named. Nothing, if the field is
/// malformed.
pub(super) fn protocols_from_right(
    request: &Fields,
) -> impl Iterator<Item = (Option<IpAddr>, Option<&[u8]>)> {
    let told = told(request).unwrap_or_default();
    let nearest = told.into_iter().rev().take(super::MAX_ENTRIES);
    nearest.map(|told| {
        (
            told.from.and_then(entry::address),
            told.protocol.map(unquote),
        )
    })
}

/// What we say of a request.
pub(super) struct Element<'a> {
    /// Who it comes from.
    pub(super) from: IpAddr,
    /// The host that was asked.
    pub(super) host: Option<&'a [u8]>,
    /// `http` or `https`.
    pub(super) protocol: &'a str,
}

impl Element<'_> {
    /// The field with this element alone.
    pub(super) fn alone(&self) -> HeaderValue {
        self.after(&[])
    }

    /// The field of `request` with this element at its end, as one line.
    pub(super) fn appended(&self, request: &Fields) -> HeaderValue {
        let mut list = Vec::new();
        if told(request).is_some() {
            for line in request.get_all(FORWARDED) {
                for element in list_members(line.as_bytes()) {
                    list.extend_from_slice(element);
                    list.extend_from_slice(b", ");
                }
            }
        }
        self.after(&list)
    }

    fn after(&self, before: &[u8]) -> HeaderValue {
        let from = match self.from {
            IpAddr::V4(address) => format!("for={address}"),
            IpAddr::V6(address) => format!("for=\"[{address}]\""),
        };
        let mut list = [before, from.as_bytes()].concat();
        if let Some(host) = self.host.filter(|host| is_host(host)) {
            let quote: &[u8] = if host.iter().all(|byte| is_tchar(*byte)) {
                b""
            } else {
                b"\""
            };
            for part in [b";host=", quote, host, quote] {
                list.extend_from_slice(part);
            }
        }
        list.extend_from_slice(b";proto=");
        list.extend_from_slice(self.protocol.as_bytes());
        // Parts of valid values make a valid one.
        HeaderValue::try_from(list).unwrap_or_else(|_| HeaderValue::from_static("for=unknown"))
    }
}

/// What an element says, quotes and all.
#[derive(Default, Clone, Copy)]
struct Told<'a> {
    /// `for`.
    from: Option<&'a [u8]>,
    /// `proto`.
    protocol: Option<&'a [u8]>,
}

/// What each element says, in their order. `None`: malformed.
fn told(request: &Fields) -> Option<Vec<Told<'_>>> {
    let mut all = Vec::new();
    for line in request.get_all(FORWARDED) {
        for element in list_members(line.as_bytes()) {
            all.push(of_element(element).ok()?);
        }
    }
    Some(all)
}

struct Malformed;

fn of_element(mut rest: &[u8]) -> Result<Told<'_>, Malformed> {
    let mut told = Told::default();
    loop {
        rest = trim(rest);
        if let [b';', after @ ..] = rest {
            rest = after;
            continue;
        }
        if rest.is_empty() {
            return Ok(told);
        }
        let length = rest
            .iter()
            .position(|byte| !is_tchar(*byte))
            .ok_or(Malformed)?;
        let (name, after) = rest.split_at(length);
        let [b'=', after @ ..] = after else {
            return Err(Malformed);
        };
        let (value, after) = after.split_at(value_length(after).ok_or(Malformed)?);
        let place = if name.eq_ignore_ascii_case(b"for") {
            Some(&mut told.from)
        } else if name.eq_ignore_ascii_case(b"proto") {
            Some(&mut told.protocol)
        } else {
            None
        };
        if place.is_some_and(|place| place.replace(value).is_some()) {
            return Err(Malformed);
        }
        rest = trim(after);
        if name.is_empty() || !(rest.is_empty() || rest.starts_with(b";")) {
            return Err(Malformed);
        }
    }
}

/// How long the token or quoted string is that `text` begins with (RFC 9110 sections 5.6.2, 5.6.4).
fn value_length(text: &[u8]) -> Option<usize> {
    let [b'"', quoted @ ..] = text else {
        let length = text.iter().take_while(|byte| is_tchar(**byte)).count();
        return (length > 0).then_some(length);
    };
    let mut escaped = false;
    let closing = quoted.iter().position(|byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        byte => *byte == b'"',
    })?;
    Some(closing + 2)
}

/// Whether it can be between quotes as it is.
fn is_host(host: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\,;".contains(byte);
    !host.is_empty() && host.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(lines: &[&str]) -> Fields {
        let mut map = Fields::new();
        for line in lines {
            map.append(FORWARDED, HeaderValue::from_str(line).unwrap());
        }
        map
    }

    fn addresses(lines: &[&str]) -> Vec<Option<String>> {
        addresses_from_right(&request(lines))
            .map(|address| Some(address?.to_string()))
            .collect()
    }

    fn element<'a>(from: &str, host: &'a str) -> Element<'a> {
        Element {
            from: from.parse().unwrap(),
            host: Some(host.as_bytes()),
            protocol: "https",
        }
    }

    #[test]
    fn addresses_are_read_from_the_right() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            addresses(&[
                "for=192.0.2.1;proto=http, For=\"[2001:db8::1]:4711\" ; by=_x",
                "proto=a,for=_hidden,"
            ]),
            [None, None, some("2001:db8::1"), some("192.0.2.1")]
        );
        assert_eq!(addresses(&["for=\"192.0.2.1:80\""]), [some("192.0.2.1")]);
        assert_eq!(
            addresses(&["host=\"a, for=192.0.2.9\";for=192.0.2.1"]),
            [some("192.0.2.1")]
        );
    }

    #[test]
    fn a_malformed_field_says_nothing() {
        for line in [
            "for=\"192.0.2.1",
            "for=192.0.2.1, for=\"",
            "for=192.0.2.1, for",
            "for=192.0.2.1;for=192.0.2.2",
            "for=[2001:db8::1]",
            "for=192.0.2.1:80",
            "for =192.0.2.1",
            "for= 192.0.2.1",
            "=192.0.2.1",
            "for=",
            "for=192.0.2.1 proto=http",
            "for=\"192.0.2.1\"x",
            "192.0.2.1",
        ] {
            assert_eq!(addresses(&[line]), [], "{line}");
            assert_eq!(
                element("192.0.2.7", "a").appended(&request(&[line])),
                "for=192.0.2.7;host=a;proto=https",
                "{line}"
            );
        }
    }

    #[test]
    fn hosts_and_addresses_are_quoted_where_they_must_be() {
        for (from, host, expected) in [
            (
                "192.0.2.1",
                "a.example",
                "for=192.0.2.1;host=a.example;proto=https",
            ),
            (
                "192.0.2.1",
                "a.example:81",
                "for=192.0.2.1;host=\"a.example:81\";proto=https",
            ),
            (
                "2001:db8::1",
                "[::1]",
                "for=\"[2001:db8::1]\";host=\"[::1]\";proto=https",
            ),
            ("192.0.2.1", "", "for=192.0.2.1;proto=https"),
            ("192.0.2.1", "a\";for=1.1.1.1", "for=192.0.2.1;proto=https"),
            ("192.0.2.1", "a\\", "for=192.0.2.1;proto=https"),
        ] {
            assert_eq!(element(from, host).alone(), expected);
        }
    }

    #[test]
    fn it_is_appended_to_what_is_there() {
        assert_eq!(
            element("192.0.2.7", "a").appended(&request(&["for=192.0.2.1", " ,proto=http;;"])),
            "for=192.0.2.1, proto=http;;, for=192.0.2.7;host=a;proto=https"
        );
    }

    proptest! {
        /// Whatever was there and whatever host was asked, ours is read last, and read as it was meant.
        #[test]
        fn nothing_hides_or_changes_our_element(
            line in "[a-c=;, \"\\\\\\[\\]:.0-9for]{0,60}", host in "[ -~]{0,20}", v6: u128, v4: u32, is_v4: bool,
        ) {
            let from = if is_v4 { IpAddr::from(v4.to_be_bytes()) } else { IpAddr::from(v6.to_be_bytes()) };
            let ours = Element { from, host: Some(host.as_bytes()), protocol: "http" };
            let value = ours.appended(&request(&[&line]));
            let mut after = Fields::new();
            after.insert(FORWARDED, value);
            let read: Vec<_> = addresses_from_right(&after).collect();
            prop_assert_eq!(read.first(), Some(&Some(from.to_canonical())));
            prop_assert_eq!(read.len(), addresses_from_right(&request(&[&line])).count().min(63) + 1);
        }

        #[test]
        fn no_bytes_make_it_panic(value: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut map = Fields::new();
                map.insert(FORWARDED, value);
                let _ = addresses_from_right(&map).count();
            }
        }
    }
}
