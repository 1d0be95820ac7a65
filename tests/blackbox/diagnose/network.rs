//! Faults between machines: each is a network namespace.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use ::socket2::{Domain, Socket, Type};

use super::*;
use crate::common::equipoise::BINARY;
use crate::common::lab::{BY_INTERFACE, Lab, Machine, as_root};

/// Of other machines it is told by what comes back, or doesn't.
#[test]
fn other_machines_on_the_network() {
    as_root("diagnose::network::other_machines_on_the_network", || {
        let lab = Lab::new();
        let setup = |address: &str, patience: &str| {
            Setup::new()
                .pool(&format!("timeouts: {{connect: {patience}, receive: 1s}}"))
                .server_at("a", address, "")
        };
        let said = |address: &str, wanted: &[&str]| {
            lab.balancer.run(|| says(&setup(address, "30s"), wanted));
        };
        let said_of_silence = |address: &str, wanted: &str| {
            lab.balancer.run(|| {
                eventually(6 * SOON, || {
                    let (code, printed) = diagnose(&setup(address, "1s"), &[]);
                    if code == Some(1) && printed.contains(wanted) {
                        Ok(())
                    } else {
                        Err(printed)
                    }
                });
            });
        };
        let loopback = lab
            .server
            .run(|| TcpListener::bind("127.0.0.1:8080").unwrap());
        said(
            "10.2.0.2:8080",
            &[
                "10.2.0.2:8080 refuses: nothing listens there",
                "ss -ltnp 'sport = :8080'",
                "127.0.0.1",
            ],
        );
        drop(loopback);
        said(
            "192.0.2.1:80",
            &[
                "this machine has no route to 192.0.2.1",
                "ip route get 192.0.2.1",
            ],
        );
        // Nobody accepts, and the backlog is full: what comes is dropped, as by a firewall.
        let full = lab.server.run(|| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let address: SocketAddr = "10.2.0.2:8081".parse().unwrap();
            socket.bind(&address.into()).unwrap();
            socket.listen(0).unwrap();
            let waiting: Vec<_> = (0..3)
                .map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)))
                .collect();
            (socket, waiting)
        });
        said_of_silence(
            "10.2.0.2:8081",
            "says nothing in 1000 ms, though the machine is there (it refuses port 1): a firewall drops what comes to port 8081",
        );
        drop(full);
        // What the server answers is dropped.
        lab.server.ip("route add blackhole 10.2.0.1/32");
        said_of_silence(
            "10.2.0.2:8082",
            "says nothing in 1000 ms: packets are dropped (firewall), or the machine is down",
        );
    });
}

#[test]
fn what_connecting_from_the_client_needs_is_told() {
    as_root(
        "diagnose::network::what_connecting_from_the_client_needs_is_told",
        || {
            let lab = Lab::new();
            let setup = Setup::new()
                .listener("protocol: tcp")
                .pool("source: client")
                .server_at("a", "10.2.0.2:80", "");
            let listener = lab.server.run(|| TcpListener::bind("10.2.0.2:80").unwrap());
            // All that this machine does by itself works, so that nothing else shows it.
            lab.balancer.run(|| {
                says(
                    &setup,
                    &[
                        "WRONG     route    what servers answer to clients' addresses is delivered nowhere",
                        "try: add, for the interface",
                        "something listens at 10.2.0.2:80",
                    ],
                );
            });
            let (code, printed) = lab.balancer.run(|| diagnose(&setup, &["--format", "json"]));
            assert_eq!(code, Some(1), "{printed}");
            let reports: serde_json::Value = serde_json::from_str(&printed).unwrap();
            assert_eq!(reports[0]["findings"][0]["step"], "route");
            lab.bring_answers_back(BY_INTERFACE);
            let (_, printed) = lab.balancer.run(|| diagnose(&setup, &[]));
            assert!(!printed.contains("  route  "), "{printed}");
            drop(listener);
        },
    );
}

/// Whoever isn't root may lack what the service has.
#[test]
fn what_may_be_the_users_lack_alone_is_doubtful() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = at(listener.local_addr().unwrap())
        .listener("protocol: tcp")
        .pool("source: client");
    let dir = TempDir::new("diagnose");
    let yaml = equipoise::complete(&setup.yaml(), dir.path());
    let file = dir.write("lb.yaml", &yaml);
    let mut words = vec![BINARY, "diagnose", "-c", file.to_str().unwrap()];
    if nix::unistd::geteuid().is_root() {
        for path in [dir.path(), &file] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        words.splice(..0, ["setpriv", "--reuid=65534", "--clear-groups"]);
    }
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(
        printed.contains("doubtful  route    `source: client` needs CAP_NET_ADMIN"),
        "{output:?}"
    );
}

