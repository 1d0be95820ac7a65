//! What becomes of a session when its server fails, drains, goes, comes back or is full: the same for
//! every type of persistence.

use super::{CHECKED, Type, Visitor, application, observed, reload, visitor::serve_sessions};
use crate::common::*;

/// A test for each scenario and type.
macro_rules! for_every_type {
    ($($scenario:ident)+) => {$(
        mod $scenario {
            use super::Type;
            #[test] fn cookie_insert() { super::$scenario(Type::Insert); }
            #[test] fn cookie_insert_name() { super::$scenario(Type::InsertName); }
            #[test] fn cookie_rewrite() { super::$scenario(Type::Rewrite); }
            #[test] fn cookie_prefix() { super::$scenario(Type::Prefix); }
            #[test] fn route() { super::$scenario(Type::Route); }
            #[test] fn route_cookie() { super::$scenario(Type::RouteCookie); }
            #[test] fn learn() { super::$scenario(Type::Learn); }
            #[test] fn source_ip() { super::$scenario(Type::SourceIp); }
        }
    )+};
}

for_every_type! {
    it_stays
    its_server_refuses
    its_server_refuses_and_reject_is_configured
    its_server_dies_mid_response
    its_server_is_down_and_comes_back
    its_server_is_down_and_reject_is_configured
    its_server_drains
    its_server_is_removed_and_comes_back
    its_server_is_removed_and_reject_is_configured
    its_full_server_is_waited_for
    its_server_stays_full
    its_server_stays_full_and_reject_is_configured
}

fn applications() -> [Origin; 3] {
    ["a", "b", "c"].map(application)
}

/// A visitor's request; who answered, and the log's word for its session.
#[track_caller]
fn asks(lb: &Equipoise, visitor: &mut Visitor) -> (String, String) {
    let (response, line) = observed(lb, || visitor.get("/"));
    assert_eq!(response.status, 200, "{response}");
    let word = line["persistence"].as_str().unwrap_or_default();
    (response.origin().to_owned(), word.to_owned())
}

/// A visitor's request that is refused since its session's server can't take it.
#[track_caller]
fn is_refused(lb: &Equipoise, visitor: &mut Visitor) {
    let (response, line) = observed(lb, || visitor.get("/"));
    assert_eq!(response.status, 503, "{response}");
    assert_eq!(line["persistence"], "unavailable", "{line}");
}

fn said(server: &str, word: &str) -> (String, String) {
    (server.to_owned(), word.to_owned())
}

fn it_stays(which: Type) {
    let origins = applications();
    let lb = Setup::of(&origins).pool(&which.yaml("")).start();
    let mut visitors: Vec<_> = ["a", "b", "c"].map(|s| (s, Visitor::with(&lb, s))).into();
    for _ in 0..4 {
        for (server, visitor) in &mut visitors {
            assert_eq!(asks(&lb, visitor), said(server, "hit"));
        }
    }
    let mut new = Visitor::new(&lb);
    assert_eq!(asks(&lb, &mut new).1, "miss");
}

/// It died after it was picked: nothing but the refused connection tells.
fn its_server_refuses(which: Type) {
    let origins = applications();
    let lb = Setup::of(&origins).pool(&which.yaml("")).start();
    let mut visitor = Visitor::with(&lb, "b");
    origins[1].stop();
    let (moved, word) = asks(&lb, &mut visitor);
    assert_ne!(moved, "b");
    assert_eq!(word, "rebalanced");
    let lines = lb.access_log();
    assert!(
        lines[lines.len() - 1]["attempts"].as_u64() >= Some(2),
        "{lines:?}"
    );
    // There it stays, also when its first server is back.
    assert_eq!(asks(&lb, &mut visitor), said(&moved, "hit"));
    origins[1].restart();
    for _ in 0..3 {
        assert_eq!(asks(&lb, &mut visitor), said(&moved, "hit"));
    }
}

fn its_server_refuses_and_reject_is_configured(which: Type) {
    let origins = applications();
    let lb = Setup::of(&origins)
        .pool(&which.yaml("on_unavailable: reject"))
        .start();
    let mut visitor = Visitor::with(&lb, "b");
    origins[1].stop();
    is_refused(&lb, &mut visitor);
    origins[1].restart();
    assert_eq!(asks(&lb, &mut visitor), said("b", "hit"));
}

