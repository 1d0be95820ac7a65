//! Servers changed, added and removed while requests go on.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{ask, ask_with, assert_problem, start, with_token};
use crate::common::*;

const SERVERS: &str = "/api/v1/pools/app/servers";

fn of(server: &str) -> String {
    format!("{SERVERS}/{server}")
}

#[track_caller]
fn patch(lb: &Equipoise, server: &str, change: Value) -> Value {
    let response = ask(lb, "PATCH", &of(server), &change.to_string());
    assert_eq!(response.status, 200, "{response}");
    response.json()
}

/// How often each of the origins answers of so many requests.
fn answers(lb: &Equipoise, requests: usize) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    let mut client = lb.client();
    for _ in 0..requests {
        let origin = client.get("/", &[]).unwrap().origin().to_owned();
        *counts.entry(origin).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

fn share(origin: &str, count: usize) -> (String, usize) {
    (origin.to_owned(), count)
}

#[test]
fn a_weight_counts_from_the_next_request_on() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = start(&Setup::of([&a, &b]));
    let changed = patch(&lb, "a", json!({"weight": 3}));
    assert_eq!(
        (&changed["weight"], &changed["overridden"]),
        (&json!(3), &json!(["weight"]))
    );
    assert_eq!(answers(&lb, 8), [share("a", 6), share("b", 2)]);
    let drained = patch(&lb, "a", json!({"weight": 0}));
    assert_eq!(
        (&drained["state"], &drained["reason"]),
        (&json!("drain"), &json!("its weight is 0"))
    );
    // Back to what the file says.
    let changed = patch(&lb, "a", json!({"weight": null}));
    assert_eq!(
        (&changed["weight"], &changed["overridden"]),
        (&json!(1), &json!([]))
    );
    assert_eq!(answers(&lb, 8), [share("a", 4), share("b", 4)]);
}

#[test]
fn a_drained_server_keeps_its_sessions_and_one_in_maintenance_keeps_none() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = start(&Setup::of([&a, &b]).pool("persistence: {type: cookie_insert}"));
    let cookie = loop {
        let response = lb.get("/", &[]);
        if response.origin() == "a" {
            break format!("SERVERID={}", response.cookie("SERVERID").unwrap());
        }
    };
    patch(&lb, "a", json!({"state": "drain"}));
    assert_eq!(lb.server("app", "a")["state"], "drain");
    assert_eq!(answers(&lb, 4), [share("b", 4)]);
    assert_eq!(lb.get("/", &[("Cookie", &cookie)]).origin(), "a");
    // HAProxy's word.
    let changed = patch(&lb, "a", json!({"state": "maint"}));
    assert_eq!(changed["operator"], "maintenance");
    assert_eq!(lb.get("/", &[("Cookie", &cookie)]).origin(), "b");
    patch(&lb, "a", json!({"state": "ready"}));
    assert_eq!(answers(&lb, 4), [share("a", 2), share("b", 2)]);
}

#[test]
fn a_limit_counts_at_once() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    patch(&lb, "a", json!({"max_connections": 1}));
    a.script(|_| Answer::held());
    let mut first = lb.client();
    first.send_request("GET", "/", &[], b"").unwrap();
    a.wait_held(1);
    assert_eq!(lb.get("/", &[]).status, 503);
    a.release_all();
    assert_eq!(first.read_response(false).unwrap().status, 200);
}

#[test]
fn wait_answers_when_the_server_is_idle_or_the_time_is_over() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    a.script(|_| Answer::held());
    let mut first = lb.client();
    first.send_request("GET", "/", &[], b"").unwrap();
    a.wait_held(1);
    let busy = patch(&lb, "a", json!({"state": "drain", "wait": "50ms"}));
    assert_eq!(busy["active"], 1);
    let waiting = {
        let admin = lb.admin();
        let token = format!("Bearer {}", super::TOKEN);
        std::thread::spawn(move || {
            let body = br#"{"state": "drain", "wait": "60s"}"#;
            let fields = [("Authorization", &*token)];
            Client::connect(admin).request("PATCH", &of("a"), &fields, body)
        })
    };
    assert_eq!(lb.server("app", "a")["operator"], "drain");
    a.release_all();
    assert_eq!(first.read_response(false).unwrap().status, 200);
    let idle = waiting.join().unwrap().unwrap();
    assert_eq!(idle.json()["active"], 0, "{idle}");
}

