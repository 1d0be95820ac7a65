//! SPEC section 11, reload: everything at once or nothing, and nobody notices.

use nix::sys::signal::Signal;

use crate::common::*;

mod flat;
mod kept;
mod limits;
mod listeners;
mod load;
mod refused;
mod watched;

fn reloads(lb: &Equipoise) -> f64 {
    lb.metrics().sum("equipoise_config_reloads_total", &[])
}

/// Writes a configuration, asks for a reload, and waits until it was done or refused.
#[track_caller]
fn reload(lb: &Equipoise, yaml: &str) {
    let before = reloads(lb);
    lb.rewrite(yaml);
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || reloads(lb) > before);
}

#[test]
fn servers_are_added_and_removed() {
    let (a, b, c) = (Origin::start("a"), Origin::start("b"), Origin::start("c"));
    let lb = Setup::of([&a, &b]).start();
    let connection = &mut lb.client();
    assert_eq!(connection.get("/", &[]).unwrap().status, 200);
    reload(&lb, &Setup::of([&b, &c]).yaml());
    let mut seen: Vec<_> = (0..4)
        .map(|_| connection.get("/", &[]).unwrap().origin().to_owned())
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        ["b", "b", "c", "c"],
        "on a connection from before the reload"
    );
    let metrics = lb.metrics();
    assert!(
        !metrics.has("equipoise_server_up", &[("server", "a")]),
        "its series are gone"
    );
    assert!(metrics.has("equipoise_server_up", &[("server", "c")]));
}

#[test]
fn a_broken_file_changes_nothing_and_every_problem_is_told() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Setup::of([&a]).start();
    let broken = Setup::of([&b]).pool("algoritm: x\nqueue: {siez: 1}").yaml();
    reload(&lb, &broken);
    for _ in 0..3 {
        assert_eq!(lb.get("/", &[]).origin(), "a");
    }
    eventually(SOON, || {
        let log = lb.stderr();
        if log.contains("algoritm") && log.contains("siez") {
            Ok(())
        } else {
            Err(log)
        }
    });
    let refused: f64 = lb
        .metrics()
        .samples()
        .iter()
        .filter(|s| {
            s.name == "equipoise_config_reloads_total" && s.label("result") != Some("success")
        })
        .map(|s| s.value)
        .sum();
    assert_eq!(refused, 1.0);
}

#[test]
fn a_weight_change_alone_resets_nothing() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let with = |weight: u32| {
        Setup::new()
            .server(&a, "weight: 1")
            .server(&b, &format!("weight: {weight}"))
            .pool("persistence: {type: cookie_insert}")
            .pool("health_check: {type: http, path: /health, interval: 60s}")
    };
    let lb = with(1).start();
    lb.wait_state("app", "b", "up");
    a.script(|_| Answer::held());
    let clients = (0..4)
        .map(|_| {
            let mut client = lb.client();
            client.send_request("GET", "/", &[], b"").unwrap();
            client
        })
        .collect::<Vec<_>>();
    a.wait_held(2);
    reload(&lb, &with(3).yaml());
    assert_eq!(lb.server("app", "b")["weight"], 3);
    assert_eq!(lb.server("app", "b")["state"], "up");
    assert_eq!(
        lb.server("app", "a")["active"],
        2,
        "what is in flight still counts"
    );
    a.release_all();
    for mut client in clients {
        assert_eq!(client.read_response(false).unwrap().status, 200);
    }
    lb.wait_idle();
}

#[test]
fn no_session_is_rebound() {
    let origins = ["a", "b", "c"].map(Origin::start);
    let setup = |order: [usize; 3]| {
        Setup::of(order.map(|n| &origins[n])).pool("persistence: {type: cookie_insert}")
    };
    let lb = setup([0, 1, 2]).start();
    let sessions: Vec<_> = (0..6)
        .map(|_| {
            let response = lb.get("/", &[]);
            let cookie = format!("SERVERID={}", response.cookie("SERVERID").unwrap());
            (response.origin().to_owned(), cookie)
        })
        .collect();
    reload(&lb, &setup([2, 0, 1]).yaml());
    for (server, cookie) in &sessions {
        let response = lb.get("/", &[("Cookie", cookie)]);
        assert_eq!(response.origin(), server);
        assert_eq!(response.set_cookie("SERVERID"), None);
    }
}

