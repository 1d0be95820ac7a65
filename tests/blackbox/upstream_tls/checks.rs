//! Health checks over TLS, HTTP/2 and gRPC.

use bytes::Bytes;

use crate::common::h2_origin::Reply;
use crate::common::secure_origin::speaks;
use crate::common::*;

const QUICK: &str = "interval: 100ms, fast_interval: 50ms, timeout: 10s, rise: 1, fall: 1";

fn checked(address: &str, tls: &str, check: &str) -> Setup {
    Setup::new()
        .server_at("s1", address, "")
        .pool(&format!("{tls}\nhealth_check: {{{check}, {QUICK}}}"))
}

fn trusting(pki: &Pki, more: &str) -> String {
    format!("tls: {{ca: \"{}\"{more}}}", pki.root().display())
}

/// The server is in that state, for that reason.
#[track_caller]
fn is(lb: &Equipoise, state: &str, reason: &str) {
    eventually(SOON, || {
        let server = lb.server("app", "s1");
        let said = server["reason"].as_str().unwrap_or_default();
        if server["state"] == state && said.contains(reason) {
            Ok(())
        } else {
            Err(format!("not {state} with `{reason}`: {server}"))
        }
    });
}

#[test]
fn type_http_uses_the_pools_tls() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.leaf(&["app.internal"]));
    let address = origin.address().to_string();
    let tls = trusting(&pki, ", server_name: app.internal");
    let lb = checked(&address, &tls, "type: http, path: /health").start();
    is(&lb, "up", "status 200 as wanted");
    assert_eq!(origin.last_greeting().sni.as_deref(), Some("app.internal"));

    let lb = checked(&address, &trusting(&pki, ""), "type: http, path: /health").start();
    is(
        &lb,
        "down",
        &format!(
            "TLS to {address} failed: hostname mismatch: asked for 127.0.0.1, the certificate is for app.internal"
        ),
    );
}

#[test]
fn a_renewed_certificate_brings_the_server_back() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.expired(&["127.0.0.1"]));
    let address = origin.address().to_string();
    for check in ["type: http, path: /health", "type: tls"] {
        origin.renew(&pki.expired(&["127.0.0.1"]));
        let lb = checked(&address, &trusting(&pki, ""), check).start();
        is(
            &lb,
            "down",
            &format!("TLS to {address} failed: certificate has expired (on "),
        );
        origin.renew(&pki.leaf(&["127.0.0.1"]));
        lb.wait_state("app", "s1", "up");
        assert_eq!(lb.get("/", &[]).status, 200);
    }
}

#[test]
fn type_tls_verifies_only_where_the_pool_does() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.expired(&["other.example"]));
    let address = origin.address().to_string();
    // A pool that passes TLS on, say.
    let lb = checked(&address, "", "type: tls").start();
    is(&lb, "up", "handshake done");
    let lb = checked(&address, "tls: {verify: false}", "type: tls").start();
    is(&lb, "up", "handshake done");
    let lb = checked(&address, &trusting(&pki, ""), "type: tls").start();
    is(&lb, "down", "failed: hostname mismatch");
}

#[test]
fn type_tls_wants_a_handshake() {
    let address = speaks(b"HTTP/1.1 400 Bad Request\r\n\r\n").to_string();
    let lb = checked(&address, "", "type: tls").start();
    is(
        &lb,
        "down",
        &format!("TLS to {address} failed: the server speaks no TLS"),
    );
    let closed = Origin::stopped("s1");
    let address = closed.address().to_string();
    let lb = checked(&address, "", "type: tls").start();
    is(
        &lb,
        "down",
        &format!("connect to {address} refused (nothing listens there)"),
    );
}

#[test]
fn a_missing_client_certificate_is_found_by_the_checks() {
    let pki = Pki::new();
    let origin = SecureOrigin::wanting("s1", &pki.leaf(&["127.0.0.1"]), &pki);
    let address = origin.address().to_string();
    for check in ["type: tls", "type: http, path: /health"] {
        let lb = checked(&address, &trusting(&pki, ""), check).start();
        is(&lb, "down", "the server asked for a certificate");
    }
    let own = pki.client("edge");
    let certificate = format!(
        ", certificate: {{cert: \"{}\", key: \"{}\"}}",
        own.cert.display(),
        own.key.display()
    );
    for check in ["type: tls", "type: http, path: /health"] {
        let lb = checked(&address, &trusting(&pki, &certificate), check).start();
        is(&lb, "up", "");
    }
}

