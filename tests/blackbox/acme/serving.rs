//! What is obtained is served as soon as it is there.

use std::net::SocketAddr;

use super::node::{self, LONG, Node, Storage, serial, served};
use super::orders;
use crate::common::peers::{Authority, Pebble, run};
use crate::common::*;

/// The further keys of `acme` for tls-alpn-01.
fn by_tls(authority: &Pebble, storage: &Storage) -> String {
    format!(
        "challenge: tls-alpn-01, ca: {}, storage: {}",
        authority.ca().display(),
        storage.path().display()
    )
}

/// What curl gets there by that name, if it trusts the authority.
#[track_caller]
fn curl(authority: &Pebble, name: &str, to: SocketAddr) -> String {
    let port = to.port();
    let root = authority.root().display().to_string();
    let resolve = format!("{name}:{port}:127.0.0.1");
    let url = format!("https://{name}:{port}/");
    run(
        "curl",
        &[
            "--silent",
            "--show-error",
            "--fail",
            "--cacert",
            &root,
            "--resolve",
            &resolve,
            &url,
        ],
    )
}

#[test]
fn what_is_obtained_is_served_without_a_reload_and_verifies() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    let node = Node::at(&port).obtaining(&["www.example.com", "example.com"], &pebble, &storage);
    let lb = node.start();
    let to = lb.address("secure0");
    let certificate = eventually(LONG, || served(to, "www.example.com"));
    assert_eq!(
        node::names(&certificate),
        ["example.com", "www.example.com"]
    );
    assert_eq!(curl(&pebble, "www.example.com", to), "a");
    assert_eq!(curl(&pebble, "example.com", to), "a");
    let expiry = lb.metrics().value(
        "equipoise_certificate_expiry_timestamp_seconds",
        &[("listener", "secure0"), ("name", "example.com")],
    );
    assert!(expiry > 0.0);
}

#[test]
fn a_certificate_is_obtained_by_tls_alpn_01() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    let names = ["www.example.com", "example.com"];
    // No listener that the authority reaches speaks HTTP.
    let node = Node::aside().secure_at(&port).with(
        &names,
        &pebble.directory(),
        &by_tls(&pebble, &storage),
    );
    let lb = node.start();
    eventually(LONG, || served(port.address(), "www.example.com"));
    assert_eq!(curl(&pebble, "example.com", port.address()), "a");
    eventually(SOON, || orders(&lb, "success") == 1.0);
    let log = pebble.output();
    assert!(!log.contains("validate w/ HTTP"), "{log}");
    assert!(storage.answers().is_empty());
}

#[test]
fn whichever_node_is_asked_by_tls_can_answer() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    let (directory, more) = (pebble.directory(), by_tls(&pebble, &storage));
    let reached = Node::aside()
        .secure_at(&port)
        .with(&["a.example.com"], &directory, &more);
    let _asked = reached.start();
    eventually(LONG, || storage.certificate("a.example.com"));
    let aside = Node::aside().with(&["b.example.com"], &directory, &more);
    let obtaining = aside.start();
    eventually(LONG, || {
        served(obtaining.address("secure0"), "b.example.com")
    });
}

#[test]
fn nodes_that_share_a_storage_serve_what_one_of_them_obtained() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    let names = ["www.example.com"];
    let one = Node::at(&port).obtaining(&names, &pebble, &storage);
    let other = Node::aside()
        .obtaining(&names, &pebble, &storage)
        .obtaining(&names, &pebble, &storage);
    let (one, other) = (one.start(), other.start());
    let listeners = [
        one.address("secure0"),
        other.address("secure0"),
        other.address("secure1"),
    ];
    let serials = listeners.map(|to| {
        let certificate = eventually(LONG, || served(to, "www.example.com"));
        serial(&certificate)
    });
    assert!(
        serials.iter().all(|serial| *serial == serials[0]),
        "{serials:?}"
    );
    assert_eq!(pebble.orders(), 1);
}

#[test]
fn a_listener_that_redirects_everything_answers_the_authority_all_the_same() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    let node = Node::at(&port)
        .redirecting()
        .obtaining(&["www.example.com"], &pebble, &storage);
    let lb = node.start();
    eventually(LONG, || served(lb.address("secure0"), "www.example.com"));
    let other = lb.get(
        "/.well-known/acme-challenge/unknown",
        &[("Host", "www.example.com")],
    );
    assert_eq!(other.status, 308, "{other}");
}
