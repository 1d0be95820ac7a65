//! The PROXY protocol with HAProxy and nginx on either side: what they send is believed, what we send they believe.

use crate::common::peers::{Haproxy, Nginx};
use crate::common::*;

const BELIEVING: &str = "proxy_protocol: true\nclient_address: {trusted_proxies: [127.0.0.1/32]}";

/// nginx that wants PROXY headers and answers with what they say.
fn nginx_server(tls: Option<&Issued>) -> Nginx {
    let (word, tls) = match tls {
        Some(leaf) => (
            "ssl ",
            format!(
                "ssl_certificate {}; ssl_certificate_key {};",
                leaf.cert.display(),
                leaf.key.display()
            ),
        ),
        None => ("", String::new()),
    };
    Nginx::start_when(
        peers::Ready::Accepts,
        &format!(
            "server {{ listen @PORT@ {word}proxy_protocol; {tls} access_log off;\n\
             location / {{ return 200 \"$proxy_protocol_addr $proxy_protocol_port\"; }} }}"
        ),
    )
}

/// HAProxy that wants PROXY headers and answers with what they say.
fn haproxy_server() -> Haproxy {
    Haproxy::start(
        "frontend web\n    bind @PORT@ accept-proxy\n    \
         http-request return status 200 content-type text/plain lf-string \
         \"%[src] %[src_port] %[dst_port] %[fc_pp_authority] %[fc_pp_unique_id]\"",
    )
}

#[test]
fn nginx_is_told_the_client() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.example.com"]);
    for (protocol, version, secure) in [
        ("http", "v1", false),
        ("http", "v2", false),
        ("tcp", "v1", false),
        ("tcp", "v2", true),
        ("http", "v2", true),
    ] {
        let server = nginx_server(secure.then_some(&leaf));
        let tls = format!(
            "tls: {{server_name: a.example.com, ca: \"{}\"}}\n",
            pki.root().display()
        );
        let lb = Setup::new()
            .listener(&format!("protocol: {protocol}"))
            .pool(&format!(
                "proxy_protocol: {version}\n{}health_check: {{type: http, interval: 100ms}}",
                if secure { &tls } else { "" }
            ))
            .server_at("a", &server.address().to_string(), "")
            .start();
        lb.wait_state("app", "a", "up");
        let mut client = lb.client();
        let said = client.get("/", &[]).unwrap().text();
        let port = client.local_addr().port();
        assert_eq!(said, format!("127.0.0.1 {port}"), "{protocol} {version}");
        // nginx would say so if a check had no header.
        let broken = server.read("error.log").matches("broken header").count();
        assert!(broken <= 1, "one is the connection that found it listening");
    }
}

#[test]
fn haproxy_is_told_the_client_and_what_else_there_is() {
    for (protocol, version) in [("http", "v1"), ("http", "v2"), ("tcp", "v1"), ("tcp", "v2")] {
        let server = haproxy_server();
        let lb = Setup::new()
            .listener(&format!("protocol: {protocol}"))
            .pool(&format!(
                "proxy_protocol: {version}\nhealth_check: {{type: http, interval: 100ms}}"
            ))
            .server_at("a", &server.address().to_string(), "")
            .start();
        lb.wait_state("app", "a", "up");
        let mut client = lb.client();
        let said = client.get("/", &[]).unwrap().text();
        let (from, to) = (client.local_addr().port(), lb.web().port());
        let parts: Vec<_> = said.split(' ').collect();
        assert_eq!(
            parts[..3],
            ["127.0.0.1", &from.to_string(), &to.to_string()]
        );
        if version == "v2" {
            assert_eq!(parts[4].len(), 32, "{said}");
        }
    }
}

#[test]
fn haproxy_in_front_is_believed() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["lb.example.com"]);
    let pem = pki.write("both.pem", [leaf.chain_pem(), leaf.key_pem()].concat());
    let origin = Origin::start("a");
    for protocol in ["http", "tcp"] {
        for send in ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"] {
            // A TCP pool passes the header on, so that something is seen behind it.
            let server = Announced::before(origin.address());
            let setup = Setup::new().listener(&format!("protocol: {protocol}\n{BELIEVING}"));
            let lb = if protocol == "tcp" {
                setup
                    .pool("proxy_protocol: v2")
                    .server_at("a", &server.address().to_string(), "")
                    .start()
            } else {
                setup.server(&origin, "").start()
            };
            let haproxy = Haproxy::start(&format!(
                "listen front\n    mode tcp\n    bind @PORT@ ssl crt {}\n    \
                 server lb {} {send} check inter 100ms",
                pem.display(),
                lb.web()
            ));
            let mut client = Tls::new(&pki, "lb.example.com").connect(haproxy.address());
            assert_eq!(client.get("/", &[]).unwrap().status, 200);
            if protocol == "http" {
                let seen = origin.last_request();
                assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
                let port = haproxy.address().port().to_string();
                assert_eq!(seen.header("x-forwarded-port"), Some(&*port), "{send}");
                let scheme = if send.contains("ssl") {
                    "https"
                } else {
                    "http"
                };
                assert_eq!(seen.header("x-forwarded-proto"), Some(scheme), "{send}");
            } else {
                let told = server.wait_used(1).remove(0);
                assert_eq!(told.source(), client.local_addr(), "{send}");
                let ssl = told.tlv(0x20).map(|value| value[0]);
                assert_eq!(ssl, send.contains("ssl").then_some(1), "{send}");
            }
            // HAProxy's checks say LOCAL, or UNKNOWN, and are nothing that went wrong.
            let rejected = lb.metrics().value(
                "equipoise_connections_rejected_total",
                &[("reason", "proxy_protocol")],
            );
            assert_eq!(rejected, 0.0);
        }
    }
}

#[test]
fn nginx_in_front_is_believed() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).listener(BELIEVING).start();
    let nginx = Nginx::stream(&format!(
        "server {{ listen @PORT@; proxy_pass {}; proxy_protocol on; }}",
        lb.web()
    ));
    let mut client = Client::connect(nginx.address());
    assert_eq!(client.get("/seen", &[]).unwrap().status, 200);
    let port = nginx.address().port().to_string();
    assert_eq!(
        origin.last_request().header("x-forwarded-port"),
        Some(&*port)
    );
    let line = lb.wait_logged(|line| line["path"] == "/seen");
    assert_eq!(line["client"], "127.0.0.1");
}
