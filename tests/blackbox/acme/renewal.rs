//! A certificate is renewed by itself, and never at the cost of the one in use.

use std::time::Duration;

use super::node::{LONG, Node, Storage, names, serial};
use super::orders;
use crate::common::peers::Authority;
use crate::common::*;

/// Short enough to see renewals, long enough for one on a busy machine.
const VALIDITY: Duration = Duration::from_secs(12);

#[test]
fn a_certificate_is_renewed_while_it_is_valid_and_is_there_all_the_time() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).validity(VALIDITY).start();
    let node = Node::at(&port).obtaining(&["www.example.com"], &pebble, &storage);
    let lb = node.start();
    let first = eventually(LONG, || storage.certificate("www.example.com"));
    let second = eventually(LONG, || {
        let now = storage
            .certificate("www.example.com")
            .expect("a whole certificate at any time");
        (serial(&now) != serial(&first)).then_some(now)
    });
    // Before the first one ended.
    assert!(second.not_before() < first.not_after());
    assert!(second.not_after() > first.not_after());
    assert_ne!(
        first.public_key().unwrap().public_key_to_der().unwrap(),
        second.public_key().unwrap().public_key_to_der().unwrap(),
        "a new key each time"
    );
    assert_eq!(pebble.accounts(), 1, "the account is kept");
    eventually(SOON, || orders(&lb, "success") >= 2.0);
    assert_eq!(orders(&lb, "failure"), 0.0);
}

#[test]
fn an_authority_that_is_away_leaves_the_certificate_in_use() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let mut pebble = Authority::asking_at(&port).validity(VALIDITY).start();
    let node = Node::at(&port).obtaining(&["www.example.com"], &pebble, &storage);
    let mut lb = node.start();
    let before = eventually(LONG, || storage.certificate("www.example.com"));
    pebble.kill();
    eventually(LONG, || orders(&lb, "failure") >= 1.0);
    let log = lb.stderr();
    assert!(
        log.contains("ACME: www.example.com: not renewed: cannot connect to the authority"),
        "{log}"
    );
    assert!(log.contains("the one in use is valid until"), "{log}");
    let now = storage.certificate("www.example.com").unwrap();
    assert_eq!(serial(&now), serial(&before));
    assert_eq!(lb.get("/", &[]).origin(), "a");
    assert!(lb.is_running());
}

#[test]
fn names_that_are_added_by_a_reload_are_obtained_and_the_old_certificate_serves_meanwhile() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    let node = Node::at(&port).obtaining(&["www.example.com"], &pebble, &storage);
    let lb = node.start();
    let before = eventually(LONG, || storage.certificate("www.example.com"));
    // While the authority can't issue, too.
    pebble.signal(nix::sys::signal::Signal::SIGSTOP);
    let more = Node::at(&port).obtaining(&["www.example.com", "example.com"], &pebble, &storage);
    lb.rewrite(&more.yaml());
    lb.signal(nix::sys::signal::Signal::SIGHUP);
    let sites = eventually(SOON, || {
        let sites = storage.sites("www.example.com");
        (sites.len() == 2).then_some(sites)
    });
    for site in &sites {
        let pem = std::fs::read(site).unwrap();
        let serving = openssl::x509::X509::from_pem(&pem).unwrap();
        assert_eq!(serial(&serving), serial(&before));
    }
    pebble.signal(nix::sys::signal::Signal::SIGCONT);
    eventually(LONG, || {
        sites.iter().any(|site| {
            let pem = std::fs::read(site).unwrap();
            let certificate = openssl::x509::X509::from_pem(&pem).unwrap();
            names(&certificate) == ["example.com", "www.example.com"]
        })
    });
    assert_eq!(pebble.orders(), 2);
}
