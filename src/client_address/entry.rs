//! One entry of `X-Forwarded-For`.
//!
//! The field has no specification; proxies write `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`,
//! `[2001:db8::1]` and `[2001:db8::1]:4711`, each of them also in quotes as RFC 7239 section 6 wants it
//! in `Forwarded`. Everything else, `unknown` among it, is no address. Addresses are read as RFC 6943
//! section 3.1.1 calls strict: `010.0.0.1` or `10.1` is none.

use std::net::{IpAddr, Ipv6Addr};
use std::str;

use crate::headers::{trim, unquote};

/// The longest entry: a quoted, bracketed, uncompressed IPv6 address with a dotted end and a port.
const MAX_LENGTH: usize = "\"[0000:0000:0000:0000:0000:0000:255.255.255.255]:65535\"".len();

/// The address that `entry` names; an IPv4-mapped one is given as IPv4.
pub(super) fn address(entry: &[u8]) -> Option<IpAddr> {
    if entry.len() > MAX_LENGTH {
        return None;
    }
    let text = str::from_utf8(unquote(trim(entry))).ok()?;
    bracketed(text)
        .or_else(|| text.parse().ok())
        .or_else(|| with_port(text))
        .map(|address| address.to_canonical())
}

/// `[2001:db8::1]` or `[2001:db8::1]:4711`.
fn bracketed(text: &str) -> Option<IpAddr> {
    let (address, rest) = text.strip_prefix('[')?.split_once(']')?;
    if !rest.is_empty() && !is_port(rest.strip_prefix(':')?) {
        return None;
    }
    address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

/// `192.0.2.1:4711`.
fn with_port(text: &str) -> Option<IpAddr> {
    let (address, port) = text.split_once(':')?;
    is_port(port).then(|| address.parse().ok().map(IpAddr::V4))?
}

/// Whether `text` is a port number in digits.
pub(super) fn is_port(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits && text.len() <= 5 && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    #[test]
    fn every_usual_form_is_understood() {
        let cases = [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("\"192.0.2.1:4711\"", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:DB8::1]:65535", "2001:db8::1"),
            ("\"[2001:db8::1]:1\"", "2001:db8::1"),
            (" \t192.0.2.1 ", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:c000:201]:80", "192.0.2.1"),
            (
                "\"[0000:0000:0000:0000:0000:ffff:255.255.255.255]:65535\"",
                "255.255.255.255",
            ),
        ];
        for (entry, expected) in cases {
            assert_eq!(
                address(entry.as_bytes()),
                Some(expected.parse().unwrap()),
                "{entry}"
            );
        }
    }

    #[test]
    fn anything_else_is_no_address() {
        let cases = [
            "",
            "unknown",
            "_hidden",
            "\"\"",
            "\"192.0.2.1",
            "192.0.2.1\"",
            "192.0.2",
            "192.0.2.256",
            "010.0.0.1",
            "0x7f.0.0.1",
            "2130706433",
            "192.0.2.1:",
            "192.0.2.1:65536",
            "192.0.2.1:+80",
            "192.0.2.1:000080",
            "192.0.2.1 80",
            "192.0.2.1/32",
            "[192.0.2.1]",
            "[192.0.2.1]:80",
            "[2001:db8::1",
            "2001:db8::1]",
            "[2001:db8::1]80",
            "[2001:db8::1]:",
            "[2001:db8::1]:x",
            "fe80::1%eth0",
            "[fe80::1%25eth0]",
            "example.com",
            "for=192.0.2.1",
            "192.0.2.1;x",
            "\u{661}92.0.2.1",
        ];
        for entry in cases {
            assert_eq!(address(entry.as_bytes()), None, "{entry}");
        }
        assert_eq!(address(b"192.0.2.1\xff"), None);
        assert_eq!(address(&vec![b'1'; 100_000]), None);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(v4: u32, v6: u128, port: u16) {
            let (v4, v6) = (Ipv4Addr::from(v4), Ipv6Addr::from(v6));
            for entry in [format!("{v4}"), format!("{v4}:{port}"), format!("\"{v4}\"")] {
                prop_assert_eq!(address(entry.as_bytes()), Some(v4.into()));
            }
            for entry in [format!("{v6}"), format!("[{v6}]"), format!("\"[{v6}]:{port}\"")] {
                prop_assert_eq!(address(entry.as_bytes()), Some(IpAddr::from(v6).to_canonical()));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(entry: Vec<u8>) {
            let _ = address(&entry);
        }

        #[test]
        fn nothing_like_an_address_makes_it_panic(entry in "[\\[\\]:.\"0-9a-f]{0,60}") {
            let _ = address(entry.as_bytes());
        }
    }
}
