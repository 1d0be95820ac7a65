//! `http.min_receive_rate`: a body that trickles in is cut off, whatever `body_timeout` says, and nobody is blamed for a
//! server that is slow to take it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::wait_logged;
use crate::common::h2::{DATA, Frames, H2, HEADERS, Outcome, push, request, whole};
use crate::common::served::{Head, Served, swallow};
use crate::common::*;

/// A moment, spent listening for an answer that shouldn't come yet.
const MOMENT: Duration = Duration::from_millis(100);
const GRACE: Duration = Duration::from_secs(5);

fn with_rate(origin: &Origin, rate: &str) -> Equipoise {
    Setup::of([origin])
        .listener(&format!(
            "http: {{body_timeout: 60s, min_receive_rate: {rate}}}"
        ))
        .start()
}

/// Sends a byte every moment, up to `most` of them, until there is an answer: its status, and how long that took.
fn trickle(lb: &Equipoise, most: usize) -> (Option<u16>, Duration) {
    let mut client = lb.client();
    client
        .send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        .unwrap();
    client.set_timeout(MOMENT);
    let start = Instant::now();
    for _ in 0..most {
        let _ = client.send("x");
        match client.read_head() {
            Ok(response) => return (Some(response.status), start.elapsed()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => panic!("{e}"),
        }
    }
    (None, start.elapsed())
}

#[test]
fn a_body_that_trickles_in_is_408() {
    let origin = Origin::start("a");
    let lb = with_rate(&origin, "1000");
    let (status, took) = trickle(&lb, 200);
    assert_eq!(status, Some(408));
    assert!(
        took > GRACE.saturating_sub(MOMENT),
        "cut off after {took:?}"
    );
    wait_logged(&lb, 408, "client_timeout", 1);
    assert_eq!(origin.served(), 0);
    lb.wait_idle();
}

#[test]
fn a_body_that_keeps_the_pace_or_is_held_to_none_may_take_its_time() {
    for rate in ["1", "0"] {
        let origin = Origin::start("a");
        let lb = with_rate(&origin, rate);
        let (status, took) = trickle(&lb, 65);
        assert_eq!(status, None, "with {rate}, after {took:?}");
        assert!(took > GRACE + Duration::from_secs(1));
    }
}

#[test]
fn an_http2_body_that_trickles_in_is_408() {
    let origin = Origin::start("a");
    let lb = with_rate(&origin, "1000");
    let mut client = Frames::connect(lb.web());
    client.headers(1, &request("POST", "/slow"), false).unwrap();
    client.set_timeout(MOMENT);
    let start = Instant::now();
    let frame = loop {
        client.send(DATA, 0, 1, b"x").unwrap();
        match client.next() {
            Ok(frame) if frame.kind == HEADERS => break frame,
            Ok(_) => {}
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock, "{e}"),
        }
        assert!(start.elapsed() < 4 * GRACE, "never");
    };
    assert_eq!(frame.stream, 1);
    assert!(start.elapsed() > GRACE.saturating_sub(MOMENT));
    wait_logged(&lb, 408, "client_timeout", 1);
    // The connection isn't to blame.
    client.set_timeout(SOON);
    client.get(3).unwrap();
    assert_eq!(client.outcome(3), Outcome::Status(200));
}

/// A server that reads nothing of a body until it is told to.
fn stubborn() -> (Served, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let at = Arc::clone(&gate);
    let served = Served::by(move |mut stream| {
        let gate = Arc::clone(&at);
        async move {
            use tokio::io::AsyncWriteExt;
            while let Some(head) = Head::read(&mut stream, Vec::new()).await? {
                if head.path() == "/stubborn" {
                    gate.passed().await;
                }
                swallow(&mut stream, head.length() - head.rest.len() as u64).await?;
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await?;
            }
            Ok(())
        }
    });
    (served, gate)
}

#[derive(Default)]
struct Gate {
    open: AtomicBool,
    told: tokio::sync::Notify,
}

impl Gate {
    async fn passed(&self) {
        let told = self.told.notified();
        tokio::pin!(told);
        told.as_mut().enable();
        if !self.open.load(Ordering::SeqCst) {
            told.await;
        }
    }

    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        self.told.notify_waiters();
    }
}

fn before(served: &Served, rate: &str) -> Equipoise {
    Setup::new()
        .server_at("a", &served.address().to_string(), "")
        .listener(&format!("http: {{min_receive_rate: {rate}}}"))
        .start()
}

#[test]
fn a_server_that_takes_its_time_is_not_blamed_on_the_client() {
    let (served, gate) = stubborn();
    let lb = before(&served, "1MiB");
    let body = vec![b'x'; 32 << 20];
    std::thread::scope(|scope| {
        let upload = scope.spawn(|| {
            let mut client = lb.client();
            client.request("POST", "/stubborn", &[], &body).unwrap()
        });
        let over_h2 = scope.spawn(|| {
            let client = H2::connect(lb.web());
            let length = [("content-length", "33554432")];
            client.request("POST", "/stubborn", &length, &body).unwrap()
        });
        holds_for(GRACE + Duration::from_secs(2), || {
            !upload.is_finished() && !over_h2.is_finished()
        });
        gate.open();
        assert_eq!(upload.join().unwrap().status, 200);
        assert_eq!(over_h2.join().unwrap().status, 200);
    });
}

#[test]
fn a_window_that_other_requests_keep_shut_is_not_blamed_on_the_client() {
    let (served, gate) = stubborn();
    let lb = before(&served, "1MiB");
    let client = H2::connect(lb.web());
    let length = 8 << 20;
    let headers = [("content-length", "8388608")];
    let mut uploads: Vec<_> = (0..6)
        .map(|n| {
            // The last is for a server that takes all, and gets no window for more than its beginning.
            let path = if n < 5 { "/stubborn" } else { "/" };
            client.open("POST", path, &headers, false).unwrap()
        })
        .collect();
    let beginning = Bytes::from_static(&[b'x'; 1000]);
    client
        .run(push(&mut uploads[5].1, beginning, false))
        .unwrap();
    let uploads: Vec<_> = client.run(async {
        let upload = |(n, (response, mut send)): (usize, _)| {
            let rest = if n < 5 { length } else { length - 1000 };
            tokio::spawn(async move {
                push(&mut send, Bytes::from(vec![b'x'; rest]), true).await?;
                whole(response).await
            })
        };
        uploads.into_iter().enumerate().map(upload).collect()
    });
    holds_for(GRACE + Duration::from_secs(3), || {
        uploads.iter().all(|upload| !upload.is_finished())
    });
    gate.open();
    for upload in uploads {
        assert_eq!(client.run(upload).unwrap().unwrap().status, 200);
    }
}
