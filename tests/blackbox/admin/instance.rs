//! The instance as a whole: reload, drain, configuration, refusals, certificates, events.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{ask, assert_problem, start, with_token};
use crate::common::*;

#[test]
fn a_reload_answers_with_what_changed_or_what_is_wrong() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = start(&Setup::of([&a]));
    lb.rewrite(&with_token(&Setup::of([&a, &b])).yaml());
    let done = ask(&lb, "POST", "/api/v1/reload", "");
    assert_eq!(done.status, 200, "{done}");
    let body = done.json();
    assert_eq!(body["result"], "success");
    assert!(
        body["changes"].to_string().contains("pools.app.servers"),
        "{body}"
    );
    assert_eq!(lb.server("app", "b")["state"], "up");
    let broken = Setup::of([&a]).pool("algoritm: x\nqueue: {siez: 1}");
    lb.rewrite(&with_token(&broken).yaml());
    let problem = assert_problem(&ask(&lb, "POST", "/api/v1/reload", ""), 422);
    let problems = problem["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2, "{problem}");
    assert!(
        problems[0].as_str().unwrap().contains("equipoise.yaml:"),
        "{problem}"
    );
    assert_eq!(lb.server("app", "b")["state"], "up", "what ran runs on");
    assert_eq!(lb.status()["reload"]["result"], "failure");
}

#[test]
fn a_drained_instance_is_not_ready_and_serves_on() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    let mut kept = lb.client();
    assert!(!kept.get("/", &[]).unwrap().has_token("connection", "close"));
    let drained = ask(&lb, "POST", "/api/v1/drain", "");
    assert_eq!(drained.json()["state"], "draining", "{drained}");
    let ready = lb.admin_get("/readyz");
    assert_eq!(ready.status, 503, "{ready}");
    assert_eq!(lb.admin_get("/healthz").status, 200);
    let told = kept.get("/", &[]).unwrap();
    assert!(told.has_token("connection", "close"), "{told}");
    assert_eq!(told.status, 200);
    assert!(kept.is_closed_by_peer());
    // Who comes late is served, too, and told.
    let fresh = || lb.client().get("/", &[]).unwrap();
    assert!(fresh().has_token("connection", "close"));
    let back = ask(&lb, "DELETE", "/api/v1/drain", "");
    assert_eq!(back.json()["state"], "running", "{back}");
    assert_eq!(lb.admin_get("/readyz").status, 200);
    assert!(!fresh().has_token("connection", "close"));
}

#[test]
fn a_drain_outlasts_a_crash_and_no_stop() {
    let a = Origin::start("a");
    let setup = Setup::of([&a]);
    let again = |mut lb: Equipoise, end: Signal| {
        lb.signal(end);
        lb.wait_exit(SOON);
        Equipoise::start_early_in(lb.take_dir(), &with_token(&setup).yaml())
    };
    let mut lb = start(&setup);
    assert_eq!(ask(&lb, "POST", "/api/v1/drain", "").status, 200);
    for _ in 0..2 {
        lb = again(lb, Signal::SIGKILL);
        assert_eq!(lb.status()["state"], "draining");
        assert_eq!(lb.admin_get("/readyz").status, 503);
        assert_eq!(get(lb.web(), "/", &[]).status, 200, "it serves on");
    }
    for stop in [Signal::SIGTERM, Signal::SIGINT] {
        lb = again(lb, stop);
        assert_eq!(lb.status()["state"], "running");
        eventually(SOON, || lb.admin_get("/readyz").status == 200);
        assert_eq!(ask(&lb, "POST", "/api/v1/drain", "").status, 200);
    }
    assert_eq!(ask(&lb, "DELETE", "/api/v1/drain", "").status, 200);
    lb = again(lb, Signal::SIGKILL);
    eventually(SOON, || lb.admin_get("/readyz").status == 200);
}

