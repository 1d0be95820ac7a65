//! How many new connections a client may make in a second.
//!
//! As for requests (`routing::RateLimiter`): a bucket of as many places as may come in a second, that fills up again at that
//! rate. Of a bucket only the moment is kept at which it will be full again (the generic cell rate algorithm, ITU-T I.371).

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Instant;

use crate::recent::Recent;

/// Clients that are known at once; with 40 bytes for each it takes 4 MB at most.
const CLIENTS: usize = 100_000;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// The buckets of all clients of a listener. They stay when the rate changes.
pub struct Rates {
    begun: Instant,
    /// When buckets will be full again, in nanoseconds since this began.
    full: Recent<u64>,
    /// Nobody can choose addresses that meet.
    seed: RandomState,
}

impl Rates {
    /// All buckets are full.
    pub fn new(begun: Instant) -> Self {
        Self {
            begun,
            full: Recent::new(CLIENTS),
            seed: RandomState::new(),
        }
    }

    /// Takes a place for a connection of `client`. False if there is none: it has made `rate` in the last second. `0` = no
    /// limit.
    pub fn take(&self, client: IpAddr, rate: u32, now: Instant) -> bool {
        if rate == 0 {
            return true;
        }
        let now = now.saturating_duration_since(self.begun).as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX / 2);
        let interval = SECOND.div_ceil(u64::from(rate));
        let key = self.seed.hash_one(network(client));
        self.full.update(key, now, |full| {
            let next = full.max(now).saturating_add(interval);
            if next <= now.saturating_add(interval.saturating_mul(u64::from(rate))) {
                (Some(next), true)
            } else {
                (None, false)
            }
        })
    }
}

/// A host of IPv4; of IPv6 its /64, in which it changes its address at will.
fn network(client: IpAddr) -> (bool, u64) {
    match client.to_canonical() {
        IpAddr::V4(address) => (false, address.to_bits().into()),
        IpAddr::V6(address) => (true, (address.to_bits() >> 64) as u64),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn so_many_come_in_a_second_and_then_one_each_interval() {
        let begun = Instant::now();
        let rates = Rates::new(begun);
        let at = |milliseconds| begun + Duration::from_millis(milliseconds);
        let one = ip("192.0.2.1");
        let taken = (0..10).filter(|_| rates.take(one, 4, at(1000))).count();
        assert_eq!(taken, 4);
        assert!(!rates.take(one, 4, at(1249)));
        assert!(rates.take(one, 4, at(1251)));
        assert!(!rates.take(one, 4, at(1252)));
        // Another client, another bucket; and a higher rate counts at once.
        assert!(rates.take(ip("192.0.2.2"), 4, at(1252)));
        assert!(rates.take(one, 1000, at(1253)) && rates.take(one, 0, at(1253)));
        let later = (0..10).filter(|_| rates.take(one, 4, at(9000))).count();
        assert_eq!(later, 4);
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let now = Instant::now();
        let rates = Rates::new(now);
        assert!(rates.take(ip("2001:db8::1"), 1, now));
        assert!(!rates.take(ip("2001:db8::2"), 1, now));
        assert!(rates.take(ip("2001:db8:0:1::1"), 1, now));
        assert!(rates.take(ip("::ffff:192.0.2.1"), 1, now));
        assert!(!rates.take(ip("192.0.2.1"), 1, now));
    }
}
