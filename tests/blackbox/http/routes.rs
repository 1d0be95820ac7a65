//! What of routes isn't matching: their timeouts towards servers, TRACE, and how requests are answered that none takes.

use std::time::Duration;

use crate::common::h2_origin::Reply as H2Reply;
use crate::common::*;

const SLOW: &str = "routes:
  - match: {path_prefix: /slow}
    timeouts: {receive: 300ms, connect: 1s, send: 1s}";

#[test]
fn a_route_has_timeouts_of_its_own() {
    let origin = Origin::with("a", |_| Answer::Never);
    let lb = Setup::of([&origin])
        .pool("timeouts: {receive: 60s}\nretries: {attempts: 0}")
        .listener(SLOW)
        .start();
    assert_eq!(lb.get("/slow/answer", &[]).status, 504);
    let line = lb.wait_logged(|line| line["path"] == "/slow/answer");
    assert_eq!(line["termination"], "server_timeout");
    assert_eq!(line["route"], "0");
    // What the route doesn't take has the pool's.
    let mut other = lb.client();
    other
        .send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    other.set_timeout(Duration::from_millis(900));
    assert!(other.read_head().is_err(), "answered");
}

#[test]
fn a_route_to_http2_servers_has_timeouts_of_its_own() {
    let origin = H2Origin::start(|_| H2Reply {
        never: true,
        ..H2Reply::default()
    });
    let lb = Setup::new()
        .server_at("a", &origin.address().to_string(), "")
        .pool("http2: true\nretries: {attempts: 0}")
        .listener(SLOW)
        .start();
    assert_eq!(lb.get("/slow", &[]).status, 504);
}

#[test]
fn trace_is_off_and_can_be_had() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    let refused = client
        .request("TRACE", "/", &[("Cookie", "secret=1")], b"")
        .unwrap();
    assert_eq!(refused.status, 405);
    assert!(!refused.text().contains("secret"));
    // The connection goes on.
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    assert_eq!(origin.served(), 1);
    assert_eq!(
        lb.wait_logged(|line| line["method"] == "TRACE")["termination"],
        "unsupported"
    );
    let lb = Setup::of([&origin]).listener("http: {trace: true}").start();
    assert_eq!(
        lb.client().request("TRACE", "/", &[], b"").unwrap().status,
        200
    );
    assert_eq!(origin.last_request().method, "TRACE");
}

#[test]
fn what_no_route_takes_and_no_pool_is_404() {
    let origin = Origin::start("a");
    let yaml = Setup::of([&origin])
        .listener("routes:\n  - match: {path: /here}\n    name: here\n    pool: app")
        .yaml()
        .replacen("    pool: app\n", "", 1);
    let lb = Equipoise::start(&yaml);
    let mut client = lb.client();
    let refused = client.get("/there", &[]).unwrap();
    assert_eq!(refused.status, 404);
    assert!(refused.text().contains("There is nothing at this address"));
    assert_eq!(client.get("/here", &[]).unwrap().status, 200);
    let line = lb.wait_logged(|line| line["status"] == 404);
    assert_eq!(
        (&line["termination"], &line["route"]),
        (&"no_route".into(), &serde_json::Value::Null)
    );
    assert_eq!(
        lb.wait_logged(|line| line["status"] == 200)["route"],
        "here"
    );
    assert_eq!(
        lb.metrics().value(
            "equipoise_http_requests_total",
            &[
                ("listener", "web"),
                ("pool", ""),
                ("server", ""),
                ("code", "4xx")
            ]
        ),
        1.0
    );
}

#[test]
fn a_prefix_without_a_path_to_stand_instead_of_is_put_in_front() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("routes:\n  - match: {method: GET}\n    rewrite: {prefix: /v1}")
        .start();
    assert_eq!(lb.get("/x//y?z=%41", &[]).status, 200);
    assert_eq!(origin.last_request().target, "/v1/x/y?z=%41");
    origin.script(|_| Answer::ok().header("Location", "/v1/there"));
    assert_eq!(lb.get("/", &[]).header("location"), Some("/there"));
}

#[test]
fn names_of_fields_are_spelt_as_everybody_spells_them() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener(
            "routes:\n\
             - {match: {path: /away}, redirect: {to: /there}}\n\
             - {match: {path: /}, request_headers: {set: {x-robots-tag: a}}, response_headers: {set: {etag: b}}}",
        )
        .start();
    let raw = |target: &str| {
        let mut client = lb.client();
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.send(request).unwrap();
        String::from_utf8_lossy(&client.read_to_end().unwrap()).into_owned()
    };
    assert!(raw("/away").contains("\r\nLocation: /there\r\n"));
    assert!(raw("/").contains("\r\nETag: b\r\n"));
    let request = origin.last_request();
    assert!(
        request
            .headers
            .iter()
            .any(|(name, _)| name == "X-Robots-Tag")
    );
}
