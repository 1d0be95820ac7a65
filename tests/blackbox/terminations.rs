//! SPEC section 12: each word of `termination` for an HTTP request, and what has to happen for it. Those of TCP are
//! tested in `tcp`, `server_tls` and `unsupported` in `upstream_tls`.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::common::*;

/// Checks how the one request to `path` ended.
#[track_caller]
fn ended(lb: &Equipoise, path: &str, status: u16, word: &str) -> Value {
    let line = lb.wait_logged(|line| line["path"] == path);
    assert_eq!(
        (&line["status"], &line["termination"]),
        (&status.into(), &word.into()),
        "{line}"
    );
    line
}

#[test]
fn complete() {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/404" => Answer::status(404),
        "/503" => Answer::status(503),
        _ => Answer::ok(),
    });
    let lb = Setup::of([&origin]).start();
    for (path, status) in [("/", 200), ("/404", 404), ("/503", 503)] {
        assert_eq!(lb.get(path, &[]).status, status);
        // Whatever the server says: all of it went to the client.
        ended(&lb, path, status, "complete");
    }
}

#[test]
fn client_aborted() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    client.send_request("GET", "/before", &[], b"").unwrap();
    origin.wait_held(1);
    client.reset();
    // Nothing was sent, so the status is nginx's for that.
    ended(&lb, "/before", 499, "client_aborted");

    origin.script(|_| Answer::body(Body::HeldChunks(vec![vec![b'x'; 1000]; 3])));
    let mut client = lb.client();
    client.send_request("GET", "/within", &[], b"").unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);
    client.reset();
    ended(&lb, "/within", 200, "client_aborted");
}

#[test]
fn client_timeout() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {header_timeout: 300ms, body_timeout: 300ms}")
        .start();
    let mut slow = lb.client();
    slow.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        .unwrap();
    assert_eq!(slow.read_response(false).unwrap().status, 408);
    ended(&lb, "/body", 408, "client_timeout");
    let mut slow = lb.client();
    slow.send("GET /header HTTP/1.1\r\nHost:").unwrap();
    assert_eq!(slow.read_response(false).unwrap().status, 408);
    ended(&lb, "/header", 408, "client_timeout");
    let mut slow = lb.client();
    slow.send("GE").unwrap();
    assert_eq!(slow.read_response(false).unwrap().status, 408);
    // What it asked for isn't known.
    let line = lb.wait_logged(|line| line["status"] == 408 && line.get("path").is_none());
    assert_eq!(line["termination"], "client_timeout", "{line}");
}

#[test]
fn server_refused_reset_invalid_and_timeout() {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/reset" => Answer::Reset,
        "/close" => Answer::Close,
        "/nonsense" => Answer::Raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()),
        "/cut" => Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345".to_vec()),
        _ => Answer::Never,
    });
    let lb = Setup::of([&origin])
        .pool("timeouts: {receive: 300ms}\nretries: {attempts: 0}")
        .start();
    for (path, status, word) in [
        ("/reset", 502, "server_reset"),
        ("/close", 502, "server_reset"),
        ("/nonsense", 502, "server_invalid"),
        ("/never", 504, "server_timeout"),
    ] {
        assert_eq!(lb.get(path, &[]).status, status, "{path}");
        let line = ended(&lb, path, status, word);
        assert_eq!(
            (&line["server"], &line["attempts"]),
            (&"a".into(), &1.into())
        );
    }
    let mut client = lb.client();
    client.get("/cut", &[]).unwrap_err();
    ended(&lb, "/cut", 200, "server_reset");
    origin.stop();
    assert_eq!(lb.get("/refused", &[]).status, 502);
    ended(&lb, "/refused", 502, "server_refused");
}

#[test]
fn no_server_and_bound_server_unavailable() {
    let (one, other) = (Origin::start("one"), Origin::start("other"));
    let lb = Setup::of([&one, &other])
        .pool(
            "persistence: {type: cookie_insert, on_unavailable: reject}\nhealth_check: {type: http, path: /health, \
             interval: 100ms, fast_interval: 50ms, fall: 1, rise: 1}",
        )
        .start();
    lb.wait_state("app", "one", "up");
    lb.wait_state("app", "other", "up");
    let first = lb.get("/first", &[]);
    let cookie = format!("SERVERID={}", first.cookie("SERVERID").unwrap());
    let bound = if first.origin() == "one" {
        &one
    } else {
        &other
    };
    bound.set_health(500);
    lb.wait_state("app", bound.name(), "down");
    assert_eq!(lb.get("/bound", &[("Cookie", &cookie)]).status, 503);
    ended(&lb, "/bound", 503, "bound_server_unavailable");
    for origin in [&one, &other] {
        origin.set_health(500);
        lb.wait_state("app", origin.name(), "down");
    }
    assert_eq!(lb.get("/none", &[]).status, 503);
    let line = ended(&lb, "/none", 503, "no_server");
    assert_eq!(line["attempts"], 0, "{line}");
}

