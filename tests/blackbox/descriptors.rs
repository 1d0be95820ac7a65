//! File descriptors: what there are too few of is nobody else's fault (sections 4, 8 to 10 of the specification).

mod ports;

use std::io::Read;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::common::*;

const PLENTY: u32 = 1024;

/// The server's part of the status, on a connection that is there already.
fn server_of(admin: &mut Client, name: &str) -> Value {
    let status = admin.get("/api/v1/status", &[]).unwrap().json();
    let servers = status["pools"][0]["servers"].as_array().unwrap();
    servers.iter().find(|s| s["name"] == name).unwrap().clone()
}

#[test]
fn a_check_that_cannot_be_made_changes_nothing() {
    // What is up stays up, and what is down stays down.
    let (origin, nobody) = (Origin::start("up"), ReservedPort::new());
    let down = nobody.address().to_string();
    for (check, names) in [
        ("tcp", &["up", "down"][..]),
        ("http", &["up", "down"]),
        ("tls", &["down"]),
        ("grpc", &["down"]),
    ] {
        let mut setup = Setup::new().server_at("down", &down, "").pool(&format!(
            "health_check: {{type: {check}, interval: 100ms, fast_interval: 50ms, timeout: 5s}}"
        ));
        if names.contains(&"up") {
            setup = setup.server(&origin, "");
        }
        let lb = setup.start();
        let mut admin = Client::connect(lb.admin());
        for name in names {
            eventually(SOON, || server_of(&mut admin, name)["state"] == *name);
        }
        for name in names {
            eventually(SOON, || {
                // Again, for those that were in use when it was set and are closed by now.
                lb.leave_descriptors(0);
                let last = server_of(&mut admin, name)["last_check"].clone();
                let told = last["reason"].as_str().unwrap_or_default();
                last["result"] == "not_made" && told.contains("no file descriptor left")
            });
        }
        holds_for(std::time::Duration::from_millis(500), || {
            let mut stays = |name| server_of(&mut admin, name)["state"] == *name;
            names.iter().all(|name| stays(*name))
        });
        lb.limit_descriptors(PLENTY);
        for name in names {
            eventually(SOON, || {
                server_of(&mut admin, name)["last_check"]["result"] != "not_made"
            });
        }
        let log = lb.stderr();
        let told = log.matches("could not be made").count();
        assert_eq!(told, 1, "{check}: told once a minute\n{log}");
    }
}

#[test]
fn a_request_that_finds_no_descriptor_blames_no_server() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Setup::of([&a, &b])
        .pool("keepalive: {connections: 0}")
        .pool("persistence: {type: cookie_insert, cookie: S, on_unavailable: reject}")
        .start();
    let mut client = lb.client();
    let cookie = client.get("/before", &[]).unwrap();
    let cookie = cookie.header("set-cookie").unwrap().to_owned();
    let cookie = cookie.split(';').next().unwrap();
    // Served once, so that it has been accepted and needs no descriptor any more.
    let mut admin = Client::connect(lb.admin());
    server_of(&mut admin, "a");
    // Once all that the start opened is closed.
    let response = eventually(SOON, || {
        lb.leave_descriptors(0);
        let response = client.get("/short", &[("Cookie", cookie)]).unwrap();
        (response.status == 503).then_some(response)
    });
    assert!(response.header("set-cookie").is_none(), "{response}");
    let line = lb.wait_logged(|line| line["path"] == "/short" && line["status"] == 503);
    assert_eq!(line["termination"], "proxy_resources", "{line}");
    assert_eq!(line["server"], json!(null), "{line}");
    assert_eq!(line["attempts"], 1, "{line}");
    for name in ["a", "b"] {
        assert_eq!(server_of(&mut admin, name)["errors"], 0);
    }
    lb.limit_descriptors(PLENTY);
    let response = lb.get("/after", &[("Cookie", cookie)]);
    assert_eq!(response.status, 200, "{response}");
    assert!(response.header("set-cookie").is_none(), "{response}");
    let retries = lb.metrics().sum("equipoise_retries_total", &[]);
    assert_eq!(retries, 0.0);
    assert_eq!(
        lb.stderr()
            .matches("a server could not be connected to")
            .count(),
        1
    );
}

