//! SPEC sections 8 and 10: HTTP towards clients and servers, limits, and what each status means.

mod connections;
mod failures;
mod framing;
mod kept;
mod limits;
mod messages;
mod routes;

use std::net::SocketAddr;

use crate::common::*;

pub fn one() -> (Origin, Equipoise) {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    (origin, lb)
}

/// Sends bytes on a connection of their own and reads one response; then the connection must be
/// closed by the load balancer.
#[track_caller]
pub fn answer_and_close(to: SocketAddr, bytes: &[u8]) -> Response {
    let mut client = Client::connect(to);
    client.send(bytes).unwrap();
    let response = client
        .read_response(false)
        .unwrap_or_else(|e| panic!("{e} for {:?}", String::from_utf8_lossy(bytes)));
    assert!(client.is_closed_by_peer(), "still open after {response}");
    response
}
