//! Upgrades again and again, under load of every kind: nothing is refused, nothing fails.

use super::*;
use crate::common::load::Site;

const UPGRADES: usize = 20;

#[test]
fn no_connection_is_refused_and_no_request_fails() {
    let site = Site::new();
    let mut lb = Equipoise::start(&site.yaml("", ""));
    let load = site.load(&lb);
    load.advance();
    let mut olds = Vec::new();
    for _ in 0..UPGRADES {
        olds.push(lb.upgrade());
        load.advance();
    }
    let done = load.end();
    for old in olds {
        assert_ends_well(old);
    }
    lb.wait_idle();
    let metrics = lb.metrics();
    let counted = |code| metrics.sum("equipoise_http_requests_total", &[("code", code)]);
    assert!(counted("2xx") >= 100.0 && done > 100, "{done}");
    assert_eq!(counted("4xx") + counted("5xx"), 0.0);
}
