//! Sessions that go on: tickets, and the keys that they are sealed with.

use openssl::ssl::SslVersion;

use super::{NAME, certificates, secured, usual};
use crate::common::{Client, Equipoise, Issued, Origin, Pki, SOON, Tls, eventually};

const VERSIONS: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];

/// A key file's line.
fn key(letter: char) -> String {
    letter.to_string().repeat(64) + "\n"
}

/// Tickets of TLS 1.3 come after the handshake, with the first response.
fn visit(lb: &Equipoise, client: &Tls) -> Client {
    let mut connection = client.connect(lb.web());
    assert_eq!(connection.get("/", &[]).unwrap().status, 200);
    assert!(client.has_session());
    connection
}

fn resumes(lb: &Equipoise, client: &Tls) -> bool {
    let connection = visit(lb, &client.clone().resumed());
    connection.ssl().session_reused()
}

#[test]
fn a_client_that_comes_back_goes_on_with_its_session() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "");
    for version in VERSIONS {
        let client = Tls::new(&pki, NAME).version(version);
        assert!(!visit(&lb, &client).ssl().session_reused());
        assert!(resumes(&lb, &client), "{version:?}");
    }
    let resumed = [("resumed", "true"), ("result", "success")];
    assert_eq!(
        lb.metrics().sum("equipoise_tls_handshakes_total", &resumed),
        2.0
    );
}

#[test]
fn each_ticket_of_tls_1_3_is_used_once_and_there_is_always_a_next() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "");
    let client = Tls::new(&pki, NAME).version(SslVersion::TLS1_3);
    visit(&lb, &client);
    for round in 0..5 {
        let given = client.sessions();
        assert!(resumes(&lb, &client), "round {round}");
        assert!(client.sessions() > given, "round {round}: no new ticket");
    }
}

fn with_keys(pki: &Pki, site: &Issued, origin: &Origin, file: &str, keys: &str) -> Equipoise {
    let path = pki.write(file, keys);
    let tls = format!(
        "{}\nsession_ticket_key_file: {}",
        certificates(&[site]),
        path.display()
    );
    secured(&[origin], &tls).start()
}

#[test]
fn nodes_and_restarts_share_tickets_by_their_key_file() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME]);
    let one = with_keys(&pki, &site, &origin, "one.keys", &key('a'));
    let two = with_keys(&pki, &site, &origin, "two.keys", &key('a'));
    let other = with_keys(&pki, &site, &origin, "other.keys", &key('b'));
    for version in VERSIONS {
        let client = Tls::new(&pki, NAME).version(version);
        visit(&one, &client);
        assert!(resumes(&two, &client), "another node, {version:?}");
        assert!(
            !resumes(&other, &client),
            "a node with another key, {version:?}"
        );
    }
    let client = Tls::new(&pki, NAME);
    visit(&one, &client);
    drop(one);
    let again = with_keys(&pki, &site, &origin, "one.keys", &key('a'));
    assert!(resumes(&again, &client), "after a restart");
}

#[test]
fn a_new_key_seals_tickets_and_the_old_one_still_opens_them() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME]);
    for version in VERSIONS {
        let lb = with_keys(&pki, &site, &origin, "rotated.keys", &key('a'));
        let newer = with_keys(&pki, &site, &origin, "newer.keys", &key('b'));
        let client = Tls::new(&pki, NAME).version(version);
        visit(&lb, &client);
        // Without a reload.
        pki.write("rotated.keys", key('b') + &key('a'));
        eventually(SOON, || {
            let stranger = Tls::new(&pki, NAME).version(version);
            visit(&lb, &stranger);
            resumes(&newer, &stranger)
        });
        assert!(resumes(&lb, &client), "the old ticket, {version:?}");
        assert!(
            resumes(&newer, &client),
            "and was renewed under the new key, {version:?}"
        );
        pki.write("rotated.keys", key('b'));
        let old = Tls::new(&pki, NAME).version(version);
        let older = with_keys(&pki, &site, &origin, "older.keys", &key('a'));
        visit(&older, &old);
        // The same ticket each time, not the one that it is renewed by.
        let old = old.resumed();
        eventually(SOON, || !visit(&lb, &old).ssl().session_reused());
    }
}

#[test]
fn a_broken_key_file_is_refused_and_the_keys_in_use_stay() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME]);
    let lb = with_keys(&pki, &site, &origin, "broken.keys", &key('a'));
    let client = Tls::new(&pki, NAME);
    visit(&lb, &client);
    pki.write("broken.keys", "short\n");
    let failures = [("listener", "web"), ("result", "failure")];
    eventually(SOON, || {
        lb.metrics()
            .value("equipoise_certificate_reloads_total", &failures)
            > 0.0
    });
    assert!(
        lb.stderr().contains("a key has at least 32 characters"),
        "{}",
        lb.stderr()
    );
    assert!(!lb.stderr().contains("short"), "secrets stay secret");
    assert!(resumes(&lb, &client));

    let path = pki.write("never.keys", "short\n");
    let tls = format!(
        "{}\nsession_ticket_key_file: {}",
        certificates(&[&site]),
        path.display()
    );
    let exit = Equipoise::run_to_exit(&secured(&[&origin], &tls).yaml());
    assert_eq!(exit.code(), Some(2));
    assert!(
        exit.stderr.contains("tls.session_ticket_key_file:"),
        "{}",
        exit.stderr
    );
}
