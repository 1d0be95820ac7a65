//! HTTP/2 to the servers.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::common::h2_origin::Reply;
use crate::common::*;

fn pool(address: &str) -> Setup {
    Setup::new()
        .server_at("s1", address, "")
        .pool("http2: true")
}

fn secure(pki: &Pki, address: &str) -> Setup {
    pool(address).pool(&format!("tls: {{ca: \"{}\"}}", pki.root().display()))
}

#[test]
fn a_request_of_http1_becomes_one_of_http2() {
    let origin = H2Origin::start(|_| Reply::text("hello"));
    let lb = pool(&origin.address().to_string()).start();
    let fields = [
        ("Host", "shop.example.com"),
        ("Connection", "keep-alive, X-Mine"),
        ("X-Mine", "1"),
        ("Keep-Alive", "5"),
        ("X-Passed", "2"),
    ];
    let response = lb
        .client()
        .request("PUT", "/a/b?c=d", &fields, b"content")
        .unwrap();
    assert_eq!(
        (response.status, response.text()),
        (200, "hello".to_owned())
    );
    assert_eq!(response.version, "HTTP/1.1");
    let taken = origin.last();
    assert_eq!(taken.uri, "http://shop.example.com/a/b?c=d");
    assert_eq!(taken.method, "PUT");
    assert_eq!(taken.body, b"content");
    assert_eq!(taken.headers["x-passed"], "2");
    assert_eq!(taken.headers["x-forwarded-for"], "127.0.0.1");
    assert!(taken.headers.contains_key("x-request-id"));
    for dropped in [
        "host",
        "connection",
        "keep-alive",
        "x-mine",
        "transfer-encoding",
    ] {
        assert!(!taken.headers.contains_key(dropped), "{taken:?}");
    }
    lb.wait_idle_servers();
}

#[test]
fn over_tls_it_is_agreed_on_by_alpn() {
    let pki = Pki::new();
    let origin = H2Origin::secure(&pki.leaf(&["127.0.0.1"]), |_| Reply::text("hello"));
    let lb = secure(&pki, &origin.address().to_string()).start();
    for _ in 0..5 {
        assert_eq!(lb.get("/x", &[("Host", "a.example")]).text(), "hello");
    }
    assert_eq!(origin.last().uri, "https://a.example/x");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_server_that_does_not_agree_is_a_bad_gateway_with_its_reason() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.leaf(&["127.0.0.1"]));
    let lb = secure(&pki, &origin.address().to_string()).start();
    for _ in 0..3 {
        assert_eq!(lb.get("/", &[]).status, 502);
    }
    assert_eq!(lb.wait_logged(|_| true)["termination"], "server_tls");
    eventually(SOON, || {
        lb.stderr().contains("did not agree to HTTP/2 (ALPN)")
    });
    assert_eq!(origin.served(), 0);

    let plain = Origin::start("s1");
    let lb = pool(&plain.address().to_string()).start();
    assert_eq!(lb.get("/", &[]).status, 502);
    eventually(SOON, || lb.stderr().contains("something that isn't HTTP/2"));
    lb.wait_idle();
}

#[test]
fn the_certificates_address_is_verified_on_every_connection() {
    let pki = Pki::new();
    let origin = H2Origin::secure(&pki.leaf(&["localhost"]), |_| Reply::text("hello"));
    let lb = secure(&pki, &origin.address().to_string()).start();
    for _ in 0..3 {
        assert_eq!(lb.get("/", &[]).status, 502);
    }
    assert_eq!(origin.taken().len(), 0);
    assert!(lb.stderr().contains("asked for 127.0.0.1"));
}

#[test]
fn bodies_are_streamed_in_chunks_both_ways() {
    let origin = H2Origin::start(|taken| Reply {
        status: 200,
        body: vec![Bytes::from(taken.body.clone()), Bytes::from_static(b"!")],
        ..Reply::default()
    });
    let lb = pool(&origin.address().to_string()).start();
    let mut client = lb.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        .unwrap();
    let response = client.read_response(false).unwrap();
    assert_eq!(response.text(), "abcde!");
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    let large = vec![b'x'; 8 << 20];
    let response = client.request("POST", "/", &[], &large).unwrap();
    assert_eq!(response.body.len(), large.len() + 1);
    lb.wait_idle_servers();
}

