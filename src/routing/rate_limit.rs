//! How many requests a client, a route or a key may make in a time.
//!
//! Each key has a bucket of `burst` places that fills up again at `rate`: a request takes a place, and where there is
//! none it is refused. Of a bucket only the moment is kept at which it will be full again (the generic cell rate
//! algorithm, ITU-T I.371: the "theoretical arrival time"), so that one number is all there is to a key, and a bucket
//! that is full is the same as one that isn't there.
//!
//! A limiter knows [`BUCKETS`] keys at once. More than that can only be met by many clients that all have asked
//! lately, or by one who makes keys up. Then those are forgotten that would be full again soonest: who has asked once
//! goes before who has asked often, so that whoever is being limited stays so, and a newcomer always has a bucket of
//! its own, full. The price: whoever has more than that many addresses is not held back by a limit for each.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::config::model;
use crate::headers::Fields;
use crate::recent::Recent;

/// Keys that a limiter knows at once; with 40 bytes for each it takes 4 MB at most.
pub const BUCKETS: usize = 100_000;

/// A limit and all its buckets.
pub struct RateLimiter {
    settings: model::RateLimit,
    begun: Instant,
    /// From one place to the next, in nanoseconds.
    interval: u64,
    /// From empty to full, in nanoseconds.
    span: u64,
    buckets: Buckets,
}

/// When buckets will be full again, in nanoseconds since the limiter began.
enum Buckets {
    One(AtomicU64),
    Many {
        full: Box<Recent<u64>>,
        /// Nobody can choose keys that meet.
        seed: RandomState,
    },
}

/// Whose bucket it is.
#[derive(Hash)]
enum Owner<'a> {
    /// One host.
    V4(u32),
    /// One /64: a household or a machine has a whole one, and changes its address in it at will.
    V6(u64),
    /// Who sends this value.
    Value(&'a [u8]),
}

impl RateLimiter {
    /// A limit with all buckets full.
    pub fn new(settings: &model::RateLimit) -> Self {
        let rate = settings.rate;
        // Rounded up, so that never more than the rate is let through: at 1000 and less a second by less than a
        // millionth, at a million by less than a thousandth.
        let period = u64::try_from(rate.period.as_nanos()).unwrap_or(u64::MAX);
        let interval = period.div_ceil(u64::from(rate.count).max(1)).max(1);
        Self {
            settings: settings.clone(),
            begun: Instant::now(),
            interval,
            // Three centuries are enough, and their end can be reckoned with.
            span: interval
                .saturating_mul(u64::from(settings.burst.max(1)))
                .min(u64::MAX / 2),
            buckets: match settings.key {
                model::LimitKey::Route => Buckets::One(AtomicU64::new(0)),
                model::LimitKey::Client | model::LimitKey::Header(_) => Buckets::Many {
                    full: Box::new(Recent::new(BUCKETS)),
                    seed: RandomState::new(),
                },
            },
        }
    }

    /// What it was made of.
    pub fn settings(&self) -> &model::RateLimit {
        &self.settings
    }

    /// Takes a place for a request of `client` with these fields.
    ///
    /// # Errors
    ///
    /// There is none: how long until there is one.
    pub fn take(&self, client: IpAddr, headers: &Fields, now: Instant) -> Result<(), Duration> {
        let now = now.saturating_duration_since(self.begun).as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        match &self.buckets {
            Buckets::One(full) => {
                let mut known = full.load(Relaxed);
                loop {
                    let next = self.place(known, now)?;
                    match full.compare_exchange_weak(known, next, Relaxed, Relaxed) {
                        Ok(_) => return Ok(()),
                        Err(other) => known = other,
                    }
                }
            }
            Buckets::Many { full, seed } => {
                let key = seed.hash_one(self.owner(client, headers));
                full.update(key, now, |known| match self.place(known, now) {
                    Ok(next) => (Some(next), Ok(())),
                    Err(wait) => (None, Err(wait)),
                })
            }
        }
    }

    /// A bucket that is full at `full` gives a place at `now`: when it is full then.
    fn place(&self, full: u64, now: u64) -> Result<u64, Duration> {
        let next = full.max(now).saturating_add(self.interval);
        let latest = now.saturating_add(self.span);
        if next <= latest {
            Ok(next)
        } else {
            Err(Duration::from_nanos(next - latest))
        }
    }

    fn owner<'a>(&self, client: IpAddr, headers: &'a Fields) -> Owner<'a> {
        if let model::LimitKey::Header(name) = &self.settings.key {
            // Of several lines nobody knows which one the servers believe: they are none.
            let mut lines = headers.get_all(name).iter();
            if let (Some(value), None) = (lines.next(), lines.next())
                && !value.is_empty()
            {
                return Owner::Value(value.as_bytes());
            }
        }
        match client.to_canonical() {
            IpAddr::V4(address) => Owner::V4(address.to_bits()),
            IpAddr::V6(address) => Owner::V6((address.to_bits() >> 64) as u64),
        }
    }
}

#[cfg(test)]
mod tests;
