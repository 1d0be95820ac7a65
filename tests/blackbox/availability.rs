//! SPEC section 4: who may take work, and why not.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::*;

const FAST: &str = "health_check: {type: http, path: /health, interval: 200ms, fast_interval: 50ms, timeout: 1s, rise: 2, fall: 3}";

#[test]
fn a_refused_connection_is_told_in_words() {
    let (up, down) = (Origin::start("up"), Origin::stopped("down"));
    // A minute between checks: only the one at start can have found it out.
    let lb = Setup::of([&up, &down])
        .pool("health_check: {type: tcp, interval: 60s}")
        .start();
    lb.wait_state("app", "down", "down");
    lb.wait_state("app", "up", "up");
    let server = lb.server("app", "down");
    let reason = server["reason"].as_str().unwrap();
    let expected = format!("connect to {} refused", down.address());
    assert!(reason.contains(&expected), "{reason}");
    let metrics = lb.metrics();
    assert!(metrics.value("equipoise_server_up", &[("server", "down")]) == 0.0);
    assert!(metrics.value("equipoise_server_up", &[("server", "up")]) == 1.0);
    for _ in 0..6 {
        assert_eq!(lb.get("/", &[]).origin(), "up");
    }
    let told = lb
        .stderr()
        .lines()
        .filter(|l| l.contains(&expected))
        .count();
    assert_eq!(told, 1, "a change is logged once:\n{}", lb.stderr());
}

#[test]
fn a_wrong_status_is_told_in_words() {
    let (good, bad) = (Origin::start("good"), Origin::start("bad"));
    bad.set_health(503);
    let lb = Setup::of([&good, &bad]).pool(FAST).start();
    lb.wait_state("app", "bad", "down");
    let server = lb.server("app", "bad");
    let reason = server["reason"].as_str().unwrap();
    assert!(reason.contains("status 503, wanted 200-399"), "{reason}");
    lb.wait_state("app", "good", "up");
    assert_eq!(lb.get("/", &[]).origin(), "good");
    assert_eq!(lb.get("/", &[]).origin(), "good");
}

/// Who looks at the status wants to know what to mend now.
#[test]
fn a_server_that_stays_down_says_what_keeps_it_down() {
    let origin = Origin::stopped("a");
    let lb = Setup::of([&origin]).pool(FAST).start();
    lb.wait_state("app", "a", "down");
    let reason = || lb.server("app", "a")["reason"].to_string();
    let since = || lb.server("app", "a")["since"].to_string();
    assert!(reason().contains("refused"), "{}", reason());
    let before = since();
    origin.set_health(503);
    origin.restart();
    eventually(SOON, || reason().contains("status 503, wanted 200-399"));
    assert_eq!(since(), before, "it is down as long as it was");
    let told = lb.stderr().matches("server state changed").count();
    assert_eq!(told, 1, "a change of the state is what is logged");
    lb.wait_idle_servers();
}

#[test]
fn no_answer_is_told_in_words() {
    let origin = Origin::with("a", |_| Answer::Never);
    let lb = Setup::of([&origin])
        .pool("health_check: {type: http, path: /probe, interval: 60s, timeout: 200ms}")
        .start();
    lb.wait_state("app", "a", "down");
    let reason = lb.server("app", "a")["reason"].to_string();
    assert!(reason.contains("no answer in 200ms"), "{reason}");
}

#[test]
fn the_check_asks_what_the_configuration_says() {
    let origin = Origin::with("a", |_| {
        Answer::body(Body::Full(b"all is well here".to_vec()))
    });
    let lb = Setup::of([&origin])
        .pool("health_check:\n  type: http\n  interval: 60s\n  path: /probe?x=1\n  host: app.example.com\n  headers: {X-Probe: \"yes\"}\n  expect_status: [\"200\", \"204\"]\n  expect_body: \"is w.ll\"")
        .start();
    lb.wait_state("app", "a", "up");
    let check = origin.last_request();
    assert_eq!(
        (check.method.as_str(), check.target.as_str()),
        ("GET", "/probe?x=1")
    );
    assert_eq!(check.header("host"), Some("app.example.com"));
    assert_eq!(check.header("x-probe"), Some("yes"));
}

#[test]
fn a_body_that_does_not_match_fails_the_check() {
    let origin = Origin::with("a", |_| Answer::body(Body::Full(b"maintenance".to_vec())));
    let lb = Setup::of([&origin])
        .pool("health_check: {type: http, path: /probe, interval: 60s, expect_body: \"^ok\"}")
        .start();
    lb.wait_state("app", "a", "down");
}