/// Has a machine filter what comes to it, by nftables.
fn filter(machine: &Machine, rules: &str) {
    let table = format!(
        "flush ruleset\ntable inet filter {{\nchain input {{\ntype filter hook input priority 0\n{rules}\n}}\n}}\n"
    );
    machine.shell(&format!("nft -f - <<'END'\n{table}END"));
}

fn to(address: &str, patience: &str) -> Setup {
    // What clients would ask is of no interest here, and takes its time.
    Setup::new()
        .listener("protocol: tcp")
        .pool(&format!("timeouts: {{connect: {patience}, receive: 1s}}"))
        .server_at("a", address, "")
}

/// The server listens all the while; what its firewall does is all that is wrong.
#[test]
fn firewalls_are_told_by_what_they_do() {
    as_root(
        "diagnose::network::firewalls_are_told_by_what_they_do",
        || {
            let lab = Lab::new();
            for address in ["10.2.0.2", "[fd00:2::2]"] {
                let listener = lab
                    .server
                    .run(|| TcpListener::bind(format!("{address}:0")).unwrap());
                let port = listener.local_addr().unwrap().port();
                let at = format!("{address}:{port}");
                let is_v4 = address == "10.2.0.2";
                let prohibited = if is_v4 {
                    "reject with icmp type admin-prohibited"
                } else {
                    "reject with icmpv6 type admin-prohibited"
                };
                for (does, patience, wanted) in [
                    (
                        "drop",
                        "1s",
                        format!(
                            "{at} says nothing in 1000 ms, though the machine is there (it refuses port 1): a firewall drops what comes to port {port}"
                        ),
                    ),
                    (
                        "reject with tcp reset",
                        "30s",
                        format!("{at} refuses: nothing listens there"),
                    ),
                    // As firewalls do where nobody says how.
                    (
                        "reject",
                        "30s",
                        format!(
                            "a firewall rejects connections to {at} (ICMP from {})",
                            address.trim_matches(['[', ']'])
                        ),
                    ),
                    (
                        prohibited,
                        "30s",
                        format!("a firewall rejects connections to {at}"),
                    ),
                ] {
                    filter(&lab.server, &format!("tcp dport {port} {does}"));
                    lab.balancer.run(|| {
                        eventually(6 * SOON, || {
                            let (code, printed) = diagnose(&to(&at, patience), &[]);
                            let told = code == Some(1) && printed.contains(&wanted);
                            if told {
                                Ok(())
                            } else {
                                Err(format!("{does}: {printed}"))
                            }
                        });
                    });
                }
                // Everything is dropped.
                filter(&lab.server, "meta l4proto tcp drop");
                let wanted = format!(
                    "{at} says nothing in 1000 ms: packets are dropped (firewall), or the machine is down"
                );
                lab.balancer
                    .run(|| says(&to(&at, "1s"), &[&wanted, "ping", "the way back"]));
                filter(&lab.server, "accept");
                let (_, printed) = lab.balancer.run(|| diagnose(&to(&at, "30s"), &[]));
                assert!(
                    printed.contains(&format!("something listens at {at}")),
                    "{printed}"
                );
            }
        },
    );
}

#[test]
fn an_address_that_nobody_has_is_told() {
    as_root(
        "diagnose::network::an_address_that_nobody_has_is_told",
        || {
            let lab = Lab::new();
            lab.balancer.run(|| {
            says(
                &to("10.2.0.77:80", "30s"),
                &[
                    "no machine answers at 10.2.0.77: nobody in that network has the address (no answer to ARP)",
                    "look whether the machine is up",
                ],
            );
            // Whoever has less patience than the kernel hears it, too.
            says(
                &to("10.2.0.78:80", "500ms"),
                &["no machine answers at 10.2.0.78: nobody in that network has the address"],
            );
            says(
                &to("[fd00:2::77]:80", "30s"),
                &["no machine answers at fd00:2::77", "ip neigh show fd00:2::77"],
            );
        });
        },
    );
}

/// The check comes through, and what clients would ask at the other port doesn't.
#[test]
fn a_check_at_a_port_of_its_own_may_pass_a_firewall_that_traffic_does_not() {
    let name =
        "diagnose::network::a_check_at_a_port_of_its_own_may_pass_a_firewall_that_traffic_does_not";
    as_root(name, || {
        let lab = Lab::new();
        let checked = lab.server.run(|| TcpListener::bind("10.2.0.2:0").unwrap());
        let port = checked.local_addr().unwrap().port();
        filter(&lab.server, "tcp dport 8080 drop");
        let setup =
            to("10.2.0.2:8080", "1s").pool(&format!("health_check: {{type: tcp, port: {port}}}"));
        lab.balancer
            .run(|| says(&setup, &["10.2.0.2:8080 says nothing in 1000 ms"]));
    });
}
