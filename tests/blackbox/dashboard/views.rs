//! The views beside the list: listeners, sessions, certificates, events, what was refused, advice.

use super::{TOKEN, open, open_at, start};
use crate::common::*;

#[test]
fn events_from_before_the_page_was_opened_are_there() {
    let a = Origin::start("a");
    let lb =
        start(&Setup::of([&a]).pool(
            "health_check: {type: http, path: /health, interval: 100ms, fast_interval: 50ms}",
        ));
    lb.wait_state("app", "a", "up");
    let mut page = open(&lb);
    page.wait_text("#aside .feed", "app/a is up");
    a.set_health(503);
    page.wait_text("#aside .feed", "app/a is down");
    page.wait_text("#announcement", "app");
    page.click("#tab-events", "Events");
    page.wait_text("#panel-events", "app/a is up");
    page.wait_text("#panel-events", "app has no available server");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn listeners_say_what_they_rejected_and_what_was_refused_has_reasons() {
    let a = Origin::start("a");
    let lb = Setup::of([&a])
        .listener(
            "max_connections_per_client: 1\nroutes: [{match: {path: /secret}, deny: [\"127.0.0.0/8\"], pool: app}]",
        )
        .start();
    assert_eq!(lb.get("/secret", &[]).status, 403);
    let held = lb.client();
    eventually(SOON, || {
        lb.status()["listeners"][0]["connections_active"] == 1
    });
    assert!(Client::connect(lb.web()).is_closed_by_peer());
    let mut page = open_at(&lb, "#listeners");
    page.wait_text("#panel-listeners", "1 × client limit");
    drop(held);
    page.click("#tab-refused", "Refused");
    page.wait_text("#panel-refused", "denied");
    page.wait_text("#panel-refused", "/secret");
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn sessions_are_counted_found_and_forgotten() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]).pool("persistence: {type: source_ip}"));
    lb.get("/", &[]);
    lb.get("/", &[]);
    let mut page = open_at(&lb, "#sessions");
    page.wait_text("#panel-sessions table", "50.0 %");
    page.wait_text("#panel-sessions table", "1 of 1.00M");
    page.write("#panel-sessions input", "127.0.0.1");
    page.click("#panel-sessions button", "Find");
    page.wait_text("#panel-sessions [role=status]", "bound to a");
    page.click("#panel-sessions button", "Forget");
    page.write("#token", TOKEN);
    page.click("#dialog button", "Forget");
    page.wait("!document.getElementById('dialog').open");
    page.click("#panel-sessions button", "Find");
    page.wait_text("#panel-sessions [role=status]", "unknown");
}

#[test]
fn certificates_have_their_expiry_and_source_and_advice_what_to_do() {
    let a = Origin::start("a");
    let pki = Pki::new();
    let site = pki.expired(&["www.example.com"]);
    let lb = Setup::of([&a])
        .listener(&format!(
            "protocol: https\ntls: {{certificates: [{{cert: \"{}\", key: \"{}\"}}]}}",
            site.cert.display(),
            site.key.display()
        ))
        .start();
    let mut page = open_at(&lb, "#certificates");
    page.wait_text("#panel-certificates", "www.example.com");
    page.wait_text("#panel-certificates", "expired");
    page.wait_text("#panel-certificates", "file");
    page.wait_text(
        "#notices",
        "The certificate for www.example.com has expired",
    );
    page.click("#tab-advice", "Advice");
    page.wait_text("#panel-advice", "has expired: browsers refuse it");
    page.wait_text("#panel-advice", "It has a single server");
    page.wait("document.querySelector('#panel-advice a').href.includes('/docs/')");
    assert_eq!(page.complaints(), [""; 0]);
}
