//! SPEC section 12: how much of what happens is counted, where, and how large the page of it is.

use std::fmt::Write as _;

use crate::common::*;

/// 40 pools of 25 servers behind one listener, in the size that the metrics have by default.
fn forty_pools(origin: &Origin, more: &str) -> String {
    let mut yaml = format!(
        "{more}listeners:\n  web:\n    bind: \"127.0.0.1:0\"\n    pool: pool-00\n    routes:\n"
    );
    for pool in 0..40 {
        let _ = writeln!(
            yaml,
            "      - {{match: {{path_prefix: /{pool:02}}}, pool: pool-{pool:02}}}"
        );
    }
    yaml.push_str("pools:\n");
    for pool in 0..40 {
        let _ = writeln!(
            yaml,
            "  pool-{pool:02}:\n    health_check: null\n    persistence: {{type: cookie_insert, cookie: session}}\n    servers:"
        );
        for server in 0..25 {
            let _ = writeln!(
                yaml,
                "      - {{name: server-{server:04}, address: \"{}\"}}",
                origin.address()
            );
        }
    }
    yaml
}

#[test]
fn the_metrics_of_a_thousand_servers_are_less_than_a_megabyte() {
    let origin = Origin::start("a");
    origin.quiet();
    let lb = Equipoise::start(&forty_pools(&origin, ""));
    let size = lb.metrics().text.len();
    assert!(size < 1_000_000, "{size} bytes");
    for pool in 0..40 {
        let mut client = lb.client();
        for _ in 0..25 {
            let first = client.get(&format!("/{pool:02}"), &[]).unwrap();
            let cookie = format!("session={}", first.cookie("session").unwrap());
            let target = format!("/{pool:02}/more");
            client
                .request("POST", &target, &[("Cookie", &cookie)], b"a body")
                .unwrap();
        }
    }
    lb.wait_idle_servers();
    let metrics = lb.metrics();
    let size = metrics.text.len();
    assert!(size < 1_000_000, "{size} bytes");
    for pool in 0..40 {
        let pool = &*format!("pool-{pool:02}");
        for (name, label, count) in [
            ("equipoise_server_picks_total", ("by", "balance"), 25.0),
            ("equipoise_server_picks_total", ("by", "persistence"), 25.0),
            ("equipoise_server_bytes_total", ("direction", "in"), 150.0),
        ] {
            let labels = [("pool", pool), label];
            assert_eq!(metrics.sum(name, &labels), count, "{name} {label:?}");
            assert!(!metrics.has(name, &[("server", "server-0000")]));
        }
    }
    // What a server says at the least.
    for name in [
        "equipoise_server_active",
        "equipoise_server_weight",
        "equipoise_server_up",
        "equipoise_server_last_change_timestamp_seconds",
        "equipoise_server_response_seconds_count",
    ] {
        let series = metrics
            .samples()
            .iter()
            .filter(|sample| sample.name == name);
        assert_eq!(series.count(), 1000, "{name}");
    }
    let answered = metrics.samples().iter().filter(|sample| {
        sample.name == "equipoise_http_requests_total"
            && sample.label("server") != Some("")
            && sample.label("code") == Some("2xx")
            && sample.value == 2.0
    });
    assert_eq!(answered.count(), 1000);
}

#[test]
fn the_metrics_come_compressed_to_who_asks_for_that() {
    let origin = Origin::start("a");
    let lb = Equipoise::start(&forty_pools(&origin, ""));
    let mut client = Client::connect(lb.admin());
    let gzip = [("Accept-Encoding", "gzip")];
    let packed = client.get("/metrics", &gzip).unwrap();
    assert_eq!(packed.header("content-encoding"), Some("gzip"), "{packed}");
    assert!(packed.body.len() < 100_000, "{} bytes", packed.body.len());
    let mut text = String::new();
    let mut unpacked = flate2::read::GzDecoder::new(&packed.body[..]);
    std::io::Read::read_to_string(&mut unpacked, &mut text).unwrap();
    assert!(text.contains("equipoise_server_up{pool=\"pool-39\",server=\"server-0024\"} 1\n"));
    for none in ["identity", "br", "gzip;q=0"] {
        let plain = client
            .get("/metrics", &[("Accept-Encoding", none)])
            .unwrap();
        assert_eq!(plain.header("content-encoding"), None, "{none}");
    }
}

