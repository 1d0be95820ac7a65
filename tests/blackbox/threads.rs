//! `server.threads`: each connection of a client lives on one worker thread, whatever it speaks, and nothing else does.

mod servers;
mod stuck;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use nix::sys::signal::Signal;
use tokio::io::AsyncWriteExt;

use crate::common::*;
use crate::websocket::{ASK, tunnelling};

const NAME: &str = "lb.example.com";

/// How many connections to `listener` each thread has, the most first. A thread knows of what it waits for by an epoll of its
/// own, and the system tells which sockets are in it.
fn by_thread(lb: &Equipoise, listener: SocketAddr) -> Vec<usize> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{:04X}", listener.port());
    let established = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields.get(1) == Some(&local.as_str()) && fields.get(3) == Some(&"01"))
            .then(|| format!("socket:[{}]", fields[9]))
    });
    let established: BTreeSet<String> = established.collect();
    let process = format!("/proc/{}", lb.pid());
    let (mut sockets, mut epolls) = (BTreeSet::new(), BTreeSet::new());
    for descriptor in lb.descriptors() {
        // What has been closed meanwhile is of no interest.
        let Ok(what) = fs::read_link(format!("{process}/fd/{descriptor}")) else {
            continue;
        };
        let what = what.to_string_lossy();
        if established.contains(&*what) {
            sockets.insert(descriptor.to_string());
        } else if what == "anon_inode:[eventpoll]" {
            // proc(5): a line "tfd: NUMBER events: …" for each.
            let info = fs::read_to_string(format!("{process}/fdinfo/{descriptor}")).unwrap();
            let watched = info.lines().filter_map(|line| {
                let rest = line.strip_prefix("tfd:")?;
                rest.split_whitespace().next().map(str::to_owned)
            });
            // The same epoll may have several descriptors.
            epolls.insert(watched.collect::<BTreeSet<String>>());
        }
    }
    let mut counts: Vec<_> = epolls
        .iter()
        .map(|watched| watched.intersection(&sockets).count())
        .filter(|count| *count > 0)
        .collect();
    counts.sort_unstable_by(|one, other| other.cmp(one));
    counts
}

/// Clients that have had an answer, and stay connected.
fn connected(lb: &Equipoise, count: usize) -> Vec<Client> {
    let one = |_| {
        let mut client = lb.client();
        assert_eq!(client.get("/", &[]).unwrap().status, 200);
        client
    };
    (0..count).map(one).collect()
}

#[test]
fn connections_are_shared_out_evenly() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).top("server: {threads: 3}").start();
    let mut clients = connected(&lb, 9);
    assert_eq!(by_thread(&lb, lb.web()), [3, 3, 3]);
    // Who is left with fewer gets those that come next.
    clients.drain(2..6);
    eventually(SOON, || by_thread(&lb, lb.web()).iter().sum::<usize>() == 5);
    lb.wait_idle_servers();
    eventually(SOON, || {
        let active = lb.metrics().sum("equipoise_connections_active", &[]);
        if active == 5.0 { Ok(()) } else { Err(active) }
    });
    clients.extend(connected(&lb, 4));
    assert_eq!(by_thread(&lb, lb.web()), [3, 3, 3]);
}

#[test]
fn one_thread_has_all() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).top("server: {threads: 1}").start();
    let _clients = connected(&lb, 4);
    assert_eq!(by_thread(&lb, lb.web()), [4]);
}

/// A listener of each kind, in front of a server that says everything back once its protocol is switched.
fn all_kinds(threads: usize, pki: &Pki, origin: &Origin, echo: SocketAddr) -> Equipoise {
    let site = pki.leaf(&[NAME]);
    let (cert, key) = (site.cert.display(), site.key.display());
    let tls = format!("tls: {{certificates: [{{cert: {cert}, key: {key}}}]}}");
    let bind = "bind: \"127.0.0.1:0\"";
    Equipoise::start(&format!(
        "server: {{threads: {threads}}}\n\
         listeners:\n  \
           web: {{{bind}, pool: app}}\n  \
           secure: {{{bind}, pool: app, protocol: https, {tls}}}\n  \
           raw: {{{bind}, pool: app, protocol: tcp}}\n  \
           secure_raw: {{{bind}, pool: app, protocol: tls, {tls}}}\n  \
           tunnel: {{{bind}, pool: echo}}\n\
         pools:\n  \
           app: {{health_check: null, servers: [{{name: a, address: \"{}\"}}]}}\n  \
           echo: {{health_check: null, servers: [{{name: e, address: \"{echo}\"}}]}}\n",
        origin.address(),
    ))
}

