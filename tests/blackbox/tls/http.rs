//! HTTP over TLS, and the way there from HTTP.

use std::time::Duration;

use openssl::ssl::SslVersion;

use super::{NAME, usual};
use crate::common::{
    Answer, Body, Client, Equipoise, Origin, Pki, SOON, Setup, Tls, eventually, get,
};

#[test]
fn servers_are_told_that_it_was_https() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "");
    let mut client = Tls::new(&pki, NAME).connect(lb.web());
    client
        .get("/", &[("Host", NAME), ("X-Forwarded-Proto", "http")])
        .unwrap();
    let request = origin.last_request();
    let port = lb.web().port().to_string();
    assert_eq!(request.headers_of("X-Forwarded-Proto"), ["https"]);
    assert_eq!(request.headers_of("X-Forwarded-Port"), [port.as_str()]);
    assert_eq!(request.header("X-Forwarded-Host"), Some(NAME));
}

#[test]
fn a_session_cookie_is_secure_on_https_alone() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME]);
    let setup = Setup::of([&origin]).pool("persistence: {type: cookie_insert}");
    let https = setup
        .clone()
        .listener(&format!(
            "protocol: https\ntls: {{{}}}",
            super::certificates(&[&site])
        ))
        .start();
    let mut client = Tls::new(&pki, NAME).connect(https.web());
    let response = client.get("/", &[]).unwrap();
    let cookie = response.set_cookie("SERVERID").expect("a cookie");
    assert!(cookie.contains("; Secure"), "{cookie}");
    let response = setup.start().get("/", &[]);
    let cookie = response.set_cookie("SERVERID").expect("a cookie");
    assert!(!cookie.contains("Secure"), "{cookie}");
}

#[test]
fn a_connection_serves_many_requests_and_pipelined_ones() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "");
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let mut client = Tls::new(&pki, NAME).version(version).connect(lb.web());
        for _ in 0..5 {
            assert_eq!(client.get("/", &[]).unwrap().status, 200);
        }
        let one = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n");
        client.send(one.repeat(3)).unwrap();
        for _ in 0..3 {
            assert_eq!(client.read_response(false).unwrap().status, 200);
        }
    }
}

#[test]
fn large_bodies_pass_both_ways_unharmed() {
    let pki = Pki::new();
    let origin = Origin::with("a", |request| {
        Answer::body(Body::Full(request.body.clone()))
    });
    let lb = usual(&pki, &origin, "");
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let mut client = Tls::new(&pki, NAME).version(version).connect(lb.web());
        let response = client.request("POST", "/", &[], &body).unwrap();
        assert!(
            response.body == body,
            "{version:?}: {} bytes",
            response.body.len()
        );
    }
}

#[test]
fn the_last_response_arrives_and_the_connection_is_closed_in_tls_words() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "");
    let mut client = Tls::new(&pki, NAME).connect(lb.web());
    let response = client.get("/", &[("Connection", "close")]).unwrap();
    assert_eq!(response.status, 200);
    // Without a close_notify this would be an error.
    assert_eq!(client.read_to_end().unwrap(), b"");
    lb.wait_idle();
}

#[test]
fn what_is_sent_after_the_last_request_does_not_take_its_response_back() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "");
    for round in 0..20 {
        let mut client = Tls::new(&pki, NAME).connect(lb.web());
        let last = format!("GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
        client.send(last + &"x".repeat(40_000)).unwrap();
        // Anything but silence: a reset takes away what the client hasn't read yet.
        let answered = client.read_response(false).map(|response| response.status);
        assert_eq!(answered.ok(), Some(200), "round {round}");
        assert_eq!(
            client.read_to_end().map_err(|error| error.to_string()),
            Ok(Vec::new())
        );
    }
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

#[test]
fn what_is_sent_after_goaway_does_not_take_the_last_response_back() {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME]);
    let lb = super::secured(&[&origin], &super::certificates(&[&site]))
        .listener("http: {http2: {max_requests: 1}}")
        .start();
    // What comes soon after it is served, so that the end takes its time.
    for round in 0..2 {
        let mut client = Tls::new(&pki, NAME).alpn(&["h2"]).connect(lb.web());
        client.set_timeout(std::time::Duration::from_secs(30));
        // GET / by the static table (RFC 7541 appendix A), and a literal :authority.
        let mut fields = vec![0x82, 0x87, 0x84, 0x41, NAME.len() as u8];
        fields.extend(NAME.bytes());
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        hello.extend(frame(SETTINGS, 0, 0, &[]));
        hello.extend(frame(HEADERS, 5, 1, &fields));
        client.send(hello).unwrap();
        // The PING that comes with GOAWAY is answered, and a good deal more is sent that nobody will read.
        loop {
            let head = client.take(9).unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let payload = client.take(length as usize).unwrap();
            if head[3] == PING && head[4] == 0 {
                let mut last = frame(PING, 1, 0, &payload);
                last.extend(frame(HEADERS, 4, 3, &fields));
                for _ in 0..3 {
                    last.extend(frame(DATA, 0, 3, &[0; 16_000]));
                }
                // It would be served, and its end waited for.
                last.extend(frame(RST_STREAM, 0, 3, &8_u32.to_be_bytes()));
                client.send(last).unwrap();
                break;
            }
        }
        let rest = client.read_to_end().map_err(|error| error.to_string());
        assert!(rest.is_ok(), "round {round}: {rest:?}");
    }
}