#[test]
fn a_tcp_connection_that_finds_no_descriptor_blames_no_server() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).listener("protocol: tcp").start();
    let to = lb.web();
    let mut admin = Client::connect(lb.admin());
    server_of(&mut admin, "a");
    // One for the client, none for the server, once all that the start opened is closed.
    eventually(SOON, || {
        lb.leave_descriptors(1);
        // It may be reset before this has seen that it is connected.
        let Ok(mut client) = TcpStream::connect_timeout(&to, SOON) else {
            return Ok(());
        };
        let patience = std::time::Duration::from_millis(300);
        client.set_read_timeout(Some(patience)).unwrap();
        match client.read(&mut [0; 1]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Err("connected"),
            _ => Ok(()),
        }
    });
    let line = lb.wait_logged(|line| line["termination"] != "client_aborted");
    assert_eq!(line["termination"], "proxy_resources", "{line}");
    assert_eq!(line["server"], json!(null), "{line}");
    assert_eq!(server_of(&mut admin, "a")["errors"], 0);
    lb.limit_descriptors(PLENTY);
    let rejected = lb.metrics().value(
        "equipoise_connections_rejected_total",
        &[("reason", "proxy_resources")],
    );
    assert!(rejected >= 1.0);
}

/// A configuration of that many pools, each with a listener of its own.
fn many_pools(origins: &[Origin], listener: &str, pool: &str) -> String {
    let mut listeners = String::from("listeners:\n");
    let mut pools = String::from("pools:\n");
    for (n, origin) in origins.iter().enumerate() {
        listeners += &format!("  web{n}: {{bind: \"127.0.0.1:0\", pool: app{n}{listener}}}\n");
        pools += &format!(
            "  app{n}: {{{pool}servers: [{{name: s, address: \"{}\"}}]}}\n",
            origin.address()
        );
    }
    listeners + &pools
}

fn addresses(lb: &Equipoise, count: usize) -> Vec<std::net::SocketAddr> {
    (0..count).map(|n| lb.address(&format!("web{n}"))).collect()
}

/// Ten pools get twenty requests at once each, one pool after the other: with the idle connections of those before kept
/// for good, there would be none for those that are asked last.
#[test]
fn idle_connections_are_given_up_for_those_that_are_needed() {
    const POOLS: usize = 10;
    const AT_ONCE: usize = 20;
    let origins: Vec<_> = (0..POOLS)
        .map(|n| Origin::with(&format!("s{n}"), |_| Answer::held()))
        .collect();
    let yaml = many_pools(
        &origins,
        "",
        "health_check: {type: tcp, interval: 200ms, fast_interval: 100ms, timeout: 1s}, ",
    );
    let lb = Equipoise::start_with_descriptors(&yaml, 200);
    let to = addresses(&lb, POOLS);
    for n in 0..POOLS {
        eventually(SOON, || lb.server(&format!("app{n}"), "s")["state"] == "up");
    }
    for round in 0..3 {
        for (origin, to) in origins.iter().zip(&to) {
            let mut clients: Vec<_> = (0..AT_ONCE).map(|_| Client::connect(*to)).collect();
            for client in &mut clients {
                client.send_request("GET", "/", &[], b"").unwrap();
            }
            origin.wait_held(AT_ONCE);
            origin.release(AT_ONCE);
            for client in &mut clients {
                let response = client.read_response(false).unwrap();
                assert_eq!(response.status, 200, "round {round}: {response}");
            }
        }
    }
    let metrics = lb.metrics();
    for n in 0..POOLS {
        let server = lb.server(&format!("app{n}"), "s");
        assert_eq!(
            (&server["state"], &server["errors"]),
            (&json!("up"), &json!(0))
        );
    }
    let held = metrics.value("equipoise_descriptors", &[("use", "servers")]);
    let limit = metrics.value("equipoise_descriptors_limit", &[("use", "servers")]);
    assert!(held <= limit, "{held} of {limit}");
    assert!(lb.descriptors().len() < 200);
    assert!(
        !lb.stderr().contains("no file descriptor"),
        "{}",
        lb.stderr()
    );
}

