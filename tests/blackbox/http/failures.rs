//! Servers that fail: statuses, retries, error pages.

use std::net::SocketAddr;
use std::time::Duration;

use super::one;
use crate::common::*;
use crate::http2::RawOrigin;

#[test]
fn statuses_of_broken_servers() {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/close" => Answer::Close,
        "/reset" => Answer::Reset,
        "/nonsense" => Answer::Raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()),
        _ => Answer::Never,
    });
    let lb = Setup::of([&origin])
        .pool("timeouts: {receive: 500ms}")
        .start();
    for target in ["/close", "/reset", "/nonsense"] {
        assert_eq!(lb.get(target, &[]).status, 502, "{target}");
    }
    assert_eq!(lb.get("/never", &[]).status, 504);
    origin.stop();
    assert_eq!(lb.get("/", &[]).status, 502);
    lb.wait_idle();
}

#[test]
fn a_server_that_does_not_take_the_connection_is_504() {
    // A listener whose backlog is full drops what comes: the connect hangs.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let mut fill = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300))
    {
        fill.push(stream);
    }
    let lb = Setup::new()
        .server_at("full", &address.to_string(), "")
        .pool("timeouts: {connect: 300ms}\nretries: {attempts: 0}")
        .start();
    assert_eq!(lb.get("/", &[]).status, 504);
}

#[test]
fn a_get_that_was_reset_is_tried_on_another_server() {
    let (bad, good) = (
        Origin::with("bad", |_| Answer::Reset),
        Origin::start("good"),
    );
    let lb = Setup::of([&bad, &good]).start();
    for _ in 0..6 {
        let response = lb.get("/", &[]);
        assert_eq!((response.status, response.origin()), (200, "good"));
    }
    assert!(bad.served() > 0, "it was tried");
}

#[test]
fn a_post_is_never_sent_twice() {
    let origins = ["a", "b"].map(|name| Origin::with(name, |_| Answer::Reset));
    let lb = Setup::of(&origins).start();
    let mut client = lb.client();
    assert_eq!(
        client.request("POST", "/", &[], b"pay").unwrap().status,
        502
    );
    assert_eq!(origins[0].served() + origins[1].served(), 1);
}

#[test]
fn a_post_whose_connect_was_refused_is_tried_elsewhere() {
    // Nothing of it was sent, so nothing was processed.
    let (bad, good) = (Origin::stopped("bad"), Origin::start("good"));
    let lb = Setup::of([&bad, &good]).start();
    for n in 0..6 {
        let mut client = lb.client();
        let response = client
            .request("POST", "/", &[], format!("order {n}").as_bytes())
            .unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(good.last_request().body, format!("order {n}").into_bytes());
    }
    assert_eq!(good.served(), 6);
}

#[test]
fn a_get_on_a_connection_that_went_stale_is_sent_again() {
    let (origin, lb) = one();
    for _ in 0..5 {
        assert_eq!(lb.get("/", &[]).status, 200);
        // The server drops its idle connections, as every server does once in a while.
        origin.stop();
        origin.restart();
        assert_eq!(lb.get("/", &[]).status, 200);
    }
}

#[test]
fn retries_have_a_limit_and_can_be_switched_off() {
    let origins = ["a", "b", "c", "d"].map(|name| Origin::with(name, |_| Answer::Reset));
    let served = || origins.iter().map(Origin::served).sum::<usize>();
    let lb = Setup::of(&origins).start();
    assert_eq!(lb.get("/", &[]).status, 502);
    assert_eq!(served(), 3, "the first and two more");
    let lb = Setup::of(&origins).pool("retries: {attempts: 0}").start();
    assert_eq!(lb.get("/", &[]).status, 502);
    assert_eq!(served(), 4);
}

