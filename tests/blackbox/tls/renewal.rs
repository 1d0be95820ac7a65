//! Certificates that are renewed while the program runs.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use super::{NAME, certificates, secured, usual};
use crate::common::{Equipoise, Issued, Origin, Pki, SOON, Tls, eventually, holds_for};

fn served(lb: &Equipoise, pki: &Pki) -> Vec<u8> {
    let client = Tls::new(pki, NAME).connect(lb.web());
    client
        .ssl()
        .peer_certificate()
        .expect("a certificate")
        .to_der()
        .unwrap()
}

fn der(issued: &Issued) -> Vec<u8> {
    issued.leaf.to_der().unwrap()
}

fn reloads(lb: &Equipoise, result: &str) -> f64 {
    let labels = [("listener", "web"), ("result", result)];
    lb.metrics()
        .value("equipoise_certificate_reloads_total", &labels)
}

#[test]
fn files_that_are_written_anew_are_taken_up_and_connections_go_on() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let (old, new) = (pki.leaf(&[NAME]), pki.leaf(&[NAME]));
    let lb = secured(&[&origin], &certificates(&[&old])).start();
    let mut standing = Tls::new(&pki, NAME).connect(lb.web());
    assert_eq!(standing.get("/", &[]).unwrap().status, 200);
    fs::copy(&new.cert, &old.cert).unwrap();
    fs::copy(&new.key, &old.key).unwrap();
    eventually(SOON, || served(&lb, &pki) == der(&new));
    assert_eq!(reloads(&lb, "success"), 1.0);
    assert_eq!(standing.get("/", &[]).unwrap().status, 200);
}

#[test]
fn files_that_are_renamed_into_place_are_taken_up() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let old = pki.leaf(&[NAME]);
    let lb = secured(&[&origin], &certificates(&[&old])).start();
    // Again and again: the file that is watched is another one each time.
    for _ in 0..2 {
        let new = pki.leaf(&[NAME]);
        fs::rename(&new.cert, &old.cert).unwrap();
        fs::rename(&new.key, &old.key).unwrap();
        eventually(SOON, || served(&lb, &pki) == der(&new));
    }
}

#[test]
fn a_directory_that_is_swapped_by_a_symlink_is_taken_up() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    // As Kubernetes mounts a Secret: site.pem -> ..data/site.pem, ..data -> ..2026_11_20.
    let generation = |name: &str, issued: &Issued| {
        let dir = pki.path(name);
        fs::create_dir(&dir).unwrap();
        fs::copy(&issued.cert, dir.join("tls.crt")).unwrap();
        fs::copy(&issued.key, dir.join("tls.key")).unwrap();
    };
    let (old, new) = (pki.leaf(&[NAME]), pki.leaf(&[NAME]));
    generation("..1", &old);
    let link = |to: &str, from: &str| std::os::unix::fs::symlink(to, pki.path(from)).unwrap();
    link("..1", "..data");
    link("..data/tls.crt", "tls.crt");
    link("..data/tls.key", "tls.key");
    let tls = format!(
        "certificates: [{{cert: {}, key: {}}}]",
        pki.path("tls.crt").display(),
        pki.path("tls.key").display()
    );
    let lb = secured(&[&origin], &tls).start();
    assert_eq!(served(&lb, &pki), der(&old));
    generation("..2", &new);
    link("..2", "..data_tmp");
    fs::rename(pki.path("..data_tmp"), pki.path("..data")).unwrap();
    fs::remove_dir_all(pki.path("..1")).unwrap();
    eventually(SOON, || served(&lb, &pki) == der(&new));
}

#[test]
fn a_broken_file_is_refused_and_the_old_one_stays_live() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let (site, other, good) = (pki.leaf(&[NAME]), pki.leaf(&[NAME]), pki.leaf(&[NAME]));
    let lb = secured(&[&origin], &certificates(&[&site])).start();
    let at_first = der(&site);
    let mut refusals = 0.0;
    for (what, break_it) in [
        (
            "cut off",
            Box::new(|| {
                let text = fs::read(&site.cert).unwrap();
                fs::write(&site.cert, &text[..text.len() / 3]).unwrap();
            }) as Box<dyn Fn()>,
        ),
        (
            "the key of another",
            Box::new(|| {
                fs::copy(&good.cert, &site.cert).unwrap();
                fs::copy(&other.key, &site.key).unwrap();
            }),
        ),
        (
            "a pipe, which nobody writes to",
            Box::new(|| {
                fs::remove_file(&site.cert).unwrap();
                nix::unistd::mkfifo(&site.cert, nix::sys::stat::Mode::S_IRUSR).unwrap();
            }),
        ),
        ("gone", Box::new(|| fs::remove_file(&site.cert).unwrap())),
    ] {
        break_it();
        eventually(SOON, || reloads(&lb, "failure") > refusals);
        refusals = reloads(&lb, "failure");
        assert_eq!(served(&lb, &pki), at_first, "{what}");
        let refused = &lb.status()["certificates_refused"];
        assert_eq!(refused[0]["listener"], "web", "{what}: {refused}");
        let reason = refused[0]["reason"].as_str().unwrap();
        let directory = site.cert.parent().unwrap().display().to_string();
        assert!(reason.contains(&directory), "{what}: {reason}");
    }
    let advice = lb.admin_get("/api/v1/advice").text();
    assert!(advice.contains("certificate_refused"), "{advice}");
    let url = format!("http://{}", lb.admin());
    let shown = Equipoise::command(&["status", "--admin", &url]).stdout;
    assert!(shown.contains("listener web serves what it did"), "{shown}");
    assert_eq!(reloads(&lb, "success"), 0.0);
    let log = lb.stderr();
    assert!(log.contains("what was in use before stays in use"), "{log}");
    // A reload is refused as well.
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || lb.stderr().contains("reload refused"));
    assert_eq!(served(&lb, &pki), at_first);
    // And what is mended is taken up.
    fs::copy(&good.cert, &site.cert).unwrap();
    fs::copy(&good.key, &site.key).unwrap();
    eventually(SOON, || served(&lb, &pki) == der(&good));
    eventually(SOON, || {
        lb.status()["certificates_refused"] == serde_json::json!([])
    });
}

