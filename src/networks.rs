//! Sets of networks, ready to be asked about one address: trusted proxies, and whoever a route is for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// Ranges of addresses, first and last; sorted, and none touches another, so that one binary search
/// tells whether an address is in.
#[derive(Debug, Clone, Default)]
pub struct Networks {
    v4: Vec<(Ipv4Addr, Ipv4Addr)>,
    v6: Vec<(Ipv6Addr, Ipv6Addr)>,
}

impl Networks {
    /// The set of these, written as IPv4-mapped IPv6 or not.
    pub fn new(networks: &[IpNet]) -> Self {
        let networks: Vec<_> = networks.iter().map(canonical).collect();
        let mut ranges = Self {
            v4: Vec::new(),
            v6: Vec::new(),
        };
        for network in IpNet::aggregate(&networks) {
            match network {
                IpNet::V4(network) => ranges.v4.push((network.network(), network.broadcast())),
                IpNet::V6(network) => ranges.v6.push((network.network(), network.broadcast())),
            }
        }
        ranges.v4.sort_unstable();
        ranges.v6.sort_unstable();
        ranges
    }

    /// Whether there is none in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether `address`, which is not IPv4-mapped, is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => within(&self.v4, address),
            IpAddr::V6(address) => within(&self.v6, address),
        }
    }
}

fn within<A: Ord + Copy>(ranges: &[(A, A)], address: A) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= address);
    let nearest = after.checked_sub(1).and_then(|index| ranges.get(index));
    nearest.is_some_and(|&(_, last)| address <= last)
}

/// An IPv4 network that is written as IPv4-mapped IPv6 as what it is.
fn canonical(network: &IpNet) -> IpNet {
    let mapped = || {
        let IpNet::V6(v6) = network else { return None };
        let length = v6.prefix_len().checked_sub(96)?;
        let v4 = v6.network().to_ipv4_mapped()?;
        Ipv4Net::new(v4, length).ok().map(IpNet::V4)
    };
    mapped().unwrap_or(*network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trusted(networks: &[&str]) -> Networks {
        Networks::new(
            &networks
                .iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<_>>(),
        )
    }

    fn contains(networks: &[&str], address: &str) -> bool {
        trusted(networks).contains(address.parse().unwrap())
    }

    #[test]
    fn both_ends_of_a_network_are_in_it() {
        let networks = ["10.1.2.3/8", "192.0.2.7/32", "2001:db8::/32"];
        for inside in [
            "10.0.0.0",
            "10.255.255.255",
            "192.0.2.7",
            "2001:db8::",
            "2001:db8:ffff::1",
        ] {
            assert!(contains(&networks, inside), "{inside}");
        }
        for outside in [
            "9.255.255.255",
            "11.0.0.0",
            "192.0.2.6",
            "192.0.2.8",
            "2001:db9::",
            "::",
        ] {
            assert!(!contains(&networks, outside), "{outside}");
        }
    }

    #[test]
    fn none_and_all() {
        assert!(!contains(&[], "127.0.0.1"));
        assert!(contains(&["0.0.0.0/0"], "255.255.255.255"));
        assert!(!contains(&["0.0.0.0/0"], "::1"));
        assert!(contains(&["::/0"], "ffff::"));
    }

    #[test]
    fn a_mapped_network_is_ipv4() {
        assert!(contains(&["::ffff:10.0.0.0/104"], "10.2.3.4"));
        assert!(!contains(&["::ffff:10.0.0.0/104"], "11.2.3.4"));
    }

    proptest! {
        #[test]
        fn it_agrees_with_asking_each_network(
            networks in proptest::collection::vec((any::<u32>(), 0..=32_u8), 0..8),
            address: u32, near: prop::sample::Index,
        ) {
            let networks: Vec<IpNet> = networks
                .into_iter()
                .map(|(base, length)| Ipv4Net::new(base.into(), length).unwrap().into())
                .collect();
            let trusted = Networks::new(&networks);
            // A random address and one at the edge of a network.
            let mut addresses = vec![Ipv4Addr::from(address)];
            if !networks.is_empty()
                && let IpAddr::V4(edge) = near.get(&networks).broadcast()
            {
                addresses.push(edge);
                addresses.push(u32::from(edge).wrapping_add(1).into());
            }
            for address in addresses {
                let expected = networks.iter().any(|network| network.contains(&IpAddr::V4(address)));
                prop_assert_eq!(trusted.contains(address.into()), expected);
            }
        }
    }
}
