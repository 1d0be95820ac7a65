//! Reloads again and again, under load of every kind: nothing is refused, nothing fails, nothing is left behind.

use super::flat::{memory, settled};
use super::reload;
use crate::common::load::{Load, Site};
use crate::common::*;

/// As many as a test machine bears beside others.
const RELOADS: usize = 20;

/// Two configurations in turns: listeners, pools, servers, weights and limits differ.
fn reload_often(lb: &Equipoise, site: &Site, load: &Load, count: usize) {
    let more: String = (0..5)
        .map(|n| format!("  more{n}: {{bind: \"127.0.0.1:0\", protocol: tcp, pool: other}}\n"))
        .collect();
    let other = |weight: u32| {
        format!("  other: {{servers: [{{name: x, address: \"127.0.0.1:9\", weight: {weight}}}]}}\n")
    };
    let large = site
        .yaml(&more, &other(3))
        .replace("pool: app", "pool: app\n    max_connections: 5000");
    let small = site.yaml("", "");
    for round in 0..count {
        reload(lb, if round % 2 == 0 { &large } else { &small });
        assert_eq!(lb.status()["reload"]["result"], "success");
        load.advance();
    }
}

#[test]
fn no_connection_is_refused_and_no_request_fails() {
    let site = Site::new();
    let lb = Equipoise::start(&site.yaml("", ""));
    let load = site.load(&lb);
    reload_often(&lb, &site, &load, 10);
    let before = memory(&lb);
    let calm = load.slowest();
    reload_often(&lb, &site, &load, RELOADS);
    let (busy, after) = (load.slowest(), memory(&lb));
    let open = lb.descriptors().len();
    let done = load.end();
    println!(
        "{RELOADS} reloads, {done} requests and echoes; memory {before} kB, then {after} kB; {open} descriptors; slowest {calm:?}, then {busy:?}"
    );
    assert!(after < before + 24 * 1024, "{before} kB, then {after} kB");
    lb.wait_idle_servers();
    assert!(settled(&lb) < open, "{open}, and no fewer without clients");
    let metrics = lb.metrics();
    let counted = |code| metrics.sum("equipoise_http_requests_total", &[("code", code)]);
    assert_eq!(counted("4xx") + counted("5xx"), 0.0);
    assert!(counted("2xx") > 100.0);
}
