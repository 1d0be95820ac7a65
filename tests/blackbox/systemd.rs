//! The unit that is delivered, under a real systemd: start, reload, upgrade, restart, crash, stop, sockets of its own.

use std::net::SocketAddr;

use crate::common::h2::H2;
use crate::common::load::{self, Load};
use crate::common::systemd::{Systemd, other_version};
use crate::common::*;

/// A service with one listener, and its listener's address. Without a systemd the test says why, and is over.
struct Service {
    systemd: Systemd,
    web: SocketAddr,
    yaml: String,
    _ports: [ReservedPort; 2],
}

fn start(origins: &[&Origin], pool: &str) -> Option<Service> {
    start_by(origins, pool, |yaml, _, admin| Systemd::start(yaml, admin))
}

/// `begin` has the configuration, the listener's address and the admin listener's.
fn start_by(
    origins: &[&Origin],
    pool: &str,
    begin: impl FnOnce(&str, SocketAddr, SocketAddr) -> Result<Systemd, String>,
) -> Option<Service> {
    let ports = [ReservedPort::new(), ReservedPort::new()];
    let [web, admin] = ports.each_ref().map(ReservedPort::address);
    let servers: Vec<_> = origins
        .iter()
        .map(|origin| {
            format!(
                "{{name: {}, address: \"{}\"}}",
                origin.name(),
                origin.address()
            )
        })
        .collect();
    let yaml = format!(
        "admin: {{bind: \"{admin}\"}}\nlisteners: {{web: {{bind: \"{web}\", pool: app}}}}\npools: {{app: {{servers: [{}]{pool}}}}}\n",
        servers.join(", ")
    );
    match begin(&yaml, web, admin) {
        Ok(systemd) => Some(Service {
            systemd,
            web,
            yaml,
            _ports: ports,
        }),
        Err(why) => {
            eprintln!("skipped: {why}");
            None
        }
    }
}

fn ask(web: SocketAddr) -> Load {
    let mut load = Load::default();
    let connect = move || Client::try_connect(web);
    load.add("GET, new", load::new("GET", connect));
    load.add("POST, new", load::new("POST", connect));
    load.add("GET, kept", load::kept("GET", connect));
    load.add("POST, kept", load::kept("POST", connect));
    load.add("HTTP/2", load::http2("POST", move || H2::connect(web)));
    load
}

#[test]
fn a_refused_reload_fails_and_says_why() {
    let origin = Origin::start("a");
    let Some(service) = start(&[&origin], "") else {
        return;
    };
    let systemd = &service.systemd;
    assert!(
        systemd.property("StatusText").contains("Serving"),
        "{}",
        systemd.property("StatusText")
    );
    systemd.must(&["reload", "equipoise"]);
    systemd.rewrite(&format!("{}nonsense: true\n", service.yaml));
    let refused = systemd.control(&["reload", "equipoise"]);
    assert!(!refused.status.success(), "{refused:?}");
    let log = systemd.log();
    assert!(log.contains("nonsense"), "{log}");
    eventually(SOON, || systemd.property("StatusText").contains("refused"));
    assert_eq!(systemd.property("ActiveState"), "active");
    assert_eq!(get(service.web, "/", &[]).status, 200);
    systemd.rewrite(&service.yaml);
    systemd.must(&["reload", "equipoise"]);
}

/// `/held` is answered when the test says so.
fn holding() -> Origin {
    let origin = Origin::with("a", |request| match &*request.target {
        "/held" => Answer::held(),
        _ => Answer::ok(),
    });
    origin.quiet();
    origin
}

#[test]
fn an_upgrade_to_another_program_is_followed() {
    let origin = holding();
    let Some(service) = start(&[&origin], "") else {
        return;
    };
    let (systemd, load) = (&service.systemd, ask(service.web));
    load.advance();
    let (program, version) = other_version();
    let mut pid = systemd.property("MainPID");
    systemd.replace_program(&program);
    for _ in 0..3 {
        systemd.must(&["kill", "--kill-whom=main", "--signal=SIGUSR2", "equipoise"]);
        pid = systemd.wait_successor(&pid);
        load.advance();
    }
    load.end();
    assert_eq!(systemd.status()["version"], version);
    // It is systemd's own child now, or a stop would kill it instead of waiting for it.
    let mut long = Client::connect(service.web);
    long.send_request("GET", "/held", &[], b"").unwrap();
    origin.wait_held(1);
    // A program that can't be run changes nothing.
    systemd.replace_program(b"no program");
    systemd.must(&["kill", "--kill-whom=main", "--signal=SIGUSR2", "equipoise"]);
    eventually(SOON, || systemd.log().contains("can't be run"));
    assert_eq!(systemd.property("MainPID"), pid);
    assert_eq!(get(service.web, "/", &[]).status, 200);
    systemd.must(&["stop", "--no-block", "equipoise"]);
    eventually(SOON, || systemd.property("ActiveState") == "deactivating");
    assert_eq!(systemd.property("MainPID"), pid);
    origin.release_all();
    assert_eq!(long.read_response(false).unwrap().status, 200);
    eventually(SOON, || systemd.property("ActiveState") == "inactive");
    assert_eq!(systemd.property("Result"), "success");
    assert!(Client::try_connect(service.web).is_err());
}

