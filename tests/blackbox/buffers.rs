//! SPEC section 8: bodies are streamed, never held. Gigabytes pass in constant memory, and whoever is slow slows the other
//! side down, not the load balancer.

mod backpressure;
mod gigabytes;
mod held;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::served::{Head, Served};
use crate::common::*;

const MIB: u64 = 1 << 20;

/// What a [`server`] has sent and taken of bodies so far.
#[derive(Default)]
struct Moved {
    sent: AtomicU64,
    taken: AtomicU64,
}

/// A server that sends a body of so many bytes (`GET /1000`), or takes one, as fast as it is let; to `/stubborn` it reads
/// no body at all, and never answers.
fn server() -> (Served, Arc<Moved>) {
    let moved = Arc::new(Moved::default());
    let at = Arc::clone(&moved);
    let served = Served::by(move |mut stream| {
        let moved = Arc::clone(&at);
        async move {
            let mut pending = Vec::new();
            while let Some(head) = Head::read(&mut stream, pending).await? {
                pending = Vec::new();
                match head.method() {
                    "GET" => send(&mut stream, &head, &moved).await?,
                    _ if head.path() == "/stubborn" => std::future::pending().await,
                    _ => take(&mut stream, &head, &moved).await?,
                }
            }
            Ok(())
        }
    });
    (served, moved)
}

async fn send(stream: &mut TcpStream, head: &Head, moved: &Moved) -> io::Result<()> {
    let mut left: u64 = head.path().trim_matches('/').parse().unwrap_or(0);
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n");
    stream.write_all(text.as_bytes()).await?;
    let piece = vec![b'x'; 256 * 1024];
    while left > 0 {
        let most = left.min(piece.len() as u64) as usize;
        let written = stream.write(&piece[..most]).await? as u64;
        moved.sent.fetch_add(written, Ordering::Relaxed);
        left -= written;
    }
    Ok(())
}

async fn take(stream: &mut TcpStream, head: &Head, moved: &Moved) -> io::Result<()> {
    let mut taken = head.rest.len() as u64;
    let mut buffer = vec![0; 256 * 1024];
    while taken < head.length() {
        match stream.read(&mut buffer).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => taken += read as u64,
        }
    }
    moved.taken.fetch_add(taken, Ordering::Relaxed);
    let text = taken.to_string();
    let text = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(text.as_bytes()).await
}

fn before(server: &Served) -> Equipoise {
    let lb = Setup::new()
        .server_at("a", &server.address().to_string(), "")
        // A client that goes while its server takes nothing is noticed when the server has had its time.
        .pool("timeouts: {send: 3s, receive: 3s}")
        .start();
    // What is loaded and allocated for the first request is not the body's.
    for _ in 0..20 {
        assert_eq!(lb.get("/100000", &[]).status, 200);
    }
    lb
}

/// A line of `/proc/PID/status` that counts memory, in bytes.
#[track_caller]
fn memory(lb: &Equipoise, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", lb.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() * 1024
}

/// Checks that the most memory that was ever held while `work` was done is at most `growth` above what was held before.
#[track_caller]
fn holds_at_most<T>(lb: &Equipoise, growth: u64, work: impl FnOnce() -> T) -> T {
    // From now on the peak counts anew (proc(5)).
    std::fs::write(format!("/proc/{}/clear_refs", lb.pid()), "5").unwrap();
    let before = memory(lb, "VmRSS:");
    let result = work();
    let peak = memory(lb, "VmHWM:");
    assert!(
        peak < before + growth,
        "{} MiB before, {} at the peak",
        before / MIB,
        peak / MIB
    );
    result
}
