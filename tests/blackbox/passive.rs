//! Passive detection: servers that fail real traffic are ejected for a while.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::Signal;

use crate::common::h2_origin::Reply;
use crate::common::*;
use crate::tcp;

/// What is ejected stays out for the rest of the test.
const OUT: &str = "ejection: 1h, failure_rate: 0%";

fn detecting(origins: &[&Origin], keys: &str) -> Setup {
    Setup::of(origins.iter().copied())
        .pool(&format!(
            "outlier_detection: {{{keys}}}\nretries: {{attempts: 0}}"
        ))
        .listener("http: {keepalive_requests: 0}")
}

fn answering(name: &str, answer: Answer) -> Origin {
    Origin::with(name, move |_| answer.clone())
}

fn statuses(lb: &Equipoise, count: usize) -> Vec<u16> {
    (0..count).map(|_| lb.get("/", &[]).status).collect()
}

fn reason(lb: &Equipoise, server: &str) -> String {
    let server = lb.server("app", server);
    server["reason"].as_str().unwrap().to_owned()
}

fn state(lb: &Equipoise, server: &str) -> String {
    let server = lb.server("app", server);
    server["state"].as_str().unwrap().to_owned()
}

fn ejections(lb: &Equipoise) -> f64 {
    lb.metrics().sum("equipoise_ejections_total", &[])
}

#[test]
fn resets_in_a_row_eject_and_nobody_meets_the_server_any_more() {
    let (bad, good) = (answering("bad", Answer::Reset), Origin::start("good"));
    let keys = format!("consecutive_failures: 3, {OUT}");
    let lb = detecting(&[&bad, &good], &keys).start();
    let failed = statuses(&lb, 20).iter().filter(|s| **s == 502).count();
    assert_eq!(failed, 3);
    assert_eq!(state(&lb, "bad"), "down");
    let words = "ejected for 3600s: 3 failures in a row (3 resets)";
    assert_eq!(reason(&lb, "bad"), words);
    let metrics = lb.metrics();
    let of_bad = [("pool", "app"), ("server", "bad")];
    assert!(metrics.value("equipoise_ejections_total", &of_bad) == 1.0);
    assert!(metrics.value("equipoise_server_up", &of_bad) == 0.0);
    eventually(SOON, || {
        lb.stderr().lines().filter(|l| l.contains(words)).count() == 1
    });
}

#[test]
fn an_answer_in_between_ends_the_row() {
    let asked = AtomicUsize::new(0);
    let flaky = Origin::with("flaky", move |_| {
        if asked.fetch_add(1, Ordering::SeqCst) % 3 == 2 {
            Answer::ok()
        } else {
            Answer::Reset
        }
    });
    let good = Origin::start("good");
    let keys = format!("consecutive_failures: 3, {OUT}");
    let lb = detecting(&[&flaky, &good], &keys).start();
    statuses(&lb, 40);
    assert_eq!(state(&lb, "flaky"), "up");
}

#[test]
fn statuses_count_where_they_are_listed() {
    let (bad, good) = (answering("bad", Answer::status(500)), Origin::start("good"));
    for (on, failed) in [("connect_failure, 503", 10), ("500, 503", 2)] {
        let keys = format!("consecutive_failures: 2, on: [{on}], {OUT}");
        let lb = detecting(&[&bad, &good], &keys).start();
        let statuses = statuses(&lb, 20);
        let found = statuses.iter().filter(|s| **s == 500).count();
        assert_eq!(found, failed, "{on}");
    }
}

#[test]
fn connections_that_fail_count_even_if_another_server_helps() {
    let (gone, good) = (Origin::stopped("gone"), Origin::start("good"));
    let lb = Setup::of([&gone, &good])
        .pool(&format!(
            "outlier_detection: {{consecutive_failures: 3, {OUT}}}"
        ))
        .start();
    assert_eq!(statuses(&lb, 10), [200; 10]);
    let words = "ejected for 3600s: 3 failures in a row (3 failed connections)";
    assert_eq!(reason(&lb, "gone"), words);
    let picks = [("server", "gone")];
    assert!(lb.metrics().sum("equipoise_server_picks_total", &picks) == 3.0);
}

