//! Brings the turns in line with other weights and members.
//!
//! That is done before the first pick after a change, not with the change itself: so several changes are one, and one
//! that was taken back is none. It takes a time that grows like that of sorting the servers.

use super::level::level;
use super::{Selector, Server};

impl Selector {
    /// Carries the turns over to the weights and members of now. Where the ratios of all weights are what they were,
    /// so are the turns; else they go on as far as [`level`] allows.
    pub(super) fn settle(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        self.drain(|_| {});
        let change = Change::of(&self.servers, self.earned_with);
        if !change.keeps_ratios || !change.scale_exactly(&mut self.servers) {
            change.carry_over(&mut self.servers);
            let candidates = self
                .servers
                .iter_mut()
                .filter(|server| server.is_candidate());
            cut_off(candidates.collect(), change.after);
        }
        for server in &mut self.servers {
            server.earned_with = server.weight_as_candidate();
        }
        self.earned_with = change.after;
        self.fill();
    }

    /// Forgets what the turns were earned with, so that nothing of them is kept.
    pub(super) fn unsettle(&mut self) {
        self.earned_with = 0;
        for server in &mut self.servers {
            server.earned_with = 0;
        }
        self.changed = true;
    }

    /// Cuts off the turns of those in the contest, whose weights add up to `total`, while others are full.
    pub(super) fn cut_entered(&mut self, total: u64) {
        let mut entered = vec![false; self.servers.len()];
        self.drain(|index| {
            if let Some(entered) = entered.get_mut(index as usize) {
                *entered = true;
            }
        });
        let those = self.servers.iter_mut().zip(&entered);
        let those = those.filter_map(|(server, &entered)| entered.then_some(server));
        cut_off(those.collect(), total);
        for (index, entered) in (0..).zip(entered) {
            if entered {
                self.enter(index);
            }
        }
    }

    /// Takes all servers out of the contest.
    pub(super) fn drain(&mut self, mut each: impl FnMut(u32)) {
        let servers = &mut self.servers;
        self.contest.drain(|index, current| {
            each(index);
            if let Some(server) = servers.get_mut(index as usize) {
                server.current = current;
            }
        });
    }

    /// Puts every server that may be picked into the contest, which is empty.
    pub(super) fn fill(&mut self) {
        let entrants = (0..).zip(&self.servers).filter_map(|(index, server)| {
            let entrant = server.entrant(self.algorithm)?;
            Some((index, entrant))
        });
        self.contest.fill(entrants);
    }
}

/// What became of the weights.
struct Change {
    /// Their sum when the turns were earned.
    before: u64,
    /// Their sum now.
    after: u64,
    keeps_ratios: bool,
}

impl Change {
    fn of(servers: &[Server], before: u64) -> Self {
        let weights = servers.iter().map(Server::weight_as_candidate);
        let after = weights.map(u64::from).sum();
        let keeps_ratios = servers.iter().all(|server| {
            u128::from(server.earned_with) * u128::from(after)
                == u128::from(server.weight_as_candidate()) * u128::from(before)
        });
        Self {
            before,
            after,
            keeps_ratios: keeps_ratios && before > 0,
        }
    }

    /// Brings the turns to the size of the weights. Returns whether that was possible in whole numbers; otherwise
    /// nothing is changed.
    fn scale_exactly(&self, servers: &mut [Server]) -> bool {
        let (before, after) = (i128::from(self.before), i128::from(self.after));
        let scaled = |server: &Server| {
            let product = i128::from(server.current) * after;
            (product % before == 0).then_some(product / before)
        };
        if servers.iter().any(|server| scaled(server).is_none()) {
            return false;
        }
        for server in servers {
            server.current = scaled(server).map_or(0, saturate);
        }
        true
    }

    /// Brings the turns of those that stay to the size of the weights, as distances from their mean, which is where
    /// those begin that are new.
    fn carry_over(&self, servers: &mut [Server]) {
        let stays = |server: &Server| server.earned_with > 0 && server.is_candidate();
        let (count, sum) = servers
            .iter()
            .filter(|server| stays(server))
            .fold((0, 0), |(count, sum), server| {
                (count + 1, sum + i128::from(server.current))
            });
        let mean = sum / i128::max(count, 1);
        let (before, after) = (i128::from(self.before), i128::from(self.after));
        for server in servers {
            server.current = if stays(server) {
                saturate((i128::from(server.current) - mean) * after / before.max(1))
            } else {
                0
            };
        }
    }
}

/// Cuts off the credit of servers whose weights add up to `total`. Their mean stays.
fn cut_off(servers: Vec<&mut Server>, total: u64) {
    let mut credits: Vec<i64> = servers.iter().map(|server| server.current).collect();
    let level = level(&mut credits, total);
    let lost: i128 = credits
        .iter()
        .map(|&credit| i128::from(credit) - i128::from(credit.min(level)))
        .sum();
    let shared = saturate(lost / i128::try_from(credits.len().max(1)).unwrap_or(1));
    for server in servers {
        server.current = server.current.min(level).saturating_add(shared);
    }
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}