#[test]
fn histograms_by_server_can_be_switched_on_and_off_by_a_reload() {
    let origin = Origin::start("a");
    let setup = Setup::of([&origin]);
    let by_server = setup.clone().top("metrics: {server_histograms: true}");
    let lb = by_server.start();
    let families = [
        "equipoise_upstream_response_seconds_count",
        "equipoise_upstream_connect_seconds_count",
    ];
    let are = |server: bool, count: f64| {
        eventually(SOON, || {
            let metrics = lb.metrics();
            families.iter().all(|name| {
                let labels = [("pool", "app"), ("server", "a")];
                let labels = &labels[..=usize::from(server)];
                metrics.has(name, &[("server", "a")]) == server
                    && metrics.sum(name, labels) == count
            })
        });
    };
    let ask = || assert_eq!(lb.get("/", &[("Connection", "close")]).status, 200);
    ask();
    are(true, 1.0);
    let reload = |setup: &Setup| {
        lb.rewrite(&setup.yaml());
        lb.signal(nix::sys::signal::Signal::SIGHUP);
    };
    reload(&setup);
    // Those of the pools have counted all the while.
    are(false, 1.0);
    reload(&by_server);
    are(true, 1.0);
}

#[test]
fn a_reload_decides_what_is_counted_by_server() {
    let origin = Origin::start("a");
    let setup = Setup::of([&origin]);
    let by_pool = setup.clone().top("metrics: {server_counters_up_to: 0}");
    let lb = setup.start();
    assert_eq!(lb.get("/", &[]).status, 200);
    let shown = |by_server: bool| {
        eventually(SOON, || {
            let metrics = lb.metrics();
            let picks = "equipoise_server_picks_total";
            metrics.has(picks, &[("server", "a")]) == by_server
                && metrics.sum(picks, &[("pool", "app")]) == 1.0
        });
    };
    shown(true);
    for (setup, by_server) in [(&by_pool, false), (&setup, true)] {
        lb.rewrite(&setup.yaml());
        lb.signal(nix::sys::signal::Signal::SIGHUP);
        shown(by_server);
    }
}

/// The listener `web`, the pool `app` and its only server, as the status has them.
fn counts(lb: &Equipoise) -> [serde_json::Value; 3] {
    let status = lb.status();
    let pool = &status["pools"][0];
    [
        status["listeners"][0].clone(),
        pool.clone(),
        pool["servers"][0].clone(),
    ]
}

#[test]
fn requests_that_no_server_took_are_errors_of_pool_and_listener() {
    let refusing = ReservedPort::new();
    let lb = Setup::new()
        .server_at("a", &refusing.address().to_string(), "weight: 0")
        .start();
    for _ in 0..3 {
        assert_eq!(lb.get("/", &[]).status, 503);
    }
    eventually(SOON, || counts(&lb)[0]["errors"] == 3);
    let [listener, pool, server] = counts(&lb);
    for place in [&listener, &pool] {
        assert_eq!(place["requests"], 3, "{place}");
        assert_eq!(place["errors"], 3, "{place}");
        assert_eq!(place["unserved"], 3, "{place}");
    }
    assert_eq!(server["errors"], 0, "{server}");
    let metrics = lb.metrics();
    let errors = |labels: &[(&str, &str)]| metrics.sum("equipoise_errors_total", labels);
    let reason = [
        ("listener", "web"),
        ("pool", "app"),
        ("reason", "no_server"),
    ];
    assert_eq!(errors(&reason), 3.0);
    assert_eq!(errors(&[]), 3.0);
    let code = [("listener", "web"), ("pool", "app"), ("code", "503")];
    assert_eq!(metrics.value("equipoise_http_responses_total", &code), 3.0);
}

