//! What goes wrong is told in words, and stops nothing else.

use nix::sys::signal::Signal;

use super::node::{LONG, Node, Storage, serial};
use super::orders;
use crate::common::peers::Authority;
use crate::common::*;

/// As authorities give it out.
const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

#[test]
fn an_external_account_that_is_wrong_is_refused_in_words_and_the_right_one_works_after_a_reload() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port)
        .external_account("kid-1", KEY)
        .start();
    storage.write(
        "wrong.hmac",
        "b10lLJs8l1GPIzsLP0s6pMt8O0XVGnfTaCeROxQM0BIt2XrJMDHJZBM5NuQmQJQH\n",
    );
    storage.write("right.hmac", &format!("{KEY}\n"));
    let with = |file: &str| {
        let here = storage.path().display();
        let more = format!(
            "ca: {}, storage: {here}, external_account: {{key_id: kid-1, hmac_key_file: {here}/{file}}}",
            pebble.ca().display()
        );
        Node::at(&port)
            .with(&["www.example.com"], &pebble.directory(), &more)
            .yaml()
    };
    let lb = Equipoise::start(&with("wrong.hmac"));
    eventually(LONG, || orders(&lb, "failure") == 1.0);
    let log = lb.stderr();
    assert!(
        log.contains("no account with acme.external_account kid-1:"),
        "{log}"
    );
    assert!(
        !log.contains(KEY) && !log.contains("b10lLJs8"),
        "a key in the log"
    );
    assert_eq!(pebble.accounts(), 0);
    lb.rewrite(&with("right.hmac"));
    lb.signal(Signal::SIGHUP);
    eventually(LONG, || storage.certificate("www.example.com"));
}

#[test]
fn an_authority_that_wants_an_external_account_says_so() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port)
        .external_account("kid-1", KEY)
        .start();
    let node = Node::at(&port).obtaining(&["www.example.com"], &pebble, &storage);
    let lb = node.start();
    eventually(LONG, || orders(&lb, "failure") == 1.0);
    let log = lb.stderr();
    assert!(log.contains("set acme.external_account"), "{log}");
}

#[test]
fn a_name_that_the_authority_can_not_reach_us_by_is_told_and_tried_again_later() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    // Nobody listens at the port that the authority asks at.
    let node = Node::aside().obtaining(&["www.example.com"], &pebble, &storage);
    let lb = node.start();
    eventually(LONG, || orders(&lb, "failure") == 1.0);
    let log = lb.stderr();
    assert!(
        log.contains("http://www.example.com/.well-known/acme-challenge/"),
        "{log}"
    );
    assert!(
        log.contains("the authority could not connect to us"),
        "{log}"
    );
    assert!(
        log.contains("trying again in 6") || log.contains("trying again in 7"),
        "{log}"
    );
    holds_for(SOON / 5, || pebble.orders() == 1);
    assert!(storage.answers().is_empty());
    // A reload doesn't hammer the authority either.
    lb.signal(Signal::SIGHUP);
    holds_for(SOON / 5, || pebble.orders() == 1);
}

#[test]
fn an_authority_whose_own_certificate_is_not_to_be_trusted_is_not_asked() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    let more = format!("storage: {}", storage.path().display());
    let node = Node::at(&port).with(&["www.example.com"], &pebble.directory(), &more);
    let lb = node.start();
    eventually(LONG, || orders(&lb, "failure") == 1.0);
    let log = lb.stderr();
    assert!(
        log.contains("is not to be trusted: self-signed certificate"),
        "{log}"
    );
    assert_eq!(pebble.accounts(), 0);
}

#[test]
fn a_storage_that_can_not_be_written_is_told_and_the_rest_works() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    storage.write("file", "not a directory");
    let more = format!(
        "ca: {}, storage: {}/file",
        pebble.ca().display(),
        storage.path().display()
    );
    let node = Node::at(&port).with(&["www.example.com"], &pebble.directory(), &more);
    let mut lb = node.start();
    eventually(LONG, || orders(&lb, "failure") == 1.0);
    let log = lb.stderr();
    assert!(log.contains("acme.storage can't be used"), "{log}");
    assert_eq!(lb.get("/", &[]).origin(), "a");
    assert_eq!(pebble.orders(), 0);
    assert!(lb.is_running());
}

#[test]
fn a_spoiled_account_and_a_spoiled_certificate_are_made_anew() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    let node = Node::at(&port).obtaining(&["www.example.com"], &pebble, &storage);
    let lb = node.start();
    let before = eventually(LONG, || storage.certificate("www.example.com"));
    let dir = lb.into_dir();
    storage.spoil("account.json");
    storage.spoil("site.pem");
    let lb = node.start_in(dir);
    let now = eventually(LONG, || storage.certificate("www.example.com"));
    assert_ne!(serial(&now), serial(&before));
    assert_eq!(pebble.accounts(), 2);
    let log = lb.stderr();
    assert!(
        log.contains("account.json: holds no account; making a new account"),
        "{log}"
    );
    assert!(log.contains("what was kept can't be used"), "{log}");
}

#[test]
fn an_account_that_the_authority_has_lost_is_made_anew() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let mut pebble = Authority::asking_at(&port).start();
    let node = Node::at(&port).obtaining(&["www.example.com"], &pebble, &storage);
    let lb = node.start();
    eventually(LONG, || storage.certificate("www.example.com"));
    // It keeps everything in memory.
    pebble.restart();
    let more = Node::at(&port).obtaining(&["new.example.com"], &pebble, &storage);
    lb.rewrite(&more.yaml());
    lb.signal(Signal::SIGHUP);
    eventually(LONG, || storage.certificate("new.example.com"));
    let log = lb.stderr();
    assert!(log.contains("doesn't know our account any more"), "{log}");
    assert_eq!(orders(&lb, "failure"), 0.0);
}
