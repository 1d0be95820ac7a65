//! Local ports that have run out (`EADDRNOTAVAIL`), on a machine of its own.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use super::server_of;
use crate::common::lab::{Lab, as_root};
use crate::common::*;

/// More than there are ports.
const CLIENTS: usize = 12;

/// A server that takes connections and says nothing.
fn silent(lab: &Lab) -> Arc<Mutex<Vec<TcpStream>>> {
    let taken = Arc::<Mutex<Vec<TcpStream>>>::default();
    let kept = Arc::clone(&taken);
    let listener = lab.server.run(|| TcpListener::bind("10.2.0.2:80").unwrap());
    thread::spawn(move || {
        for (stream, _) in std::iter::repeat_with(|| listener.accept()).flatten() {
            kept.lock().push(stream);
        }
    });
    taken
}

#[test]
fn a_request_that_finds_no_port_blames_no_server() {
    as_root(
        "descriptors::ports::a_request_that_finds_no_port_blames_no_server",
        || {
            let lab = Lab::new();
            let taken = silent(&lab);
            let lb = lab.balancer.run(|| {
                Setup::new()
                    .server_at("a", "10.2.0.2:80", "")
                    .listener("bind: \"10.1.0.1:80\"")
                    .pool("health_check: {type: tcp, interval: 100ms, timeout: 1s}")
                    .pool("outlier_detection: {consecutive_failures: 1}")
                    .start()
            });
            // On a connection that needs no port any more.
            let mut admin = lab.balancer.run(|| Client::connect(lb.admin()));
            lab.balancer.run(|| {
                std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40003").unwrap();
            });
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    let to = "10.1.0.1:80".parse().unwrap();
                    let mut client = lab.client.run(|| Client::connect(to));
                    client.send_request("GET", "/", &[], b"").unwrap();
                    client
                })
                .collect();
            // The others hold a port each, or checks do.
            eventually(SOON, || {
                let lines = lb.access_log();
                let told = lines.iter().filter(|line| {
                    line["termination"] == "proxy_resources" && line["status"] == 503
                });
                told.count() >= CLIENTS - 4
            });
            eventually(SOON, || {
                server_of(&mut admin, "a")["last_check"]["result"] == "not_made"
            });
            let log = lb.stderr();
            let words = "a server could not be connected to: no local port is left";
            assert_eq!(log.matches(words).count(), 1, "{log}");
            assert!(!log.contains("state=down"), "{log}");
            let server = server_of(&mut admin, "a");
            assert_eq!(
                (&server["state"], &server["errors"]),
                (&"up".into(), &0.into()),
                "{server}"
            );
            drop((clients, taken));
        },
    );
}
