//! Copies for a shadow pool: what they are, how many, and that whatever the shadow does is its own business.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::h2::H2;
use crate::common::h2_origin::Reply as H2Reply;
use crate::common::peers::run;
use crate::common::*;

const ALL: &str = "routes:
  - name: copied
    match: {path_prefix: /}
    mirror: {pool: shadow}";

/// Everything goes to `origins`, and a copy to what is at `shadow`.
fn yaml(origins: &[&Origin], shadow: SocketAddr, listener: &str, more: &str) -> String {
    let main = Setup::of(origins.iter().copied())
        .listener(&format!("http: {{keepalive_requests: 0}}\n{listener}"))
        .yaml();
    format!(
        "{main}  shadow:\n    health_check: null\n    timeouts: {{connect: 500ms, send: 500ms, receive: 500ms}}\n\
         {more}    servers:\n      - {{name: s, address: \"{shadow}\"}}\n"
    )
}

fn start(origin: &Origin, shadow: &Origin) -> Equipoise {
    Equipoise::start(&yaml(&[origin], shadow.address(), ALL, ""))
}

/// The copies, once there are so many.
#[track_caller]
fn copies(shadow: &Origin, count: usize) -> Vec<Request> {
    eventually(SOON, || {
        let served = shadow.requests();
        if served.len() >= count {
            Ok(served)
        } else {
            Err(format!("{} of {count} copies", served.len()))
        }
    })
}

/// What of a request is for the server, not for the connection.
fn message(request: &Request) -> (String, String, Vec<(String, String)>, Vec<u8>) {
    let mut fields: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| name != "connection")
        .collect();
    fields.sort();
    (
        request.method.clone(),
        request.target.clone(),
        fields,
        request.body.clone(),
    )
}

#[test]
fn a_copy_is_what_the_server_gets_and_its_answer_is_thrown_away() {
    let (origin, shadow) = (
        Origin::start("a"),
        Origin::with("shadow", |_| {
            Answer::status(418).header("Set-Cookie", "shadow=1")
        }),
    );
    let lb = start(&origin, &shadow);
    let mut client = lb.client();
    let long = vec![b'x'; 300_000];
    let requests: [(&str, &str, &[u8]); 6] = [
        ("GET", "/a?b=c", b""),
        ("HEAD", "/", b""),
        ("POST", "/form", b"name=value"),
        ("PUT", "/long", &long),
        ("DELETE", "/x", b""),
        ("OPTIONS", "/", b""),
    ];
    for (n, (method, target, body)) in requests.into_iter().enumerate() {
        let fields = [
            ("Host", "shop.example.com"),
            ("Cookie", "session=1"),
            ("X-Forwarded-For", "192.0.2.1"),
            ("Authorization", "Basic eDp5"),
        ];
        let answered = client.request(method, target, &fields, body).unwrap();
        assert_eq!((answered.status, answered.origin()), (200, "a"));
        assert!(answered.header("set-cookie").is_none());
        let copy = copies(&shadow, n + 1).pop().unwrap();
        assert_eq!(message(&copy), message(&origin.last_request()), "{method}");
        eventually(SOON, || lb.server("shadow", "s")["requests"] == n + 1);
    }
    // Nobody else hears of them.
    drop(client);
    lb.wait_idle();
    eventually(SOON, || lb.access_log().len() == 6);
    let metrics = lb.metrics();
    assert_eq!(metrics.sum("equipoise_http_requests_total", &[]), 6.0);
    assert_eq!(
        metrics.value(
            "equipoise_server_picks_total",
            &[("pool", "shadow"), ("server", "s"), ("by", "balance")]
        ),
        6.0
    );
    eventually(SOON, || lb.server("shadow", "s")["active"] == 0);
    // They share a connection.
    assert_eq!(shadow.connections(), 1);
}