#[test]
fn servers_come_and_go() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = start(&Setup::of([&a]).pool("persistence: {type: cookie_insert}\nslow_start: 0s"));
    let new = json!({"name": "b", "address": b.address().to_string(), "weight": 3});
    let added = ask(&lb, "POST", SERVERS, &new.to_string());
    assert_eq!(added.status, 201, "{added}");
    assert_eq!(
        added.header("location"),
        Some("/api/v1/pools/app/servers/b")
    );
    let body = added.json();
    assert_eq!(
        (&body["source"], &body["weight"]),
        (&json!("api"), &json!(3))
    );
    assert_eq!(answers(&lb, 8), [share("a", 2), share("b", 6)]);
    assert_eq!(lb.server("app", "a")["source"], "file");
    // Sessions are bound to it like to any other.
    let cookie = loop {
        let response = lb.get("/", &[]);
        if response.origin() == "b" {
            break format!("SERVERID={}", response.cookie("SERVERID").unwrap());
        }
    };
    assert_eq!(lb.get("/", &[("Cookie", &cookie)]).origin(), "b");
    assert_problem(&ask(&lb, "POST", SERVERS, &new.to_string()), 409);
    // What it is working on goes on.
    b.script(|_| Answer::held());
    let mut under_way = lb.client();
    under_way
        .send_request("GET", "/", &[("Cookie", &cookie)], b"")
        .unwrap();
    b.wait_held(1);
    assert_eq!(ask(&lb, "DELETE", &of("b"), "").status, 204);
    assert_problem(&lb.admin_get(&of("b")), 404);
    assert_eq!(answers(&lb, 3), [share("a", 3)]);
    b.release_all();
    assert_eq!(under_way.read_response(false).unwrap().origin(), "b");
    assert_problem(&ask(&lb, "DELETE", &of("b"), ""), 404);
    assert!(!lb.metrics().has("equipoise_server_up", &[("server", "b")]));
}

#[test]
fn a_server_is_drained_before_it_is_removed() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = start(&Setup::of([&a, &b]));
    a.script(|_| Answer::held());
    b.script(|_| Answer::held());
    let mut clients = [lb.client(), lb.client()];
    for client in &mut clients {
        client.send_request("GET", "/", &[], b"").unwrap();
    }
    a.wait_held(1);
    b.wait_held(1);
    let removing = {
        let admin = lb.admin();
        let token = format!("Bearer {}", super::TOKEN);
        std::thread::spawn(move || {
            let fields = [("Authorization", &*token)];
            Client::connect(admin).request("DELETE", &format!("{}?wait=60s", of("a")), &fields, b"")
        })
    };
    eventually(SOON, || lb.server("app", "a")["operator"] == "drain");
    a.release_all();
    assert_eq!(removing.join().unwrap().unwrap().status, 204);
    assert_problem(&lb.admin_get(&of("a")), 404);
    let status = lb.status();
    assert_eq!(status["pools"][0]["removed"], json!(["a"]));
    b.release_all();
    for client in &mut clients {
        assert_eq!(client.read_response(false).unwrap().status, 200);
    }
}

