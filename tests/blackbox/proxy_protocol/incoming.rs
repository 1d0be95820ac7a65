//! Headers that trusted proxies send.

use nix::sys::signal::Signal;

use super::*;

fn rejected(lb: &Equipoise) -> f64 {
    lb.metrics().value(
        "equipoise_connections_rejected_total",
        &[("reason", "proxy_protocol")],
    )
}

#[test]
fn the_client_is_who_the_header_says() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener(
            "proxy_protocol: true\nclient_address: {trusted_proxies: [127.0.0.1/32], x_real_ip: true, forwarded: true}",
        )
        .start();
    for header in [LINE.to_vec(), v2_usual(&[])] {
        let mut client = saying(lb.web(), &header);
        // Two requests: what the header says holds for the whole connection.
        for path in ["/1", "/2"] {
            client
                .get(path, &[("X-Forwarded-For", "10.9.9.9")])
                .unwrap();
            let seen = origin.last_request();
            assert_eq!(seen.header("x-forwarded-for"), Some(CLIENT), "{path}");
            assert_eq!(seen.header("x-real-ip"), Some(CLIENT));
            assert_eq!(seen.header("x-forwarded-port"), Some("443"));
            assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
        }
    }
    let line = lb.wait_logged(|line| line["path"] == "/2");
    assert_eq!(
        (&line["client"], &line["peer"]),
        (&CLIENT.into(), &"127.0.0.1".into())
    );
}

#[test]
fn a_header_comes_in_pieces_and_the_request_with_it() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).listener(believing()).start();
    let long = v2_usual(&[(0xea, &[1; 3000]), (4, &[0; 900])]);
    for header in [LINE, &v2_usual(&[(0xea, b"\x01vpce-1")]), &long] {
        let all = [header, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        // All at once, byte by byte, and cut in the middle of the request.
        let whole = saying(lb.web(), &all).read_response(false).unwrap();
        assert_eq!(whole.status, 200);
        let mut client = Client::connect(lb.web());
        for byte in &all[..60] {
            client.send([*byte]).unwrap();
        }
        client.send(&all[60..]).unwrap();
        assert_eq!(client.read_response(false).unwrap().status, 200);
        let mut client = saying(lb.web(), &all[..all.len() - 5]);
        client.send(&all[all.len() - 5..]).unwrap();
        assert_eq!(client.read_response(false).unwrap().status, 200);
        assert_eq!(
            origin.last_request().header("x-forwarded-for"),
            Some(CLIENT)
        );
    }
}

#[test]
fn ipv6_and_what_has_no_address_are_understood() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).listener(believing()).start();
    let v6 = [[0x20; 16], [1; 16]].concat();
    let v6 = [&v6[..], &[0, 5, 0, 80]].concat();
    for (header, client) in [
        (
            b"PROXY TCP6 2001:db8::7 2001:db8::1 4321 443\r\n".to_vec(),
            "2001:db8::7",
        ),
        (
            v2(0x21, 0x21, &v6, &[]),
            "2020:2020:2020:2020:2020:2020:2020:2020",
        ),
        (
            b"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:198.51.100.1 1 2\r\n".to_vec(),
            CLIENT,
        ),
        // These are the proxy's own, or nobody's that it could name.
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (
            b"PROXY UNKNOWN 2001:db8::7 2001:db8::1 4321 443\r\n".to_vec(),
            "127.0.0.1",
        ),
        (v2(0x20, 0x00, &[], &[]), "127.0.0.1"),
        (v2(0x20, 0x11, &[9; 12], &[]), "127.0.0.1"),
        (v2(0x21, 0x00, &[], &[]), "127.0.0.1"),
        (v2(0x21, 0x31, &[b'/'; 216], &[]), "127.0.0.1"),
        (v2(0x21, 0x12, &[9; 12], &[]), "127.0.0.1"),
    ] {
        let mut connection = saying(lb.web(), &header);
        assert_eq!(connection.get("/", &[]).unwrap().status, 200, "{client}");
        let seen = origin.last_request();
        assert_eq!(seen.header("x-forwarded-for"), Some(client), "{header:?}");
    }
}