#[test]
fn chunked_bodies_and_those_of_http2_are_copied_whole() {
    let (origin, shadow) = (Origin::start("a"), Origin::start("shadow"));
    let lb = start(&origin, &shadow);
    let mut client = lb.client();
    client
        .send("POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        .unwrap();
    client.send("7\r\n, world\r\n0\r\n\r\n").unwrap();
    assert_eq!(client.read_response(false).unwrap().status, 200);
    assert_eq!(copies(&shadow, 1)[0].body, b"hello, world");
    let h2 = H2::connect(lb.web());
    let body: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    assert_eq!(h2.request("POST", "/2", &[], &body).unwrap().status, 200);
    assert_eq!(copies(&shadow, 2)[1].body, body);
    assert_eq!(h2.get("/3", &[]).unwrap().status, 200);
    let copy = copies(&shadow, 3).pop().unwrap();
    assert_eq!(message(&copy), message(&origin.last_request()));
    // With 100-continue as curl has it.
    let dir = TempDir::new("mirror");
    let file = dir.write("body", &"y".repeat(3_000_000));
    run(
        "curl",
        &[
            "-sS",
            "-H",
            "Expect: 100-continue",
            "--data-binary",
            &format!("@{}", file.display()),
            &format!("http://{}/4", lb.web()),
        ],
    );
    assert_eq!(copies(&shadow, 4)[3].body.len(), 3_000_000);
}

#[test]
fn a_tenth_of_a_thousand_is_a_hundred() {
    let (origin, shadow) = (Origin::start("a"), Origin::start("shadow"));
    let listener = ALL.replace("{pool: shadow}", "{pool: shadow, ratio: 0.1}");
    let lb = Equipoise::start(&yaml(&[&origin], shadow.address(), &listener, ""));
    let mut client = lb.client();
    for _ in 0..1000 {
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
    }
    copies(&shadow, 99);
    holds_for(Duration::from_millis(300), || shadow.served() <= 101);
    assert_eq!(origin.served(), 1000);
}

#[test]
fn only_the_routes_own_requests_are_copied_and_none_that_is_answered_here() {
    let (origin, shadow) = (Origin::start("a"), Origin::start("shadow"));
    let listener = "routes:
  - match: {path: /refused}
    deny: [127.0.0.1]
    mirror: {pool: shadow}
  - match: {path: /copied}
    rewrite: {prefix: /elsewhere, host: other.example}
    request_headers: {set: {X-Route: copied}, remove: [X-Secret]}
    mirror: {pool: shadow}";
    let lb = Equipoise::start(&yaml(&[&origin], shadow.address(), listener, ""));
    assert_eq!(lb.get("/other", &[]).status, 200);
    assert_eq!(lb.get("/refused", &[]).status, 403);
    assert_eq!(lb.get("/copied", &[("X-Secret", "1")]).status, 200);
    let all = copies(&shadow, 1);
    assert_eq!(all.len(), 1);
    assert_eq!(message(&all[0]), message(&origin.last_request()));
    assert_eq!(all[0].target, "/elsewhere");
    assert_eq!(all[0].header("host"), Some("other.example"));
    assert_eq!(all[0].header("x-route"), Some("copied"));
    assert_eq!(all[0].header("x-secret"), None);
}

/// Has clients ask while the shadow does as it likes. None may notice.
#[track_caller]
fn nobody_notices(shadow: SocketAddr, requests: usize) -> Equipoise {
    let origin = Origin::start("a");
    let lb = Equipoise::start(&yaml(&[&origin], shadow, ALL, ""));
    let body = vec![b'x'; 100_000];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = lb.client();
                let h2 = H2::connect(lb.web());
                for _ in 0..requests / 16 {
                    for body in [&b""[..], &body] {
                        let begun = Instant::now();
                        let answers = [
                            client.request("PUT", "/", &[], body).unwrap(),
                            h2.request("PUT", "/", &[], body).unwrap(),
                        ];
                        for answer in answers {
                            assert_eq!((answer.status, answer.origin()), (200, "a"));
                        }
                        // The shadow's timeouts are 500 ms, and nobody waits for any of them.
                        assert!(begun.elapsed() < Duration::from_secs(3));
                    }
                }
            });
        }
    });
    lb.wait_idle();
    assert_eq!(origin.served(), requests / 16 * 16);
    assert!(
        origin
            .requests()
            .iter()
            .all(|r| r.body.is_empty() || r.body == body)
    );
    assert_eq!(
        lb.metrics()
            .sum("equipoise_http_requests_total", &[("code", "2xx")]),
        (requests / 16 * 16) as f64
    );
    lb
}

