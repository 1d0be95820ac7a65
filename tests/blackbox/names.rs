//! SPEC section 4: servers given by name. What names resolve to is said by an `/etc/hosts` that only the process under
//! test sees.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use nix::sys::stat::Mode;
use socket2::{Domain, Socket, Type};

use crate::common::h2_origin::Reply as H2Reply;
use crate::common::peers::run;
use crate::common::*;

/// The order is RFC 6724's: nobody listens at the first address, servers do at the second.
const DEAD_FIRST: &str = "::1 app.test\n127.0.0.1 app.test\n";

/// The address of a server by its name, and what keeps others from its port at the dead address.
fn by_name(address: SocketAddr) -> (String, Socket) {
    let dead = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    dead.bind(&SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())).into())
        .unwrap();
    (format!("app.test:{}", address.port()), dead)
}

/// Another server's address, which is not 127.0.0.1, at that port. It names itself in `X-Origin`.
fn server_at(address: &str, port: u16, name: &'static str) {
    let listener = TcpListener::bind((address, port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let answer =
                    format!("HTTP/1.1 200 OK\r\nX-Origin: {name}\r\nContent-Length: 0\r\n\r\n");
                while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
        }
    });
}

/// From now on nobody accepts there, and nobody refuses.
fn fall_silent(socket: &Socket) -> Vec<TcpStream> {
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::iter::repeat_with(|| TcpStream::connect_timeout(&address, Duration::from_millis(300)))
        .map_while(Result::ok)
        .collect()
}

/// A request is served at the first try, and it is told where.
#[track_caller]
fn is_served(lb: &Equipoise, address: SocketAddr) {
    let response = lb.get("/served", &[]);
    assert_eq!(response.status, 200, "{response}\n{}", lb.stderr());
    let line = lb.wait_logged(|line| line["path"] == "/served");
    assert_eq!(line["server_address"], address.to_string(), "{line}");
    assert_eq!(line["attempts"], 1, "{line}");
    let metrics = lb.metrics();
    assert_eq!(metrics.sum("equipoise_retries_total", &[]), 0.0);
    let server = lb.server("app", "a");
    assert_eq!(server["errors"], 0, "{server}");
    assert_eq!(server["server_address"], address.to_string(), "{server}");
}

#[test]
fn an_address_that_refuses_is_passed_over() {
    let a = Origin::start("a");
    let (name, _dead) = by_name(a.address());
    let lb = Setup::new()
        .server_at("a", &name, "")
        .start_with_hosts(DEAD_FIRST);
    is_served(&lb, a.address());
    let mut client = lb.client();
    for _ in 0..5 {
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
    }
    eventually(SOON, || {
        let kept = lb.metrics().sum(
            "equipoise_upstream_connections_total",
            &[("reused", "true")],
        );
        if kept >= 4.0 {
            Ok(())
        } else {
            Err(format!("connections are kept: {kept}"))
        }
    });
}

#[test]
fn localhost_may_be_of_both_families() {
    let a = Origin::start("a");
    let (name, _dead) = by_name(a.address());
    let lb = Setup::new()
        .server_at("a", &name.replace("app.test", "localhost"), "")
        .pool("health_check: {type: http, path: /health, interval: 60s}")
        .start_with_hosts("::1 localhost\n127.0.0.1 localhost\n");
    lb.wait_state("app", "a", "up");
    is_served(&lb, a.address());
}

#[test]
fn an_address_that_is_silent_doesnt_take_the_whole_time() {
    let a = Origin::start("a");
    let (name, dead) = by_name(a.address());
    let _fill = fall_silent(&dead);
    let lb = Setup::new()
        .server_at("a", &name, "")
        .pool("health_check: {type: tcp, interval: 60s}\ntimeouts: {connect: 5s}")
        .start_with_hosts(DEAD_FIRST);
    lb.wait_state("app", "a", "up");
    is_served(&lb, a.address());
}

