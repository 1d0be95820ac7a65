//! Real libraries on both ends: tungstenite, and Python's websockets.

use std::process::Command;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame, coding::CloseCode};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::common::peers::{Peer, Ready, run};
use crate::common::served::{Served, runtime};
use crate::common::*;

/// How many at once.
const SOCKETS: usize = 500;

/// A server that says every message back.
pub fn server() -> Served {
    Served::by(|stream| async move {
        let Ok(mut socket) = accept_async(stream).await else {
            return Ok(());
        };
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                break;
            }
        }
        drop(socket.flush().await);
        // So that what was said last isn't lost in a reset.
        let stream = socket.get_mut();
        stream.shutdown().await?;
        tokio::io::copy(stream, &mut tokio::io::sink())
            .await
            .map(drop)
    })
}

async fn connect(to: std::net::SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(to).await.unwrap();
    let (socket, response) = client_async(format!("ws://{to}/chat?room=1"), stream)
        .await
        .unwrap();
    assert_eq!(response.status(), 101);
    socket
}

/// The next message that isn't a control frame's.
async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    loop {
        let message = socket.next().await.unwrap().unwrap();
        if message.is_text() || message.is_binary() {
            return message;
        }
    }
}

/// What one of many clients does: it says a few things of all kinds and hears all of them again.
async fn converse(socket: &mut WebSocketStream<TcpStream>, n: usize) {
    let text = Message::text(format!("hello from {n}, with an ü"));
    let binary = Message::binary(vec![n as u8; 1 + n * 97 % 70_000]);
    for message in [text, binary] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(next(socket).await, message);
    }
    socket
        .send(Message::Ping(Bytes::from_static(b"there?")))
        .await
        .unwrap();
    assert_eq!(
        socket.next().await.unwrap().unwrap(),
        Message::Pong(Bytes::from_static(b"there?"))
    );
    // In fragments, with a ping between them.
    let fragment = |part: &'static str, code, last| {
        Message::Frame(Frame::message(part, OpCode::Data(code), last))
    };
    socket
        .send(fragment("one ", Data::Text, false))
        .await
        .unwrap();
    socket.send(Message::Ping(Bytes::new())).await.unwrap();
    socket
        .send(fragment("two ", Data::Continue, false))
        .await
        .unwrap();
    socket
        .send(fragment("three", Data::Continue, true))
        .await
        .unwrap();
    assert_eq!(next(socket).await, Message::text("one two three"));
}

#[test]
fn hundreds_of_sockets_talk_at_once() {
    let server = server();
    let lb = super::before(&server).start();
    let (to, runtime) = (lb.web(), runtime());
    runtime.block_on(async {
        let sockets: Vec<_> = (0..SOCKETS)
            .map(|n| {
                tokio::spawn(async move {
                    let mut socket = connect(to).await;
                    converse(&mut socket, n).await;
                    socket
                })
            })
            .collect();
        let mut open = Vec::new();
        for socket in sockets {
            open.push(socket.await.unwrap());
        }
        let active = lb
            .metrics()
            .value("equipoise_server_active", &[("server", "a")]);
        assert_eq!(active, SOCKETS as f64);
        let closing: Vec<_> = open
            .into_iter()
            .enumerate()
            .map(|(n, mut socket)| {
                tokio::spawn(async move {
                    if n % 2 == 0 {
                        // With a goodbye, which is said back.
                        let frame = CloseFrame {
                            code: CloseCode::Library(4000),
                            reason: "done".into(),
                        };
                        socket.close(Some(frame.clone())).await.unwrap();
                        assert_eq!(
                            socket.next().await.unwrap().unwrap(),
                            Message::Close(Some(frame))
                        );
                        assert!(matches!(
                            socket.next().await,
                            None | Some(Err(Error::ConnectionClosed))
                        ));
                    }
                })
            })
            .collect();
        for socket in closing {
            socket.await.unwrap();
        }
    });
    lb.wait_idle();
}

#[test]
fn large_messages_pass_both_ways_at_once() {
    let server = server();
    let lb = super::before(&server).start();
    let (to, runtime) = (lb.web(), runtime());
    runtime.block_on(async {
        let talks: Vec<_> = (0..16)
            .map(|n| {
                tokio::spawn(async move {
                    let (mut send, mut receive) = connect(to).await.split();
                    let message = Message::binary(vec![n; 1 << 20]);
                    let sent = message.clone();
                    let sending = tokio::spawn(async move {
                        for _ in 0..8 {
                            send.send(sent.clone()).await.unwrap();
                        }
                        send
                    });
                    for _ in 0..8 {
                        assert!(receive.next().await.unwrap().unwrap() == message);
                    }
                    drop(sending.await.unwrap());
                })
            })
            .collect();
        for talk in talks {
            talk.await.unwrap();
        }
    });
    lb.wait_idle();
}

#[test]
fn pings_of_either_side_keep_a_quiet_socket_alive() {
    // The server says nothing by itself, so it is its pongs that count; and the other way round.
    let server = server();
    let lb = super::before(&server)
        .pool("timeouts: {receive: 3s}")
        .start();
    let (to, runtime) = (lb.web(), runtime());
    runtime.block_on(async {
        let mut socket = connect(to).await;
        for _ in 0..12 {
            socket.send(Message::Ping(Bytes::new())).await.unwrap();
            assert!(socket.next().await.unwrap().unwrap().is_pong());
            let quiet = tokio::time::timeout(Duration::from_millis(400), socket.next());
            assert!(quiet.await.is_err());
        }
        // And then nobody says anything.
        let end = tokio::time::timeout(SOON, socket.next()).await.unwrap();
        assert!(!matches!(end, Some(Ok(_))), "{end:?}");
    });
    lb.wait_idle();
}

/// Python's websockets as a server that says everything back.
fn python_server() -> Peer {
    let (dir, port) = (TempDir::new("websockets"), ReservedPort::new());
    let mut command = Command::new("/usr/bin/python3");
    command
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/peers/websocket_server.py"
        ))
        .arg(port.port().to_string());
    Peer::start_when(Ready::Accepts, dir, port, command, SOON)
}

#[test]
fn python_talks_to_python_with_and_without_tls_on_either_side() {
    let server = python_server();
    let pki = Pki::new();
    let site = pki.leaf(&["a.test"]);
    let tls = format!(
        "protocol: https\ntls: {{certificates: [{{cert: {}, key: {}}}]}}",
        site.cert.display(),
        site.key.display()
    );
    let plain = Setup::new().server_at("a", &server.address().to_string(), "");
    for (scheme, setup) in [("ws", plain.clone()), ("wss", plain.listener(&tls))] {
        let lb = setup.start();
        let said = run(
            "/usr/bin/python3",
            &[
                concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/tests/peers/websocket_client.py"
                ),
                scheme,
                &lb.web().port().to_string(),
                &pki.root().display().to_string(),
            ],
        );
        assert_eq!(said.trim(), "100 sockets, 500 messages", "{scheme}");
        lb.wait_idle();
    }
}

#[test]
fn sockets_reach_servers_over_tls() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("a", &pki.leaf(&["a.test"]));
    let lb = Setup::new()
        .server_at("a", &origin.address().to_string(), "")
        .pool(&format!(
            "tls: {{server_name: a.test, ca: {}}}",
            pki.root().display()
        ))
        .start();
    let mut clients: Vec<_> = (0..50).map(|_| super::switched(&lb)).collect();
    for client in &mut clients {
        client.send(vec![b'x'; 1000]).unwrap();
        assert_eq!(client.take(1000).unwrap(), vec![b'x'; 1000]);
    }
    drop(clients);
    lb.wait_idle();
}
