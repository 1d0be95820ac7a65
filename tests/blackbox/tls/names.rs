//! Which certificate a client gets, and what becomes of a name that none covers.

use openssl::pkey::Id;

use super::{NAME, certificates, secured};
use crate::common::{Equipoise, Key, Origin, Pki, Tls};

fn served(lb: &Equipoise, client: &Tls) -> Vec<String> {
    let connection = client.connect(lb.web());
    let leaf = connection.ssl().peer_certificate().expect("a certificate");
    leaf.subject_alt_names()
        .expect("names")
        .iter()
        .filter_map(|name| name.dnsname().map(str::to_owned))
        .collect()
}

#[test]
fn an_exact_name_goes_before_a_wildcard_and_a_wildcard_before_the_first() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let first = pki.leaf(&["first.example.com"]);
    let wild = pki.leaf(&["*.shop.example.com"]);
    let exact = pki.leaf(&["a.shop.example.com"]);
    let lb = secured(&[&origin], &certificates(&[&first, &wild, &exact])).start();
    for (asked, wanted) in [
        ("a.shop.example.com", "a.shop.example.com"),
        ("A.Shop.Example.COM", "a.shop.example.com"),
        ("b.shop.example.com", "*.shop.example.com"),
        // A wildcard covers one label, no less and no more.
        ("shop.example.com", "first.example.com"),
        ("x.b.shop.example.com", "first.example.com"),
        ("elsewhere.example", "first.example.com"),
    ] {
        let client = Tls::new(&pki, asked).unverified();
        assert_eq!(served(&lb, &client), [wanted], "{asked}");
    }
    let nobody = Tls::new(&pki, NAME).without_name();
    assert_eq!(served(&lb, &nobody), ["first.example.com"]);
}

#[test]
fn the_chain_is_sent_so_that_the_root_is_enough_to_verify() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME]);
    let lb = secured(&[&origin], &certificates(&[&site])).start();
    let mut client = Tls::new(&pki, NAME).connect(lb.web());
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    let chain = client.ssl().peer_cert_chain().expect("a chain");
    assert_eq!(chain.len(), 2, "leaf and intermediate");
}

#[test]
fn rsa_and_ecdsa_for_one_name_stand_side_by_side() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let rsa = pki.rsa_leaf(&[NAME]);
    let ecdsa = pki.leaf(&[NAME]);
    let ed25519 = pki.request(&[NAME]).key(Key::Ed25519).issue();
    let lb = secured(&[&origin], &certificates(&[&rsa, &ecdsa, &ed25519])).start();
    let kind = |client: Tls| {
        let connection = client.connect(lb.web());
        let leaf = connection.ssl().peer_certificate().expect("a certificate");
        leaf.public_key().expect("a key").id()
    };
    let client = || Tls::new(&pki, NAME).unverified();
    for version in [
        openssl::ssl::SslVersion::TLS1_2,
        openssl::ssl::SslVersion::TLS1_3,
    ] {
        let client = || client().version(version);
        assert_eq!(kind(client().signatures("RSA-PSS+SHA256")), Id::RSA);
        assert_eq!(kind(client().signatures("ECDSA+SHA256")), Id::EC);
    }
    let client = client().version(openssl::ssl::SslVersion::TLS1_3);
    assert_eq!(kind(client.signatures("ed25519")), Id::ED25519);
}

#[test]
fn the_default_has_both_kinds_too() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let rsa = pki.rsa_leaf(&[NAME]);
    let ecdsa = pki.leaf(&[NAME]);
    let lb = secured(&[&origin], &certificates(&[&rsa, &ecdsa])).start();
    let nobody = || Tls::new(&pki, NAME).without_name();
    for list in ["RSA-PSS+SHA256", "ECDSA+SHA256"] {
        nobody().signatures(list).connect(lb.web());
    }
}

#[test]
fn strict_sni_refuses_names_that_nothing_covers_and_no_name_at_all() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME, "*.shop.example.com"]);
    let lb = secured(
        &[&origin],
        &format!("{}\nstrict_sni: true", certificates(&[&site])),
    )
    .start();
    for covered in [NAME, "a.shop.example.com"] {
        Tls::new(&pki, covered).connect(lb.web());
    }
    for client in [
        Tls::new(&pki, "elsewhere.example").unverified(),
        Tls::new(&pki, NAME).without_name(),
    ] {
        let refused = client
            .try_connect(lb.web())
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(refused.contains("unrecognized name"), "{refused}");
    }
    let metrics = lb.metrics();
    let failures = [("listener", "web"), ("result", "failure")];
    assert_eq!(
        metrics.sum("equipoise_tls_handshakes_total", &failures),
        2.0
    );
}

#[test]
fn a_request_for_another_host_than_the_strict_name_is_misdirected() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME, "*.shop.example.com"]);
    let strict = secured(
        &[&origin],
        &format!("{}\nstrict_sni: true", certificates(&[&site])),
    )
    .start();
    let lax = secured(&[&origin], &certificates(&[&site])).start();
    let status = |lb: &Equipoise, host: &str| {
        let mut client = Tls::new(&pki, NAME).connect(lb.web());
        client.get("/", &[("Host", host)]).unwrap().status
    };
    for (host, wanted) in [
        (NAME, 200),
        ("LB.Example.Com:8443", 200),
        ("a.shop.example.com", 421),
        ("elsewhere.example", 421),
    ] {
        assert_eq!(status(&strict, host), wanted, "{host}");
        assert_eq!(status(&lax, host), 200, "{host}");
    }
    let line = strict.wait_logged(|line| line["status"] == 421);
    assert_eq!(line["sni"], NAME);
    assert_eq!(origin.served(), 2 + 4, "nothing misdirected was forwarded");
}
