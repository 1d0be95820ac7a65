//! Listeners of protocol `tls`: TLS ends here, and what is in it goes on.

use openssl::ssl::{Ssl, SslConnector, SslMethod, SslStream, SslVerifyMode, SslVersion};

use super::*;
use crate::common::peers::{Nghttpd, Redis, run};

const NAME: &str = "db.example.com";

fn secured(pki: &Pki, more: &str) -> Setup {
    let site = pki.leaf(&[NAME]);
    Setup::new().listener(&format!(
        "protocol: tls\ntls:\n  certificates: [{{cert: {}, key: {}}}]\n{more}",
        site.cert.display(),
        site.key.display()
    ))
}

fn tls_connect(lb: &Equipoise, version: SslVersion) -> SslStream<TcpStream> {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    connector.set_max_proto_version(Some(version)).unwrap();
    let mut ssl = Ssl::new(connector.build().context()).unwrap();
    ssl.set_hostname(NAME).unwrap();
    let mut stream = SslStream::new(ssl, connect(lb)).unwrap();
    stream.connect().unwrap();
    stream
}

#[track_caller]
fn receives(stream: &mut SslStream<TcpStream>, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got, expected);
}

#[test]
fn tls_ends_here_and_its_end_is_a_half_close() {
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let pki = Pki::new();
        let backend = Backend::start("a");
        let lb = with(secured(&pki, ""), &backend, "").start();
        let mut client = tls_connect(&lb, version);
        let server = backend.accept();
        say(&server, b"server first");
        receives(&mut client, b"server first");
        client.write_all(b"question").unwrap();
        client.shutdown().unwrap();
        assert_eq!(hears_to_the_end(&server), b"question");
        say(&server, b"answer");
        drop(server);
        receives(&mut client, b"answer");
        // The farewell: an end without it would be an error.
        assert_eq!(
            client.ssl_read(&mut [0]).unwrap_err().code(),
            openssl::ssl::ErrorCode::ZERO_RETURN
        );
        drop(client);
        let line = ended_with(&lb, "complete");
        let spoken = if version == SslVersion::TLS1_2 {
            "TLSv1.2"
        } else {
            "TLSv1.3"
        };
        assert_eq!(
            (&line["protocol"], &line["tls_version"]),
            (&"TLS".into(), &spoken.into())
        );
        assert_eq!(
            (&line["sni"], &line["bytes_in"], &line["bytes_out"]),
            (&NAME.into(), &8.into(), &18.into())
        );
        assert!(line["tls_cipher"].is_string(), "{line}");
        assert_eq!(lb.status()["listeners"][0]["protocol"], "tls");
        lb.wait_idle();
    }
}

#[test]
fn a_lot_goes_through_tls_and_is_whole() {
    let pki = Pki::new();
    let backend = Backend::start("a");
    let lb = with(secured(&pki, ""), &backend, "").start();
    let mut client = tls_connect(&lb, SslVersion::TLS1_3);
    let server = backend.accept();
    let lot: Vec<u8> = (0..8_000_000u32).map(|n| (n % 251) as u8).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            say(&server, &lot);
            end(&server);
        });
        let mut got = vec![0; lot.len()];
        client.read_exact(&mut got).unwrap();
        assert!(got == lot);
        client.write_all(&lot).unwrap();
        client.shutdown().unwrap();
        assert!(hears_to_the_end(&server) == lot);
    });
    ended_with(&lb, "complete");
}

