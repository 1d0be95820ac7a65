//! Pause-based desynchronisation: a server that answers before it has the body, keeps its connection, and takes what comes
//! then for a request.

use super::case::SMUGGLED;
use crate::common::*;
use crate::http2::RawOrigin;

/// Answers that leave the connection open.
const ANSWERS: [&str; 5] = [
    "HTTP/1.1 408 Request Timeout\r\nContent-Length: 2\r\n\r\nno",
    "HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
];

#[test]
fn a_body_that_comes_after_its_answer_does_not_reach_the_server() {
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    let chunks = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    let length = format!("Content-Length: {}", SMUGGLED.len());
    for (framing, body) in [
        ("Transfer-Encoding: chunked", &*chunks),
        (&*length, SMUGGLED),
    ] {
        for (method, answer) in ANSWERS
            .map(|answer| ("POST", answer))
            .into_iter()
            .chain([("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")])
        {
            let what = format!("{method}, {framing}, {answer:?}");
            let mut client = lb.client();
            client
                .send(format!(
                    "{method} /x HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n"
                ))
                .unwrap();
            let mut server = raw.accept();
            server.until("\r\n\r\n");
            server.send(answer);
            client.read_response(method == "HEAD").unwrap();
            // It may have been closed by now.
            let _ = client.send(format!("{body}{SMUGGLED}"));
            assert_eq!(server.until_or_closed("\r\n\r\n"), None, "{what}");
            assert!(client.is_closed_by_peer(), "{what}");
        }
    }
    lb.wait_idle();
    assert_eq!(raw.connections_waiting(), 0);
}

#[test]
fn a_body_over_http_2_that_comes_after_its_answer_does_not_reach_the_server() {
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    for answer in ANSWERS {
        let mut client = h2::Frames::connect(lb.web());
        client
            .headers(1, &h2::request("POST", "/x"), false)
            .unwrap();
        let mut server = raw.accept();
        server.until("\r\n\r\n");
        server.send(answer);
        assert!(
            matches!(client.outcome(1), h2::Outcome::Status(_)),
            "{answer:?}"
        );
        let _ = client.send(h2::DATA, h2::END_STREAM, 1, SMUGGLED.as_bytes());
        assert_eq!(server.until_or_closed("\r\n\r\n"), None, "{answer:?}");
    }
    lb.wait_idle_servers();
    assert_eq!(raw.connections_waiting(), 0);
}
