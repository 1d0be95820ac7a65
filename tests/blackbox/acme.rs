//! Certificates by ACME (section 7), obtained from Pebble.

mod failures;
mod node;
mod renewal;
mod serving;
mod sharing;

use std::os::unix::fs::PermissionsExt as _;

use crate::common::peers::Authority;
use crate::common::*;
use node::{LONG, Node, Storage};

#[test]
fn a_certificate_is_obtained_by_http_01_and_kept() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    let node = Node::at(&port).obtaining(&["www.example.com", "example.com"], &pebble, &storage);
    let lb = node.start();
    let certificate = eventually(LONG, || storage.certificate("www.example.com"));
    assert_eq!(
        node::names(&certificate),
        ["example.com", "www.example.com"]
    );
    assert_eq!(
        (pebble.orders(), pebble.accounts(), pebble.issued()),
        (1, 1, 1)
    );
    eventually(SOON, || orders(&lb, "success") == 1.0);
    assert_eq!(orders(&lb, "failure"), 0.0);
    // The authority asked, through the listener, as anybody would.
    let asked = lb.wait_logged(|line| {
        let path = line["path"].as_str().unwrap_or_default();
        path.starts_with("/.well-known/acme-challenge/") && line["status"] == 200
    });
    assert_eq!(asked["listener"], "web");
    let log = lb.stderr();
    assert!(
        log.contains("ACME: www.example.com, example.com: new certificate, valid until"),
        "{log}"
    );
}

#[test]
fn what_is_secret_is_its_owners_alone_and_answers_end_with_the_order() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    let node = Node::at(&port).obtaining(&["www.example.com"], &pebble, &storage);
    let _lb = node.start();
    eventually(LONG, || storage.certificate("www.example.com"));
    let files = storage.files();
    for wanted in ["account.json", "site.pem"] {
        let file = files.iter().find(|path| path.ends_with(wanted));
        let file = file.unwrap_or_else(|| panic!("no {wanted} in {files:?}"));
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    eventually(SOON, || storage.answers().is_empty());
}

#[test]
fn a_certificate_that_is_there_is_not_obtained_again_after_a_restart() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    let node = Node::at(&port).obtaining(&["www.example.com"], &pebble, &storage);
    let lb = node.start();
    let before = eventually(LONG, || storage.certificate("www.example.com"));
    let lb = node.start_in(lb.into_dir());
    holds_for(SOON / 5, || pebble.orders() == 1);
    assert_eq!(orders(&lb, "success"), 0.0);
    let now = storage.certificate("www.example.com").unwrap();
    assert_eq!(node::serial(&now), node::serial(&before));
}

#[test]
fn a_token_that_is_not_ours_goes_to_the_server() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    let node = Node::at(&port).obtaining(&["www.example.com"], &pebble, &storage);
    let lb = node.start();
    eventually(LONG, || storage.certificate("www.example.com"));
    storage.write("secret", "secret.key");
    storage.write("challenges/http-01/ours", "ours.thumbprint");
    let answer = lb.get("/.well-known/acme-challenge/ours", &[]);
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "ours.thumbprint"),
        "{answer}"
    );
    assert_eq!(answer.header("x-origin"), None, "{answer}");
    for token in ["unknown", "../../secret", "..%2f..%2fsecret", "", "ours/"] {
        let target = format!("/.well-known/acme-challenge/{token}");
        assert_eq!(lb.get(&target, &[]).origin(), "a", "{target}");
    }
    let mut client = lb.client();
    let posted = client
        .request("POST", "/.well-known/acme-challenge/ours", &[], b"x")
        .unwrap();
    assert_eq!(posted.origin(), "a");
    let head = client
        .request("HEAD", "/.well-known/acme-challenge/ours", &[], b"")
        .unwrap();
    assert_eq!(head.header("content-length"), Some("15"), "{head}");
    // The connection goes on.
    assert_eq!(client.get("/", &[]).unwrap().origin(), "a");
}

#[test]
fn without_acme_every_token_goes_to_the_server() {
    let origin = Origin::start("a");
    let lb = Setup::new().server(&origin, "").start();
    let answer = lb.get("/.well-known/acme-challenge/token", &[]);
    assert_eq!(answer.origin(), "a");
}

/// `equipoise_acme_orders_total`.
#[track_caller]
fn orders(lb: &Equipoise, result: &str) -> f64 {
    lb.metrics()
        .value("equipoise_acme_orders_total", &[("result", result)])
}
