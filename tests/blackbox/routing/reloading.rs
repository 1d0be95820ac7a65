//! Routes change while requests are under way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::Signal;

use super::{named, yaml};
use crate::common::*;

#[test]
fn changed_routes_count_at_once_and_no_request_fails() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let to = |pool: &str, prefix: &str| {
        let listener = format!(
            "http: {{keepalive_requests: 0}}\nroutes:\n\
             - {{match: {{path_prefix: /x}}, pool: {pool}, rewrite: {{prefix: {prefix}}}}}\n\
             - {{match: {{path: /never}}, pool: a}}\n- {{match: {{path: /never}}, pool: b}}\n"
        );
        yaml(&listener, &named(&[&a, &b]))
    };
    let lb = Equipoise::start(&to("a", "/from-a"));
    let reloads = || lb.metrics().sum("equipoise_config_reloads_total", &[]);
    let (done, had) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = lb.client();
                while !done.load(Ordering::Relaxed) {
                    let response = client.get("/x/y", &[]).expect("no connection is closed");
                    assert_eq!(response.status, 200);
                    had.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for turn in 0..6 {
            let had_before = had.load(Ordering::Relaxed);
            eventually(SOON, || had.load(Ordering::Relaxed) > had_before + 20);
            let before = reloads();
            lb.rewrite(&if turn % 2 == 0 {
                to("b", "/from-b")
            } else {
                to("a", "/from-a")
            });
            lb.signal(Signal::SIGHUP);
            eventually(SOON, || reloads() > before);
            let wanted = if turn % 2 == 0 { "b" } else { "a" };
            assert_eq!(lb.get("/x/z", &[]).origin(), wanted);
        }
        done.store(true, Ordering::Relaxed);
    });
    for (origin, prefix) in [(&a, "/from-a/"), (&b, "/from-b/")] {
        let requests = origin.requests();
        assert!(requests.iter().all(|seen| seen.target.starts_with(prefix)));
        assert!(!requests.is_empty());
    }
}