/// What was begun can't be taken back: the client sees a response that breaks off, never one that
/// looks whole. The session stays, for the server may be well.
fn its_server_dies_mid_response(which: Type) {
    let origins = applications();
    let lb = Setup::of(&origins).pool(&which.yaml("")).start();
    let mut visitor = Visitor::with(&lb, "b");
    let others = origins[0].served() + origins[2].served();
    origins[1].script(|_| Answer::ResetMidBody(b"half of it".to_vec()));
    let mut client = visitor.send("/");
    let head = client.read_head().unwrap();
    assert_eq!((head.status, head.origin()), (200, "b"));
    origins[1].wait_held(1);
    origins[1].release(1);
    let length = head.header("content-length").unwrap().parse().unwrap();
    assert!(client.take(length).is_err(), "a whole response");
    assert_eq!(
        origins[0].served() + origins[2].served(),
        others,
        "sent again to another server"
    );
    visitor.keep(&head);
    serve_sessions(&origins[1]);
    assert_eq!(asks(&lb, &mut visitor), said("b", "hit"));
}

fn its_server_is_down_and_comes_back(which: Type) {
    let origins = applications();
    let lb = Setup::of(&origins)
        .pool(&which.yaml(""))
        .pool(CHECKED)
        .start();
    for server in ["a", "b", "c"] {
        lb.wait_state("app", server, "up");
    }
    let (mut comes, mut stays_away) = (Visitor::with(&lb, "b"), Visitor::with(&lb, "b"));
    origins[1].set_health(500);
    lb.wait_state("app", "b", "down");
    let (moved, word) = asks(&lb, &mut comes);
    assert_ne!(moved, "b");
    assert_eq!(word, "rebalanced");
    assert_eq!(asks(&lb, &mut comes), said(&moved, "hit"));
    let log = lb.stderr();
    assert!(
        log.lines()
            .any(|l| l.contains("session's server is unavailable") && l.contains("500")),
        "the log says why: {log}"
    );

    origins[1].set_health(200);
    lb.wait_state("app", "b", "up");
    assert_eq!(
        asks(&lb, &mut comes),
        said(&moved, "hit"),
        "who has moved isn't moved again"
    );
    assert_eq!(
        asks(&lb, &mut stays_away),
        said("b", "hit"),
        "who wasn't there meanwhile has noticed nothing"
    );
}

fn its_server_is_down_and_reject_is_configured(which: Type) {
    let origins = applications();
    let lb = Setup::of(&origins)
        .pool(&which.yaml("on_unavailable: reject"))
        .pool(CHECKED)
        .start();
    for server in ["a", "b", "c"] {
        lb.wait_state("app", server, "up");
    }
    let mut visitor = Visitor::with(&lb, "b");
    origins[1].set_health(500);
    lb.wait_state("app", "b", "down");
    is_refused(&lb, &mut visitor);
    assert_eq!(Visitor::new(&lb).get("/").status, 200, "others are served");
    origins[1].set_health(200);
    lb.wait_state("app", "b", "up");
    assert_eq!(asks(&lb, &mut visitor), said("b", "hit"));
}

/// Weight 0: its sessions stay, and no new one comes.
fn its_server_drains(which: Type) {
    let origins = applications();
    let with = |weight: &str| {
        Setup::new()
            .server(&origins[0], "")
            .server(&origins[1], weight)
            .pool(&which.yaml(""))
    };
    let lb = with("").start();
    let mut visitor = Visitor::with(&lb, "b");
    reload(&lb, &with("weight: 0"));
    for _ in 0..3 {
        assert_eq!(asks(&lb, &mut visitor), said("b", "hit"));
        assert_eq!(asks(&lb, &mut Visitor::new(&lb)), said("a", "miss"));
    }
    // Once it is gone, it is gone: nobody waits for it.
    origins[1].stop();
    assert_eq!(asks(&lb, &mut visitor), said("a", "rebalanced"));
}

