//! What a tunnel does with bytes, silence and ends.

use std::io;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{ASK, SWITCHING, before, switched, tunnelling};
use crate::common::served::{Head, Served};
use crate::common::*;

const MANY: usize = 1 << 20;

fn bytes(salt: u8) -> Vec<u8> {
    (0..MANY).map(|n| (n % 251) as u8 ^ salt).collect()
}

/// Says everything back until the client has finished, and then its own end.
async fn echo(mut stream: TcpStream, first: Vec<u8>) -> io::Result<()> {
    stream.write_all(&first).await?;
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await
}

#[test]
fn what_a_server_says_to_a_client_that_has_finished_arrives() {
    let server = tunnelling(|mut stream, mut said| async move {
        stream.read_to_end(&mut said).await?;
        assert!(said == bytes(1));
        stream.write_all(&bytes(2)).await?;
        stream.shutdown().await
    });
    let lb = before(&server).start();
    for _ in 0..10 {
        let mut client = switched(&lb);
        client.send(bytes(1)).unwrap();
        client.finish();
        assert!(client.read_to_end().unwrap() == bytes(2));
    }
    lb.wait_idle();
    let line = lb.wait_logged(|line| line["path"] == "/tunnel");
    assert_eq!(
        (&line["status"], &line["termination"]),
        (&101.into(), &"complete".into())
    );
}

#[test]
fn what_a_client_says_to_a_server_that_has_finished_arrives() {
    let server = tunnelling(|mut stream, mut said| async move {
        stream.write_all(&bytes(1)).await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut said).await?;
        // Nobody could be told but by the way it ends.
        if said != bytes(2) {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    let lb = before(&server).start();
    for _ in 0..10 {
        let mut client = switched(&lb);
        assert!(client.read_to_end().unwrap() == bytes(1));
        client.send(bytes(2)).unwrap();
        client.finish();
    }
    lb.wait_idle();
}

#[test]
fn a_client_that_finishes_at_once_gets_everything_back() {
    let server = tunnelling(echo);
    let lb = before(&server).start();
    let mut client = lb.client();
    client
        .send([ASK.as_bytes(), b"all that I say"].concat())
        .unwrap();
    client.finish();
    assert_eq!(client.read_head().unwrap().status, 101);
    assert_eq!(client.read_to_end().unwrap(), b"all that I say");
    lb.wait_idle();
}

#[test]
fn a_client_that_never_finishes_does_not_keep_a_server_that_has() {
    let server = tunnelling(|mut stream, _| async move { stream.write_all(b"bye").await });
    let lb = before(&server).pool("timeouts: {receive: 2s}").start();
    let mut client = switched(&lb);
    assert_eq!(client.read_to_end().unwrap(), b"bye");
    lb.wait_idle_servers();
    let line = lb.wait_logged(|line| line["path"] == "/tunnel");
    assert_eq!(line["termination"], "complete", "{line}");
}

#[test]
fn half_closes_are_kept_over_tls() {
    let (pki, server) = (Pki::new(), tunnelling(echo));
    let site = pki.leaf(&["a.test"]);
    let lb = before(&server)
        .listener(&format!(
            "protocol: https\ntls: {{certificates: [{{cert: {}, key: {}}}]}}",
            site.cert.display(),
            site.key.display()
        ))
        .start();
    let mut client = Tls::new(&pki, "a.test").connect(lb.web());
    client.send(ASK).unwrap();
    assert_eq!(client.read_head().unwrap().status, 101);
    client.send(bytes(3)).unwrap();
    client.finish_tls();
    assert!(client.read_to_end().unwrap() == bytes(3));
    lb.wait_idle();
}

#[test]
fn first_bytes_may_come_along_with_request_and_response() {
    let first = [SWITCHING, b"server first"].concat();
    let server = Served::by(move |mut stream| {
        let first = first.clone();
        async move {
            let Some(head) = Head::read(&mut stream, Vec::new()).await? else {
                return Ok(());
            };
            stream.write_all(&first).await?;
            echo(stream, head.rest).await
        }
    });
    let lb = before(&server).start();
    for _ in 0..200 {
        let mut client = lb.client();
        client
            .send([ASK.as_bytes(), b"client first"].concat())
            .unwrap();
        assert_eq!(client.read_head().unwrap().status, 101);
        let all = b"server firstclient first";
        assert_eq!(client.take(all.len()).unwrap(), all);
        client.finish();
        assert_eq!(client.read_to_end().unwrap(), b"");
    }
    lb.wait_idle();
}

#[test]
fn interim_responses_may_precede_the_switch() {
    let first = [
        &b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"[..],
        SWITCHING,
    ]
    .concat();
    let server = Served::by(move |mut stream| {
        let first = first.clone();
        async move {
            Head::read(&mut stream, Vec::new()).await?;
            stream.write_all(&first).await?;
            echo(stream, Vec::new()).await
        }
    });
    let lb = before(&server).start();
    let mut client = lb.client();
    client.send(ASK).unwrap();
    assert_eq!(client.read_head().unwrap().status, 103);
    assert_eq!(client.read_head().unwrap().status, 101);
    client.send("hello").unwrap();
    client.finish();
    assert_eq!(client.read_to_end().unwrap(), b"hello");
    lb.wait_idle();
}

#[test]
fn words_keep_a_tunnel_alive_and_silence_ends_it() {
    let server = tunnelling(echo);
    let lb = before(&server).pool("timeouts: {receive: 3s}").start();
    let mut client = switched(&lb);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        client.set_timeout(SOON);
        client.send("ping").unwrap();
        assert_eq!(client.take(4).unwrap(), b"ping");
        client.set_timeout(Duration::from_millis(400));
        // A moment's silence.
        let waited = client.read_some().unwrap_err();
        assert_eq!(waited.kind(), io::ErrorKind::WouldBlock);
    }
    client.set_timeout(SOON);
    let silent = Instant::now();
    assert!(client.is_closed_by_peer());
    assert!(silent.elapsed() < SOON);
    lb.wait_idle();
    let line = lb.wait_logged(|line| line["path"] == "/tunnel");
    assert_eq!(line["status"], 101, "{line}");
}

#[test]
fn a_side_that_breaks_ends_the_tunnel() {
    let server = tunnelling(|mut stream, _| async move {
        match stream.read_u8().await? {
            b'r' => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
            _ => stream.read_to_end(&mut Vec::new()).await.map(drop),
        }
    });
    let lb = before(&server).start();
    let mut client = switched(&lb);
    client.send("r").unwrap();
    assert!(client.is_closed_by_peer());
    let client = switched(&lb);
    client.reset();
    lb.wait_idle();
}
