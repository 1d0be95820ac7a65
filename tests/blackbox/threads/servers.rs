//! Idle connections to servers: each thread uses those that it used before, and the others' rather than a new one.

use std::net::SocketAddr;

use crate::common::*;

/// Clients on different threads.
fn two(lb: &Equipoise, to: SocketAddr) -> [Client; 2] {
    let clients = [Client::connect(to), Client::connect(to)];
    eventually(SOON, || super::by_thread(lb, to) == [1, 1]);
    clients
}

#[test]
fn a_thread_takes_another_ones_idle_connection_rather_than_connecting_anew() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).top("server: {threads: 2}").start();
    let mut clients = two(&lb, lb.web());
    for _ in 0..4 {
        for client in &mut clients {
            assert_eq!(client.get("/", &[]).unwrap().status, 200);
            lb.wait_idle_servers();
        }
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn each_thread_uses_the_connection_that_it_used_before() {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/held" => Answer::held(),
        _ => Answer::ok(),
    });
    let lb = Setup::of([&origin]).top("server: {threads: 2}").start();
    let mut clients = two(&lb, lb.web());
    for client in &mut clients {
        client.send_request("GET", "/held", &[], b"").unwrap();
    }
    origin.wait_held(2);
    origin.release_all();
    for client in &mut clients {
        assert_eq!(client.read_response(false).unwrap().status, 200);
    }
    lb.wait_idle_servers();
    // Whichever is idle for longer is its own thread's.
    for client in [0, 1, 1, 0, 0, 1] {
        assert_eq!(
            clients[client]
                .get(&format!("/{client}"), &[])
                .unwrap()
                .status,
            200
        );
        lb.wait_idle_servers();
    }
    let used_by = |client: usize| {
        let target = format!("/{client}");
        let requests = origin
            .requests()
            .into_iter()
            .filter(|request| request.target == target);
        let mut used: Vec<_> = requests.map(|request| request.connection).collect();
        used.dedup();
        used
    };
    let (one, other) = (used_by(0), used_by(1));
    assert_eq!((one.len(), other.len()), (1, 1));
    assert_ne!(one, other);
    assert_eq!(origin.connections(), 2);
}

#[test]
fn a_connection_with_tls_goes_from_thread_to_thread() {
    let pki = Pki::new();
    let server = SecureOrigin::start("a", &pki.leaf(&["127.0.0.1"]));
    let lb = Setup::new()
        .top("server: {threads: 2}")
        .server_at("a", &server.address().to_string(), "")
        .pool(&format!("tls: {{ca: {}}}", pki.root().display()))
        .start();
    let mut clients = two(&lb, lb.web());
    for _ in 0..4 {
        for client in &mut clients {
            assert_eq!(client.get("/", &[]).unwrap().status, 200);
            lb.wait_idle_servers();
        }
    }
    assert_eq!(server.greetings().len(), 1);
}
