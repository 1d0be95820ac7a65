//! What is negotiated, what is refused, and how long a handshake may take.

use openssl::ssl::SslVersion;

use super::{NAME, certificates, secured, usual};
use crate::common::{Equipoise, Key, Origin, Pki, SOON, Tls, eventually};

#[test]
fn tls_1_2_and_1_3_are_spoken_with_forward_secrecy() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "");
    for (version, name) in [
        (SslVersion::TLS1_2, "TLSv1.2"),
        (SslVersion::TLS1_3, "TLSv1.3"),
    ] {
        let mut client = Tls::new(&pki, NAME).version(version).connect(lb.web());
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
        let line = lb.wait_logged(|line| line["tls_version"] == name);
        let cipher = client.ssl().current_cipher().unwrap().name();
        assert_eq!(line["tls_cipher"], cipher);
        assert_eq!(line["sni"], NAME);
    }
    let weak = Tls::new(&pki, NAME).version(SslVersion::TLS1_2);
    for list in ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "AES128-SHA"] {
        assert!(
            weak.clone().ciphers(list).try_connect(lb.web()).is_err(),
            "{list}"
        );
    }
}

#[test]
fn older_versions_are_refused() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "");
    let old = Tls::new(&pki, NAME).version(SslVersion::TLS1_1);
    assert!(
        old.ciphers("ALL:@SECLEVEL=0")
            .try_connect(lb.web())
            .is_err()
    );
}

#[test]
fn min_and_max_version_are_held() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    for (setting, spoken, refused) in [
        (
            "min_version: \"1.3\"",
            SslVersion::TLS1_3,
            SslVersion::TLS1_2,
        ),
        ("max_version: 1.2", SslVersion::TLS1_2, SslVersion::TLS1_3),
    ] {
        let lb = usual(&pki, &origin, setting);
        Tls::new(&pki, NAME).version(spoken).connect(lb.web());
        let other = Tls::new(&pki, NAME).version(refused);
        assert!(other.try_connect(lb.web()).is_err(), "{setting}");
    }
}

#[test]
fn the_hybrid_group_is_preferred() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "");
    let group = |list: &str| {
        let client = Tls::new(&pki, NAME).groups(list).connect(lb.web());
        client
            .ssl()
            .peer_tmp_key()
            .ok()
            .map(|key| (key.id().as_raw(), key.bits()))
    };
    let hybrid = group("X25519MLKEM768");
    assert_ne!(hybrid, group("X25519"));
    assert_eq!(
        group("X25519:X25519MLKEM768"),
        hybrid,
        "the client puts it last"
    );
    assert_eq!(group("X25519MLKEM768:X25519"), hybrid);
    let lb = usual(&pki, &origin, "groups: P-384");
    assert!(
        Tls::new(&pki, NAME)
            .groups("X25519")
            .try_connect(lb.web())
            .is_err()
    );
    Tls::new(&pki, NAME).groups("P-384").connect(lb.web());
}

#[test]
fn ciphers_and_suites_can_be_set() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(
        &pki,
        &origin,
        "ciphers: ECDHE-ECDSA-CHACHA20-POLY1305\ncipher_suites: TLS_CHACHA20_POLY1305_SHA256",
    );
    for (version, wanted) in [
        (SslVersion::TLS1_2, "ECDHE-ECDSA-CHACHA20-POLY1305"),
        (SslVersion::TLS1_3, "TLS_CHACHA20_POLY1305_SHA256"),
    ] {
        let client = Tls::new(&pki, NAME).version(version).connect(lb.web());
        assert_eq!(client.ssl().current_cipher().unwrap().name(), wanted);
    }
}

#[test]
fn alpn_offers_what_is_configured() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let agreed = |lb: &Equipoise, offered: &[&str]| {
        let client = Tls::new(&pki, NAME)
            .alpn(offered)
            .try_connect(lb.web())
            .ok()?;
        let agreed = client.ssl().selected_alpn_protocol();
        Some(agreed.map(|name| String::from_utf8(name.to_vec()).unwrap()))
    };
    let some = |name: &str| Some(Some(name.to_owned()));
    let lb = usual(&pki, &origin, "");
    assert_eq!(agreed(&lb, &["http/1.1", "h2"]), some("h2"), "ours counts");
    assert_eq!(agreed(&lb, &["http/1.1"]), some("http/1.1"));
    assert_eq!(agreed(&lb, &[]), Some(None));
    assert_eq!(
        agreed(&lb, &["http/1.0"]),
        some("http/1.0"),
        "as curl -0 has it"
    );
    assert_eq!(agreed(&lb, &["smtp"]), None, "nothing in common: refused");
    let lb = usual(&pki, &origin, "alpn: [http/1.1]");
    assert_eq!(agreed(&lb, &["h2", "http/1.1"]), some("http/1.1"));
    let site = pki.leaf(&[NAME]);
    let lb = secured(&[&origin], &certificates(&[&site]))
        .listener("http: {http2: {enabled: false}}")
        .start();
    assert_eq!(agreed(&lb, &["h2", "http/1.1"]), some("http/1.1"));
}

#[test]
fn a_handshake_may_not_take_longer_than_it_may() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "handshake_timeout: 300ms");
    let (silent, mut halting) = (lb.client(), lb.client());
    halting.send([0x16, 3, 1, 2, 0, 1]).unwrap();
    for mut client in [silent, halting] {
        assert!(client.is_closed_by_peer(), "without a word");
    }
    let timeouts = [("listener", "web"), ("result", "timeout")];
    eventually(SOON, || {
        lb.metrics()
            .sum("equipoise_tls_handshakes_total", &timeouts)
            == 2.0
    });
    lb.wait_idle();
}

