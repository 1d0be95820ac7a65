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
    /// The weight that was in force, 0 for none, when the turns were last settled.
    pub earned_with: u32,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub algorithm: Algorithm,
    /// In order of insertion; never shrinks, so that an index stays valid.
    pub peers: Vec<Peer>,
    /// The sum of the weights in the last round.
    pub last_total: i64,
}

impl Model {
    pub fn insert(&mut self, params: Params) -> usize {
        self.peers.push(Peer {
            params,
            eligible: false,
            removed: false,
            conns: 0,
            current_weight: 0,
            earned_with: 0,
        });
        self.peers.len() - 1
    }

    fn weight_as_candidate(&self, i: usize) -> u32 {
        if self.candidate(i) {
            self.peers[i].params.weight
        } else {
            0
        }
    }

    /// Not nginx's, whose weights and members don't change: what servers are owed is cut off, so that the window of now
    /// is exact.
    fn settle(&mut self) {
        let all = 0..self.peers.len();
        if all
            .clone()
            .all(|i| self.peers[i].earned_with == self.weight_as_candidate(i))
        {
            return;
        }
        let weights: Vec<i128> = all
            .clone()
            .map(|i| self.weight_as_candidate(i).into())
            .collect();
        let earned: Vec<i128> = self.peers.iter().map(|p| p.earned_with.into()).collect();
        for (peer, weight) in self.peers.iter_mut().zip(&weights) {
            peer.earned_with = u32::try_from(*weight).unwrap();
        }
        let (before, after) = (earned.iter().sum::<i128>(), weights.iter().sum::<i128>());
        let same = before > 0
            && weights
                .iter()
                .zip(&earned)
                .all(|(w, e)| w * before == e * after);
        if same
            && self
                .peers
                .iter()
                .all(|p| i128::from(p.current_weight) * after % before == 0)
        {
            for peer in &mut self.peers {
                peer.current_weight =
                    i64::try_from(i128::from(peer.current_weight) * after / before).unwrap();
            }
            return;
        }
        let stays: Vec<usize> = all.filter(|&i| earned[i] > 0 && weights[i] > 0).collect();
        let current = |i: &usize| i128::from(self.peers[*i].current_weight);
        let mean =
            stays.iter().map(current).sum::<i128>() / i128::try_from(stays.len().max(1)).unwrap();
        for i in 0..self.peers.len() {
            let distance = i128::from(self.peers[i].current_weight) - mean;
            self.peers[i].current_weight = if stays.contains(&i) {
                i64::try_from(distance * after / before.max(1)).unwrap()
            } else {
                0
            };
        }
        let candidates: Vec<usize> = (0..self.peers.len()).filter(|&i| weights[i] > 0).collect();
        self.cut_off(&candidates, after);
    }

    /// Lowers the largest credit by one until less than `total` is missing for all to have as much; what was lost is
    /// shared out.
    fn cut_off(&mut self, of: &[usize], total: i128) {
        let credit = |model: &Self, i: usize| i128::from(model.peers[i].current_weight);
        let Some(lowest) = of.iter().map(|&i| credit(self, i)).min() else {
            return;
        };
        let missing = |model: &Self, level: i128| -> i128 {
            of.iter().map(|&i| (level - credit(model, i)).max(0)).sum()
        };
        let (mut fits, mut too_high) = (lowest, lowest + total);
        while too_high - fits > 1 {
            let middle = i128::midpoint(fits, too_high);
            if missing(self, middle) < total {
                fits = middle;
            } else {
                too_high = middle;
            }
        }
        let before: i128 = of.iter().map(|&i| credit(self, i)).sum();
        for &i in of {
            let cut = credit(self, i).min(fits);
            self.peers[i].current_weight = i64::try_from(cut).unwrap();
        }
        let after: i128 = of.iter().map(|&i| credit(self, i)).sum();
        for &i in of {
            self.peers[i].current_weight +=
                i64::try_from((before - after) / i128::try_from(of.len()).unwrap()).unwrap();
        }
    }

    /// Not nginx's either: what was owed in rounds of all isn't paid back when nearly nobody is left.
    fn bound_the_lead(&mut self, usable: &[usize]) {
        let sum = |of: &dyn Fn(&Peer) -> i64| -> i128 {
            usable.iter().map(|&i| i128::from(of(&self.peers[i]))).sum()
        };
        let total = sum(&|peer| peer.params.weight.into());
        let credits = sum(&|peer| peer.current_weight);
        let count = i128::try_from(usable.len()).unwrap();
        let most = usable.iter().map(|&i| self.peers[i].current_weight).max();
        let lead = i128::from(most.unwrap_or(0)) * count - credits;
        if total < self.last_total.into() && lead > 4 * total * count {
            self.cut_off(usable, total);
        }
        self.last_total = i64::try_from(total).unwrap();
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
        self.settle();
        let usable = self.usable(tried);
        let best = match self.algorithm {
            Algorithm::WeightedRoundRobin => {
                if usable.len() > 1 {
                    self.bound_the_lead(&usable);
                }
                self.round_robin(&usable)
            }
            Algorithm::WeightedLeastConnections => self.least_connections(&usable),
            other => unreachable!("{other:?} is not nginx's"),
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
        self.settle();
        let usable = self.usable(&[]);
        if self.algorithm == Algorithm::WeightedRoundRobin && usable.contains(&i) {
            let weight = |&j: &usize| i64::from(self.peers[j].params.weight);
            let total: i64 = usable.iter().map(weight).sum();
            // The bound on debts is ours; httpd, which also charges bound requests, has none.
            if self.peers[i].current_weight > -1000 * total {
                self.bound_the_lead(&usable);
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
