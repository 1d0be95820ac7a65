//! Trailers of HTTP/1 (RFC 9112 section 7.1.2): passed on to who takes them, and to nobody else.

use crate::common::*;
use crate::http2::RawOrigin;

const ANSWER: &str = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
                      2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n";

fn answering() -> (Origin, Equipoise) {
    let origin = Origin::with("a", |_| Answer::Raw(ANSWER.into()));
    let lb = Setup::of([&origin]).start();
    (origin, lb)
}

#[test]
fn a_client_that_takes_trailers_gets_those_of_the_response() {
    let (_origin, lb) = answering();
    let mut client = lb.client();
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n")
        .unwrap();
    let head = client.read_head().unwrap();
    assert_eq!(head.header("trailer"), Some("X-Sum"));
    assert_eq!(client.read_chunk().unwrap(), b"ok");
    // What would say something about the message comes too late.
    let end = b"0\r\nX-Sum: 1\r\n\r\n";
    assert_eq!(client.take(end.len()).unwrap(), end);
    assert_eq!(client.get("/", &[]).unwrap().text(), "ok");
}

#[test]
fn a_client_that_does_not_gets_none() {
    let (_origin, lb) = answering();
    let mut client = lb.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let head = client.read_head().unwrap();
    assert_eq!(head.header("trailer"), None);
    assert_eq!(client.read_chunk().unwrap(), b"ok");
    assert_eq!(client.take(5).unwrap(), b"0\r\n\r\n");
}

#[test]
fn a_client_of_http2_gets_those_of_a_server_of_http1() {
    let (_origin, lb) = answering();
    let client = h2::H2::connect(lb.web());
    let (response, _) = client.open("GET", "/", &[], true).unwrap();
    let trailers = client.run(async {
        let mut body = response.await.unwrap().into_body();
        while let Some(piece) = body.data().await {
            assert_eq!(piece.unwrap(), "ok");
        }
        body.trailers().await.unwrap().unwrap()
    });
    assert_eq!(trailers.len(), 1);
    assert_eq!(trailers["x-sum"], "1");
}

#[test]
fn trailers_of_a_request_that_announces_them_reach_the_server() {
    for announced in [true, false] {
        let raw = RawOrigin::new();
        let lb = raw.behind("");
        let mut client = lb.client();
        let trailer = if announced { "Trailer: X-Sum\r\n" } else { "" };
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: a\r\n{trailer}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"
            ))
            .unwrap();
        let mut server = raw.accept();
        server.until("2\r\nok\r\n");
        let end = server.until("\r\n\r\n");
        let wanted = if announced {
            "0\r\nX-Sum: 1\r\n\r\n"
        } else {
            "0\r\n\r\n"
        };
        assert_eq!(end, wanted);
    }
}
