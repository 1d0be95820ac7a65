//! Requests and responses pass whole, and mean the same on both sides.

use super::{RawOrigin, one};
use crate::common::h2::{Frames, H2, HEADERS, block, request, rest};
use crate::common::*;

#[test]
fn a_request_reaches_an_http_1_server_as_one_message() {
    let (origin, lb) = one();
    let client = H2::connect(lb.web());
    let headers = [
        ("x-custom", "one"),
        ("x-custom", "two"),
        ("accept", "*/*"),
        ("te", "trailers"),
    ];
    let target = "/a%20b/../c;p=1?x=%2F&y=a+b&z";
    let response = client
        .request("PUT", target, &headers, b"the body")
        .unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, "a"));
    let seen = origin.last_request();
    assert_eq!(
        (
            seen.method.as_str(),
            seen.target.as_str(),
            seen.version.as_str()
        ),
        ("PUT", target, "HTTP/1.1")
    );
    assert_eq!(seen.headers_of("host"), ["a.test"]);
    assert_eq!(seen.headers_of("x-custom"), ["one", "two"]);
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("a.test"));
    assert!(seen.header("x-request-id").is_some());
    assert_eq!(seen.header("te"), None, "TE is for one hop");
    assert_eq!(seen.body, b"the body");
}

#[test]
fn a_post_without_a_body_says_so_to_an_http_1_server() {
    let (origin, lb) = one();
    let client = H2::connect(lb.web());
    for (method, length) in [
        ("POST", Some("0")),
        ("PUT", Some("0")),
        ("PATCH", Some("0")),
        ("GET", None),
        ("DELETE", None),
    ] {
        assert_eq!(client.request(method, "/", &[], b"").unwrap().status, 200);
        let seen = origin.last_request();
        assert_eq!(
            (&*seen.method, seen.header("content-length")),
            (method, length)
        );
        assert_eq!(seen.header("transfer-encoding"), None);
    }
}

#[test]
fn a_host_field_in_place_of_the_authority_is_taken() {
    let (origin, lb) = one();
    let mut client = Frames::connect(lb.web());
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        ("host", "B.test:81"),
    ];
    client.headers(1, &fields, true).unwrap();
    assert_eq!(client.outcome(1), h2::Outcome::Status(200));
    assert_eq!(origin.last_request().headers_of("host"), ["B.test:81"]);
    assert_eq!(lb.wait_logged(|l| l["status"] == 200)["host"], "B.test:81");
}

#[test]
fn a_response_passes_without_what_concerns_the_other_hop() {
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    let client = H2::connect(lb.web());
    let (response, _) = client.open("GET", "/", &[], true).unwrap();
    let mut server = raw.accept();
    server.until("\r\n\r\n");
    server.send(
        "HTTP/1.1 404 Nowhere\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Thing: some thing\r\n\
         Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\
         Upgrade: h2c\r\nContent-Length: 8\r\n\r\nnot here",
    );
    let response = client.run(h2::whole(response)).unwrap();
    assert_eq!(response.status, 404);
    assert_eq!(response.headers_of("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.header("x-thing"), Some("some thing"));
    assert_eq!(response.header("content-length"), Some("8"));
    assert!(response.header("date").is_some());
    for gone in [
        "connection",
        "x-hop",
        "keep-alive",
        "proxy-connection",
        "upgrade",
    ] {
        assert_eq!(response.header(gone), None, "{gone}");
    }
    assert_eq!(response.text(), "not here");
}

#[test]
fn responses_without_a_body_have_none() {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/204" => Answer::status(204),
        "/304" => Answer::status(304).header("ETag", "\"x\""),
        "/empty" => Answer::ok().header("Content-Length", "0"),
        _ => Answer::ok(),
    });
    let lb = Setup::of([&origin]).start();
    let client = H2::connect(lb.web());
    for (method, path, status, length) in [
        ("HEAD", "/", 200, Some("0")),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, None),
    ] {
        let response = client.request(method, path, &[], b"").unwrap();
        assert_eq!(
            (response.status, response.body.len()),
            (status, 0),
            "{path}"
        );
        if method == "HEAD" {
            assert_eq!(response.header("content-length"), length);
        }
    }
    assert_eq!(client.get("/", &[]).unwrap().text(), "a");
}

