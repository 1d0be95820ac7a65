//! Who is believed to be the server, and what is said of who isn't.

use std::net::SocketAddr;

use openssl::ssl::SslVersion;

use crate::common::secure_origin::speaks;
use crate::common::*;

/// A pool of one server by that address, trusting `pki`; `more` are further keys of its tls.
fn pool(pki: &Pki, address: &str, more: &str) -> Setup {
    let ca = pki.root().display().to_string();
    Setup::new()
        .server_at("s1", address, "")
        .pool(&format!("tls: {{ca: \"{ca}\"{more}}}"))
}

fn localhost(address: SocketAddr) -> String {
    format!("localhost:{}", address.port())
}

/// A request fails with 502, and access log and log say why.
#[track_caller]
fn refused(lb: &Equipoise, reason: &str) {
    let response = lb.get("/", &[]);
    assert_eq!(response.status, 502, "{response}");
    let line = lb.wait_logged(|line| line["status"] == 502);
    assert_eq!(line["termination"], "server_tls", "{line}");
    eventually(SOON, || {
        let log = lb.stderr();
        if log.contains(reason) {
            Ok(())
        } else {
            Err(format!("no `{reason}` in {log}"))
        }
    });
    lb.wait_idle();
}

#[test]
fn a_server_is_verified_by_the_name_of_its_address() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.leaf(&["localhost"]));
    let lb = pool(&pki, &localhost(origin.address()), "").start();
    lb.wait_state("app", "s1", "up");
    assert_eq!(lb.get("/", &[]).text(), "s1");
    assert_eq!(origin.last_greeting().sni.as_deref(), Some("localhost"));
}

#[test]
fn connections_are_kept_and_used_again() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.leaf(&["127.0.0.1"]));
    let lb = pool(&pki, &origin.address().to_string(), "").start();
    let mut client = lb.client();
    for _ in 0..5 {
        assert_eq!(client.request("GET", "/", &[], b"").unwrap().status, 200);
    }
    assert_eq!(origin.greetings().len(), 1, "{:?}", origin.greetings());
}

#[test]
fn server_name_is_asked_for_and_verified() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.leaf(&["app.internal"]));
    let address = origin.address().to_string();
    let lb = pool(&pki, &address, ", server_name: app.internal").start();
    assert_eq!(lb.get("/", &[]).status, 200);
    assert_eq!(origin.last_greeting().sni.as_deref(), Some("app.internal"));
}

#[test]
fn an_ip_address_is_verified_by_the_certificates_addresses_and_never_sent_as_sni() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.leaf(&["127.0.0.1"]));
    let lb = pool(&pki, &origin.address().to_string(), "").start();
    assert_eq!(lb.get("/", &[]).status, 200);
    assert_eq!(origin.last_greeting().sni, None);
}

#[test]
fn an_ip_address_that_the_certificate_lacks_gets_not_a_byte_of_the_request() {
    let pki = Pki::new();
    // A DNS name that looks like the address is no address.
    let named = pki.request(&["127.0.0.1"]).without_subject_alt_names();
    for identity in [pki.leaf(&["localhost", "127.0.0.2"]), named.issue()] {
        let origin = SecureOrigin::start("s1", &identity);
        let lb = pool(&pki, &origin.address().to_string(), "").start();
        refused(&lb, "hostname mismatch: asked for 127.0.0.1");
        assert_eq!(lb.get("/", &[]).status, 502);
        assert_eq!(origin.served(), 0);
    }
}

#[test]
fn another_name_is_told_with_the_names_that_there_are() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.leaf(&["lb.example.com", "*.shop.example.com"]));
    let address = origin.address().to_string();
    let lb = pool(&pki, &address, ", server_name: app.internal").start();
    refused(
        &lb,
        "hostname mismatch: asked for app.internal, the certificate is for lb.example.com, *.shop.example.com",
    );
    assert_eq!(origin.served(), 0);
}

#[test]
fn an_expired_certificate_is_refused_once_in_the_log() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.expired(&["127.0.0.1"]));
    let lb = pool(&pki, &origin.address().to_string(), "").start();
    refused(&lb, "certificate has expired (on ");
    for _ in 0..20 {
        assert_eq!(lb.get("/", &[]).status, 502);
    }
    assert_eq!(lb.stderr().matches("certificate has expired").count(), 1);
    assert_eq!(origin.served(), 0);
}

#[test]
fn a_self_signed_certificate_and_one_of_nobody_known_are_refused() {
    let pki = Pki::new();
    let own = pki.request(&["127.0.0.1"]).self_signed().issue();
    let origin = SecureOrigin::start("s1", &own);
    let lb = pool(&pki, &origin.address().to_string(), "").start();
    refused(&lb, "self-signed certificate");

    let stranger = Pki::new();
    let origin = SecureOrigin::start("s1", &stranger.leaf(&["127.0.0.1"]));
    let lb = pool(&pki, &origin.address().to_string(), "").start();
    refused(&lb, "unable to get");
    assert_eq!(origin.served(), 0);
}

#[test]
fn without_a_ca_the_systems_roots_decide() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.leaf(&["127.0.0.1"]));
    let lb = Setup::new()
        .server_at("s1", &origin.address().to_string(), "")
        .pool("tls: {}")
        .start();
    refused(&lb, "unable to get");
    assert_eq!(origin.served(), 0);
}

#[test]
fn verify_false_takes_any_certificate() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.expired(&["other.example"]));
    let lb = Setup::new()
        .server_at("s1", &origin.address().to_string(), "")
        .pool("tls: {verify: false}")
        .start();
    assert_eq!(lb.get("/", &[]).text(), "s1");
}

