//! SPEC sections 1 and 11: start, stop, signals, exit status.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::*;

#[test]
fn a_drain_ends_as_soon_as_it_is_idle() {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/long" => Answer::held(),
        _ => Answer::ok(),
    });
    let mut lb = Setup::of([&origin])
        .top("server: {shutdown_timeout: 120s}")
        .start();
    let to = lb.web();
    let mut long = Client::connect(to);
    long.send_request("GET", "/long", &[], b"").unwrap();
    origin.wait_held(1);
    let mut idle = Client::connect(to);
    assert!(!idle.get("/", &[]).unwrap().has_token("connection", "close"));

    lb.signal(Signal::SIGTERM);
    eventually(SOON, || {
        Client::try_connect(lb.admin())
            .and_then(|mut c| c.get("/readyz", &[]))
            .map(|r| r.status == 503)
            .ok()
            .filter(|ready| *ready)
    });
    assert!(lb.is_running(), "a request is in flight");
    assert_eq!(
        lb.admin_get("/healthz").status,
        200,
        "alive, though not ready"
    );

    origin.release_all();
    let start = Instant::now();
    let response = long.read_response(false).unwrap();
    assert_eq!((response.status, response.origin()), (200, "a"));
    // Its connection is told to go by the response or, where its moment comes only then, by its end.
    let told = response.has_token("connection", "close");
    assert!(told || long.is_closed_by_peer(), "{response}");
    let exit = lb.wait_exit(SOON);
    assert_eq!(exit.code(), Some(0), "{}", exit.stderr);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "idle, but ended after {:?}",
        start.elapsed()
    );
}

#[test]
fn an_idle_process_ends_at_once() {
    let origin = Origin::start("a");
    let mut lb = Setup::of([&origin]).start();
    let mut idle = lb.client();
    idle.get("/", &[]).unwrap();
    lb.signal(Signal::SIGTERM);
    let exit = lb.wait_exit(Duration::from_secs(5));
    assert_eq!(exit.code(), Some(0), "{}", exit.stderr);
    assert!(idle.is_closed_by_peer());
}

#[test]
fn a_drain_ends_at_its_timeout_at_the_latest() {
    let origin = Origin::with("a", |_| Answer::held());
    let mut lb = Setup::of([&origin])
        .top("server: {shutdown_timeout: 1s}")
        .start();
    let mut client = lb.client();
    client.send_request("GET", "/", &[], b"").unwrap();
    origin.wait_held(1);
    let start = Instant::now();
    lb.signal(Signal::SIGTERM);
    lb.wait_exit(SOON);
    let took = start.elapsed();
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(5)).contains(&took),
        "{took:?}"
    );
}

#[test]
fn sigint_stops_at_once() {
    let origin = Origin::with("a", |_| Answer::held());
    let mut lb = Setup::of([&origin])
        .top("server: {shutdown_timeout: 120s}")
        .start();
    let mut client = lb.client();
    client.send_request("GET", "/", &[], b"").unwrap();
    origin.wait_held(1);
    lb.signal(Signal::SIGINT);
    lb.wait_exit(Duration::from_secs(5));
}

#[test]
fn a_second_signal_hurries() {
    let origin = Origin::with("a", |_| Answer::held());
    let mut lb = Setup::of([&origin])
        .top("server: {shutdown_timeout: 120s}")
        .start();
    let mut client = lb.client();
    client.send_request("GET", "/", &[], b"").unwrap();
    origin.wait_held(1);
    lb.signal(Signal::SIGTERM);
    eventually(SOON, || {
        Client::try_connect(lb.admin())
            .and_then(|mut c| c.get("/readyz", &[]))
            .is_ok_and(|r| r.status == 503)
    });
    lb.signal(Signal::SIGTERM);
    lb.wait_exit(Duration::from_secs(5));
}

#[test]
fn no_request_fails_while_it_drains() {
    let origin = Origin::with("a", |_| Answer::after(Duration::from_millis(20)));
    let mut lb = Setup::of([&origin]).start();
    let to = lb.web();
    let workers: Vec<_> = (0..6)
        .map(|_| {
            std::thread::spawn(move || {
                let mut answered = 0;
                // New connections are refused at some point; what is accepted is answered.
                while let Ok(mut client) = Client::try_connect(to) {
                    // An error: closed between two requests, which any client tries again.
                    while let Ok(response) = client.get("/", &[]) {
                        assert!(matches!(response.status, 200 | 503), "{response}");
                        answered += 1;
                        if response.has_token("connection", "close") {
                            break;
                        }
                    }
                }
                answered
            })
        })
        .collect();
    eventually(SOON, || origin.served() > 50);
    lb.signal(Signal::SIGTERM);
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
    for worker in workers {
        assert!(worker.join().unwrap() > 0);
    }
    assert_eq!(origin.in_flight(), 0);
}

