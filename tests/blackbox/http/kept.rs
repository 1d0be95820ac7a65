//! An answer of ours ends its request and not the connection, wherever it is known where the request ends.

use std::io::Write;

use super::one;
use crate::common::*;

const ROUTES: &str = r#"
listeners:
  web:
    bind: "127.0.0.1:0"
    pool: app
    http: {max_body_size: 40000, keepalive_requests: 0}
    routes:
      - {match: {path: /never}, pool: app, timeouts: {receive: 300ms}}
      - {match: {path: /down}, pool: down}
      - {match: {path: /empty}, pool: empty}
      - {match: {path: /redirect}, redirect: {status: 302, to: /x}}
      - {match: {path: /respond}, respond: {status: 200, body: hello}}
      - {match: {path: /teapot}, respond: {status: 418}}
      - {match: {path: /no-post}, respond: {status: 405}}
      - {match: {path: /denied}, deny: [0.0.0.0/0], pool: app}
      - {match: {path: /slow-down}, rate_limit: {rate: 1/h, burst: 1}, pool: app}
pools:
  app:
    health_check: null
    retries: {attempts: 0}
    servers: [{name: a, address: "APP"}]
  down:
    health_check: null
    retries: {attempts: 0}
    servers: [{name: d, address: "DOWN"}]
  empty:
    health_check: null
    servers: [{name: e, address: "127.0.0.1:1", weight: 0}]
"#;

/// Routes that answer by themselves in every way, and a server that fails as it is asked to.
fn failing() -> ((Origin, ReservedPort), Equipoise) {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/close" => Answer::Close,
        "/reset" => Answer::Reset,
        "/nonsense" => Answer::Raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()),
        "/never" => Answer::Never,
        _ => Answer::ok(),
    });
    let refusing = ReservedPort::new();
    let yaml = ROUTES
        .replace("APP", &origin.address().to_string())
        .replace("DOWN", &refusing.address().to_string());
    let lb = Equipoise::start(&yaml);
    ((origin, refusing), lb)
}

const ANSWERS: [(&str, u16); 12] = [
    ("/close", 502),
    ("/reset", 502),
    ("/nonsense", 502),
    ("/never", 504),
    ("/down", 502),
    ("/empty", 503),
    ("/redirect", 302),
    ("/respond", 200),
    ("/teapot", 418),
    ("/no-post", 405),
    ("/denied", 403),
    ("/slow-down", 429),
];

#[test]
fn a_connection_outlives_every_answer_of_ours() {
    let (_servers, lb) = failing();
    let chunks = "5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n";
    let with_length = format!("Content-Length: {}\r\n\r\n{}", 20_000, "x".repeat(20_000));
    let bodies = [
        ("GET", "\r\n".to_owned()),
        ("HEAD", "\r\n".to_owned()),
        ("POST", with_length),
        (
            "POST",
            format!("Transfer-Encoding: chunked\r\n\r\n{chunks}"),
        ),
    ];
    drop(lb.get("/slow-down", &[]));
    let mut client = lb.client();
    for (target, status) in ANSWERS {
        for (method, rest) in &bodies {
            // The next request is behind it at once, or comes later.
            for pipelined in [true, false] {
                let case = format!("{method} {target}, pipelined: {pipelined}");
                let failing = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{rest}");
                let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
                let together = if pipelined { next } else { "" };
                client.send(format!("{failing}{together}")).unwrap();
                let answer = client
                    .read_response(*method == "HEAD")
                    .unwrap_or_else(|error| panic!("{case}: {error}"));
                assert_eq!(answer.status, status, "{case}: {answer}");
                assert!(!answer.has_token("connection", "close"), "{case}: {answer}");
                if !pipelined {
                    client.send(next).unwrap();
                }
                let answer = client
                    .read_response(false)
                    .unwrap_or_else(|error| panic!("after {case}: {error}"));
                assert_eq!((answer.status, answer.origin()), (200, "a"), "after {case}");
            }
        }
    }
    drop(client);
    lb.wait_idle();
    let accepted = lb
        .metrics()
        .sum("equipoise_connections_total", &[("listener", "web")]);
    assert!(accepted <= 2.0, "{accepted} connections");
}

#[test]
fn the_rest_of_a_body_may_come_after_the_answer() {
    let (_servers, lb) = failing();
    for (target, status) in [("/down", 502), ("/denied", 403), ("/empty", 503)] {
        for head in [
            "Content-Length: 10\r\n\r\nhello",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r",
        ] {
            let rest = if head.contains("chunked") {
                "\nworld\r\n0\r\n\r\n"
            } else {
                "world"
            };
            let mut client = lb.client();
            client
                .send(format!("POST {target} HTTP/1.1\r\nHost: a\r\n{head}"))
                .unwrap();
            // A server that can't be reached is known before the body has come.
            assert_eq!(
                client.read_response(false).unwrap().status,
                status,
                "{target}"
            );
            client.send(rest).unwrap();
            let next = client.get("/next", &[]).unwrap();
            assert_eq!(next.status, 200, "after {target}, {head:?}");
        }
    }
}