#[test]
fn a_client_certificate_is_shown_with_its_chain() {
    let pki = Pki::new();
    let origin = SecureOrigin::wanting("s1", &pki.leaf(&["127.0.0.1"]), &pki);
    let own = pki.client("edge");
    let certificate = format!(
        ", certificate: {{cert: \"{}\", key: \"{}\"}}",
        own.cert.display(),
        own.key.display()
    );
    let lb = pool(&pki, &origin.address().to_string(), &certificate).start();
    assert_eq!(lb.get("/", &[]).text(), "s1");
    // Its authority is an intermediate that the server hasn't got: it came along.
    assert_eq!(origin.last_greeting().client.as_deref(), Some("edge"));
}

#[test]
fn a_server_that_wants_a_certificate_gets_told_so_in_the_log() {
    for newest in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let pki = Pki::new();
        let root = pki.root.cert.clone();
        let origin = SecureOrigin::with("s1", &pki.leaf(&["127.0.0.1"]), move |builder| {
            builder.add_client_ca(&root).unwrap();
            builder.set_verify(
                openssl::ssl::SslVerifyMode::PEER
                    | openssl::ssl::SslVerifyMode::FAIL_IF_NO_PEER_CERT,
            );
            builder.set_max_proto_version(Some(newest)).unwrap();
        });
        let lb = pool(&pki, &origin.address().to_string(), "").start();
        if newest == SslVersion::TLS1_2 {
            // TLS 1.2 has no word of its own for it.
            refused(&lb, "it may also want a certificate");
        } else {
            assert_eq!(lb.get("/", &[]).status, 502);
            eventually(SOON, || {
                lb.stderr().contains("the server asked for a certificate")
            });
            // The server's word comes after the handshake, and may come too late.
            let ended = lb.wait_logged(|line| line["status"] == 502)["termination"].clone();
            assert!(ended == "server_tls" || ended == "server_reset", "{ended}");
        }
        assert_eq!(origin.served(), 0);
    }
}

#[test]
fn a_server_without_tls_is_told_from_one_that_hangs_up() {
    let pki = Pki::new();
    let plain = speaks(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let lb = pool(&pki, &plain.to_string(), "").start();
    refused(&lb, "the server speaks no TLS");

    let silent = speaks(b"");
    let lb = pool(&pki, &silent.to_string(), "").start();
    refused(&lb, "the server closed the connection in the handshake");
}

#[test]
fn outdated_versions_of_tls_are_not_spoken() {
    let pki = Pki::new();
    let origin = SecureOrigin::with("s1", &pki.leaf(&["127.0.0.1"]), |builder| {
        builder
            .set_min_proto_version(Some(SslVersion::TLS1))
            .unwrap();
        builder
            .set_max_proto_version(Some(SslVersion::TLS1_1))
            .unwrap();
        builder.set_cipher_list("DEFAULT:@SECLEVEL=0").unwrap();
        builder.set_security_level(0);
    });
    let lb = pool(&pki, &origin.address().to_string(), "").start();
    refused(&lb, "outdated version of TLS");
    assert_eq!(origin.served(), 0);
}

#[test]
fn a_server_that_fails_is_left_for_another_one_even_with_a_post() {
    let pki = Pki::new();
    let bad = SecureOrigin::start("bad", &pki.expired(&["127.0.0.1"]));
    let good = SecureOrigin::start("good", &pki.leaf(&["127.0.0.1"]));
    let ca = pki.root().display().to_string();
    let lb = Setup::new()
        .server_at("bad", &bad.address().to_string(), "")
        .server_at("good", &good.address().to_string(), "")
        .pool(&format!("tls: {{ca: \"{ca}\"}}"))
        .start();
    let mut client = lb.client();
    for _ in 0..4 {
        let response = client.request("POST", "/", &[], b"body").unwrap();
        assert_eq!(response.text(), "good");
    }
    assert_eq!(bad.served(), 0);
    assert!(
        lb.metrics()
            .sum("equipoise_retries_total", &[("reason", "connect_failure")])
            >= 1.0
    );
}

#[test]
fn a_websocket_goes_through_tls() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.leaf(&["127.0.0.1"]));
    let lb = pool(&pki, &origin.address().to_string(), "").start();
    for _ in 0..20 {
        let mut client = lb.client();
        client
            .send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .unwrap();
        assert_eq!(client.read_head().unwrap().status, 101);
        client.send("hello").unwrap();
        assert_eq!(client.take(5).unwrap(), b"hello");
    }
}

#[test]
fn a_websocket_is_verified_too() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.leaf(&["localhost"]));
    let lb = pool(&pki, &origin.address().to_string(), "").start();
    let mut client = lb.client();
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let response = client.request("GET", "/chat", &upgrade, b"").unwrap();
    assert_eq!(response.status, 502, "{response}");
    assert_eq!(origin.served(), 0);
}

#[test]
fn nginx_is_spoken_to_over_tls() {
    let pki = Pki::new();
    let identity = pki.rsa_leaf(&["127.0.0.1"]);
    let nginx = peers::Nginx::start_when(
        peers::Ready::Accepts,
        &format!(
            "ssl_protocols TLSv1.2 TLSv1.3;\nssl_certificate {};\nssl_certificate_key {};\n\
             server {{ listen @PORT@ ssl; location / {{ return 200 \"$ssl_protocol $ssl_server_name\"; }} }}",
            identity.cert.display(),
            identity.key.display()
        ),
    );
    let lb = pool(&pki, &nginx.address().to_string(), "").start();
    assert_eq!(lb.get("/", &[]).text(), "TLSv1.3 ");
}
