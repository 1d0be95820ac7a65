//! The files that a pool's TLS names: at the start, in `check`, and when they change.

use nix::sys::signal::Signal;

use crate::common::*;

fn pool(pki: &Pki, origin: &SecureOrigin, more: &str) -> Setup {
    let ca = pki.path("ca.pem").display().to_string();
    Setup::new()
        .server_at("s1", &origin.address().to_string(), "")
        .pool(&format!("tls: {{ca: \"{ca}\"{more}}}"))
}

fn certificate(own: &Issued) -> String {
    format!(
        ", certificate: {{cert: \"{}\", key: \"{}\"}}",
        own.cert.display(),
        own.key.display()
    )
}

#[track_caller]
fn reload(lb: &Equipoise, result: &str) {
    let name = "equipoise_config_reloads_total";
    let count = || lb.metrics().sum(name, &[("result", result)]);
    let before = count();
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || count() > before);
}

#[test]
fn broken_files_stop_the_start_with_their_place() {
    let pki = Pki::new();
    let origin = SecureOrigin::start("s1", &pki.leaf(&["127.0.0.1"]));
    let own = pki.client("edge");
    let other = pki.client("other");
    pki.write("ca.pem", pki.root_pem());
    let swapped = format!(
        ", certificate: {{cert: \"{}\", key: \"{}\"}}",
        own.cert.display(),
        other.key.display()
    );
    let missing = format!(
        ", certificate: {{cert: {}, key: {}}}",
        pki.path("none.pem").display(),
        own.key.display()
    );
    for (more, word) in [(swapped, "key"), (missing, "none.pem")] {
        let yaml = pool(&pki, &origin, &more).yaml();
        let exit = Equipoise::run_to_exit(&yaml);
        assert_eq!(exit.code(), Some(2), "{exit:?}");
        assert!(
            exit.stderr.contains("pools.app.tls.certificate") && exit.stderr.contains(word),
            "{exit:?}"
        );
    }
    for (content, word) in [("nothing", "ca.pem"), ("", "ca.pem")] {
        pki.write("ca.pem", content);
        let yaml = pool(&pki, &origin, "").yaml();
        let exit = Equipoise::run_to_exit(&yaml);
        assert_eq!(exit.code(), Some(2), "{exit:?}");
        assert!(
            exit.stderr.contains("pools.app.tls.ca") && exit.stderr.contains(word),
            "{exit:?}"
        );
        let dir = TempDir::new("check");
        let file = dir.write("equipoise.yaml", &yaml);
        let exit = Equipoise::command(&["check", "-c", &file.display().to_string()]);
        assert_eq!(exit.code(), Some(2), "{exit:?}");
        assert!(exit.stderr.contains("pools.app.tls.ca"), "{exit:?}");
    }
}

#[test]
fn a_reload_reads_the_files_again_and_uses_no_connection_made_by_other_rules() {
    let pki = Pki::new();
    let stranger = Pki::new();
    pki.write("ca.pem", pki.root_pem());
    let origin = SecureOrigin::start("s1", &pki.leaf(&["127.0.0.1"]));
    let lb = pool(&pki, &origin, "").start();
    assert_eq!(lb.get("/", &[]).status, 200);
    reload(&lb, "success");
    assert_eq!(lb.get("/", &[]).status, 200);
    assert_eq!(origin.greetings().len(), 1, "nothing has changed");

    // Only what is in the file: the kept connection must not go on.
    pki.write("ca.pem", stranger.root_pem());
    reload(&lb, "success");
    assert_eq!(lb.get("/", &[]).status, 502);
    pki.write("ca.pem", pki.root_pem());
    reload(&lb, "success");
    assert_eq!(lb.get("/", &[]).status, 200);
    assert_eq!(origin.served(), 3);
}

#[test]
fn a_renewed_client_certificate_is_shown_after_a_reload() {
    let pki = Pki::new();
    pki.write("ca.pem", pki.root_pem());
    let origin = SecureOrigin::wanting("s1", &pki.leaf(&["127.0.0.1"]), &pki);
    let (first, second) = (pki.client("first"), pki.client("second"));
    let lb = pool(&pki, &origin, &certificate(&first)).start();
    assert_eq!(lb.get("/", &[]).status, 200);
    assert_eq!(origin.last_greeting().client.as_deref(), Some("first"));
    std::fs::copy(&second.cert, &first.cert).unwrap();
    std::fs::copy(&second.key, &first.key).unwrap();
    reload(&lb, "success");
    assert_eq!(lb.get("/", &[]).status, 200);
    assert_eq!(origin.last_greeting().client.as_deref(), Some("second"));
}

#[test]
fn a_reload_with_a_broken_file_is_refused_and_all_goes_on() {
    let pki = Pki::new();
    pki.write("ca.pem", pki.root_pem());
    let origin = SecureOrigin::start("s1", &pki.leaf(&["127.0.0.1"]));
    let lb = pool(&pki, &origin, "").start();
    assert_eq!(lb.get("/", &[]).status, 200);
    for content in ["half a certificate", ""] {
        pki.write("ca.pem", content);
        reload(&lb, "failure");
        assert!(lb.stderr().contains("pools.app.tls.ca"), "{}", lb.stderr());
        assert_eq!(lb.get("/", &[]).status, 200);
    }
    assert_eq!(origin.greetings().len(), 1);
}

#[test]
fn a_unix_socket_needs_a_name_to_be_verified_by() {
    let setup = Setup::new().server_at("s1", "unix:/run/app.sock", "");
    let exit = Equipoise::run_to_exit(&setup.clone().pool("tls: {}").yaml());
    assert_eq!(exit.code(), Some(2), "{exit:?}");
    assert!(
        exit.stderr.contains("pools.app.tls: needs server_name"),
        "{exit:?}"
    );
    let dir = TempDir::new("check");
    let named = setup.pool("tls: {server_name: app.internal}").yaml();
    let file = dir.write("equipoise.yaml", &named);
    let exit = Equipoise::command(&["check", "-c", &file.display().to_string()]);
    assert_eq!(exit.code(), Some(0), "{exit:?}");
}
