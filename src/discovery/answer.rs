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
    /// These are the servers from now on. There may be a complaint about it all the same.
    Take(Vec<PoolServer>, Option<String>),
    /// Those of before stay, and why.
    Keep(String),
}

/// Judges an answer, or why there is none. `held` is how many servers there are by an earlier one.
pub fn judge(answer: Result<Vec<PoolServer>, String>, held: usize, min: usize) -> Verdict {
    match answer {
        Err(reason) => Verdict::Keep(reason),
        Ok(servers) if servers.len() >= min => Verdict::Take(servers, None),
        Ok(servers) => {
            let reason = format!("fewer servers ({}) than min ({min})", servers.len());
            if held == 0 {
                Verdict::Take(servers, Some(reason))
            } else {
                Verdict::Keep(reason)
            }
        }
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

    #[test]
    fn fewer_than_the_least_are_taken_only_for_want_of_others() {
        let two = servers(&[offer("10.0.0.1:80", 0, 1), offer("10.0.0.2:80", 0, 1)]);
        let one = vec![two[0].clone()];
        assert_eq!(judge(Ok(two.clone()), 2, 2), Verdict::Take(two, None));
        let reason = "fewer servers (1) than min (2)".to_owned();
        assert_eq!(judge(Ok(one.clone()), 2, 2), Verdict::Keep(reason.clone()));
        assert_eq!(
            judge(Ok(one.clone()), 0, 2),
            Verdict::Take(one, Some(reason))
        );
        assert_eq!(
            judge(Err("no".to_owned()), 0, 1),
            Verdict::Keep("no".to_owned())
        );
    }
}