#[test]
fn a_client_that_expects_100_continue_gets_it() {
    let origin = H2Origin::start(|taken| Reply::text(&taken.body.len().to_string()));
    let lb = pool(&origin.address().to_string()).start();
    let mut client = lb.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .unwrap();
    let wanted = b"HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(client.take(wanted.len()).unwrap(), wanted);
    client.send("body").unwrap();
    assert_eq!(client.read_response(false).unwrap().text(), "4");
    assert!(!origin.last().headers.contains_key("expect"));
}

#[test]
fn head_and_empty_responses_have_no_body() {
    let origin = H2Origin::start(|taken| match taken.uri.as_str() {
        uri if uri.ends_with("/204") => Reply {
            status: 204,
            ..Reply::default()
        },
        _ => Reply {
            status: 200,
            headers: vec![("content-length", "7".to_owned())],
            ..Reply::default()
        },
    });
    let lb = pool(&origin.address().to_string()).start();
    let mut client = lb.client();
    let response = client.request("HEAD", "/", &[], b"").unwrap();
    assert_eq!(response.header("content-length"), Some("7"));
    let response = client.request("GET", "/204", &[], b"").unwrap();
    assert_eq!(response.status, 204);
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks() {
    let origin = H2Origin::start(|_| Reply {
        status: 200,
        body: vec![Bytes::from_static(b"one "), Bytes::from_static(b"two")],
        ..Reply::default()
    });
    let lb = pool(&origin.address().to_string()).start();
    let mut client = lb.client();
    client
        .send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        .unwrap();
    let text = String::from_utf8(client.read_to_end().unwrap()).unwrap();
    assert!(text.ends_with("\r\n\r\none two"), "{text:?}");
    assert!(!text.to_lowercase().contains("chunked"), "{text:?}");
}

#[test]
fn trailers_of_a_response_are_dropped_for_http1() {
    let origin = H2Origin::start(|_| Reply {
        status: 200,
        body: vec![Bytes::from_static(b"body")],
        trailers: vec![("x-sum", "1".to_owned())],
        ..Reply::default()
    });
    let lb = pool(&origin.address().to_string()).start();
    let mut client = lb.client();
    for _ in 0..2 {
        assert_eq!(client.request("GET", "/", &[], b"").unwrap().text(), "body");
    }
}

#[test]
fn many_requests_share_a_connection_and_the_servers_limit_holds() {
    let origin = H2Origin::limited(4, |_| Reply::text("hello"));
    let lb = pool(&origin.address().to_string()).start();
    // The first one makes the server's limit known.
    assert_eq!(lb.get("/", &[]).status, 200);
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                let mut client = lb.client();
                for _ in 0..20 {
                    assert_eq!(client.request("GET", "/", &[], b"").unwrap().status, 200);
                }
            });
        }
    });
    assert_eq!(origin.taken().len(), 481);
    lb.wait_idle();
}

#[test]
fn a_request_that_the_server_refused_unseen_is_sent_again() {
    for after in [Frames::Refuse, Frames::GoAway { last: 0 }] {
        // On a new connection and on one that had served before.
        for fails_at in [0, 1] {
            let failing = after.clone();
            let origin = FrameOrigin::start(move |_, request, _| {
                if request == fails_at {
                    failing.clone()
                } else {
                    Frames::Ok
                }
            });
            let lb = Setup::new()
                .server_at("s1", &origin.address().to_string(), "")
                .server_at("s2", &origin.address().to_string(), "")
                .pool("http2: true")
                .start();
            let mut client = lb.client();
            for _ in 0..3 {
                let response = client.request("POST", "/", &[], b"once").unwrap();
                assert_eq!(response.status, 200, "{after:?} at {fails_at}: {response}");
            }
            assert_eq!(origin.requests(), 4);
            lb.wait_idle_servers();
        }
    }
}