#[test]
fn every_kind_of_body_passes_whole() {
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let copy = big.clone();
    let origin = Origin::with("a", move |request| match request.target.as_str() {
        "/full" => Answer::body(Body::Full(copy.clone())),
        "/chunks" => Answer::body(Body::Chunks(
            copy.chunks(70_001).map(<[u8]>::to_vec).collect(),
        )),
        _ => Answer::body(Body::UntilClose(copy.clone())),
    });
    let lb = Setup::of([&origin]).start();
    let client = H2::connect(lb.web());
    for path in ["/full", "/chunks", "/until-close"] {
        let response = client.get(path, &[]).unwrap();
        assert!(
            response.body == big,
            "{path}: {} bytes",
            response.body.len()
        );
    }
    assert_eq!(
        client.request("POST", "/full", &[], &big).unwrap().status,
        200
    );
    assert!(origin.last_request().body == big);
    lb.wait_idle_servers();
}

#[test]
fn a_chunked_response_comes_as_it_is_made() {
    let events: Vec<Vec<u8>> = ["data: 1\n\n", "data: 2\n\n"]
        .map(|e| e.as_bytes().to_vec())
        .into();
    let origin = Origin::with("a", move |_| Answer::body(Body::HeldChunks(events.clone())));
    let lb = Setup::of([&origin]).start();
    let client = H2::connect(lb.web());
    let (response, _) = client.open("GET", "/events", &[], true).unwrap();
    let mut body = client.run(response).unwrap().into_body();
    let first = client.run(async { body.data().await.unwrap().unwrap() });
    assert_eq!(
        &first[..],
        b"data: 1\n\n",
        "the second has not been made yet"
    );
    origin.release_all();
    assert_eq!(client.run(rest(&mut body)).unwrap(), b"data: 2\n\n");
}

#[test]
fn interim_responses_pass() {
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    let mut client = Frames::connect(lb.web());
    let mut fields = request("POST", "/");
    fields.extend([("expect", "100-continue"), ("content-length", "4")]);
    client.headers(1, &fields, false).unwrap();
    let mut server = raw.accept();
    assert!(
        server
            .until("\r\n\r\n")
            .to_lowercase()
            .contains("expect: 100-continue")
    );
    server.send("HTTP/1.1 100 Continue\r\n\r\n");
    let interim = client.frame_of(1, HEADERS);
    assert_eq!(interim.flags & h2::END_STREAM, 0);
    client.send(h2::DATA, h2::END_STREAM, 1, b"body").unwrap();
    server.until("body");
    server.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    let hints = client.frame_of(1, HEADERS);
    assert!(hints.payload.len() > 5 && hints.flags & h2::END_STREAM == 0);
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.outcome(1), h2::Outcome::Status(200));
    assert_eq!(client.frame_of(1, h2::DATA).payload, b"ok");
}

#[test]
fn trailers_of_a_request_are_dropped_and_the_body_stays_whole() {
    let (origin, lb) = one();
    let mut client = Frames::connect(lb.web());
    client.headers(1, &request("POST", "/"), false).unwrap();
    client.send(h2::DATA, 0, 1, b"body").unwrap();
    let flags = h2::END_HEADERS | h2::END_STREAM;
    client
        .send(HEADERS, flags, 1, &block(&[("x-trailer", "1")]))
        .unwrap();
    assert_eq!(client.outcome(1), h2::Outcome::Status(200));
    assert_eq!(origin.last_request().body, b"body");
    lb.wait_idle_servers();
}

#[test]
fn a_cookie_in_crumbs_is_one_and_a_session_is_found_in_any_of_them() {
    let origins = ["a", "b", "c"].map(Origin::start);
    let lb = Setup::of(&origins)
        .pool("persistence: {type: cookie_insert}")
        .start();
    let client = H2::connect(lb.web());
    let first = client.get("/", &[]).unwrap();
    let ours = format!("SERVERID={}", first.cookie("SERVERID").unwrap());
    for turn in 0..6 {
        let mut crumbs = vec![("cookie", "one=1"), ("cookie", "two=2; three=3")];
        crumbs.insert(turn % 3, ("cookie", &ours));
        assert_eq!(client.get("/", &crumbs).unwrap().origin(), first.origin());
        let home = origins.iter().find(|o| o.name() == first.origin()).unwrap();
        assert_eq!(
            home.last_request().headers_of("cookie"),
            ["one=1; two=2; three=3"],
            "one field, without ours"
        );
    }
    eventually(SOON, || {
        let hits = [("result", "hit")];
        lb.metrics().sum("equipoise_persistence_total", &hits) == 6.0
    });
}

#[test]
fn our_own_pages_leave_the_connection_as_it_was() {
    let origin = Origin::stopped("a");
    let lb = Setup::of([&origin]).start();
    let client = H2::connect(lb.web());
    for _ in 0..3 {
        let response = client.get("/", &[("accept", "application/json")]).unwrap();
        assert_eq!(response.status, 502);
        let id = response.header("x-request-id").unwrap().to_owned();
        assert_eq!(response.json()["request_id"], id.as_str());
        assert_eq!(
            response.header("content-length"),
            Some(response.body.len().to_string().as_str())
        );
        assert_eq!(client.request("HEAD", "/", &[], b"").unwrap().status, 502);
    }
    origin.restart();
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    assert_eq!(
        lb.metrics()
            .sum("equipoise_connections_total", &[("listener", "web")]),
        1.0
    );
}

