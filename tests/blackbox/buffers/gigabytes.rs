//! Bodies whose length doesn't fit into 31 bits, eight at once, each way.

use ::h2::SendStream;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{MIB, before, holds_at_most, server};
use crate::common::h2::{H2, whole};
use crate::common::served::{Head, pour, runtime, swallow};

/// One large body, and others beside it.
const BODIES: [u64; 8] = [
    2049 * MIB,
    64 * MIB,
    64 * MIB,
    64 * MIB,
    64 * MIB,
    64 * MIB,
    64 * MIB,
    64 * MIB,
];
const GROWTH: u64 = 64 * MIB;

#[test]
fn gigabytes_come_down_in_constant_memory() {
    let (server, _) = server();
    let lb = before(&server);
    let (to, runtime) = (lb.web(), runtime());
    holds_at_most(&lb, GROWTH, || {
        runtime.block_on(async {
            let downloads = BODIES.map(|length| {
                tokio::spawn(async move {
                    let mut stream = TcpStream::connect(to).await.unwrap();
                    let request = format!("GET /{length} HTTP/1.1\r\nHost: a\r\n\r\n");
                    stream.write_all(request.as_bytes()).await.unwrap();
                    let head = Head::read(&mut stream, Vec::new()).await.unwrap().unwrap();
                    assert_eq!(head.length(), length);
                    let rest = length - head.rest.len() as u64;
                    swallow(&mut stream, rest).await.unwrap();
                })
            });
            for download in downloads {
                download.await.unwrap();
            }
        });
    });
    lb.wait_idle();
}

#[test]
fn gigabytes_go_up_in_constant_memory() {
    let (server, _) = server();
    let lb = before(&server);
    let (to, runtime) = (lb.web(), runtime());
    holds_at_most(&lb, GROWTH, || {
        runtime.block_on(async {
            let uploads = BODIES.map(|length| {
                tokio::spawn(async move {
                    let mut stream = TcpStream::connect(to).await.unwrap();
                    let request =
                        format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
                    stream.write_all(request.as_bytes()).await.unwrap();
                    pour(&mut stream, length).await.unwrap();
                    let head = Head::read(&mut stream, Vec::new()).await.unwrap().unwrap();
                    let mut said = head.rest.clone();
                    while (said.len() as u64) < head.length() {
                        stream.read_buf(&mut said).await.unwrap();
                    }
                    assert_eq!(String::from_utf8(said).unwrap(), length.to_string());
                })
            });
            for upload in uploads {
                upload.await.unwrap();
            }
        });
    });
    lb.wait_idle();
}

#[test]
fn gigabytes_come_down_over_http2_in_constant_memory() {
    let (server, _) = server();
    let lb = before(&server);
    // On two connections, so that streams share one, too.
    let clients = [H2::connect(lb.web()), H2::connect(lb.web())];
    holds_at_most(&lb, GROWTH, || {
        let downloads: Vec<_> = BODIES
            .iter()
            .enumerate()
            .map(|(n, &length)| {
                let (response, _) = clients[n % 2]
                    .open("GET", &format!("/{length}"), &[], true)
                    .unwrap();
                clients[n % 2].spawn(async move {
                    let mut body = response.await.unwrap().into_body();
                    let mut come = 0;
                    while let Some(data) = body.data().await {
                        let length = data.unwrap().len();
                        come += length as u64;
                        body.flow_control().release_capacity(length).unwrap();
                    }
                    assert_eq!(come, length);
                })
            })
            .collect();
        for (n, download) in downloads.into_iter().enumerate() {
            clients[n % 2].wait(download);
        }
    });
    drop(clients);
    lb.wait_idle();
}

#[test]
fn gigabytes_go_up_over_http2_in_constant_memory() {
    let (server, _) = server();
    let lb = before(&server);
    let clients = [H2::connect(lb.web()), H2::connect(lb.web())];
    holds_at_most(&lb, GROWTH, || {
        let uploads: Vec<_> = BODIES
            .iter()
            .enumerate()
            .map(|(n, &length)| {
                let headers = [("content-length", &*length.to_string())];
                let (response, send) = clients[n % 2].open("PUT", "/", &headers, false).unwrap();
                clients[n % 2].spawn(async move {
                    pour_h2(send, length).await;
                    let said = whole(response).await.unwrap();
                    assert_eq!(said.text(), length.to_string());
                })
            })
            .collect();
        for (n, upload) in uploads.into_iter().enumerate() {
            clients[n % 2].wait(upload);
        }
    });
    drop(clients);
    lb.wait_idle();
}

async fn pour_h2(mut send: SendStream<Bytes>, mut length: u64) {
    let piece = Bytes::from(vec![b'x'; 256 * 1024]);
    while length > 0 {
        send.reserve_capacity(piece.len());
        let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await;
        let most = (room.unwrap().unwrap().min(piece.len()) as u64).min(length);
        length -= most;
        send.send_data(piece.slice(..most as usize), length == 0)
            .unwrap();
    }
}