#[test]
fn an_idle_connection_stays_for_keepalive_timeout() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME]);
    let lb = super::secured(&[&origin], &super::certificates(&[&site]))
        .listener("http: {header_timeout: 200ms, keepalive_timeout: 3s}")
        .start();
    let mut client = Tls::new(&pki, NAME).connect(lb.web());
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    // Longer than a header may take, shorter than an idle connection may last.
    client.set_timeout(Duration::from_millis(900));
    assert!(client.read_some().is_err(), "nothing comes, and no end");
    client.set_timeout(Duration::from_secs(20));
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    assert!(client.is_closed_by_peer(), "in the end it is closed");
}

#[test]
fn a_header_that_trickles_in_is_cut_off() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME]);
    let lb = super::secured(&[&origin], &super::certificates(&[&site]))
        .listener("http: {header_timeout: 300ms}")
        .start();
    let mut client = Tls::new(&pki, NAME).connect(lb.web());
    client.send("GET / HTTP/1.1\r\nHo").unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 408);
}

#[test]
fn malformed_requests_are_refused_as_on_http() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "");
    let mut client = Tls::new(&pki, NAME).connect(lb.web());
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 400);
    assert_eq!(origin.served(), 0);
}

#[test]
fn stopping_lets_a_response_finish_and_ends_idle_and_silent_connections() {
    let (pki, origin) = (Pki::new(), Origin::with("a", |_| Answer::held()));
    let mut lb = usual(&pki, &origin, "handshake_timeout: 60s");
    let mut busy = Tls::new(&pki, NAME).connect(lb.web());
    busy.send_request("GET", "/", &[], b"").unwrap();
    origin.wait_held(1);
    let _idle = Tls::new(&pki, NAME).connect(lb.web());
    let _silent = lb.client();
    lb.signal(nix::sys::signal::Signal::SIGTERM);
    eventually(SOON, || lb.stderr().contains("finishing what is in flight"));
    origin.release(1);
    assert_eq!(busy.read_response(false).unwrap().status, 200);
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
}

fn redirecting(setting: &str) -> Equipoise {
    Equipoise::start(&format!(
        "listeners:\n  web:\n    bind: \"127.0.0.1:0\"\n    redirect_https: {setting}\n\
         pools:\n  app:\n    health_check: null\n    servers: [{{address: \"127.0.0.1:9\"}}]\n"
    ))
}

#[test]
fn redirect_https_sends_everything_on_with_host_and_path() {
    let lb = redirecting("true");
    for (target, host, wanted) in [
        ("/", "example.com", "https://example.com/"),
        (
            "/a/b?c=d%20e",
            "example.com:8080",
            "https://example.com/a/b?c=d%20e",
        ),
        (
            "http://other.example/x",
            "other.example",
            "https://other.example/x",
        ),
    ] {
        let response = get(lb.web(), target, &[("Host", host)]);
        assert_eq!(response.status, 308, "{target}");
        assert_eq!(response.header("Location"), Some(wanted));
    }
    let lb = redirecting("8443");
    let response = lb.get("/x", &[("Host", "example.com:8080")]);
    assert_eq!(
        response.header("Location"),
        Some("https://example.com:8443/x")
    );
    let line = lb.wait_logged(|line| line["status"] == 308);
    assert_eq!(
        (&line["path"], &line["termination"]),
        (&"/x".into(), &"complete".into())
    );
}

#[test]
fn a_redirected_post_keeps_its_method_and_its_body_is_not_waited_for() {
    let lb = redirecting("true");
    let mut client = Client::connect(lb.web());
    client
        .send("POST /form HTTP/1.1\r\nHost: example.com\r\nContent-Length: 100000\r\n\r\nabc")
        .unwrap();
    let response = client.read_response(false).unwrap();
    assert_eq!(response.status, 308);
    assert!(client.is_closed_by_peer());
    let mut client = Client::connect(lb.web());
    for _ in 0..3 {
        let response = client
            .request("HEAD", "/", &[("Host", "example.com")], b"")
            .unwrap();
        assert_eq!(response.status, 308, "one connection, several requests");
    }
}

#[test]
fn redirect_https_is_for_http_alone() {
    let (pki, origin) = (Pki::new(), Origin::stopped("a"));
    let site = pki.leaf(&[NAME]);
    let setup = super::secured(&[&origin], &super::certificates(&[&site]));
    let exit = Equipoise::run_to_exit(&setup.listener("redirect_https: true").yaml());
    assert_eq!(exit.code(), Some(2));
    assert!(
        exit.stderr
            .contains("listeners.web.redirect_https: has a meaning"),
        "{}",
        exit.stderr
    );
}