#[test]
fn an_error_is_counted_once_for_the_pool_and_for_each_server_that_failed() {
    let (bad, good) = (
        Origin::with("bad", |_| Answer::Reset),
        Origin::start("good"),
    );
    let lb = Setup::of([&bad, &good]).start();
    for _ in 0..4 {
        assert_eq!(lb.get("/", &[]).status, 200);
    }
    eventually(SOON, || counts(&lb)[1]["requests"] == 4);
    let [listener, pool, server] = counts(&lb);
    // Every request was served; two of them at the second try.
    assert_eq!(
        (&listener["errors"], &pool["errors"]),
        (&0.into(), &0.into())
    );
    assert_eq!(
        (&server["requests"], &server["errors"]),
        (&2.into(), &2.into())
    );
    let failed = [("pool", "app"), ("server", "bad")];
    let metrics = lb.metrics();
    assert_eq!(metrics.value("equipoise_server_errors_total", &failed), 2.0);
    good.stop();
    assert_eq!(lb.get("/", &[]).status, 502);
    eventually(SOON, || counts(&lb)[1]["errors"] == 1);
    assert_eq!(counts(&lb)[1]["unserved"], 0);
}

#[test]
fn what_ends_for_the_clients_part_is_no_error() {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/404" => Answer::status(404),
        "/500" => Answer::status(500),
        _ => Answer::ok(),
    });
    let lb = Setup::of([&origin])
        .listener("http: {max_uri_length: 1KiB}\nroutes: [{match: {path: /denied}, deny: [0.0.0.0/0], pool: app}]")
        .start();
    for (target, status) in [("/", 200), ("/404", 404), ("/500", 500), ("/denied", 403)] {
        assert_eq!(lb.get(target, &[]).status, status);
    }
    let long = format!("/{}", "x".repeat(2000));
    assert_eq!(lb.get(&long, &[]).status, 414);
    eventually(SOON, || counts(&lb)[0]["requests"] == 5);
    let [listener, pool, server] = counts(&lb);
    assert_eq!(
        (&listener["errors"], &listener["unserved"]),
        (&1.into(), &0.into())
    );
    // Refused here: what the server answers with a 4xx is its own affair.
    assert_eq!(listener["refused"], 2, "{listener}");
    // What is denied comes to no pool.
    assert_eq!((&pool["requests"], &pool["errors"]), (&3.into(), &1.into()));
    assert_eq!(
        (&server["requests"], &server["errors"]),
        (&3.into(), &1.into())
    );
}

#[test]
fn connections_that_no_server_took_are_errors_as_well() {
    let refusing = ReservedPort::new();
    let lb = Setup::new()
        .listener("protocol: tcp")
        .server_at("a", &refusing.address().to_string(), "")
        .pool("retries: {attempts: 0}")
        .start();
    for _ in 0..2 {
        // It may be over before the client has looked at it.
        if let Ok(mut client) = Client::try_connect(lb.web()) {
            assert!(client.is_closed_by_peer());
        }
    }
    eventually(SOON, || counts(&lb)[0]["errors"] == 2);
    let [_, pool, server] = counts(&lb);
    assert_eq!((&pool["requests"], &pool["errors"]), (&2.into(), &2.into()));
    assert_eq!(server["errors"], 2, "{server}");
}

#[test]
fn the_wait_in_the_queue_and_the_bytes_of_servers_are_measured() {
    let origin = Origin::start("a");
    let lb = Setup::new()
        .server(&origin, "max_connections: 1")
        .pool("queue: {size: 5, timeout: 200ms}")
        .start();
    let mut first = lb.client();
    first
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
        .unwrap();
    let active = [("pool", "app")];
    eventually(SOON, || {
        lb.metrics().sum("equipoise_server_active", &active) == 1.0
    });
    assert_eq!(lb.get("/", &[]).status, 503);
    first.send("world").unwrap();
    assert_eq!(first.read_response(false).unwrap().status, 200);
    drop(first);
    lb.wait_idle();
    let metrics = lb.metrics();
    let pool = [("pool", "app")];
    assert_eq!(metrics.value("equipoise_queue_seconds_count", &pool), 1.0);
    assert!(metrics.value("equipoise_queue_seconds_sum", &pool) >= 0.2);
    let to_server = [("server", "a"), ("direction", "in")];
    assert_eq!(
        metrics.value("equipoise_server_bytes_total", &to_server),
        10.0
    );
    let queue_timeout = [("reason", "queue_timeout")];
    assert_eq!(metrics.sum("equipoise_errors_total", &queue_timeout), 1.0);
}