#[test]
fn timeouts_count() {
    let (bad, good) = (answering("bad", Answer::Never), Origin::start("good"));
    let keys = format!("consecutive_failures: 2, {OUT}");
    let lb = detecting(&[&bad, &good], &keys)
        .pool("timeouts: {receive: 1s}")
        .start();
    statuses(&lb, 6);
    let words = "ejected for 3600s: 2 failures in a row (2 timeouts)";
    assert_eq!(reason(&lb, "bad"), words);
}

#[test]
fn answers_that_break_off_count() {
    let bad = answering("bad", Answer::ResetMidBody(b"abc".to_vec()));
    bad.release_all();
    let good = Origin::start("good");
    let keys = format!("consecutive_failures: 3, {OUT}");
    let lb = detecting(&[&bad, &good], &keys).start();
    for _ in 0..20 {
        // Some of them have no end.
        let _ = Client::connect(lb.web()).get("/", &[]);
    }
    eventually(SOON, || state(&lb, "bad") == "down");
}

#[test]
fn the_last_available_server_stays() {
    let bad = ["a", "b"].map(|name| answering(name, Answer::Reset));
    let keys = format!("consecutive_failures: 2, max_ejected: 100%, {OUT}");
    let lb = detecting(&[&bad[0], &bad[1]], &keys).start();
    assert_eq!(
        statuses(&lb, 12),
        [502; 12],
        "somebody is asked all the time"
    );
    assert!(ejections(&lb) == 1.0);
    let why = "it is the last one that is available";
    eventually(SOON, || lb.stderr().contains(why));
}

#[test]
fn no_more_than_the_share_is_out() {
    let bad = ["a", "b", "c", "d"].map(|name| answering(name, Answer::Reset));
    let keys = format!("consecutive_failures: 2, max_ejected: 25%, {OUT}");
    let lb = detecting(&bad.iter().collect::<Vec<_>>(), &keys).start();
    statuses(&lb, 20);
    assert!(ejections(&lb) == 1.0);
}

#[test]
fn a_backup_may_be_what_is_left() {
    let (bad, spare) = (answering("bad", Answer::Reset), Origin::start("spare"));
    let lb = Setup::new()
        .server(&bad, "")
        .server(&spare, "backup: true")
        .pool(&format!(
            "outlier_detection: {{consecutive_failures: 2, {OUT}}}\nretries: {{attempts: 0}}"
        ))
        .start();
    assert_eq!(statuses(&lb, 5), [502, 502, 200, 200, 200]);
}

#[test]
fn when_the_others_go_the_ejected_come_back_at_once() {
    let (bad, good) = (answering("bad", Answer::Reset), Origin::start("good"));
    let keys = format!("consecutive_failures: 2, {OUT}");
    let lb = detecting(&[&bad, &good], &keys)
        .pool("health_check: {type: tcp, interval: 200ms, fast_interval: 50ms, rise: 1, fall: 1}")
        .start();
    for name in ["bad", "good"] {
        lb.wait_state("app", name, "up");
    }
    statuses(&lb, 6);
    assert_eq!(state(&lb, "bad"), "down", "though its checks pass");
    bad.script(|_| Answer::ok());
    good.stop();
    lb.wait_state("app", "good", "down");
    lb.wait_state("app", "bad", "up");
    assert_eq!(lb.get("/", &[]).origin(), "bad");
}

#[test]
fn an_ejection_ends_by_itself_and_the_next_is_longer() {
    let (bad, good) = (answering("bad", Answer::Reset), Origin::start("good"));
    let keys = "consecutive_failures: 1, failure_rate: 0%, ejection: 500ms";
    let lb = detecting(&[&bad, &good], keys).start();
    eventually(SOON * 2, || {
        statuses(&lb, 2);
        let log = lb.stderr();
        log.contains("ejected for 500ms") && log.contains("ejected for 1s")
    });
    bad.script(|_| Answer::ok());
    lb.wait_state("app", "bad", "up");
    assert_eq!(reason(&lb, "bad"), "its ejection is over");
    eventually(SOON, || lb.get("/", &[]).origin() == "bad");
}

/// Fails every third request.
fn one_in_three(name: &str) -> Origin {
    let asked = AtomicUsize::new(0);
    Origin::with(name, move |_| {
        if asked.fetch_add(1, Ordering::SeqCst) % 3 == 2 {
            Answer::status(500)
        } else {
            Answer::ok()
        }
    })
}

