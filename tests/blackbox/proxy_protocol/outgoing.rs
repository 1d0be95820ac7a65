//! Headers that servers get.

use super::*;

/// A server that wants headers, as a pool of this `version`.
fn setup(version: &str, server: &Announced) -> Setup {
    Setup::new()
        .pool(&format!("proxy_protocol: {version}"))
        .server_at("a", &server.address().to_string(), "")
}

#[test]
fn servers_are_told_whose_connection_it_is() {
    let origin = Origin::start("a");
    for protocol in ["http", "tcp"] {
        for version in ["v1", "v2"] {
            let server = Announced::before(origin.address());
            let lb = setup(version, &server)
                .listener(&format!("protocol: {protocol}"))
                .start();
            let mut client = lb.client();
            assert_eq!(client.get("/", &[]).unwrap().status, 200);
            let told = server.wait_used(1).remove(0);
            assert_eq!(told.source(), client.local_addr(), "{protocol} {version}");
            if version == "v1" {
                let (from, to) = (client.local_addr().port(), lb.web().port());
                let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {to}");
                assert_eq!(told.line(), line);
            }
        }
    }
}

#[test]
fn clients_over_ipv6_are_told_as_such() {
    let origin = Origin::start("a");
    for version in ["v1", "v2"] {
        let server = Announced::before(origin.address());
        let lb = setup(version, &server)
            .listener("bind: \"[::1]:0\"")
            .start();
        let mut client = lb.client();
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
        assert_eq!(server.wait_used(1)[0].source(), client.local_addr());
    }
}

#[test]
fn a_unix_socket_is_a_server_like_others() {
    let origin = Origin::start("a");
    let dir = TempDir::new("unix");
    let path = dir.path().join("s.sock");
    let server = Announced::at(&path, origin.address());
    for protocol in ["http", "tcp"] {
        let lb = Setup::new()
            .pool("proxy_protocol: v2")
            .listener(&format!("protocol: {protocol}"))
            .server_at("a", &format!("unix:{}", path.display()), "")
            .start();
        let mut client = lb.client();
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
        let told = eventually(SOON, || {
            server
                .told()
                .into_iter()
                .find(|told| told.used && told.source() == client.local_addr())
        });
        assert!(told.tlv(0x05).is_some_and(|id| id.len() == 32));
    }
}

#[test]
fn what_a_proxy_in_front_said_is_passed_on() {
    let origin = Origin::start("a");
    let said: &[(u8, &[u8])] = &[
        (0x01, b"h2"),
        (0x02, b"shop.example.com"),
        (0x04, b"padding"),
        (0x05, b"an-id"),
        (0x20, b"\x01\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x05alice"),
        (0xe0, &[0, 0, 0, 1, 2, 3, 4, 5]),
        (0xea, b"\x01vpce-08d2bf15fac5001c9"),
        (0xee, b"\x01\x2a\0\0\0"),
        (0xf0, b"ours"),
    ];
    for protocol in ["http", "tcp"] {
        let server = Announced::before(origin.address());
        let lb = setup("v2", &server)
            .listener(&format!("protocol: {protocol}\n{}", believing()))
            .start();
        let mut client = saying(lb.web(), &v2_usual(said));
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
        let told = server.wait_used(1).remove(0);
        assert_eq!(told.source(), "203.0.113.7:4321".parse().unwrap());
        assert_eq!(told.raw[20..24], [198, 51, 100, 1]);
        let expected: Vec<_> = said
            .iter()
            .filter(|(kind, _)| *kind != 0x04)
            .map(|(kind, value)| (*kind, value.to_vec()))
            .collect();
        assert_eq!(told.tlvs(), expected);

        // A client at a Unix socket stays one; version 1 has no word for it.
        let unix = v2(0x21, 0x31, &[b'/'; 216], &[]);
        let mut client = saying(lb.web(), &unix);
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
        let told = server.wait_used(2).remove(1);
        assert_eq!(
            told.raw[12..16],
            unix[12..14]
                .iter()
                .copied()
                .chain(told.raw[14..16].to_vec())
                .collect::<Vec<_>>()
        );
        assert_eq!(told.raw[16..232], unix[16..]);
    }
}

