//! What goes along: sockets, sessions, what operators changed, health, turns, counts, tickets.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;
use openssl::ssl::SslVersion;

use super::*;

#[test]
fn a_new_process_takes_over_and_the_old_one_ends_when_it_is_idle() {
    let origin = origin("a");
    let mut lb = Setup::of([&origin])
        .top("server: {pid_file: \"@DIR@/pid\"}")
        .start();
    let (to, admin) = (lb.web(), lb.admin());
    let first = lb.pid();
    for _ in 0..10 {
        assert_eq!(lb.get("/", &[]).status, 200);
    }
    let mut long = lb.client();
    long.send_request("GET", "/held", &[], b"").unwrap();
    origin.wait_held(1);
    let mut old = lb.upgrade();
    let status = lb.status();
    assert_ne!(status["pid"], first);
    assert_eq!(status["pid"], lb.pid());
    assert_eq!((lb.web(), lb.admin()), (to, admin));
    let pid_file = || fs::read_to_string(lb.dir().join("pid")).unwrap_or_default();
    assert_eq!(pid_file().trim(), lb.pid().to_string());
    eventually(SOON, || {
        let status = lb.status();
        let before = &status["predecessor"];
        (before["pid"] == first && before["connections"] == 1)
            .then_some(())
            .ok_or(format!("{before}"))
    });
    assert!(old.is_running(), "a request is in flight");
    assert_eq!(lb.get("/", &[]).status, 200);
    origin.release_all();
    let response = long.read_response(false).unwrap();
    assert_eq!(response.status, 200);
    assert!(response.has_token("connection", "close"), "{response}");
    assert_ends_well(old);
    eventually(SOON, || lb.status()["predecessor"].is_null());
    assert_eq!(
        pid_file().trim(),
        lb.pid().to_string(),
        "it is the new one's"
    );
    // What both have counted.
    eventually(SOON, || {
        let served = lb.server("app", "a")["requests"].clone();
        let total = lb
            .metrics()
            .sum("equipoise_http_requests_total", &[("code", "2xx")]);
        (total == 12.0)
            .then_some(())
            .ok_or(format!("{served} {total}"))
    });
    let metrics = lb.metrics();
    let durations = metrics.sum("equipoise_http_request_duration_seconds_count", &[]);
    assert_eq!(durations, 12.0);
    assert_eq!(
        metrics.sum("equipoise_http_responses_total", &[("code", "200")]),
        12.0
    );
    lb.signal(Signal::SIGTERM);
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
    assert!(!lb.dir().join("pid").exists());
    assert!(!lb.dir().join("upgrade.sock").exists());
}

#[test]
fn sessions_stay_where_they_are_whichever_process_bound_them() {
    let origins = three();
    let mut lb = Setup::of(&origins)
        .pool("persistence: {type: learn, cookie: app}")
        .start();
    let mut bound = BTreeMap::new();
    for n in 0..30 {
        let response = lb.get(&format!("/?set=app=id{n}"), &[]);
        bound.insert(format!("app=id{n}"), response.origin().to_owned());
    }
    // A session that the old process binds after it was handed over.
    let mut late = lb.client();
    late.send_request("GET", "/held?set=app=late", &[], b"")
        .unwrap();
    let holder = eventually(SOON, || origins.iter().find(|one| one.held() == 1));
    // One that the new process binds, and that the old one meets on a connection that it has kept.
    let kept = h2::H2::connect(lb.web());
    let mut early = Client::connect(lb.web());
    early.send_request("GET", "/held", &[], b"").unwrap();
    eventually(SOON, || {
        origins.iter().map(Origin::held).sum::<usize>() == 2
    });
    let old = lb.upgrade();
    for (cookie, server) in &bound {
        assert_eq!(with_cookie(&lb, cookie), *server, "{cookie}");
    }
    holder.release_all();
    let response = late.read_response(false).unwrap();
    assert_eq!(response.origin(), holder.name());
    eventually(SOON, || with_cookie(&lb, "app=late") == holder.name());
    for origin in &origins {
        origin.release_all();
    }
    assert_eq!(early.read_response(false).unwrap().status, 200);
    drop(kept);
    assert_ends_well(old);
    for (cookie, server) in &bound {
        assert_eq!(with_cookie(&lb, cookie), *server, "{cookie}");
    }
    let result = |result| {
        lb.metrics()
            .sum("equipoise_persistence_total", &[("result", result)])
    };
    // Both processes' are counted.
    eventually(SOON, || result("hit") >= 61.0);
}

