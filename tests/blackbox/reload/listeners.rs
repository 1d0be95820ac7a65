//! Listeners that come, go, move and change what they speak while they serve.

use std::net::{SocketAddr, TcpStream};

use super::refused::problems;
use super::reload;
use crate::common::*;

/// Two listeners of one pool.
fn two(origin: &Origin, more: &str) -> String {
    let pool = Setup::of([origin]).yaml();
    pool.replace("pools:\n", &format!("{more}pools:\n"))
}

fn is_refused(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, SOON).is_err()
}

#[test]
fn a_listener_comes_and_goes() {
    let a = Origin::start("a");
    let lb = Setup::of([&a]).start();
    let web = lb.web();
    reload(
        &lb,
        &two(&a, "  more: {bind: \"127.0.0.1:0\", pool: app}\n"),
    );
    let more = lb.address("more");
    let mut kept = Client::connect(more);
    assert!(!kept.get("/", &[]).unwrap().has_token("connection", "close"));
    let http2 = h2::H2::connect(more);
    assert_eq!(http2.get("/", &[]).unwrap().status, 200);
    assert_eq!(lb.web(), web, "the other one is where it was");
    reload(&lb, &Setup::of([&a]).yaml());
    eventually(SOON, || is_refused(more));
    let last = kept.get("/", &[]).unwrap();
    assert_eq!(last.status, 200, "who was connected is served");
    assert!(last.has_token("connection", "close"), "{last}");
    http2.wait_end().unwrap();
    assert_eq!(lb.web(), web);
    assert_eq!(lb.get("/", &[]).status, 200);
    let metrics = lb.metrics();
    let of_more = metrics.sum("equipoise_connections_total", &[("listener", "more")]);
    assert!(of_more.abs() < 0.5, "{of_more}");
}

#[test]
fn a_listener_is_bound_elsewhere() {
    let a = Origin::start("a");
    let (first, second) = (ReservedPort::new(), ReservedPort::new());
    let at = |port: &ReservedPort| {
        let bind = format!("bind: \"{}\"", port.address());
        Setup::of([&a]).listener(&bind).yaml()
    };
    let lb = Equipoise::start(&at(&first));
    let mut kept = lb.client();
    kept.get("/", &[]).unwrap();
    reload(&lb, &at(&second));
    assert_eq!(lb.web(), second.address());
    assert_eq!(lb.get("/", &[]).status, 200);
    eventually(SOON, || is_refused(first.address()));
    let goes_on = kept.get("/", &[]).unwrap();
    assert!(!goes_on.has_token("connection", "close"), "{goes_on}");
    // What somebody else has can't be had, and nothing changes.
    let taken = first.listen();
    reload(&lb, &at(&first));
    let found = problems(&lb);
    assert_eq!(found.len(), 1, "{found:?}");
    let words = format!(
        "listeners.web.bind: can't listen on {}: the address is in use",
        first.address()
    );
    assert!(found[0].contains(&words), "{words}: {found:?}");
    drop(taken);
    assert_eq!(lb.get("/", &[]).status, 200);
    reload(&lb, &at(&first));
    assert_eq!(lb.web(), first.address());
    assert_eq!(lb.get("/", &[]).status, 200);
}

#[test]
fn a_new_name_costs_no_connection() {
    let a = Origin::start("a");
    a.quiet();
    let port = ReservedPort::new();
    let bind = format!("bind: \"{}\"", port.address());
    let web = Setup::of([&a]).listener(&bind).yaml();
    let edge = web.replace("  web:\n", "  edge:\n");
    let lb = Equipoise::start(&web);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut served = 0_u32;
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let response = Client::connect(port.address()).get("/", &[]);
                        assert_eq!(response.unwrap().status, 200);
                        served += 1;
                    }
                    served
                })
            })
            .collect();
        for _ in 0..5 {
            reload(&lb, &edge);
            assert_eq!(lb.address("edge"), port.address());
            reload(&lb, &web);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for client in clients {
            assert!(client.join().unwrap() > 0);
        }
    });
}

#[test]
fn a_listener_may_speak_something_else() {
    let (a, pki) = (Origin::start("a"), Pki::new());
    let site = pki.leaf(&["lb.example.com"]);
    let (cert, key) = (site.cert.display(), site.key.display());
    let port = ReservedPort::new();
    let with = |more: &str| {
        let bind = format!("bind: \"{}\"\n{more}", port.address());
        Setup::of([&a]).listener(&bind).yaml()
    };
    let lb = Equipoise::start(&with(""));
    let mut kept = lb.client();
    kept.get("/", &[]).unwrap();
    reload(
        &lb,
        &with(&format!(
            "protocol: https\ntls: {{certificate: {{cert: {cert}, key: {key}}}}}"
        )),
    );
    let tls = Tls::new(&pki, "lb.example.com");
    let mut secure = tls.connect(port.address());
    assert_eq!(secure.get("/", &[]).unwrap().status, 200);
    let last = kept.get("/", &[]).unwrap();
    assert!(last.has_token("connection", "close"), "{last}");
    reload(&lb, &with("protocol: tcp"));
    // The server's own answer comes through.
    assert_eq!(
        Client::connect(port.address())
            .get("/", &[])
            .unwrap()
            .origin(),
        "a"
    );
    reload(
        &lb,
        &with("protocol: https\ntls: {certificate: {cert: /nowhere}}"),
    );
    assert!(
        problems(&lb)[0].contains("listeners.web.tls"),
        "{:?}",
        problems(&lb)
    );
    assert_eq!(
        Client::connect(port.address())
            .get("/", &[])
            .unwrap()
            .origin(),
        "a"
    );
}
