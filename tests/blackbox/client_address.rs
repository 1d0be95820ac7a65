//! SPEC section 6: who the client is, and what the servers are told.

mod forwarded;

use std::net::IpAddr;

use crate::common::*;

const PROXY: &str = "127.0.0.2";

/// Sends a request from `from` and returns what the server got.
fn forwarded(listener: &str, from: &str, headers: &[(&str, &str)]) -> Request {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).listener(listener).start();
    let mut client = Client::connect_from(from.parse::<IpAddr>().unwrap(), lb.web());
    assert_eq!(client.get("/", headers).unwrap().status, 200);
    origin.last_request()
}

#[test]
fn the_server_is_told_the_client_protocol_host_and_port() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let to = lb.web();
    let host = format!("shop.example.com:{}", to.port());
    lb.get("/", &[("Host", &host)]);
    let request = origin.last_request();
    assert_eq!(request.headers_of("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.headers_of("x-forwarded-proto"), ["http"]);
    assert_eq!(request.headers_of("x-forwarded-host"), [host.as_str()]);
    assert_eq!(
        request.headers_of("x-forwarded-port"),
        [to.port().to_string()]
    );
    assert_eq!(request.header("x-real-ip"), None);
    assert_eq!(
        request.header("host"),
        Some(host.as_str()),
        "Host is passed on"
    );
}

#[test]
fn with_x_forwarded_proto_off_servers_are_told_the_address_alone() {
    let lie = [
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Port", "1"),
    ];
    let request = forwarded(
        "client_address: {x_forwarded_proto: false}",
        "127.0.0.1",
        &lie,
    );
    assert_eq!(request.headers_of("x-forwarded-for"), ["127.0.0.1"]);
    for (name, _) in lie {
        assert_eq!(request.header(name), None, "{name}");
    }
}

#[test]
fn what_a_stranger_claims_is_discarded() {
    let request = forwarded(
        "",
        "127.0.0.1",
        &[
            ("Host", "example.test"),
            ("X-Forwarded-For", "1.2.3.4"),
            ("X-Forwarded-For", "5.6.7.8"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Port", "443"),
            ("X-Forwarded-Prefix", "/evil"),
            ("X-Real-IP", "1.2.3.4"),
            ("Forwarded", "for=1.2.3.4;proto=https"),
        ],
    );
    assert_eq!(request.headers_of("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.headers_of("x-forwarded-proto"), ["http"]);
    assert_eq!(request.headers_of("x-forwarded-host"), ["example.test"]);
    assert_eq!(request.header("x-forwarded-prefix"), None);
    assert_eq!(request.header("x-real-ip"), None);
    assert_eq!(request.header("forwarded"), None);
}

#[test]
fn what_a_trusted_proxy_says_is_kept_and_appended_to() {
    let request = forwarded(
        "client_address: {trusted_proxies: [127.0.0.2/32]}",
        PROXY,
        &[
            ("X-Forwarded-For", "203.0.113.7"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "shop.example.com"),
            ("X-Forwarded-Port", "443"),
        ],
    );
    assert_eq!(
        request.headers_of("x-forwarded-for").join(", "),
        "203.0.113.7, 127.0.0.2"
    );
    assert_eq!(request.headers_of("x-forwarded-proto"), ["https"]);
    assert_eq!(request.headers_of("x-forwarded-host"), ["shop.example.com"]);
    assert_eq!(request.headers_of("x-forwarded-port"), ["443"]);
}

#[test]
fn trust_is_of_the_peer_not_of_the_header() {
    let request = forwarded(
        "client_address: {trusted_proxies: [127.0.0.2/32]}",
        "127.0.0.3",
        &[("X-Forwarded-For", "203.0.113.7")],
    );
    assert_eq!(request.headers_of("x-forwarded-for"), ["127.0.0.3"]);
}

#[test]
fn x_forwarded_for_can_be_replaced_or_off() {
    let trusted = "trusted_proxies: [127.0.0.2/32]";
    let claim = [("X-Forwarded-For", "203.0.113.7")];
    let replaced = forwarded(
        &format!("client_address: {{{trusted}, x_forwarded_for: replace}}"),
        PROXY,
        &claim,
    );
    assert_eq!(replaced.headers_of("x-forwarded-for").len(), 1);
    assert!(!replaced.headers_of("x-forwarded-for")[0].contains(','));
    let off = forwarded(
        "client_address: {x_forwarded_for: off}",
        "127.0.0.1",
        &claim,
    );
    assert_eq!(
        off.header("x-forwarded-for"),
        None,
        "a stranger's claim, and ours is off"
    );
}

#[test]
fn x_real_ip_is_the_client_that_was_found() {
    let listener = "client_address: {trusted_proxies: [127.0.0.0/8, 10.0.0.0/8], x_real_ip: true}";
    for (header, client) in [
        ("203.0.113.7", "203.0.113.7"),
        // From the right, past the trusted.
        ("1.1.1.1, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("2001:db8::7, 10.1.2.3", "2001:db8::7"),
        ("\"[2001:db8::7]:4711\", 10.1.2.3", "2001:db8::7"),
        ("203.0.113.7:4711", "203.0.113.7"),
    ] {
        let request = forwarded(listener, PROXY, &[("X-Forwarded-For", header)]);
        assert_eq!(request.headers_of("x-real-ip"), [client], "for {header}");
    }
}

#[test]
fn several_headers_are_one_list() {
    let request = forwarded(
        "client_address: {trusted_proxies: [127.0.0.0/8, 10.0.0.0/8], x_real_ip: true}",
        PROXY,
        &[
            ("X-Forwarded-For", "1.1.1.1, 203.0.113.7"),
            ("X-Forwarded-For", "10.1.2.3"),
        ],
    );
    assert_eq!(request.headers_of("x-real-ip"), ["203.0.113.7"]);
}

#[test]
fn nonsense_cannot_smuggle_an_address_through() {
    let listener = "client_address: {trusted_proxies: [127.0.0.2/32], x_real_ip: true}";
    let long = "1.2.3.4, ".repeat(2000);
    for header in [
        "not an address",
        "1.2.3.4, unknown",
        "1.2.3.4, _hidden",
        ",,,",
        "1.2.3.4, 999.1.1.1",
        &long,
    ] {
        let request = forwarded(listener, PROXY, &[("X-Forwarded-For", header)]);
        let told = request.headers_of("x-real-ip");
        assert_eq!(told.len(), 1);
        assert!(
            told[0].parse::<IpAddr>().is_ok(),
            "{told:?} for {header:.40}"
        );
        if !header.starts_with("1.2.3.4, 1.2") {
            assert_ne!(
                told[0], "1.2.3.4",
                "taken from behind something unreadable: {header}"
            );
        }
    }
}

#[test]
fn the_log_has_the_client_and_the_peer() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("client_address: {trusted_proxies: [127.0.0.2/32]}")
        .start();
    let mut client = Client::connect_from(PROXY.parse().unwrap(), lb.web());
    client
        .get("/logged", &[("X-Forwarded-For", "203.0.113.7")])
        .unwrap();
    let line = lb.wait_logged(|l| l["path"] == "/logged");
    assert_eq!(line["client"], "203.0.113.7");
    let peer = line["peer"].as_str().unwrap();
    assert!(peer.starts_with(PROXY), "{peer}");
    assert_eq!(line["x_forwarded_for"], "203.0.113.7");
}

#[test]
fn hop_by_hop_headers_cannot_remove_what_we_tell() {
    // RFC 9110 section 7.6.1 lets Connection name headers to drop; ours are not the client's to name.
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    client
        .get("/", &[("Connection", "X-Forwarded-For, keep-alive")])
        .unwrap();
    for request in origin.requests() {
        assert_eq!(request.headers_of("x-forwarded-for"), ["127.0.0.1"]);
    }
}