#[test]
fn a_client_address_keeps_its_server_over_many_upgrades() {
    let origins = three();
    let mut lb = Setup::of(&origins)
        .pool("persistence: {type: source_ip}")
        .start();
    let ask = |lb: &Equipoise, last: u8| {
        let from = std::net::IpAddr::from([127, 0, 0, last]);
        let mut client = Client::connect_from(from, lb.web());
        client.get("/", &[]).unwrap().origin().to_owned()
    };
    let before: Vec<_> = (2..20).map(|last| ask(&lb, last)).collect();
    for _ in 0..3 {
        let old = lb.upgrade();
        let after: Vec<_> = (2..20).map(|last| ask(&lb, last)).collect();
        assert_eq!(before, after);
        assert_ends_well(old);
    }
}

#[test]
fn what_an_operator_changed_goes_along_and_so_do_health_and_turns() {
    let origins = three();
    let [a, b, c] = &origins;
    c.set_health(503);
    let dir = TempDir::new("upgrade");
    dir.write("token", "0123456789abcdef0123456789abcdef\n");
    let mut lb = Setup::new()
        .server(a, "weight: 5")
        .server(b, "")
        .server(c, "")
        .pool("health_check: {type: http, path: /health, interval: 60s, fast_interval: 50ms, rise: 2, fall: 2}")
        .top("admin: {bind: \"127.0.0.1:0\", token_file: \"@DIR@/token\"}")
        .start_in(dir);
    lb.wait_state("app", "c", "down");
    let patch = |lb: &Equipoise, server: &str, body: &str| {
        let response = Client::connect(lb.admin())
            .request(
                "PATCH",
                &format!("/api/v1/pools/app/servers/{server}"),
                &[
                    ("Authorization", "Bearer 0123456789abcdef0123456789abcdef"),
                    ("Content-Type", "application/json"),
                ],
                body.as_bytes(),
            )
            .unwrap();
        assert_eq!(response.status, 200, "{response}");
    };
    patch(&lb, "a", "{\"weight\": 2}");
    patch(&lb, "b", "{\"weight\": 3}");
    // Turns of 2:3 are babab, and begin anew with the change.
    let turns = |lb: &Equipoise, count: usize| -> String {
        (0..count)
            .map(|_| lb.get("/", &[]).origin().to_owned())
            .collect()
    };
    let reference = turns(&lb, 15);
    assert_eq!(turns(&lb, 2), reference[..2]);
    let since = lb.server("app", "c")["since"].clone();
    let old = lb.upgrade();
    let down = lb.server("app", "c");
    assert_eq!((&down["state"], &down["since"]), (&"down".into(), &since));
    assert!(down["reason"].as_str().unwrap().contains("503"), "{down}");
    assert_eq!(lb.server("app", "a")["state"], "up");
    assert_eq!(lb.server("app", "a")["weight"], 2);
    assert_eq!(lb.server("app", "b")["weight"], 3);
    assert_eq!(
        turns(&lb, 13),
        reference[2..],
        "goes on in the middle of a round"
    );
    assert_eq!(c.served(), 0, "nobody is sent to a server that is down");
    assert_ends_well(old);
    let exit = lb.status()["pools"][0]["servers"][0]["overridden"].clone();
    assert_eq!(exit[0], "weight");
}

#[test]
fn tls_sessions_are_resumed_by_the_next_process() {
    const NAME: &str = "www.example.com";
    let (pki, origin) = (Pki::new(), origin("a"));
    let site = pki.leaf(&[NAME]);
    let tls = format!(
        "protocol: https\ntls: {{certificates: [{{cert: \"{}\", key: \"{}\"}}]}}",
        site.cert.display(),
        site.key.display()
    );
    let mut lb = Setup::of([&origin]).listener(&tls).start();
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let client = Tls::new(&pki, NAME).version(version);
        let mut connection = client.connect(lb.web());
        assert_eq!(connection.get("/", &[]).unwrap().status, 200);
        assert!(client.has_session());
        drop(connection);
        let old = lb.upgrade();
        let mut again = client.clone().resumed().connect(lb.web());
        assert_eq!(again.get("/", &[]).unwrap().status, 200);
        assert!(again.ssl().session_reused(), "{version:?}");
        drop(again);
        assert_ends_well(old);
    }
}