fn its_server_is_removed_and_comes_back(which: Type) {
    let origins = applications();
    let all = Setup::of(&origins).pool(&which.yaml(""));
    let lb = all.start();
    let (mut comes, mut stays_away) = (Visitor::with(&lb, "b"), Visitor::with(&lb, "b"));
    let mut other = Visitor::with(&lb, "c");
    reload(
        &lb,
        &Setup::of([&origins[2], &origins[0]]).pool(&which.yaml("")),
    );
    assert_eq!(asks(&lb, &mut other), said("c", "hit"), "nobody else moves");
    let (moved, word) = asks(&lb, &mut comes);
    assert_ne!(moved, "b");
    // A name in a cookie is nobody's signature: whether there ever was a server of that name isn't known.
    let expected = match which {
        Type::InsertName => "invalid",
        _ => "rebalanced",
    };
    assert_eq!(word, expected);
    assert_eq!(asks(&lb, &mut comes), said(&moved, "hit"));

    reload(&lb, &all);
    assert_eq!(asks(&lb, &mut comes), said(&moved, "hit"));
    assert_eq!(asks(&lb, &mut stays_away), said("b", "hit"));
    assert_eq!(asks(&lb, &mut other), said("c", "hit"));
}

fn its_server_is_removed_and_reject_is_configured(which: Type) {
    let origins = applications();
    let yaml = which.yaml("on_unavailable: reject");
    let lb = Setup::of(&origins).pool(&yaml).start();
    let mut visitor = Visitor::with(&lb, "b");
    reload(&lb, &Setup::of([&origins[0], &origins[2]]).pool(&yaml));
    if which == Type::InsertName {
        // Treated as no cookie: see above.
        assert_eq!(asks(&lb, &mut visitor).1, "invalid");
    } else {
        is_refused(&lb, &mut visitor);
    }
}

/// One server with room for one request, and another one with room for all.
fn narrow(which: Type, more: &str, queue: &str) -> ([Origin; 2], Equipoise) {
    let origins = ["a", "b"].map(application);
    let lb = Setup::new()
        .server(&origins[0], "max_connections: 1")
        .server(&origins[1], "")
        .pool(&which.yaml(more))
        .pool(queue)
        .start();
    (origins, lb)
}

fn its_full_server_is_waited_for(which: Type) {
    let (origins, lb) = narrow(which, "", "queue: {size: 10, timeout: 10s}");
    let (one, two) = (Visitor::with(&lb, "a"), Visitor::with(&lb, "a"));
    lb.wait_idle();
    origins[0].script(|_| Answer::held());
    let mut first = one.send("/first");
    origins[0].wait_held(1);
    let mut second = two.send("/second");
    eventually(SOON, || {
        lb.metrics()
            .value("equipoise_queue_length", &[("pool", "app")])
            == 1.0
    });
    origins[0].release_all();
    assert_eq!(first.read_response(false).unwrap().origin(), "a");
    assert_eq!(second.read_response(false).unwrap().origin(), "a");
    let line = lb.wait_logged(|l| l["path"] == "/second");
    assert_eq!(line["persistence"], "hit");
    assert_eq!(origins[0].most_in_flight(), 1);
}

fn its_server_stays_full(which: Type) {
    its_server_stays_full_with(which, "");
}

/// Full is not unavailable: no session was lost, so there is nothing to reject.
fn its_server_stays_full_and_reject_is_configured(which: Type) {
    its_server_stays_full_with(which, "on_unavailable: reject");
}

fn its_server_stays_full_with(which: Type, more: &str) {
    let (origins, lb) = narrow(which, more, "queue: {size: 10, timeout: 200ms}");
    let (one, mut two) = (Visitor::with(&lb, "a"), Visitor::with(&lb, "a"));
    lb.wait_idle();
    origins[0].script(|_| Answer::held());
    let mut first = one.send("/first");
    origins[0].wait_held(1);
    let moved = two.get("/second");
    assert_eq!((moved.status, moved.origin()), (200, "b"));
    let line = lb.wait_logged(|l| l["path"] == "/second");
    assert_eq!(line["persistence"], "rebalanced", "{line}");
    // It has moved for good.
    assert_eq!(two.get("/third").origin(), "b");
    assert_eq!(
        lb.wait_logged(|l| l["path"] == "/third")["persistence"],
        "hit"
    );
    origins[0].release_all();
    assert_eq!(first.read_response(false).unwrap().origin(), "a");
}
