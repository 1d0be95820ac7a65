//! `equipoise diagnose`, SPEC section 1: each fault is a real one.

mod discovered;
mod http2;
mod network;
mod shipped;

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use ::socket2::SockRef;

use crate::common::peers::{Nginx, Ready};
use crate::common::*;

/// Runs the command on a configuration. Returns the exit status and what was printed.
fn diagnose(setup: &Setup, args: &[&str]) -> (Option<i32>, String) {
    let dir = TempDir::new("diagnose");
    let yaml = equipoise::complete(&setup.yaml(), dir.path());
    let file = dir.write("lb.yaml", &yaml);
    let mut words = vec!["diagnose", "-c", file.to_str().unwrap()];
    words.extend(args);
    let exit = Equipoise::command(&words);
    let printed = format!("{}{}", exit.stdout, exit.stderr);
    (exit.code(), printed)
}

/// Something is wrong, and the words say what.
#[track_caller]
fn says(setup: &Setup, wanted: &[&str]) {
    let (code, printed) = diagnose(setup, &[]);
    assert_eq!(code, Some(1), "{printed}");
    for wanted in wanted {
        assert!(printed.contains(wanted), "{wanted:?} in:\n{printed}");
    }
}

fn at(address: SocketAddr) -> Setup {
    Setup::new().server_at("a", &address.to_string(), "")
}

const HTTP: &str = "health_check: {type: http, path: /health}";

#[test]
fn where_nothing_is_wrong_each_step_is_shown() {
    let origin = Origin::start("a");
    let port = origin.address().port();
    let setup = Setup::new()
        .pool(HTTP)
        .server_at("b", &format!("localhost:{port}"), "")
        .server(&origin, "");
    let (code, printed) = diagnose(&setup, &[]);
    assert_eq!(code, Some(0), "{printed}");
    for wanted in [
        "app/a at 127.0.0.1:",
        "localhost is ",
        "something listens at 127.0.0.1:",
        "HEAD /health: status 200 as wanted, in ",
        "status 200, in ",
        "2 servers: nothing is wrong",
    ] {
        assert!(printed.contains(wanted), "{wanted:?} in:\n{printed}");
    }
    let (code, printed) = diagnose(&setup, &["app/a", "--format", "json"]);
    assert_eq!(code, Some(0));
    let reports: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(reports.as_array().unwrap().len(), 1);
    assert_eq!(reports[0]["server"], "a");
    assert_eq!(reports[0]["findings"][0]["verdict"], "ok");
}

#[test]
fn who_is_not_there_is_told() {
    let origin = Origin::start("a");
    let setup = Setup::of([&origin]);
    for (target, wanted) in [
        ("nobody", "there is no pool \"nobody\""),
        (
            "app/nobody",
            "there is no server \"nobody\" in the pool \"app\"",
        ),
    ] {
        let (code, printed) = diagnose(&setup, &[target]);
        assert_eq!(code, Some(2));
        assert!(printed.contains(wanted), "{printed}");
    }
    let exit = Equipoise::command(&["diagnose", "-c", "/none.yaml"]);
    assert_eq!(exit.code(), Some(2));
}

#[test]
fn names_that_do_not_resolve() {
    let setup = Setup::new().server_at("a", "nowhere.invalid:80", "");
    says(
        &setup,
        &[
            "WRONG",
            "resolve",
            "nowhere.invalid does not resolve",
            "getent ahosts",
        ],
    );
}

#[test]
fn nothing_listens() {
    let port = ReservedPort::new();
    let wanted = format!(
        "nothing listens at port {} of this machine",
        port.address().port()
    );
    says(&at(port.address()), &[&wanted, "start the server"]);
    let dir = TempDir::new("unix");
    let path = dir.path().join("s.sock");
    let unix = Setup::new().server_at("a", &format!("unix:{}", path.display()), "");
    says(&unix, &["there is no socket"]);
    drop(UnixListener::bind(&path).unwrap());
    says(&unix, &["nothing listens at", "the socket was left behind"]);
    let file = dir.write("words", "no socket");
    let unix = Setup::new().server_at("a", &format!("unix:{}", file.display()), "");
    says(&unix, &["words is no socket"]);
}

