use http::HeaderValue;
use proptest::prelude::*;

use super::*;

/// The defaults of the configuration, with these trusted proxies.
pub(super) fn settings(trusted: &[&str]) -> Settings {
    Settings {
        trusted_proxies: trusted
            .iter()
            .map(|network| network.parse().unwrap())
            .collect(),
        x_forwarded_for: XForwardedFor::Append,
        x_real_ip: false,
        x_forwarded_proto: true,
        forwarded: false,
        via: false,
    }
}

pub(super) fn resolver(trusted: &[&str]) -> Resolver {
    Resolver::new(&settings(trusted))
}

pub(super) fn map(fields: &[(&str, &str)]) -> Fields {
    let mut map = Fields::new();
    for (name, value) in fields {
        let name: http::HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn client(trusted: &[&str], peer: &str, lines: &[&str]) -> String {
    let lines: Vec<_> = lines
        .iter()
        .map(|line| ("x-forwarded-for", *line))
        .collect();
    resolver(trusted)
        .client(peer.parse().unwrap(), &map(&lines))
        .address
        .to_string()
}

const TRUSTED: &[&str] = &["10.0.0.0/8", "2001:db8:aaaa::/48"];

#[test]
fn an_untrusted_peer_is_the_client() {
    assert_eq!(
        client(TRUSTED, "203.0.113.9", &["10.0.0.1, 192.0.2.1"]),
        "203.0.113.9"
    );
    assert_eq!(client(&[], "10.0.0.1", &["192.0.2.1"]), "10.0.0.1");
    assert_eq!(client(&[], "::ffff:192.0.2.9", &[]), "192.0.2.9");
}

#[test]
fn the_walk_stops_at_the_first_untrusted_entry_from_the_right() {
    let peer = "10.0.0.1";
    assert_eq!(client(TRUSTED, peer, &["192.0.2.1"]), "192.0.2.1");
    assert_eq!(
        client(TRUSTED, peer, &["1.1.1.1, 192.0.2.1, 10.0.0.2"]),
        "192.0.2.1"
    );
    assert_eq!(
        client(TRUSTED, peer, &["1.1.1.1, 192.0.2.1", "10.0.0.3,10.0.0.2"]),
        "192.0.2.1"
    );
    assert_eq!(
        client(TRUSTED, peer, &["10.9.9.9, 192.0.2.1, 10.0.0.2"]),
        "192.0.2.1"
    );
    assert_eq!(
        client(TRUSTED, "2001:db8:aaaa::1", &["\"[2001:db8::7]:99\""]),
        "2001:db8::7"
    );
    assert_eq!(
        client(
            TRUSTED,
            "::ffff:10.0.0.1",
            &["::ffff:192.0.2.1, ::ffff:10.0.0.2"]
        ),
        "192.0.2.1"
    );
}

#[test]
fn where_all_are_trusted_the_left_most_is_the_client() {
    assert_eq!(client(TRUSTED, "10.0.0.1", &[]), "10.0.0.1");
    assert_eq!(
        client(TRUSTED, "10.0.0.1", &["10.0.0.4, 10.0.0.3", "10.0.0.2"]),
        "10.0.0.4"
    );
}

#[test]
fn what_is_no_address_ends_the_walk() {
    for bad in ["unknown", "_x", "1.2.3", "\"", "10.0.0.5x", "\u{e9}"] {
        let line = format!("192.0.2.1, {bad}, 10.0.0.2");
        assert_eq!(client(TRUSTED, "10.0.0.1", &[&line]), "10.0.0.2", "{bad}");
        assert_eq!(
            client(TRUSTED, "10.0.0.1", &["192.0.2.1", bad]),
            "10.0.0.1",
            "{bad}"
        );
    }
}

#[test]
fn empty_entries_do_not_count() {
    assert_eq!(
        client(TRUSTED, "10.0.0.1", &["192.0.2.1, , ,10.0.0.2,", "", " "]),
        "192.0.2.1"
    );
}

#[test]
fn the_walk_is_bounded() {
    let hops = |count: usize| format!("192.0.2.1{}", ", 10.0.0.2".repeat(count));
    assert_eq!(client(TRUSTED, "10.0.0.1", &[&hops(63)]), "192.0.2.1");
    assert_eq!(client(TRUSTED, "10.0.0.1", &[&hops(64)]), "10.0.0.2");
}

#[test]
fn the_peers_trust_is_told() {
    let resolver = resolver(TRUSTED);
    let trusted = |peer: &str| {
        resolver
            .client(peer.parse().unwrap(), &Fields::new())
            .trusted_peer
    };
    assert!(trusted("10.0.0.1"));
    assert!(trusted("::ffff:10.0.0.1"));
    assert!(!trusted("11.0.0.1"));
}

/// Addresses of which about half are trusted.
fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..3_u8).prop_map(|n| format!("10.0.0.{n}")),
        (0..3_u8).prop_map(|n| format!("192.0.2.{n}")),
        (0..3_u8).prop_map(|n| format!("2001:db8:aaaa::{n}")),
        (0..3_u8).prop_map(|n| format!("2001:db8:bbbb::{n}")),
    ]
}