const BY_RATE: &str = "consecutive_failures: 0, failure_rate: 20%, window: 10m, minimum: 20, \
                       ejection: 1h, on: [500]";

#[test]
fn of_two_servers_the_one_that_fails_more_is_found() {
    let (bad, good) = (one_in_three("bad"), Origin::start("good"));
    let lb = detecting(&[&bad, &good], BY_RATE).start();
    statuses(&lb, 38);
    assert_eq!(state(&lb, "bad"), "up", "19 are not enough");
    statuses(&lb, 42);
    lb.wait_state("app", "bad", "down");
    let found = reason(&lb, "bad");
    let all_of_it = found.starts_with("ejected for 3600s: 3") && found.contains("% of its ");
    assert!(all_of_it, "{found}");
    assert_eq!(statuses(&lb, 10), [200; 10]);
}

#[test]
fn what_all_servers_share_ejects_nobody() {
    let bad = ["a", "b", "c"].map(one_in_three);
    let lb = detecting(&bad.iter().collect::<Vec<_>>(), BY_RATE).start();
    for _ in 0..3 {
        statuses(&lb, 90);
        // The shares are looked at meanwhile, several times a second.
        lb.wait_idle();
    }
    assert!(ejections(&lb) == 0.0);
}

#[test]
fn a_session_moves_from_a_server_that_is_ejected() {
    let origins = ["a", "b"].map(Origin::start);
    let keys = format!("consecutive_failures: 2, {OUT}");
    let lb = detecting(&[&origins[0], &origins[1]], &keys)
        .pool("persistence: {type: cookie_insert}")
        .start();
    let first = lb.get("/", &[]);
    let cookie = format!("SERVERID={}", first.cookie("SERVERID").unwrap());
    let bound = origins.iter().find(|o| o.name() == first.origin()).unwrap();
    bound.script(|_| Answer::Reset);
    let ask = || lb.get("/", &[("Cookie", &cookie)]).status;
    assert_eq!([ask(), ask(), ask()], [502, 502, 200]);
}

#[test]
fn a_reload_without_it_lets_everybody_back() {
    let (bad, good) = (answering("bad", Answer::Reset), Origin::start("good"));
    let keys = format!("consecutive_failures: 2, {OUT}");
    let lb = detecting(&[&bad, &good], &keys).start();
    statuses(&lb, 6);
    assert_eq!(state(&lb, "bad"), "down");
    let other = format!("consecutive_failures: 7, {OUT}");
    lb.rewrite(&detecting(&[&bad, &good], &other).yaml());
    lb.signal(Signal::SIGHUP);
    let done = [("result", "success")];
    eventually(SOON, || {
        lb.metrics().sum("equipoise_config_reloads_total", &done) == 1.0
    });
    assert_eq!(state(&lb, "bad"), "down", "what is out stays out");
    lb.rewrite(&Setup::of([&bad, &good]).yaml());
    lb.signal(Signal::SIGHUP);
    lb.wait_state("app", "bad", "up");
}

#[test]
fn connections_of_tcp_count() {
    let (good, gone) = (tcp::Backend::start("good"), tcp::Backend::start("gone"));
    let lb = tcp::before(&[&good, &gone])
        .pool(&format!(
            "outlier_detection: {{consecutive_failures: 2, {OUT}}}"
        ))
        .start();
    drop(gone);
    for _ in 0..8 {
        let _client = tcp::connect(&lb);
        drop(good.accept());
    }
    let words = "ejected for 3600s: 2 failures in a row (2 failed connections)";
    assert_eq!(reason(&lb, "gone"), words);
}