#[test]
fn something_listens_at_another_address_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let wanted = format!("something listens at 127.0.0.1:{port} alone");
    says(
        &at(([127, 0, 0, 2], port).into()),
        &[&wanted, "have it listen at 127.0.0.2"],
    );
}

#[test]
fn connections_are_closed_or_reset_as_soon_as_they_are_made() {
    for (resets, wanted) in [(true, "and then resets it"), (false, "and then closes it")] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if resets {
                    SockRef::from(&stream)
                        .set_linger(Some(Duration::ZERO))
                        .unwrap();
                }
            }
        });
        eventually(6 * SOON, || {
            let (code, printed) = diagnose(&at(address), &[]);
            // A reset may come before the connection is known to be there.
            let at_once = resets && printed.contains("resets the connection at once");
            if code == Some(1) && (printed.contains(wanted) || at_once) {
                Ok(())
            } else {
                Err(printed)
            }
        });
    }
}

#[test]
fn tls_to_a_plain_port_and_the_reverse() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let secure = SecureOrigin::start("b", &pki.leaf(&["b.example.com"]));
    let tls = format!(
        "tls: {{server_name: b.example.com, ca: \"{}\"}}\n{HTTP}",
        pki.root().display()
    );
    says(
        &at(origin.address()).pool(&tls),
        &["tls", "it may speak no TLS at that port"],
    );
    let plain = secure_origin::speaks(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    says(&at(plain).pool(&tls), &["tls", "the handshake failed"]);
    says(
        &at(secure.address()).pool(HTTP),
        &["the server speaks TLS at that port", "tls: {}"],
    );
    let (code, printed) = diagnose(&at(secure.address()).pool(&tls), &[]);
    assert_eq!(code, Some(0), "{printed}");
    for wanted in [
        "TLSv1.3, certificate for b.example.com, valid until",
        "verified",
    ] {
        assert!(printed.contains(wanted), "{printed}");
    }
}

#[test]
fn certificates_that_can_not_be_verified() {
    let pki = Pki::new();
    let tls = |ca: &str| format!("tls: {{server_name: a.example.com{ca}}}");
    let ca = format!(", ca: \"{}\"", pki.root().display());
    for (leaf, ca, wanted) in [
        (pki.expired(&["a.example.com"]), &*ca, "expired"),
        (pki.leaf(&["other.example.com"]), &*ca, "other.example.com"),
        (pki.leaf(&["a.example.com"]), "", "authorit"),
    ] {
        let server = SecureOrigin::start("a", &leaf);
        says(
            &at(server.address()).pool(&tls(ca)),
            &["the handshake failed", wanted, "try: "],
        );
    }
}

/// nginx takes the handshake, and refuses by a status.
#[test]
fn certificates_that_servers_ask_for() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.example.com"]);
    let config = format!(
        "server {{ listen @PORT@ ssl; ssl_certificate {}; ssl_certificate_key {}; ssl_verify_client on; \
         ssl_client_certificate {}; location / {{ return 200; }} }}",
        leaf.cert.display(),
        leaf.key.display(),
        pki.root().display()
    );
    let nginx = Nginx::start_when(Ready::Accepts, &config);
    let tls = format!(
        "tls: {{server_name: a.example.com, ca: \"{}\"}}\n{HTTP}",
        pki.root().display()
    );
    says(
        &at(nginx.address()).pool(&tls),
        &[
            "status 400, wanted",
            "it may want a certificate (tls.certificate)",
        ],
    );
}

