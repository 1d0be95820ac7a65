//! Listeners and nodes that share a storage.

use std::time::Duration;

use super::node::{LONG, Node, Storage};
use super::orders;
use crate::common::peers::Authority;
use crate::common::*;

#[test]
fn two_listeners_of_two_nodes_obtain_once() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    // Slow, so that they meet.
    let pebble = Authority::asking_at(&port).slow(3).start();
    let names = ["www.example.com", "example.com"];
    let swapped = ["www.example.com", "example.com"];
    let one = Node::at(&port)
        .obtaining(&names, &pebble, &storage)
        .obtaining(&swapped, &pebble, &storage);
    let other = Node::aside()
        .obtaining(&names, &pebble, &storage)
        .obtaining(&swapped, &pebble, &storage);
    let nodes = [one.start(), other.start()];
    eventually(LONG, || storage.certificate("www.example.com"));
    let obtained = || {
        nodes
            .iter()
            .map(|node| orders(node, "success"))
            .sum::<f64>()
    };
    eventually(SOON, || obtained() == 1.0);
    // The other one looks at it, and finds it done.
    let done = |node: &Equipoise| node.stderr().contains("somebody else has obtained it");
    let waited = |node: &Equipoise| node.stderr().contains("somebody else is obtaining it");
    eventually(SOON, || nodes.iter().any(|node| done(node) || waited(node)));
    holds_for(Duration::from_secs(4), || {
        pebble.orders() == 1 && pebble.accounts() == 1 && obtained() == 1.0
    });
}

#[test]
fn whichever_node_is_asked_can_answer() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).start();
    // The authority reaches this one alone, which wants another certificate.
    let reached = Node::at(&port).obtaining(&["a.example.com"], &pebble, &storage);
    let asked = reached.start();
    eventually(LONG, || storage.certificate("a.example.com"));
    let aside = Node::aside().obtaining(&["b.example.com"], &pebble, &storage);
    let obtaining = aside.start();
    eventually(LONG, || storage.certificate("b.example.com"));
    eventually(SOON, || orders(&obtaining, "success") == 1.0);
    assert_eq!(orders(&asked, "success"), 1.0);
    assert_eq!(pebble.accounts(), 1, "they share the account as well");
}

#[test]
fn a_node_that_is_killed_while_it_obtains_leaves_nothing_in_the_way() {
    let (port, storage) = (ReservedPort::new(), Storage::new());
    let pebble = Authority::asking_at(&port).slow(5).start();
    let node = Node::at(&port).obtaining(&["www.example.com"], &pebble, &storage);
    let mut killed = node.start();
    eventually(LONG, || !storage.answers().is_empty());
    killed.signal(nix::sys::signal::Signal::SIGKILL);
    killed.wait_exit(SOON);
    assert_eq!(storage.certificate("www.example.com"), None);
    let lb = node.start();
    eventually(LONG, || storage.certificate("www.example.com"));
    eventually(SOON, || orders(&lb, "success") == 1.0);
    assert_eq!(pebble.accounts(), 1);
}
