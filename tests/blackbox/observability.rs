//! SPEC sections 11 and 12: metrics, access log, admin endpoints.

use crate::common::*;

#[test]
fn every_metric_has_its_name_and_labels() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Setup::of([&a, &b])
        .pool("persistence: {type: cookie_insert}\nhealth_check: {type: tcp, interval: 200ms}")
        .start();
    lb.wait_state("app", "a", "up");
    for _ in 0..4 {
        lb.get("/", &[]);
    }
    lb.wait_idle();
    let metrics = lb.metrics();
    let names: &[(&str, &[&str])] = &[
        ("equipoise_build_info", &["version", "rustc"]),
        ("equipoise_connections_total", &["listener"]),
        ("equipoise_connections_active", &["listener"]),
        (
            "equipoise_http_requests_total",
            &["listener", "pool", "server", "code"],
        ),
        (
            "equipoise_http_request_duration_seconds_bucket",
            &["listener", "pool", "le"],
        ),
        (
            "equipoise_http_request_duration_seconds_count",
            &["listener", "pool"],
        ),
        (
            "equipoise_http_responses_total",
            &["listener", "pool", "code"],
        ),
        ("equipoise_errors_total", &["listener", "pool", "reason"]),
        (
            "equipoise_connections_rejected_total",
            &["listener", "reason"],
        ),
        (
            "equipoise_upstream_response_seconds_bucket",
            &["pool", "le"],
        ),
        ("equipoise_upstream_response_seconds_count", &["pool"]),
        ("equipoise_upstream_connect_seconds_count", &["pool"]),
        ("equipoise_server_response_seconds_sum", &["pool", "server"]),
        (
            "equipoise_server_response_seconds_count",
            &["pool", "server"],
        ),
        (
            "equipoise_server_bytes_total",
            &["pool", "server", "direction"],
        ),
        ("equipoise_queue_seconds_bucket", &["pool", "le"]),
        ("equipoise_queue_seconds_count", &["pool"]),
        (
            "equipoise_server_last_change_timestamp_seconds",
            &["pool", "server"],
        ),
        ("equipoise_retries_total", &["pool", "reason"]),
        ("equipoise_config_reloads_total", &["result"]),
        (
            "equipoise_config_last_reload_success_timestamp_seconds",
            &[],
        ),
        (
            "equipoise_upstream_connections_total",
            &["pool", "server", "reused"],
        ),
        ("equipoise_server_active", &["pool", "server"]),
        ("equipoise_server_weight", &["pool", "server"]),
        ("equipoise_server_up", &["pool", "server"]),
        ("equipoise_server_state", &["pool", "server", "state"]),
        ("equipoise_server_picks_total", &["pool", "server", "by"]),
        (
            "equipoise_health_checks_total",
            &["pool", "server", "result"],
        ),
        ("equipoise_queue_length", &["pool"]),
        ("equipoise_persistence_total", &["pool", "result"]),
        ("equipoise_bytes_total", &["listener", "direction"]),
    ];
    for (name, labels) in names {
        let sample = metrics
            .samples()
            .iter()
            .find(|s| s.name == *name)
            .unwrap_or_else(|| panic!("{name} is not in\n{}", metrics.text));
        let mut found: Vec<_> = sample.labels.iter().map(|(k, _)| k.as_str()).collect();
        let mut wanted = labels.to_vec();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "labels of {name}");
    }
    assert!(metrics.has("process_open_fds", &[]));

    let count = |name, labels: &[(&str, &str)]| metrics.sum(name, labels);
    assert!(
        count(
            "equipoise_http_requests_total",
            &[("listener", "web"), ("code", "2xx")]
        ) == 4.0
    );
    assert!(count("equipoise_http_requests_total", &[("server", "a")]) == 2.0);
    assert!(count("equipoise_connections_total", &[("listener", "web")]) == 4.0);
    assert!(count("equipoise_http_request_duration_seconds_count", &[]) == 4.0);
    assert!(count("equipoise_server_picks_total", &[("by", "balance")]) == 4.0);
    assert!(count("equipoise_persistence_total", &[("result", "miss")]) == 4.0);
    assert!(count("equipoise_server_up", &[("server", "a")]) == 1.0);
    assert!(
        count(
            "equipoise_server_state",
            &[("server", "a"), ("state", "up")]
        ) == 1.0
    );
    assert!(
        count(
            "equipoise_server_state",
            &[("server", "a"), ("state", "down")]
        ) == 0.0
    );
    assert!(count("equipoise_bytes_total", &[]) > 0.0);
}

