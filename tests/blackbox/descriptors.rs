//! File descriptors: what there are too few of is nobody else's fault (sections 4, 8 to 10 of the specification).

use std::io::Read;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::common::*;

const PLENTY: u32 = 1024;

/// The server's part of the status, on a connection that is there already.
fn server_of(admin: &mut Client, name: &str) -> Value {
    let status = admin.get("/api/v1/status", &[]).unwrap().json();
    let servers = status["pools"][0]["servers"].as_array().unwrap();
    servers.iter().find(|s| s["name"] == name).unwrap().clone()
}

#[test]
fn a_check_that_cannot_be_made_changes_nothing() {
    for check in ["tcp", "http", "tls", "grpc"] {
        let (a, b) = (Origin::start("a"), Origin::start("b"));
        // What is up stays up; what is down already, since it speaks neither TLS nor gRPC, stays down.
        let setup = Setup::of([&a, &b]).pool(&format!(
            "health_check: {{type: {check}, interval: 100ms, fast_interval: 50ms, timeout: 1s}}"
        ));
        let lb = setup.start();
        let mut admin = Client::connect(lb.admin());
        let names = ["a", "b"];
        for name in names {
            eventually(SOON, || server_of(&mut admin, name)["state"] != "unknown");
        }
        let before = names.map(|name| server_of(&mut admin, name)["state"].clone());
        lb.leave_descriptors(0);
        for name in names {
            eventually(SOON, || {
                let last = server_of(&mut admin, name)["last_check"].clone();
                let told = last["reason"].as_str().unwrap_or_default();
                last["result"] == "not_made" && told.contains("no file descriptor left")
            });
        }
        holds_for(std::time::Duration::from_millis(500), || {
            names.map(|name| server_of(&mut admin, name)["state"].clone()) == before
        });
        lb.limit_descriptors(PLENTY);
        for name in names {
            eventually(SOON, || {
                server_of(&mut admin, name)["last_check"]["result"] != "not_made"
            });
        }
        let log = lb.stderr();
        let told = log.matches("could not be made").count();
        assert_eq!(told, 1, "{check}: told once a minute\n{log}");
    }
}

#[test]
fn a_request_that_finds_no_descriptor_blames_no_server() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Setup::of([&a, &b])
        .pool("keepalive: {connections: 0}")
        .pool("persistence: {type: cookie_insert, cookie: S, on_unavailable: reject}")
        .start();
    let mut client = lb.client();
    let cookie = client.get("/before", &[]).unwrap();
    let cookie = cookie.header("set-cookie").unwrap().to_owned();
    let cookie = cookie.split(';').next().unwrap();
    let mut admin = Client::connect(lb.admin());
    lb.leave_descriptors(0);
    let response = client.get("/short", &[("Cookie", cookie)]).unwrap();
    assert_eq!(response.status, 503, "{response}");
    assert!(response.header("set-cookie").is_none(), "{response}");
    let line = lb.wait_logged(|line| line["path"] == "/short");
    assert_eq!(line["termination"], "proxy_resources", "{line}");
    assert_eq!(line["server"], json!(null), "{line}");
    assert_eq!(line["attempts"], 1, "{line}");
    for name in ["a", "b"] {
        assert_eq!(server_of(&mut admin, name)["errors"], 0);
    }
    lb.limit_descriptors(PLENTY);
    let response = lb.get("/after", &[("Cookie", cookie)]);
    assert_eq!(response.status, 200, "{response}");
    assert!(response.header("set-cookie").is_none(), "{response}");
    let retries = lb.metrics().sum("equipoise_retries_total", &[]);
    assert_eq!(retries, 0.0);
    assert_eq!(
        lb.stderr()
            .matches("a server could not be connected to")
            .count(),
        1
    );
}

#[test]
fn a_tcp_connection_that_finds_no_descriptor_blames_no_server() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).listener("protocol: tcp").start();
    let to = lb.web();
    let mut admin = Client::connect(lb.admin());
    server_of(&mut admin, "a");
    // One for the client, none for the server, once all that the start opened is closed.
    eventually(SOON, || {
        lb.leave_descriptors(1);
        let mut client = TcpStream::connect_timeout(&to, SOON).unwrap();
        let patience = std::time::Duration::from_millis(300);
        client.set_read_timeout(Some(patience)).unwrap();
        match client.read(&mut [0; 1]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err("connected"),
            _ => Ok(()),
        }
    });
    let line = lb.wait_logged(|line| line["termination"] != "client_aborted");
    assert_eq!(line["termination"], "proxy_resources", "{line}");
    assert_eq!(line["server"], json!(null), "{line}");
    assert_eq!(server_of(&mut admin, "a")["errors"], 0);
    lb.limit_descriptors(PLENTY);
    let rejected = lb.metrics().value(
        "equipoise_connections_rejected_total",
        &[("reason", "proxy_resources")],
    );
    assert!(rejected >= 1.0);
}
