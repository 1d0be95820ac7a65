//! What is seen first.

use nix::sys::signal::Signal;
use serde_json::json;

use super::{ROWS, open, start};
use crate::common::*;

#[test]
fn pools_in_trouble_come_first_with_their_reasons() {
    let a = Origin::start("a");
    let gone = "pools:\n  gone: {servers: [{name: x, address: \"127.0.0.1:1\"}], health_check: {type: tcp, interval: 200ms, fall: 1}}";
    let yaml = Setup::of([&a])
        .listener("routes: [{match: {path: /gone}, pool: gone}]")
        .yaml();
    let yaml = yaml.replacen("pools:", gone, 1);
    let lb = Equipoise::start(&yaml);
    lb.wait_state("gone", "x", "down");
    let mut page = open(&lb);
    page.wait_text("#rows", "gone");
    let rows = page.wait(&format!("{ROWS}.length === 4 && {ROWS}"));
    assert!(rows[0].as_str().unwrap().contains("gone"), "{rows}");
    assert!(rows[2].as_str().unwrap().contains("app"), "{rows}");
    page.wait_text("#rows .state", "0 of 1 up");
    page.wait_text("#rows .note", "refused");
    // Errors since the page was opened, with the reason in words.
    for _ in 0..3 {
        assert_eq!(lb.get("/gone", &[]).status, 503);
    }
    page.wait_text("#rows .note", "3 × no server");
    page.wait_text("#figures", "3 unserved");
    page.wait_text("#figures", "1 of 2");
    page.wait("document.title.startsWith('3 errors, 1 down')");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn errors_from_before_the_page_was_opened_belong_to_the_last_minute() {
    let broken = Origin::with("a", |request: &Request| {
        Answer::status(if request.target == "/fails" { 500 } else { 200 })
    });
    let lb = start(&Setup::of([&broken]));
    for _ in 0..20 {
        assert_eq!(lb.get("/fails", &[]).status, 500);
    }
    let errors = || {
        let history = lb.admin_get("/api/v1/history").json();
        let samples = history["all"]["responses_5xx"].as_array().unwrap().clone();
        samples
            .iter()
            .filter_map(serde_json::Value::as_f64)
            .sum::<f64>()
            > 0.0
    };
    eventually(3 * SOON, errors);
    let mut page = open(&lb);
    page.wait_text("#figures .bad", "20");
    page.wait_text("#figures", "1 of 1");
    page.wait("document.title.startsWith('20 errors')");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn the_page_asks_nobody_else_and_is_small() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    let mut page = open(&lb);
    page.wait("performance.getEntriesByType('resource').length > 2");
    let foreign = page.eval("performance.getEntriesByType('resource').map((one) => one.name).filter((name) => !name.startsWith(location.origin))");
    assert_eq!(foreign, json!([]));
    assert!(
        page.eval("document.querySelectorAll('*').length")
            .as_u64()
            .unwrap()
            < 1000
    );
    for (width, theme) in [(1440, "dark"), (1024, "light"), (390, "auto")] {
        page.resize(width, 900);
        page.wait(&format!(
            "(() => {{ const theme = document.getElementById('theme'); if (!theme.textContent.endsWith('{theme}')) theme.click(); return theme.textContent.endsWith('{theme}'); }})()"
        ));
        let wide = page.eval("document.documentElement.scrollWidth > innerWidth");
        assert_eq!(wide, false, "at {width}");
    }
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn plots_begin_before_the_page_was_opened_and_are_read_by_key() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    lb.get("/", &[]);
    eventually(3 * SOON, || {
        lb.admin_get("/api/v1/history").json()["last"]
            .as_u64()
            .unwrap()
            >= 2
    });
    let mut page = open(&lb);
    let slider = "document.querySelector('[role=slider][aria-label^=Requests]')";
    page.wait(&format!(
        "Number({slider}.getAttribute('aria-valuemax')) >= 1"
    ));
    page.eval(&format!("{slider}.focus()"));
    page.press("Home");
    let first = page.wait(&format!(
        "{slider}.getAttribute('aria-valuenow') === '0' && {slider}.getAttribute('aria-valuetext')"
    ));
    assert!(first.as_str().unwrap().contains("per second"), "{first}");
    // All plots are at that moment, and say when it was.
    page.wait("[...document.querySelectorAll('#plots time')].every((time) => /^[0-9]+:[0-9]+:[0-9]+/.test(time.textContent))");
    page.press("ArrowRight");
    page.wait(&format!("{slider}.getAttribute('aria-valuenow') === '1'"));
    page.press("Escape");
    page.wait("[...document.querySelectorAll('#plots time')].every((time) => !time.textContent)");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn a_refused_reload_stays_on_top() {
    let a = Origin::start("a");
    let setup = Setup::of([&a]);
    let lb = start(&setup);
    lb.rewrite(&format!("nonsense: 1\n{}", setup.yaml()));
    lb.signal(Signal::SIGHUP);
    let mut page = open(&lb);
    page.wait_text("#notices", "nonsense");
    page.wait_text("footer", "refused");
}

#[test]
fn a_file_of_tls_that_cannot_be_used_stays_on_top_until_it_is_put_right() {
    let (a, pki) = (Origin::start("a"), Pki::new());
    let site = pki.leaf(&["www.example.com"]);
    let good = std::fs::read(&site.cert).unwrap();
    let lb = Setup::of([&a])
        .listener(&format!(
            "protocol: https\ntls: {{certificate: {{cert: \"{}\", key: \"{}\"}}}}",
            site.cert.display(),
            site.key.display()
        ))
        .start();
    let mut page = open(&lb);
    std::fs::write(&site.cert, "nonsense").unwrap();
    page.wait_text("#notices", "A file of listener web's TLS can't be used");
    std::fs::write(&site.cert, &good).unwrap();
    page.wait("!document.getElementById('notices').textContent");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn an_instance_that_is_gone_is_told() {
    let a = Origin::start("a");
    let mut lb = start(&Setup::of([&a]));
    let mut page = open(&lb);
    lb.signal(Signal::SIGKILL);
    lb.wait_exit(SOON);
    page.wait_text("#link", "unreachable");
    page.wait_text("#notices", "What is shown is old");
    page.wait_text("#rows", "app");
}
