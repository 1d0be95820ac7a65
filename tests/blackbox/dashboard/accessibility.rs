//! The page for who hears it, sees little of it, or has it on a phone.

use super::{open, start};
use crate::common::peers::Page;
use crate::common::*;

/// [axe](https://github.com/dequelabs/axe-core): what WCAG and good practice ask for, as far as a program can tell.
const AXE: &str = include_str!("../../peers/axe-core/axe.min.js");

/// Faults by rule, each with the elements that have it.
const FAULTS: &str = "axe.run(document, {resultTypes: ['violations']}).then((found) => \
    found.violations.map((one) => one.id + ': ' + one.nodes.map((node) => node.target + ' ' + node.failureSummary).join('; ')))";

#[track_caller]
fn assert_faultless(page: &mut Page, what: &str) {
    let faults = page.eval(FAULTS);
    assert_eq!(faults, serde_json::json!([]), "{what}: {faults:#}");
}

#[test]
fn axe_finds_no_fault_in_any_view() {
    let (a, pki) = (Origin::start("a"), Pki::new());
    let site = pki.expired(&["www.example.com"]);
    // Something of everything: trouble, a server that is drained, sessions, a certificate, a request that was refused.
    let lb = start(
        &Setup::of([&a])
            .server_at("b", "127.0.0.1:1", "")
            .pool("persistence: {type: source_ip}\nhealth_check: {type: tcp, interval: 200ms, fall: 1}")
            .listener(&format!(
                "protocol: https\ntls: {{certificate: {{cert: \"{}\", key: \"{}\"}}}}",
                site.cert.display(),
                site.key.display()
            )),
    );
    lb.wait_state("app", "b", "down");
    let refused = Client::connect(lb.web()).get("/", &[]).unwrap();
    assert_eq!(refused.status, 400, "plain HTTP");
    let mut page = open(&lb);
    page.eval(AXE);
    page.wait_text("#rows", "app");
    for (width, height) in [(1440, 900), (390, 844)] {
        page.resize(width, height);
        for is_dark in [false, true] {
            page.set_dark(is_dark);
            for view in [
                "pools",
                "listeners",
                "sessions",
                "certificates",
                "events",
                "refused",
                "advice",
            ] {
                page.click(&format!("#tab-{view}"), "");
                page.wait(&format!("!document.getElementById('panel-{view}').hidden"));
                let what = format!("{view}, {width} wide, dark: {is_dark}");
                assert_faultless(&mut page, &what);
                let needed = page.eval("document.documentElement.scrollWidth");
                assert!(
                    needed.as_u64().unwrap() <= u64::from(width),
                    "{what}: {needed}"
                );
            }
            page.click("#tab-pools", "");
            page.click("#rows [role=row]", "");
            page.wait_text("#aside", "app");
            assert_faultless(&mut page, "details");
            page.press("Escape");
            // What the pointer is on can be read, too: a button that is pressed, and one that is to be thought about.
            page.click("#trouble", "");
            page.point_at("#trouble");
            assert_faultless(&mut page, "a pressed button under the pointer");
            page.click("#trouble", "");
            page.click("#drain", "Drain");
            page.wait("document.querySelector('dialog').open");
            page.point_at("dialog button.go");
            assert_faultless(&mut page, "the button of a question under the pointer");
            page.eval("document.querySelector('dialog').close()");
        }
    }
    assert_eq!(page.complaints(), [""; 0]);
}
