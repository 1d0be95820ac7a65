//! Certificates of clients: none, optional, required; revoked ones; and what servers are told.

use openssl::ssl::SslVersion;

use super::{NAME, certificates, secured};
use crate::common::pki::Authority;
use crate::common::{Equipoise, Issued, Origin, Pki, SOON, Setup, Tls, eventually};

const VERSIONS: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];

fn setup(pki: &Pki, origin: &Origin, client_auth: &str) -> Setup {
    let site = pki.leaf(&[NAME]);
    let tls = format!(
        "{}\nclient_auth: {{{client_auth}, forward: true}}",
        certificates(&[&site])
    );
    secured(&[origin], &tls)
}

fn asking(pki: &Pki, origin: &Origin, mode: &str) -> Equipoise {
    let ca = pki.root();
    setup(pki, origin, &format!("mode: {mode}, ca: {}", ca.display())).start()
}

/// With TLS 1.3 a client learns of a refusal only when it reads.
fn is_served(lb: &Equipoise, client: &Tls) -> bool {
    client
        .try_connect(lb.web())
        .and_then(|mut connection| connection.get("/", &[]))
        .is_ok_and(|response| response.status == 200)
}

fn told(origin: &Origin) -> Vec<(String, String)> {
    let request = origin.last_request();
    let mut told: Vec<_> = request
        .headers
        .iter()
        .filter(|(name, _)| {
            name.to_ascii_lowercase()
                .replace('_', "-")
                .starts_with("x-client-cert")
        })
        .cloned()
        .collect();
    told.sort();
    told
}

fn fingerprint(issued: &Issued) -> String {
    let digest = issued
        .leaf
        .digest(openssl::hash::MessageDigest::sha256())
        .unwrap();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn required_means_that_nobody_is_served_without_a_certificate_of_the_ca() {
    let (pki, other, origin) = (Pki::new(), Pki::new(), Origin::start("a"));
    let lb = asking(&pki, &origin, "required");
    let (alice, mallory) = (pki.client("alice"), other.client("alice"));
    let expired = pki.request(&["old"]).client().days(-30, -1).issue();
    for version in VERSIONS {
        let client = Tls::new(&pki, NAME).version(version);
        assert!(is_served(&lb, &client.clone().identity(&alice)));
        assert!(!is_served(&lb, &client), "without one");
        assert!(
            !is_served(&lb, &client.clone().identity(&mallory)),
            "of another authority"
        );
        assert!(
            !is_served(&lb, &client.clone().identity(&expired)),
            "expired"
        );
    }
    assert_eq!(origin.served(), VERSIONS.len());
    let failures = [("listener", "web"), ("result", "failure")];
    eventually(SOON, || {
        lb.metrics()
            .sum("equipoise_tls_handshakes_total", &failures)
            == 6.0
    });
}

#[test]
fn a_servers_certificate_is_no_clients_certificate() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = asking(&pki, &origin, "required");
    let server = pki.leaf(&["server.example.com"]);
    assert!(!is_served(&lb, &Tls::new(&pki, NAME).identity(&server)));
}

#[test]
fn optional_means_that_there_may_be_none_but_no_wrong_one() {
    let (pki, other, origin) = (Pki::new(), Pki::new(), Origin::start("a"));
    let lb = asking(&pki, &origin, "optional");
    let client = Tls::new(&pki, NAME);
    assert!(is_served(&lb, &client));
    assert_eq!(
        told(&origin),
        [("X-Client-Cert-Verify".into(), "NONE".into())]
    );
    assert!(is_served(
        &lb,
        &client.clone().identity(&pki.client("alice"))
    ));
    assert_eq!(told(&origin).len(), 4);
    assert!(!is_served(&lb, &client.identity(&other.client("alice"))));
}

