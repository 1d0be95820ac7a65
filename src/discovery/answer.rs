//! From records to servers, and which answers are taken.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::model::{Operator, PoolServer, ServerAddress};

/// How many servers one name may stand for.
const MOST: usize = 1000;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// By their addresses, in an order of their own.
    pub servers: Vec<PoolServer>,
    /// How long it may be relied on.
    pub ttl: Duration,
    /// What of it is not known.
    pub missing: Option<Missing>,
}

/// Addresses of one kind that could not be asked for, while those of the other kind came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Whether it is those of IPv6.
    pub is_ipv6: bool,
    /// Why, in words.
    pub reason: String,
}

impl Missing {
    fn concerns(&self, server: &PoolServer) -> bool {
        matches!(server.address, ServerAddress::Socket(address) if address.is_ipv6() == self.is_ipv6)
    }
}

/// An address of a service: whom it is for, and how much of the work it gets (RFC 2782).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) address: SocketAddr,
    pub(super) priority: u16,
    pub(super) weight: u16,
}

/// The servers of these offers. Those of the smallest priority do the work, all others are backups; of several offers of one
/// address the first by priority counts.
pub(super) fn servers(offers: &[Offer]) -> Vec<PoolServer> {
    let mut by_address: BTreeMap<SocketAddr, Offer> = BTreeMap::new();
    for offer in offers {
        let kept = by_address.entry(offer.address).or_insert(*offer);
        if offer.priority < kept.priority {
            *kept = *offer;
        }
    }
    let first = by_address.values().map(|offer| offer.priority).min();
    by_address
        .values()
        .take(MOST)
        .map(|offer| {
            let name: Arc<str> = Arc::from(offer.address.to_string());
            PoolServer {
                route: Arc::clone(&name),
                name,
                address: ServerAddress::Socket(offer.address),
                // A weight of 0 is the smallest one here, and no weight at all in a pool.
                weight: offer.weight.max(1),
                max_connections: 0,
                backup: Some(offer.priority) != first,
                operator: Operator::Ready,
            }
        })
        .collect()
}

/// What is to be done about an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// These are the servers from now on.
    Take(Vec<PoolServer>),
    /// So are these, for want of a better answer, and what is wrong with it.
    MakeDo(Vec<PoolServer>, String),
    /// Those of before stay, and why.
    Keep(String),
}

/// Judges an answer, or why there is none, when there are the servers `held` by an earlier one.
///
/// Of a kind of address that could not be asked for those of before stay. Fewer servers than `min` change nothing as long as there
/// are that many; where even those of before are fewer, the newest answer is as good as any.
pub fn judge(answer: Result<Found, String>, held: &[PoolServer], min: usize) -> Verdict {
    let Found {
        mut servers,
        missing,
        ..
    } = match answer {
        Ok(found) => found,
        Err(reason) => return Verdict::Keep(reason),
    };
    if let Some(missing) = &missing {
        // Of a service some names may have such addresses all the same.
        let is_new = |server: &PoolServer| servers.iter().any(|new| new.address == server.address);
        let of_before = held.iter().filter(|server| missing.concerns(server));
        let kept: Vec<_> = of_before
            .filter(|server| !is_new(server))
            .cloned()
            .collect();
        servers.extend(kept);
        // In the order that an answer has, so that equal ones are equal.
        servers.sort_by_key(|server| match server.address {
            ServerAddress::Socket(address) => Some(address),
            ServerAddress::Name(..) | ServerAddress::Unix(_) => None,
        });
    }
    if servers.len() < min {
        let reason = format!("fewer servers ({}) than min ({min})", servers.len());
        return if held.len() < min {
            Verdict::MakeDo(servers, reason)
        } else {
            Verdict::Keep(reason)
        };
    }
    match missing {
        Some(missing) => Verdict::MakeDo(servers, missing.reason),
        None => Verdict::Take(servers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(address: &str, priority: u16, weight: u16) -> Offer {
        Offer {
            address: address.parse().expect("an address"),
            priority,
            weight,
        }
    }

    fn shown(servers: &[PoolServer]) -> Vec<(String, u16, bool)> {
        servers
            .iter()
            .map(|server| (server.name.to_string(), server.weight, server.backup))
            .collect()
    }

    #[test]
    fn the_order_of_an_answer_is_of_no_matter() {
        let (a, b) = (offer("10.0.0.1:80", 0, 1), offer("[::1]:80", 0, 1));
        assert_eq!(servers(&[a, b]), servers(&[b, a, b]));
    }

    #[test]
    fn larger_priorities_are_backups() {
        let offers = [
            offer("10.0.0.3:80", 20, 5),
            offer("10.0.0.1:80", 10, 60),
            offer("10.0.0.2:81", 10, 0),
        ];
        let wanted = [
            ("10.0.0.1:80".to_owned(), 60, false),
            ("10.0.0.2:81".to_owned(), 1, false),
            ("10.0.0.3:80".to_owned(), 5, true),
        ];
        assert_eq!(shown(&servers(&offers)), wanted);
    }

    #[test]
    fn an_address_is_one_server() {
        let offers = [offer("10.0.0.1:80", 20, 5), offer("10.0.0.1:80", 10, 7)];
        let wanted = [("10.0.0.1:80".to_owned(), 7, false)];
        assert_eq!(shown(&servers(&offers)), wanted);
    }

    fn found(offers: &[Offer], missing: Option<Missing>) -> Found {
        Found {
            servers: servers(offers),
            ttl: Duration::ZERO,
            missing,
        }
    }

    #[test]
    fn fewer_than_the_least_are_taken_only_for_want_of_others() {
        let (a, b) = (offer("10.0.0.1:80", 0, 1), offer("10.0.0.2:80", 0, 1));
        let (one, other, two) = (servers(&[a]), servers(&[b]), servers(&[a, b]));
        let answer = |offers: &[Offer]| Ok(found(offers, None));
        assert_eq!(judge(answer(&[a, b]), &two, 2), Verdict::Take(two.clone()));
        let reason = "fewer servers (1) than min (2)".to_owned();
        assert_eq!(judge(answer(&[a]), &two, 2), Verdict::Keep(reason.clone()));
        for held in [&[][..], &one] {
            assert_eq!(
                judge(answer(&[b]), held, 2),
                Verdict::MakeDo(other.clone(), reason.clone())
            );
        }
        assert_eq!(
            judge(Err("no".to_owned()), &[], 1),
            Verdict::Keep("no".to_owned())
        );
    }

    #[test]
    fn addresses_that_could_not_be_asked_for_stay() {
        let (a, b) = (offer("10.0.0.1:80", 0, 1), offer("10.0.0.2:80", 0, 1));
        let (c, d) = (offer("[::1]:80", 0, 1), offer("[::2]:80", 0, 1));
        let missing = |is_ipv6| Missing {
            is_ipv6,
            reason: "no answer".to_owned(),
        };
        let said = "no answer".to_owned();
        for (offers, is_ipv6, held, wanted) in [
            (&[a][..], true, &[][..], &[a][..]),
            (&[b], true, &[a, c], &[b, c]),
            (&[d], false, &[a, b, c], &[a, b, d]),
            (&[a, c], true, &[a, c, d], &[a, c, d]),
        ] {
            let answer = Ok(found(offers, Some(missing(is_ipv6))));
            assert_eq!(
                judge(answer, &servers(held), 1),
                Verdict::MakeDo(servers(wanted), said.clone())
            );
        }
    }
}
