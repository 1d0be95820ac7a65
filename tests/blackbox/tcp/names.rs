//! TLS that is routed by the name that the client asks for, and not ended (`tcp.sni_routes`).

use nix::sys::signal::Signal;
use openssl::ssl::{Ssl, SslContext, SslMethod, SslStream};

use super::*;

/// Pools with a backend each, and routes as they are given; `pool` is where the rest goes.
fn routed(routes: &str, pool: &str, pools: &[(&str, SocketAddr, &str)]) -> String {
    let listener = format!(
        "listeners:\n  web:\n    bind: \"127.0.0.1:0\"\n    protocol: tcp\n    tcp: {{sni_routes: {routes}}}\n{pool}"
    );
    let pools = pools.iter().map(|(name, address, more)| {
        format!(
            "  {name}:\n    health_check: null\n{more}    servers: [{{name: {name}, address: \"{address}\"}}]\n"
        )
    });
    let pools: String = pools.collect();
    format!("{listener}pools:\n{pools}")
}

const ROUTES: &str = "{db.example.com: exact, \"*.example.com\": below}";

fn three(exact: SocketAddr, below: SocketAddr, rest: SocketAddr) -> String {
    let pools = [
        ("exact", exact, ""),
        ("below", below, ""),
        ("rest", rest, ""),
    ];
    routed(ROUTES, "    pool: rest\n", &pools)
}

/// What a client of TLS says first.
fn hello(name: Option<&str>, padding: usize) -> Vec<u8> {
    struct Said(Vec<u8>);

    impl Read for Said {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(ErrorKind::WouldBlock.into())
        }
    }

    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut context = SslContext::builder(SslMethod::tls_client()).unwrap();
    if padding > 0 {
        context
            .set_alpn_protos(&b"\x08protocol".repeat(padding / 9))
            .unwrap();
    }
    let mut ssl = Ssl::new(&context.build()).unwrap();
    if let Some(name) = name {
        ssl.set_hostname(name).unwrap();
    }
    let mut stream = SslStream::new(ssl, Said(Vec::new())).unwrap();
    stream.connect().unwrap_err();
    std::mem::take(&mut stream.get_mut().0)
}

/// The same in records of so many bytes.
fn in_records(mut hello: &[u8], size: usize) -> Vec<u8> {
    let mut message = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = hello {
        let (content, behind) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        message.extend_from_slice(content);
        hello = behind;
    }
    let records = message.chunks(size).map(|chunk| {
        let length = u16::try_from(chunk.len()).unwrap().to_be_bytes();
        [&[22, 3, 1][..], &length, chunk].concat()
    });
    records.collect::<Vec<_>>().concat()
}

#[test]
fn names_lead_to_their_pools() {
    let pki = Pki::new();
    let servers = ["exact", "below", "rest"].map(|name| {
        let leaf = pki.leaf(&[
            "db.example.com",
            "*.example.com",
            "*.eu.example.com",
            "other.test",
        ]);
        SecureOrigin::start(name, &leaf)
    });
    let [exact, below, rest] = &servers;
    let lb = Equipoise::start(&three(exact.address(), below.address(), rest.address()));
    for (name, expected) in [
        ("db.example.com", "exact"),
        ("DB.example.COM", "exact"),
        ("web.example.com", "below"),
        ("db.eu.example.com", "below"),
        ("other.test", "rest"),
    ] {
        // The certificate is the server's, so TLS wasn't ended on the way.
        let mut client = Tls::new(&pki, name).connect(lb.web());
        let response = client.get("/", &[]).unwrap();
        assert_eq!(response.origin(), expected, "{name}");
        drop(client);
        let name = name.to_lowercase();
        let line = lb.wait_logged(|line| line["sni"] == name && line["pool"] == expected);
        assert_eq!(line["protocol"], "TCP");
    }
    let mut client = Tls::new(&pki, "").without_name().connect(lb.web());
    assert_eq!(client.get("/", &[]).unwrap().origin(), "rest");
}

#[test]
fn a_hello_may_come_in_pieces_and_records_and_be_long() {
    let backends = ["exact", "below", "rest"].map(Backend::start);
    let [exact, below, rest] = &backends;
    let lb = Equipoise::start(&three(exact.address(), below.address(), rest.address()));
    let names = [
        (Some("db.example.com"), exact),
        (Some("a.example.com"), below),
        (Some("example.com"), rest),
        (None, rest),
    ];
    for (name, backend) in names {
        let plain = hello(name, 0);
        let long = hello(name, 17_000);
        assert!(long.len() > 17_000);
        let cut = in_records(&plain, 50);
        let long_cut = in_records(&long, 1000);
        for (said, piece) in [
            (&plain, 1),
            (&plain, 5000),
            (&cut, 7),
            (&long, 999),
            (&long, 20_000),
            (&long_cut, 3000),
        ] {
            let client = connect(&lb);
            for piece in said.chunks(piece) {
                say(&client, piece);
            }
            say(&client, b"and more");
            let server = backend.accept();
            hears(&server, said.as_slice());
            hears(&server, b"and more");
            say(&server, b"answer");
            hears(&client, b"answer");
            end(&client);
            ends_orderly(&server);
        }
    }
    // All of it is counted.
    let line = lb.wait_logged(|line| line["sni"] == "db.example.com");
    assert!(line["bytes_in"].as_u64().unwrap() > 100, "{line}");
}

