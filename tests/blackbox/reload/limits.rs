//! Limits of connections change with a reload, and nobody who is connected notices.

use super::reload;
use crate::common::*;

fn limited(origin: &Origin, process: usize, listener: usize) -> String {
    Setup::of([origin])
        .top(&format!("server: {{max_connections: {process}}}"))
        .listener(&format!("max_connections: {listener}"))
        .yaml()
}

fn is_full(lb: &Equipoise) -> bool {
    lb.status()["listeners"][0]["full"] == true
}

#[test]
fn a_limit_that_is_raised_lets_those_in_who_wait() {
    let a = Origin::start("a");
    for (from, to) in [
        (limited(&a, 100, 1), limited(&a, 100, 2)),
        (limited(&a, 100, 1), limited(&a, 100, 0)),
    ] {
        let lb = Equipoise::start(&from);
        let mut first = lb.client();
        assert_eq!(first.get("/", &[]).unwrap().status, 200);
        let mut second = lb.client();
        second.send_request("GET", "/", &[], b"").unwrap();
        eventually(SOON, || is_full(&lb));
        reload(&lb, &to);
        assert_eq!(second.read_response(false).unwrap().status, 200);
        assert_eq!(first.get("/", &[]).unwrap().status, 200);
        eventually(SOON, || !is_full(&lb));
    }
}

#[test]
fn a_limit_that_is_lowered_leaves_those_who_are_connected() {
    let a = Origin::start("a");
    for (from, to) in [
        (limited(&a, 100, 0), limited(&a, 100, 1)),
        (limited(&a, 100, 0), limited(&a, 1, 0)),
    ] {
        let lb = Equipoise::start(&from);
        let mut clients: Vec<_> = (0..3).map(|_| lb.client()).collect();
        for client in &mut clients {
            assert_eq!(client.get("/", &[]).unwrap().status, 200);
        }
        reload(&lb, &to);
        for client in &mut clients {
            assert_eq!(client.get("/", &[]).unwrap().status, 200);
        }
        let mut next = lb.client();
        next.send_request("GET", "/", &[], b"").unwrap();
        eventually(SOON, || is_full(&lb));
        // Two places less, so that two have to go before one comes.
        clients.truncate(1);
        eventually(SOON, || {
            lb.metrics().sum("equipoise_connections_active", &[]) < 2.0
        });
        assert!(is_full(&lb));
        clients.clear();
        assert_eq!(next.read_response(false).unwrap().status, 200);
    }
}

#[test]
fn more_are_let_in_as_far_as_descriptors_go_and_no_further() {
    let a = Origin::start("a");
    let lb = Equipoise::start_with_descriptors(&limited(&a, 10, 0), 400);
    for limit in [5, 10, 100] {
        reload(&lb, &limited(&a, limit, 0));
        assert_eq!(lb.status()["reload"]["result"], "success", "{limit}");
    }
    let mut clients: Vec<_> = (0..100).map(|_| lb.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
    }
    reload(&lb, &limited(&a, 1000, 0));
    let problems = lb.status()["reload"]["problems"].to_string();
    let wanted = "server.max_connections: can't be changed from 100 to 1000 while running";
    assert!(problems.contains(wanted), "{problems}");
}

#[test]
fn the_number_of_the_start_is_taken_back_where_descriptors_are_short() {
    let a = Origin::start("a");
    let lb = Equipoise::start_with_descriptors(&limited(&a, 1000, 0), 400);
    let told = || lb.stderr().matches("needs more file descriptors").count();
    assert_eq!(told(), 1);
    for limit in [10, 1000] {
        reload(&lb, &limited(&a, limit, 0));
        assert_eq!(lb.status()["reload"]["result"], "success", "{limit}");
    }
    eventually(SOON, || told() == 2);
    let mut clients: Vec<_> = (0..50).map(|_| lb.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
    }
}