#[test]
fn a_shadow_that_is_down_is_not_noticed() {
    let shadow = Origin::stopped("shadow");
    let lb = nobody_notices(shadow.address(), 160);
    eventually(SOON, || {
        lb.server("shadow", "s")["errors"].as_u64() > Some(100)
    });
}

#[test]
fn a_shadow_that_fails_in_whatever_way_is_not_noticed() {
    for answer in [
        Answer::status(500),
        Answer::Close,
        Answer::Reset,
        Answer::ResetMidBody(b"half".to_vec()),
        Answer::Raw(b"no HTTP at all\r\n\r\n".to_vec()),
        Answer::Raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".to_vec()),
        Answer::Raw(
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello".to_vec(),
        ),
        Answer::Raw(b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000)),
    ] {
        let shadow = Origin::with("shadow", move |_| answer.clone());
        nobody_notices(shadow.address(), 32);
        eventually(SOON, || shadow.served() > 0);
    }
}

#[test]
fn a_shadow_that_hangs_is_not_noticed_and_not_waited_for() {
    let shadow = Origin::with("shadow", |_| Answer::Never);
    let lb = nobody_notices(shadow.address(), 480);
    // Each is given up when its time is over.
    eventually(SOON, || lb.server("shadow", "s")["active"] == 0);
    eventually(SOON, || {
        lb.server("shadow", "s")["errors"].as_u64() > Some(0)
    });
}

#[test]
fn a_shadow_that_is_slow_gets_its_copies_in_its_own_time() {
    let shadow = Origin::with("shadow", |_| Answer::after(Duration::from_millis(200)));
    nobody_notices(shadow.address(), 160);
    eventually(SOON, || shadow.served() > 50);
}

#[test]
fn a_shadow_that_doesnt_read_holds_up_no_upload() {
    // Connections are made by the kernel, and nobody takes them.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = Origin::start("a");
    origin.quiet();
    let lb = Equipoise::start(&yaml(&[&origin], deaf.local_addr().unwrap(), ALL, ""));
    let dir = TempDir::new("mirror");
    let file = dir.write("body", &"z".repeat(50_000_000));
    let begun = Instant::now();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let status = run(
            "curl",
            &[
                "-sS",
                version,
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "--data-binary",
                &format!("@{}", file.display()),
                &format!("http://{}/", lb.web()),
            ],
        );
        assert_eq!(status, "200");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    eventually(SOON, || lb.stderr().contains("can't keep up"));
    eventually(SOON, || lb.server("shadow", "s")["active"] == 0);
    drop(deaf);
}

