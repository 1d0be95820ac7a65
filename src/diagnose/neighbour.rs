//! Whether a machine in the same network has said that it has an address (ARP).

use std::fs;
use std::net::{IpAddr, Ipv4Addr};

/// What the kernel knows of IPv4 neighbours (proc(5)); for IPv6 there is no such file.
const TABLE: &str = "/proc/net/arp";

/// `ATF_COM` of linux/if_arp.h: the hardware address is known.
const COMPLETE: u32 = 2;

/// What is known of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    /// A machine on the link has the address.
    There,
    /// No machine on the link has answered for the address.
    Absent,
    /// It isn't in this machine's networks, or can't be told.
    Unknown,
}

/// What the kernel knows of an address, just after it was connected to.
pub fn state(ip: IpAddr) -> Neighbour {
    match (ip, fs::read_to_string(TABLE)) {
        (IpAddr::V4(ip), Ok(table)) => of_table(&table, ip),
        _ => Neighbour::Unknown,
    }
}

/// Address, type of the hardware, flags, address of the hardware, mask, interface.
fn of_table(table: &str, ip: Ipv4Addr) -> Neighbour {
    let flags = |line: &str| {
        let mut fields = line.split_whitespace();
        let address: Ipv4Addr = fields.next()?.parse().ok()?;
        let flags = fields.nth(1)?.strip_prefix("0x")?;
        (address == ip).then(|| u32::from_str_radix(flags, 16).ok())?
    };
    let mut known = table.lines().filter_map(flags).peekable();
    if known.peek().is_none() {
        return Neighbour::Unknown;
    }
    if known.any(|flags| flags & COMPLETE != 0) {
        Neighbour::There
    } else {
        Neighbour::Absent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_there_is_told_from_who_is_not() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
                     10.2.0.2         0x1         0x2         06:7e:5c:00:00:01     *        eth1\n\
                     10.2.0.77        0x1         0x0         00:00:00:00:00:00     *        eth1\n\
                     10.2.0.78        0x1         0x0         00:00:00:00:00:00     *        eth1\n\
                     10.2.0.78        0x1         0x6         06:7e:5c:00:00:02     *        eth2\n";
        for (address, wanted) in [
            ("10.2.0.2", Neighbour::There),
            ("10.2.0.77", Neighbour::Absent),
            ("10.2.0.78", Neighbour::There),
            ("192.0.2.1", Neighbour::Unknown),
        ] {
            assert_eq!(
                of_table(table, address.parse().unwrap()),
                wanted,
                "{address}"
            );
        }
        assert_eq!(
            of_table("nonsense", Ipv4Addr::LOCALHOST),
            Neighbour::Unknown
        );
    }
}
