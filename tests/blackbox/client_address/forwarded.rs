//! `forwarded` and `via`.

use super::{PROXY, forwarded};
use crate::common::h2::H2;
use crate::common::*;

const ON: &str = "client_address: {forwarded: true}";
const TRUSTING: &str = "client_address: {forwarded: true, trusted_proxies: [127.0.0.2/32]}";

#[test]
fn forwarded_is_off_by_default() {
    let request = forwarded("", "127.0.0.1", &[("Forwarded", "for=1.2.3.4")]);
    assert_eq!(request.header("forwarded"), None);
    assert_eq!(request.header("via"), None);
}

#[test]
fn forwarded_names_the_client_and_what_it_asked() {
    let request = forwarded(ON, "127.0.0.1", &[("Host", "shop.example.com")]);
    assert_eq!(
        request.headers_of("forwarded"),
        ["for=127.0.0.1;host=shop.example.com;proto=http"]
    );
    let request = forwarded(ON, "127.0.0.1", &[("Host", "shop.example.com:8080")]);
    assert_eq!(
        request.headers_of("forwarded"),
        ["for=127.0.0.1;host=\"shop.example.com:8080\";proto=http"]
    );
}

#[test]
fn ipv6_is_quoted_and_in_brackets() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("bind: \"[::1]:0\"")
        .listener(ON)
        .start();
    lb.get("/", &[("Host", "a.test")]);
    let request = origin.last_request();
    assert_eq!(
        request.headers_of("forwarded"),
        ["for=\"[::1]\";host=a.test;proto=http"]
    );
}

#[test]
fn a_strangers_forwarded_is_discarded_and_a_trusted_proxys_is_appended_to() {
    let told = [
        ("Host", "a.test"),
        ("Forwarded", "for=\"[2001:db8::7]:4711\";proto=https"),
        ("Forwarded", "for=203.0.113.9"),
    ];
    let request = forwarded(TRUSTING, "127.0.0.1", &told);
    assert_eq!(
        request.headers_of("forwarded"),
        ["for=127.0.0.1;host=a.test;proto=http"]
    );
    let request = forwarded(TRUSTING, PROXY, &told);
    assert_eq!(
        request.headers_of("forwarded"),
        [
            "for=\"[2001:db8::7]:4711\";proto=https, for=203.0.113.9, for=127.0.0.2;host=a.test;proto=http"
        ]
    );
}

#[test]
fn a_malformed_one_is_not_passed_on_even_from_a_trusted_proxy() {
    for malformed in ["for=\"1.2.3.4", "for=1.2.3.4;for=5.6.7.8", "for=a b", "for"] {
        let told = [("Host", "a.test"), ("Forwarded", malformed)];
        let request = forwarded(TRUSTING, PROXY, &told);
        assert_eq!(
            request.headers_of("forwarded"),
            ["for=127.0.0.2;host=a.test;proto=http"],
            "{malformed}"
        );
    }
}

#[test]
fn replace_and_off_of_x_forwarded_for_leave_forwarded_its_place() {
    let told = [
        ("Host", "inner.test"),
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "shop.example.com"),
        ("Forwarded", "for=9.9.9.9"),
    ];
    let with = |mode: &str| {
        let listener = format!(
            "client_address: {{forwarded: true, x_forwarded_for: {mode}, trusted_proxies: [127.0.0.2/32]}}"
        );
        let request = forwarded(&listener, PROXY, &told);
        request.headers_of("forwarded").join("|")
    };
    assert_eq!(
        with("replace"),
        "for=203.0.113.7;host=shop.example.com;proto=https"
    );
    assert_eq!(
        with("off"),
        "for=9.9.9.9, for=127.0.0.2;host=inner.test;proto=http"
    );
}

#[test]
fn the_client_is_found_in_forwarded_where_there_is_no_x_forwarded_for() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).listener(TRUSTING).start();
    let client = |n: usize, headers: &[(&str, &str)]| {
        let mut connection = Client::connect_from(PROXY.parse().unwrap(), lb.web());
        connection.get(&format!("/{n}"), headers).unwrap();
        let line = lb.wait_logged(|line| line["path"] == format!("/{n}"));
        line["client"].as_str().unwrap().to_owned()
    };
    let walked = "for=9.9.9.9, for=\"[2001:db8::1]\";proto=https, for=127.0.0.2";
    for (n, (headers, expected)) in [
        (&[("Forwarded", walked)][..], "2001:db8::1"),
        (
            &[("Forwarded", "for=203.0.113.7, for=_hidden")],
            "127.0.0.2",
        ),
        (&[("Forwarded", "for=203.0.113.7, for=\"")], "127.0.0.2"),
        // Where they disagree, X-Forwarded-For is believed.
        (
            &[
                ("Forwarded", "for=9.9.9.9"),
                ("X-Forwarded-For", "203.0.113.7"),
            ],
            "203.0.113.7",
        ),
        (
            &[("Forwarded", "for=9.9.9.9"), ("X-Forwarded-For", "unknown")],
            "127.0.0.2",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(client(n, headers), expected, "{headers:?}");
    }
}

#[test]
fn forwarded_is_not_read_unless_it_is_spoken() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("client_address: {trusted_proxies: [127.0.0.2/32]}")
        .start();
    let mut connection = Client::connect_from(PROXY.parse().unwrap(), lb.web());
    connection
        .get("/", &[("Forwarded", "for=203.0.113.7")])
        .unwrap();
    assert_eq!(lb.wait_logged(|_| true)["client"], PROXY);
}

#[test]
fn via_is_appended_in_both_directions_with_the_version_received() {
    let origin = Origin::with("a", |_| Answer::ok().header("Via", "1.0 inner"));
    let lb = Setup::of([&origin])
        .listener("client_address: {via: true}")
        .start();
    let response = lb.get("/", &[("Via", "1.0 fred, 1.1 p.example.com")]);
    assert_eq!(
        origin.last_request().headers_of("via").join(", "),
        "1.0 fred, 1.1 p.example.com, 1.1 equipoise"
    );
    assert_eq!(
        response.headers_of("via").join(", "),
        "1.0 inner, 1.1 equipoise"
    );

    let mut old = lb.client();
    old.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
    old.read_response(false).unwrap();
    assert_eq!(origin.last_request().headers_of("via"), ["1.0 equipoise"]);

    let response = H2::connect(lb.web()).get("/", &[]).unwrap();
    assert_eq!(origin.last_request().headers_of("via"), ["2 equipoise"]);
    assert_eq!(
        response.headers_of("via").join(", "),
        "1.0 inner, 1.1 equipoise"
    );
}

#[test]
fn via_names_the_servers_version_and_is_not_on_our_own_answers() {
    let origin = H2Origin::start(|_| h2_origin::Reply::text("hello"));
    let lb = Setup::new()
        .server_at("a", &origin.address().to_string(), "")
        .pool("http2: true")
        .listener("client_address: {via: true}")
        .start();
    assert_eq!(lb.get("/", &[]).headers_of("via"), ["2 equipoise"]);
    let mut client = lb.client();
    client.send("GET / HTTP/1.1\r\n\r\n").unwrap();
    let refused = client.read_response(false).unwrap();
    assert_eq!((refused.status, refused.header("via")), (400, None));
}