#[test]
fn servers_are_told_who_the_client_is_and_nobody_else_can_say_so() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = asking(&pki, &origin, "optional");
    let alice = pki.client("alice");
    let forged = [
        ("X-Client-Cert-Subject", "CN=root"),
        ("x-client-cert-verify", "SUCCESS"),
        ("X_Client_Cert_Subject", "CN=root"),
        ("X-Client-Cert-Anything", "1"),
    ];
    let mut connection = Tls::new(&pki, NAME).identity(&alice).connect(lb.web());
    assert_eq!(connection.get("/", &forged).unwrap().status, 200);
    let serial = alice
        .leaf
        .serial_number()
        .to_bn()
        .unwrap()
        .to_hex_str()
        .unwrap()
        .to_string();
    assert_eq!(
        told(&origin),
        [
            ("X-Client-Cert-Fingerprint".to_owned(), fingerprint(&alice)),
            ("X-Client-Cert-Serial".to_owned(), serial),
            ("X-Client-Cert-Subject".to_owned(), "CN=alice".to_owned()),
            ("X-Client-Cert-Verify".to_owned(), "SUCCESS".to_owned()),
        ]
    );
    let mut connection = Tls::new(&pki, NAME).connect(lb.web());
    connection.get("/", &forged).unwrap();
    assert_eq!(
        told(&origin),
        [("X-Client-Cert-Verify".into(), "NONE".into())]
    );
    // Nor where certificates aren't asked for at all.
    let plain = Setup::of([&origin]).start();
    plain.get("/", &forged);
    assert_eq!(told(&origin), []);
}

#[test]
fn a_revoked_certificate_is_refused_and_so_is_its_session() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let (alice, bob) = (pki.client("alice"), pki.client("bob"));
    let crl = pki.crl(&[&alice]);
    let auth = format!(
        "mode: required, ca: {}, crl: {}",
        pki.root().display(),
        crl.display()
    );
    let lb = setup(&pki, &origin, &auth).start();
    for version in VERSIONS {
        let client = Tls::new(&pki, NAME).version(version);
        assert!(!is_served(&lb, &client.clone().identity(&alice)));
        let bobs = client.identity(&bob);
        assert!(is_served(&lb, &bobs));
        let resumed = bobs.clone().resumed().connect(lb.web());
        assert!(resumed.ssl().session_reused(), "he may go on, {version:?}");
    }
    // Bob is revoked while the program runs; his session must not help him.
    let sessions: Vec<Tls> = VERSIONS
        .iter()
        .map(|version| {
            let client = Tls::new(&pki, NAME).version(*version).identity(&bob);
            assert!(is_served(&lb, &client));
            client
        })
        .collect();
    std::fs::copy(pki.crl(&[&alice, &bob]), &crl).unwrap();
    let fresh = Tls::new(&pki, NAME).identity(&bob);
    eventually(SOON, || !is_served(&lb, &fresh));
    for client in sessions {
        assert!(!is_served(&lb, &client.resumed()));
    }
}

#[test]
fn revocation_lists_count_in_every_form_that_is_taken() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let (alice, bob) = (pki.client("alice"), pki.client("bob"));
    let pem = std::fs::read_to_string(pki.crl(&[&bob])).unwrap();
    let indented: String = pem.lines().map(|line| format!("  {line}\n")).collect();
    for (form, list) in [
        ("indented", indented.into_bytes()),
        ("BOM", format!("\u{feff}{pem}").into_bytes()),
        (
            "glued",
            pem.replace("-----\n-----", "----------").into_bytes(),
        ),
    ] {
        let crl = pki.write("list", list);
        let auth = format!(
            "mode: required, ca: {}, crl: {}",
            pki.root().display(),
            crl.display()
        );
        let lb = setup(&pki, &origin, &auth).start();
        let client = Tls::new(&pki, NAME);
        assert!(is_served(&lb, &client.clone().identity(&alice)), "{form}");
        assert!(!is_served(&lb, &client.identity(&bob)), "{form}");
    }
}