#[test]
fn a_port_in_use_is_a_clear_error_and_exit_1() {
    let taken = ReservedPort::new();
    let _listener = taken.listen();
    let origin = Origin::start("a");
    let yaml = Setup::of([&origin])
        .listener(&format!("bind: \"{}\"", taken.address()))
        .yaml();
    let start = Instant::now();
    let exit = Equipoise::run_to_exit(&yaml);
    assert_eq!(exit.code(), Some(1), "{}", exit.stderr);
    assert!(
        exit.stderr.contains(&taken.address().to_string()),
        "{}",
        exit.stderr
    );
    assert!(exit.stderr.contains("in use"), "{}", exit.stderr);
    assert!(!exit.stderr.contains("panicked"), "{}", exit.stderr);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn one_port_in_use_of_several_is_never_half_a_start() {
    let taken = ReservedPort::new();
    let _listener = taken.listen();
    let yaml = format!(
        "admin: {{bind: \"{}\"}}\n{}",
        taken.address(),
        Setup::of([&Origin::start("a")]).yaml()
    );
    let exit = Equipoise::run_to_exit(&yaml);
    assert_eq!(exit.code(), Some(1), "{}", exit.stderr);
}

#[test]
fn a_broken_configuration_is_exit_2_with_every_problem() {
    let exit = Equipoise::run_to_exit(
        "listeners:\n  web: {bind: \"127.0.0.1:0\", pool: nowhere}\npools:\n  app: {algoritm: x, servers: [{name: a, address: \"127.0.0.1:1\"}]}\n",
    );
    assert_eq!(exit.code(), Some(2), "{}", exit.stderr);
    for wanted in ["nowhere", "algoritm", "algorithm", "equipoise.yaml:"] {
        assert!(
            exit.stderr.contains(wanted),
            "{wanted} not in {}",
            exit.stderr
        );
    }
}

#[test]
fn a_missing_file_is_exit_2() {
    let exit = Equipoise::command(&["run", "-c", "/no/such/file.yaml"]);
    assert_eq!(exit.code(), Some(2));
    assert!(
        exit.stderr.contains("/no/such/file.yaml"),
        "{}",
        exit.stderr
    );
}

#[test]
fn bad_usage_is_exit_2_and_help_is_everywhere() {
    assert_eq!(Equipoise::command(&["frobnicate"]).code(), Some(2));
    assert_eq!(Equipoise::command(&["run", "--frob"]).code(), Some(2));
    assert_eq!(Equipoise::command(&[]).code(), Some(2));
    for command in [
        &["run"][..],
        &["demo"],
        &["check"],
        &["cert"],
        &["cert", "inspect"],
        &["cert", "check"],
        &["cert", "convert"],
        &["schema"],
        &["completions"],
        &["healthcheck"],
        &["proxy"],
        &[],
    ] {
        let exit = Equipoise::command(&[command, &["--help"]].concat());
        assert_eq!(exit.code(), Some(0), "{command:?}");
        assert!(exit.stdout.contains("Usage"), "{}", exit.stdout);
        assert!(!exit.stdout.contains('\x1b'), "{}", exit.stdout);
        assert!(exit.stderr.is_empty());
    }
}

#[test]
fn sigusr1_reopens_the_access_log() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    lb.get("/before", &[]);
    lb.wait_logged(|l| l["path"] == "/before");
    let (log, rotated) = (lb.dir().join("access.log"), lb.dir().join("access.log.1"));
    std::fs::rename(&log, &rotated).unwrap();
    lb.signal(Signal::SIGUSR1);
    eventually(SOON, || log.exists());
    lb.get("/after", &[]);
    lb.wait_logged(|l| l["path"] == "/after");
    assert!(
        !std::fs::read_to_string(&rotated)
            .unwrap()
            .contains("/after")
    );
}

#[test]
fn the_pid_file_lives_as_long_as_the_process() {
    let origin = Origin::start("a");
    let mut lb = Setup::of([&origin])
        .top("server: {pid_file: @DIR@/pid}")
        .start();
    let file = lb.dir().join("pid");
    assert_eq!(
        std::fs::read_to_string(&file).unwrap().trim(),
        lb.pid().to_string()
    );
    lb.signal(Signal::SIGTERM);
    lb.wait_exit(SOON);
    assert!(!file.exists());
}

#[test]
fn the_file_descriptor_limit_is_raised() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", lb.pid())).unwrap();
    let line = limits
        .lines()
        .find(|l| l.starts_with("Max open files"))
        .unwrap();
    let fields: Vec<_> = line.split_whitespace().collect();
    assert_eq!(fields[3], fields[4], "soft and hard limit: {line}");
}

#[test]
fn the_generated_key_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .pool("persistence: {type: cookie_insert}")
        .start();
    lb.get("/", &[]);
    let state = lb.dir().join("state");
    let files: Vec<_> = std::fs::read_dir(&state)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    assert!(!files.is_empty());
    for file in files {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is {mode:o}", file.display());
    }
}