/// The same for connections of HTTP/2: one is kept for each of more pools than there may be connections to servers.
#[test]
fn so_are_idle_connections_of_http2() {
    const POOLS: usize = 60;
    let origin = H2Origin::start(|_| h2_origin::Reply::text("ok"));
    let (mut routes, mut pools) = (String::new(), String::new());
    for n in 0..POOLS {
        routes += &format!("      - {{match: {{path: /{n}}}, pool: app{n}}}\n");
        pools += &format!(
            "  app{n}: {{http2: true, health_check: null, servers: [{{name: s, address: \"{}\"}}]}}\n",
            origin.address()
        );
    }
    let yaml = format!(
        "listeners:\n  web:\n    bind: \"127.0.0.1:0\"\n    http: {{keepalive_requests: 0}}\n    routes:\n{routes}pools:\n{pools}"
    );
    let lb = Equipoise::start_with_descriptors(&yaml, 160);
    let mut client = lb.client();
    for round in 0..3 {
        for n in 0..POOLS {
            let response = client.get(&format!("/{n}"), &[]).unwrap();
            assert_eq!(response.status, 200, "round {round}: {response}");
        }
    }
    let metrics = lb.metrics();
    let limit = metrics.value("equipoise_descriptors_limit", &[("use", "servers")]);
    assert!(limit < POOLS as f64, "{limit}: nothing has to be given up");
    let held = metrics.value("equipoise_descriptors", &[("use", "servers")]);
    assert!(held <= limit, "{held} of {limit}");
    assert!(!lb.stderr().contains("no file descriptor"));
}

/// More streams than there can be connections to servers: they wait for one, first come, first served, and the other
/// clients' requests with them; no check suffers.
#[test]
fn many_streams_share_the_connections_that_can_be_had() {
    const CLIENTS: usize = 6;
    const STREAMS: usize = 100;
    let origins: Vec<_> = (0..3).map(|n| Origin::start(&format!("s{n}"))).collect();
    let yaml = many_pools(
        &origins,
        "",
        "health_check: {type: http, interval: 200ms, fast_interval: 100ms, timeout: 2s}, \
         timeouts: {connect: 30s}, ",
    );
    let lb = Equipoise::start_with_descriptors(&yaml, 160);
    let to = addresses(&lb, 3);
    let mut admin = Client::connect(lb.admin());
    let clients: Vec<_> = (0..CLIENTS).map(|n| h2::H2::connect(to[n % 3])).collect();
    let asked: Vec<_> = clients
        .iter()
        .map(|client| {
            let streams: Vec<_> = (0..STREAMS)
                .map(|n| client.open("GET", &format!("/{n}"), &[], true).unwrap())
                .collect();
            streams
        })
        .collect();
    for (client, streams) in clients.iter().zip(asked) {
        for (response, _) in streams {
            let response = client.run(h2::whole(response)).unwrap();
            assert_eq!(response.status, 200, "{response}");
        }
    }
    let status = admin.get("/api/v1/status", &[]).unwrap().json();
    for pool in status["pools"].as_array().unwrap() {
        let server = &pool["servers"][0];
        assert_eq!(
            (&server["state"], &server["errors"]),
            (&json!("up"), &json!(0))
        );
        assert_eq!(server["last_check"]["result"], "success", "{server}");
    }
    assert!(lb.descriptors().len() < 160);
}