/// What a server answers to a check, and what is said of it.
#[test]
fn statuses_are_explained() {
    for (status, wanted) in [
        (404, "there is no /health on the server"),
        (401, "the server wants to know who asks"),
        (500, "the server's application fails"),
    ] {
        let origin = Origin::with("a", move |_| Answer::status(status));
        origin.set_health(status);
        says(
            &Setup::of([&origin]).pool(HTTP),
            &[&format!("HEAD /health: status {status}, wanted"), wanted],
        );
    }
}

#[test]
fn a_check_that_asks_for_the_wrong_thing() {
    // The path.
    let origin = Origin::start("a");
    origin.set_health(404);
    says(
        &Setup::of([&origin]).pool(HTTP),
        &["the path / answers 200", "correct health_check.path"],
    );
    // The host: that of a route is the one that clients ask for.
    let origin = Origin::with("a", |request| {
        let is_right = request.header("host") == Some("shop.example.com");
        Answer::status(if is_right { 200 } else { 404 })
    });
    let setup = Setup::of([&origin])
        .pool("health_check: {type: http, path: /}")
        .listener("routes: [{match: {host: shop.example.com}, pool: app}]");
    says(&setup, &["write health_check.host: shop.example.com"]);
    // The method.
    let origin = Origin::with("a", |request| {
        Answer::status(if request.method == "HEAD" { 405 } else { 200 })
    });
    let setup = Setup::of([&origin]).pool("health_check: {type: http, path: /, method: HEAD}");
    says(&setup, &["write health_check.method: GET"]);
}

#[test]
fn the_check_passes_and_traffic_would_not() {
    let origin = Origin::with("a", |_| Answer::status(500));
    says(
        &Setup::of([&origin]).pool("health_check: {type: tcp}"),
        &[
            "tcp: connected",
            "traffic",
            "status 500, though the check passes",
        ],
    );
    // It is somebody else who answers the checks.
    let checked = Origin::start("checked");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::copy(&mut &b"+OK this is mail\r\n"[..], &mut stream);
        }
    });
    let check = format!(
        "health_check: {{type: http, path: /health, port: {}}}",
        checked.address().port()
    );
    says(
        &at(silent).pool(&check),
        &["no answer that is HTTP, though the check passes"],
    );
    // Or somebody who takes requests, and says nothing to them.
    let origin = Origin::with("a", |_| Answer::Never);
    says(
        &Setup::of([&origin]).pool(&format!("timeouts: {{receive: 500ms}}\n{HTTP}")),
        &[
            "no answer in 500 ms, though the check passes",
            "clients wait in vain",
        ],
    );
}

#[test]
fn slow_servers_are_told() {
    let origin = Origin::start("a");
    origin.script(|_| Answer::after(Duration::from_secs(2)));
    let setup = Setup::of([&origin])
        .pool("health_check: {type: http, path: /slow, timeout: 3s, interval: 3s}");
    let (_, printed) = diagnose(&setup, &[]);
    // On a machine that is busy enough it is too late.
    let told = printed.contains("find out why the server is slow");
    assert!(
        told || printed.contains("no answer in 3000 ms"),
        "{printed}"
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let setup =
        at(address).pool("health_check: {type: http, path: /, timeout: 500ms, interval: 1s}");
    says(&setup, &["no answer in 500 ms", "look whether it hangs"]);
}

#[test]
fn proxy_headers_that_are_missed_or_unwanted() {
    let origin = Origin::start("a");
    let server = Announced::before(origin.address());
    says(
        &at(server.address()).pool(HTTP),
        &[
            "with a PROXY header the server answers (200)",
            "proxy_protocol: v2",
        ],
    );
    let nginx = Nginx::start("server { listen @PORT@; location / { return 200; } }");
    for version in ["v1", "v2"] {
        says(
            &at(nginx.address()).pool(&format!("proxy_protocol: {version}\n{HTTP}")),
            &["remove proxy_protocol"],
        );
    }
    let setup = at(server.address()).pool(&format!("proxy_protocol: v2\n{HTTP}"));
    let (code, printed) = diagnose(&setup, &[]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(
        printed.contains("a PROXY header of version 2 was sent"),
        "{printed}"
    );
}
