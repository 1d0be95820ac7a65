//! Stop and reload.

use nix::sys::signal::Signal;

use super::*;

#[test]
fn at_a_stop_connections_go_on_to_their_end() {
    let backend = Backend::start("a");
    let mut lb = before(&[&backend]).start();
    let (client, server) = pair(&lb, &backend);
    let web = lb.web();
    lb.signal(Signal::SIGTERM);
    eventually(SOON, || TcpStream::connect_timeout(&web, SOON).is_err());
    say(&client, b"not done yet");
    hears(&server, b"not done yet");
    say(&server, b"nor am I");
    hears(&client, b"nor am I");
    assert!(lb.is_running());
    drop(client);
    ends_orderly(&server);
    drop(server);
    eventually(SOON, || {
        // Those of the connections above that were still let in.
        backend.came();
        !lb.is_running()
    });
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
    lb.wait_logged(|line| line["termination"] == "complete" && line["bytes_in"] == 12);
}

#[test]
fn a_reload_during_a_stop_opens_nothing() {
    let backend = Backend::start("a");
    let setup = before(&[&backend]).top("server: {watch_config: true}");
    let mut lb = setup.start();
    let (client, server) = pair(&lb, &backend);
    let web = lb.web();
    lb.signal(Signal::SIGTERM);
    let refuses = || TcpStream::connect_timeout(&web, SOON).is_err();
    eventually(SOON, refuses);
    lb.rewrite(&setup.top("logging: {level: info}").yaml());
    eventually(SOON, || {
        lb.stderr().contains("nothing is reloaded any more")
    });
    assert!(!lb.stderr().contains("configuration reloaded"));
    eventually(SOON, refuses);
    assert!(lb.is_running());
    drop((client, server));
    eventually(SOON, || {
        // Those of the connections above that were still let in.
        backend.came();
        !lb.is_running()
    });
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
}

#[test]
fn a_stop_has_an_end() {
    let backend = Backend::start("a");
    let mut lb = before(&[&backend])
        .top("server: {shutdown_timeout: 1s}")
        .start();
    let (client, server) = pair(&lb, &backend);
    lb.signal(Signal::SIGTERM);
    stays_open(&client, Duration::from_millis(500));
    is_reset(&client);
    is_reset(&server);
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
    ended_with(&lb, "shutdown");
}

#[test]
fn sigint_ends_connections_at_once() {
    let backend = Backend::start("a");
    let mut lb = before(&[&backend]).start();
    let (client, server) = pair(&lb, &backend);
    say(&client, b"five!");
    hears(&server, b"five!");
    lb.signal(Signal::SIGINT);
    is_reset(&client);
    is_reset(&server);
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
    assert_eq!(ended_with(&lb, "shutdown")["bytes_in"], 5);
}

#[test]
fn a_reload_lets_connections_go_on_and_sends_new_ones_elsewhere() {
    let (old, new) = (Backend::start("old"), Backend::start("new"));
    let lb = before(&[&old]).start();
    let (client, server) = pair(&lb, &old);
    lb.rewrite(&before(&[&new]).yaml());
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || {
        lb.status()["pools"][0]["servers"][0]["name"] == "new"
    });
    let (_next, _next_server) = pair(&lb, &new);
    say(&client, b"still");
    hears(&server, b"still");
    say(&server, b"there");
    hears(&client, b"there");
    drop(client);
    ends_orderly(&server);
    drop(server);
    assert_eq!(ended_with(&lb, "complete")["server"], "old");
}

#[test]
fn a_reload_changes_timeouts_of_new_connections() {
    let backend = Backend::start("a");
    let setup =
        |idle: &str| before(&[&backend]).listener(&format!("tcp: {{idle_timeout: {idle}}}"));
    let lb = setup("60s").start();
    let (client, server) = pair(&lb, &backend);
    lb.rewrite(&setup("1s").yaml());
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || lb.stderr().contains("configuration reloaded"));
    let (impatient, _server) = pair(&lb, &backend);
    is_reset(&impatient);
    say(&client, b"patient");
    hears(&server, b"patient");
}
