//! Responses that go on for long, break off, or nobody reads.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{compressing, decoded, text};
use crate::common::h2::{H2, rest};
use crate::common::*;

const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];

fn events() -> Origin {
    Origin::with("a", |_| {
        let events = (0..5).map(|n| format!("data: event {n}\n\n").into_bytes());
        Answer::body(Body::HeldChunks(events.collect())).header("Content-Type", "text/event-stream")
    })
}

#[test]
fn each_event_of_a_stream_arrives_at_once() {
    for coding in CODINGS {
        let origin = events();
        let lb = compressing(&origin, ", types: [text/*]");
        let mut client = lb.client();
        client
            .send_request("GET", "/", &[("Accept-Encoding", coding)], b"")
            .unwrap();
        let head = client.read_head().unwrap();
        assert_eq!(head.header("content-encoding"), Some(coding));
        let (mut coded, mut expected) = (Vec::new(), String::new());
        for n in 0..5 {
            expected.push_str(&format!("data: event {n}\n\n"));
            while decoded(coding, &coded) != expected.as_bytes() {
                let chunk = client.read_chunk().unwrap();
                assert!(!chunk.is_empty(), "{coding}: ended before event {n}");
                coded.extend_from_slice(&chunk);
            }
            origin.release(1);
        }
    }
}

#[test]
fn each_event_of_a_stream_arrives_at_once_over_http2() {
    let origin = events();
    let lb = compressing(&origin, ", types: [text/event-stream]");
    let h2 = H2::connect(lb.web());
    let (response, _) = h2
        .open("GET", "/", &[("accept-encoding", "br")], true)
        .unwrap();
    h2.run(async {
        let mut body = response.await.unwrap().into_body();
        let (mut coded, mut expected) = (Vec::new(), String::new());
        for n in 0..5 {
            expected.push_str(&format!("data: event {n}\n\n"));
            while decoded("br", &coded) != expected.as_bytes() {
                coded.extend_from_slice(&body.data().await.unwrap().unwrap());
            }
            origin.release(1);
        }
        coded.extend_from_slice(&rest(&mut body).await.unwrap());
        assert_eq!(decoded("br", &coded), expected.as_bytes());
    });
}

#[test]
fn a_response_that_breaks_off_does_not_look_complete() {
    let part = String::from_utf8(text(50_000)).unwrap();
    let origin = Origin::with("a", move |request| {
        let framing = if request.target == "/length" {
            "Content-Length: 100000\r\n\r\n".to_owned()
        } else {
            format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", part.len() + 1)
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{framing}");
        Answer::Raw([head.as_bytes(), part.as_bytes()].concat())
    });
    let lb = compressing(&origin, "");
    let h2 = H2::connect(lb.web());
    for coding in CODINGS {
        for target in ["/length", "/chunks"] {
            let mut client = lb.client();
            client
                .send_request("GET", target, &[("Accept-Encoding", coding)], b"")
                .unwrap();
            let head = client.read_head().unwrap();
            assert_eq!(head.header("content-encoding"), Some(coding));
            let end = loop {
                match client.read_chunk() {
                    Ok(chunk) if chunk.is_empty() => panic!("{coding} {target} was completed"),
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert!(
                matches!(
                    end.kind(),
                    std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset
                ),
                "{end}"
            );
            let over_h2 = h2.get(target, &[("accept-encoding", coding)]);
            assert!(over_h2.unwrap_err().is_reset(), "{coding} {target}");
        }
    }
    lb.wait_idle_servers();
    for line in lb.access_log() {
        assert_eq!(line["termination"], "server_reset", "{line}");
    }
}

/// A server that sends noise without end, as long as somebody takes it.
struct Endless {
    address: SocketAddr,
    sent: Arc<AtomicU64>,
}

impl Endless {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || pour(stream, &counter));
            }
        });
        Self { address, sent }
    }
}

fn pour(mut stream: TcpStream, sent: &AtomicU64) {
    let _ = stream.read(&mut [0; 4096]);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut going = stream.write_all(head.as_bytes());
    let mut state = 1_u64;
    let mut noise = vec![0; 16 * 1024];
    while going.is_ok() {
        // Letters at random, other ones each time: they get smaller, but not to nothing.
        for letter in &mut noise {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *letter = b'a' + (state >> 60) as u8;
        }
        let size = format!("{:x}\r\n", noise.len());
        going = stream.write_all(&[size.as_bytes(), &noise, b"\r\n"].concat());
        sent.fetch_add(noise.len() as u64, Ordering::Relaxed);
    }
}

/// A client that doesn't take much before it reads.
fn narrow(to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// Clients that ask and don't read: all wait for them, and memory is what the encoders need.
#[track_caller]
fn nobody_reads(coding: &str) {
    // A debug build takes its time, and this is about what doesn't happen.
    const CLIENTS: usize = 12;
    let endless = Endless::start();
    let lb = Setup::new()
        .server_at("a", &endless.address.to_string(), "")
        .listener("http: {compression: {enabled: true}}")
        .start();
    let memory = || lb.metrics().value("process_resident_memory_bytes", &[]);
    let before = memory();
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = narrow(lb.web());
            client.write_all(request.as_bytes()).unwrap();
            client
        })
        .collect();
    let mut last = (0, Instant::now());
    eventually(Duration::from_secs(60), || {
        let sent = endless.sent.load(Ordering::Relaxed);
        if sent != last.0 {
            last = (sent, Instant::now());
        }
        sent > 0 && last.1.elapsed() > Duration::from_secs(2)
    });
    let each = (memory() - before) / CLIENTS as f64 / 1_048_576.0;
    assert!(each < 8.0, "{each:.1} MiB for each client");
    // Who reads then gets on.
    let stopped_at = endless.sent.load(Ordering::Relaxed);
    let mut reader = clients.into_iter().next().unwrap();
    let mut buffer = [0; 64 * 1024];
    eventually(SOON * 3, || {
        let _ = reader.read(&mut buffer).unwrap();
        endless.sent.load(Ordering::Relaxed) > stopped_at
    });
}

#[test]
fn zstd_waits_for_clients_that_do_not_read() {
    nobody_reads("zstd");
}

#[test]
fn brotli_waits_for_clients_that_do_not_read() {
    nobody_reads("br");
}

#[test]
fn gzip_waits_for_clients_that_do_not_read() {
    nobody_reads("gzip");
}