#[test]
fn a_restart_refuses_nobody() {
    let origin = holding();
    let Some(service) = start(&[&origin], "") else {
        return;
    };
    let (systemd, load) = (&service.systemd, ask(service.web));
    load.advance();
    assert_eq!(systemd.property("NFileDescriptorStore"), "2");
    for _ in 0..3 {
        let pid = systemd.property("MainPID");
        systemd.must(&["restart", "equipoise"]);
        systemd.wait_successor(&pid);
        load.advance();
    }
    // Nobody waits for what takes long.
    let pid = systemd.property("MainPID");
    let mut long = Client::connect(service.web);
    long.send_request("GET", "/held", &[], b"").unwrap();
    origin.wait_held(1);
    systemd.must(&["restart", "--no-block", "equipoise"]);
    eventually(SOON, || systemd.property("ActiveState") == "deactivating");
    load.advance();
    assert_eq!(systemd.property("MainPID"), pid);
    // systemd says that it stops before the process has its signal.
    eventually(SOON, || {
        let ready = get(systemd.admin(), "/readyz", &[]);
        (ready.status, &*ready.text()) == (503, "not ready: stopping\n")
    });
    assert_eq!(systemd.status()["state"], "stopping");
    origin.release_all();
    assert_eq!(long.read_response(false).unwrap().status, 200);
    systemd.wait_successor(&pid);
    load.end();
    // Another address is bound, and the one of before is closed.
    let port = ReservedPort::new();
    let moved = port.address();
    let from = service.web.to_string();
    systemd.rewrite(&service.yaml.replace(&from, &moved.to_string()));
    systemd.must(&["restart", "equipoise"]);
    assert_eq!(get(moved, "/", &[]).status, 200);
    eventually(SOON, || Client::try_connect(service.web).is_err());
    systemd.must(&["stop", "equipoise"]);
    assert_eq!(systemd.property("Result"), "success");
    assert!(Client::try_connect(moved).is_err());
}

#[test]
fn a_crash_refuses_nobody_and_loses_no_session() {
    let origins = ["a", "b", "c"].map(|name| {
        Origin::with(name, |request| match request.target.split_once("?set=") {
            Some((_, cookie)) => Answer::ok().header("Set-Cookie", cookie),
            None => Answer::ok(),
        })
    });
    let all: Vec<_> = origins.iter().collect();
    let Some(service) = start(&all, ", persistence: {type: learn, cookie: app}") else {
        return;
    };
    let systemd = &service.systemd;
    let bound: Vec<_> = (0..20)
        .map(|n| {
            let cookie = format!("app=id{n}");
            let server = get(service.web, &format!("/?set={cookie}"), &[])
                .origin()
                .to_owned();
            (cookie, server)
        })
        .collect();
    let pid = systemd.property("MainPID");
    systemd.must(&["kill", "--kill-whom=main", "--signal=SIGKILL", "equipoise"]);
    for (cookie, server) in &bound {
        // The first waits until the service is back.
        let response = get(service.web, "/", &[("Cookie", cookie)]);
        assert_eq!(response.origin(), server);
    }
    systemd.wait_successor(&pid);
    assert_eq!(systemd.property("NRestarts"), "1");
}

#[test]
fn sockets_of_systemd_s_own_are_taken_and_outlast_the_service() {
    let origin = holding();
    let begin = |yaml: &str, web, admin| Systemd::listen(yaml, admin, &[web, admin]);
    let Some(service) = start_by(&[&origin], "", begin) else {
        return;
    };
    let systemd = &service.systemd;
    assert_eq!(systemd.property("ActiveState"), "inactive");
    // Whoever connects starts it, and waits until it serves.
    assert_eq!(get(service.web, "/", &[]).status, 200);
    let mut pid = systemd.wait_successor("0");
    assert!(
        systemd
            .log()
            .contains("sockets come from the service manager"),
        "{}",
        systemd.log()
    );
    let load = ask(service.web);
    load.advance();
    systemd.must(&["reload", "equipoise"]);
    load.advance();
    systemd.must(&["kill", "--kill-whom=main", "--signal=SIGUSR2", "equipoise"]);
    pid = systemd.wait_successor(&pid);
    load.advance();
    systemd.must(&["restart", "equipoise"]);
    pid = systemd.wait_successor(&pid);
    load.advance();
    load.end();
    // Its end isn't that of the sockets.
    systemd.must(&["stop", "equipoise"]);
    assert_eq!(systemd.property("Result"), "success");
    assert_eq!(get(service.web, "/", &[]).status, 200);
    systemd.wait_successor(&pid);
    systemd.must(&["stop", "equipoise.socket", "equipoise.service"]);
    assert!(Client::try_connect(service.web).is_err());
}
