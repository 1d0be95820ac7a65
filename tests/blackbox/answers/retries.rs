//! Which server a request goes to next, and whose answer the client gets when none is left.

use std::time::{Duration, Instant};

use super::{Script, Scripted, Then};
use crate::common::*;

fn retries(lb: &Equipoise, reason: &str) -> f64 {
    lb.metrics()
        .sum("equipoise_retries_total", &[("reason", reason)])
}

#[test]
fn a_server_that_comes_back_at_once_is_waited_for() {
    let origin = Origin::stopped("a");
    let lb = Setup::of([&origin])
        .pool("retries: {attempts: 6}\ntimeouts: {connect: 20s}")
        .start();
    for method in ["GET", "POST"] {
        let before = retries(&lb, "connect_failure");
        std::thread::scope(|scope| {
            let request = scope.spawn(|| lb.client().request(method, "/", &[], b"order"));
            eventually(SOON, || retries(&lb, "connect_failure") > before);
            origin.restart();
            let response = request.join().unwrap().unwrap();
            assert_eq!((response.status, response.origin()), (200, "a"), "{method}");
        });
        origin.stop();
    }
    assert_eq!(origin.served(), 2);
    let line = lb.wait_logged(|line| line["method"] == "POST");
    assert!(line["attempts"].as_u64().unwrap() >= 2, "{line}");
    lb.wait_idle();
}

#[test]
fn the_waits_grow_and_have_an_end() {
    let origin = Origin::stopped("a");
    let lb = Setup::of([&origin])
        .pool("retries: {attempts: 50}\ntimeouts: {connect: 1500ms}")
        .start();
    let begun = Instant::now();
    assert_eq!(lb.get("/", &[]).status, 502);
    let took = begun.elapsed();
    // 100 ms, 200, 400 and, by chance, up to half as much again: three waits fit, seldom a fourth.
    assert!(took >= Duration::from_millis(700), "{took:?}");
    let attempts = lb.wait_logged(|line| line["status"] == 502)["attempts"]
        .as_u64()
        .unwrap();
    assert!((4..=5).contains(&attempts), "{attempts}");
    assert_eq!(retries(&lb, "connect_failure"), attempts as f64 - 1.0);

    let lb = Setup::of([&origin]).pool("retries: {attempts: 0}").start();
    let begun = Instant::now();
    assert_eq!(lb.get("/", &[]).status, 502);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(retries(&lb, "connect_failure"), 0.0);
}