#[test]
fn a_status_can_be_retried_by_number() {
    let bad = Origin::with("bad", |_| Answer::status(503));
    let good = Origin::start("good");
    let lb = Setup::of([&bad, &good])
        .pool("retries: {attempts: 2, on: [connect_failure, 503]}")
        .start();
    for _ in 0..4 {
        assert_eq!(lb.get("/", &[]).origin(), "good");
    }
    // Without it a server's 503 is the server's answer.
    let lb = Setup::of([&bad]).start();
    let response = lb.get("/", &[]);
    assert_eq!((response.status, response.origin()), (503, "bad"));
}

#[test]
fn error_pages_are_html_or_json_and_carry_the_request_id() {
    let origin = Origin::stopped("a");
    let lb = Setup::of([&origin]).start();
    let html = lb.get(
        "/html",
        &[("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")],
    );
    assert_eq!(html.status, 502);
    assert!(
        html.header("content-type")
            .unwrap()
            .starts_with("text/html"),
        "{html}"
    );
    assert!(
        html.text().contains("502") && html.text().contains("Bad Gateway"),
        "{html}"
    );

    let json = lb.get("/json", &[("Accept", "application/json")]);
    assert!(
        json.header("content-type").unwrap().contains("json"),
        "{json}"
    );
    assert!(json.text().contains("Bad Gateway"), "{json}");
    let body = json.json();
    assert!(body.to_string().contains("502"), "{body}");

    for (path, page) in [("/html", html), ("/json", json)] {
        let line = lb.wait_logged(|l| l["path"] == path);
        let id = line["request_id"].as_str().unwrap();
        assert!(id.len() >= 8, "{id}");
        assert!(page.text().contains(id), "{id} not in {page}");
    }
}

#[test]
fn the_server_gets_the_request_id_of_the_log() {
    let (origin, lb) = one();
    lb.get("/one", &[]);
    lb.get("/two", &[]);
    let ids: Vec<_> = origin
        .requests()
        .iter()
        .map(|r| r.header("x-request-id").expect("X-Request-Id").to_owned())
        .collect();
    assert_ne!(ids[0], ids[1]);
    for (path, id) in ["/one", "/two"].iter().zip(&ids) {
        let line = lb.wait_logged(|l| l["path"] == **path);
        assert_eq!(line["request_id"], **id);
    }
}

/// A 100 or 103 is no answer: a failure after it is told as one without it.
#[test]
fn a_failure_after_an_interim_response_is_answered() {
    let raw = RawOrigin::new();
    let lb = raw.behind("http: {body_timeout: 1s}");
    for (sent, status) in [("body", 502), ("bo", 408)] {
        let mut client = lb.client();
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
            .unwrap();
        let mut server = raw.accept();
        server.until("\r\n\r\n");
        server.send("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(client.read_head().unwrap().status, 100);
        client.send(sent).unwrap();
        server.until(sent);
        if status == 502 {
            drop(server);
        }
        let response = client.read_response(false).unwrap();
        assert_eq!(response.status, status);
        lb.wait_logged(|line| line["status"] == status);
        lb.wait_idle_servers();
    }
}

#[test]
fn a_switch_of_protocols_is_an_answer() {
    let (raw, other) = (RawOrigin::new(), RawOrigin::new());
    let lb = Setup::new()
        .server_at("raw", &raw.address().to_string(), "")
        .server_at("other", &other.address().to_string(), "backup: true")
        .pool("health_check: null")
        .start();
    let mut client = lb.client();
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap();
    let mut server = raw.accept();
    server.until("\r\n\r\n");
    server.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello");
    assert_eq!(client.read_head().unwrap().status, 101);
    assert_eq!(client.take(5).unwrap(), b"hello");
    drop(client.send("ping"));
    server.until("ping");
    socket2::SockRef::from(&server.stream)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(server);
    assert!(client.is_closed_by_peer());
    let line = lb.wait_logged(|line| line["status"] == 101);
    assert_eq!(line["attempts"], 1, "{line}");
    assert_eq!(other.connections_waiting(), 0);
}
