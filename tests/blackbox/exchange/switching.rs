//! Which requests may switch protocols.

use crate::http2::RawOrigin;

/// kubectl exec, docker attach.
#[test]
fn a_request_of_any_method_without_a_body_may_switch() {
    for (head, protocol) in [
        ("POST /exec HTTP/1.1\r\nContent-Length: 0\r\n", "SPDY/3.1"),
        ("POST /attach HTTP/1.1\r\n", "tcp"),
        ("GET /any HTTP/1.1\r\n", "x"),
    ] {
        let raw = RawOrigin::new();
        let lb = raw.behind("");
        let mut client = lb.client();
        client
            .send(format!(
                "{head}Host: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\nfirst"
            ))
            .unwrap();
        let mut server = raw.accept();
        let asked = server.until("\r\n\r\n").to_lowercase();
        assert!(
            asked.contains(&format!("upgrade: {}", protocol.to_lowercase())),
            "{asked}"
        );
        server.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        ));
        assert_eq!(client.read_head().unwrap().status, 101, "{head}");
        assert_eq!(server.until("first"), "first");
        server.send("hello");
        assert_eq!(client.take(5).unwrap(), b"hello");
    }
}

#[test]
fn one_with_a_body_does_not() {
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    let mut client = lb.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 4\r\n\r\nbody")
        .unwrap();
    let mut server = raw.accept();
    let asked = server.until("\r\n\r\n").to_lowercase();
    assert!(!asked.contains("upgrade"), "{asked}");
}

/// A WebSocket begins with a GET.
#[test]
fn a_websocket_is_not_asked_for_otherwise() {
    let raw = RawOrigin::new();
    let lb = raw.behind("");
    let mut client = lb.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap();
    let mut server = raw.accept();
    let asked = server.until("\r\n\r\n").to_lowercase();
    assert!(!asked.contains("upgrade"), "{asked}");
}
