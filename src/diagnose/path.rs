//! From a name to something that listens.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::FileTypeExt as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::listening::{self, Listening};
use super::neighbour::{self, Neighbour};
use super::{Finding, PATIENCE, Step, refusal};
use crate::config::model::{ServerAddress, Source};
use crate::pool::{Endpoint, Pool, Server};
use crate::upstream;

/// A port at which usually nothing listens, to see whether the machine is there.
const UNUSED: u16 = 1;

/// How long a port at which nothing listens may take to say so.
const MOMENT: Duration = Duration::from_secs(1);

/// Finds the server's addresses. Returns whether there are any.
pub async fn resolve(pool: &Arc<Pool>, server: &Arc<Server>, findings: &mut Vec<Finding>) -> bool {
    let ServerAddress::Name(host, port) = server.configured_address() else {
        return true;
    };
    let looked_up = timeout(PATIENCE, tokio::net::lookup_host((&**host, *port))).await;
    let reason = match looked_up {
        Ok(Ok(found)) => {
            let found: Vec<SocketAddr> = found.collect();
            if !found.is_empty() {
                let all: Vec<String> = found.iter().map(|one| one.ip().to_string()).collect();
                findings.push(Finding::ok(
                    Step::Resolve,
                    format!("{host} is {}", all.join(", ")),
                ));
                pool.set_resolved(server, Ok(&found));
                return true;
            }
            "it has no address".to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer in {} s", PATIENCE.as_secs()),
    };
    findings.push(Finding::wrong(
        Step::Resolve,
        format!("{host} does not resolve: {reason}"),
        format!("check the spelling, and what this machine knows of it: getent ahosts {host}; its resolvers are in /etc/resolv.conf"),
    ));
    false
}

/// Tries each address. Returns whether one can be connected to.
pub async fn connect(
    server: &Server,
    source: Option<Source>,
    patience: Duration,
    findings: &mut Vec<Finding>,
) -> bool {
    let Some(addresses) = server.addresses() else {
        return false;
    };
    let (mut works, mut faults) = (false, Vec::new());
    for address in addresses.in_order() {
        let tried = match address.endpoint() {
            Endpoint::Inet(to) => {
                if let Some(finding) = route(*to) {
                    faults.push(finding);
                    continue;
                }
                try_inet(*to, source, patience).await
            }
            Endpoint::Unix(path) => try_unix(path, patience).await,
        };
        match tried {
            Ok(seen) => {
                works = true;
                findings.push(Finding::ok(Step::Connect, seen));
            }
            Err(finding) => faults.push(finding),
        }
    }
    if works {
        // Another address serves, so this one costs time alone.
        for fault in &mut faults {
            fault.verdict = super::Verdict::Doubtful;
        }
    }
    findings.append(&mut faults);
    works
}

/// Whether there is a way to an address at all. Nothing is sent.
fn route(to: SocketAddr) -> Option<Finding> {
    let any: SocketAddr = if to.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let error = UdpSocket::bind(any)
        .and_then(|socket| socket.connect(to))
        .err()?;
    Some(Finding::wrong(
        Step::Route,
        format!("this machine has no route to {}: {error}", to.ip()),
        format!("look at: ip route get {}", to.ip()),
    ))
}

async fn try_inet(
    to: SocketAddr,
    source: Option<Source>,
    patience: Duration,
) -> Result<String, Finding> {
    let connected = timeout(patience, upstream::connect_from(to, source)).await;
    let error = match connected {
        Ok(Ok(stream)) => {
            let from = stream
                .local_addr()
                .map_or_else(|_| String::new(), |from| format!(", from {}", from.ip()));
            return Ok(format!("something listens at {to}{from}"));
        }
        Ok(Err(error)) => error,
        Err(_) => return Err(dropped(to, patience).await),
    };
    Err(match error.kind() {
        io::ErrorKind::ConnectionRefused => refused(to).await,
        io::ErrorKind::TimedOut => dropped(to, patience).await,
        io::ErrorKind::HostUnreachable => unreachable(to),
        io::ErrorKind::PermissionDenied => rejected(to, None),
        io::ErrorKind::ConnectionReset => Finding::wrong(
            Step::Connect,
            format!("{to} resets the connection at once"),
            "look at the server's log, and for a firewall that resets",
        ),
        _ => Finding::wrong(
            Step::Connect,
            format!("{to} can't be connected to: {error}"),
            "see what is said; `source` and this machine's own limits are part of it",
        ),
    })
}

/// There is no way to it: with a machine in the same network it can be told whether that is there.
fn unreachable(to: SocketAddr) -> Finding {
    match neighbour::state(to.ip()) {
        Neighbour::There => rejected(to, None),
        Neighbour::Absent => Finding::wrong(
            Step::Connect,
            format!(
                "no machine answers at {}: nobody in that network has the address (no answer to ARP)",
                to.ip()
            ),
            "look whether the machine is up and has that address, and whether it is in that network (VLAN, cable, security group)",
        ),
        Neighbour::Unknown => Finding::wrong(
            Step::Connect,
            format!(
                "no machine answers at {}, or a firewall on the way rejects",
                to.ip()
            ),
            format!(
                "look whether it is up and has that address (ip neigh show {}), and at the firewalls on the way",
                to.ip()
            ),
        ),
    }
}

/// A firewall says so, by an ICMP message.
fn rejected(to: SocketAddr, by: Option<IpAddr>) -> Finding {
    let by = by.map_or_else(String::new, |by| format!(" (ICMP from {by})"));
    Finding::wrong(
        Step::Connect,
        format!("a firewall rejects connections to {to}{by}"),
        "allow this machine's address to that port in the server's firewall, in those on the way, and in this machine's own",
    )
}

/// Explains a refused connection: nobody listens there, or a firewall says so in the server's place. Of this machine's own
/// addresses it is told who listens elsewhere.
async fn refused(to: SocketAddr) -> Finding {
    let port = to.port();
    if !listening::is_own(to.ip()) {
        let asked = tokio::task::spawn_blocking(move || refusal::by_icmp(to)).await;
        if let Ok(Some(by)) = asked {
            return rejected(to, Some(by));
        }
        return Finding::wrong(
            Step::Connect,
            format!("{to} refuses: nothing listens there"),
            format!(
                "on the server: ss -ltnp 'sport = :{port}'. With no line the server isn't running, or has another port; \
                 with 127.0.0.1 or [::1] alone it listens for its own machine only: have it listen on 0.0.0.0 or {}; \
                 with this very address a firewall refuses",
                to.ip()
            ),
        );
    }
    match listening::at_port(port) {
        Listening::Elsewhere(others) => Finding::wrong(
            Step::Connect,
            format!("{to} refuses: something listens at {others} alone"),
            format!(
                "have it listen at {} or at all addresses, or write that address in the pool",
                to.ip()
            ),
        ),
        Listening::Nowhere => Finding::wrong(
            Step::Connect,
            format!("{to} refuses: nothing listens at port {port} of this machine"),
            "start the server, or look for its port: ss -ltnp",
        ),
        Listening::Here => Finding::wrong(
            Step::Connect,
            format!("{to} refuses, though something listens there"),
            "a firewall of this machine refuses: nft list ruleset, or iptables -S",
        ),
    }
}

/// Nothing came back: whether the machine answers otherwise tells a firewall from a machine that is down.
async fn dropped(to: SocketAddr, patience: Duration) -> Finding {
    // Until it gives up, the kernel asks for the address for longer than a short patience lasts.
    if neighbour::state(to.ip()) == Neighbour::Absent {
        return unreachable(to);
    }
    let waited = super::short(patience);
    let unused = SocketAddr::new(to.ip(), UNUSED);
    let is_up = match timeout(MOMENT, TcpStream::connect(unused)).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
        Err(_) => false,
    };
    if is_up {
        return Finding::wrong(
            Step::Connect,
            format!(
                "{to} says nothing in {waited}, though the machine is there (it refuses port {UNUSED}): a firewall drops what comes to port {}, or what listens there accepts nothing",
                to.port()
            ),
            "allow this machine's address to that port in the server's firewall, in those on the way, and in this machine's own; on the server, ss -ltn shows connections that wait to be accepted",
        );
    }
    Finding::wrong(
        Step::Connect,
        format!(
            "{to} says nothing in {waited}: packets are dropped (firewall), or the machine is down"
        ),
        format!(
            "ping {}; then look at the firewalls on the way, and at the way back: the server's route to this machine",
            to.ip()
        ),
    )
}