#[test]
fn a_failed_server_is_replaced_by_another_one() {
    let bad = Origin::with("bad", |_| Answer::Reset);
    let good = Origin::start("good");
    let lb = Setup::of([&bad, &good]).start();
    let client = H2::connect(lb.web());
    for _ in 0..4 {
        let response = client.request("PUT", "/", &[], b"the body").unwrap();
        assert_eq!(response.origin(), "good");
        assert_eq!(good.last_request().body, b"the body");
    }
    lb.wait_idle_servers();
}

#[test]
fn many_requests_at_once_share_a_connection_and_the_servers() {
    let origins = ["a", "b"].map(|name| Origin::with(name, |_| Answer::held()));
    let lb = Setup::of(&origins).start();
    let client = H2::connect(lb.web());
    let asked: Vec<_> = (0..10)
        .map(|_| client.open("GET", "/", &[], true).unwrap().0)
        .collect();
    for origin in &origins {
        origin.wait_held(5);
    }
    assert_eq!(lb.metrics().sum("equipoise_server_active", &[]), 10.0);
    assert_eq!(
        lb.metrics()
            .sum("equipoise_connections_active", &[("listener", "web")]),
        1.0
    );
    origins.iter().for_each(Origin::release_all);
    for response in asked {
        assert_eq!(client.run(h2::whole(response)).unwrap().status, 200);
    }
    lb.wait_idle_servers();
}

#[test]
fn requests_are_logged_and_counted_as_those_of_http_1() {
    let (_origin, lb) = one();
    let client = H2::connect(lb.web());
    client
        .request(
            "POST",
            "/p?q=1",
            &[("user-agent", "t"), ("referer", "r")],
            &[b'x'; 5000],
        )
        .unwrap();
    let line = lb.wait_logged(|l| l["path"] == "/p");
    assert_eq!(line["protocol"], "HTTP/2.0");
    for (key, value) in [
        ("method", "POST"),
        ("host", "a.test"),
        ("query", "q=1"),
        ("client", "127.0.0.1"),
        ("server", "a"),
        ("user_agent", "t"),
        ("referer", "r"),
        ("termination", "complete"),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
    assert_eq!(
        (&line["bytes_in"], &line["bytes_out"]),
        (&5000.into(), &1.into()),
        "{line}"
    );
    // The connection's bytes are counted as they go, which may be a moment after the log.
    let metrics = eventually(SOON, || {
        let metrics = lb.metrics();
        let out = [("direction", "out")];
        (metrics.sum("equipoise_bytes_total", &out) > 100.0).then_some(metrics)
    });
    let labels = [
        ("listener", "web"),
        ("pool", "app"),
        ("server", "a"),
        ("code", "2xx"),
    ];
    assert_eq!(metrics.value("equipoise_http_requests_total", &labels), 1.0);
    assert_eq!(
        metrics.sum("equipoise_http_request_duration_seconds_count", &[]),
        1.0
    );
    assert!(metrics.value("equipoise_bytes_total", &[("direction", "in")]) > 5000.0);
    assert!(metrics.value("equipoise_bytes_total", &[("direction", "out")]) > 100.0);
}

#[test]
fn an_upgrade_to_h2c_is_ignored_and_websockets_stay_with_http_1() {
    let (origin, lb) = one();
    let mut client = lb.client();
    client
        .send(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        )
        .unwrap();
    let response = client.read_response(false).unwrap();
    assert_eq!(
        (response.version.as_str(), response.status),
        ("HTTP/1.1", 200)
    );
    // Extended CONNECT (RFC 8441) is not announced, so asking for it is malformed.
    let mut frames = Frames::connect(lb.web());
    let mut fields = request("CONNECT", "/chat");
    fields.push((":protocol", "websocket"));
    frames.headers(1, &fields, false).unwrap();
    assert_eq!(frames.outcome(1), h2::Outcome::Status(400));
    assert_eq!(origin.served(), 1);
}

#[test]
fn without_http2_its_preface_is_a_version_that_is_not_supported() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {http2: {enabled: false}}")
        .start();
    let mut client = lb.client();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 505);
    // What merely begins like the preface is read as HTTP/1, in pieces as well.
    let (_origin, lb) = one();
    let mut client = lb.client();
    client.send("PR").unwrap();
    client.send("OPFIND / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 200);
}