#[test]
fn of_several_certificates_only_the_broken_one_stays_as_it_was() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let (broken, renewed) = (pki.leaf(&["broken.example.com"]), pki.leaf(&[NAME]));
    let new = pki.leaf(&[NAME]);
    let lb = secured(&[&origin], &certificates(&[&broken, &renewed])).start();
    fs::write(&broken.cert, "nothing").unwrap();
    fs::copy(&new.cert, &renewed.cert).unwrap();
    fs::copy(&new.key, &renewed.key).unwrap();
    eventually(SOON, || served(&lb, &pki) == der(&new));
    let client = Tls::new(&pki, "broken.example.com").connect(lb.web());
    assert_eq!(
        client.ssl().peer_certificate().unwrap().to_der().unwrap(),
        der(&broken)
    );
}

#[test]
fn a_broken_revocation_list_does_not_keep_certificates_from_renewal() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let (site, new) = (pki.leaf(&[NAME]), pki.leaf(&[NAME]));
    let (alice, bob) = (pki.client("alice"), pki.client("bob"));
    let crl = pki.crl(&[&bob]);
    let tls = format!(
        "{}\nclient_auth: {{mode: required, ca: {}, crl: {}}}",
        certificates(&[&site]),
        pki.root().display(),
        crl.display()
    );
    let lb = secured(&[&origin], &tls).start();
    let shown_to = |client: &Issued| {
        let mut connection = Tls::new(&pki, NAME)
            .identity(client)
            .try_connect(lb.web())
            .ok()?;
        let response = connection.get("/", &[]).ok()?;
        assert_eq!(response.status, 200);
        connection.ssl().peer_certificate()?.to_der().ok()
    };
    assert_eq!(shown_to(&alice), Some(der(&site)));
    fs::write(&crl, "nothing").unwrap();
    eventually(SOON, || reloads(&lb, "failure") == 1.0);
    fs::copy(&new.cert, &site.cert).unwrap();
    fs::copy(&new.key, &site.key).unwrap();
    eventually(SOON, || shown_to(&alice) == Some(der(&new)));
    assert_eq!(shown_to(&bob), None, "the list before still counts");
    assert_eq!(reloads(&lb, "success"), 0.0);
}

#[test]
fn a_reload_takes_other_certificates_and_settings() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let (old, new) = (pki.leaf(&[NAME]), pki.leaf(&[NAME]));
    let lb = secured(&[&origin], &certificates(&[&old])).start();
    let mut standing = Tls::new(&pki, NAME).connect(lb.web());
    let stricter = format!("{}\nstrict_sni: true", certificates(&[&new]));
    lb.rewrite(&secured(&[&origin], &stricter).yaml());
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || served(&lb, &pki) == der(&new));
    assert!(
        Tls::new(&pki, NAME)
            .without_name()
            .try_connect(lb.web())
            .is_err()
    );
    assert_eq!(standing.get("/", &[]).unwrap().status, 200);
}

#[test]
fn the_expiry_of_each_name_is_a_metric_that_follows_renewals() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki
        .request(&[NAME, "*.shop.example.com"])
        .days(-1, 10)
        .issue();
    let lb = secured(&[&origin], &certificates(&[&site])).start();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    let days = |name: &str| {
        let labels = [("listener", "web"), ("name", name)];
        let at = lb
            .metrics()
            .value("equipoise_certificate_expiry_timestamp_seconds", &labels);
        ((at - now) / 86_400.0).round()
    };
    assert_eq!(days(NAME), 10.0);
    assert_eq!(days("*.shop.example.com"), 10.0);
    let log = lb.stderr();
    assert!(
        log.contains("WARN") && log.contains("expires within 30 days"),
        "{log}"
    );
    let new = pki.request(&[NAME]).days(-1, 80).issue();
    fs::copy(&new.cert, &site.cert).unwrap();
    fs::copy(&new.key, &site.key).unwrap();
    eventually(SOON, || days(NAME) == 80.0);
    let gone = [("listener", "web"), ("name", "*.shop.example.com")];
    assert!(
        !lb.metrics()
            .has("equipoise_certificate_expiry_timestamp_seconds", &gone)
    );
}

#[test]
fn what_has_not_changed_is_left_alone() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let lb = usual(&pki, &origin, "");
    holds_for(Duration::from_secs(3), || {
        reloads(&lb, "success") + reloads(&lb, "failure") == 0.0
    });
}

#[test]
fn what_was_sorted_out_for_serving_is_logged() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME]);
    let text = fs::read_to_string(&site.cert).unwrap();
    // The intermediate first, Windows line ends, a blank line between.
    let at = text.rfind("-----BEGIN").unwrap();
    let messy = format!("{}\n{}", &text[at..], &text[..at]).replace('\n', "\r\n");
    fs::write(&site.cert, messy).unwrap();
    let lb = secured(&[&origin], &certificates(&[&site])).start();
    let mut client = Tls::new(&pki, NAME).connect(lb.web());
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    assert_eq!(client.ssl().peer_cert_chain().unwrap().len(), 2);
    assert!(
        lb.stderr().contains("sorted out for serving"),
        "{}",
        lb.stderr()
    );
}
