//! A process that can't take over changes nothing, whatever keeps it from that.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;

use super::*;

/// Still the same process, at work, and open for changes.
#[track_caller]
fn assert_goes_on(lb: &Equipoise, pid: u32) {
    assert_eq!(lb.status()["pid"], pid);
    assert_eq!(lb.get("/", &[]).status, 200);
    assert_eq!(lb.admin_get("/readyz").status, 200);
}

#[test]
fn a_configuration_with_problems_changes_nothing_and_both_say_why() {
    let origin = origin("a");
    let setup = Setup::of([&origin]);
    let lb = setup.start();
    let pid = lb.pid();
    lb.rewrite(&format!("{}nonsense: true\n", setup.yaml()));
    let exit = lb.fail_to_upgrade();
    assert_eq!(exit.code(), Some(2), "{exit:?}");
    eventually(SOON, || {
        let log = lb.stderr();
        log.contains("the upgrade failed, running on as before") && log.contains("nonsense")
    });
    assert_goes_on(&lb, pid);
}

#[test]
fn what_fails_later_changes_nothing_either() {
    let origin = origin("a");
    let setup = Setup::of([&origin]);
    let lb = setup.start();
    let pid = lb.pid();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let yaml = setup.yaml().replace(
        "listeners:\n",
        &format!("listeners:\n  other: {{bind: \"{address}\", pool: app}}\n"),
    );
    lb.rewrite(&yaml);
    let exit = lb.fail_to_upgrade();
    assert_eq!(exit.code(), Some(1), "{exit:?}");
    eventually(SOON, || {
        let log = lb.stderr();
        let told = log.contains("the upgrade failed, running on as before");
        told && log.contains(&address.to_string())
    });
    assert_goes_on(&lb, pid);
    // And it can be reloaded, and upgraded, as ever.
    lb.rewrite(&setup.yaml());
    let reloads = || {
        lb.metrics()
            .sum("equipoise_config_reloads_total", &[("result", "success")])
    };
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || reloads() >= 1.0);
    let mut lb = lb;
    let old = lb.upgrade();
    assert_eq!(lb.get("/", &[]).status, 200);
    assert_ends_well(old);
}

#[test]
fn one_that_hangs_up_or_talks_nonsense_changes_nothing() {
    use std::io::Write as _;
    let origin = origin("a");
    let lb = Setup::of([&origin]).start();
    let socket = lb.dir().join("upgrade.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let hello = r#"{"protocol": 1, "version": "0", "pid": 1, "binds": ["127.0.0.1:0"]}"#;
    let mut frame = vec![1, 0, 0, 0];
    frame.extend(u32::try_from(hello.len()).unwrap().to_le_bytes());
    frame.extend(hello.as_bytes());
    let prepared = [6, 0, 0, 0, 0, 0, 0, 0];
    let whole = [&frame[..], &prepared].concat();
    let failures = || lb.stderr().matches("the upgrade failed").count();
    for (bytes, is_begun) in [
        (&b""[..], false),
        (b"GET / HTTP/1.1\r\n\r\n", false),
        (&frame[..5], false),
        (&frame, true),
        (&whole, true),
        (&[&frame[..], &[9; 8]].concat(), true),
    ] {
        let before = failures();
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(bytes).unwrap();
        drop(stream);
        if is_begun {
            eventually(SOON, || failures() > before);
        }
        assert_goes_on(&lb, lb.pid());
    }
    let mut lb = lb;
    let old = lb.upgrade();
    assert_ends_well(old);
}

#[test]
fn without_an_instance_there_is_nothing_to_take_over() {
    let origin = origin("a");
    let lb = Setup::of([&origin]).start();
    let dir = lb.into_dir();
    let config = dir.path().join("equipoise.yaml");
    let exit = Equipoise::command(&["run", "--upgrade", "-c", config.to_str().unwrap()]);
    assert_eq!(exit.code(), Some(1), "{exit:?}");
    assert!(
        exit.stderr.contains("no instance can be upgraded"),
        "{exit:?}"
    );
}

#[test]
fn another_instance_is_left_alone() {
    let origin = origin("a");
    let lb = Setup::of([&origin]).start();
    let socket = lb.dir().join("upgrade.sock");
    let other = TempDir::new("other");
    let port = ReservedPort::new();
    let yaml = equipoise::complete(
        &Setup::of([&origin])
            .listener(&format!("bind: \"{}\"", port.address()))
            .yaml(),
        other.path(),
    );
    let config = other.write("equipoise.yaml", &yaml);
    let upgrade = format!("--upgrade={}", socket.display());
    let exit = Equipoise::command(&["run", &upgrade, "-c", config.to_str().unwrap()]);
    assert_eq!(exit.code(), Some(1), "{exit:?}");
    assert!(exit.stderr.contains("two instances"), "{exit:?}");
    assert_goes_on(&lb, lb.pid());
}

#[test]
fn if_the_new_process_dies_the_old_one_serves_again() {
    let origins = three();
    let mut lb = Setup::of(&origins)
        .pool("persistence: {type: learn, cookie: app}")
        .top("server: {pid_file: \"@DIR@/pid\"}")
        .start();
    let first = lb.pid();
    let mut long = lb.client();
    long.send_request("GET", "/held", &[], b"").unwrap();
    let holder = eventually(SOON, || origins.iter().find(|one| one.held() == 1));
    let mut old = lb.upgrade();
    // Both are in touch.
    eventually(SOON, || lb.status()["predecessor"]["connections"] == 1);
    let server = lb.get("/?set=app=new", &[]).origin().to_owned();
    holds_for(std::time::Duration::from_millis(500), || true);
    lb.signal(Signal::SIGKILL);
    lb.wait_exit(SOON);
    eventually(2 * SOON, || {
        let response = Client::try_connect(lb.admin())
            .and_then(|mut client| client.get("/api/v1/status", &[]))
            .ok()?;
        (response.status == 200 && response.json()["pid"] == first).then_some(())
    });
    // Sessions that were bound by the process that died are known.
    eventually(SOON, || {
        let response = Client::try_connect(lb.web())
            .and_then(|mut client| client.get("/", &[("Cookie", "app=new")]))
            .ok()?;
        (response.origin() == server).then_some(())
    });
    assert_eq!(lb.admin_get("/readyz").status, 200);
    let pid = fs::read_to_string(lb.dir().join("pid")).unwrap();
    assert_eq!(pid.trim(), first.to_string());
    assert!(old.is_running());
    holder.release_all();
    assert_eq!(long.read_response(false).unwrap().status, 200);
    // And can be upgraded once more.
    lb.adopt(old);
    let old = lb.upgrade();
    assert_eq!(with_cookie(&lb, "app=new"), server);
    assert_ends_well(old);
}

#[test]
fn sigusr2_with_a_broken_file_changes_nothing() {
    let origin = origin("a");
    let setup = Setup::of([&origin]);
    let lb = setup.start();
    let pid = lb.pid();
    lb.rewrite("listeners: 1");
    lb.signal(Signal::SIGUSR2);
    eventually(6 * SOON, || {
        lb.stderr()
            .contains("the new process ended: exit status: 2")
    });
    assert!(
        lb.stderr().contains("the upgrade failed"),
        "{}",
        lb.stderr()
    );
    assert_goes_on(&lb, pid);
}