#[test]
fn the_default_check_of_http_is_a_head_of_the_root() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .pool("health_check: {type: http, interval: 60s}")
        .start();
    lb.wait_state("app", "a", "up");
    let check = origin.last_request();
    assert_eq!(
        (check.method.as_str(), check.target.as_str()),
        ("HEAD", "/")
    );
    assert_eq!(
        check.header("host"),
        Some(origin.address().to_string().as_str())
    );
}

#[test]
fn it_takes_fall_failures_to_go_down_and_rise_successes_to_come_back() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Setup::of([&a, &b]).pool(FAST).start();
    lb.wait_state("app", "a", "up");

    let before = a.checks();
    a.set_health(500);
    lb.wait_state("app", "a", "down");
    assert!(
        a.checks() - before >= 3,
        "down after {} failures",
        a.checks() - before
    );

    let before = a.checks();
    a.set_health(200);
    lb.wait_state("app", "a", "up");
    assert!(
        a.checks() - before >= 2,
        "up after {} successes",
        a.checks() - before
    );
}

#[test]
fn a_single_failure_changes_nothing() {
    let a = Origin::start("a");
    let lb = Setup::of([&a]).pool(FAST).start();
    lb.wait_state("app", "a", "up");
    let failed = || {
        lb.metrics().sum(
            "equipoise_health_checks_total",
            &[("server", "a"), ("result", "failure")],
        )
    };
    a.set_health(500);
    eventually(SOON, || failed() >= 1.0);
    a.set_health(200);
    let checks = a.checks();
    eventually(SOON, || a.checks() > checks + 3);
    assert_eq!(lb.server("app", "a")["state"], "up");
    let gone_down = lb.stderr().contains("status 500");
    assert!(failed() >= 3.0 || !gone_down, "{}", lb.stderr());
}

#[test]
fn until_its_first_result_a_server_takes_traffic_only_if_none_is_known_to_be_up() {
    let unknown = Origin::with("unknown", |request| match request.target.as_str() {
        "/probe" => Answer::held(),
        _ => Answer::ok(),
    });
    let known = Origin::start("known");
    let check = "health_check: {type: http, path: /probe, interval: 60s, timeout: 50s}";

    let alone = Setup::of([&unknown]).pool(check).start();
    unknown.wait_held(1);
    assert_eq!(alone.server("app", "unknown")["state"], "unknown");
    assert_eq!(alone.get("/", &[]).origin(), "unknown");

    let both = Setup::of([&unknown, &known]).pool(check).start();
    both.wait_state("app", "known", "up");
    unknown.wait_held(2);
    for _ in 0..6 {
        assert_eq!(both.get("/", &[]).origin(), "known");
    }
    unknown.release_all();
    both.wait_state("app", "unknown", "up");
}

#[test]
fn backups_serve_only_while_nobody_else_can() {
    let (main, spare) = (Origin::start("main"), Origin::start("spare"));
    let lb = Setup::new()
        .server(&main, "")
        .server(&spare, "backup: true")
        .pool(FAST)
        .start();
    lb.wait_state("app", "main", "up");
    lb.wait_state("app", "spare", "up");
    for _ in 0..4 {
        assert_eq!(lb.get("/", &[]).origin(), "main");
    }
    main.set_health(500);
    lb.wait_state("app", "main", "down");
    for _ in 0..4 {
        assert_eq!(lb.get("/", &[]).origin(), "spare");
    }
    main.set_health(200);
    lb.wait_state("app", "main", "up");
    for _ in 0..4 {
        assert_eq!(lb.get("/", &[]).origin(), "main");
    }
}

#[test]
fn with_nobody_left_the_answer_is_503_with_retry_after() {
    let origin = Origin::stopped("a");
    let lb = Setup::of([&origin])
        .pool("health_check: {type: tcp, interval: 60s}")
        .start();
    lb.wait_state("app", "a", "down");
    let response = lb.get("/", &[]);
    assert_eq!(response.status, 503);
    let seconds: u32 = response
        .header("retry-after")
        .expect("Retry-After")
        .parse()
        .unwrap();
    assert!(seconds >= 1);
}

#[test]
fn weight_zero_takes_nothing_new() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Setup::new()
        .server(&a, "weight: 0")
        .server(&b, "weight: 5")
        .start();
    for _ in 0..10 {
        assert_eq!(lb.get("/", &[]).origin(), "b");
    }
    assert_eq!(a.served(), 0);
}