fn is_trusted(address: &str) -> bool {
    address.starts_with("10.") || address.starts_with("2001:db8:aaaa")
}

proptest! {
    #[test]
    fn it_agrees_with_the_plain_rule(
        peer in address(),
        lines in proptest::collection::vec(proptest::collection::vec(address(), 1..4), 0..4),
    ) {
        let hops: Vec<String> = lines.iter().flatten().cloned().chain([peer.clone()]).collect();
        let expected = hops.iter().rev().find(|hop| !is_trusted(hop)).unwrap_or(&hops[0]);
        let expected = expected.parse::<IpAddr>().unwrap().to_string();
        let lines: Vec<_> = lines.iter().map(|line| line.join(", ")).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        prop_assert_eq!(client(TRUSTED, &peer, &lines), expected);
    }

    /// What a client puts in front of what the trusted proxy saw changes nothing.
    #[test]
    fn nobody_can_smuggle_an_address_past_the_proxy(
        forged in proptest::collection::vec(prop_oneof![Just(b','), Just(b'"'), 0x20..0x7f_u8, 0x80..=0xff_u8], 0..200),
        own_line: bool,
    ) {
        let seen = b"203.0.113.9";
        let lines = if own_line {
            vec![forged, seen.to_vec()]
        } else {
            vec![[&forged[..], b", ", seen].concat()]
        };
        let mut request = Fields::new();
        for line in lines {
            request.append(X_FORWARDED_FOR, HeaderValue::from_bytes(&line).unwrap());
        }
        let found = resolver(TRUSTED).client("10.0.0.1".parse().unwrap(), &request);
        prop_assert_eq!(found.address.to_string(), "203.0.113.9");
    }

    #[test]
    fn arbitrary_bytes_give_some_address(
        lines in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![Just(b','), 0x20..0x7f_u8, 0x80..=0xff_u8], 0..100), 0..5),
    ) {
        let mut request = Fields::new();
        for line in lines {
            request.append(X_FORWARDED_FOR, HeaderValue::from_bytes(&line).unwrap());
        }
        let _ = resolver(&["0.0.0.0/0", "::/0"]).client("10.0.0.1".parse().unwrap(), &request);
    }
}

#[test]
fn the_scheme_is_what_a_trusted_proxy_says_of_the_client() {
    let peer = "10.0.0.1".parse().unwrap();
    for (fields, connection, wanted) in [
        (&[][..], false, false),
        (&[], true, true),
        (&[("x-forwarded-proto", "https")], false, true),
        (&[("x-forwarded-proto", "HTTPS")], false, true),
        (&[("x-forwarded-proto", "wss")], false, true),
        (&[("x-forwarded-proto", "https, http")], false, true),
        (&[("x-forwarded-proto", "http")], true, false),
        (&[("x-forwarded-proto", "gopher")], false, false),
        (
            &[
                ("x-forwarded-proto", "https"),
                ("x-forwarded-proto", "https"),
            ],
            false,
            false,
        ),
        (&[("forwarded", "for=192.0.2.1;proto=https")], false, true),
        (
            &[("forwarded", "for=192.0.2.1;Proto=\"https\"")],
            false,
            true,
        ),
        (&[("forwarded", "proto=https")], false, true),
        (&[("forwarded", "for=192.0.2.1;proto=http")], true, false),
        // What the client itself has said is to the left of what was said of it.
        (
            &[("forwarded", "proto=https, for=192.0.2.1;proto=http")],
            false,
            false,
        ),
        (
            &[(
                "forwarded",
                "for=192.0.2.1;proto=https, for=10.0.0.7;proto=http",
            )],
            false,
            true,
        ),
        (
            &[("forwarded", "for=192.0.2.1;proto=https;proto=http")],
            false,
            false,
        ),
        (
            &[
                ("x-forwarded-proto", "http"),
                ("forwarded", "for=192.0.2.1;proto=https"),
            ],
            false,
            false,
        ),
    ] {
        let request = map(fields);
        let resolver = resolver(TRUSTED);
        let client = resolver.client(peer, &request);
        assert_eq!(
            resolver.https(client, &request, connection),
            wanted,
            "{fields:?}"
        );
        let stranger = resolver.client("203.0.113.9".parse().unwrap(), &request);
        assert_eq!(
            resolver.https(stranger, &request, connection),
            connection,
            "{fields:?}"
        );
    }
}