#[test]
fn queue_full_and_queue_timeout() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::new()
        .server(&origin, "max_connections: 1")
        .pool("queue: {size: 1, timeout: 500ms}")
        .start();
    let mut holding = lb.client();
    holding.send_request("GET", "/held", &[], b"").unwrap();
    origin.wait_held(1);
    let mut waiting = lb.client();
    waiting.send_request("GET", "/waiting", &[], b"").unwrap();
    eventually(SOON, || {
        lb.metrics().sum("equipoise_queue_length", &[]) == 1.0 || !lb.access_log().is_empty()
    });
    assert_eq!(lb.get("/full", &[]).status, 503);
    assert_eq!(waiting.read_response(false).unwrap().status, 503);
    ended(&lb, "/waiting", 503, "queue_timeout");
    origin.release_all();
    assert_eq!(holding.read_response(false).unwrap().status, 200);
    ended(&lb, "/full", 503, "queue_full");
}

#[test]
fn bad_request_and_limit() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("max_connections_per_client: 2\nhttp: {max_body_size: 10, max_header_size: 2KiB, max_uri_length: 1KiB}")
        .start();
    let answer = |to: SocketAddr, raw: String| {
        let mut client = Client::connect(to);
        client.send(raw).unwrap();
        client.read_response(false).unwrap().status
    };
    let long = "a".repeat(1500);
    let big = "b".repeat(3000);
    for (raw, path, status, word) in [
        ("GET /host HTTP/1.1\r\n\r\n".to_owned(), "/host", 400, "bad_request"),
        (
            "GET /both HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            "/both",
            400,
            "bad_request",
        ),
        (
            "POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n12345678901".to_owned(),
            "/large",
            413,
            "limit",
        ),
        (
            format!("GET /fields HTTP/1.1\r\nHost: a\r\nX: {big}\r\n\r\n"),
            // Not even that is known for certain.
            "",
            431,
            "limit",
        ),
        (
            format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
            "",
            414,
            "limit",
        ),
    ] {
        assert_eq!(answer(lb.web(), raw), status, "{path}");
        if path.is_empty() {
            let line = lb.wait_logged(|line| line["status"] == status);
            assert_eq!(line["termination"], word, "{line}");
        } else {
            ended(&lb, path, status, word);
        }
    }
    eventually(SOON, || {
        lb.metrics()
            .sum("equipoise_connections_active", &[("listener", "web")])
            == 0.0
    });
    let _held = [lb.client(), lb.client()];
    eventually(SOON, || {
        lb.metrics()
            .sum("equipoise_connections_active", &[("listener", "web")])
            == 2.0
    });
    assert_eq!(lb.get("/third", &[]).status, 503);
    let line = lb.wait_logged(|line| line["status"] == 503);
    assert_eq!(line["termination"], "limit", "{line}");
}

#[test]
fn every_word_is_explained_in_the_documentation() {
    let page = include_str!("../../docs/observability.md");
    let words = include_str!("../../src/observe/labels.rs");
    let words = words.split("    Termination {").nth(1).unwrap();
    let words = words.split("\n    }\n").next().unwrap();
    let words: Vec<_> = words
        .lines()
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    assert!(words.len() > 15, "{words:?}");
    let (_, section) = page.split_once("| `termination` | |").unwrap();
    let (table, _) = section.split_once("\n\n").unwrap();
    for word in words {
        assert!(
            table.contains(&format!("`{word}`")),
            "{word} isn't explained"
        );
    }
}

#[test]
fn a_request_ends_once() {
    let origin = Origin::with("a", |_| Answer::after(Duration::from_millis(1)));
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    for n in 0..20 {
        client.get(&format!("/{n}"), &[]).unwrap();
    }
    lb.wait_logged(|line| line["path"] == "/19");
    assert_eq!(lb.access_log().len(), 20);
}
