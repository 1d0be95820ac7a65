//! Requests and responses pass whole and unchanged.

use super::{answer_and_close, one};
use crate::common::*;

#[test]
fn a_request_passes_as_it_was_sent() {
    let (origin, lb) = one();
    let mut client = lb.client();
    let target = "/a%20b/../c;p=1?x=%2F&y=a+b&z";
    let headers = [
        ("Host", "example.test"),
        ("X-Custom", "one"),
        ("X-Custom", "two"),
        ("Accept", "*/*"),
        ("Cookie", "a=b; c=d"),
    ];
    client
        .request("PUT", target, &headers, b"the body")
        .unwrap();
    let request = origin.last_request();
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("PUT", target)
    );
    assert_eq!(request.version, "HTTP/1.1");
    assert_eq!(request.headers_of("x-custom"), ["one", "two"]);
    assert_eq!(request.header("cookie"), Some("a=b; c=d"));
    assert_eq!(request.header("host"), Some("example.test"));
    assert_eq!(request.body, b"the body");
}

#[test]
fn a_response_passes_as_it_was_sent() {
    let origin = Origin::with("a", |_| {
        let mut answer = Answer::status(404)
            .header("Set-Cookie", "a=1")
            .header("Set-Cookie", "b=2")
            .header("X-Thing", "some thing");
        if let Answer::Reply(reply) = &mut answer {
            reply.body = Body::Full(b"not here".to_vec());
        }
        answer
    });
    let lb = Setup::of([&origin]).start();
    let response = lb.get("/", &[]);
    assert_eq!(response.status, 404);
    assert_eq!(response.headers_of("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.header("x-thing"), Some("some thing"));
    assert_eq!(response.text(), "not here");
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
        "/close" => Answer::body(Body::UntilClose(copy.clone())),
        _ => Answer::ok(),
    });
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    for target in ["/full", "/chunks", "/close"] {
        let response = client.get(target, &[]).unwrap();
        assert_eq!(response.status, 200);
        assert!(
            response.body == big,
            "{target}: {} bytes",
            response.body.len()
        );
    }
    client.request("POST", "/", &[], &big).unwrap();
    assert!(origin.last_request().body == big);
    let mut chunked = b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in big.chunks(99_991) {
        chunked.extend_from_slice(format!("{:X};ext=1\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    client.send(chunked).unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 200);
    assert!(origin.last_request().body == big);
}

#[test]
fn bodies_are_streamed_not_held() {
    let origin = Origin::with("a", |_| {
        Answer::body(Body::HeldChunks(vec![
            b"one".to_vec(),
            b"two".to_vec(),
            b"three".to_vec(),
        ]))
    });
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    client.send_request("GET", "/events", &[], b"").unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);
    for part in ["one", "two", "three"] {
        assert_eq!(client.read_chunk().unwrap(), part.as_bytes());
        origin.release(1);
    }
    assert!(client.read_chunk().unwrap().is_empty());
}

#[test]
fn responses_without_a_body_have_none() {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/204" => Answer::status(204),
        "/304" => Answer::status(304).header("ETag", "\"x\""),
        _ => Answer::body(Body::Full(b"0123456789".to_vec())),
    });
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    for target in ["/204", "/304"] {
        assert_eq!(
            client.get(target, &[]).unwrap().status.to_string(),
            target[1..]
        );
    }
    let head = client.request("HEAD", "/", &[], b"").unwrap();
    assert_eq!(head.header("content-length"), Some("10"));
    // Still in step on the same connection.
    assert_eq!(client.get("/", &[]).unwrap().text(), "0123456789");
}

#[test]
fn expect_100_continue() {
    let (origin, lb) = one();
    let mut client = lb.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_head().unwrap().status, 100);
    client.send("body").unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 200);
    assert_eq!(origin.last_request().body, b"body");
}

#[test]
fn a_client_that_names_no_host_does_not_make_an_invalid_request_of_ours() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    answer_and_close(lb.web(), b"GET /old HTTP/1.0\r\n\r\n");
    let request = origin.last_request();
    let address = origin.address().to_string();
    assert_eq!(request.headers_of("Host"), [address.as_str()]);
    answer_and_close(lb.web(), b"GET http://named.example/old HTTP/1.0\r\n\r\n");
    assert_eq!(origin.last_request().headers_of("Host"), ["named.example"]);
}

#[test]
fn http_1_0_clients_are_served() {
    let (origin, lb) = one();
    let response = answer_and_close(lb.web(), b"GET /old HTTP/1.0\r\n\r\n");
    assert_eq!(response.status, 200);
    assert_eq!(origin.last_request().target, "/old");
    // An HTTP/1.0 client can't read chunks.
    origin.script(|_| Answer::body(Body::Chunks(vec![b"one".to_vec(), b"two".to_vec()])));
    let response = answer_and_close(lb.web(), b"GET /old HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(response.header("transfer-encoding"), None, "{response}");
    assert_eq!(response.text(), "onetwo");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::with("a", |request| {
        Answer::body(Body::Full(request.target.clone().into_bytes()))
    });
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    let all: String = (0..5)
        .map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect();
    client.send(all).unwrap();
    for n in 0..5 {
        assert_eq!(client.read_response(false).unwrap().text(), format!("/{n}"));
    }
}

#[test]
fn hop_by_hop_headers_are_not_passed_on() {
    let (origin, lb) = one();
    lb.client()
        .get(
            "/",
            &[
                ("Connection", "X-Secret, keep-alive"),
                ("X-Secret", "1"),
                ("Keep-Alive", "5"),
                ("TE", "gzip"),
            ],
        )
        .unwrap();
    let request = origin.last_request();
    for name in ["x-secret", "keep-alive", "te"] {
        assert_eq!(request.header(name), None, "{name}");
    }
}