#[test]
fn everything_is_served_by_one_thread_and_by_three() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let echo = tunnelling(|mut stream, first| async move {
        stream.write_all(&first).await?;
        let (mut from, mut to) = stream.split();
        tokio::io::copy(&mut from, &mut to).await?;
        to.shutdown().await
    });
    for threads in [1, 3] {
        let lb = all_kinds(threads, &pki, &origin, echo.address());
        let tls = Tls::new(&pki, NAME);
        let mut plain = connected(&lb, 4);
        let streams: Vec<_> = (0..4).map(|_| h2::H2::connect(lb.web())).collect();
        let secure_streams: Vec<_> = (0..4)
            .map(|_| h2::H2::over_tls(lb.address("secure"), &tls))
            .collect();
        let others = ["secure", "raw", "secure_raw"].map(|name| {
            let connect = |_| match name {
                "raw" => Client::connect(lb.address(name)),
                _ => tls.connect(lb.address(name)),
            };
            (0..4).map(connect).collect::<Vec<_>>()
        });
        let mut others: Vec<_> = others.into_iter().flatten().collect();
        // Each once more, after all the others.
        for _ in 0..2 {
            for client in plain.iter_mut().chain(&mut others) {
                assert_eq!(client.get("/", &[]).unwrap().origin(), "a");
            }
            for streams in streams.iter().chain(&secure_streams) {
                assert_eq!(streams.get("/", &[]).unwrap().status, 200);
            }
        }
        let mut tunnels: Vec<_> = (0..4)
            .map(|_| {
                let mut client = Client::connect(lb.address("tunnel"));
                client.send(ASK).unwrap();
                assert_eq!(client.read_head().unwrap().status, 101);
                client
            })
            .collect();
        for said in ["one", "two"] {
            for tunnel in &mut tunnels {
                tunnel.send(said).unwrap();
            }
            for tunnel in &mut tunnels {
                assert_eq!(tunnel.take(3).unwrap(), said.as_bytes());
            }
        }
        let log = lb.stderr();
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[test]
fn a_stop_finishes_what_is_under_way_on_every_thread() {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/long" => Answer::held(),
        _ => Answer::ok(),
    });
    let mut lb = Setup::of([&origin]).top("server: {threads: 3}").start();
    let mut idle = connected(&lb, 3);
    let mut busy = connected(&lb, 6);
    for client in &mut busy {
        client.send_request("GET", "/long", &[], b"").unwrap();
    }
    origin.wait_held(6);
    assert_eq!(by_thread(&lb, lb.web()), [3, 3, 3]);
    lb.signal(Signal::SIGTERM);
    for client in &mut idle {
        assert!(client.is_closed_by_peer());
    }
    assert!(lb.is_running());
    origin.release_all();
    for client in &mut busy {
        assert_eq!(client.read_response(false).unwrap().status, 200);
    }
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
    assert_eq!(
        lb.access_log()
            .iter()
            .filter(|line| line["path"] == "/long" && line["termination"] == "complete")
            .count(),
        6
    );
}

#[test]
fn a_stop_that_cuts_off_leaves_a_line_for_every_thread() {
    let origin = Origin::with("a", |_| Answer::held());
    let mut lb = Setup::of([&origin])
        .top("server: {threads: 3, shutdown_timeout: 100ms}")
        .start();
    let mut clients: Vec<_> = (0..3).map(|_| lb.client()).collect();
    for client in &mut clients {
        client.send_request("GET", "/", &[], b"").unwrap();
    }
    origin.wait_held(3);
    lb.signal(Signal::SIGTERM);
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
    let lines = lb.access_log();
    assert_eq!(lines.len(), 3, "{lines:?}");
}