#[test]
fn what_is_no_tls_goes_where_the_rest_goes_and_nothing_is_lost() {
    let backends = ["exact", "below", "rest"].map(Backend::start);
    let [exact, below, rest] = &backends;
    let lb = Equipoise::start(&three(exact.address(), below.address(), rest.address()));
    let endless = [&[22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff][..], &[1; 70_000]].concat();
    for said in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16",
        b"\x16\x03\x01\x02\x00\x01",
        b"\x80\x2e\x01",
        b"",
        &endless,
    ] {
        let client = connect(&lb);
        say(&client, said);
        end(&client);
        let server = rest.accept();
        assert!(hears_to_the_end(&server) == said);
        say(&server, b"bye");
        drop(server);
        assert_eq!(hears_to_the_end(&client), b"bye");
    }
    assert_eq!((exact.came(), below.came()), (0, 0));
}

#[test]
fn a_client_that_leaves_in_its_first_words_is_recorded_as_gone() {
    let backend = Backend::start("rest");
    let lb = Equipoise::start(&three(
        backend.address(),
        backend.address(),
        backend.address(),
    ));
    let client = connect(&lb);
    say(&client, &hello(None, 0)[..50]);
    reset(client);
    ended_with(&lb, "client_aborted");
    assert_eq!(backend.came(), 0);
    lb.wait_idle_servers();
}

#[test]
fn names_that_lead_nowhere_are_reset_and_counted() {
    let backend = Backend::start("exact");
    let lb = Equipoise::start(&routed(
        "{db.example.com: exact}",
        "",
        &[("exact", backend.address(), "")],
    ));
    for name in [Some("web.example.com"), None] {
        let client = connect(&lb);
        say(&client, &hello(name, 0));
        is_reset(&client);
    }
    let line = ended_with(&lb, "no_route");
    assert_eq!(line["sni"], "web.example.com");
    let rejected = lb.metrics().value(
        "equipoise_connections_rejected_total",
        &[("reason", "no_route")],
    );
    assert_eq!(rejected, 2.0);
    let client = connect(&lb);
    say(&client, &hello(Some("db.example.com"), 0));
    drop(backend.accept());
}

#[test]
fn a_star_is_any_name_and_a_reload_changes_all() {
    let backends = ["one", "two"].map(Backend::start);
    let [one, two] = &backends;
    let pools = [("one", one.address(), ""), ("two", two.address(), "")];
    let lb = Equipoise::start(&routed("{\"*\": two, a.test: one}", "", &pools));
    let to = |name: &str, backend: &Backend| {
        let client = connect(&lb);
        let said = hello(Some(name), 0);
        say(&client, &said);
        let server = backend.accept();
        hears(&server, &said);
        (client, server)
    };
    let kept = to("a.test", one);
    to("b.test", two);
    lb.rewrite(&routed("{a.test: two, b.test: one}", "", &pools));
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || lb.stderr().contains("configuration reloaded"));
    to("a.test", two);
    to("b.test", one);
    // Who is connected stays.
    say(&kept.0, b"still there");
    hears(&kept.1, b"still there");
}

#[test]
fn servers_are_told_the_name_by_a_proxy_header() {
    let backend = Backend::start("rest");
    let server = Announced::before(backend.address());
    let lb = Equipoise::start(&routed(
        "{\"*\": rest}",
        "",
        &[("rest", server.address(), "    proxy_protocol: v2\n")],
    ));
    let client = connect(&lb);
    let said = hello(Some("db.example.com"), 0);
    say(&client, &said);
    hears(&backend.accept(), &said);
    let told = server.wait_used(1).remove(0);
    assert_eq!(told.tlv(0x02).unwrap(), b"db.example.com");
    assert_eq!(told.source(), client.local_addr().unwrap());
}

#[test]
fn what_is_wrong_is_said_at_its_place() {
    let pools = [("app", "127.0.0.1:1".parse().unwrap(), "")];
    for (routes, wanted) in [
        (
            "{a.test: nowhere}",
            "sni_routes.a.test: there is no pool `nowhere`",
        ),
        (
            "{192.0.2.1: app}",
            "is an address, which no client asks for by TLS",
        ),
        ("{a.test: app, A.Test.: app}", "is there twice"),
        (
            "{\"a.*.test\": app}",
            "may stand for the first labels alone",
        ),
    ] {
        let exit = Equipoise::run_to_exit(&routed(routes, "    pool: app\n", &pools));
        assert_eq!(exit.code(), Some(2), "{routes}");
        assert!(exit.stderr.contains(wanted), "{routes}: {}", exit.stderr);
    }
    let tls = routed("{a.test: app}", "    pool: app\n", &pools)
        .replace("protocol: tcp", "protocol: tls");
    let exit = Equipoise::run_to_exit(&tls);
    assert!(
        exit.stderr.contains("has a meaning for protocol tcp alone"),
        "{}",
        exit.stderr
    );
}

#[test]
fn the_shipped_file_does_what_it_says() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["db.example.com", "*.example.com", "other.test"]);
    let servers = ["db1", "web1", "old"].map(|name| SecureOrigin::start(name, &leaf));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/tls-routes.yaml");
    let mut text = std::fs::read_to_string(path)
        .unwrap()
        .replace("0.0.0.0:8443", "127.0.0.1:0")
        .replace("127.0.0.1:9900", "127.0.0.1:0")
        .replace("127.0.0.1:8445", "127.0.0.1:8444");
    for (written, server) in ["127.0.0.1:5433", "127.0.0.1:8444", "127.0.0.1:8446"]
        .iter()
        .zip(&servers)
    {
        text = text.replace(written, &server.address().to_string());
    }
    let lb = Equipoise::start(&text);
    for (name, expected) in [
        ("db.example.com", "db1"),
        ("www.example.com", "web1"),
        ("other.test", "old"),
    ] {
        let mut client = Tls::new(&pki, name).connect(lb.address("edge"));
        assert_eq!(client.get("/", &[]).unwrap().origin(), expected);
    }
}