/// Requests that hold all connections to servers for long: what can't be served is told as ours, and nothing else suffers.
#[test]
fn a_request_that_waits_for_a_descriptor_in_vain_blames_no_server() {
    let origins: Vec<_> = (0..2)
        .map(|n| Origin::with(&format!("s{n}"), |_| Answer::held()))
        .collect();
    let yaml = many_pools(
        &origins,
        "",
        "health_check: {type: tcp, interval: 200ms, fast_interval: 100ms, timeout: 1s}, \
         timeouts: {connect: 1s}, ",
    );
    let lb = Equipoise::start_with_descriptors(&yaml, 120);
    let to = addresses(&lb, 2);
    let metrics = lb.metrics();
    let limit = metrics.value("equipoise_descriptors_limit", &[("use", "servers")]);
    let limit: usize = format!("{limit}").parse().unwrap();
    let hogs: Vec<_> = (0..limit.div_ceil(100))
        .map(|_| h2::H2::connect(to[0]))
        .collect();
    let mut held = Vec::new();
    for n in 0..limit {
        held.push(hogs[n / 100].open("GET", "/", &[], true).unwrap());
    }
    origins[0].wait_held(limit);
    let refused = get(to[1], "/late", &[]);
    assert_eq!(refused.status, 503, "{refused}");
    let line = lb.wait_logged(|line| line["path"] == "/late");
    assert_eq!(line["termination"], "proxy_resources", "{line}");
    let server = lb.server("app1", "s");
    assert_eq!(
        (&server["state"], &server["errors"]),
        (&json!("up"), &json!(0))
    );
    origins[0].release_all();
    origins[1].script(|_| Answer::ok());
    eventually(SOON, || get(to[1], "/later", &[]).status == 200);
}

/// The limits of connections: what is beyond waits, however many listeners share the limit.
#[test]
fn a_limit_of_n_serves_n_over_all_listeners() {
    for limit in [1, 2, 3] {
        let origins: Vec<_> = (0..3).map(|n| Origin::start(&format!("s{n}"))).collect();
        let yaml = format!(
            "server: {{max_connections: {limit}}}\n{}",
            many_pools(&origins, "", "health_check: null, ")
        );
        let lb = Equipoise::start(&yaml);
        let to = addresses(&lb, 3);
        // Whichever listeners they come by.
        for first in 0..3 {
            let mut clients: Vec<_> = (0..limit)
                .map(|n| Client::connect(to[(first + n) % 3]))
                .collect();
            for client in &mut clients {
                assert_eq!(client.get("/", &[]).unwrap().status, 200);
            }
            let mut late: Vec<_> = to.iter().map(|to| Client::connect(*to)).collect();
            for client in &mut late {
                let close = [("Connection", "close")];
                client.send_request("GET", "/late", &close, b"").unwrap();
            }
            eventually(SOON, || {
                let status = lb.status();
                let listeners = status["listeners"].as_array().unwrap();
                listeners.iter().all(|listener| listener["full"] == true)
            });
            let active = lb.metrics().sum("equipoise_connections_active", &[]);
            assert_eq!(format!("{active}"), limit.to_string());
            // The established ones don't suffer, and when one ends, the one that waits longest is next.
            for client in &mut clients {
                assert_eq!(client.get("/", &[]).unwrap().status, 200);
            }
            drop(clients);
            for mut client in late {
                let response = client.read_response(false).unwrap();
                assert_eq!(response.status, 200);
            }
            lb.wait_idle();
        }
        let delayed = lb.metrics().sum(
            "equipoise_connections_delayed_total",
            &[("reason", "process_limit")],
        );
        assert!(delayed >= 9.0, "{delayed}");
        let told = lb.stderr().matches("server.max_connections allows").count();
        assert_eq!(told, 3, "once a listener and minute: {}", lb.stderr());
    }
}