#[test]
fn what_is_known_of_tls_is_told() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let leaf = pki.leaf(&["lb.example.com"]);
    for protocol in ["https", "tls"] {
        let server = Announced::before(origin.address());
        let lb = setup("v2", &server)
            .listener(&format!(
                "protocol: {protocol}\ntls:\n  certificates: [{{cert: \"{}\", key: \"{}\"}}]\n  \
                 alpn: [http/1.1]\n  client_auth: {{mode: optional, ca: \"{}\"}}",
                leaf.cert.display(),
                leaf.key.display(),
                pki.root().display(),
            ))
            .start();
        let tls = Tls::new(&pki, "lb.example.com");
        let mut client = tls.clone().connect(lb.web());
        let cipher = client.ssl().current_cipher().unwrap().name();
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
        let told = server.wait_used(1).remove(0);
        assert_eq!(told.source(), client.local_addr());
        assert_eq!(told.tlv(0x02).unwrap(), b"lb.example.com");
        let ssl = told.tlv(0x20).unwrap();
        // TLS, no certificate, and so none that was verified.
        assert_eq!(ssl[..5], [0x01, 0, 0, 0, 1]);
        let parts = announced::tlvs(&ssl[5..]);
        assert_eq!(
            parts,
            [
                (0x21, b"TLSv1.3".to_vec()),
                (0x23, cipher.as_bytes().to_vec())
            ]
        );

        let alice = pki.client("alice");
        let mut client = tls.identity(&alice).alpn(&["http/1.1"]).connect(lb.web());
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
        let told = server.wait_used(2).remove(1);
        let ssl = told.tlv(0x20).unwrap();
        assert_eq!(ssl[..5], [0x07, 0, 0, 0, 0]);
        let parts = announced::tlvs(&ssl[5..]);
        assert!(parts.contains(&(0x22, b"alice".to_vec())), "{parts:?}");
        assert_eq!(told.tlv(0x01).unwrap(), b"http/1.1");
    }
}

#[test]
fn it_comes_before_tls_to_the_server() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("a", &pki.leaf(&["a.example.com"]));
    let server = Announced::before(origin.address());
    for protocol in ["http", "tcp"] {
        let lb = setup("v2", &server)
            .listener(&format!("protocol: {protocol}"))
            .pool(&format!(
                "tls: {{server_name: a.example.com, ca: \"{}\"}}",
                pki.root().display()
            ))
            .start();
        let mut client = lb.client();
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
        eventually(SOON, || {
            server
                .told()
                .iter()
                .any(|told| told.used && told.source() == client.local_addr())
        });
    }
}

#[test]
fn checks_are_told_to_be_our_own() {
    for (check, version) in [
        ("type: tcp", "v1"),
        ("type: tcp", "v2"),
        ("type: http, path: /health", "v1"),
        ("type: http, path: /health", "v2"),
    ] {
        let origin = Origin::start("a");
        let server = Announced::before(origin.address());
        let lb = setup(version, &server)
            .pool(&format!("health_check: {{{check}, interval: 100ms}}"))
            .start();
        lb.wait_state("app", "a", "up");
        eventually(SOON, || server.told().len() >= 2);
        let told = server.told();
        assert!(
            told.iter().all(Told::is_local),
            "{check} {version}: {told:?}"
        );
        if check.contains("http") {
            assert!(origin.checks() > 0);
        }
    }
}

#[test]
fn checks_at_another_port_say_nothing() {
    let origin = Origin::start("a");
    let server = Announced::before(origin.address());
    let port = origin.address().port();
    let lb = setup("v2", &server)
        .pool(&format!(
            "health_check: {{type: http, path: /health, port: {port}, interval: 100ms}}"
        ))
        .start();
    lb.wait_state("app", "a", "up");
    assert_eq!(server.told(), []);
}

#[test]
fn another_server_is_told_the_same() {
    let origin = Origin::start("b");
    let server = Announced::before(origin.address());
    let closed = ReservedPort::new();
    for protocol in ["http", "tcp"] {
        let lb = Setup::new()
            .listener(&format!("protocol: {protocol}"))
            .pool("proxy_protocol: v1")
            .server_at("a", &closed.address().to_string(), "weight: 1000")
            .server_at("b", &server.address().to_string(), "")
            .start();
        let mut client = lb.client();
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
        eventually(SOON, || {
            server
                .told()
                .iter()
                .any(|told| told.used && told.source() == client.local_addr())
        });
    }
}