#[test]
fn when_all_weights_are_zero_nobody_is_left() {
    let a = Origin::start("a");
    let lb = Setup::new().server(&a, "weight: 0").start();
    assert_eq!(lb.get("/", &[]).status, 503);
    assert_eq!(a.served(), 0);
}

#[test]
fn a_name_that_does_not_resolve_takes_one_server_out_and_never_stops_the_start() {
    let a = Origin::start("a");
    let lb = Setup::new()
        .server_at("ghost", "no-such-host.invalid:8080", "")
        .server(&a, "")
        .start();
    eventually(SOON * 2, || {
        let reason = lb.server("app", "ghost")["reason"].to_string();
        if reason.contains("no-such-host.invalid") {
            Ok(())
        } else {
            Err(reason)
        }
    });
    for _ in 0..4 {
        assert_eq!(lb.get("/", &[]).origin(), "a");
    }
}

#[test]
fn a_name_is_resolved() {
    let a = Origin::start("a");
    let address = format!("localhost:{}", a.address().port());
    let lb = Setup::new().server_at("a", &address, "").start();
    assert_eq!(lb.get("/", &[]).origin(), "a");
}

#[test]
fn servers_behind_unix_sockets() {
    use std::io::{Read, Write};
    let dir = TempDir::new("unix");
    let path = dir.path().join("origin.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nX-Origin: unix\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    let lb = Setup::new()
        .server_at("a", &format!("unix:{}", path.display()), "")
        .pool("health_check: {type: tcp, interval: 60s}")
        .start();
    lb.wait_state("app", "a", "up");
    assert_eq!(lb.get("/", &[]).origin(), "unix");
}

#[test]
fn without_a_check_a_refused_connect_goes_to_another_server() {
    let (a, b) = (Origin::stopped("a"), Origin::start("b"));
    let lb = Setup::of([&a, &b]).start();
    for _ in 0..6 {
        let response = lb.get("/", &[]);
        assert_eq!((response.status, response.origin()), (200, "b"));
    }
    lb.wait_idle();
    let metrics = lb.metrics();
    assert!(metrics.sum("equipoise_retries_total", &[("pool", "app")]) >= 1.0);
    assert!(metrics.sum("equipoise_server_picks_total", &[("by", "retry")]) >= 1.0);
}

/// Each server is killed and brought back in turn under load: no request of an idempotent method
/// fails, and nothing is left counted.
#[test]
fn servers_go_and_return_under_load_without_a_failed_request() {
    let names = ["a", "b", "c"];
    let origins: Vec<_> = names.iter().map(|name| Origin::start(name)).collect();
    origins.iter().for_each(Origin::quiet);
    let lb = Setup::of(&origins)
        .pool("health_check: {type: tcp, interval: 200ms, fast_interval: 50ms, timeout: 1s, rise: 1, fall: 2}")
        .start();
    for name in names {
        lb.wait_state("app", name, "up");
    }
    let to = lb.web();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let mut sent = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let mut client = Client::connect(to);
                        for _ in 0..20 {
                            let response = client.get("/", &[]).unwrap();
                            assert_eq!(response.status, 200, "{response}");
                            sent += 1;
                        }
                    }
                    sent
                })
            })
            .collect();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for origin in &origins {
                let before = origin.served();
                eventually(SOON, || origin.served() > before + 20);
                origin.stop();
                lb.wait_state("app", origin.name(), "down");
                origin.restart();
                lb.wait_state("app", origin.name(), "up");
                let before = origin.served();
                eventually(SOON, || origin.served() > before + 20);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
        for worker in workers {
            assert!(worker.join().unwrap() > 0);
        }
    });
    lb.wait_idle();
}

#[test]
fn a_server_comes_back_slowly_when_told_to() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Setup::new()
        .server(&a, "weight: 100")
        .server(&b, "weight: 100")
        .pool("slow_start: 300s")
        .pool("health_check: {type: http, path: /health, interval: 200ms, fast_interval: 50ms, rise: 1, fall: 1}")
        .start();
    lb.wait_state("app", "a", "up");
    b.set_health(500);
    lb.wait_state("app", "b", "down");
    b.set_health(200);
    lb.wait_state("app", "b", "up");
    let weight = lb.server("app", "b")["effective_weight"].as_f64().unwrap();
    assert!(
        (9.0..30.0).contains(&weight),
        "effective weight {weight} soon after its return"
    );
    let before = b.served();
    for _ in 0..100 {
        lb.get("/", &[]);
    }
    let got = b.served() - before;
    assert!(
        (1..30).contains(&got),
        "{got} of 100 went to the server that has just returned"
    );
    assert_eq!(lb.server("app", "b")["weight"], 100);
}