#[test]
fn a_client_that_goes_away_takes_its_copy_along() {
    let (origin, shadow) = (
        Origin::start("a"),
        TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let lb = Equipoise::start(&yaml(&[&origin], shadow.local_addr().unwrap(), ALL, ""));
    let mut client = lb.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf of it")
        .unwrap();
    let (mut copy, _) = shadow.accept().unwrap();
    copy.set_read_timeout(Some(SOON)).unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !seen.ends_with(b"half of it") {
        let n = copy.read(&mut buffer).unwrap();
        assert!(n > 0);
        seen.extend_from_slice(&buffer[..n]);
    }
    client.reset();
    let rest = std::iter::from_fn(|| match copy.read(&mut buffer) {
        Ok(0) | Err(_) => None,
        Ok(n) => Some(n),
    });
    assert_eq!(rest.count(), 0, "cut off, not made up");
    eventually(SOON, || lb.server("shadow", "s")["active"] == 0);
    assert_eq!(lb.server("shadow", "s")["errors"], 0, "nobody's fault");
}

#[test]
fn a_retry_is_no_second_copy() {
    let (down, origin) = (Origin::stopped("down"), Origin::start("a"));
    let shadow = Origin::start("shadow");
    let lb = Equipoise::start(&yaml(&[&down, &origin], shadow.address(), ALL, ""));
    for n in 1..=4 {
        assert_eq!(lb.get("/", &[]).origin(), "a");
        copies(&shadow, n);
    }
    // The servers that fail have the request already, and part of its body.
    let failing = Origin::with("b", |_| Answer::Reset);
    let lb = Equipoise::start(&yaml(&[&failing, &origin], shadow.address(), ALL, ""));
    let before = shadow.served();
    let body: Vec<u8> = (0..60_000_u32).map(|n| n as u8).collect();
    let mut client = lb.client();
    for n in 1..=4 {
        let answered = client.request("PUT", "/body", &[], &body).unwrap();
        assert_eq!(answered.origin(), "a");
        let copy = copies(&shadow, before + n).pop().unwrap();
        assert_eq!((copy.target.as_str(), copy.body == body), ("/body", true));
    }
    assert!(failing.served() > 0);
    holds_for(Duration::from_millis(200), || shadow.served() == before + 4);
}

#[test]
fn what_switches_protocols_is_not_copied() {
    let (origin, shadow) = (Origin::start("a"), Origin::start("shadow"));
    let lb = start(&origin, &shadow);
    let fields = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert_eq!(lb.client().get("/socket", &fields).unwrap().status, 200);
    assert_eq!(lb.get("/", &[]).status, 200);
    let all = copies(&shadow, 1);
    assert_eq!((all.len(), all[0].target.as_str()), (1, "/"));
}

#[test]
fn a_shadow_may_speak_http2() {
    let (origin, shadow) = (
        Origin::start("a"),
        H2Origin::start(|_| H2Reply::text("shadow")),
    );
    let lb = Equipoise::start(&yaml(
        &[&origin],
        shadow.address(),
        ALL,
        "    http2: true\n",
    ));
    let body = vec![b'x'; 100_000];
    let mut client = lb.client();
    for n in 0..5 {
        let answered = client.request("POST", "/p?q", &[("Host", "shop.example")], &body);
        assert_eq!(answered.unwrap().origin(), "a");
        assert_eq!(client.get("/", &[]).unwrap().origin(), "a");
        eventually(SOON, || shadow.taken().len() == n * 2 + 2);
    }
    let copy = shadow
        .taken()
        .into_iter()
        .find(|taken| taken.method == "POST")
        .unwrap();
    assert_eq!(copy.uri, "http://shop.example/p?q");
    assert!(!copy.headers.contains_key("host"));
    assert_eq!(copy.body, body);
    assert!(shadow.connections() <= 2, "they share connections");
}

#[test]
fn a_shadow_may_speak_tls_and_is_verified() {
    let pki = Pki::new();
    let good = SecureOrigin::start("shadow", &pki.leaf(&["shadow.test"]));
    let bad = SecureOrigin::start("shadow", &pki.leaf(&["other.test"]));
    let origin = Origin::start("a");
    let tls = format!(
        "    tls: {{ca: {}, server_name: shadow.test}}\n",
        pki.root().display()
    );
    let lb = Equipoise::start(&yaml(&[&origin], good.address(), ALL, &tls));
    assert_eq!(lb.get("/", &[]).origin(), "a");
    eventually(SOON, || good.served() == 1);
    let lb = Equipoise::start(&yaml(&[&origin], bad.address(), ALL, &tls));
    assert_eq!(lb.get("/", &[]).origin(), "a");
    eventually(SOON, || lb.server("shadow", "s")["errors"] == 1);
    eventually(SOON, || lb.stderr().contains("shadow.test"));
    assert_eq!(bad.served(), 0);
}

#[test]
fn the_end_of_the_process_waits_for_no_copy() {
    let (origin, shadow) = (
        Origin::start("a"),
        Origin::with("shadow", |_| Answer::Never),
    );
    let yaml = yaml(&[&origin], shadow.address(), ALL, "").replace("500ms", "60s");
    let mut lb = Equipoise::start(&format!("server: {{shutdown_timeout: 30s}}\n{yaml}"));
    assert_eq!(lb.get("/", &[]).status, 200);
    copies(&shadow, 1);
    let begun = Instant::now();
    lb.signal(Signal::SIGTERM);
    lb.wait_exit(SOON);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}