#[test]
fn a_proxy_behind_a_proxy_is_walked_past() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener(
            "proxy_protocol: true\nclient_address: {trusted_proxies: [127.0.0.1/32, 10.0.0.0/8]}",
        )
        .start();
    // A layer 4 proxy brings a connection of a layer 7 proxy that is trusted as well.
    let mut client = saying(lb.web(), b"PROXY TCP4 10.1.1.1 198.51.100.1 1 80\r\n");
    client.get("/", &[("X-Forwarded-For", CLIENT)]).unwrap();
    let seen = origin.last_request();
    assert_eq!(
        seen.header("x-forwarded-for"),
        Some("203.0.113.7, 10.1.1.1")
    );
    let line = lb.wait_logged(|line| line["path"] == "/");
    assert_eq!(line["client"], CLIENT);
}

#[test]
fn whoever_is_not_trusted_is_a_plain_client() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("proxy_protocol: true\nclient_address: {trusted_proxies: [10.0.0.0/8]}")
        .start();
    assert_eq!(lb.get("/", &[]).status, 200);
    assert_eq!(
        origin.last_request().header("x-forwarded-for"),
        Some("127.0.0.1")
    );
    // What it says of itself is no request.
    for header in [LINE, &v2_usual(&[])] {
        let all = [header, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        let response = saying(lb.web(), &all).read_response(false).unwrap();
        assert_eq!(response.status, 400);
    }
    assert_eq!(origin.served(), 1);
    assert_eq!(rejected(&lb), 0.0);
}

#[test]
fn a_trusted_proxy_without_a_header_is_closed_and_counted() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).listener(believing()).start();
    let too_long = [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat();
    let wrong = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 198.51.100.1 4321\r\n".to_vec(),
        v2(0x31, 0x11, &[9; 12], &[]),
        v2(0x21, 0x11, &[9; 11], &[]),
        v2(0x21, 0x41, &[9; 12], &[]),
        v2(0x21, 0x13, &[9; 12], &[]),
        too_long,
    ];
    for (count, header) in wrong.iter().enumerate() {
        let mut client = saying(lb.web(), header);
        assert!(client.is_closed_by_peer(), "{header:?}");
        eventually(SOON, || rejected(&lb) == (count + 1) as f64);
    }
    // In the middle of a header.
    drop(saying(lb.web(), &LINE[..20]));
    eventually(SOON, || rejected(&lb) == 8.0);
    let line = lb.wait_logged(|line| line["termination"] == "proxy_protocol");
    assert_eq!(line["client"], "127.0.0.1");
    eventually(SOON, || {
        lb.stderr().contains("what came first is no PROXY header")
    });
    // Who only looks whether somebody listens has done nothing wrong.
    drop(Client::connect(lb.web()));
    let mut client = saying(lb.web(), LINE);
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    assert_eq!((rejected(&lb), origin.served()), (8.0, 1));
    lb.wait_idle_servers();
}

#[test]
fn a_header_that_takes_too_long_is_not_waited_for() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener(&format!("{}\nhttp: {{header_timeout: 300ms}}", believing()))
        .start();
    for part in [&b"PROXY TCP4 "[..], &v2_usual(&[])[..20]] {
        let mut client = saying(lb.web(), part);
        assert!(client.is_closed_by_peer());
    }
    eventually(SOON, || rejected(&lb) == 2.0);
    eventually(SOON, || {
        lb.stderr().contains("no whole PROXY header in 300ms")
    });
}

#[test]
fn it_comes_before_tls() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let leaf = pki.leaf(&["lb.example.com"]);
    let lb = Setup::of([&origin])
        .listener(&format!(
            "protocol: https\n{}\ntls: {{certificates: [{{cert: \"{}\", key: \"{}\"}}]}}",
            believing(),
            leaf.cert.display(),
            leaf.key.display()
        ))
        .start();
    for header in [LINE, &v2_usual(&[])] {
        for alpn in ["http/1.1", "h2"] {
            let socket = socket_saying(lb.web(), header);
            let tls = Tls::new(&pki, "lb.example.com").alpn(&[alpn]);
            let mut client = tls.try_over(socket).unwrap();
            if alpn == "http/1.1" {
                assert_eq!(client.get("/", &[]).unwrap().status, 200);
                let seen = origin.last_request();
                assert_eq!(seen.header("x-forwarded-for"), Some(CLIENT));
            }
        }
    }
    // TLS alone isn't enough.
    assert!(
        Tls::new(&pki, "lb.example.com")
            .try_connect(lb.web())
            .is_err()
    );
    eventually(SOON, || rejected(&lb) == 1.0);
}