#[test]
fn changes_last_over_reloads_and_restarts_until_the_file_says_otherwise() {
    let origins = ["a", "b", "c", "d"].map(Origin::start);
    let [a, b, c, d] = &origins;
    let setup = Setup::new()
        .server(a, "weight: 1")
        .server(b, "weight: 1")
        .server(c, "");
    let lb = start(&setup);
    patch(&lb, "a", json!({"state": "drain", "weight": 5}));
    patch(&lb, "b", json!({"weight": 7, "max_connections": 9}));
    assert_eq!(ask(&lb, "DELETE", &of("c"), "").status, 204);
    let new = json!({"name": "d", "address": d.address().to_string()});
    assert_eq!(ask(&lb, "POST", SERVERS, &new.to_string()).status, 201);
    patch(&lb, "d", json!({"state": "maintenance", "weight": 4}));
    let check = |lb: &Equipoise| {
        let (a, b, d) = (
            lb.server("app", "a"),
            lb.server("app", "b"),
            lb.server("app", "d"),
        );
        assert_eq!((&a["operator"], &a["weight"]), (&json!("drain"), &json!(5)));
        assert_eq!(
            (&b["weight"], &b["max_connections"]),
            (&json!(7), &json!(9))
        );
        assert_eq!(
            (&d["operator"], &d["weight"]),
            (&json!("maintenance"), &json!(4))
        );
        assert_eq!(lb.status()["pools"][0]["removed"], json!(["c"]));
    };
    check(&lb);
    assert_eq!(ask(&lb, "POST", "/api/v1/reload", "").status, 200);
    check(&lb);
    let dir = lb.into_dir();
    let lb = with_token(&setup).start_in(dir);
    check(&lb);
    assert_eq!(answers(&lb, 4), [share("b", 4)]);
    // The file changes a's weight, brings d, and moves c.
    let other = Setup::new()
        .server(a, "weight: 2")
        .server(b, "weight: 1")
        .server_at("c", &d.address().to_string(), "")
        .server_at("d", &c.address().to_string(), "weight: 3");
    lb.rewrite(&with_token(&other).yaml());
    assert_eq!(ask(&lb, "POST", "/api/v1/reload", "").status, 200);
    let servers = lb.admin_get(SERVERS).json();
    let seen: Vec<_> = servers
        .as_array()
        .unwrap()
        .iter()
        .map(|s| {
            (
                s["name"].as_str().unwrap(),
                s["weight"].as_u64().unwrap(),
                s["operator"].as_str().unwrap(),
                s["source"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("a", 2, "drain", "file"),
            ("b", 7, "ready", "file"),
            ("c", 1, "ready", "file"),
            ("d", 3, "ready", "file"),
        ]
    );
}

#[test]
fn changes_that_cannot_be_read_stop_no_start() {
    let a = Origin::start("a");
    let dir = TempDir::new("broken");
    let setup = Setup::of([&a]).top("server: {state_dir: \"@DIR@/state\"}");
    dir.write("state/overrides.json", "{ not json");
    let lb = setup.start_in(dir);
    assert_eq!(lb.get("/", &[]).status, 200);
    assert!(lb.stderr().contains("overrides.json"), "{}", lb.stderr());
}

#[test]
fn nobody_changes_what_has_changed_since() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    let seen = lb.admin_get(&of("a"));
    let etag = seen.header("etag").unwrap().to_owned();
    let stale = [("If-Match", &*etag)];
    let changed = ask_with(&lb, "PATCH", &of("a"), &stale, "{\"weight\":2}");
    assert_eq!(changed.status, 200, "{changed}");
    assert_ne!(changed.header("etag"), Some(&*etag));
    assert_problem(
        &ask_with(&lb, "PATCH", &of("a"), &stale, "{\"weight\":3}"),
        412,
    );
    assert_problem(&ask_with(&lb, "DELETE", &of("a"), &stale, ""), 412);
    let disconnect = format!("{}/disconnect", of("a"));
    assert_problem(&ask_with(&lb, "POST", &disconnect, &stale, ""), 412);
    assert_eq!(lb.server("app", "a")["weight"], 2);
    let now = changed.header("etag").unwrap().to_owned();
    // Requests change nothing that is tagged.
    lb.get("/", &[]);
    let list = format!("\"x\", {now}");
    let fields = [("If-Match", &*list)];
    assert_eq!(
        ask_with(&lb, "PATCH", &of("a"), &fields, "{\"weight\":3}").status,
        200
    );
    let any = [("If-Match", "*")];
    assert_eq!(ask_with(&lb, "DELETE", &of("a"), &any, "").status, 204);
}

#[test]
fn what_makes_no_sense_is_told_and_changes_nothing() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    for (method, target, body, status) in [
        ("PATCH", of("a"), "{\"state\":\"up\"}", 422),
        ("PATCH", of("a"), "{\"weight\":65536}", 422),
        ("PATCH", of("a"), "{\"weight\":2,\"wieght\":1}", 422),
        ("PATCH", of("a"), "{\"weight\":2", 400),
        ("PATCH", of("a"), "", 400),
        ("PATCH", of("b"), "{\"weight\":2}", 404),
        ("PATCH", "/api/v1/pools/x/servers/a".to_owned(), "{}", 404),
        ("POST", SERVERS.to_owned(), "{\"name\":\"b\"}", 422),
        (
            "POST",
            SERVERS.to_owned(),
            "{\"name\":\"b\",\"address\":\"1.2.3.4\"}",
            422,
        ),
        (
            "POST",
            SERVERS.to_owned(),
            "{\"name\":\"b c\",\"address\":\"1.2.3.4:5\"}",
            422,
        ),
        (
            "POST",
            "/api/v1/pools/x/servers".to_owned(),
            "{\"address\":\"1.2.3.4:5\"}",
            404,
        ),
        ("DELETE", format!("{}?wait=soon", of("a")), "", 400),
        ("DELETE", format!("{}?what=1", of("a")), "", 400),
        ("PUT", of("a"), "{}", 405),
    ] {
        let response = ask(&lb, method, &target, body);
        let problem = assert_problem(&response, status);
        let detail = problem["detail"].as_str().unwrap();
        assert!(!detail.contains("deserialize"), "{detail}");
    }
    let huge = format!("{{\"state\":\"{}\"}}", "x".repeat(100_000));
    assert_problem(&ask(&lb, "PATCH", &of("a"), &huge), 413);
    let server = lb.server("app", "a");
    assert_eq!(
        (&server["weight"], &server["overridden"]),
        (&json!(1), &json!([]))
    );
    let log = lb.stderr();
    assert!(!log.contains("actor="), "{log}");
}

