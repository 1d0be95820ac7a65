//! Ambiguous messages: refused, closed, nothing forwarded.

use std::time::Duration;

use super::{answer_and_close, one};
use crate::common::*;

#[test]
fn ambiguous_and_malformed_messages_are_refused() {
    let (origin, lb) = one();
    let to = lb.web();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let cases: [(&str, String); 21] = [
        (
            "CL and TE",
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
            ),
        ),
        (
            "TE and CL",
            format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n{smuggled}"
            ),
        ),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".into(),
        ),
        (
            "two lengths in one field",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\nab".into(),
        ),
        (
            "length with sign",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nab".into(),
        ),
        (
            "negative length",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -2\r\n\r\nab".into(),
        ),
        (
            "length no number",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2\r\n\r\nab".into(),
        ),
        (
            "unknown TE",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n".into(),
        ),
        (
            "chunked not last",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"
                .into(),
        ),
        (
            "TE in HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        ),
        (
            "obs-fold",
            "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n folded\r\n\r\n".into(),
        ),
        (
            "space before colon",
            "GET / HTTP/1.1\r\nHost: a\r\nX-A : 1\r\n\r\n".into(),
        ),
        (
            "space before the first field",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n".into(),
        ),
        (
            "bare CR in a value",
            "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\rX-B: 2\r\n\r\n".into(),
        ),
        ("bare LF", "GET / HTTP/1.1\nHost: a\nX-A: 1\n\n".into()),
        (
            "NUL in a value",
            "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\0\r\n\r\n".into(),
        ),
        (
            "no field name",
            "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n".into(),
        ),
        (
            "field without colon",
            "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n".into(),
        ),
        ("no Host", "GET / HTTP/1.1\r\n\r\n".into()),
        (
            "two Hosts",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(),
        ),
        (
            "space in the target",
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".into(),
        ),
    ];
    let mut wrong = Vec::new();
    for (what, bytes) in cases {
        let mut client = Client::connect(to);
        client.set_timeout(Duration::from_secs(3));
        client.send(bytes).unwrap();
        match client.read_response(false) {
            Ok(response) if response.status == 400 => {
                if !client.is_closed_by_peer() {
                    wrong.push(format!("{what}: 400, but not closed"));
                }
            }
            Ok(response) => wrong.push(format!("{what}: {}", response.status)),
            Err(e) => wrong.push(format!("{what}: no response: {e}")),
        }
        if origin.served() > 0 {
            wrong.push(format!("{what}: forwarded {:?}", origin.requests()));
            break;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // A well-formed one still passes.
    assert_eq!(lb.get("/", &[]).status, 200);
}

#[test]
fn a_bad_chunk_is_refused_and_the_server_never_sees_a_whole_request() {
    let (origin, lb) = one();
    let to = lb.web();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunk in [
        "zz\r\nab\r\n0\r\n\r\n",
        "-1\r\nab\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n",
        "2 \nab\r\n0\r\n\r\n",
        "0x2\r\nab\r\n0\r\n\r\n",
    ] {
        let mut client = Client::connect(to);
        client.send(format!("{head}{chunk}")).unwrap();
        let response = client.read_response(false).unwrap();
        assert_eq!(response.status, 400, "for {chunk:?}");
        assert!(client.is_closed_by_peer(), "for {chunk:?}");
    }
    assert_eq!(origin.served(), 0, "{:?}", origin.requests());
    lb.wait_idle();
}

#[test]
fn an_unknown_version_is_505() {
    let (origin, lb) = one();
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/9.9"] {
        let bytes = format!("GET / {version}\r\nHost: a\r\n\r\n");
        assert_eq!(
            answer_and_close(lb.web(), bytes.as_bytes()).status,
            505,
            "{version}"
        );
    }
    assert_eq!(origin.served(), 0);
}

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
    for target in ["/?a=\"b\"", "/<x>", "/x?y=<z>", "/a#b", "/`"] {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = answer_and_close(lb.web(), bytes.as_bytes());
        assert_eq!(response.status, 400, "{target}");
        assert!(response.header("x-request-id").is_some(), "{response}");
    }
    assert_eq!(origin.served(), 0, "{:?}", origin.requests());
    eventually(SOON, || {
        let refused = |line: &serde_json::Value| line["termination"] == "bad_request";
        lb.access_log().iter().filter(|line| refused(line)).count() == 5
    });
}