#[test]
fn the_configuration_may_be_another_one() {
    let origin = origin("a");
    let shared = ReservedPort::new();
    let (all, one) = (
        format!("0.0.0.0:{}", shared.port()),
        format!("127.0.0.1:{}", shared.port()),
    );
    let yaml = |listeners: &str| {
        format!(
            "listeners:\n{listeners}pools: {{app: {{servers: [{{name: a, address: \"{}\"}}]}}}}\n",
            origin.address()
        )
    };
    let mut lb = Equipoise::start(&yaml(&format!(
        "  web: {{bind: \"127.0.0.1:0\", pool: app}}\n  going: {{bind: \"127.0.0.1:0\", pool: app}}\n  all: {{bind: \"{all}\", pool: app}}\n"
    )));
    let (web, going) = (lb.web(), lb.address("going"));
    // A listener goes, one comes, and one takes a part of the address of another.
    lb.rewrite(&yaml(&format!(
        "  web: {{bind: \"127.0.0.1:0\", pool: app}}\n  come: {{bind: \"127.0.0.1:0\", pool: app}}\n  one: {{bind: \"{one}\", pool: app}}\n"
    )));
    let old = lb.upgrade();
    assert_eq!(lb.web(), web);
    assert_eq!(lb.get("/", &[]).status, 200);
    assert_eq!(get(lb.address("come"), "/", &[]).status, 200);
    assert_eq!(get(one.parse().unwrap(), "/", &[]).status, 200);
    eventually(SOON, || Client::try_connect(going).is_err());
    assert_ends_well(old);
    assert_eq!(get(one.parse().unwrap(), "/", &[]).status, 200);
    // The next one goes on from there.
    let old = lb.upgrade();
    assert_eq!(get(one.parse().unwrap(), "/", &[]).status, 200);
    assert_ends_well(old);
}

#[test]
fn a_listener_that_a_reload_takes_away_after_an_upgrade_refuses_at_once() {
    let origin = origin("a");
    let two = Setup::of([&origin]);
    let with = two.yaml().replace(
        "listeners:\n",
        "listeners:\n  more: {bind: \"127.0.0.1:0\", pool: app}\n",
    );
    let mut lb = Equipoise::start(&with);
    let more = lb.address("more");
    let mut long = lb.client();
    long.send_request("GET", "/held", &[], b"").unwrap();
    origin.wait_held(1);
    let old = lb.upgrade();
    lb.rewrite(&two.yaml());
    lb.signal(Signal::SIGHUP);
    // The old process, which still works, doesn't keep anybody waiting there.
    eventually(SOON, || Client::try_connect(more).is_err());
    assert_eq!(lb.get("/", &[]).status, 200);
    origin.release_all();
    assert_eq!(long.read_response(false).unwrap().status, 200);
    assert_ends_well(old);
}

/// The process that answers.
fn serving(lb: &Equipoise) -> Option<u32> {
    let mut client = Client::try_connect(lb.admin()).ok()?;
    let status = client.get("/api/v1/status", &[]).ok()?.json();
    status["pid"].as_u64()?.try_into().ok()
}

#[test]
fn sigusr2_begins_the_next_process() {
    let origin = origin("a");
    let mut lb = Setup::of([&origin]).start();
    let first = lb.pid();
    lb.signal(Signal::SIGUSR2);
    let next = eventually(6 * SOON, || serving(&lb).filter(|pid| *pid != first));
    assert_eq!(lb.get("/", &[]).status, 200);
    assert_eq!(lb.wait_exit(6 * SOON).code(), Some(0));
    assert_eq!(lb.get("/", &[]).status, 200);
    // And so does the next one.
    let next = nix::unistd::Pid::from_raw(next.try_into().unwrap());
    nix::sys::signal::kill(next, Signal::SIGUSR2).unwrap();
    let last = eventually(6 * SOON, || {
        serving(&lb).filter(|pid| *pid != next.as_raw().cast_unsigned())
    });
    let last = nix::unistd::Pid::from_raw(last.try_into().unwrap());
    nix::sys::signal::kill(last, Signal::SIGTERM).unwrap();
    eventually(6 * SOON, || Client::try_connect(lb.admin()).is_err());
}

#[test]
fn the_program_may_be_another_one() {
    use crate::common::systemd::{other_version, replace};
    let (origin, port, dir) = (origin("a"), ReservedPort::new(), TempDir::new("program"));
    let path = dir.path().join("equipoise");
    replace(&path, &fs::read(equipoise::BINARY).unwrap());
    let yaml = Setup::of([&origin])
        .top(&format!("admin: {{bind: \"{}\"}}", port.address()))
        .yaml();
    let script = format!("shift; exec {} \"$@\"", path.display());
    let lb = Equipoise::start_in_shell(&yaml, port.address(), &script);
    let (program, version) = other_version();
    assert_ne!(lb.status()["version"], version);
    replace(&path, &program);
    lb.signal(Signal::SIGUSR2);
    eventually(6 * SOON, || {
        let mut client = Client::try_connect(lb.admin()).ok()?;
        let status = client.get("/api/v1/status", &[]).ok()?.json();
        (status["version"] == version).then_some(())
    });
    assert_eq!(lb.get("/", &[]).status, 200);
    let next = i32::try_from(serving(&lb).unwrap()).unwrap();
    let mut lb = lb;
    assert_eq!(lb.wait_exit(6 * SOON).code(), Some(0));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(next), Signal::SIGTERM).unwrap();
    eventually(6 * SOON, || Client::try_connect(lb.admin()).is_err());
}