#[test]
fn a_revocation_list_that_ran_out_is_told_by_check_and_in_the_log() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let authority = Authority::root("Our clients");
    let ca = pki.write("clients-ca.pem", authority.pem());
    let (old, new) = (authority.crl(&[], -1), authority.crl(&[], 7));
    let crl = pki.write("list", &old);
    let auth = format!(
        "mode: optional, ca: {}, crl: {}",
        ca.display(),
        crl.display()
    );
    let (setup, said) = (
        setup(&pki, &origin, &auth),
        "the revocation list of CN=Our clients ran out on",
    );
    let checked = |yaml: &str| {
        let file = pki.write("equipoise.yaml", yaml);
        Equipoise::command(&["check", "-c", &file.display().to_string()])
    };
    let yaml = setup.yaml();
    let exit = checked(&yaml);
    assert_eq!(exit.code(), Some(1), "{exit:?}");
    let place = format!("listeners.web.tls.client_auth.crl: {said}");
    assert!(exit.stderr.contains(&place), "{exit:?}");
    let lb = setup.start();
    assert!(lb.stderr().contains(said), "{}", lb.stderr());
    // Beside a newer one of the same authority it does no harm.
    std::fs::write(&crl, [old, new].concat()).unwrap();
    assert!(!checked(&yaml).stderr.contains(said));
}

/// With something unread in it, a socket that is closed sends a reset, which takes the alert back.
#[test]
fn a_refused_client_is_told_why_although_it_has_sent_its_request_already() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let bob = pki.client("bob");
    let auth = format!(
        "mode: required, ca: {}, crl: {}",
        pki.root().display(),
        pki.crl(&[&bob]).display()
    );
    let lb = setup(&pki, &origin, &auth).start();
    for _ in 0..20 {
        let client = Tls::new(&pki, NAME)
            .version(SslVersion::TLS1_3)
            .identity(&bob);
        let mut connection = client.connect(lb.web());
        let told = connection.get("/", &[]).map(|response| response.status);
        let told = told.unwrap_err();
        assert!(told.to_string().contains("revoked"), "{told}");
    }
}

#[test]
fn a_session_begun_without_a_certificate_does_not_go_on_where_one_is_required() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let keys = pki.write("shared.keys", "k".repeat(64));
    let site = pki.leaf(&[NAME]);
    let shared = format!(
        "{}\nsession_ticket_key_file: {}",
        certificates(&[&site]),
        keys.display()
    );
    let open = secured(&[&origin], &shared).start();
    let closed = secured(
        &[&origin],
        &format!(
            "{shared}\nclient_auth: {{mode: required, ca: {}}}",
            pki.root().display()
        ),
    )
    .start();
    for version in VERSIONS {
        let client = Tls::new(&pki, NAME).version(version);
        assert!(is_served(&open, &client));
        assert!(is_served(&open, &client.clone().resumed()));
        assert!(!is_served(&closed, &client.resumed()), "{version:?}");
    }
}

#[test]
fn what_is_missing_for_client_certificates_is_a_problem() {
    let (pki, origin) = (Pki::new(), Origin::stopped("a"));
    let nothing = pki.write("nothing.pem", "");
    let root = pki.root();
    for (auth, part) in [
        ("mode: required".to_owned(), "tls.client_auth: needs ca"),
        (
            format!("mode: required, ca: {}", nothing.display()),
            "tls.client_auth.ca: ",
        ),
        (
            "mode: optional, ca: /nowhere/ca.pem".to_owned(),
            "tls.client_auth.ca: ",
        ),
        (
            format!(
                "mode: optional, ca: {}, crl: {}",
                root.display(),
                root.display()
            ),
            "tls.client_auth.crl: ",
        ),
    ] {
        let exit = Equipoise::run_to_exit(&setup(&pki, &origin, &auth).yaml());
        assert_eq!(exit.code(), Some(2), "{auth}: {}", exit.stderr);
        assert!(exit.stderr.contains(part), "{auth}: {}", exit.stderr);
    }
}
