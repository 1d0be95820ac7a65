use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::headers::Fields;
use crate::http::wire::http2::request_line::RequestLine;
use crate::http::wire::http2::streams::{Chunk, Loss, ServerStream};

const SOON: Duration = Duration::from_secs(20);
/// SETTINGS, and the answer 200 on the first stream (RFC 7541 appendix A), which ends or goes on.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const ALL: &[u8] = &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88];
const HEADER: &[u8] = &[0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88];
const BODY: &[u8] = &[0, 0, 2, 0, 1, 0, 0, 0, 1, b'o', b'k'];

/// A connection with so much room for what goes, and its other end.
fn connection(room: usize) -> (Arc<Streams>, JoinHandle<()>, DuplexStream) {
    let (stream, other) = duplex(room);
    let streams = Streams::with_server(Instant::now());
    let driver = Driver::new(stream, Arc::clone(&streams));
    (streams, tokio::spawn(driver.drive()), other)
}

fn ask(streams: &Arc<Streams>) -> ServerStream {
    let line = RequestLine {
        method: &Method::GET,
        scheme: "http",
        authority: b"a.test",
        path: b"/",
    };
    streams.request(&line, &Fields::new(), true).unwrap()
}

async fn status(stream: &ServerStream) -> Result<u16, Loss> {
    let header = timeout(SOON, poll_fn(|cx| stream.poll_header(cx))).await;
    header.unwrap().map(|header| header.status.as_u16())
}

async fn body(stream: &mut ServerStream) -> Result<Bytes, Loss> {
    let chunk = timeout(SOON, poll_fn(|cx| stream.poll_body(cx))).await;
    chunk.unwrap().map(|chunk| match chunk {
        Chunk::Data(piece, _) => piece,
        Chunk::End(_) => Bytes::new(),
    })
}

/// Yields until the driver, a task of the same thread, has done what it can.
async fn let_run() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

async fn ends(driver: JoinHandle<()>) {
    timeout(SOON, driver).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_that_nobody_needs_says_so_and_ends() {
    let (streams, driver, mut server) = connection(4096);
    let stream = ask(&streams);
    server.write_all(&[SETTINGS, ALL].concat()).await.unwrap();
    assert_eq!(status(&stream).await, Ok(200));
    streams.close();
    assert!(!driver.is_finished(), "a request is under way");
    drop(stream);
    ends(driver).await;
    let mut said = Vec::new();
    server.read_to_end(&mut said).await.unwrap();
    // GOAWAY, with nothing processed and no error.
    assert!(said.ends_with(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_not_waited_for() {
    for closes_first in [true, false] {
        let (streams, driver, server) = connection(16);
        let stream = ask(&streams);
        // The driver fills what there is, and waits.
        let_run().await;
        if closes_first {
            streams.close();
            let_run().await;
            drop(stream);
        } else {
            drop(stream);
            let_run().await;
            streams.close();
        }
        ends(driver).await;
        drop(server);
    }
}

#[tokio::test]
async fn what_a_server_said_before_it_closed_is_taken() {
    for takes in [true, false] {
        let (streams, driver, mut server) = connection(64);
        let mut stream = ask(&streams);
        let wire = [SETTINGS, HEADER, BODY].concat();
        let said = async {
            server.write_all(&wire).await.unwrap();
            if takes {
                let _ = timeout(Duration::from_millis(1), server.read(&mut [0; 500])).await;
            }
            // What is written from now on fails.
            drop(server);
        };
        said.await;
        assert_eq!(status(&stream).await, Ok(200), "{takes}");
        assert_eq!(body(&mut stream).await, Ok(Bytes::from_static(b"ok")));
        let next = streams.most_requests();
        assert!(next.is_none() || !driver.is_finished());
        drop(stream);
        ends(driver).await;
        assert_eq!(streams.most_requests(), None);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_told_to_its_requests() {
    let (streams, driver, mut server) = connection(4096);
    let stream = ask(&streams);
    server.write_all(SETTINGS).await.unwrap();
    drop(server);
    assert_eq!(status(&stream).await, Err(Loss::Gone));
    assert!(stream.connection_end().is_some());
    ends(driver).await;

    let (streams, driver, mut server) = connection(4096);
    let stream = ask(&streams);
    server
        .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(status(&stream).await, Err(Loss::Gone));
    assert!(matches!(
        stream.connection_end(),
        Some(ConnectionEnd::Faulty(_))
    ));
    ends(driver).await;
}

#[tokio::test]
async fn a_driver_that_is_dropped_leaves_nobody_waiting() {
    let (streams, driver, server) = connection(4096);
    let stream = ask(&streams);
    driver.abort();
    assert_eq!(status(&stream).await, Err(Loss::Gone));
    drop(server);
}
