//! What the API shows of how it went: the history, errors by reason, and advice.

use serde_json::{Value, json};

use super::{assert_problem, start};
use crate::common::*;

fn sum(series: &Value) -> f64 {
    series
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_f64().unwrap())
        .sum()
}

#[test]
fn the_history_has_rates_latencies_and_errors_of_late() {
    let a = Origin::with("a", |request| match request.target.as_str() {
        "/missing" => Answer::status(404),
        "/broken" => Answer::status(500),
        _ => Answer::ok(),
    });
    let lb = start(&Setup::of([&a]));
    for target in ["/", "/", "/missing", "/broken"] {
        lb.get(target, &[]);
    }
    let history = eventually(3 * SOON, || {
        let history = lb.admin_get("/api/v1/history").json();
        (sum(&history["all"]["requests"]) > 0.0).then_some(history)
    });
    assert_eq!(history["interval"], 5.0);
    let (all, app) = (&history["all"], &history["pools"][0]);
    assert_eq!(app["name"], "app");
    for series in [all, app] {
        // Over about 5 s: 4 requests, one of each kind of error.
        let requests = sum(&series["requests"]);
        assert!(requests > 0.1 && requests < 1.0, "{series}");
        for class in ["responses_4xx", "responses_5xx"] {
            let errors = sum(&series[class]);
            assert!(errors > 0.02 && errors < 0.25, "{class}: {series}");
        }
        assert_eq!(sum(&series["broken"]), 0.0);
        let latencies = series["p99"].as_array().unwrap();
        assert!(latencies.iter().any(Value::is_number), "{series}");
        assert_eq!(series["active"].as_array().unwrap().len(), latencies.len());
    }
    let last = history["last"].as_u64().unwrap();
    let times = history["times"].as_array().unwrap();
    assert_eq!(times.len() as u64, last);
    let newer = lb
        .admin_get(&format!("/api/v1/history?after={last}"))
        .json();
    let came = newer["last"].as_u64().unwrap() - last;
    assert_eq!(newer["times"].as_array().unwrap().len() as u64, came);
    for after in ["x", "-1", "1.5", "4294967296"] {
        assert_problem(
            &lb.admin_get(&format!("/api/v1/history?after={after}")),
            400,
        );
    }
    let pool = &lb.status()["pools"][0];
    assert_eq!(pool["error_reasons"], json!({"status": 1}));
    let classes = json!({"1xx": 0, "2xx": 2, "3xx": 0, "4xx": 1, "5xx": 1});
    assert_eq!(pool["responses"], classes);
    assert!(pool["latency_percentiles"]["p95"].is_number(), "{pool}");
}

fn keys(lb: &Equipoise) -> Vec<String> {
    let advice = lb.admin_get("/api/v1/advice").json();
    let advice = advice.as_array().unwrap().clone();
    for one in &advice {
        for field in ["about", "finding", "remedy"] {
            assert!(!one[field].as_str().unwrap().is_empty(), "{one}");
        }
        assert!(one["docs"].as_str().unwrap().contains("/docs/"), "{one}");
    }
    advice
        .iter()
        .map(|one| {
            format!(
                "{} {}",
                one["key"].as_str().unwrap(),
                one["about"].as_str().unwrap()
            )
        })
        .filter(|key| !key.starts_with("too_few_descriptors"))
        .collect()
}

#[test]
fn advice_is_of_the_configuration_and_of_how_it_goes() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let plain = Setup::of([&a, &b]);
    let lb = plain.start();
    assert_eq!(
        keys(&lb),
        ["no_health_check pool app", "admin_only_reads instance"]
    );
    let checked = Setup::of([&a, &b])
        .pool("health_check: {type: http, path: /health, interval: 100ms, fast_interval: 50ms}");
    let lb = start(&checked);
    lb.wait_state("app", "a", "up");
    lb.wait_state("app", "b", "up");
    assert_eq!(keys(&lb), [""; 0]);
    a.set_health(503);
    lb.wait_state("app", "a", "down");
    assert_eq!(keys(&lb), ["one_server_left pool app"]);
    b.set_health(503);
    lb.wait_state("app", "b", "down");
    assert_eq!(keys(&lb), ["no_server_available pool app"]);
}
