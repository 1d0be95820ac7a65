//! Who is slow slows the other side down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{MIB, before, holds_at_most, server};
use crate::common::h2::H2;
use crate::common::served::{Head, runtime};
use crate::common::*;

const AT_ONCE: u64 = 8;
const GROWTH: u64 = 64 * MIB;
/// What the kernel's buffers on the way may hold of each body, at most (tcp_rmem, tcp_wmem), and what is ours.
const ON_THE_WAY: u64 = 48 * MIB;

/// Waits until a count doesn't grow any more, and checks that it stays and is no more than that.
#[track_caller]
fn comes_to_rest(count: impl Fn() -> u64, most: u64) {
    let mut last = 0;
    eventually(SOON * 2, || {
        let now = count();
        let rests = now > 0 && now == last && {
            std::thread::park_timeout(Duration::from_millis(300));
            count() == now
        };
        last = now;
        rests
    });
    holds_for(Duration::from_secs(1), || count() == last);
    assert!(last < most, "{} MiB", last / MIB);
}

#[test]
fn clients_that_read_slowly_slow_their_server_down() {
    let (server, moved) = server();
    let lb = before(&server);
    let (to, runtime) = (lb.web(), runtime());
    holds_at_most(&lb, GROWTH, || {
        let already = moved.sent.load(Ordering::Relaxed);
        let clients = runtime.block_on(async {
            let mut clients = Vec::new();
            for _ in 0..AT_ONCE {
                let mut stream = TcpStream::connect(to).await.unwrap();
                let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", 1024 * MIB);
                stream.write_all(request.as_bytes()).await.unwrap();
                Head::read(&mut stream, Vec::new()).await.unwrap().unwrap();
                clients.push(stream);
            }
            clients
        });
        let sent = || moved.sent.load(Ordering::Relaxed) - already;
        comes_to_rest(sent, AT_ONCE * ON_THE_WAY);
        drop(clients);
    });
    lb.wait_idle();
}

#[test]
fn clients_with_small_windows_slow_their_server_down() {
    let (server, moved) = server();
    let lb = before(&server);
    let client = H2::connect(lb.web());
    holds_at_most(&lb, GROWTH, || {
        let already = moved.sent.load(Ordering::Relaxed);
        let held: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let path = format!("/{}", 1024 * MIB);
                let (response, _) = client.open("GET", &path, &[], true).unwrap();
                client.run(response).unwrap()
            })
            .collect();
        let sent = || moved.sent.load(Ordering::Relaxed) - already;
        comes_to_rest(sent, AT_ONCE * ON_THE_WAY);
        drop(held);
    });
    drop(client);
    lb.wait_idle();
}

#[test]
fn a_server_that_reads_slowly_slows_its_clients_down() {
    let (server, _) = server();
    let lb = before(&server);
    let (to, runtime) = (lb.web(), runtime());
    holds_at_most(&lb, GROWTH, || {
        let sent = Arc::new(AtomicU64::new(0));
        let uploads: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let sent = Arc::clone(&sent);
                runtime.spawn(async move {
                    let mut stream = TcpStream::connect(to).await?;
                    let request = format!(
                        "PUT /stubborn HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
                        1024 * MIB
                    );
                    stream.write_all(request.as_bytes()).await?;
                    let piece = vec![b'x'; 64 * 1024];
                    loop {
                        let written = stream.write(&piece).await? as u64;
                        sent.fetch_add(written, Ordering::Relaxed);
                    }
                    #[expect(unreachable_code, reason = "names the type of its errors")]
                    std::io::Result::Ok(())
                })
            })
            .collect();
        comes_to_rest(|| sent.load(Ordering::Relaxed), AT_ONCE * ON_THE_WAY);
        uploads.iter().for_each(tokio::task::JoinHandle::abort);
    });
    lb.wait_idle();
}

#[test]
fn a_server_that_reads_slowly_keeps_windows_shut() {
    let (server, _) = server();
    let lb = before(&server);
    let client = H2::connect(lb.web());
    holds_at_most(&lb, GROWTH, || {
        let sent = Arc::new(AtomicU64::new(0));
        let uploads: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let sent = Arc::clone(&sent);
                let (_, mut send) = client.open("PUT", "/stubborn", &[], false).unwrap();
                client.spawn(async move {
                    loop {
                        send.reserve_capacity(64 * 1024);
                        let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await;
                        let Some(Ok(room)) = room else { break };
                        sent.fetch_add(room as u64, Ordering::Relaxed);
                        let piece = Bytes::from(vec![b'x'; room]);
                        if send.send_data(piece, false).is_err() {
                            break;
                        }
                    }
                })
            })
            .collect();
        comes_to_rest(|| sent.load(Ordering::Relaxed), AT_ONCE * ON_THE_WAY);
        uploads.iter().for_each(tokio::task::JoinHandle::abort);
    });
    drop(client);
    lb.wait_idle();
}
