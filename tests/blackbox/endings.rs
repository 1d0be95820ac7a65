//! SPEC section 12: who is blamed. Every way in which a client or a server can leave or fall silent, whatever is between
//! them: `termination` says whose doing it was.

use std::io::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::common::*;
use crate::http2::RawOrigin;

/// What a request does when it is cut short.
const STAGES: [(&str, &str, u64); 4] = [
    (
        "waiting",
        "GET /waiting HTTP/1.1\r\nHost: a.test\r\n\r\n",
        499,
    ),
    (
        "uploading",
        "POST /uploading HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\nhello",
        499,
    ),
    (
        "chunks",
        "POST /chunks HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhello",
        499,
    ),
    (
        "downloading",
        "GET /downloading HTTP/1.1\r\nHost: a.test\r\n\r\n",
        200,
    ),
];

/// A server that gives each stage what it takes to be there, and holds on.
fn patient() -> Origin {
    Origin::with("a", |request| match request.target.as_str() {
        "/downloading" => Answer::body(Body::HeldChunks(vec![vec![b'x'; 1000]; 3])),
        _ => Answer::held(),
    })
}

fn secured(pki: &Pki) -> String {
    let site = pki.leaf(&["a.test"]);
    format!(
        "protocol: https\ntls: {{certificates: [{{cert: {}, key: {}}}]}}",
        site.cert.display(),
        site.key.display()
    )
}

#[track_caller]
fn blamed(lb: &Equipoise, case: &str, path: &str, status: u64, word: &str) {
    let line = lb.wait_logged(|line| line["path"] == path);
    let found = (&line["status"], &line["termination"]);
    let status = Value::from(status);
    assert_eq!(found, (&status, &word.into()), "{case}: {line}");
}

/// Waits until the load balancer has passed the request on, and where there is one the response's header back.
fn arrive(lb: &Equipoise, client: &mut Client, stage: &str, before: f64) {
    if stage == "downloading" {
        client.read_head().unwrap();
    }
    eventually(SOON, || {
        lb.metrics().sum("equipoise_server_picks_total", &[]) > before
    });
}

#[test]
fn a_client_that_leaves_is_to_blame_for_that() {
    let pki = Pki::new();
    for https in [false, true] {
        for leave in ["reset", "end"] {
            let origin = patient();
            let mut setup = Setup::of([&origin]);
            if https {
                setup = setup.listener(&secured(&pki));
            }
            if leave == "end" {
                // Else it is only the next part of a response that tells.
                setup = setup.listener("http: {abort_on_half_close: true}");
            }
            let lb = setup.start();
            for (stage, request, status) in STAGES {
                let case = format!("{stage}, https: {https}, {leave}");
                let mut client = if https {
                    Tls::new(&pki, "a.test").connect(lb.web())
                } else {
                    lb.client()
                };
                let before = lb.metrics().sum("equipoise_server_picks_total", &[]);
                client.send(request).unwrap();
                arrive(&lb, &mut client, stage, before);
                if leave == "reset" {
                    client.reset();
                } else {
                    drop(client);
                }
                blamed(&lb, &case, &format!("/{stage}"), status, "client_aborted");
            }
        }
    }
}

#[test]
fn a_client_of_http2_that_leaves_is_to_blame_for_that() {
    let origin = patient();
    let lb = Setup::of([&origin]).start();
    for (stage, status) in [("waiting", 499), ("uploading", 499), ("downloading", 200)] {
        for reset in [true, false] {
            let client = h2::H2::connect(lb.web());
            let path = format!("/{stage}?{reset}");
            origin.script(|request| {
                if request.target.starts_with("/downloading") {
                    Answer::body(Body::HeldChunks(vec![vec![b'x'; 1000]; 3]))
                } else {
                    Answer::held()
                }
            });
            let before = lb.metrics().sum("equipoise_server_picks_total", &[]);
            let upload = stage == "uploading";
            let (response, mut send) = client.open("POST", &path, &[], !upload).unwrap();
            if upload {
                send.send_data(bytes::Bytes::from_static(b"hello"), false)
                    .unwrap();
            }
            eventually(SOON, || {
                lb.metrics().sum("equipoise_server_picks_total", &[]) > before
            });
            let response = if stage == "downloading" {
                Ok(client.run(response).unwrap())
            } else {
                Err(response)
            };
            if reset {
                send.send_reset(::h2::Reason::CANCEL);
            }
            drop((response, send));
            if !reset {
                drop(client);
            }
            let query = reset.to_string();
            let line = lb.wait_logged(|line| {
                line["query"] == *query && line["path"] == *format!("/{stage}")
            });
            let found = (&line["status"], &line["termination"]);
            assert_eq!(found, (&status.into(), &"client_aborted".into()), "{line}");
        }
    }
}

#[test]
fn a_server_that_is_silent_is_to_blame_for_that() {
    let pki = Pki::new();
    for https in [false, true] {
        let origin = patient();
        let mut setup =
            Setup::of([&origin]).pool("timeouts: {receive: 300ms}\nretries: {attempts: 0}");
        if https {
            setup = setup.listener(&secured(&pki));
        }
        let lb = setup.start();
        for (stage, request, status) in STAGES {
            let (status, word) = match stage {
                "waiting" => (504, "server_timeout"),
                // Its body isn't there yet: the server can't answer.
                "uploading" | "chunks" => (408, "client_timeout"),
                _ => (status, "server_timeout"),
            };
            let mut client = if https {
                Tls::new(&pki, "a.test").connect(lb.web())
            } else {
                lb.client()
            };
            client.send(request).unwrap();
            let case = format!("{stage}, https: {https}");
            blamed(&lb, &case, &format!("/{stage}"), status, word);
        }
    }
}