#[test]
fn a_drain_is_spread_over_its_time() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    let mut clients: Vec<_> = (0..40).map(|_| lb.client()).collect();
    for client in &mut clients {
        client.get("/", &[]).unwrap();
    }
    assert_eq!(ask(&lb, "POST", "/api/v1/drain?spread=7d", "").status, 200);
    let mut stay = 0;
    for client in &mut clients {
        stay += usize::from(
            !client
                .get("/", &[])
                .unwrap()
                .has_token("connection", "close"),
        );
    }
    assert!(stay >= 39, "{stay} of 40 stay for now");
    assert_problem(&ask(&lb, "POST", "/api/v1/drain?spread=soon", ""), 400);
    assert_problem(&ask(&lb, "POST", "/api/v1/drain?spred=1s", ""), 400);
}

#[test]
fn http2_connections_are_told_to_go() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    let http2 = h2::H2::connect(lb.web());
    assert_eq!(http2.get("/", &[]).unwrap().status, 200);
    assert_eq!(ask(&lb, "POST", "/api/v1/drain", "").status, 200);
    http2.wait_end().unwrap();
    assert_eq!(lb.admin_get("/readyz").status, 503);
}

#[test]
fn the_configuration_is_effective_and_as_the_operator_has_it() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb =
        start(&Setup::of([&a]).pool("health_check: {type: http, headers: {Authorization: hush}}"));
    let response = lb.admin_get("/api/v1/config");
    assert_eq!(response.header("content-type"), Some("application/json"));
    let config = response.json();
    let pool = &config["pools"]["app"];
    assert_eq!(pool["algorithm"], "weighted_round_robin");
    assert_eq!(pool["health_check"]["interval"], "5s");
    assert!(!response.text().contains("hush"), "secrets are hidden");
    let etag = response.header("etag").unwrap().to_owned();
    let known = [("If-None-Match", &*etag)];
    assert_eq!(get(lb.admin(), "/api/v1/config", &known).status, 304);
    let new = json!({"name": "b", "address": b.address().to_string(), "weight": 4});
    assert_eq!(
        ask(&lb, "POST", "/api/v1/pools/app/servers", &new.to_string()).status,
        201
    );
    assert_eq!(
        ask(
            &lb,
            "PATCH",
            "/api/v1/pools/app/servers/a",
            "{\"weight\":9}"
        )
        .status,
        200
    );
    let yaml = get(
        lb.admin(),
        "/api/v1/config",
        &[("Accept", "application/yaml")],
    );
    assert_eq!(yaml.header("content-type"), Some("application/yaml"));
    assert_ne!(yaml.header("etag"), Some(&*etag));
    let config = lb.admin_get("/api/v1/config").json();
    let servers = &config["pools"]["app"]["servers"];
    assert_eq!(
        (&servers[0]["weight"], &servers[1]["name"]),
        (&json!(9), &json!("b")),
        "{servers}"
    );
    // It is a configuration.
    let file = TempDir::new("dump");
    let path = file.write("dump.yaml", &yaml.text());
    let exit = Equipoise::command(&["check", path.to_str().unwrap()]);
    assert_eq!(exit.code(), Some(0), "{exit:?}");
}

#[test]
fn refused_requests_are_listed_with_their_reasons() {
    let a = Origin::start("a");
    let lb = start(
        &Setup::of([&a])
            .listener("routes: [{match: {path: /private}, deny: [\"127.0.0.0/8\"], pool: app}]"),
    );
    assert_eq!(lb.admin_get("/api/v1/refused").json(), json!([]));
    lb.get("/", &[]);
    assert_eq!(lb.get("/private?password=hush", &[]).status, 403);
    let long = format!("/{}", "x".repeat(300));
    let mut raw = lb.client();
    raw.send(format!(
        "GET {long} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
    ))
    .unwrap();
    assert_eq!(raw.read_response(false).unwrap().status, 400);
    let refused = eventually(SOON, || {
        let refused = lb.admin_get("/api/v1/refused").json();
        (refused.as_array()?.len() == 2).then_some(refused)
    });
    let (last, first) = (&refused[0], &refused[1]);
    assert_eq!(
        (&last["status"], &last["reason"]),
        (&json!(400), &json!("bad_request")),
        "{refused}"
    );
    assert_eq!(
        (&first["path"], &first["reason"]),
        (&json!("/private"), &json!("denied")),
        "{refused}"
    );
    assert_eq!(first["client"], "127.0.0.1");
    assert!(!refused.to_string().contains("hush"));
    assert!(
        refused.to_string().len() < 1500,
        "values are shortened: {refused}"
    );
    for _ in 0..120 {
        lb.get("/private", &[]);
    }
    eventually(SOON, || {
        let refused = lb.admin_get("/api/v1/refused").json();
        refused.as_array().unwrap().len() == 100
    });
}