#[test]
fn a_body_without_near_end_is_not_waited_for() {
    let (_servers, lb) = failing();
    // What is declared to be long, and what may not be sent at all, is told from the start.
    for head in [
        "Content-Length: 39000\r\nExpect: 100-continue\r\n\r\n",
        "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    ] {
        for target in ["/down", "/denied"] {
            let mut client = lb.client();
            client
                .send(format!("POST {target} HTTP/1.1\r\nHost: a\r\n{head}"))
                .unwrap();
            let answer = client.read_response(false).unwrap();
            assert!(
                answer.has_token("connection", "close"),
                "{target}, {head:?}: {answer}"
            );
            assert!(client.is_closed_by_peer(), "{target}, {head:?}");
        }
    }
    // Chunks without end are read over for a while.
    let mut client = lb.client();
    client
        .send("POST /denied HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 403);
    let mut sender = client.sender();
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    // Then the connection is closed; what comes until the client notices that is thrown away.
    while sender.write_all(chunk.as_bytes()).is_ok() {}
    // Nor is a body that breaks the rules read on.
    let mut client = lb.client();
    client
        .send("POST /denied HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nz\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 400);
    assert!(client.is_closed_by_peer());
    lb.wait_idle();
}

#[test]
fn a_client_that_wants_no_other_request_gets_none() {
    let (_servers, lb) = failing();
    for target in ["/close", "/empty", "/redirect", "/denied"] {
        let mut client = lb.client();
        let answer = client.get(target, &[("Connection", "close")]).unwrap();
        assert!(
            answer.has_token("connection", "close"),
            "{target}: {answer}"
        );
        assert!(client.is_closed_by_peer(), "{target}");
        // HTTP/1.0 closes unless it is asked not to.
        let mut client = lb.client();
        client
            .send(format!("GET {target} HTTP/1.0\r\nHost: a\r\n\r\n"))
            .unwrap();
        client.read_response(false).unwrap();
        assert!(client.is_closed_by_peer(), "{target}");
        let mut client = lb.client();
        for _ in 0..2 {
            client
                .send(format!(
                    "GET {target} HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
                ))
                .unwrap();
            let answer = client.read_response(false).unwrap();
            assert!(
                answer.has_token("connection", "keep-alive"),
                "{target}: {answer}"
            );
        }
    }
}

#[test]
fn failures_count_as_requests_of_their_connection() {
    let origin = Origin::with("a", |_| Answer::Close);
    let lb = Setup::of([&origin])
        .listener("http: {keepalive_requests: 3}")
        .start();
    let mut client = lb.client();
    for n in 1..=3 {
        let answer = client.request("POST", "/", &[], b"x").unwrap();
        assert_eq!(answer.status, 502);
        assert_eq!(
            answer.has_token("connection", "close"),
            n == 3,
            "{n}: {answer}"
        );
    }
    assert!(client.is_closed_by_peer());
}

#[test]
fn an_error_of_one_stream_leaves_the_others_alone() {
    let (_servers, lb) = failing();
    let client = h2::H2::connect(lb.web());
    for (target, status) in ANSWERS {
        let (held, mut upload) = client.open("POST", "/upload", &[], false).unwrap();
        let status = if target == "/slow-down" { 200 } else { status };
        for body in [&b""[..], &[b'x'; 30_000]] {
            let answer = client.request("POST", target, &[], body).unwrap();
            assert!([status, 429].contains(&answer.status), "{target}: {answer}");
        }
        upload
            .send_data(bytes::Bytes::from_static(b"end"), true)
            .unwrap();
        assert_eq!(
            client.run(h2::whole(held)).unwrap().status,
            200,
            "beside {target}"
        );
    }
    let accepted = lb
        .metrics()
        .sum("equipoise_connections_total", &[("listener", "web")]);
    assert!((accepted - 1.0).abs() < 0.1, "{accepted} connections");
}

#[test]
fn a_method_that_is_not_served_is_told_which_are() {
    let (_origin, lb) = one();
    let mut client = lb.client();
    let trace = client.request("TRACE", "/", &[], b"").unwrap();
    assert_eq!(trace.status, 405);
    assert_eq!(
        trace.header("allow"),
        Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
    );
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    let (_servers, lb) = failing();
    let refused = lb.client().request("POST", "/no-post", &[], b"x").unwrap();
    assert_eq!(
        refused.header("allow"),
        Some("GET, HEAD, PUT, PATCH, DELETE, OPTIONS")
    );
}
