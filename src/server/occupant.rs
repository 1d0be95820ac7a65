//! Who listens on an address already, as Linux tells in `/proc`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Whether it runs the same program as this one.
    pub is_our_kind: bool,
}

/// Who listens on the address, or on all addresses at its port. `None` if that can't be found out: other users' processes
/// don't show their sockets.
pub fn of(address: SocketAddr) -> Option<Occupant> {
    let table = if address.is_ipv4() {
        "/proc/net/tcp"
    } else {
        "/proc/net/tcp6"
    };
    let table = fs::read_to_string(table).ok()?;
    let inode = table
        .lines()
        .skip(1)
        .find_map(|line| listener_at(line, address))?;
    let wanted = PathBuf::from(format!("socket:[{inode}]"));
    let processes = fs::read_dir("/proc").ok()?;
    let pid = processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| holds(*pid, &wanted))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(Occupant {
        pid,
        name: name.trim().to_owned(),
        is_our_kind: program(&format!("/proc/{pid}/exe")) == program("/proc/self/exe"),
    })
}

/// The socket's inode, if the line is about one that listens there.
fn listener_at(line: &str, address: SocketAddr) -> Option<u64> {
    let mut fields = line.split_whitespace().skip(1);
    let local = socket_address(fields.next()?)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    let same = local.port() == address.port()
        && (local.ip() == address.ip()
            || local.ip().is_unspecified()
            || address.ip().is_unspecified());
    (same && state == LISTENING).then_some(inode)
}

/// `0100007F:1F90`: the address as the machine keeps it, in words of four bytes, and the port.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| -> Option<[u8; 4]> {
        let word = u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn holds(pid: u32, socket: &Path) -> bool {
    fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|files| {
        files
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|link| link == socket))
    })
}

/// The name of a program's file; one that has been replaced while it runs keeps its name.
fn program(link: &str) -> Option<String> {
    let path = fs::read_link(link).ok()?;
    let name = path.file_name()?.to_str()?;
    Some(name.strip_suffix(" (deleted)").unwrap_or(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_at_its_own_address() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let socket = std::net::TcpListener::bind(address).expect("bound");
            let address = socket.local_addr().expect("an address");
            let found = of(address).expect("somebody");
            assert_eq!(found.pid, std::process::id());
            assert!(found.is_our_kind && !found.name.is_empty(), "{found:?}");
            drop(socket);
            assert_eq!(of(address), None);
        }
    }

    #[test]
    fn lines_of_the_kernel_are_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 x";
        if cfg!(target_endian = "little") {
            let at = |text: &str| listener_at(line, text.parse().expect("an address"));
            assert_eq!(at("127.0.0.1:8080"), Some(12345));
            assert_eq!(at("0.0.0.0:8080"), Some(12345));
            assert_eq!(at("127.0.0.2:8080"), None);
            assert_eq!(at("127.0.0.1:8081"), None);
        }
        for broken in [
            "",
            "x",
            "0: 0100007F",
            "0: 01:1 02:2 0A",
            "0: zz00007F:1F90 0 0A 0 0 0 0 0 1",
        ] {
            assert_eq!(
                listener_at(broken, "127.0.0.1:8080".parse().expect("an address")),
                None
            );
        }
    }
}