#[test]
fn tls_that_ended_at_the_proxy_is_https() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).listener(believing()).start();
    let tls = b"\x01\0\0\0\0\x21\0\x07TLSv1.3";
    let mut client = saying(lb.web(), &v2_usual(&[(0x20, tls)]));
    client.get("/", &[]).unwrap();
    let seen = origin.last_request();
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    let mut client = saying(lb.web(), &v2_usual(&[(0x20, b"\0\0\0\0\0")]));
    client.get("/", &[]).unwrap();
    assert_eq!(
        origin.last_request().header("x-forwarded-proto"),
        Some("http")
    );
}

#[test]
fn http2_by_prior_knowledge_follows_it() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).listener(believing()).start();
    let mut client = saying(
        lb.web(),
        &[
            LINE,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        ]
        .concat(),
    );
    // SETTINGS come back.
    assert_eq!(client.take(9).unwrap()[3], 4);
}

#[test]
fn limits_count_the_client_and_not_its_proxy() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener(&format!("{}\nmax_connections_per_client: 2", believing()))
        .start();
    let hold = |address: &str| {
        let header = format!("PROXY TCP4 {address} 198.51.100.1 4321 443\r\n");
        let mut client = saying(lb.web(), header.as_bytes());
        let status = client.get("/", &[]).unwrap().status;
        (client, status)
    };
    let held: Vec<_> = (0..3).map(|_| hold(CLIENT)).collect();
    let statuses: Vec<_> = held.iter().map(|(_, status)| *status).collect();
    assert_eq!(statuses, [200, 200, 503]);
    assert_eq!(hold("203.0.113.8").1, 200);
    // The proxy's own connections are nobody's.
    for _ in 0..3 {
        let mut client = saying(lb.web(), b"PROXY UNKNOWN\r\n");
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
    }
}

#[test]
fn tcp_sessions_are_the_clients() {
    let origins = [Origin::start("a"), Origin::start("b")];
    let lb = Setup::of(&origins)
        .listener(&format!("protocol: tcp\n{}", believing()))
        .pool("persistence: {type: source_ip}")
        .start();
    let ask = |address: &str| {
        let header = format!("PROXY TCP4 {address} 198.51.100.1 4321 443\r\n");
        // The request is in the same packet.
        let all = format!("{header}GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let response = saying(lb.web(), all.as_bytes())
            .read_response(false)
            .unwrap();
        response.origin().to_owned()
    };
    let first = ask("203.0.113.1");
    let second = ask("203.0.113.2");
    assert_ne!(first, second);
    for _ in 0..3 {
        assert_eq!(ask("203.0.113.1"), first);
        assert_eq!(ask("203.0.113.2"), second);
    }
    let line = lb.wait_logged(|line| line["client"] == "203.0.113.2");
    assert_eq!(
        (&line["peer"], &line["protocol"]),
        (&"127.0.0.1".into(), &"TCP".into())
    );
}

#[test]
fn a_reload_turns_it_on_and_off() {
    let origin = Origin::start("a");
    let setup = |on: bool| {
        let listener = format!(
            "bind: \"127.0.0.1:0\"\nproxy_protocol: {on}\nclient_address: {{trusted_proxies: [127.0.0.1/32]}}"
        );
        Setup::of([&origin]).listener(&listener)
    };
    let lb = setup(false).start();
    let mut kept = lb.client();
    assert_eq!(kept.get("/", &[]).unwrap().status, 200);
    lb.rewrite(&setup(true).yaml());
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || {
        let mut client = saying(lb.web(), LINE);
        client
            .get("/", &[])
            .is_ok_and(|response| response.status == 200)
    });
    assert!(lb.client().get("/", &[]).is_err());
    // Who was connected before stays who he was.
    assert_eq!(kept.get("/", &[]).unwrap().status, 200);
    lb.rewrite(&setup(false).yaml());
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || lb.client().get("/", &[]).is_ok());
}

#[test]
fn nobody_to_believe_is_told() {
    let dir = TempDir::new("check");
    let yaml = Setup::new()
        .listener("proxy_protocol: true")
        .server_at("a", "127.0.0.1:1", "")
        .yaml();
    let file = dir.write("lb.yaml", &yaml);
    let exit = Equipoise::command(&["check", file.to_str().unwrap()]);
    assert_eq!(exit.code(), Some(0));
    let said = format!("{}{}", exit.stdout, exit.stderr);
    assert!(
        said.contains("listeners.web.proxy_protocol: changes nothing"),
        "{said}"
    );
}
