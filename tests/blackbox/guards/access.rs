//! Who may by address.

use crate::common::h2::H2;
use crate::common::*;

const LISTENER: &str = "client_address: {trusted_proxies: [127.0.0.2]}
routes:
  - name: inside
    match: {path_prefix: /inside}
    allow: [127.0.0.3, 10.0.0.0/8, 2001:db8::/32]
    deny: [10.66.0.0/16, '2001:db8:66::/48']
  - name: mapped
    match: {path_prefix: /mapped}
    allow: ['::ffff:192.0.2.0/120']
  - name: open
    match: {path_prefix: /open}
    deny: [127.0.0.4]";

fn start(origin: &Origin) -> Equipoise {
    Setup::of([origin]).listener(LISTENER).start()
}

#[test]
fn allow_names_the_only_ones_and_deny_takes_some_of_them_back() {
    let origin = Origin::start("a");
    let lb = start(&origin);
    for (from, path, status) in [
        ("127.0.0.1", "/inside", 403),
        ("127.0.0.3", "/inside", 200),
        ("127.0.0.3", "/inside/further", 200),
        ("127.0.0.1", "/open", 200),
        ("127.0.0.4", "/open", 403),
        ("127.0.0.4", "/elsewhere", 200),
    ] {
        let mut client = Client::connect_from(from.parse().unwrap(), lb.web());
        assert_eq!(
            client.get(path, &[]).unwrap().status,
            status,
            "{from} {path}"
        );
    }
}

#[test]
fn behind_a_trusted_proxy_it_is_the_client_that_may() {
    let origin = Origin::start("a");
    let lb = start(&origin);
    let mut proxy = Client::connect_from("127.0.0.2".parse().unwrap(), lb.web());
    for (client, path, status) in [
        ("10.1.2.3", "/inside", 200),
        ("::ffff:10.1.2.3", "/inside", 200),
        ("10.66.1.1", "/inside", 403),
        ("::ffff:10.66.1.1", "/inside", 403),
        ("11.0.0.1", "/inside", 403),
        ("2001:db8::1", "/inside", 200),
        ("2001:db8:66::1", "/inside", 403),
        ("2001:db9::1", "/inside", 403),
        ("192.0.2.7", "/mapped", 200),
        ("::ffff:192.0.2.7", "/mapped", 200),
        ("192.0.3.7", "/mapped", 403),
    ] {
        let asked = proxy.get(path, &[("X-Forwarded-For", client)]).unwrap();
        assert_eq!(asked.status, status, "{client} {path}");
    }
    // The proxy itself is nobody.
    assert_eq!(proxy.get("/inside", &[]).unwrap().status, 403);
}

#[test]
fn a_stranger_cant_claim_an_address() {
    let origin = Origin::start("a");
    let lb = start(&origin);
    for claim in [
        ("X-Forwarded-For", "10.1.2.3"),
        ("X-Real-IP", "10.1.2.3"),
        ("Forwarded", "for=10.1.2.3"),
    ] {
        assert_eq!(lb.get("/inside", &[claim]).status, 403, "{claim:?}");
    }
    assert_eq!(origin.served(), 0);
}

#[test]
fn who_may_not_is_told_so_keeps_the_connection_and_is_logged() {
    let origin = Origin::start("a");
    let lb = start(&origin);
    let mut client = lb.client();
    for (method, body) in [("GET", &b""[..]), ("POST", b"a body"), ("HEAD", b"")] {
        let refused = client.request(method, "/inside", &[], body).unwrap();
        assert_eq!(refused.status, 403, "{method}");
        assert_eq!(client.get("/open", &[]).unwrap().status, 200, "{method}");
    }
    let h2 = H2::connect(lb.web());
    assert_eq!(h2.get("/inside", &[]).unwrap().status, 403);
    assert_eq!(h2.get("/open", &[]).unwrap().status, 200);
    let line = lb.wait_logged(|line| line["status"] == 403);
    assert_eq!(
        (&line["termination"], &line["route"], &line["pool"]),
        (&"denied".into(), &"inside".into(), &serde_json::Value::Null)
    );
}

#[test]
fn addresses_come_before_passwords_and_rates() {
    let origin = Origin::start("a");
    let dir = TempDir::new("access");
    // demo:demo
    dir.write(
        "htpasswd",
        "demo:$2y$04$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234\n",
    );
    let lb = Setup::of([&origin])
        .listener(
            "routes:
  - match: {path_prefix: /}
    allow: [127.0.0.3]
    rate_limit: {rate: 1/h, burst: 1}
    basic_auth: {htpasswd_file: @DIR@/htpasswd}",
        )
        .start_in(dir);
    let ask = |from: &str| {
        let mut client = Client::connect_from(from.parse().unwrap(), lb.web());
        client.get("/", &[]).unwrap().status
    };
    assert_eq!([ask("127.0.0.1"), ask("127.0.0.1")], [403, 403]);
    // The rate comes next, so that it holds for whoever tries passwords.
    assert_eq!([ask("127.0.0.3"), ask("127.0.0.3")], [401, 429]);
}
