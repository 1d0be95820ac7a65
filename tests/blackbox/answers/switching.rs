//! 101: only to a protocol that was asked for, and never as part of anything else.

use super::{Script, Scripted, Then, before};
use crate::common::*;

/// Asks for a protocol, and reads the answer's header.
fn ask(lb: &Equipoise, protocol: &str) -> (Client, Response) {
    let mut client = lb.client();
    client
        .send(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        ))
        .unwrap();
    let head = client.read_head().unwrap();
    (client, head)
}

fn switching(fields: &str, version: &str) -> Scripted {
    let bytes = format!("HTTP/{version} 101 Switching Protocols\r\n{fields}\r\nhello");
    Scripted::new(move |_| Script::new(&bytes, Then::Keep))
}

#[test]
fn a_switch_that_was_asked_for_is_a_tunnel() {
    for (asked, fields) in [
        ("websocket", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        ("websocket", "Upgrade: WebSocket\r\n"),
        ("WebSocket", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
        (
            "websocket",
            "Connection: Upgrade, keep-alive, X-Mine\r\nUpgrade: websocket\r\nKeep-Alive: 5\r\nX-Mine: 1\r\n\
             Content-Length: 0\r\nSec-WebSocket-Accept: x\r\n",
        ),
    ] {
        let origin = switching(fields, "1.1");
        let lb = before(&origin);
        let (mut client, head) = ask(&lb, asked);
        assert_eq!(head.status, 101, "{fields:?}");
        assert_eq!(head.headers_of("connection"), ["Upgrade"]);
        assert!(head.header("upgrade").is_some());
        for name in ["keep-alive", "x-mine", "content-length"] {
            assert!(head.header(name).is_none(), "{head}");
        }
        assert_eq!(client.take(5).unwrap(), b"hello");
    }
}

#[test]
fn any_other_switch_is_refused() {
    for (fields, version) in [
        ("", "1.1"),
        ("Connection: Upgrade\r\n", "1.1"),
        ("Upgrade: \r\n", "1.1"),
        ("Connection: Upgrade\r\nUpgrade: h2c\r\n", "1.1"),
        ("Upgrade: websocket, h2c\r\n", "1.1"),
        ("Upgrade: websocket\r\nUpgrade: h2c\r\n", "1.1"),
        ("Upgrade: websocketx\r\n", "1.1"),
        ("Upgrade: websocket\r\nContent-Length: 5\r\n", "1.1"),
        (
            "Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
            "1.1",
        ),
        (
            "Upgrade: websocket\r\nContent-Length: 0\r\nContent-Length: 0\r\n",
            "1.1",
        ),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", "1.0"),
    ] {
        let origin = switching(fields, version);
        let lb = before(&origin);
        let (_client, head) = ask(&lb, "websocket");
        assert_eq!(head.status, 502, "{fields:?}");
        let line = lb.wait_logged(|line| line["status"] == 502);
        assert_eq!(line["termination"], "server_invalid", "{fields:?}");
        eventually(SOON, || lb.stderr().contains("is not valid HTTP"));
    }
}

#[test]
fn an_answer_instead_of_a_switch_is_an_ordinary_one() {
    let origin = Scripted::new(|_| Script::fine("no"));
    let lb = before(&origin);
    let mut client = lb.client();
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap();
    let response = client.read_response(false).unwrap();
    assert_eq!((response.status, response.text()), (200, "no".to_owned()));
}