#[test]
fn two_listeners_with_pools_of_their_own() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Equipoise::start(&format!(
        "listeners:\n  one: {{bind: \"127.0.0.1:0\", pool: pa}}\n  two: {{bind: [\"127.0.0.1:0\", \"[::1]:0\"], pool: pb}}\n\
         pools:\n  pa: {{servers: [{{name: a, address: \"{}\"}}]}}\n  pb: {{servers: [{{name: b, address: \"{}\"}}]}}\n",
        a.address(),
        b.address()
    ));
    assert_eq!(get(lb.address("one"), "/", &[]).origin(), "a");
    assert_eq!(get(lb.address("two"), "/", &[]).origin(), "b");
}

mod demo {
    use std::io::{BufRead, BufReader};
    use std::net::SocketAddr;
    use std::process::{Child, Command, Stdio};

    use nix::sys::signal::kill;
    use nix::unistd::Pid;

    use super::*;
    use crate::common::equipoise::BINARY;

    struct Demo(Child);

    impl Drop for Demo {
        fn drop(&mut self) {
            // Gently, so that it clears its directory away.
            if let Ok(pid) = i32::try_from(self.0.id()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
            }
            if !std::thread::panicking() {
                eventually(SOON, || self.0.try_wait().unwrap());
                return;
            }
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Starts it on reserved ports and waits until it answers.
    fn start() -> (Demo, SocketAddr, SocketAddr, String, [ReservedPort; 2]) {
        let ports = [ReservedPort::new(), ReservedPort::new()];
        let (listen, admin) = (ports[0].address(), ports[1].address());
        let mut child = Command::new(BINARY)
            .args([
                "demo",
                "--listen",
                &listen.to_string(),
                "--admin",
                &admin.to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let demo = Demo(child);
        let mut said = String::new();
        while let Some(Ok(line)) = lines.next() {
            said.push_str(&line);
            said.push('\n');
            if line.contains("Ctrl-C") {
                break;
            }
        }
        eventually(SOON, || {
            let answer = Client::try_connect(admin).and_then(|mut c| c.get("/api/v1/status", &[]));
            let up = answer
                .map(|r| r.json()["pools"][0]["servers"].to_string())
                .unwrap_or_default();
            if up.matches("\"state\":\"up\"").count() == 3 {
                Ok(())
            } else {
                Err(up)
            }
        });
        (demo, listen, admin, said, ports)
    }

    #[test]
    fn shows_balanced_traffic_sessions_and_the_dashboard() {
        let (demo, listen, admin, said, _ports) = start();
        assert!(said.contains(&format!("http://{listen}")), "{said}");
        assert!(said.contains(&format!("http://{admin}")), "{said}");
        assert!(
            said.lines().filter(|l| l.contains("curl ")).count() >= 2,
            "{said}"
        );

        let config = get(admin, "/api/v1/config", &[]).json();
        assert_eq!(
            config["listeners"]["web"]["bind"],
            serde_json::json!([listen.to_string()]),
            "{config}"
        );

        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        for _ in 0..14 {
            let response = get(listen, "/", &[]);
            assert_eq!(response.status, 200);
            *seen
                .entry(
                    response
                        .text()
                        .split_whitespace()
                        .next()
                        .unwrap()
                        .to_owned(),
                )
                .or_default() += 1;
        }
        assert_eq!(
            seen.into_iter().collect::<Vec<_>>(),
            [
                ("fast".to_owned(), 8),
                ("slow".to_owned(), 2),
                ("steady".to_owned(), 4)
            ]
        );

        let first = get(listen, "/", &[("Accept", "text/html")]);
        assert!(
            first
                .header("content-type")
                .unwrap()
                .starts_with("text/html"),
            "{first}"
        );
        let cookie = format!("SERVERID={}", first.cookie("SERVERID").unwrap());
        let server = get(listen, "/", &[("Cookie", &cookie)]).text();
        for _ in 0..5 {
            let again = get(listen, "/", &[("Cookie", &cookie)]).text();
            assert_eq!(
                again.split_whitespace().next(),
                server.split_whitespace().next()
            );
        }

        let dashboard = get(admin, "/", &[]);
        assert!(dashboard.text().contains("<html"), "{dashboard}");
        assert!(get(admin, "/api/v1/status", &[]).text().contains("steady"));
        drop(demo);
    }

    #[test]
    fn a_busy_port_is_a_clear_line_and_exit_1() {
        let (taken, admin) = (ReservedPort::new(), ReservedPort::new());
        let _listener = taken.listen();
        let exit = Equipoise::command(&[
            "demo",
            "--listen",
            &taken.address().to_string(),
            "--admin",
            &admin.address().to_string(),
        ]);
        assert_eq!(exit.code(), Some(1), "{}", exit.stderr);
        assert!(
            exit.stderr.contains(&taken.address().to_string()),
            "{}",
            exit.stderr
        );
        assert!(exit.stderr.contains("--listen"), "{}", exit.stderr);
    }
}