#[test]
fn what_is_spoken_is_agreed_on_if_it_is_configured() {
    let pki = Pki::new();
    let backend = Backend::start("a");
    let agreed = |lb: &Equipoise, offered: &[&str]| {
        let tls = Tls::new(&pki, NAME).alpn(offered);
        let client = tls.try_connect(lb.web()).ok()?;
        let agreed = client.ssl().selected_alpn_protocol();
        Some(agreed.map(|name| String::from_utf8(name.to_vec()).unwrap()))
    };
    let lb = with(secured(&pki, "  alpn: [postgresql, h2]"), &backend, "").start();
    let some = |name: &str| Some(Some(name.to_owned()));
    assert_eq!(agreed(&lb, &["h2", "postgresql"]), some("postgresql"));
    assert_eq!(agreed(&lb, &["http/1.1", "h2"]), some("h2"));
    assert_eq!(agreed(&lb, &["http/1.1"]), None, "nothing in common");
    assert_eq!(agreed(&lb, &[]), Some(None), "who asks for nothing");
    let lb = with(secured(&pki, ""), &backend, "").start();
    assert_eq!(agreed(&lb, &["h2", "postgresql"]), Some(None));
}

/// curl speaks HTTP/2 only if that is agreed on, and nghttpd with TLS only then as well.
#[test]
fn what_is_agreed_on_goes_on_to_servers_that_speak_tls() {
    let pki = Pki::new();
    let nghttpd = Nghttpd::start(&pki.leaf(&["127.0.0.1"]));
    let lb = secured(&pki, "  alpn: [h2, http/1.1]")
        .pool(&format!("tls: {{ca: \"{}\"}}", pki.root().display()))
        .server_at("nghttpd", &nghttpd.address().to_string(), "")
        .start();
    let port = lb.web().port();
    let root = pki.root().display().to_string();
    let resolve = format!("{NAME}:{port}:127.0.0.1");
    let url = format!("https://{NAME}:{port}/hello.txt");
    let said = run(
        "curl",
        &[
            "-sS",
            "--http2",
            "-w",
            "|%{http_version}",
            "--cacert",
            &root,
            "--resolve",
            &resolve,
            &url,
        ],
    );
    assert_eq!(said, "hello from nghttpd|2");
}

#[test]
fn a_client_that_leaves_without_farewell_was_cut_off() {
    let pki = Pki::new();
    let backend = Backend::start("a");
    let lb = with(secured(&pki, ""), &backend, "").start();
    let mut client = tls_connect(&lb, SslVersion::TLS1_3);
    let server = backend.accept();
    client.write_all(b"half a mess").unwrap();
    hears(&server, b"half a mess");
    end(client.get_ref());
    is_reset(&server);
    ended_with(&lb, "client_aborted");
}

#[test]
fn a_servers_reset_looks_like_no_end_to_the_client() {
    let pki = Pki::new();
    let backend = Backend::start("a");
    let lb = with(secured(&pki, ""), &backend, "").start();
    let mut client = tls_connect(&lb, SslVersion::TLS1_3);
    let server = backend.accept();
    say(&server, b"half an ans");
    receives(&mut client, b"half an ans");
    reset(server);
    let error = client.read(&mut [0]).expect_err("no end in order");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    ended_with(&lb, "server_reset");
}

/// It would cost a handshake each otherwise.
#[test]
fn a_client_that_holds_too_many_is_closed_before_its_handshake() {
    let pki = Pki::new();
    let backend = Backend::start("a");
    let lb = with(secured(&pki, "max_connections_per_client: 1"), &backend, "").start();
    let _held = tls_connect(&lb, SslVersion::TLS1_3);
    backend.accept();
    is_turned_away(try_connect(&lb));
    ended_with(&lb, "limit");
}

#[test]
fn redis_speaks_tls_by_it() {
    let pki = Pki::new();
    let redis = Redis::start();
    let lb = secured(&pki, "")
        .server_at("redis", &redis.address().to_string(), "")
        .start();
    let port = lb.web().port().to_string();
    let root = pki.root().display().to_string();
    let cli = |words: &[&str]| {
        run(
            "redis-cli",
            &[
                &["-p", &port, "--tls", "--sni", NAME, "--cacert", &root],
                words,
            ]
            .concat(),
        )
    };
    assert_eq!(cli(&["set", "greeting", "hello"]).trim(), "OK");
    assert_eq!(cli(&["get", "greeting"]).trim(), "hello");
    lb.wait_idle();
}
