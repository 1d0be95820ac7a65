//! SPEC section 5 beyond `cookie_insert`: every other type of persistence, what they have in common
//! when servers fail, and the session table.

mod clocks;
mod failures;
mod haproxy_dates;
mod learn;
mod learn_header;
mod name_token;
mod prefix;
mod regressions;
mod rewrite;
mod route;
mod route_cookie;
mod several;
mod source_ip;
mod table;
mod visitor;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::common::*;
pub use visitor::{Type, Visitor, application};

/// Checks fast and answers for a change at once.
pub const CHECKED: &str = "health_check: {type: http, path: /health, interval: 200ms, fast_interval: 50ms, rise: 1, fall: 1}";

/// `a`, `b` and `c`.
pub fn three() -> [Origin; 3] {
    ["a", "b", "c"].map(Origin::start)
}

/// As [`three`], with one script.
pub fn three_with(
    script: impl Fn(&Request) -> Answer + Clone + Send + Sync + 'static,
) -> [Origin; 3] {
    ["a", "b", "c"].map(|name| Origin::with(name, script.clone()))
}

/// Sets `app` with what follows `?set=` (`_` = a space, `!` = a quote), whatever came.
pub fn on_demand(request: &Request) -> Answer {
    match request.target.split_once("?set=") {
        Some((_, line)) => {
            Answer::ok().header("Set-Cookie", &line.replace('_', " ").replace('!', "\""))
        }
        None => Answer::ok(),
    }
}

/// A line as [`on_demand`] takes it in a URI.
pub fn target_of(line: &str) -> String {
    line.replace(' ', "_").replace('"', "!")
}

/// How often persistence had that result, once all that was asked is recorded.
#[track_caller]
pub fn result(lb: &Equipoise, result: &str) -> f64 {
    lb.wait_idle();
    lb.metrics().sum(
        "equipoise_persistence_total",
        &[("pool", "app"), ("result", result)],
    )
}

/// Makes a request and returns its response and the word that the access log has for its session, which
/// has to be the one that was counted.
#[track_caller]
pub fn ask(lb: &Equipoise, target: &str, headers: &[(&str, &str)]) -> (Response, String) {
    let (response, log) = observed(lb, || lb.get(target, headers));
    (
        response,
        log["persistence"].as_str().unwrap_or_default().to_owned(),
    )
}

/// Makes one request by `go`; its response, and its line in the access log.
#[track_caller]
pub fn observed(lb: &Equipoise, go: impl FnOnce() -> Response) -> (Response, Value) {
    lb.wait_idle();
    let before = lb.metrics();
    // Lines are written a moment after their request is counted.
    let lines = eventually(SOON, || {
        let (log, asked) = (lb.access_log().len(), requests(&before));
        if log as f64 == asked {
            Ok(log)
        } else {
            Err(format!("{log} lines of {asked} requests"))
        }
    });
    let response = go();
    let line = eventually(SOON, || lb.access_log().get(lines).cloned());
    let word = line["persistence"].as_str().unwrap_or_default();
    lb.wait_idle();
    let (labels, after) = ([("pool", "app"), ("result", word)], lb.metrics());
    let counted = |metrics: &Metrics| metrics.sum("equipoise_persistence_total", &labels);
    assert_eq!(
        counted(&after),
        counted(&before) + 1.0,
        "logged as {word:?}, counted as something else"
    );
    (response, line)
}

fn requests(metrics: &Metrics) -> f64 {
    metrics.sum("equipoise_http_request_duration_seconds_count", &[])
}

/// The session table's entries.
#[track_caller]
pub fn entries(lb: &Equipoise) -> f64 {
    lb.metrics()
        .value("equipoise_session_table_entries", &[("pool", "app")])
}

#[track_caller]
pub fn evictions(lb: &Equipoise) -> f64 {
    lb.metrics().value(
        "equipoise_session_table_evictions_total",
        &[("pool", "app")],
    )
}

/// Writes a configuration, asks for a reload, and waits until it is in force.
#[track_caller]
pub fn reload(lb: &Equipoise, setup: &Setup) {
    let done = || {
        lb.metrics()
            .sum("equipoise_config_reloads_total", &[("result", "success")])
    };
    let before = done();
    lb.rewrite(&setup.yaml());
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || {
        if done() > before {
            Ok(())
        } else {
            Err(lb.stderr())
        }
    });
}

/// What `check` says of a pool with that persistence; it has to be refused.
#[track_caller]
pub fn refused(persistence: &str) -> String {
    let dir = TempDir::new("check");
    let yaml = Setup::new()
        .server_at("a", "127.0.0.1:1", "")
        .pool(&format!("persistence: {persistence}"))
        .yaml();
    let file = dir.write("equipoise.yaml", &yaml);
    let exit = Equipoise::command(&["check", "-c", &file.display().to_string()]);
    let said = format!("{}{}", exit.stdout, exit.stderr);
    assert_eq!(exit.code(), Some(2), "{persistence}: {said}");
    said
}

/// A response's `Set-Cookie` lines, in order.
pub fn set_cookies(response: &Response) -> Vec<&str> {
    response.headers_of("set-cookie")
}

/// Sends header lines as they are and returns the `Cookie` lines that the origin got, in order.
#[track_caller]
pub fn cookies_at(lb: &Equipoise, origin: &Origin, lines: &[&str]) -> Vec<String> {
    let headers: Vec<_> = lines.iter().map(|line| ("Cookie", *line)).collect();
    let response = lb.get("/", &headers);
    assert_eq!(response.origin(), origin.name(), "for {lines:?}");
    origin
        .last_request()
        .headers_of("cookie")
        .iter()
        .map(|&l| l.to_owned())
        .collect()
}
