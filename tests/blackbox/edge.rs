//! What a second pair of eyes found of SPEC section 8: connections after interim responses, refusals of what has come in part.

use std::io::{Read, Write};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::*;

#[test]
fn a_connection_is_kept_after_a_body_that_was_asked_for() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    for framing in ["Content-Length: 4", "Transfer-Encoding: chunked"] {
        let head =
            format!("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n");
        client.send(head).unwrap();
        assert_eq!(client.read_head().unwrap().status, 100, "{framing}");
        let chunked = framing.contains("chunked");
        client
            .send(if chunked {
                "4\r\nbody\r\n0\r\n\r\n"
            } else {
                "body"
            })
            .unwrap();
        let response = client.read_response(false).unwrap();
        assert_eq!(response.status, 200, "{framing}");
        assert_eq!(
            response.header("connection"),
            Some("keep-alive"),
            "{framing}"
        );
        assert_eq!(origin.last_request().body, b"body", "{framing}");
    }
    assert_eq!(client.get("/next", &[]).unwrap().status, 200);
}

#[test]
fn a_connection_is_kept_after_a_body_that_an_http2_server_is_to_get() {
    let origin = H2Origin::start(|_| h2_origin::Reply::text("ok"));
    let lb = Setup::new()
        .server_at("a", &origin.address().to_string(), "")
        .pool("http2: true")
        .start();
    let mut client = lb.client();
    for _ in 0..2 {
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
            .unwrap();
        assert_eq!(client.read_head().unwrap().status, 100);
        client.send("body").unwrap();
        let response = client.read_response(false).unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.header("connection"), Some("keep-alive"));
    }
}

#[test]
fn an_answer_before_the_end_of_the_request_ends_the_connection_after_an_interim_one_too() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let (mut head, mut piece) = (Vec::new(), [0; 1024]);
                while let Ok(n @ 1..) = stream.read(&mut piece) {
                    head.extend_from_slice(&piece[..n]);
                    if head.windows(4).any(|end| end == b"\r\n\r\n") {
                        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
                        let last = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
                        let _ = stream.write_all(format!("{interim}{last}").as_bytes());
                    }
                }
            });
        }
    });
    let lb = Setup::new().server_at("a", &address, "").start();
    let mut client = lb.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo")
        .unwrap();
    assert_eq!(client.read_head().unwrap().status, 103);
    let response = client.read_response(false).unwrap();
    assert_eq!(response.status, 403);
    assert_eq!(response.header("connection"), Some("close"));
    client
        .send("dyGET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert!(client.is_closed_by_peer());
    lb.wait_idle();
}

#[test]
fn what_is_too_large_or_too_slow_is_logged_with_what_is_known_of_it() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {max_uri_length: 100, max_header_size: 1KiB, header_timeout: 1s}")
        .start();
    let long = "x".repeat(200);
    let field = "x".repeat(2000);
    for (text, status, method, path) in [
        (
            format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
            414,
            "GET",
            format!("/{long}"),
        ),
        (format!("\r\nPUT /{long}"), 414, "PUT", format!("/{long}")),
        (
            format!("POST /field HTTP/1.1\r\nX: {field}\r\n\r\n"),
            431,
            "POST",
            "/field".into(),
        ),
        (
            "DELETE /slow HTTP/1.1\r\nX:".into(),
            408,
            "DELETE",
            "/slow".into(),
        ),
        ("PATCH /stopped".into(), 408, "PATCH", "/stopped".into()),
    ] {
        let mut client = lb.client();
        client.send(text).unwrap();
        assert_eq!(client.read_response(false).unwrap().status, status);
        let line = lb.wait_logged(|line| line["method"] == method);
        assert_eq!(line["status"], status);
        assert_eq!(line["path"], path.as_str());
    }
    assert_eq!(origin.served(), 0);
}