#[test]
fn whoever_speaks_http_to_tls_is_told_so() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "");
    let answer = lb.get("/", &[]);
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("use https"), "{answer}");
    assert_eq!(origin.served(), 0);
    let line = lb.wait_logged(|line| line["termination"] == "client_tls");
    assert_eq!(line["status"], 400, "{line}");
    assert_eq!(line["protocol"], "TLS", "{line}");
    assert_eq!(line["listener"], "web", "{line}");
    assert_eq!(line["client"], "127.0.0.1", "{line}");
    assert!(line.get("method").is_none(), "{line}");
}

#[test]
fn http_is_known_by_its_version_and_not_by_its_method() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "");
    let answer_to = |first: &str| {
        let mut client = lb.client();
        // In two pieces, as the network may cut it.
        let (begin, rest) = first.split_at(first.len() - 9);
        client.send(begin).unwrap();
        client.send(rest).unwrap();
        String::from_utf8_lossy(&client.read_to_end().unwrap()).into_owned()
    };
    for method in ["PROPFIND", "CONNECT", "PATCH", "M-SEARCH", "X", "get"] {
        let answer = answer_to(&format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 400 "), "{method}: {answer}");
        assert!(answer.contains("use https"), "{method}: {answer}");
    }
    let answer = answer_to("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    for other in [
        "SSH-2.0-OpenSSH_9.2 Debian\r\n",
        "EHLO mail.example.com\r\n",
    ] {
        assert_eq!(answer_to(other), "", "{other}");
    }
    eventually(SOON, || lb.access_log().len() == 9);
    let told = lb.access_log();
    let told = told.iter().filter(|line| line["status"] == 400);
    assert_eq!(told.count(), 7);
}

#[test]
fn handshakes_that_fail_are_logged_with_the_name_that_was_asked_for() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "min_version: \"1.3\"");
    // A health check: no line.
    drop(lb.client());
    let old = Tls::new(&pki, NAME).version(SslVersion::TLS1_2);
    assert!(old.try_connect(lb.web()).is_err());
    let line = lb.wait_logged(|line| line["termination"] == "client_tls");
    assert!(line.get("status").is_none(), "{line}");
    let mut client = Tls::new(&pki, NAME).connect(lb.web());
    client.get("/", &[("Connection", "close")]).unwrap();
    drop(client);
    lb.wait_logged(|line| line["termination"] == "complete");
    // Who doesn't trust the certificate says so, and is logged with the name.
    let other = Tls::new(&Pki::new(), NAME);
    assert!(other.try_connect(lb.web()).is_err());
    lb.wait_logged(|line| line["termination"] == "client_tls" && line["sni"] == NAME);
    lb.wait_idle();
    assert_eq!(lb.access_log().len(), 3, "{:?}", lb.access_log());
}

#[test]
fn rubbish_and_closed_connections_leave_nothing_behind() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "");
    for bytes in [
        &b""[..],
        b"\x16",
        b"\x16\x03\x01\xff\xff",
        b"\x80\x2e\x01\x03\x01",
        b"\0\0\0\0\0\0",
    ] {
        lb.client().send(bytes).unwrap();
    }
    lb.wait_idle();
    let mut client = Tls::new(&pki, NAME).connect(lb.web());
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
}

#[test]
fn handshakes_are_counted_by_version_and_result() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "");
    Tls::new(&pki, NAME)
        .version(SslVersion::TLS1_2)
        .connect(lb.web());
    Tls::new(&pki, NAME)
        .version(SslVersion::TLS1_3)
        .connect(lb.web());
    for version in ["TLSv1.2", "TLSv1.3"] {
        let labels = [
            ("listener", "web"),
            ("version", version),
            ("resumed", "false"),
            ("result", "success"),
        ];
        eventually(SOON, || {
            lb.metrics()
                .value("equipoise_tls_handshakes_total", &labels)
                == 1.0
        });
    }
}

#[test]
fn what_openssl_does_not_know_is_a_problem_with_a_place() {
    let pki = Pki::new();
    let (site, origin) = (pki.leaf(&[NAME]), Origin::stopped("a"));
    for (setting, part) in [
        ("ciphers: NONSENSE", "tls.ciphers: OpenSSL knows"),
        (
            "cipher_suites: NONSENSE",
            "tls.cipher_suites: OpenSSL knows",
        ),
        ("groups: NONSENSE", "tls.groups: OpenSSL knows"),
    ] {
        let setup = secured(
            &[&origin],
            &format!("{}\n{setting}", certificates(&[&site])),
        );
        let exit = Equipoise::run_to_exit(&setup.yaml());
        assert_eq!(exit.code(), Some(2), "{}", exit.stderr);
        assert!(exit.stderr.contains(part), "{}", exit.stderr);
        assert!(exit.stderr.contains("equipoise.yaml:"), "{}", exit.stderr);
    }
}

#[test]
fn a_certificate_of_any_kind_of_key_is_served() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    for key in [
        Key::Rsa(2048),
        Key::Ecdsa,
        Key::Curve("secp384r1"),
        Key::Ed25519,
    ] {
        let site = pki.request(&[NAME]).key(key).issue();
        let lb = secured(&[&origin], &certificates(&[&site])).start();
        let mut client = Tls::new(&pki, NAME).connect(lb.web());
        assert_eq!(client.get("/", &[]).unwrap().status, 200, "{key:?}");
    }
}