/// Each kind of failure, of servers that speak HTTP/2.
#[test]
fn servers_of_http2_are_found_by_every_kind_of_failure() {
    let fails = |reply: Reply| H2Origin::start(move |_| reply.clone());
    let reset = Reply {
        reset: Some(::h2::Reason::INTERNAL_ERROR),
        ..Reply::default()
    };
    let never = Reply {
        never: true,
        ..Reply::default()
    };
    let status = Reply {
        status: 500,
        ..Reply::default()
    };
    for (bad, words) in [
        (fails(reset), "2 resets"),
        (fails(never), "2 timeouts"),
        (fails(status), "2 bad statuses"),
    ] {
        let good = H2Origin::start(|_| Reply::text("good"));
        let lb = Setup::new()
            .server_at("bad", &bad.address().to_string(), "")
            .server_at("good", &good.address().to_string(), "")
            .pool(&format!(
                "http2: true\nretries: {{attempts: 0}}\ntimeouts: {{receive: 1s}}\n\
                 outlier_detection: {{consecutive_failures: 2, on: [connect_failure, reset, timeout, 500], {OUT}}}"
            ))
            .start();
        statuses(&lb, 6);
        let found = reason(&lb, "bad");
        assert_eq!(
            found,
            format!("ejected for 3600s: 2 failures in a row ({words})")
        );
        assert_eq!(statuses(&lb, 4), [200; 4]);
    }
    let (gone, good) = (
        ReservedPort::new(),
        H2Origin::start(|_| Reply::text("good")),
    );
    let lb = Setup::new()
        .server_at("gone", &gone.address().to_string(), "")
        .server_at("good", &good.address().to_string(), "")
        .pool(&format!(
            "http2: true\noutlier_detection: {{consecutive_failures: 2, {OUT}}}"
        ))
        .start();
    assert_eq!(statuses(&lb, 6), [200; 6]);
    let words = "ejected for 3600s: 2 failures in a row (2 failed connections)";
    assert_eq!(reason(&lb, "gone"), words);
}

/// One that fails every third of its requests over HTTP/2 is found among two.
#[test]
fn a_share_of_failures_is_found_over_http2_too() {
    let asked = AtomicUsize::new(0);
    let bad = H2Origin::start(move |_| {
        if asked.fetch_add(1, Ordering::SeqCst) % 3 == 2 {
            Reply {
                status: 500,
                ..Reply::default()
            }
        } else {
            Reply::text("bad")
        }
    });
    let good = H2Origin::start(|_| Reply::text("good"));
    let lb = Setup::new()
        .server_at("bad", &bad.address().to_string(), "")
        .server_at("good", &good.address().to_string(), "")
        .pool(&format!("http2: true\noutlier_detection: {{{BY_RATE}}}"))
        .start();
    statuses(&lb, 80);
    lb.wait_state("app", "bad", "down");
    assert_eq!(state(&lb, "good"), "up");
}

/// A server that takes connections and breaks them off without a word; and the last one of a pool stays.
#[test]
fn tcp_servers_that_break_off_are_found_but_never_the_last() {
    let backends = ["good", "bad"].map(tcp::Backend::start);
    let [good, bad] = &backends;
    let lb = tcp::before(&[good, bad])
        .pool(&format!(
            "outlier_detection: {{consecutive_failures: 2, max_ejected: 100%, {OUT}}}"
        ))
        .start();
    // By turns. Both ends of each are closed in order by the good one, with a reset by the bad one.
    for n in 0..6 {
        let client = tcp::connect(&lb);
        tcp::say(&client, b"hello");
        let (server, is_bad) = eventually(SOON, || {
            let found = good.try_accept().map(|stream| (stream, false));
            found.or_else(|| bad.try_accept().map(|stream| (stream, true)))
        });
        tcp::hears(&server, b"hello");
        if is_bad {
            tcp::reset(server);
            tcp::is_reset(&client);
        } else {
            tcp::say(&server, b"hello");
            tcp::end(&server);
            assert_eq!(tcp::hears_to_the_end(&client), b"hello");
        }
        drop(client);
        lb.wait_idle_servers();
        if n == 3 {
            let words = "ejected for 3600s: 2 failures in a row (2 answers broken off)";
            assert_eq!(reason(&lb, "bad"), words);
        }
    }
    // From now on the good one fails as well.
    for _ in 0..4 {
        let client = tcp::connect(&lb);
        tcp::say(&client, b"hello");
        let server = good.accept();
        tcp::hears(&server, b"hello");
        tcp::reset(server);
        tcp::is_reset(&client);
        lb.wait_idle_servers();
    }
    assert_eq!(state(&lb, "good"), "up");
    assert_eq!(state(&lb, "bad"), "down");
    assert!(ejections(&lb) == 1.0);
}