fn is_socket(path: &std::path::Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

async fn try_unix(path: &std::path::Path, patience: Duration) -> Result<String, Finding> {
    let shown = path.display();
    let connected = timeout(patience, tokio::net::UnixStream::connect(path)).await;
    let (seen, advice) = match connected {
        Ok(Ok(_)) => return Ok(format!("something listens at {shown}")),
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::NotFound => (
                format!("there is no socket {shown}"),
                "start the server, or look where it makes its socket",
            ),
            io::ErrorKind::ConnectionRefused if !is_socket(path) => (
                format!("{shown} is no socket"),
                "write the path of the server's socket",
            ),
            io::ErrorKind::ConnectionRefused => (
                format!("nothing listens at {shown}, though the file is there"),
                "start the server: the socket was left behind by one that has ended",
            ),
            io::ErrorKind::PermissionDenied => (
                format!("this user may not connect to {shown}"),
                "give it the right to write to the socket, and to enter its directories",
            ),
            _ => (
                format!("{shown} can't be connected to: {error}"),
                "see what is said",
            ),
        },
        Err(_) => (
            format!("{shown} takes no connection in {}", super::short(patience)),
            "the server accepts nothing: look whether it hangs",
        ),
    };
    Err(Finding::wrong(Step::Connect, seen, advice))
}