#[test]
fn a_refused_head_has_no_body_whatever_is_wrong_with_it() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {max_uri_length: 100, max_header_size: 1KiB, header_timeout: 1s}")
        .start();
    let (long, field) = ("x".repeat(200), "x".repeat(2000));
    for (text, status) in [
        (format!("HEAD /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("HEAD / HTTP/1.1\r\nX: {field}\r\n\r\n"), 431),
        ("HEAD / HTTP/1.1\r\nX".to_owned(), 408),
        ("HEAD / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("HEAD / HTTP/3.0\r\n\r\n".to_owned(), 505),
    ] {
        let mut client = lb.client();
        client.send(&text).unwrap();
        let head = client.read_head().unwrap();
        assert_eq!(head.status, status, "{text}");
        assert_eq!(client.read_to_end().unwrap(), b"", "{text}");
    }
}

#[test]
fn a_connection_that_has_sent_nothing_keeps_no_drain_waiting() {
    let origin = Origin::start("a");
    let mut lb = Setup::of([&origin])
        .top("server: {shutdown_timeout: 120s}")
        .listener("http: {header_timeout: 120s}")
        .start();
    let mut silent = lb.client();
    eventually(SOON, || {
        lb.status()["listeners"][0]["connections_active"] == 1
    });
    lb.signal(Signal::SIGTERM);
    let exit = lb.wait_exit(SOON);
    assert_eq!(exit.code(), Some(0), "{}", exit.stderr);
    assert!(silent.is_closed_by_peer());
}

#[test]
fn a_request_begins_with_its_first_byte_and_not_with_its_connection() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    // As browsers do, which connect before they know what to ask for.
    holds_for(Duration::from_millis(600), || {
        lb.status()["listeners"][0]["connections_active"] != 2
    });
    client.get("/late", &[]).unwrap();
    let line = lb.wait_logged(|line| line["path"] == "/late");
    assert!(line["duration"].as_f64().unwrap() < 0.5, "{line}");
}

#[test]
fn what_the_end_of_the_process_cuts_off_has_its_line() {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/stream" => Answer::body(Body::HeldChunks(vec![b"one".to_vec(), b"two".to_vec()])),
        _ => Answer::Never,
    });
    let mut lb = Setup::of([&origin])
        .top("server: {shutdown_timeout: 300ms}")
        .start();
    let mut waiting = lb.client();
    waiting
        .send_request("GET", "/waiting?a=b", &[], b"")
        .unwrap();
    let mut stream = lb.client();
    stream.send_request("GET", "/stream", &[], b"").unwrap();
    assert_eq!(stream.read_head().unwrap().status, 200);
    assert_eq!(stream.read_chunk().unwrap(), b"one");
    let http2 = h2::H2::connect(lb.web());
    let _open = http2.open("GET", "/over-http2", &[], true).unwrap();
    eventually(SOON, || origin.served() == 3);
    lb.signal(Signal::SIGTERM);
    lb.wait_exit(SOON);
    let log = lb.access_log();
    let line = |path: &str| {
        let lines: Vec<_> = log.iter().filter(|line| line["path"] == path).collect();
        assert_eq!(lines.len(), 1, "{path}: {log:?}");
        lines[0].clone()
    };
    for path in ["/waiting", "/stream", "/over-http2"] {
        let line = line(path);
        assert_eq!(line["termination"], "shutdown", "{line}");
        assert_eq!(line["method"], "GET", "{line}");
        assert_eq!(line["server"], "a", "{line}");
    }
    assert_eq!(line("/waiting")["query"], "a=b");
    assert_eq!(line("/waiting").get("status"), None);
    assert_eq!(line("/stream")["status"], 200);
    assert_eq!(line("/stream")["bytes_out"], 3);
    assert_eq!(line("/over-http2")["protocol"], "HTTP/2.0");
}

#[test]
fn trailers_that_do_not_pass_are_not_announced() {
    let origin = Origin::with("a", |_| {
        let chunks = "2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n";
        let head = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";
        Answer::Raw(format!("{head}{chunks}").into_bytes())
    });
    let lb = Setup::of([&origin]).start();
    let response = lb.get("/", &[]);
    assert_eq!(
        (response.text().as_str(), response.header("trailer")),
        ("ok", None)
    );
    let http2 = h2::H2::connect(lb.web());
    let response = http2.get("/", &[]).unwrap();
    assert_eq!(response.header("trailer"), None);
}

#[test]
fn a_response_that_the_end_of_the_process_cuts_off_does_not_look_complete_in_http_1_0() {
    let origin = Origin::with("a", |_| {
        Answer::body(Body::HeldChunks(vec![b"one".to_vec(), b"two".to_vec()]))
    });
    let mut lb = Setup::of([&origin])
        .top("server: {shutdown_timeout: 300ms}")
        .start();
    let mut client = lb.client();
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);
    assert_eq!(client.take(3).unwrap(), b"one");
    lb.signal(Signal::SIGTERM);
    lb.wait_exit(SOON);
    let end = client.read_to_end().unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
}
