//! A client that brings several sessions of one pool, as it does after the cookie's `domain` or `path` was changed: the
//! first counts whose server can take the request, in every type whose sessions the message itself brings.

use super::{CHECKED, Type, Visitor, application, observed};
use crate::common::h2::H2;
use crate::common::*;

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
        }
    )+};
}

for_every_type! {
    the_first_one_counts
    a_server_that_is_down_is_passed_over
    a_server_that_refuses_is_passed_over
    a_server_that_refuses_is_passed_over_and_reject_is_configured
    without_any_server_the_session_moves
    without_any_server_it_is_refused_if_reject_is_configured
    a_server_that_stays_full_is_passed_over
}

fn applications() -> [Origin; 3] {
    ["a", "b", "c"].map(application)
}

/// The cookies of sessions with those servers, one `Cookie` line each.
fn sessions(lb: &Equipoise, servers: &[&str]) -> Vec<String> {
    let session = |server: &&str| Visitor::with(lb, server).cookies();
    servers.iter().map(session).collect()
}

/// Asks with these `Cookie` lines: who answered, the log's word for the session, and whether a cookie was set.
#[track_caller]
fn asks(lb: &Equipoise, lines: &[&str]) -> (String, String, bool) {
    let headers: Vec<_> = lines.iter().map(|line| ("Cookie", *line)).collect();
    let (response, line) = observed(lb, || lb.get("/", &headers));
    assert_eq!(response.status, 200, "{response}");
    let word = line["persistence"].as_str().unwrap_or_default();
    let set = response.header("set-cookie").is_some();
    (response.origin().to_owned(), word.to_owned(), set)
}

/// Several times, in one `Cookie` line and in several: always that server, and nothing is set anew.
#[track_caller]
fn stays_with(lb: &Equipoise, which: Type, sessions: &[String], server: &str) {
    let lines: Vec<&str> = sessions.iter().map(String::as_str).collect();
    let one = lines.join("; ");
    for lines in [&[&*one][..], &lines, &lines, &[&*one]] {
        let (origin, word, set) = asks(lb, lines);
        assert_eq!((&*origin, &*word), (server, "hit"), "{lines:?}");
        // The servers of rewritten cookies don't know their own, and set them every time.
        assert!(
            !set || which == Type::Rewrite,
            "a cookie was set: {lines:?}"
        );
    }
}

fn the_first_one_counts(which: Type) {
    let origins = applications();
    let lb = Setup::of(&origins).pool(&which.yaml("")).start();
    let sessions = sessions(&lb, &["b", "a", "c"]);
    stays_with(&lb, which, &sessions, "b");
}

fn a_server_that_is_down_is_passed_over(which: Type) {
    let origins = applications();
    let lb = Setup::of(&origins)
        .pool(&which.yaml(""))
        .pool(CHECKED)
        .start();
    for origin in ["a", "b", "c"] {
        lb.wait_state("app", origin, "up");
    }
    let sessions = sessions(&lb, &["a", "b"]);
    origins[0].set_health(500);
    lb.wait_state("app", "a", "down");
    stays_with(&lb, which, &sessions, "b");
    origins[0].set_health(200);
    lb.wait_state("app", "a", "up");
    stays_with(&lb, which, &sessions, "a");
}

/// Nothing but the refused connection tells.
fn a_server_that_refuses_is_passed_over(which: Type) {
    let origins = applications();
    let lb = Setup::of(&origins).pool(&which.yaml("")).start();
    let sessions = sessions(&lb, &["a", "c"]);
    origins[0].stop();
    stays_with(&lb, which, &sessions, "c");
}

fn a_server_that_refuses_is_passed_over_and_reject_is_configured(which: Type) {
    let origins = applications();
    let lb = Setup::of(&origins)
        .pool(&which.yaml("on_unavailable: reject"))
        .start();
    let sessions = sessions(&lb, &["a", "c"]);
    origins[0].stop();
    stays_with(&lb, which, &sessions, "c");
}

fn without_any_server_the_session_moves(which: Type) {
    let origins = applications();
    let lb = Setup::of(&origins).pool(&which.yaml("")).start();
    let sessions = sessions(&lb, &["a", "b"]);
    origins[0].stop();
    origins[1].stop();
    let (origin, word, set) = asks(&lb, &[&sessions.join("; ")]);
    assert_eq!((&*origin, &*word), ("c", "rebalanced"));
    assert!(set);
}

fn without_any_server_it_is_refused_if_reject_is_configured(which: Type) {
    let origins = applications();
    let lb = Setup::of(&origins)
        .pool(&which.yaml("on_unavailable: reject"))
        .start();
    let sessions = sessions(&lb, &["a", "b"]);
    origins[0].stop();
    origins[1].stop();
    let cookies = sessions.join("; ");
    let (response, line) = observed(&lb, || lb.get("/", &[("Cookie", &cookies)]));
    assert_eq!(response.status, 503, "{response}");
    assert_eq!(line["persistence"], "unavailable", "{line}");
}