#[test]
fn requests_are_counted_by_status_class() {
    let origin = Origin::with("a", |request| {
        Answer::status(request.target[1..].parse().unwrap_or(200))
    });
    let lb = Setup::of([&origin]).start();
    for target in ["/200", "/204", "/302", "/404", "/410", "/500"] {
        lb.get(target, &[]);
    }
    eventually(SOON, || {
        lb.metrics().sum("equipoise_http_requests_total", &[]) == 6.0
    });
    for (class, n) in [("2xx", 2.0), ("3xx", 1.0), ("4xx", 2.0), ("5xx", 1.0)] {
        let labels = [("pool", "app"), ("server", "a"), ("code", class)];
        assert!(
            lb.metrics().sum("equipoise_http_requests_total", &labels) == n,
            "{class}"
        );
    }
}

#[test]
fn no_label_takes_a_value_that_clients_choose() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    lb.get(
        "/markerpath?markerquery",
        &[("Host", "markerhost"), ("User-Agent", "markeragent")],
    );
    let mut client = lb.client();
    let _ = client.request("MARKERMETHOD", "/", &[], b"");
    assert!(!lb.metrics().text.to_lowercase().contains("marker"));
}

#[test]
fn the_text_is_what_prometheus_reads() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let response = lb.admin_get("/metrics");
    assert!(
        response
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    let text = response.text();
    for sample in lb.metrics().samples() {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|s| sample.name.strip_suffix(s))
            .filter(|f| {
                let kinds = ["histogram", "summary"];
                kinds
                    .iter()
                    .any(|kind| text.contains(&format!("# TYPE {f} {kind}")))
            })
            .unwrap_or(&sample.name);
        assert!(
            text.contains(&format!("# HELP {family} ")),
            "no help for {family}"
        );
        assert!(
            text.contains(&format!("# TYPE {family} ")),
            "no type for {family}"
        );
    }
}

#[test]
fn the_status_tells_all_servers() {
    let (a, b) = (Origin::start("a"), Origin::stopped("b"));
    let lb = Setup::new()
        .server(&a, "weight: 3")
        .server(&b, "backup: true")
        .pool("health_check: {type: tcp, interval: 60s}")
        .start();
    lb.wait_state("app", "a", "up");
    lb.wait_state("app", "b", "down");
    lb.get("/", &[]);
    lb.wait_idle();
    let status = lb.status();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    let server = lb.server("app", "a");
    assert_eq!(server["address"], a.address().to_string());
    assert_eq!(server["weight"], 3);
    assert_eq!(server["active"], 0);
    assert_eq!(server["requests"], 1);
    assert_eq!(server["errors"], 0);
    assert_eq!(lb.server("app", "b")["backup"], true);
    assert!(
        lb.server("app", "b")["reason"]
            .as_str()
            .unwrap()
            .contains("refused")
    );
}

#[test]
fn the_admin_listener_has_its_pages() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    assert_eq!(lb.admin_get("/healthz").status, 200);
    assert_eq!(lb.admin_get("/readyz").status, 200);
    let page = lb.admin_get("/");
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    let html = page.text();
    for outside in [
        "src=\"http",
        "href=\"http",
        "@import",
        "url(http",
        "src=\"//",
    ] {
        assert!(!html.contains(outside), "the page asks others: {outside}");
    }
    let missing = lb.admin_get("/api/v1/nothing");
    assert_eq!(missing.status, 404);
    assert!(
        missing
            .header("content-type")
            .unwrap()
            .contains("problem+json"),
        "{missing}"
    );
}

#[test]
fn the_json_log_has_the_fields() {
    let origin = Origin::with("srv", |_| Answer::body(Body::Full(b"12345".to_vec())));
    let lb = Setup::of([&origin])
        .pool("persistence: {type: cookie_insert}")
        .start();
    let mut client = lb.client();
    client
        .request(
            "POST",
            "/p/a?q=1&r=2",
            &[
                ("Host", "example.test"),
                ("Referer", "http://ref/"),
                ("User-Agent", "tester/1"),
            ],
            b"abc",
        )
        .unwrap();
    let line = lb.wait_logged(|l| l["path"] == "/p/a");
    let text = |key: &str| {
        line[key]
            .as_str()
            .unwrap_or_else(|| panic!("{key} in {line}"))
            .to_owned()
    };
    assert_eq!(text("client"), "127.0.0.1");
    assert_eq!(text("method"), "POST");
    assert_eq!(text("host"), "example.test");
    assert_eq!(text("query"), "q=1&r=2");
    assert_eq!(text("protocol"), "HTTP/1.1");
    assert_eq!(line["status"], 200);
    assert_eq!(text("listener"), "web");
    assert_eq!(text("pool"), "app");
    assert_eq!(text("server"), "srv");
    assert_eq!(text("server_address"), origin.address().to_string());
    assert_eq!(line["attempts"], 1);
    assert_eq!(text("persistence"), "miss");
    assert_eq!(text("referer"), "http://ref/");
    assert_eq!(text("user_agent"), "tester/1");
    assert!(line["bytes_in"].as_u64().unwrap() >= 3, "{line}");
    assert!(line["bytes_out"].as_u64().unwrap() >= 5, "{line}");
    for key in [
        "time",
        "peer",
        "duration",
        "upstream_duration",
        "request_id",
        "termination",
    ] {
        assert!(!line[key].is_null(), "{key} in {line}");
    }
}