#[test]
fn type_tcp_stays_a_connect() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.expired(&["127.0.0.1"]));
    let lb = checked(
        &origin.address().to_string(),
        &trusting(&pki, ""),
        "type: tcp",
    )
    .start();
    is(&lb, "up", "connected");
}

#[test]
fn type_http_speaks_http2_where_the_pool_does() {
    let pki = Pki::new();
    let secure = H2Origin::secure(&pki.leaf(&["127.0.0.1"]), |_| Reply::text("fine"));
    let plain = H2Origin::start(|_| Reply::text("fine"));
    let check = "type: http, path: /health, expect_body: '^fine$', host: app.example";
    for (origin, tls, scheme) in [
        (&secure, trusting(&pki, ""), "https"),
        (&plain, String::new(), "http"),
    ] {
        let tls = format!("http2: true\n{tls}");
        let lb = checked(&origin.address().to_string(), &tls, check).start();
        is(&lb, "up", "status 200 and body as wanted");
        let taken = origin.last();
        assert_eq!(taken.uri, format!("{scheme}://app.example/health"));
        assert_eq!(taken.method, "GET");
        assert!(!taken.headers.contains_key("connection"));
        assert!(!taken.headers.contains_key("host"));
    }
}

#[test]
fn a_server_that_does_not_agree_to_http2_is_down() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.leaf(&["127.0.0.1"]));
    let address = origin.address().to_string();
    let tls = format!("http2: true\n{}", trusting(&pki, ""));
    for check in ["type: http, path: /health", "type: tls", "type: grpc"] {
        let lb = checked(&address, &tls, check).start();
        is(&lb, "down", "the server did not agree to HTTP/2 (ALPN)");
    }
    let plain = Origin::start("s1");
    let address = plain.address().to_string();
    let lb = checked(&address, "http2: true", "type: http, path: /health").start();
    is(
        &lb,
        "down",
        &format!("{address} answered something that isn't HTTP/2"),
    );
}

/// A `HealthCheckResponse` with that status.
fn health(status: u8) -> Reply {
    Reply {
        status: 200,
        headers: vec![("content-type", "application/grpc".to_owned())],
        body: vec![Bytes::from(vec![0, 0, 0, 0, 2, 8, status])],
        trailers: vec![("grpc-status", "0".to_owned())],
        ..Reply::default()
    }
}

fn failing(code: u8) -> Reply {
    Reply {
        status: 200,
        headers: vec![
            ("content-type", "application/grpc".to_owned()),
            ("grpc-status", code.to_string()),
        ],
        ..Reply::default()
    }
}

#[test]
fn type_grpc_asks_the_health_service() {
    let origin = H2Origin::start(|_| health(1));
    let lb = checked(&origin.address().to_string(), "http2: true", "type: grpc").start();
    is(&lb, "up", "SERVING");
    let asked = origin.last();
    let address = origin.address();
    assert_eq!(
        asked.uri,
        format!("http://{address}/grpc.health.v1.Health/Check")
    );
    assert_eq!(asked.headers["content-type"], "application/grpc");
    assert_eq!(asked.headers["te"], "trailers");
    assert_eq!(asked.body, [0; 5]);
}

#[test]
fn type_grpc_goes_over_tls() {
    let pki = Pki::new();
    let origin = H2Origin::secure(&pki.leaf(&["127.0.0.1"]), |_| health(1));
    let tls = format!("http2: true\n{}", trusting(&pki, ""));
    let lb = checked(&origin.address().to_string(), &tls, "type: grpc").start();
    is(&lb, "up", "SERVING");
}

#[test]
fn whatever_is_not_serving_is_down_with_its_word() {
    for (reply, reason) in [
        (health(2), "gRPC health NOT_SERVING, wanted SERVING"),
        (health(3), "gRPC health SERVICE_UNKNOWN"),
        (failing(12), "has no grpc.health.v1.Health service"),
        (failing(14), "gRPC status UNAVAILABLE"),
        (Reply::text("hello"), "and not gRPC"),
    ] {
        let origin = H2Origin::start(move |_| reply.clone());
        let address = origin.address().to_string();
        let lb = checked(&address, "http2: true", "type: grpc").start();
        is(&lb, "down", reason);
    }
}