#[test]
fn a_listeners_own_limit_is_shared_by_its_addresses_and_shown() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("bind: [\"127.0.0.1:0\", \"127.0.0.1:0\"]\nmax_connections: 1")
        .start();
    let addresses = lb.status()["listeners"][0]["addresses"].clone();
    let to = |n: usize| addresses[n].as_str().unwrap().parse().unwrap();
    let mut first = Client::connect(to(0));
    assert_eq!(first.get("/", &[]).unwrap().status, 200);
    let mut second = Client::connect(to(1));
    second.send_request("GET", "/", &[], b"").unwrap();
    eventually(SOON, || {
        let metrics = lb.metrics();
        metrics.value("equipoise_listener_full", &[("listener", "web")]) == 1.0
    });
    assert_eq!(first.get("/", &[]).unwrap().status, 200);
    drop(first);
    assert_eq!(second.read_response(false).unwrap().status, 200);
    drop(second);
    lb.wait_idle();
    let listener = &lb.status()["listeners"][0];
    assert_eq!(
        (&listener["full"], &listener["connections_delayed"]),
        (&json!(false), &json!(1))
    );
    let delayed = lb.metrics().value(
        "equipoise_connections_delayed_total",
        &[("reason", "listener_limit")],
    );
    assert_eq!(delayed, 1.0);
}

#[test]
fn a_client_that_waits_for_room_when_the_process_stops_is_counted() {
    let origin = Origin::with("a", |_| Answer::held());
    let mut lb = Setup::of([&origin]).listener("max_connections: 1").start();
    let to = lb.web();
    let mut first = Client::connect(to);
    first.send_request("GET", "/", &[], b"").unwrap();
    origin.wait_held(1);
    let mut second = Client::connect(to);
    eventually(SOON, || lb.status()["listeners"][0]["full"] == true);
    let mut admin = Client::connect(lb.admin());
    lb.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(second.is_closed_by_peer());
    let metrics = admin.get("/metrics", &[]).unwrap().text();
    let refused = "equipoise_connections_rejected_total{listener=\"web\",reason=\"stopping\"} 1";
    assert!(metrics.contains(refused), "{metrics}");
    origin.release_all();
    assert_eq!(first.read_response(false).unwrap().status, 200);
    lb.wait_exit(SOON);
}

#[test]
fn nothing_to_accept_with_costs_neither_processor_nor_log_nor_the_established() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let mut established = lb.client();
    assert_eq!(established.get("/", &[]).unwrap().status, 200);
    // Served once, so that it has been accepted and needs no descriptor any more.
    let mut admin = Client::connect(lb.admin());
    server_of(&mut admin, "a");
    let to = lb.web();
    lb.leave_descriptors(0);
    let mut waiting: Vec<_> = (0..20).map(|_| Client::connect(to)).collect();
    for client in &mut waiting {
        client.send_request("GET", "/", &[], b"").unwrap();
    }
    eventually(SOON, || {
        let status = admin.get("/api/v1/status", &[]).unwrap().json();
        status["listeners"][0]["full"] == true
    });
    let used = |lb: &Equipoise| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", lb.pid())).unwrap();
        let after_name = stat.rsplit(')').next().unwrap().to_owned();
        let fields: Vec<_> = after_name.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = used(&lb);
    for _ in 0..5 {
        // Whoever asks before the server's connection is free again would need another one.
        eventually(SOON, || {
            let metrics = admin.get("/metrics", &[]).unwrap().text();
            metrics.contains("equipoise_descriptors{use=\"idle\"} 1\n")
        });
        assert_eq!(established.get("/", &[]).unwrap().status, 200);
        holds_for(std::time::Duration::from_millis(200), || true);
    }
    let ticks = used(&lb) - before;
    assert!(
        ticks < 80,
        "{ticks} hundredths of a second of processor in one second"
    );
    let told = lb.stderr().matches("no file descriptor").count();
    assert_eq!(told, 1, "{}", lb.stderr());
    lb.limit_descriptors(PLENTY);
    for client in &mut waiting {
        assert_eq!(client.read_response(false).unwrap().status, 200);
    }
}

#[test]
fn a_start_that_could_serve_nobody_ends_with_words() {
    let origin = Origin::start("a");
    let exit = Equipoise::run_to_exit_with_descriptors(&Setup::of([&origin]).yaml(), 30);
    assert_eq!(exit.code(), Some(1), "{exit:?}");
    assert!(
        exit.stderr.contains("not one client could be served"),
        "{exit:?}"
    );
    assert!(exit.stderr.contains("LimitNOFILE"), "{exit:?}");
}