#[test]
fn certificates_are_listed_and_only_those_of_acme_are_renewed() {
    let (a, pki) = (Origin::start("a"), Pki::new());
    let site = pki.leaf(&["www.example.com", "example.com"]);
    let tls = format!(
        "protocol: https\ntls: {{certificates: [{{cert: {}, key: {}}}]}}",
        site.cert.display(),
        site.key.display()
    );
    let lb = start(&Setup::of([&a]).listener(&tls));
    let listed = lb.admin_get("/api/v1/certificates").json();
    let one = &listed[0];
    assert_eq!(
        (&one["listener"], &one["source"]),
        (&json!("web"), &json!("file")),
        "{listed}"
    );
    assert_eq!(one["names"], json!(["www.example.com", "example.com"]));
    assert_eq!(one["file"], site.cert.display().to_string());
    assert!(one["expires_in_days"].as_i64().unwrap() > 0, "{listed}");
    assert_problem(&ask(&lb, "POST", "/api/v1/certificates/renew", ""), 404);
}

/// The next event of a stream: its id, name and data.
fn next_event(stream: &mut Client) -> (String, String, Value) {
    let (mut id, mut name, mut data) = (String::new(), String::new(), Value::Null);
    loop {
        let chunk = stream.read_chunk().unwrap();
        let text = String::from_utf8(chunk).unwrap();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("id: ") {
                rest.clone_into(&mut id);
            } else if let Some(rest) = line.strip_prefix("event: ") {
                rest.clone_into(&mut name);
            } else if let Some(rest) = line.strip_prefix("data: ") {
                data = serde_json::from_str(rest).unwrap();
            }
        }
        if !id.is_empty() {
            return (id, name, data);
        }
    }
}

fn watch(lb: &Equipoise, fields: &[(&str, &str)]) -> Client {
    let mut stream = Client::connect(lb.admin());
    stream
        .send_request("GET", "/api/v1/events", fields, b"")
        .unwrap();
    let head = stream.read_head().unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    stream
}

#[test]
fn events_come_as_they_happen_after_those_from_before() {
    let a = Origin::start("a");
    let lb =
        start(&Setup::of([&a]).pool(
            "health_check: {type: http, path: /health, interval: 100ms, fast_interval: 50ms}",
        ));
    lb.wait_state("app", "a", "up");
    assert_eq!(ask(&lb, "POST", "/api/v1/reload", "").status, 200);
    let mut stream = watch(&lb, &[]);
    let mut seen = Vec::new();
    let reload = loop {
        let event = next_event(&mut stream);
        seen.push(event.1.clone());
        if event.1 == "reload" {
            break event;
        }
    };
    assert!(seen.contains(&"server".to_owned()), "{seen:?}");
    assert_eq!(reload.2["result"], "success");
    assert!(reload.2["at"].as_str().unwrap().ends_with('Z'));
    a.set_health(503);
    let down = loop {
        let event = next_event(&mut stream);
        if event.1 == "server" {
            break event;
        }
    };
    assert_eq!(
        (&down.2["server"], &down.2["state"]),
        (&json!("a"), &json!("down"))
    );
    assert!(
        down.2["reason"].as_str().unwrap().contains("503"),
        "{down:?}"
    );
    // Whoever comes back gets what was missed, and no more.
    let mut again = watch(&lb, &[("Last-Event-ID", &reload.0)]);
    let first = next_event(&mut again);
    assert_eq!(first.0, down.0, "{first:?}");
    assert_eq!(
        ask(
            &lb,
            "PATCH",
            "/api/v1/pools/app/servers/a",
            "{\"weight\":2}"
        )
        .status,
        200
    );
    let change = loop {
        let event = next_event(&mut again);
        if event.1 == "operator" {
            break event;
        }
    };
    assert_eq!(
        (&change.2["change"], &change.2["what"]),
        (&json!("app/a"), &json!("weight 2"))
    );
}