#[test]
fn the_combined_format_is_the_one_that_every_tool_reads() {
    let origin = Origin::with("a", |_| Answer::body(Body::Full(b"12345".to_vec())));
    let lb = Setup::of([&origin])
        .top("logging: {access_log: {path: @DIR@/combined.log, format: combined}}")
        .start();
    lb.get(
        "/x?y=1",
        &[("Referer", "http://ref/"), ("User-Agent", "tester \"1\"")],
    );
    let path = lb.dir().join("combined.log");
    let line = eventually(SOON, || {
        std::fs::read_to_string(&path)
            .ok()
            .filter(|text| text.ends_with('\n'))
    });
    let pattern = regex::Regex::new(
        r#"^127\.0\.0\.1 - - \[\d{2}/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /x\?y=1 HTTP/1\.1" 200 5 "http://ref/" "tester [^ ]+"\n$"#,
    )
    .unwrap();
    assert!(pattern.is_match(&line), "{line}");
}

#[test]
fn a_template_has_what_it_names() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .top("logging: {access_log: {path: @DIR@/t.log, format: \"%{method} %{path} -> %{server} %{status}!\"}}")
        .start();
    lb.get("/x", &[]);
    let path = lb.dir().join("t.log");
    eventually(SOON, || match std::fs::read_to_string(&path) {
        Ok(text) if text == "GET /x -> a 200!\n" => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn an_unknown_field_in_a_template_is_a_problem() {
    let origin = Origin::start("a");
    let yaml = Setup::of([&origin])
        .top("logging: {access_log: {format: \"%{methd}\"}}")
        .yaml();
    let exit = Equipoise::run_to_exit(&yaml);
    assert_eq!(exit.code(), Some(2));
    assert!(exit.stderr.contains("methd"), "{}", exit.stderr);
}

#[test]
fn a_client_cannot_forge_a_log_line() {
    let origin = Origin::start("a");
    for format in ["combined", "json", "\"%{user_agent}|%{path}|%{referer}\""] {
        let lb = Setup::of([&origin])
            .top(&format!(
                "logging: {{access_log: {{path: @DIR@/f.log, format: {format}}}}}"
            ))
            .start();
        let mut client = lb.client();
        client
            .send("GET /a%0Aforged HTTP/1.1\r\nHost: a\r\nUser-Agent: x\x0b\x1b[31m\"\\ y\tz\r\nReferer: caf\u{e9}\x7f\r\n\r\n".as_bytes())
            .unwrap();
        // Refused or served: one line either way.
        let _ = client.read_response(false);
        let path = lb.dir().join("f.log");
        let text = eventually(SOON, || {
            std::fs::read(&path)
                .ok()
                .filter(|text| text.ends_with(b"\n"))
        });
        let lines = text.split(|b| *b == b'\n').count() - 1;
        assert_eq!(lines, 1, "{format}: {:?}", String::from_utf8_lossy(&text));
        let controls = text[..text.len() - 1]
            .iter()
            .filter(|b| b.is_ascii_control())
            .count();
        assert_eq!(
            controls,
            0,
            "{format}: {:?}",
            String::from_utf8_lossy(&text)
        );
    }
}

#[test]
fn a_refused_request_is_one_log_line() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    client
        .send("GET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 400);
    lb.wait_logged(|l| l["status"] == 400);
    assert_eq!(lb.access_log().len(), 1, "{:?}", lb.access_log());
}

#[test]
fn the_log_says_why_a_request_ended() {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/hold" => Answer::held(),
        _ => Answer::Reset,
    });
    let lb = Setup::of([&origin]).start();
    lb.get("/reset", &[]);
    let reset = lb.wait_logged(|l| l["path"] == "/reset");
    assert_eq!(reset["status"], 502);
    let mut client = lb.client();
    client.send_request("GET", "/hold", &[], b"").unwrap();
    origin.wait_held(1);
    client.reset();
    let aborted = lb.wait_logged(|l| l["path"] == "/hold");
    let (one, two) = (
        reset["termination"].to_string(),
        aborted["termination"].to_string(),
    );
    assert_ne!(one, two, "the server's fault and the client's");
}
