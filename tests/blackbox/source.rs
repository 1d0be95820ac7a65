//! Where connections to servers come from (`pools.*.source`): the client's own address, or one of this machine's.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use nix::sys::signal::Signal;
use parking_lot::Mutex;

use crate::common::equipoise::BINARY;
use crate::common::lab::{BY_CONNECTION, BY_INTERFACE, Lab, as_root};
use crate::common::*;

/// A server whose answers say where their requests come from, on connections that are kept.
struct Telling {
    address: SocketAddr,
    /// Of all connections.
    peers: Arc<Mutex<Vec<IpAddr>>>,
}

impl Telling {
    fn start(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let peers = Arc::<Mutex<Vec<IpAddr>>>::default();
        let known = Arc::clone(&peers);
        thread::spawn(move || {
            for (stream, peer) in std::iter::repeat_with(|| listener.accept()).flatten() {
                known.lock().push(peer.ip());
                thread::spawn(move || answer(stream, peer.ip()));
            }
        });
        Self { address, peers }
    }

    fn connections_of(&self, address: &str) -> usize {
        let address: IpAddr = address.parse().unwrap();
        self.peers
            .lock()
            .iter()
            .filter(|peer| **peer == address)
            .count()
    }
}

fn answer(mut stream: TcpStream, peer: IpAddr) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while let Ok(1) = stream.read(&mut byte) {
        head.push(byte[0]);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            let said = peer.to_string();
            let response = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{said}",
                said.len()
            );
            if stream.write_all(response.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// Who the server says it was that asked.
#[track_caller]
fn seen(client: &mut Client) -> String {
    client.get("/", &[]).unwrap().text()
}

fn transparent(lab: &Lab, protocol: &str, bind: &str, server: SocketAddr, top: &str) -> Equipoise {
    let setup = Setup::new()
        .top(top)
        .listener(&format!("protocol: {protocol}\nbind: \"{bind}\""))
        .pool("source: client")
        .server_at("a", &server.to_string(), "");
    lab.balancer.run(|| setup.start())
}

#[test]
fn servers_see_the_client() {
    as_root("source::servers_see_the_client", || {
        servers_see_the_client_by(BY_INTERFACE);
    });
}

/// Of a machine that is a router as well, only what belongs to connections of the process is taken.
#[test]
fn servers_see_the_client_where_its_connections_alone_are_diverted() {
    let name = "source::servers_see_the_client_where_its_connections_alone_are_diverted";
    as_root(name, || servers_see_the_client_by(BY_CONNECTION));
}

/// With the routing that the documentation gives: IPv4 and IPv6, HTTP and TCP.
fn servers_see_the_client_by(routing: &str) {
    let lab = Lab::new();
    lab.bring_answers_back(routing);
    for (bind, at, client) in [
        ("10.1.0.1:0", "10.2.0.2:0", "10.1.0.2"),
        ("[fd00:1::1]:0", "[fd00:2::2]:0", "fd00:1::2"),
    ] {
        let server = lab.server.run(|| Telling::start(at));
        for protocol in ["http", "tcp"] {
            let lb = transparent(&lab, protocol, bind, server.address, "");
            let web = lab.balancer.run(|| lb.web());
            let said = lab.client.run(|| {
                let mut kept = Client::connect(web);
                [
                    seen(&mut kept),
                    seen(&mut kept),
                    seen(&mut Client::connect(web)),
                ]
            });
            assert_eq!(said, [client; 3], "{protocol}");
            assert!(!lb.stderr().contains("source"), "{}", lb.stderr());
        }
        // Two connections of each listener's, the kept one with two requests.
        assert_eq!(server.connections_of(client), 4);
    }
}

#[test]
fn a_connection_serves_nobody_but_its_client() {
    as_root("source::a_connection_serves_nobody_but_its_client", || {
        let lab = Lab::new();
        lab.bring_answers_back(BY_INTERFACE);
        let server = lab.server.run(|| Telling::start("10.2.0.2:0"));
        let lb = transparent(&lab, "http", "10.1.0.1:0", server.address, "");
        let web = lab.balancer.run(|| lb.web());
        lab.client.run(|| {
            let addresses = ["10.1.0.2", "10.1.0.3"];
            let mut clients =
                addresses.map(|address| Client::connect_from(address.parse().unwrap(), web));
            for _ in 0..3 {
                for (client, address) in clients.iter_mut().zip(addresses) {
                    assert_eq!(seen(client), address);
                }
            }
        });
        assert_eq!(server.peers.lock().len(), 2);
    });
}

/// One behind a trusted proxy is seen as such; one of another family than the server's can't be.
#[test]
fn the_client_is_whom_the_header_fields_name() {
    as_root("source::the_client_is_whom_the_header_fields_name", || {
        let lab = Lab::new();
        lab.bring_answers_back(BY_INTERFACE);
        let server = lab.server.run(|| Telling::start("10.2.0.2:0"));
        let setup = Setup::new()
            .listener("bind: \"10.1.0.1:0\"\nclient_address: {trusted_proxies: [10.1.0.2/32]}")
            .pool("source: client")
            .server_at("a", &server.address.to_string(), "");
        let lb = lab.balancer.run(|| setup.start());
        let web = lab.balancer.run(|| lb.web());
        lab.client.run(|| {
            let mut proxy = Client::connect_from("10.1.0.2".parse().unwrap(), web);
            for (client, expected) in [
                ("203.0.113.7", "203.0.113.7"),
                ("2001:db8::7", "10.2.0.1"),
                ("198.51.100.1", "198.51.100.1"),
            ] {
                let response = proxy.get("/", &[("X-Forwarded-For", client)]).unwrap();
                assert_eq!(response.text(), expected);
            }
        });
    });
}

/// Checks are the balancer's own, and the privilege outlasts the change of the user.
#[test]
fn checks_come_from_the_balancer_and_a_user_keeps_the_capability() {
    let name = "source::checks_come_from_the_balancer_and_a_user_keeps_the_capability";
    as_root(name, || {
        let lab = Lab::new();
        lab.bring_answers_back(BY_INTERFACE);
        let server = lab.server.run(|| Telling::start("10.2.0.2:0"));
        // In a user namespace there is nobody but root.
        let uids = std::fs::read_to_string("/proc/self/uid_map").unwrap();
        let user = if uids.contains("4294967295") {
            "nobody"
        } else {
            "root"
        };
        let setup = Setup::new()
            .top(&format!("server: {{user: {user}}}"))
            .listener("bind: \"10.1.0.1:0\"")
            .pool("source: client\nhealth_check: {type: tcp, interval: 100ms}")
            .server_at("a", &server.address.to_string(), "");
        let lb = lab.balancer.run(|| {
            let lb = setup.start();
            lb.wait_state("app", "a", "up");
            lb
        });
        let web = lab.balancer.run(|| lb.web());
        assert_eq!(
            lab.client.run(|| seen(&mut Client::connect(web))),
            "10.1.0.2"
        );
        assert!(server.connections_of("10.2.0.1") > 0);
        assert!(!lb.stderr().contains("source"), "{}", lb.stderr());
    });
}

#[test]
fn what_is_missing_is_said() {
    as_root("source::what_is_missing_is_said", || {
        let lab = Lab::new();
        let dir = TempDir::new("source");
        let yaml = Setup::new()
            .pool("source: client")
            .server_at("a", "10.2.0.2:80", "")
            .yaml();
        let yaml = equipoise::complete(&yaml, dir.path());
        let file = dir.write("lb.yaml", &yaml);
        let check = |prefix: &[&str]| {
            let mut words = prefix.to_vec();
            words.extend([BINARY, "check", file.to_str().unwrap()]);
            let output = lab
                .balancer
                .run(|| Command::new(words[0]).args(&words[1..]).output().unwrap());
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        let said = check(&[]);
        let wanted =
            "pools.app.source: what servers answer to clients' addresses is delivered nowhere";
        assert!(said.contains(wanted), "{said}");
        assert!(!said.contains("CAP_NET_ADMIN"), "{said}");
        let dropped = "--bounding-set=-net_admin,-net_raw";
        let said = check(&["setpriv", dropped, "--inh-caps=-net_admin,-net_raw"]);
        assert!(said.contains("needs CAP_NET_ADMIN"), "{said}");
        // The start says the same.
        let lb = lab.balancer.run(|| Equipoise::start(&yaml));
        eventually(SOON, || lb.stderr().contains("is delivered nowhere"));
        lab.bring_answers_back(BY_INTERFACE);
        assert_eq!(check(&[]), "");
    });
}

/// Routes of IPv4 are none for servers of IPv6.
#[test]
fn each_kind_of_address_needs_its_own_routes() {
    as_root("source::each_kind_of_address_needs_its_own_routes", || {
        let lab = Lab::new();
        lab.balancer.shell(
            "ip rule add iif servers lookup 100; ip route add local default dev lo table 100",
        );
        let dir = TempDir::new("source");
        for (address, wanted) in [
            ("10.2.0.2:80", None),
            (
                "[fd00:2::2]:80",
                Some("IPv6 addresses is delivered nowhere"),
            ),
        ] {
            let yaml = Setup::new()
                .pool("source: client")
                .server_at("a", address, "")
                .yaml();
            let file = dir.write("lb.yaml", &equipoise::complete(&yaml, dir.path()));
            let exit = lab
                .balancer
                .run(|| Equipoise::command(&["check", file.to_str().unwrap()]));
            assert_eq!(exit.code(), Some(0), "{}", exit.stderr);
            match wanted {
                None => assert_eq!(exit.stderr, ""),
                Some(wanted) => {
                    assert!(exit.stderr.contains(wanted), "{}", exit.stderr);
                    assert!(exit.stderr.contains("ip -6 rule add"), "{}", exit.stderr);
                }
            }
        }
    });
}

#[test]
fn an_address_of_this_machine_is_what_servers_and_checks_see() {
    let server = Telling::start("127.0.0.1:0");
    for protocol in ["http", "tcp"] {
        let setup = |source: &str| {
            Setup::new()
                .listener(&format!("protocol: {protocol}\nbind: \"127.0.0.1:0\""))
                .pool(&format!(
                    "source: {source}\nhealth_check: {{type: tcp, interval: 100ms}}"
                ))
                .server_at("a", &server.address.to_string(), "")
        };
        server.peers.lock().clear();
        let lb = setup("127.9.8.7").start();
        lb.wait_state("app", "a", "up");
        let mut kept = lb.client();
        assert_eq!(seen(&mut kept), "127.9.8.7", "{protocol}");
        assert_eq!(server.connections_of("127.0.0.1"), 0);
        // Another address counts for all that is connected from then on.
        lb.rewrite(&setup("127.9.8.8").yaml());
        lb.signal(Signal::SIGHUP);
        eventually(SOON, || seen(&mut lb.client()) == "127.9.8.8");
        if protocol == "http" {
            assert_eq!(seen(&mut kept), "127.9.8.8");
        }
        eventually(SOON, || server.connections_of("127.9.8.8") > 3);
    }
}

#[test]
fn an_address_that_this_machine_hasnt_is_told() {
    let server = Telling::start("127.0.0.1:0");
    let dir = TempDir::new("source");
    let setup = Setup::new()
        .pool("source: 192.0.2.77\nhealth_check: {type: tcp, interval: 100ms}")
        .server_at("a", &server.address.to_string(), "");
    let file = dir.write("lb.yaml", &setup.yaml());
    let exit = Equipoise::command(&["check", file.to_str().unwrap()]);
    assert_eq!(exit.code(), Some(0));
    let wanted = "pools.app.source: this machine has no address 192.0.2.77 to connect from";
    assert!(exit.stderr.contains(wanted), "{}", exit.stderr);
    let lb = setup.start();
    lb.wait_state("app", "a", "down");
    eventually(SOON, || {
        let log = lb.stderr();
        log.matches("this machine has no address 192.0.2.77 to connect from")
            .count()
            >= 2
    });
    assert_eq!(server.peers.lock().len(), 0);
}

#[test]
fn what_can_never_work_is_refused() {
    for (source, address, wanted) in [
        (
            "\"::1\"",
            "127.0.0.1:80",
            "is IPv6, and the server `a` is at 127.0.0.1:80",
        ),
        (
            "127.0.0.1",
            "[::1]:80",
            "is IPv4, and the server `a` is at [::1]:80",
        ),
        (
            "127.0.0.1:80",
            "127.0.0.1:80",
            "is neither client nor an address",
        ),
        (
            "clients",
            "127.0.0.1:80",
            "is neither client nor an address",
        ),
    ] {
        let yaml = Setup::new()
            .pool(&format!("source: {source}"))
            .server_at("a", address, "")
            .yaml();
        let exit = Equipoise::run_to_exit(&yaml);
        assert_eq!(exit.code(), Some(2), "{source}");
        assert!(exit.stderr.contains("pools.app.source"), "{}", exit.stderr);
        assert!(exit.stderr.contains(wanted), "{source}: {}", exit.stderr);
    }
}
