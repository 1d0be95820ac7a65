use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::super::tests::{model as of, named, server};
use super::*;
use crate::config::model;
use crate::observe::ServerState;
use crate::observe::metrics::Metrics;

const RESET: Outcome = Outcome::Failed(Fault::Reset);
const OK: Outcome = Outcome::Answered(200);
const SECOND: Duration = Duration::from_secs(1);

fn detection() -> OutlierDetection {
    OutlierDetection {
        consecutive_failures: 5,
        failure_rate: 20,
        window: 10 * SECOND,
        minimum: 20,
        ejection: 30 * SECOND,
        max_ejected: 50,
        on_connect_failure: true,
        on_reset: true,
        on_timeout: false,
        on_statuses: vec![500],
    }
}

fn with(detection: OutlierDetection, names: &[&str]) -> (Arc<Pool>, Vec<Arc<Server>>) {
    let pool = Pool::new(
        &settings(Some(detection), names),
        &Metrics::new(SystemTime::UNIX_EPOCH),
    );
    let servers = names.iter().map(|name| named(&pool, name)).collect();
    (pool, servers)
}

fn settings(detection: Option<OutlierDetection>, names: &[&str]) -> model::Pool {
    model::Pool {
        outlier_detection: detection,
        ..of(names.iter().map(|name| server(name, 1)).collect())
    }
}

fn note(pool: &Arc<Pool>, server: &Arc<Server>, outcome: Outcome, count: usize) {
    for _ in 0..count {
        pool.note_outcome(server, outcome);
    }
}

#[test]
fn failures_in_a_row_eject_and_time_readmits() {
    let (pool, servers) = with(detection(), &["a", "b"]);
    note(&pool, &servers[0], RESET, 4);
    note(&pool, &servers[0], OK, 1);
    note(&pool, &servers[0], RESET, 4);
    assert_eq!(servers[0].state(), ServerState::Up);
    note(&pool, &servers[0], RESET, 1);
    assert_eq!(servers[0].state(), ServerState::Down);
    let reason = servers[0].gate().reason().to_owned();
    assert_eq!(reason, "ejected for 30s: 5 failures in a row (5 resets)");
    let now = Instant::now();
    pool.watch_traffic(now + 29 * SECOND);
    assert_eq!(servers[0].state(), ServerState::Down);
    pool.watch_traffic(now + 31 * SECOND);
    assert_eq!(servers[0].state(), ServerState::Up);
}

#[test]
fn only_what_is_listed_is_a_failure() {
    let (pool, servers) = with(detection(), &["a", "b"]);
    note(&pool, &servers[0], Outcome::Failed(Fault::Timeout), 20);
    note(&pool, &servers[0], Outcome::Answered(503), 20);
    assert_eq!(servers[0].state(), ServerState::Up);
    note(&pool, &servers[0], Outcome::Answered(500), 5);
    assert_eq!(servers[0].state(), ServerState::Down);
}

#[test]
fn the_last_available_server_is_never_ejected() {
    let (pool, servers) = with(detection(), &["a", "b"]);
    note(&pool, &servers[0], RESET, 5);
    note(&pool, &servers[1], RESET, 50);
    assert_eq!(servers[1].state(), ServerState::Up);
    let (alone, only) = with(detection(), &["a"]);
    note(&alone, &only[0], RESET, 50);
    assert_eq!(only[0].state(), ServerState::Up);
}

#[test]
fn when_the_others_go_the_ejected_come_back() {
    let (pool, servers) = with(detection(), &["a", "b"]);
    note(&pool, &servers[0], RESET, 5);
    pool.set_operator(&servers[1], crate::pool::Operator::Maintenance);
    assert_eq!(servers[0].state(), ServerState::Up);
    assert!(pool.acquire(None, &[]).is_ok());
}

#[test]
fn no_more_than_a_share_of_the_pool_is_out() {
    let (pool, servers) = with(detection(), &["a", "b", "c", "d", "e"]);
    for server in &servers {
        note(&pool, server, RESET, 5);
    }
    let out = servers
        .iter()
        .filter(|server| server.state() == ServerState::Down);
    assert_eq!(out.count(), 2);
}

#[test]
fn a_server_that_fails_more_than_the_others_is_found() {
    let (pool, servers) = with(detection(), &["a", "b"]);
    let now = Instant::now();
    for _ in 0..30 {
        note(&pool, &servers[0], OK, 2);
        note(&pool, &servers[0], RESET, 1);
        note(&pool, &servers[1], OK, 3);
    }
    pool.watch_traffic(now);
    assert_eq!(servers[0].state(), ServerState::Down);
    let reason = servers[0].gate().reason().to_owned();
    let wanted = "ejected for 30s: 33% of its 90 requests failed, 0% of the others' 90";
    assert_eq!(reason, wanted);
}

#[test]
fn what_the_pool_shares_ejects_nobody() {
    let (pool, servers) = with(detection(), &["a", "b", "c"]);
    for _ in 0..30 {
        for server in &servers {
            note(&pool, server, OK, 1);
            note(&pool, server, RESET, 1);
        }
    }
    pool.watch_traffic(Instant::now());
    assert!(
        servers
            .iter()
            .all(|server| server.state() == ServerState::Up)
    );
}

#[test]
fn answers_that_break_off_count_for_both() {
    let (pool, servers) = with(detection(), &["a", "b"]);
    for _ in 0..5 {
        note(&pool, &servers[0], OK, 1);
        note(&pool, &servers[0], Outcome::BrokenOff(Fault::Reset), 1);
    }
    assert_eq!(servers[0].state(), ServerState::Down);
}

#[test]
fn a_reload_without_detection_readmits() {
    let names = ["a", "b"];
    let (pool, servers) = with(detection(), &names);
    note(&pool, &servers[0], RESET, 5);
    pool.reconcile(&settings(Some(detection()), &names));
    assert_eq!(
        servers[0].state(),
        ServerState::Down,
        "a reload alone changes nothing"
    );
    pool.reconcile(&settings(None, &names));
    assert_eq!(servers[0].state(), ServerState::Up);
}
