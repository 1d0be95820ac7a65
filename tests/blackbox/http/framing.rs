//! What is no message, and messages that break off. Those that can be read in two ways are in `framing`.

use super::{answer_and_close, one};
use crate::common::*;

#[test]
fn garbage_is_refused_and_harms_nobody() {
    let (origin, lb) = one();
    let to = lb.web();
    let garbage: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"\r\n\r\n\r\n\r\nx\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / \r\n\r\n",
        &[0xff; 300_000],
    ];
    for bytes in garbage {
        let mut client = Client::connect(to);
        let _ = client.send(bytes);
        client.finish();
        let _ = client.read_to_end();
    }
    assert_eq!(origin.served(), 0);
    assert_eq!(lb.get("/", &[]).status, 200);
    assert!(!lb.stderr().contains("panicked"), "{}", lb.stderr());
    lb.wait_idle();
}

/// The first record of a TLS client, whose rest nobody is to wait for, and other beginnings.
#[test]
fn what_can_begin_no_request_is_refused_at_once() {
    let (origin, lb) = one();
    for beginning in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\r\n\x16\x03\x01",
        b"\0",
        b"{\"jsonrpc\"",
        b"\xff\xf4\xff\xfd\x06",
    ] {
        let mut client = lb.client();
        client.send(beginning).unwrap();
        let answer = client.read_response(false).unwrap();
        assert_eq!(answer.status, 400, "{beginning:?}");
        assert!(client.is_closed_by_peer());
    }
    eventually(SOON, || lb.access_log().len() == 5);
    let lines = lb.access_log();
    assert!(
        lines
            .iter()
            .all(|line| line["status"] == 400 && line["termination"] == "bad_request"),
        "{lines:?}"
    );
    assert_eq!(origin.served(), 0);
}

#[test]
fn a_response_that_breaks_off_is_not_made_to_look_whole() {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/chunked" => Answer::Raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec(),
        ),
        _ => Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello".to_vec()),
    });
    let lb = Setup::of([&origin]).start();
    for target in ["/chunked", "/length"] {
        let mut client = lb.client();
        client.send_request("GET", target, &[], b"").unwrap();
        let result = client.read_response(false);
        assert!(
            result.as_ref().is_err() || result.as_ref().is_ok_and(|r| r.status == 502),
            "{target}: {result:?}"
        );
    }
    lb.wait_idle();
}

#[test]
fn a_target_that_must_be_encoded_is_refused_by_us_and_logged() {
    let (origin, lb) = one();
    for target in ["/a#b", "/x?y#z"] {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = answer_and_close(lb.web(), bytes.as_bytes());
        assert_eq!(response.status, 400, "{target}");
        assert!(response.header("x-request-id").is_some(), "{response}");
    }
    assert_eq!(origin.served(), 0, "{:?}", origin.requests());
    eventually(SOON, || {
        let refused = |line: &serde_json::Value| line["termination"] == "bad_request";
        lb.access_log().iter().filter(|line| refused(line)).count() == 2
    });
}
