//! nginx's loops, written down literally: what the selector is compared with.

use crate::config::model::Algorithm;

use super::{NoPick, Params};

#[derive(Clone, Debug)]
pub struct Peer {
    pub params: Params,
    pub eligible: bool,
    pub removed: bool,
    pub conns: u32,
    pub current_weight: i64,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub algorithm: Algorithm,
    /// In order of insertion; never shrinks, so that an index stays valid.
    pub peers: Vec<Peer>,
}

impl Model {
    pub fn insert(&mut self, params: Params) -> usize {
        self.peers.push(Peer {
            params,
            eligible: false,
            removed: false,
            conns: 0,
            current_weight: 0,
        });
        self.peers.len() - 1
    }

    /// Not nginx's, whose weights don't change: what is owed shrinks with the weight.
    pub fn set_weight(&mut self, i: usize, weight: u32) {
        let peer = &mut self.peers[i];
        if weight > 0 && weight < peer.params.weight && !peer.removed {
            peer.current_weight =
                peer.current_weight * i64::from(weight) / i64::from(peer.params.weight);
        }
        peer.params.weight = weight;
    }

    fn candidate(&self, i: usize) -> bool {
        let peer = &self.peers[i];
        !peer.removed && peer.eligible && peer.params.weight > 0
    }

    fn full(&self, i: usize) -> bool {
        let peer = &self.peers[i];
        peer.params.limit > 0 && peer.conns >= peer.params.limit
    }

    /// Those that take part, in the order of the configuration.
    fn usable(&self, tried: &[usize]) -> Vec<usize> {
        let mut usable: Vec<usize> = (0..self.peers.len())
            .filter(|&i| self.candidate(i) && !self.full(i) && !tried.contains(&i))
            .collect();
        usable.sort_by_key(|&i| self.peers[i].params.position);
        usable
    }

    pub fn pick(&mut self, tried: &[usize]) -> Result<usize, NoPick> {
        let usable = self.usable(tried);
        let best = match self.algorithm {
            Algorithm::WeightedRoundRobin => self.round_robin(&usable),
            Algorithm::WeightedLeastConnections => self.least_connections(&usable),
        };
        match best {
            Some(best) => {
                self.peers[best].conns += 1;
                Ok(best)
            }
            None if (0..self.peers.len()).any(|i| self.candidate(i)) => Err(NoPick::AllFull),
            None => Err(NoPick::NoneEligible),
        }
    }

    /// `ngx_http_upstream_get_peer`.
    fn round_robin(&mut self, usable: &[usize]) -> Option<usize> {
        let mut best: Option<usize> = None;
        let mut total = 0;
        for &i in usable {
            let weight = i64::from(self.peers[i].params.weight);
            self.peers[i].current_weight += weight;
            total += weight;
            if best
                .is_none_or(|best| self.peers[i].current_weight > self.peers[best].current_weight)
            {
                best = Some(i);
            }
        }
        self.peers[best?].current_weight -= total;
        best
    }

    /// `ngx_http_upstream_get_least_conn_peer`.
    fn least_connections(&mut self, usable: &[usize]) -> Option<usize> {
        let load = |peer: &Peer, by: &Peer| u64::from(peer.conns) * u64::from(by.params.weight);
        let mut best: Option<usize> = None;
        let mut many = false;
        for &i in usable {
            match best {
                Some(best)
                    if load(&self.peers[i], &self.peers[best])
                        > load(&self.peers[best], &self.peers[i]) => {}
                Some(best)
                    if load(&self.peers[i], &self.peers[best])
                        == load(&self.peers[best], &self.peers[i]) =>
                {
                    many = true;
                }
                _ => {
                    best = Some(i);
                    many = false;
                }
            }
        }
        let first = best?;
        if !many {
            return best;
        }
        let tied: Vec<usize> = usable
            .iter()
            .copied()
            .filter(|&i| {
                load(&self.peers[i], &self.peers[first]) == load(&self.peers[first], &self.peers[i])
            })
            .collect();
        self.round_robin(&tied)
    }

    /// A bound request.
    pub fn charge(&mut self, i: usize) -> bool {
        if self.full(i) {
            return false;
        }
        let usable = self.usable(&[]);
        if self.algorithm == Algorithm::WeightedRoundRobin && usable.contains(&i) {
            let weight = |&j: &usize| i64::from(self.peers[j].params.weight);
            let total: i64 = usable.iter().map(weight).sum();
            // The bound on debts is ours; httpd, which also charges bound requests, has none.
            if self.peers[i].current_weight > -1000 * total {
                for &j in &usable {
                    self.peers[j].current_weight += i64::from(self.peers[j].params.weight);
                }
                self.peers[i].current_weight -= total;
            }
        }
        self.peers[i].conns += 1;
        true
    }
}
