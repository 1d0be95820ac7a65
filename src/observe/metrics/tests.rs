use super::*;
use crate::observe::labels::{PersistenceResult, PickedBy, RejectReason, RetryReason, ServerState};

fn metrics() -> Arc<Metrics> {
    Metrics::new(UNIX_EPOCH + Duration::from_secs(1_700_000_000))
}

fn lines(metrics: &Metrics) -> Vec<String> {
    let (content_type, body) = metrics.render();
    assert!(content_type.starts_with("text/plain; version=0.0.4"));
    let text = String::from_utf8(body).expect("UTF-8");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn has(metrics: &Metrics, line: &str) {
    let lines = lines(metrics);
    assert!(
        lines.iter().any(|found| found == line),
        "no {line:?} in\n{}",
        lines.join("\n")
    );
}

#[test]
fn start_shows_the_build_the_process_and_the_first_configuration() {
    let metrics = metrics();
    let rustc = env!("EQUIPOISE_RUSTC");
    assert_ne!(rustc, "unknown");
    has(
        &metrics,
        &format!(
            "equipoise_build_info{{rustc=\"{rustc}\",version=\"{}\"}} 1",
            crate::observe::VERSION
        ),
    );
    has(
        &metrics,
        "equipoise_config_last_reload_success_timestamp_seconds 1700000000",
    );
    has(
        &metrics,
        "equipoise_config_reloads_total{result=\"success\"} 0",
    );
    has(&metrics, "equipoise_access_log_dropped_total 0");
    assert!(
        lines(&metrics)
            .iter()
            .any(|line| line.starts_with("process_open_fds "))
    );
}

#[test]
fn every_name_has_its_labels_and_pools_start_at_zero() {
    let metrics = metrics();
    metrics.listener("web");
    metrics.pool("app");
    metrics.server("app", "a");
    metrics.traffic("web", "app", "a");
    metrics.traffic("web", "app", "");
    metrics.request_duration("web", "app");
    metrics.outcomes("web", "app");
    for line in [
        "equipoise_connections_total{listener=\"web\"} 0",
        "equipoise_connections_active{listener=\"web\"} 0",
        "equipoise_connections_rejected_total{listener=\"web\",reason=\"client_limit\"} 0",
        "equipoise_http_requests_total{code=\"none\",listener=\"web\",pool=\"app\",server=\"\"} 0",
        "equipoise_http_request_duration_seconds_bucket{listener=\"web\",pool=\"app\",le=\"0.0005\"} 0",
        "equipoise_upstream_response_seconds_bucket{pool=\"app\",le=\"60\"} 0",
        "equipoise_upstream_connect_seconds_count{pool=\"app\"} 0",
        "equipoise_server_response_seconds_sum{pool=\"app\",server=\"a\"} 0",
        "equipoise_server_response_seconds_count{pool=\"app\",server=\"a\"} 0",
        "equipoise_server_state{pool=\"app\",server=\"a\",state=\"up\"} 0",
        "equipoise_server_last_change_timestamp_seconds{pool=\"app\",server=\"a\"} 0",
        "equipoise_errors_total{listener=\"web\",pool=\"app\",reason=\"no_server\"} 0",
        "equipoise_queue_seconds_count{pool=\"app\"} 0",
        "equipoise_server_active{pool=\"app\",server=\"a\"} 0",
        "equipoise_server_weight{pool=\"app\",server=\"a\"} 0",
        "equipoise_server_up{pool=\"app\",server=\"a\"} 0",
        "equipoise_retries_total{pool=\"app\",reason=\"stale_connection\"} 0",
        "equipoise_queue_length{pool=\"app\"} 0",
        "equipoise_persistence_total{pool=\"app\",result=\"rebalanced\"} 0",
        "equipoise_bytes_total{direction=\"in\",listener=\"web\"} 0",
    ] {
        has(&metrics, line);
    }
}

#[test]
fn handles_count_into_their_series() {
    let metrics = metrics();
    let listener = metrics.listener("web");
    listener.rejected.inc(RejectReason::ClientLimit);
    has(
        &metrics,
        "equipoise_connections_rejected_total{listener=\"web\",reason=\"client_limit\"} 1",
    );
    assert_eq!(listener.rejected.value(RejectReason::ClientLimit), 1);
    let pool = metrics.pool("app");
    pool.retries.inc(RetryReason::ConnectFailure);
    pool.persistence.inc(PersistenceResult::Hit);
    has(
        &metrics,
        "equipoise_retries_total{pool=\"app\",reason=\"connect_failure\"} 1",
    );
    has(
        &metrics,
        "equipoise_persistence_total{pool=\"app\",result=\"hit\"} 1",
    );
    let server = metrics.server("app", "a");
    server.picks.inc(PickedBy::Persistence);
    has(
        &metrics,
        "equipoise_server_picks_total{by=\"persistence\",pool=\"app\",server=\"a\"} 1",
    );
    // The same series, whoever asks for it.
    metrics.server("app", "a").picks.inc(PickedBy::Persistence);
    assert_eq!(server.picks.value(PickedBy::Persistence), 2);
}

#[test]
fn requests_are_counted_by_class() {
    let metrics = metrics();
    let traffic = metrics.traffic("web", "app", "a");
    for status in [0, 99, 100, 204, 299, 308, 404, 500, 599, 600, u16::MAX] {
        traffic.request(status);
    }
    for (code, count) in [
        ("none", 4),
        ("1xx", 1),
        ("2xx", 2),
        ("3xx", 1),
        ("4xx", 1),
        ("5xx", 2),
    ] {
        let labels = format!("code=\"{code}\",listener=\"web\",pool=\"app\",server=\"a\"");
        has(
            &metrics,
            &format!("equipoise_http_requests_total{{{labels}}} {count}"),
        );
    }
}

#[test]
fn a_server_is_in_exactly_one_state() {
    let metrics = metrics();
    let server = metrics.server("app", "a");
    server.set_state(ServerState::Up, true, UNIX_EPOCH);
    server.set_state(
        ServerState::Drain,
        true,
        UNIX_EPOCH + Duration::from_secs(7),
    );
    let ones: Vec<String> = lines(&metrics)
        .into_iter()
        .filter(|line| line.starts_with("equipoise_server_state") && line.ends_with(" 1"))
        .collect();
    assert_eq!(
        ones,
        ["equipoise_server_state{pool=\"app\",server=\"a\",state=\"drain\"} 1"]
    );
    has(&metrics, "equipoise_server_up{pool=\"app\",server=\"a\"} 1");
    has(
        &metrics,
        "equipoise_server_state{pool=\"app\",server=\"a\",state=\"up\"} 0",
    );
    has(
        &metrics,
        "equipoise_server_last_change_timestamp_seconds{pool=\"app\",server=\"a\"} 7",
    );
    server.set_state(ServerState::Down, false, UNIX_EPOCH);
    has(&metrics, "equipoise_server_up{pool=\"app\",server=\"a\"} 0");
}

#[test]
fn what_is_forgotten_vanishes_and_the_rest_stays() {
    let metrics = metrics();
    metrics.listener("web");
    metrics.listener("other");
    for server in ["a", "b"] {
        for pool in ["app", "api"] {
            metrics.pool(pool);
            metrics.server(pool, server).active.set(3);
            metrics.traffic("web", pool, server).request(200);
            metrics.traffic("web", pool, "").request(503);
            metrics.request_duration("web", pool).observe(0.1);
        }
    }
    let mentions = |text: &[&str]| {
        lines(&metrics)
            .iter()
            .filter(|line| text.iter().all(|part| line.contains(part)))
            .count()
    };
    let others = mentions(&["pool=\"app\",", "server=\"b\""]);
    assert!(others > 5 && mentions(&["pool=\"app\",", "server=\"a\""]) == others);
    metrics.forget_server("app", "a");
    assert_eq!(mentions(&["pool=\"app\"", "server=\"a\""]), 0);
    assert_eq!(mentions(&["pool=\"app\"", "server=\"b\""]), others);
    assert_eq!(mentions(&["pool=\"api\"", "server=\"a\""]), others);
    metrics.forget_pool("app");
    assert_eq!(mentions(&["pool=\"app\""]), 0);
    assert!(mentions(&["pool=\"api\""]) > 0);
    metrics.forget_listener("web");
    assert_eq!(mentions(&["listener=\"web\""]), 0);
    assert!(mentions(&["listener=\"other\""]) > 0);
    // A new one of that name begins anew.
    metrics.server("app", "a");
    has(
        &metrics,
        "equipoise_server_active{pool=\"app\",server=\"a\"} 0",
    );
}

#[test]
fn what_says_nothing_of_a_server_is_not_shown() {
    let metrics = metrics();
    let server = metrics.server("app", "a");
    let traffic = metrics.traffic("web", "app", "a");
    let count = || {
        lines(&metrics)
            .iter()
            .filter(|line| line.contains("server=\"a\""))
            .count()
    };
    let before = count();
    assert!(before <= 8, "{before}");
    server.bytes_in.inc();
    server.errors.inc();
    server.picks.inc(PickedBy::Balance);
    server.checks_failed.inc();
    server.connections_reused.inc();
    traffic.request(200);
    assert_eq!(count(), before + 6);
}

#[test]
fn histograms_are_by_pool_or_by_server() {
    let metrics = metrics();
    let server = metrics.server("app", "a");
    let second = Duration::from_secs(1);
    server.responded(second);
    server.connected(second);
    let families = [
        "equipoise_upstream_response_seconds",
        "equipoise_upstream_connect_seconds",
    ];
    for family in families {
        has(&metrics, &format!("{family}_count{{pool=\"app\"}} 1"));
    }
    metrics.set_server_histograms(true);
    server.responded(second);
    server.connected(second);
    for family in families {
        has(
            &metrics,
            &format!("{family}_count{{pool=\"app\",server=\"a\"}} 1"),
        );
        let of_pool = format!("{family}_count{{pool=\"app\"}}");
        assert!(
            lines(&metrics)
                .iter()
                .all(|line| !line.starts_with(&of_pool))
        );
    }
    metrics.set_server_histograms(false);
    for family in families {
        has(&metrics, &format!("{family}_sum{{pool=\"app\"}} 2"));
    }
    has(
        &metrics,
        "equipoise_server_response_seconds_sum{pool=\"app\",server=\"a\"} 2",
    );
    has(
        &metrics,
        "equipoise_server_response_seconds_count{pool=\"app\",server=\"a\"} 2",
    );
}

#[test]
fn exact_statuses_are_there_once_they_were_sent() {
    let metrics = metrics();
    let outcomes = metrics.outcomes("web", "app");
    for status in [200, 200, 418] {
        outcomes.ended(Some(status), None, true);
    }
    let of = |code: u16| {
        format!("equipoise_http_responses_total{{code=\"{code}\",listener=\"web\",pool=\"app\"}}")
    };
    has(&metrics, &format!("{} 2", of(200)));
    has(&metrics, &format!("{} 1", of(418)));
    let responses = lines(&metrics)
        .into_iter()
        .filter(|line| line.starts_with("equipoise_http_responses_total"));
    assert_eq!(responses.count(), 2);
}

#[test]
fn reloads_are_counted_and_only_success_moves_the_time() {
    let metrics = metrics();
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    metrics.reloaded(false, at(1_700_000_100));
    has(
        &metrics,
        "equipoise_config_last_reload_success_timestamp_seconds 1700000000",
    );
    metrics.reloaded(true, at(1_700_000_200));
    has(
        &metrics,
        "equipoise_config_last_reload_success_timestamp_seconds 1700000200",
    );
    has(
        &metrics,
        "equipoise_config_reloads_total{result=\"failure\"} 1",
    );
    has(
        &metrics,
        "equipoise_config_reloads_total{result=\"success\"} 1",
    );
}

#[test]
fn with_many_servers_some_counters_are_by_pool_and_never_go_back() {
    let metrics = metrics();
    let (a, b) = (metrics.server("app", "a"), metrics.server("app", "b"));
    let other = metrics.server("other", "a");
    for server in [&a, &a, &b, &other] {
        server.picks.inc(PickedBy::Balance);
        server.connections_new.inc();
        server.bytes_in.inc_by(10);
        server.checks_passed.inc();
    }
    b.checks_failed.inc();
    metrics.set_server_counters(false);
    let picks = |pool, count| {
        let labels = format!("by=\"balance\",pool=\"{pool}\"");
        has(
            &metrics,
            &format!("equipoise_server_picks_total{{{labels}}} {count}"),
        );
    };
    picks("app", 3);
    picks("other", 1);
    let shown = [
        "equipoise_server_picks_total{by=\"retry\",pool=\"app\"} 0",
        "equipoise_upstream_connections_total{pool=\"app\",reused=\"false\"} 3",
        "equipoise_upstream_connections_total{pool=\"app\",reused=\"true\"} 0",
        "equipoise_server_bytes_total{direction=\"in\",pool=\"app\"} 30",
        "equipoise_health_checks_total{pool=\"app\",result=\"success\"} 3",
        "equipoise_health_checks_total{pool=\"app\",result=\"failure\",server=\"b\"} 1",
    ];
    for line in shown {
        has(&metrics, line);
    }

    metrics.forget_server("app", "a");
    picks("app", 3);
    let again = metrics.server("app", "a");
    again.picks.inc(PickedBy::Balance);
    picks("app", 4);

    metrics.set_server_counters(true);
    has(
        &metrics,
        "equipoise_server_picks_total{by=\"balance\",pool=\"app\",server=\"a\"} 1",
    );

    metrics.set_server_counters(false);
    metrics.forget_pool("app");
    assert!(
        !lines(&metrics)
            .iter()
            .any(|line| line.contains("pool=\"app\""))
    );
    picks("other", 1);
}
