//! `equipoise healthcheck`, SPEC section 1.

use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::common::equipoise::BINARY;
use crate::common::*;

#[test]
fn ready_is_0_and_anything_else_is_not() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let url = format!("http://{}", lb.admin());
    let exit = Equipoise::command(&["healthcheck", "--admin", &url]);
    assert_eq!(
        (exit.code(), &*exit.stdout),
        (Some(0), "ready\n"),
        "{exit:?}"
    );
    assert_eq!(exit.stderr, "");

    let nobody = ReservedPort::new();
    let url = format!("http://{}", nobody.address());
    let exit = Equipoise::command(&["healthcheck", "--admin", &url]);
    assert_eq!((exit.code(), &*exit.stdout), (Some(1), ""), "{exit:?}");
    assert!(
        exit.stderr.contains("cannot connect to 127.0.0.1:"),
        "{exit:?}"
    );

    // Something else than an admin listener.
    let url = format!("http://{}", lb.web());
    origin.script(|_| Answer::status(404));
    let exit = Equipoise::command(&["healthcheck", "--admin", &url]);
    assert_eq!(exit.code(), Some(1), "{exit:?}");
    assert!(exit.stderr.contains("404 Not Found"), "{exit:?}");

    // Somebody who never answers.
    let silent = nobody.listen();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let args = ["healthcheck", "--admin", &url, "--timeout", "1"];
    let exit = Equipoise::command(&args);
    assert_eq!(exit.code(), Some(1), "{exit:?}");
    assert!(exit.stderr.contains("in 1 s"), "{exit:?}");
}

#[test]
fn an_instance_that_drains_says_so() {
    let origin = Origin::with("a", |_| Answer::held());
    let lb = Setup::of([&origin]).start();
    let mut client = lb.client();
    client.send_request("GET", "/", &[], b"").unwrap();
    origin.wait_held(1);
    lb.signal(Signal::SIGTERM);
    let url = format!("http://{}", lb.admin());
    let exit = eventually(SOON, || {
        let exit = Equipoise::command(&["healthcheck", "--admin", &url]);
        (exit.code() == Some(1)).then_some(exit)
    });
    assert!(
        exit.stderr.contains("503 Service Unavailable: not ready: "),
        "{exit:?}"
    );
    origin.release_all();
}

#[test]
fn the_admin_listener_is_the_configuration_s() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let file = |admin: &str| {
        let dir = TempDir::new("healthcheck");
        let yaml = format!("{admin}\n{}", Setup::of([&origin]).yaml());
        let path = dir.write("lb.yaml", &yaml).display().to_string();
        (dir, path)
    };
    let (_dir, path) = file(&format!("admin: {{bind: \"{}\"}}", lb.admin()));
    let exit = Equipoise::command(&["healthcheck", "-c", &path]);
    assert_eq!(exit.code(), Some(0), "{exit:?}");
    let (_dir, path) = file("");
    let exit = Equipoise::command(&["healthcheck", "-c", &path]);
    assert_eq!(exit.code(), Some(2), "{exit:?}");
    assert!(exit.stderr.contains("--admin URL"), "{exit:?}");
    for args in [
        &["healthcheck", "-c", "/none.yaml"][..],
        &["healthcheck", "--admin", "ftp://127.0.0.1:9900"],
        &["healthcheck", "--admin", "9900"],
        &["healthcheck", "--admin", "http://h:1", "-c", &path],
    ] {
        let exit = Equipoise::command(args);
        assert_eq!((exit.code(), &*exit.stdout), (Some(2), ""), "{exit:?}");
    }
}

#[test]
fn a_unix_socket_is_asked_as_well() {
    let origin = Origin::start("a");
    let dir = TempDir::new("socket");
    let socket = format!("unix:{}", dir.path().join("admin.sock").display());
    let yaml = Setup::of([&origin])
        .top(&format!("admin: {{bind: \"{socket}\"}}"))
        .yaml();
    let file = dir.write("lb.yaml", &yaml);
    let lb = Command::new(BINARY)
        .arg("run")
        .arg("-c")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(Running)
        .unwrap();
    let asked = |args: &[&str]| {
        eventually(SOON, || {
            let exit = Equipoise::command(&[&["healthcheck"], args].concat());
            if exit.code() == Some(0) {
                Ok(())
            } else {
                Err(format!("{exit:?}"))
            }
        });
    };
    asked(&["--admin", &socket]);
    asked(&["-c", file.to_str().unwrap()]);
    drop(lb);
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