#[test]
fn tunnels_live_on_within_the_shutdown_timeout() {
    use std::io::{Read as _, Write as _};
    let backend = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = backend.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in backend.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut from, mut to) = (&stream, &stream);
                std::io::copy(&mut from, &mut to).ok();
            });
        }
    });
    let yaml = format!(
        "server: {{shutdown_timeout: 60s}}\nlisteners: {{web: {{bind: \"127.0.0.1:0\", protocol: tcp, pool: app}}}}\npools: {{app: {{servers: [{{name: a, address: \"{address}\"}}]}}}}\n"
    );
    let mut lb = Equipoise::start(&yaml);
    let mut tunnel =
        std::net::TcpStream::connect_timeout(&lb.web(), Duration::from_secs(5)).unwrap();
    let echo = |stream: &mut std::net::TcpStream| {
        stream.write_all(b"ping").unwrap();
        let mut back = [0; 4];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"ping");
    };
    echo(&mut tunnel);
    let mut old = lb.upgrade();
    for _ in 0..50 {
        echo(&mut tunnel);
        let mut fresh =
            std::net::TcpStream::connect_timeout(&lb.web(), Duration::from_secs(5)).unwrap();
        echo(&mut fresh);
    }
    assert!(old.is_running());
    assert_eq!(lb.status()["predecessor"]["pid"], old.pid());
    drop(tunnel);
    assert_ends_well(old);
}

#[test]
fn a_crash_costs_no_session_that_the_table_remembers() {
    let origins = three();
    for persistence in ["{type: learn, cookie: app}", "{type: source_ip}"] {
        let mut dir = TempDir::new("crash");
        let setup = Setup::of(&origins).pool(&format!("persistence: {persistence}"));
        let mut bound: BTreeMap<u8, String> = BTreeMap::new();
        for round in 0..3 {
            let mut lb = setup.start_in(dir);
            let ask = |target: &str, n: u8| {
                let from = std::net::IpAddr::from([127, 0, 0, n]);
                let mut client = Client::connect_from(from, lb.web());
                let cookie = format!("app=id{n}");
                let response = client.get(target, &[("Cookie", &cookie)]).unwrap();
                response.origin().to_owned()
            };
            for (n, server) in &bound {
                assert_eq!(ask("/", *n), *server, "{persistence}, round {round}, {n}");
            }
            for n in (2 + 20 * round)..(22 + 20 * round) {
                bound.insert(n, ask(&format!("/?set=app=id{n}"), n));
            }
            lb.signal(Signal::SIGKILL);
            lb.wait_exit(SOON);
            dir = lb.take_dir();
        }
    }
}

#[test]
fn the_service_manager_is_told_which_process_to_watch() {
    use std::os::unix::net::UnixDatagram;
    let (origin, dir) = (origin("a"), TempDir::new("notify"));
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(6 * SOON)).unwrap();
    let heard = || {
        let mut buffer = [0; 4096];
        let length = manager.recv(&mut buffer).expect("a word from the service");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let yaml = Setup::of([&origin]).yaml();
    let mut lb = Equipoise::start_with(&yaml, &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    assert!(heard().starts_with("READY=1\n"));
    lb.signal(Signal::SIGUSR2);
    let begins = heard();
    assert!(
        begins.starts_with("RELOADING=1\nMONOTONIC_USEC=") && begins.ends_with("STATUS=Upgrading"),
        "{begins}"
    );
    let main = heard();
    let next: u32 = main.strip_prefix("MAINPID=").unwrap().parse().unwrap();
    assert_ne!(next, lb.pid());
    assert!(heard().starts_with("READY=1\n"), "by the next process");
    assert_eq!(lb.status()["pid"], next);
    assert_eq!(lb.wait_exit(6 * SOON).code(), Some(0));
    let next = nix::unistd::Pid::from_raw(next.try_into().unwrap());
    nix::sys::signal::kill(next, Signal::SIGTERM).unwrap();
    assert!(heard().starts_with("STOPPING=1\n"));
    eventually(6 * SOON, || Client::try_connect(lb.admin()).is_err());
}