#[test]
fn what_needs_a_restart_is_refused_with_that_reason() {
    let a = Origin::start("a");
    let lb = Setup::of([&a]).start();
    let more = Setup::of([&a]).top("server: {threads: 7}");
    reload(&lb, &more.yaml());
    assert_eq!(lb.get("/", &[]).status, 200);
    eventually(SOON, || lb.stderr().contains("restart"));
}

#[test]
fn a_secret_file_with_nothing_in_it_refuses_the_reload() {
    let origin = Origin::start("a");
    let dir = TempDir::new("secret");
    let path = dir.path().join("secret");
    let secret = "a secret of more than sixteen bytes\n";
    std::fs::write(&path, secret).unwrap();
    let lb = Setup::of([&origin])
        .pool(&format!(
            "persistence: {{type: cookie_insert, secret_file: \"{}\"}}",
            path.display()
        ))
        .start();
    let cookie = lb.get("/", &[]).cookie("SERVERID").unwrap();
    let reloads = |result| {
        lb.metrics()
            .sum("equipoise_config_reloads_total", &[("result", result)])
    };

    std::fs::write(&path, "short\n").unwrap();
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || reloads("failure") >= 1.0);
    assert!(reloads("success") < 1.0);
    let still = lb.get("/", &[("Cookie", &format!("SERVERID={cookie}"))]);
    assert_eq!(still.cookie("SERVERID"), None, "the session goes on");

    std::fs::write(&path, secret).unwrap();
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || reloads("success") >= 1.0);
}

#[test]
fn the_pid_file_and_the_upgrade_socket_move() {
    let a = Origin::start("a");
    let with = |server: &str| Setup::of([&a]).top(&format!("server: {{{server}}}")).yaml();
    let lb = Equipoise::start(&with(
        "pid_file: \"@DIR@/one\", upgrade_socket: \"@DIR@/one.sock\"",
    ));
    let path = |name: &str| lb.dir().join(name);
    assert!(path("one").exists() && path("one.sock").exists());
    reload(
        &lb,
        &with("pid_file: \"@DIR@/two\", upgrade_socket: \"@DIR@/two.sock\""),
    );
    let pid = std::fs::read_to_string(path("two")).unwrap();
    assert_eq!(pid.trim(), lb.pid().to_string());
    assert!(path("two.sock").exists());
    eventually(SOON, || !path("one").exists() && !path("one.sock").exists());
    reload(
        &lb,
        &with("pid_file: \"@DIR@/no/such/place\", upgrade_socket: null"),
    );
    assert_eq!(lb.status()["reload"]["result"], "failure");
    assert!(path("two").exists() && path("two.sock").exists());
    reload(&lb, &with("upgrade_socket: null"));
    eventually(SOON, || !path("two").exists() && !path("two.sock").exists());
}

#[test]
fn an_address_may_become_wider_and_narrower() {
    let a = Origin::start("a");
    let port = ReservedPort::new().port();
    let at = |host: &str| {
        Setup::of([&a])
            .listener(&format!("bind: \"{host}:{port}\""))
            .yaml()
    };
    let lb = Equipoise::start(&at("127.0.0.1"));
    for host in ["0.0.0.0", "127.0.0.1", "127.0.0.2", "0.0.0.0"] {
        reload(&lb, &at(host));
        assert_eq!(lb.status()["reload"]["result"], "success", "{host}");
        let ip = host.replace("0.0.0.0", "127.0.0.3");
        let to = format!("{ip}:{port}").parse().unwrap();
        assert_eq!(get(to, "/", &[]).status, 200, "{host}");
    }
    reload(&lb, &at("127.0.0.1"));
    let wide = format!("127.0.0.3:{port}").parse().unwrap();
    eventually(SOON, || Client::try_connect(wide).is_err());
}