#[test]
fn a_post_that_the_server_may_have_seen_is_not_sent_again() {
    for after in [Frames::GoAway { last: 1 }, Frames::Close] {
        let failing = after.clone();
        let origin = FrameOrigin::start(move |_, _, _| failing.clone());
        let lb = Setup::new()
            .server_at("s1", &origin.address().to_string(), "")
            .server_at("s2", &origin.address().to_string(), "")
            .pool("http2: true")
            .start();
        let response = lb.client().request("POST", "/", &[], b"once").unwrap();
        assert_eq!(response.status, 502, "{after:?}: {response}");
        assert_eq!(origin.requests(), 1, "{after:?}");
        let line = lb.wait_logged(|line| line["status"] == 502);
        assert_eq!(line["termination"], "server_reset", "{line}");
        lb.wait_idle();
    }
}

#[test]
fn a_connection_that_went_away_between_requests_is_not_the_clients_concern() {
    let origin = FrameOrigin::start(|connection, _, stream| {
        if connection == 0 && stream > 1 {
            Frames::GoAway { last: 1 }
        } else {
            Frames::Ok
        }
    });
    let lb = pool(&origin.address().to_string()).start();
    let mut client = lb.client();
    for _ in 0..4 {
        let response = client.request("POST", "/", &[], b"once").unwrap();
        assert_eq!(response.status, 200, "{response}");
    }
}

#[test]
fn a_reset_by_the_server_is_a_bad_gateway_for_that_request_alone() {
    let count = AtomicUsize::new(0);
    let origin = H2Origin::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply {
            reset: Some(::h2::Reason::INTERNAL_ERROR),
            ..Reply::default()
        },
        _ => Reply::text("hello"),
    });
    let lb = pool(&origin.address().to_string()).start();
    assert_eq!(
        lb.client().request("POST", "/", &[], b"x").unwrap().status,
        502
    );
    assert_eq!(lb.get("/", &[]).status, 200);
    assert_eq!(origin.connections(), 1);
    lb.wait_idle();
}

#[test]
fn a_client_that_goes_has_its_stream_cancelled() {
    let origin = H2Origin::start(|_| Reply {
        never: true,
        ..Reply::default()
    });
    let lb = pool(&origin.address().to_string()).start();
    let mut client = lb.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually(SOON, || origin.taken().len() == 1);
    drop(client);
    eventually(SOON, || origin.resets() == [::h2::Reason::CANCEL]);
    lb.wait_idle();
}

#[test]
fn a_server_that_does_not_answer_is_a_gateway_timeout() {
    let origin = H2Origin::start(|_| Reply {
        never: true,
        ..Reply::default()
    });
    let lb = pool(&origin.address().to_string())
        .pool("timeouts: {receive: 200ms}")
        .start();
    assert_eq!(lb.get("/", &[]).status, 504);
    eventually(SOON, || origin.resets() == [::h2::Reason::CANCEL]);
    lb.wait_idle();
}

#[test]
fn idle_connections_are_closed() {
    for pool_keys in ["timeouts: {idle: 100ms}", "keepalive: {connections: 0}"] {
        let origin = H2Origin::start(|_| Reply::text("hello"));
        let lb = pool(&origin.address().to_string()).pool(pool_keys).start();
        assert_eq!(lb.get("/", &[]).status, 200);
        eventually(SOON, || origin.ended() == 1);
        assert_eq!(lb.get("/", &[]).status, 200);
    }
}

#[test]
fn a_websocket_is_refused_and_other_upgrades_are_ignored() {
    let origin = H2Origin::start(|_| Reply::text("hello"));
    let lb = pool(&origin.address().to_string()).start();
    let mut client = lb.client();
    let websocket = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let response = client.request("GET", "/", &websocket, b"").unwrap();
    assert_eq!(response.status, 501, "{response}");
    let line = lb.wait_logged(|line| line["status"] == 501);
    assert_eq!(line["termination"], "unsupported", "{line}");
    assert_eq!(origin.taken().len(), 0);
    let other = [("Connection", "Upgrade"), ("Upgrade", "h2c, TLS/1.2")];
    let response = lb.client().request("GET", "/", &other, b"").unwrap();
    assert_eq!(response.text(), "hello");
    assert!(!origin.last().headers.contains_key("upgrade"));
}

