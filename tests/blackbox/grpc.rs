//! gRPC through the load balancer, with grpcio's client and server.

use crate::common::peers::{GrpcClient, GrpcServer};
use crate::common::*;

const CALLS: [&str; 8] = [
    "unary",
    "fail",
    "unimplemented",
    "server_stream",
    "client_stream",
    "bidi",
    "large",
    "many",
];

fn pool(server: &GrpcServer) -> Setup {
    Setup::new()
        .server_at("s1", &server.address().to_string(), "")
        .pool("http2: true")
}

#[test]
fn every_kind_of_call_goes_through_without_tls() {
    let server = GrpcServer::start(None);
    let lb = pool(&server).start();
    for scenario in CALLS {
        GrpcClient::begin(lb.web(), scenario, None).done();
        lb.wait_idle_servers();
    }
    let log = lb.access_log();
    assert!(log.iter().all(|line| line["protocol"] == "HTTP/2.0"));
    assert!(
        log.iter().all(|line| line["termination"] == "complete"),
        "{log:?}"
    );
}

#[test]
fn every_kind_of_call_goes_through_with_tls_on_both_sides() {
    let pki = Pki::new();
    let server = GrpcServer::start(Some(&pki.leaf(&["localhost", "127.0.0.1"])));
    let own = pki.leaf(&["localhost"]);
    let lb = pool(&server)
        .pool(&format!("tls: {{ca: \"{}\"}}", pki.root().display()))
        .listener(&format!(
            "protocol: https\ntls: {{certificates: [{{cert: \"{}\", key: \"{}\"}}]}}",
            own.cert.display(),
            own.key.display()
        ))
        .start();
    for scenario in CALLS {
        GrpcClient::begin(lb.web(), scenario, Some(&pki)).done();
        lb.wait_idle_servers();
    }
}

/// grpcio leaves a server that doesn't agree to HTTP/2.
#[test]
fn tls_may_end_here_while_only_the_server_speaks_http_2() {
    let pki = Pki::new();
    let own = pki.leaf(&["localhost"]);
    let secured = pki.leaf(&["localhost", "127.0.0.1"]);
    for identity in [None, Some(&secured)] {
        let server = GrpcServer::start(identity);
        let tls = identity.map(|_| format!("tls: {{ca: \"{}\"}}", pki.root().display()));
        let lb = Setup::new()
            .server_at("s1", &server.address().to_string(), "")
            .pool(tls.as_deref().unwrap_or_default())
            .listener(&format!(
                "protocol: tls\ntls: {{alpn: [h2], certificates: [{{cert: \"{}\", key: \"{}\"}}]}}",
                own.cert.display(),
                own.key.display()
            ))
            .start();
        for scenario in CALLS {
            GrpcClient::begin(lb.web(), scenario, Some(&pki)).done();
        }
        lb.wait_idle();
    }
}

#[test]
fn a_call_that_the_client_cancels_ends_at_the_server() {
    let server = GrpcServer::start(None);
    let lb = pool(&server).start();
    let mut client = GrpcClient::begin(lb.web(), "cancel", None);
    assert_eq!(client.line(), "calling");
    eventually(SOON, || server.output().contains("hanging"));
    client.go_on();
    client.done();
    eventually(SOON, || server.output().contains("cancelled"));
    lb.wait_idle();
    assert_eq!(lb.wait_logged(|_| true)["termination"], "client_aborted");
}

#[test]
fn a_deadline_ends_the_call_at_the_server_too() {
    let server = GrpcServer::start(None);
    let lb = pool(&server).start();
    GrpcClient::begin(lb.web(), "deadline", None).done();
    eventually(SOON, || server.output().contains("cancelled"));
    lb.wait_idle();
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    let closed = Origin::stopped("s1");
    let lb = Setup::of([&closed]).pool("http2: true").start();
    GrpcClient::begin(lb.web(), "unavailable", None).done();
    lb.wait_idle();
}

#[test]
fn the_health_of_a_real_grpc_server_is_seen() {
    let pki = Pki::new();
    let check = "health_check: {type: grpc, interval: 100ms, timeout: 2s}";
    let plain = GrpcServer::start(None);
    let secure = GrpcServer::start(Some(&pki.leaf(&["127.0.0.1"])));
    let lb = pool(&plain).pool(check).start();
    lb.wait_state("app", "s1", "up");
    assert_eq!(lb.server("app", "s1")["reason"], "SERVING");
    let lb = pool(&secure)
        .pool(check)
        .pool(&format!("tls: {{ca: \"{}\"}}", pki.root().display()))
        .start();
    lb.wait_state("app", "s1", "up");
}