#[test]
fn connections_to_a_server_are_ended() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]).pool("retries: {attempts: 0}"));
    a.script(|request| match &*request.target {
        "/held" => Answer::held(),
        _ => Answer::ok(),
    });
    // On a connection that was used before it would be tried again.
    let mut under_way = lb.client();
    under_way.send_request("GET", "/held", &[], b"").unwrap();
    a.wait_held(1);
    // One that is idle.
    lb.get("/", &[]);
    let ended = ask(&lb, "POST", &format!("{}/disconnect", of("a")), "");
    assert_eq!(ended.status, 200, "{ended}");
    assert_eq!(ended.json()["connections"], 2, "{ended}");
    assert_eq!(under_way.read_response(false).unwrap().status, 502);
    a.release_all();
    assert_eq!(lb.get("/", &[]).status, 200, "new ones are made");
    lb.wait_idle_servers();
    assert_problem(
        &ask(&lb, "POST", &format!("{}/disconnect", of("x")), ""),
        404,
    );
}

#[test]
fn a_response_that_ends_with_its_connection_is_not_taken_for_complete() {
    let origin = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = origin.local_addr().unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let serving = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = origin.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf";
        stream.write_all(head.as_bytes()).unwrap();
        let _ = held.recv();
    });
    let setup = Setup::new().server_at("a", &address.to_string(), "");
    let lb = start(&setup.pool("retries: {attempts: 0}"));
    let mut client = lb.client();
    client.send_request("GET", "/", &[], b"").unwrap();
    let head = client.read_head().unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(
        ask(&lb, "POST", &format!("{}/disconnect", of("a")), "").status,
        200
    );
    let rest = client.read_to_end();
    let is_whole = rest.is_ok_and(|rest| rest.ends_with(b"0\r\n\r\n"));
    assert!(!is_whole);
    drop(release);
    serving.join().unwrap();
}

#[test]
fn a_change_during_a_reload_is_lost_by_neither() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = start(&Setup::of([&a, &b]));
    for weight in 2..40 {
        lb.signal(Signal::SIGHUP);
        patch(&lb, "a", json!({"weight": weight}));
        assert_eq!(lb.server("app", "a")["weight"], weight);
    }
    assert_eq!(ask(&lb, "POST", "/api/v1/reload", "").status, 200);
    assert_eq!(lb.server("app", "a")["weight"], 39);
}
