//! How much of a pool's load may be retries.
//!
//! When servers fail because they have too much to do, every retry makes it worse. So retries have a budget, in the manner
//! of Finagle's and Linkerd's: each request that is sent for the first time pays a part of a retry in, each retry takes
//! a whole one out, and what is older than ten seconds is forgotten, so that an hour without failures doesn't pay for a
//! storm. One retry a second is free, or a pool with little to do could never retry at all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How many seconds are remembered.
const WINDOW: u32 = 10;

/// How many retries are free in that time.
const FREE: i64 = 10;

/// What a retry costs: the unit is a hundredth of one, so that a percentage is what a request pays in.
const COST: i64 = 100;

/// A pool's budget for retries.
#[derive(Debug)]
pub struct RetryBudget {
    began: Instant,
    /// One for each second of the window: which second it is of, and what was paid in then, less what was taken out.
    seconds: [AtomicU64; WINDOW as usize],
    /// Held by the thread that takes a retry out, so that two can't take the same one.
    taking: Mutex<()>,
}

impl RetryBudget {
    /// A budget that nothing was paid into.
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            seconds: Default::default(),
            taking: Mutex::new(()),
        }
    }

    /// A request is sent for the first time, which allows for `percent` of a retry.
    pub fn deposit(&self, percent: u32, now: Instant) {
        self.add(self.second(now), i32::try_from(percent).unwrap_or(i32::MAX));
    }

    /// Takes out one retry. Returns whether there was one.
    pub fn withdraw(&self, now: Instant) -> bool {
        let second = self.second(now);
        let _alone = self.taking.lock();
        let paid: i64 = self
            .seconds
            .iter()
            .map(|place| Entry::from_bits(place.load(Ordering::Relaxed)))
            .filter(|entry| second.saturating_sub(entry.second) < WINDOW)
            .map(|entry| i64::from(entry.balance))
            .sum();
        if paid + FREE * COST < COST {
            return false;
        }
        self.add(second, -100);
        true
    }

    /// Seconds since the beginning, and one: 0 is the second of places that were never used.
    fn second(&self, now: Instant) -> u32 {
        let passed: Duration = now.saturating_duration_since(self.began);
        u32::try_from(passed.as_secs() + 1).unwrap_or(u32::MAX)
    }

    fn add(&self, second: u32, amount: i32) {
        let Some(place) = self.seconds.get((second % WINDOW) as usize) else {
            return;
        };
        let added = |bits| {
            let entry = Entry::from_bits(bits);
            // A thread that was late by a whole window adds to what is there by now.
            let (second, balance) = if entry.second >= second {
                (entry.second, entry.balance)
            } else {
                (second, 0)
            };
            let balance = balance.saturating_add(amount);
            Some(Entry { second, balance }.to_bits())
        };
        // The update fails only when the closure returns `None`, which it doesn't.
        let _ = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }
}

/// One second of the window, in one word.
#[derive(Clone, Copy)]
struct Entry {
    second: u32,
    balance: i32,
}

impl Entry {
    fn from_bits(bits: u64) -> Self {
        let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
        Self {
            second: half(bits),
            balance: half(bits >> 32).cast_signed(),
        }
    }

    fn to_bits(self) -> u64 {
        u64::from(self.second) | u64::from(self.balance.cast_unsigned()) << 32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(budget: &RetryBudget, seconds: u64) -> Instant {
        budget.began + Duration::from_secs(seconds)
    }

    fn take_all(budget: &RetryBudget, now: Instant) -> usize {
        std::iter::repeat_with(|| budget.withdraw(now))
            .take(10_000)
            .take_while(|taken| *taken)
            .count()
    }

    #[test]
    fn a_quiet_pool_has_ten_retries_and_then_one_a_second() {
        let budget = RetryBudget::new(Instant::now());
        assert_eq!(take_all(&budget, at(&budget, 0)), 10);
        assert_eq!(take_all(&budget, at(&budget, 9)), 0);
        assert_eq!(take_all(&budget, at(&budget, 10)), 10);
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_retried() {
        let budget = RetryBudget::new(Instant::now());
        let now = at(&budget, 3);
        for _ in 0..1000 {
            budget.deposit(20, now);
        }
        assert_eq!(take_all(&budget, now), 210);
    }

    #[test]
    fn what_was_paid_in_long_ago_is_forgotten() {
        let budget = RetryBudget::new(Instant::now());
        for _ in 0..1000 {
            budget.deposit(20, at(&budget, 0));
        }
        assert_eq!(take_all(&budget, at(&budget, 10)), 10);
        // Hours later, in the same place of the window.
        assert_eq!(take_all(&budget, at(&budget, 36_000)), 10);
    }

    #[test]
    fn threads_never_take_more_than_there_is() {
        let budget = RetryBudget::new(Instant::now());
        let now = at(&budget, 0);
        let taken: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        (0..1000)
                            .filter(|_| {
                                budget.deposit(20, now);
                                budget.withdraw(now)
                            })
                            .count()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(taken + take_all(&budget, now), 4000 / 5 + 10);
    }

    proptest! {
        /// The same as keeping every deposit and retry with its second, and adding up the last ten.
        #[test]
        fn it_is_the_sum_of_the_last_ten_seconds(
            percent in 0u32..=100,
            steps in proptest::collection::vec((0u64..4, 0usize..40, 0usize..20), 1..40),
        ) {
            let budget = RetryBudget::new(Instant::now());
            let (mut second, mut book) = (0, Vec::<(u64, i64)>::new());
            for (passed, requests, retries) in steps {
                second += passed;
                let now = at(&budget, second);
                for _ in 0..requests {
                    budget.deposit(percent, now);
                    book.push((second, i64::from(percent)));
                }
                for _ in 0..retries {
                    let paid: i64 = book.iter()
                        .filter(|(at, _)| second - at < 10).map(|(_, amount)| amount).sum();
                    let allowed = paid + 1000 >= 100;
                    prop_assert_eq!(budget.withdraw(now), allowed);
                    if allowed {
                        book.push((second, -100));
                    }
                }
            }
        }
    }
}