#[test]
fn nobody_waits_while_there_is_another_server() {
    let bad: Vec<Origin> = (0..4)
        .map(|n| Origin::stopped(&format!("bad{n}")))
        .collect();
    let good = Origin::start("good");
    let lb = Setup::of(&bad)
        .server(&good, "backup: true")
        .pool("retries: {attempts: 4}\ntimeouts: {connect: 60s}")
        .start();
    // Four refusals each; with as many waits this would take a minute.
    let begun = Instant::now();
    for _ in 0..40 {
        assert_eq!(lb.get("/", &[]).origin(), "good");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(retries(&lb, "connect_failure"), 160.0);
}

#[test]
fn all_that_refused_are_asked_again() {
    let origins = ["a", "b"].map(Origin::stopped);
    let lb = Setup::of(&origins)
        .pool("retries: {attempts: 20}\ntimeouts: {connect: 20s}")
        .start();
    std::thread::scope(|scope| {
        let request = scope.spawn(|| lb.get("/", &[]));
        eventually(SOON, || retries(&lb, "connect_failure") >= 2.0);
        origins[1].restart();
        assert_eq!(request.join().unwrap().origin(), "b");
    });
}

#[test]
fn a_client_that_goes_away_is_not_waited_for() {
    let origin = Origin::stopped("a");
    let lb = Setup::of([&origin])
        .pool("retries: {attempts: 100}\ntimeouts: {connect: 60s}")
        .start();
    let mut client = lb.client();
    client.send_request("GET", "/", &[], b"").unwrap();
    eventually(SOON, || retries(&lb, "connect_failure") > 2.0);
    client.reset();
    let line = lb.wait_logged(|line| line["path"] == "/");
    assert_eq!(line["termination"], "client_aborted", "{line}");
    lb.wait_idle();
}

#[test]
fn a_session_waits_for_its_own_server_if_it_may_not_leave_it() {
    let (own, other) = (Origin::start("own"), Origin::start("other"));
    let lb = Setup::of([&own, &other])
        .pool(
            "retries: {attempts: 20}\ntimeouts: {connect: 20s}\n\
             persistence: {type: cookie_insert, on_unavailable: reject}",
        )
        .start();
    let cookie = loop {
        let response = lb.get("/", &[]);
        if response.origin() == "own" {
            break response.cookie("SERVERID").unwrap();
        }
    };
    let cookie = format!("SERVERID={cookie}");
    own.stop();
    std::thread::scope(|scope| {
        let request = scope.spawn(|| lb.get("/bound", &[("Cookie", &cookie)]));
        eventually(SOON, || retries(&lb, "connect_failure") > 0.0);
        own.restart();
        let response = request.join().unwrap();
        assert_eq!(response.origin(), "own");
        assert!(response.cookie("SERVERID").is_none(), "{response}");
    });
    assert_eq!(
        lb.wait_logged(|line| line["path"] == "/bound")["persistence"],
        "hit"
    );
}

#[test]
fn a_session_that_may_not_leave_its_server_is_refused_in_the_end() {
    let origins = ["a", "b"].map(Origin::start);
    for attempts in [0, 1, 3] {
        let lb = Setup::of(&origins)
            .pool(&format!(
                "retries: {{attempts: {attempts}}}\npersistence: {{type: cookie_insert, on_unavailable: reject}}"
            ))
            .start();
        let first = lb.get("/", &[]);
        let own = origins
            .iter()
            .find(|origin| origin.name() == first.origin());
        let own = own.unwrap();
        let cookie = format!("SERVERID={}", first.cookie("SERVERID").unwrap());
        own.stop();
        let response = lb.get("/bound", &[("Cookie", &cookie)]);
        assert_eq!(response.status, 503, "{attempts}: {response}");
        let line = lb.wait_logged(|line| line["path"] == "/bound");
        assert_eq!(line["termination"], "bound_server_unavailable", "{line}");
        assert_eq!(line["persistence"], "unavailable", "{line}");
        assert_eq!(line["attempts"], attempts + 1, "{line}");
        assert_eq!(retries(&lb, "connect_failure"), f64::from(attempts));
        own.restart();
        lb.wait_idle();
    }
}

#[test]
fn a_reset_request_is_not_sent_to_the_same_server_again() {
    let origin = Scripted::new(|_| Script::new("", Then::Reset));
    let lb = super::before_with(&origin, "retries: {attempts: 5}");
    let begun = Instant::now();
    assert_eq!(lb.get("/", &[]).status, 502);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(origin.requests().len(), 1);
    assert_eq!(retries(&lb, "reset_before_response"), 0.0);
}

#[test]
fn the_last_servers_answer_is_passed_on() {
    let origins = ["a", "b", "c"].map(|name| Origin::with(name, |_| Answer::status(503)));
    for count in 1..=3 {
        let lb = Setup::of(&origins[..count])
            .pool("retries: {attempts: 5, on: [503]}")
            .start();
        let response = lb.get(&format!("/{count}"), &[]);
        assert_eq!(response.status, 503);
        // Its own, not a page of ours.
        assert!(response.header("x-origin").is_some(), "{response}");
        assert_eq!(retries(&lb, "503"), count as f64 - 1.0);
        let line = lb.wait_logged(|line| line["status"] == 503);
        assert_eq!(line["attempts"], count, "{line}");
        assert_eq!(line["termination"], "complete", "{line}");
        assert_eq!(line["server"], response.origin(), "{line}");
    }
    let served: usize = origins.iter().map(Origin::served).sum();
    assert_eq!(served, 6);
}

#[test]
fn a_body_is_sent_again_if_all_of_it_was_kept() {
    for (kept, size, tries) in [
        ("", 64 << 10, 2),
        ("", (64 << 10) + 1, 1),
        ("replay_buffer: 256KiB, ", 256 << 10, 2),
        ("replay_buffer: 256KiB, ", (256 << 10) + 1, 1),
        ("replay_buffer: 0, ", 1, 1),
        ("replay_buffer: 0, ", 0, 2),
    ] {
        let origins = ["a", "b"].map(|name| Origin::with(name, |_| Answer::status(503)));
        let lb = Setup::of(&origins)
            .pool(&format!("retries: {{{kept}on: [503]}}"))
            .start();
        let body: Vec<u8> = (0..size).map(|n: u32| n as u8).collect();
        let response = lb.client().request("PUT", "/", &[], &body).unwrap();
        assert_eq!(response.status, 503);
        let served: usize = origins.iter().map(Origin::served).sum();
        assert_eq!(served, tries, "{kept}{size}");
        for origin in origins.iter().filter(|origin| origin.served() > 0) {
            assert_eq!(origin.last_request().body, body, "{kept}{size}");
        }
    }
}

#[test]
fn more_than_64_mib_of_a_body_are_not_kept() {
    let origin = Origin::stopped("a");
    let setup = Setup::of([&origin]).pool("retries: {replay_buffer: 65MiB}");
    let exit = Equipoise::run_to_exit(&setup.yaml());
    assert_eq!(exit.code(), Some(2));
    assert!(
        exit.stderr
            .contains("retries.replay_buffer: must be at most 64MiB"),
        "{}",
        exit.stderr
    );
}

#[test]
fn an_answer_in_hand_is_better_than_a_place_in_the_queue() {
    let busy = Origin::with("busy", |_| Answer::held());
    let bad = Origin::with("bad", |_| Answer::status(503));
    let lb = Setup::new()
        .server(&busy, "max_connections: 1")
        .server(&bad, "")
        .pool("queue: {size: 10, timeout: 60s}\nretries: {on: [503]}")
        .start();
    let mut first = lb.client();
    // Whichever comes first: the one that is held fills the first server.
    first.send_request("GET", "/first", &[], b"").unwrap();
    let response = if busy.held() == 0 && {
        eventually(SOON, || busy.held() == 1 || bad.served() == 1);
        busy.held() == 0
    } {
        panic!("a 503 with a free server beside it was not tried there")
    } else {
        lb.get("/second", &[])
    };
    assert_eq!((response.status, response.origin()), (503, "bad"));
    busy.release_all();
    assert_eq!(first.read_response(false).unwrap().status, 200);
}

#[test]
fn an_exhausted_budget_passes_the_servers_answer_on() {
    let origins = ["a", "b"].map(|name| Origin::with(name, |_| Answer::status(503)));
    let lb = Setup::of(&origins)
        .pool("retries: {attempts: 5, on: [503]}")
        .start();
    for _ in 0..40 {
        let response = lb.get("/", &[]);
        assert_eq!(response.status, 503);
        assert!(response.header("x-origin").is_some(), "{response}");
    }
    assert!(retries(&lb, "budget_exhausted") > 0.0);
    let served: usize = origins.iter().map(Origin::served).sum();
    assert_eq!(served as f64, 40.0 + retries(&lb, "503"));
}