#[test]
fn checks_of_every_type_look_at_all_addresses() {
    let pki = Pki::new();
    let secure = SecureOrigin::start("s", &pki.leaf(&["app.test"]));
    let plain = Origin::start("p");
    for (address, pool) in [
        (
            plain.address(),
            "health_check: {type: tcp, interval: 60s}".to_owned(),
        ),
        (
            plain.address(),
            "health_check: {type: http, interval: 60s}".to_owned(),
        ),
        (
            secure.address(),
            "health_check: {type: tls, interval: 60s}".to_owned(),
        ),
        (
            secure.address(),
            format!(
                "health_check: {{type: http, interval: 60s}}\ntls: {{ca: {}}}",
                pki.root().display()
            ),
        ),
    ] {
        let (name, _dead) = by_name(address);
        let lb = Setup::new()
            .server_at("a", &name, "")
            .pool(&pool)
            .start_with_hosts(DEAD_FIRST);
        lb.wait_state("app", "a", "up");
        let server = lb.server("app", "a");
        assert_eq!(server["server_address"], address.to_string(), "{pool}");
    }
}

#[test]
fn a_check_says_what_became_of_each_address() {
    let a = Origin::stopped("a");
    let (name, _dead) = by_name(a.address());
    let lb = Setup::new()
        .server_at("a", &name, "")
        .pool("health_check: {type: tcp, interval: 60s}")
        .start_with_hosts(DEAD_FIRST);
    lb.wait_state("app", "a", "down");
    let reason = lb.server("app", "a")["reason"].as_str().unwrap().to_owned();
    let port = a.address().port();
    assert_eq!(
        reason,
        format!(
            "connect to [::1]:{port} refused (nothing listens there); \
             connect to 127.0.0.1:{port} refused (nothing listens there)"
        )
    );
}

#[test]
fn connections_of_tcp_look_at_all_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (name, _dead) = by_name(address);
    let lb = Setup::new()
        .listener("protocol: tcp")
        .server_at("a", &name, "")
        .start_with_hosts(DEAD_FIRST);
    let client = TcpStream::connect_timeout(&lb.web(), SOON).unwrap();
    let (server, _) = listener.accept().unwrap();
    drop((server, client));
    let line = lb.wait_logged(|line| line["server"] == "a");
    assert_eq!(line["server_address"], address.to_string(), "{line}");
    assert_eq!(line["attempts"], 1, "{line}");
}

#[test]
fn so_do_connections_over_tls_and_of_http2() {
    let pki = Pki::new();
    let tls = format!("tls: {{ca: {}}}", pki.root().display());
    let identity = pki.leaf(&["app.test"]);
    let secure = SecureOrigin::start("s", &identity);
    let (name, _dead) = by_name(secure.address());
    let lb = Setup::new()
        .server_at("a", &name, "")
        .pool(&tls)
        .start_with_hosts(DEAD_FIRST);
    is_served(&lb, secure.address());
    let plain = H2Origin::start(|_| H2Reply::text("hello"));
    let secure = H2Origin::secure(&identity, |_| H2Reply::text("hello"));
    for (address, pool) in [
        (plain.address(), "http2: true".to_owned()),
        (secure.address(), format!("http2: true\n{tls}")),
    ] {
        let (name, _dead) = by_name(address);
        let lb = Setup::new()
            .server_at("a", &name, "")
            .pool(&pool)
            .start_with_hosts(DEAD_FIRST);
        is_served(&lb, address);
        assert_eq!(lb.get("/again", &[]).status, 200);
    }
}

