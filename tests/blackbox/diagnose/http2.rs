//! Servers of HTTP/2 and gRPC.

use bytes::Bytes;

use super::*;
use crate::common::h2_origin::Reply;
use crate::common::peers::GrpcServer;

fn status(status: u16) -> Reply {
    Reply {
        status,
        ..Reply::default()
    }
}

/// What servers of gRPC answer: no message, and a status in the trailers.
fn grpc(code: u16, message: &'static [u8]) -> Reply {
    Reply {
        status: 200,
        headers: vec![("content-type", "application/grpc".to_owned())],
        body: vec![Bytes::from_static(message)],
        trailers: vec![("grpc-status", code.to_string())],
        ..Reply::default()
    }
}

const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

#[track_caller]
fn is_well(setup: &Setup, wanted: &[&str]) {
    let (code, printed) = diagnose(setup, &[]);
    assert_eq!(code, Some(0), "{printed}");
    for wanted in wanted {
        assert!(printed.contains(wanted), "{wanted:?} in:\n{printed}");
    }
}

#[test]
fn traffic_is_looked_at_by_http2() {
    let pki = Pki::new();
    let script = |request: &crate::common::h2_origin::Taken| match &*request.uri {
        uri if uri.ends_with("/health") => status(200),
        _ => status(500),
    };
    let plain = H2Origin::start(script);
    let secure = H2Origin::secure(&pki.leaf(&["127.0.0.1"]), script);
    let tls = format!("tls: {{ca: \"{}\"}}", pki.root().display());
    for (address, tls) in [(plain.address(), ""), (secure.address(), &*tls)] {
        let pool = |check: &str| at(address).pool(&format!("http2: true\n{check}\n{tls}"));
        says(
            &pool(HTTP),
            &[
                "HEAD /health: status 200 as wanted",
                "traffic",
                "status 500, though the check passes",
            ],
        );
    }
    let well = H2Origin::start(|_| status(200));
    is_well(
        &at(well.address()).pool(&format!("http2: true\n{HTTP}")),
        &["HEAD /health: status 200", "status 200, in "],
    );
}

#[test]
fn a_check_that_asks_for_the_wrong_thing_by_http2() {
    let origin = H2Origin::start(|request| match (&*request.method, &*request.uri) {
        ("HEAD", _) => status(405),
        (_, uri) if uri.ends_with("/health") => status(404),
        _ => status(200),
    });
    let pool = |path: &str| {
        at(origin.address()).pool(&format!(
            "http2: true\nhealth_check: {{type: http, path: {path}, method: HEAD}}"
        ))
    };
    says(&pool("/"), &["write health_check.method: GET"]);
    let origin = H2Origin::start(|request| {
        let right = request.uri.starts_with("http://shop.example.com");
        status(if right { 200 } else { 404 })
    });
    let setup = at(origin.address())
        .pool("http2: true\nhealth_check: {type: http, path: /}")
        .listener("routes: [{match: {host: shop.example.com}, pool: app}]");
    says(&setup, &["write health_check.host: shop.example.com"]);
}

#[test]
fn the_other_version_of_http_is_told() {
    let (one, two) = (Origin::start("a"), H2Origin::start(|_| status(200)));
    says(
        &at(one.address()).pool(&format!("http2: true\n{HTTP}")),
        &["by HTTP/1.1 the server answers (200)", "remove http2: true"],
    );
    says(
        &at(two.address()).pool(HTTP),
        &["by HTTP/2 the server answers (200)", "write http2: true"],
    );
}

#[test]
fn calls_of_grpc_are_looked_at() {
    const POOL: &str = "http2: true\nhealth_check: {type: grpc}";
    // A real server, which has what is checked.
    let server = GrpcServer::start(None);
    is_well(
        &at(server.address()).pool(POOL),
        &["grpc: SERVING", "UNIMPLEMENTED, as it should be"],
    );
    for (answer, code, wanted) in [
        (14, 1, "UNAVAILABLE, though the check passes"),
        (16, 0, "gRPC status 16, where UNIMPLEMENTED (12) is usual"),
    ] {
        let origin = H2Origin::start(move |request| {
            if request.uri.ends_with("/grpc.health.v1.Health/Check") {
                grpc(0, SERVING)
            } else {
                grpc(answer, b"")
            }
        });
        let (exit, printed) = diagnose(&at(origin.address()).pool(POOL), &[]);
        assert_eq!(exit, Some(code), "{printed}");
        assert!(printed.contains(wanted), "{wanted:?} in:\n{printed}");
    }
    let none = H2Origin::start(|_| grpc(12, b""));
    says(
        &at(none.address()).pool(POOL),
        &["the server has no grpc.health.v1.Health service"],
    );
    // What answers the checks answers no calls.
    let half = H2Origin::start(|request| {
        if request.uri.ends_with("/grpc.health.v1.Health/Check") {
            grpc(0, SERVING)
        } else {
            status(404)
        }
    });
    says(
        &at(half.address()).pool(POOL),
        &["status 404, and not gRPC, though the check passes"],
    );
}