#[test]
fn of_a_tunnel_it_is_who_leaves_or_is_silent() {
    let pki = Pki::new();
    for https in [false, true] {
        let raw = RawOrigin::new();
        let mut setup = Setup::new()
            .server_at("a", &raw.address().to_string(), "")
            .pool("health_check: null\ntimeouts: {receive: 1s}");
        if https {
            setup = setup.listener(&secured(&pki));
        }
        let lb = setup.start();
        for (who, word) in [
            ("client", "client_aborted"),
            ("server", "server_reset"),
            ("nobody", "server_timeout"),
        ] {
            let mut client = if https {
                Tls::new(&pki, "a.test").connect(lb.web())
            } else {
                lb.client()
            };
            let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            client
                .send(format!("GET /{who} HTTP/1.1\r\nHost: a.test\r\n{upgrade}"))
                .unwrap();
            let mut server = raw.accept();
            server.until("\r\n\r\n");
            server.send(format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}"));
            assert_eq!(client.read_head().unwrap().status, 101);
            match who {
                "client" => client.reset(),
                "server" => {
                    socket2::SockRef::from(&server.stream)
                        .set_linger(Some(Duration::ZERO))
                        .unwrap();
                    drop(server);
                    assert!(client.is_closed_by_peer());
                }
                // Silence on both sides: it is the server's answer that is waited for.
                _ => assert!(client.is_closed_by_peer()),
            }
            blamed(
                &lb,
                &format!("{who}, https: {https}"),
                &format!("/{who}"),
                101,
                word,
            );
        }
    }
}

#[test]
fn a_server_that_leaves_is_to_blame_for_that() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345".to_vec();
    let origin = Origin::with("a", move |request| match request.target.as_str() {
        "/downloading" => Answer::Raw(cut.clone()),
        "/reset" => Answer::Reset,
        _ => Answer::Close,
    });
    let lb = Setup::of([&origin]).pool("retries: {attempts: 0}").start();
    for (path, status) in [("/downloading", 200), ("/reset", 502), ("/waiting", 502)] {
        let mut client = lb.client();
        drop(client.request("POST", path, &[], b"hello"));
        blamed(&lb, path, path, status, "server_reset");
        let client = h2::H2::connect(lb.web());
        drop(client.request("POST", &format!("{path}?h2"), &[], b"hello"));
        let line = lb.wait_logged(|line| line["path"] == path && line["query"] == "h2");
        assert_eq!(line["termination"], "server_reset", "{line}");
    }
}

#[test]
fn a_client_that_takes_nothing_of_its_response_is_to_blame_for_that() {
    let origin = Origin::with("a", |_| Answer::body(Body::Full(vec![b'x'; 30_000_000])));
    let lb = Setup::of([&origin])
        .listener("http: {send_timeout: 300ms}")
        .start();
    let mut client = lb.client();
    client.send_request("GET", "/full", &[], b"").unwrap();
    blamed(&lb, "full", "/full", 200, "client_timeout");
    drop(client);
}

#[test]
fn a_server_that_takes_nothing_of_an_upload_is_to_blame_for_that() {
    // One that is never accepted from: the kernel takes what fits.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let lb = Setup::new()
        .server_at("a", &listener.local_addr().unwrap().to_string(), "")
        .pool("timeouts: {send: 300ms, receive: 600ms}\nretries: {attempts: 0}")
        .start();
    let mut client = lb.client();
    let mut sender = client.sender();
    // More than kernels hold, and at hand before its header is sent.
    let body = vec![b'x'; 30_000_000];
    let sending = std::thread::spawn(move || {
        let head = "POST /stuck HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n";
        let _ = sender.write_all(head.as_bytes());
        let _ = sender.write_all(&body);
    });
    let answer = client.read_response(false).unwrap();
    assert_eq!(answer.status, 504, "{answer}");
    blamed(&lb, "stuck", "/stuck", 504, "server_timeout");
    drop(client);
    sending.join().unwrap();
}

#[test]
fn connections_say_whose_end_it_was() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let lb = Setup::new()
        .listener("protocol: tcp\ntcp: {idle_timeout: 1s}")
        .server_at("a", &silent.local_addr().unwrap().to_string(), "")
        .start();
    let ended = |word: &str, nth: usize| {
        eventually(SOON, || {
            let log = lb.access_log();
            let found = log
                .iter()
                .filter(|line| line["termination"] == word)
                .count();
            found >= nth
        });
    };
    let reset = lb.client();
    let (_server, _) = silent.accept().unwrap();
    reset.reset();
    ended("client_aborted", 1);
    let mut client = lb.client();
    let (mut server, _) = silent.accept().unwrap();
    // Once the two are connected through.
    server.write_all(b"x").unwrap();
    assert_eq!(client.take(1).unwrap(), b"x");
    socket2::SockRef::from(&server)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(server);
    ended("server_reset", 1);
    drop(client);
    let _idle = lb.client();
    let _held = silent.accept().unwrap();
    ended("idle_timeout", 1);
}
