use proptest::prelude::*;

use super::*;
use crate::client_address::tests::{map, resolver, settings};

/// `request` as the server gets it, by name.
fn forwarded(resolver: &Resolver, peer: &str, request: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut request = map(request);
    let peer = peer.parse().unwrap();
    let client = resolver.client(peer, &request);
    let context = Forwarding {
        peer,
        client,
        https: false,
        local_port: 8080,
    };
    resolver.forward(&mut request, &context);
    let mut fields: Vec<_> = request
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    fields.sort();
    fields
}

fn fields(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

const FORGED: &[(&str, &str)] = &[
    ("accept", "*/*"),
    ("forwarded", "for=1.1.1.1"),
    ("host", "shop.example"),
    ("x-forwarded-anything", "x"),
    ("x-forwarded-for", "1.1.1.1"),
    ("x-forwarded-for", "2.2.2.2"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-port", "1"),
    ("x-forwarded-proto", "https"),
    ("x-real-ip", "1.1.1.1"),
    ("x_forwarded_for", "1.1.1.1"),
    ("x-forwarded_for", "1.1.1.1"),
    ("x_real-ip", "1.1.1.1"),
];

#[test]
fn an_untrusted_peer_tells_nothing() {
    let expected = fields(&[
        ("accept", "*/*"),
        ("host", "shop.example"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-port", "8080"),
        ("x-forwarded-proto", "http"),
    ]);
    assert_eq!(
        forwarded(&resolver(&["10.0.0.0/8"]), "203.0.113.9", FORGED),
        expected
    );
    assert_eq!(
        forwarded(&resolver(&[]), "::ffff:203.0.113.9", FORGED),
        expected
    );
}

#[test]
fn what_is_not_written_is_thrown_away_all_the_same() {
    let resolver = Resolver::new(&crate::config::model::ClientAddress {
        x_forwarded_for: XForwardedFor::Off,
        x_forwarded_proto: false,
        ..settings(&[])
    });
    let expected = fields(&[("accept", "*/*"), ("host", "shop.example")]);
    assert_eq!(forwarded(&resolver, "203.0.113.9", FORGED), expected);
}

#[test]
fn a_trusted_peer_is_believed_and_appended_to() {
    let expected = fields(&[
        ("accept", "*/*"),
        ("forwarded", "for=1.1.1.1"),
        ("host", "shop.example"),
        ("x-forwarded-anything", "x"),
        ("x-forwarded-for", "1.1.1.1, 2.2.2.2, 10.0.0.1"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "1.1.1.1"),
    ]);
    assert_eq!(
        forwarded(&resolver(&["10.0.0.0/8"]), "10.0.0.1", FORGED),
        expected
    );
}

#[test]
fn a_trusted_peers_headers_stay_if_none_are_written() {
    let resolver = Resolver::new(&crate::config::model::ClientAddress {
        x_forwarded_for: XForwardedFor::Off,
        x_forwarded_proto: false,
        ..settings(&["10.0.0.0/8"])
    });
    let mut expected = fields(FORGED);
    expected.retain(|(name, _)| !name.contains('_'));
    assert_eq!(forwarded(&resolver, "10.0.0.1", FORGED), expected);
}

fn value(fields: &[(String, String)], name: &str) -> Option<String> {
    let mut values = fields.iter().filter(|(found, _)| found == name);
    let value = values.next().map(|(_, value)| value.clone());
    assert!(values.next().is_none(), "{name} more than once");
    value
}

#[test]
fn replacing_leaves_the_client_alone_in_the_list() {
    let resolver = Resolver::new(&crate::config::model::ClientAddress {
        x_forwarded_for: XForwardedFor::Replace,
        x_real_ip: true,
        ..settings(&["10.0.0.0/8"])
    });
    let request = [
        ("x-forwarded-for", "9.9.9.9, 203.0.113.9, 10.0.0.2"),
        ("x-real-ip", "9.9.9.9"),
    ];
    let fields = forwarded(&resolver, "10.0.0.1", &request);
    assert_eq!(value(&fields, "x-forwarded-for").unwrap(), "203.0.113.9");
    assert_eq!(value(&fields, "x-real-ip").unwrap(), "203.0.113.9");
}

#[test]
fn ipv6_is_written_plainly() {
    let request = [
        ("x-forwarded-for", "\"[2001:DB8::1]:80\""),
        ("x-forwarded-for", " "),
    ];
    let fields = forwarded(&resolver(&["2001:db8::/32"]), "2001:db8:0:0::2", &request);
    let list = value(&fields, "x-forwarded-for").unwrap();
    assert_eq!(list, "\"[2001:DB8::1]:80\", 2001:db8::2");
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let fields = forwarded(&resolver(&[]), longest, &[]);
    assert_eq!(value(&fields, "x-forwarded-for").unwrap(), longest);
}

#[test]
fn a_trusted_peers_malformed_origin_is_replaced() {
    for (name, bad, ours) in [
        ("x-forwarded-proto", "javascript", "http"),
        ("x-forwarded-proto", "https http", "http"),
        ("x-forwarded-proto", "", "http"),
        ("x-forwarded-host", "a/b", "h.example:81"),
        ("x-forwarded-host", "a\"b", "h.example:81"),
        ("x-forwarded-host", ",", "h.example:81"),
        ("x-forwarded-port", "65536", "8080"),
        ("x-forwarded-port", "", "8080"),
        ("x-forwarded-port", "-1", "8080"),
    ] {
        let fields = forwarded(
            &resolver(&["10.0.0.0/8"]),
            "10.0.0.1",
            &[("host", "h.example:81"), (name, bad)],
        );
        assert_eq!(value(&fields, name).unwrap(), ours, "{name}: {bad}");
    }
    let twice = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-proto", "http"),
    ];
    let fields = forwarded(&resolver(&["10.0.0.0/8"]), "10.0.0.1", &twice);
    assert_eq!(value(&fields, "x-forwarded-proto").unwrap(), "http");
    let no_host = forwarded(
        &resolver(&["10.0.0.0/8"]),
        "10.0.0.1",
        &[("x-forwarded-host", "a b")],
    );
    assert_eq!(value(&no_host, "x-forwarded-host"), None);
}

#[test]
fn the_port_goes_with_what_a_trusted_peer_said() {
    for (host, proto, port) in [
        ("shop.example", Some("https"), "443"),
        ("shop.example", Some("HTTPS, http"), "443"),
        ("shop.example:8443", Some("https"), "8443"),
        ("[2001:db8::1]:8443", Some("https"), "8443"),
        ("[2001:db8::1]", Some("wss"), "443"),
        ("shop.example", Some("http"), "80"),
        ("shop.example:81", None, "8080"),
    ] {
        let mut request = vec![("host", host)];
        request.extend(proto.map(|proto| ("x-forwarded-proto", proto)));
        let fields = forwarded(&resolver(&["10.0.0.0/8"]), "10.0.0.1", &request);
        assert_eq!(
            value(&fields, "x-forwarded-port").unwrap(),
            port,
            "{host} {proto:?}"
        );
    }
}

proptest! {
    #[test]
    fn an_untrusted_client_cannot_change_what_a_server_gets(
        forged in proptest::collection::vec((
            "(x|X)[-_]forwarded[-_](for|host|port|proto|by|x)|forwarded|x[-_]real[-_]ip",
            proptest::collection::vec(prop_oneof![Just(b'\t'), 0x20..0x7f_u8, 0x80..=0xff_u8], 0..80),
        ), 0..8),
    ) {
        let mut request = map(&[("host", "shop.example")]);
        let honest = request.clone();
        for (name, value) in &forged {
            request.append(name.parse::<http::HeaderName>().unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        let peer = "203.0.113.9".parse().unwrap();
        let resolver = resolver(&["10.0.0.0/8"]);
        let finish = |mut request: Fields| {
            let client = resolver.client(peer, &request);
            resolver.forward(&mut request, &Forwarding { peer, client, https: true, local_port: 443 });
            request
        };
        prop_assert_eq!(finish(request), finish(honest));
    }

    #[test]
    fn a_trusted_peers_bytes_are_kept_and_never_panic(
        lines in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![Just(b','), 0x20..0x7f_u8, 0x80..=0xff_u8], 0..80), 0..4),
    ) {
        let mut request = Fields::new();
        for line in &lines {
            for name in [X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO] {
                request.append(name, HeaderValue::from_bytes(line).unwrap());
            }
        }
        let peer = "10.0.0.1".parse().unwrap();
        let resolver = resolver(&["10.0.0.0/8"]);
        let client = resolver.client(peer, &request);
        resolver.forward(&mut request, &Forwarding { peer, client, https: false, local_port: 80 });
        let kept = lines.iter().map(|line| trim(line)).filter(|line| !line.is_empty());
        let expected = kept.chain([&b"10.0.0.1"[..]]).collect::<Vec<_>>().join(&b", "[..]);
        let list = sole(&request, &X_FORWARDED_FOR).unwrap().as_bytes();
        prop_assert_eq!(list, &expected[..]);
    }
}
