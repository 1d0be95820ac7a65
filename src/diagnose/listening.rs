//! Who listens on this machine, from /proc/net/tcp and /proc/net/tcp6 (proc(5)).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// `TCP_LISTEN` of the kernel's, as it is written there.
const LISTEN: &str = "0A";

/// Where something listens at a port of this machine.
#[derive(Debug, PartialEq, Eq)]
pub enum Listening {
    /// At every address.
    Here,
    /// At these alone.
    Elsewhere(String),
    /// Nowhere.
    Nowhere,
}

/// Whether an address is this machine's.
pub fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// Where something listens at that port.
pub fn at_port(port: u16) -> Listening {
    let mut all = Vec::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        all.extend(listeners(
            &fs::read_to_string(file).unwrap_or_default(),
            port,
        ));
    }
    if all.is_empty() {
        return Listening::Nowhere;
    }
    if all.iter().any(IpAddr::is_unspecified) {
        return Listening::Here;
    }
    all.sort();
    all.dedup();
    let all: Vec<String> = all
        .iter()
        .map(|ip| std::net::SocketAddr::new(*ip, port).to_string())
        .collect();
    Listening::Elsewhere(all.join(" and "))
}

/// The addresses of a table's sockets that listen at that port.
fn listeners(table: &str, port: u16) -> Vec<IpAddr> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
            let (ip, at) = local.split_once(':')?;
            let at = u16::from_str_radix(at, 16).ok()?;
            (state == LISTEN && at == port)
                .then(|| address(ip))
                .flatten()
        })
        .collect()
}

/// An address as it lies in memory, four bytes at a time.
fn address(hex: &str) -> Option<IpAddr> {
    let words: Option<Vec<[u8; 4]>> = hex
        .as_bytes()
        .chunks(8)
        .map(|word| {
            let text = std::str::from_utf8(word).ok()?;
            u32::from_str_radix(text, 16).ok().map(u32::to_ne_bytes)
        })
        .collect();
    let bytes = words?.concat();
    if let Ok(v4) = <[u8; 4]>::try_from(&*bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = <[u8; 16]>::try_from(&*bytes).ok()?;
    Some(Ipv6Addr::from(v6).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = at_port(port);
        assert_eq!(found, Listening::Elsewhere(format!("127.0.0.1:{port}")));
        drop(listener);
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn tables_are_read_as_they_are_written() {
        let table = "  sl  local_address rem_address   st\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000\n\
            1: 00000000:0016 00000000:0000 0A 00000000\n\
            2: 0100007F:1F90 0100007F:9999 01 00000000\nbroken\n";
        if cfg!(target_endian = "little") {
            assert_eq!(listeners(table, 8080), [IpAddr::from([127, 0, 0, 1])]);
        }
        assert_eq!(listeners(table, 22), [IpAddr::from([0, 0, 0, 0])]);
        assert!(listeners(table, 23).is_empty());
    }
}
