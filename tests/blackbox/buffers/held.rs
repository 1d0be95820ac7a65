//! What a connection holds while nothing happens on it.

use std::io::Write as _;
use std::net::SocketAddr;

use super::{before, memory, server};
use crate::common::*;

const CONNECTIONS: u64 = 300;
const KIB: u64 = 1024;

/// Opens connections that have served a request, and checks that each of them holds no more than that.
#[track_caller]
fn hold_at_most<T>(lb: &Equipoise, each: u64, open: impl Fn() -> T) {
    // What the first of them need is kept for others.
    drop((0..20).map(|_| open()).collect::<Vec<_>>());
    lb.wait_idle();
    let before = memory(lb, "VmRSS:");
    let held: Vec<_> = (0..CONNECTIONS).map(|_| open()).collect();
    // Memory that isn't needed any more goes back to the system by and by.
    eventually(3 * SOON, || {
        let now = memory(lb, "VmRSS:").saturating_sub(before) / CONNECTIONS;
        if now <= each {
            return Ok(());
        }
        Err(format!("each holds {now} bytes"))
    });
    drop(held);
}

fn asked(mut client: Client) -> Client {
    assert_eq!(client.get("/1000", &[]).unwrap().status, 200);
    client
}

#[test]
fn an_idle_connection_holds_no_buffers() {
    let (server, _) = server();
    let lb = before(&server);
    hold_at_most(&lb, 8 * KIB, || asked(lb.client()));
}

#[test]
fn nor_does_one_of_tls() {
    let (server, _) = server();
    let pki = Pki::new();
    let site = pki.leaf(&["a.example"]);
    let lb = Setup::new()
        .server_at("a", &server.address().to_string(), "")
        .listener(&format!(
            "protocol: https\ntls: {{certificates: [{{cert: \"{}\", key: \"{}\"}}]}}",
            site.cert.display(),
            site.key.display()
        ))
        .start();
    let (to, tls) = (lb.web(), Tls::new(&pki, "a.example"));
    hold_at_most(&lb, 28 * KIB, || asked(tls.try_connect(to).unwrap()));
}

#[test]
fn who_takes_nothing_holds_one_piece_of_its_response() {
    let (server, _) = server();
    let lb = before(&server);
    let to = lb.web();
    hold_at_most(&lb, 72 * KIB, || takes_nothing(to));
}

/// Asks for more than all buffers on the way hold, and reads none of it.
fn takes_nothing(to: SocketAddr) -> std::net::TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut stream = std::net::TcpStream::from(socket);
    let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", 1_u64 << 30);
    stream.write_all(request.as_bytes()).unwrap();
    stream
}
