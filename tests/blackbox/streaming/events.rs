//! Server-sent events and interim responses: nothing waits for what comes after it.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use crate::common::h2::H2;
use crate::common::served::{Head, Served, swallow};
use crate::common::*;

const EVENTS: usize = 5;

fn event(n: usize) -> String {
    format!("data: {n}\n\n")
}

/// A server of events, each of which waits to be let go. The path says how the response ends: `/chunked`, `/length`,
/// `/close`.
fn server() -> (Served, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    let at = Arc::clone(&permits);
    let served = Served::by(move |mut stream| {
        let permits = Arc::clone(&at);
        async move {
            while let Some(head) = Head::read(&mut stream, Vec::new()).await? {
                let framing = match head.path() {
                    "/chunked" => "Transfer-Encoding: chunked".to_owned(),
                    "/length" => format!("Content-Length: {}", EVENTS * event(0).len()),
                    _ => "Connection: close".to_owned(),
                };
                let text = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n\r\n"
                );
                stream.write_all(text.as_bytes()).await?;
                for n in 0..EVENTS {
                    permits.acquire().await.unwrap().forget();
                    let event = event(n);
                    let event = match head.path() {
                        "/chunked" => format!("{:x}\r\n{event}\r\n", event.len()),
                        _ => event,
                    };
                    stream.write_all(event.as_bytes()).await?;
                }
                match head.path() {
                    "/chunked" => stream.write_all(b"0\r\n\r\n").await?,
                    "/length" => {}
                    _ => return Ok(()),
                }
            }
            Ok(())
        }
    });
    (served, permits)
}

fn before(server: &Served) -> Setup {
    Setup::new().server_at("a", &server.address().to_string(), "")
}

/// The events of a response, whose header is there before the first one.
fn hear(mut client: Client, path: &str, permits: &Semaphore) {
    client.set_timeout(SOON);
    client.send_request("GET", path, &[], b"").unwrap();
    let head = client.read_head().unwrap();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    let chunked = head.has_token("transfer-encoding", "chunked");
    for n in 0..EVENTS {
        permits.add_permits(1);
        let event = event(n);
        let heard = if chunked {
            client.read_chunk().unwrap()
        } else {
            client.take(event.len()).unwrap()
        };
        assert_eq!(heard, event.as_bytes(), "{path}");
    }
}

#[test]
fn each_event_arrives_before_the_next_is_sent() {
    let (server, permits) = server();
    let lb = before(&server).start();
    for path in ["/chunked", "/length", "/close"] {
        hear(lb.client(), path, &permits);
    }
    lb.wait_idle();
}

#[test]
fn each_event_arrives_over_tls() {
    let (server, permits) = server();
    let pki = Pki::new();
    let site = pki.leaf(&["a.test"]);
    let lb = before(&server)
        .listener(&format!(
            "protocol: https\ntls: {{certificates: [{{cert: {}, key: {}}}]}}",
            site.cert.display(),
            site.key.display()
        ))
        .start();
    for path in ["/chunked", "/length", "/close"] {
        hear(Tls::new(&pki, "a.test").connect(lb.web()), path, &permits);
    }
}

#[test]
fn each_event_arrives_over_http2() {
    let (server, permits) = server();
    let lb = before(&server).start();
    let client = H2::connect(lb.web());
    for path in ["/chunked", "/length", "/close"] {
        let (response, _) = client.open("GET", path, &[], true).unwrap();
        let mut body = client.run(response).unwrap().into_body();
        for n in 0..EVENTS {
            permits.add_permits(1);
            let heard = client.run(body.data()).unwrap().unwrap();
            assert_eq!(heard, event(n), "{path}");
        }
        assert!(
            client
                .run(body.data())
                .is_none_or(|end| end.unwrap().is_empty())
        );
    }
}

#[test]
fn a_client_that_hears_no_more_is_noticed_between_events() {
    let (server, permits) = server();
    let lb = before(&server)
        .listener("http: {abort_on_half_close: true}")
        .start();
    let mut client = lb.client();
    client.send_request("GET", "/chunked", &[], b"").unwrap();
    client.read_head().unwrap();
    permits.add_permits(1);
    client.read_chunk().unwrap();
    drop(client);
    lb.wait_idle();
    let line = lb.wait_logged(|line| line["path"] == "/chunked");
    assert_eq!(line["termination"], "client_aborted", "{line}");
}

/// A server that does with `Expect: 100-continue` what the path says.
fn expecting() -> Served {
    Served::by(|mut stream| async move {
        while let Some(head) = Head::read(&mut stream, Vec::new()).await? {
            let (length, come) = (head.length(), head.rest.len() as u64);
            match head.path() {
                "/continue" => stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?,
                "/processing" => {
                    let two = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
                    stream.write_all(two).await?;
                }
                "/no" => {
                    let no = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                    stream.write_all(no).await?;
                    return Ok(());
                }
                // /ignores
                _ => {}
            }
            swallow(&mut stream, length - come).await?;
            let text = length.to_string();
            let text = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            );
            stream.write_all(text.as_bytes()).await?;
        }
        Ok(())
    })
}

#[test]
fn expectations_are_the_servers_to_meet() {
    let server = expecting();
    let lb = before(&server).start();
    let ask = |path: &str| {
        let mut client = lb.client();
        client.set_timeout(SOON);
        client
            .send(format!(
                "PUT {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
            ))
            .unwrap();
        client
    };
    let mut client = ask("/continue");
    assert_eq!(client.read_head().unwrap().status, 100);
    client.send("hello").unwrap();
    assert_eq!(client.read_response(false).unwrap().text(), "5");

    let mut client = ask("/processing");
    assert_eq!(client.read_head().unwrap().status, 102);
    assert_eq!(client.read_head().unwrap().status, 100);
    client.send("hello").unwrap();
    assert_eq!(client.read_response(false).unwrap().text(), "5");

    // The client isn't told to go on, and doesn't.
    let mut client = ask("/no");
    assert_eq!(client.read_head().unwrap().status, 417);
    // And though its server has nothing to say besides, it isn't kept busy.
    lb.wait_idle_servers();
    let line = lb.wait_logged(|line| line["path"] == "/no");
    assert_eq!(line["termination"], "complete", "{line}");

    // The server says nothing, so the client sends its body when it has waited long enough.
    let mut client = ask("/ignores");
    client.set_timeout(Duration::from_millis(300));
    assert!(client.read_head().is_err(), "nobody else may say 100");
    client.set_timeout(SOON);
    client.send("hello").unwrap();
    assert_eq!(client.read_response(false).unwrap().text(), "5");
    lb.wait_idle_servers();
}