fn a_server_that_stays_full_is_passed_over(which: Type) {
    let origins = applications();
    let setup = Setup::new()
        .server(&origins[0], "max_connections: 2")
        .server(&origins[1], "")
        .server(&origins[2], "")
        .pool(&which.yaml(""));
    let lb = setup.start();
    let sessions = sessions(&lb, &["a", "b"]);
    lb.wait_idle_servers();
    origins[0].script(|_| Answer::held());
    let held = [(); 2].map(|()| {
        let mut client = lb.client();
        client
            .send_request("GET", "/", &[("Cookie", &sessions[0])], b"")
            .unwrap();
        client
    });
    origins[0].wait_held(2);
    stays_while_held(&lb, which, &sessions);
    origins[0].release_all();
    for mut client in held {
        assert_eq!(client.read_response(false).unwrap().status, 200);
    }
}

/// As [`stays_with`] `b`, while a request is under way, so that the log can't be waited for.
fn stays_while_held(lb: &Equipoise, which: Type, sessions: &[String]) {
    for _ in 0..3 {
        let response = lb.get("/", &[("Cookie", &sessions.join("; "))]);
        assert_eq!(response.origin(), "b", "{response}");
        let set = response.header("set-cookie").is_some();
        assert!(!set || which == Type::Rewrite, "{response}");
    }
}

/// What a server gets of them: of a cookie of ours nothing, of one with a token in front its own values, each.
#[test]
fn the_server_sees_none_of_our_cookies_and_all_of_its_own() {
    let origins = applications();
    let lb = Setup::of(&origins).pool(&Type::Insert.yaml("")).start();
    let mine = sessions(&lb, &["a", "b"]);
    origins[0].stop();
    let own: Vec<_> = mine.iter().map(|line| part(line, "app=")).collect();
    for lines in [vec![mine.join("; ")], mine.clone()] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let seen = super::cookies_at(&lb, &origins[1], &lines);
        assert_eq!(seen.join("; "), own.join("; "));
    }

    let origins = applications();
    let lb = Setup::of(&origins).pool(&Type::Prefix.yaml("")).start();
    let mine = sessions(&lb, &["a", "b"]);
    origins[0].stop();
    let lines: Vec<&str> = mine.iter().map(String::as_str).collect();
    let seen = super::cookies_at(&lb, &origins[1], &lines);
    for (seen, sent) in seen.iter().zip(&mine) {
        let (_, original) = sent.split_once('~').unwrap();
        assert_eq!(*seen, format!("app={original}"));
    }
    assert_eq!(seen.len(), 2);
}

fn part(line: &str, name: &str) -> String {
    let mut pairs = line.split("; ");
    pairs
        .find(|pair| pair.starts_with(name))
        .unwrap()
        .to_owned()
}

/// HTTP/2 may send each pair in a field of its own.
#[test]
fn cookies_that_come_in_crumbs_are_the_same() {
    let origins = applications();
    let lb = Setup::of(&origins).pool(&Type::Insert.yaml("")).start();
    let mine = sessions(&lb, &["a", "c"]).join("; ");
    origins[0].stop();
    let client = H2::connect(lb.web());
    let crumbs: Vec<_> = mine.split("; ").map(|pair| ("cookie", pair)).collect();
    for _ in 0..3 {
        let response = client.get("/", &crumbs).unwrap();
        assert_eq!(response.origin(), "c", "{response}");
        assert_eq!(response.set_cookie("SERVERID"), None, "{response}");
        let seen = origins[2].last_request();
        let seen = seen.headers_of("cookie").join("; ");
        assert!(!seen.contains("SERVERID"), "{seen}");
        assert_eq!(seen.matches("app=").count(), 2, "{seen}");
    }
}

/// A session id in the cookie and others in the path and the query are several sessions.
#[test]
fn sources_of_a_route_are_several_sessions() {
    let origins = applications();
    let lb = Setup::of(&origins)
        .pool("persistence: {type: route, cookie: app, path_parameter: sid, query_parameter: sid}")
        .start();
    origins[0].stop();
    for (target, cookie, server) in [
        ("/p;sid=1.b", "app=1.a", "b"),
        ("/p;sid=1.a?sid=1.c", "app=1.a", "c"),
        ("/p?x=1&sid=1.a&sid=1.b", "other=1", "b"),
        ("/p;sid=1.c?sid=1.b", "app=1.a; app=2.a", "c"),
    ] {
        for _ in 0..3 {
            let response = lb.get(target, &[("Cookie", cookie)]);
            assert_eq!(response.origin(), server, "{target} with {cookie}");
        }
    }
}