#[test]
fn sessions_and_metrics_are_as_with_http1() {
    let origin = H2Origin::start(|_| Reply {
        headers: vec![("set-cookie", "a=b".to_owned())],
        ..Reply::text("hello")
    });
    let lb = pool(&origin.address().to_string())
        .pool("persistence: {type: cookie_insert}")
        .start();
    let response = lb.get("/", &[]);
    assert!(
        response
            .headers
            .iter()
            .any(|(_, value)| value.starts_with("SERVERID="))
    );
    let cookie = response
        .headers
        .iter()
        .find_map(|(_, value)| value.strip_prefix("SERVERID="))
        .and_then(|value| value.split(';').next())
        .unwrap();
    let cookie = format!("SERVERID={cookie}; theirs=1");
    assert_eq!(lb.get("/", &[("Cookie", &cookie)]).status, 200);
    assert_eq!(origin.last().headers["cookie"], "theirs=1");
    let metrics = lb.metrics();
    let reused = |reused| {
        metrics.sum(
            "equipoise_upstream_connections_total",
            &[("reused", reused)],
        )
    };
    assert_eq!((reused("false"), reused("true")), (1.0, 1.0));
}

#[test]
fn nghttpd_and_nginx_are_spoken_to() {
    let nginx = peers::Nginx::start_when(
        peers::Ready::Accepts,
        "server { listen @PORT@ http2; location / { return 200 \"$server_protocol $host\"; } }",
    );
    let lb = pool(&nginx.address().to_string()).start();
    let response = lb.get("/", &[("Host", "a.example")]);
    assert_eq!(response.text(), "HTTP/2.0 a.example");

    let pki = Pki::new();
    let identity = pki.leaf(&["127.0.0.1"]);
    let nghttpd = peers::Nghttpd::start(&identity);
    let lb = secure(&pki, &nghttpd.address().to_string()).start();
    for _ in 0..3 {
        assert_eq!(lb.get("/hello.txt", &[]).text(), "hello from nghttpd");
    }
    assert_eq!(lb.get("/none", &[]).status, 404);
}

#[test]
fn an_upload_may_take_longer_than_the_server_may_be_silent() {
    let origin = H2Origin::start(|taken| Reply::text(&taken.body.len().to_string()));
    let lb = pool(&origin.address().to_string())
        .pool("timeouts: {receive: 1s}")
        .start();
    let dir = TempDir::new("upload");
    let file = dir.write("file", &"x".repeat(60_000));
    // Three seconds of it.
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let output = std::process::Command::new("curl")
            .args([version, "-sS", "--limit-rate", "20k", "-T"])
            .arg(&file)
            .arg(format!("http://{}/", lb.web()))
            .output()
            .expect("curl (make setup installs it)");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "60000",
            "{version}: {output:?}"
        );
    }
    lb.wait_idle_servers();
}

#[test]
fn a_server_that_is_silent_after_an_upload_is_a_gateway_timeout() {
    let origin = H2Origin::start(|_| Reply {
        never: true,
        ..Reply::default()
    });
    let lb = pool(&origin.address().to_string())
        .pool("timeouts: {receive: 500ms}\nretries: {attempts: 0}")
        .start();
    for (method, body) in [("GET", &b""[..]), ("POST", b"content")] {
        let response = lb.client().request(method, "/", &[], body).unwrap();
        assert_eq!(response.status, 504, "{method}");
        let output = std::process::Command::new("curl")
            .args([
                "--http2-prior-knowledge",
                "-sS",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
            ])
            .args([
                "-X",
                method,
                "--data-binary",
                std::str::from_utf8(body).unwrap(),
            ])
            .arg(format!("http://{}/", lb.web()))
            .output()
            .expect("curl (make setup installs it)");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "504",
            "{method}: {output:?}"
        );
    }
    let line = lb.wait_logged(|line| line["method"] == "POST");
    assert_eq!(line["termination"], "server_timeout");
    lb.wait_idle_servers();
    eventually(SOON, || origin.resets().len() == 4);
}