#[test]
fn so_do_upgrades_and_copies() {
    let a = Origin::with("a", |_| {
        Answer::Raw(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
                .to_vec(),
        )
    });
    let (name, _dead) = by_name(a.address());
    let lb = Setup::new()
        .server_at("a", &name, "")
        .start_with_hosts(DEAD_FIRST);
    let mut client = lb.client();
    client
        .send("GET /t HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .unwrap();
    assert_eq!(client.read_head().unwrap().status, 101);
    drop(client);
    let line = lb.wait_logged(|line| line["path"] == "/t");
    assert_eq!(line["server_address"], a.address().to_string(), "{line}");

    let (a, shadow) = (Origin::start("a"), Origin::start("shadow"));
    let (name, _dead) = by_name(shadow.address());
    let yaml = Setup::of([&a])
        .listener("routes:\n  - {match: {path_prefix: /}, mirror: {pool: shadow}}")
        .yaml();
    let dir = TempDir::new("hosts");
    dir.write("hosts", DEAD_FIRST);
    let lb = Equipoise::start_in(
        dir,
        &format!(
            "{yaml}  shadow:\n    health_check: null\n    servers: [{{name: s, address: \"{name}\"}}]\n"
        ),
    );
    assert_eq!(lb.get("/copied", &[]).status, 200);
    eventually(SOON, || shadow.served() == 1);
}

#[test]
fn a_failed_connect_has_the_name_looked_up_at_once() {
    let a = Origin::start("a");
    let port = a.address().port();
    server_at("127.0.0.3", port, "moved");
    let (name, _dead) = by_name(a.address());
    let lb = Setup::new()
        .server_at("a", &name, "")
        .start_with_hosts("127.0.0.1 app.test\n");
    assert_eq!(lb.get("/", &[]).origin(), "a");
    lb.set_hosts("127.0.0.3 app.test\n");
    a.stop();
    // Well before its turn comes anyway.
    eventually(SOON / 2, || {
        let response = lb.get("/", &[]);
        if response.status == 200 {
            Ok(())
        } else {
            Err(response.to_string())
        }
    });
    assert_eq!(lb.get("/", &[]).origin(), "moved");
}

#[test]
fn names_are_looked_up_every_ten_seconds_and_old_connections_are_not_used_for_new_addresses() {
    let a = Origin::start("a");
    let port = a.address().port();
    server_at("127.0.0.3", port, "moved");
    let (name, _dead) = by_name(a.address());
    let lb = Setup::new()
        .server_at("a", &name, "")
        .start_with_hosts("127.0.0.1 app.test\n");
    let mut client = lb.client();
    assert_eq!(client.get("/", &[]).unwrap().origin(), "a");
    lb.set_hosts("127.0.0.3 app.test\n");
    eventually(SOON * 2, || {
        client = lb.client();
        client.get("/", &[]).unwrap().origin() == "moved"
    });
    // There is still a connection to the address of before.
    for _ in 0..5 {
        assert_eq!(client.get("/", &[]).unwrap().origin(), "moved");
    }
    let address = format!("127.0.0.3:{port}");
    assert_eq!(lb.server("app", "a")["server_address"], address);
}

/// The system's resolver blocks a thread as long as it likes: here until somebody writes into its file.
#[test]
fn names_that_hang_hold_up_no_password_and_no_other_names() {
    let a = Origin::start("a");
    let dir = TempDir::new("hang");
    let hosts = dir.path().join("hosts");
    nix::unistd::mkfifo(&hosts, Mode::S_IRWXU).unwrap();
    let htpasswd = dir.path().join("htpasswd").display().to_string();
    run("htpasswd", &["-cbB", "-C", "4", &htpasswd, "ann", "secret"]);
    let mut yaml = Setup::of([&a])
        .listener(&format!(
            "routes:\n  - {{match: {{path_prefix: /}}, basic_auth: {{htpasswd_file: {htpasswd}}}}}"
        ))
        .yaml();
    yaml.push_str("  silent:\n    health_check: null\n    servers:\n");
    for n in 0..700 {
        yaml.push_str(&format!(
            "      - {{name: s{n}, address: \"silent{n}.test:80\"}}\n"
        ));
    }
    let lb = Equipoise::start_in(dir, &yaml);
    // "ann:secret"
    let password = [("Authorization", "Basic YW5uOnNlY3JldA==")];
    let response = lb.get("/", &password);
    assert_eq!((response.status, response.origin()), (200, "a"));
    // Threads that look names up are few.
    let threads = std::fs::read_dir(format!("/proc/{}/task", lb.pid()))
        .unwrap()
        .count();
    assert!(threads < 200, "{threads} threads");
}
