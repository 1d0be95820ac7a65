use std::sync::atomic::AtomicUsize;

use http::HeaderName;
use proptest::prelude::*;

use super::*;
use crate::config::model::{LimitKey, Rate};

const CLIENT: &str = "192.0.2.1";

fn limiter(count: u32, seconds: u64, burst: u32, key: LimitKey) -> RateLimiter {
    RateLimiter::new(&model::RateLimit {
        rate: Rate {
            count,
            period: Duration::from_secs(seconds),
        },
        burst,
        key,
    })
}

fn take(limiter: &RateLimiter, client: &str, at: Duration) -> Result<(), Duration> {
    limiter.take(client.parse().unwrap(), &Fields::new(), limiter.begun + at)
}

fn fields(lines: &[&str]) -> Fields {
    let mut fields = Fields::new();
    for line in lines {
        fields.append(
            http::HeaderName::from_static("x-key"),
            line.parse().unwrap(),
        );
    }
    fields
}

/// Requests of a client every `step` for `whole` that are let through.
fn accepted(limiter: &RateLimiter, step: Duration, whole: Duration) -> u64 {
    let mut at = Duration::ZERO;
    let mut accepted = 0;
    while at < whole {
        accepted += u64::from(take(limiter, CLIENT, at).is_ok());
        at += step;
    }
    accepted
}

#[test]
fn a_burst_goes_through_at_once_and_then_the_rate() {
    for key in [LimitKey::Client, LimitKey::Route] {
        let limiter = limiter(10, 1, 3, key);
        let at = Duration::from_secs(5);
        for _ in 0..3 {
            assert_eq!(take(&limiter, CLIENT, at), Ok(()));
        }
        let tenth = Duration::from_millis(100);
        assert_eq!(take(&limiter, CLIENT, at), Err(tenth));
        assert_eq!(
            take(&limiter, CLIENT, at + tenth / 2),
            Err(tenth / 2),
            "refusals cost nothing"
        );
        assert_eq!(take(&limiter, CLIENT, at + tenth), Ok(()));
        assert!(take(&limiter, CLIENT, at + tenth).is_err());
    }
}

#[test]
fn steady_overload_gets_the_rate_from_one_a_day_to_a_million_a_second() {
    for key in [LimitKey::Client, LimitKey::Route] {
        for (count, seconds, burst, step, whole) in [
            (1, 86_400, 1, Duration::from_secs(600), 86_400 * 50),
            (1, 3600, 1, Duration::from_secs(20), 3600 * 50),
            (7, 60, 5, Duration::from_millis(500), 3600),
            (100, 1, 50, Duration::from_micros(900), 60),
            (99_999, 1, 1000, Duration::from_micros(7), 1),
            (1_000_000, 1, 1000, Duration::from_nanos(950), 1),
        ] {
            let limiter = limiter(count, seconds, burst, key.clone());
            let accepted = accepted(&limiter, step, Duration::from_secs(whole));
            let most = u64::from(burst) + u64::from(count) * whole / seconds;
            // The last interval's place comes at the very end.
            assert!(
                accepted <= most && (accepted + 1) * 1000 >= most * 995,
                "{count} in {seconds}s: {accepted}, not {most}"
            );
        }
    }
}

#[test]
fn clients_do_not_use_up_each_others_places() {
    let limiter = limiter(1, 1, 1, LimitKey::Client);
    for (client, free) in [
        ("192.0.2.1", true),
        ("192.0.2.2", true),
        ("192.0.2.1", false),
        ("::ffff:192.0.2.1", false),
        ("2001:db8:0:1::1", true),
        ("2001:db8:0:1:ffff:1:2:3", false),
        ("2001:db8:0:2::1", true),
        // The number of an address of the other kind.
        ("0:0:c000:201::", true),
    ] {
        assert_eq!(
            take(&limiter, client, Duration::ZERO).is_ok(),
            free,
            "{client}"
        );
    }
}

#[test]
fn a_route_has_one_bucket_for_all() {
    let limiter = limiter(1, 1, 2, LimitKey::Route);
    assert!(take(&limiter, "192.0.2.1", Duration::ZERO).is_ok());
    assert!(take(&limiter, "192.0.2.2", Duration::ZERO).is_ok());
    assert!(take(&limiter, "2001:db8::1", Duration::ZERO).is_err());
}

#[test]
fn a_field_counts_by_its_value_and_by_the_client_where_there_is_none() {
    let limiter = limiter(1, 1, 1, LimitKey::Header(HeaderName::from_static("x-key")));
    let address = |n: u8| IpAddr::from([192, 0, 2, n]);
    for (n, lines, free) in [
        (1, &["a"][..], true),
        (2, &["a"], false),
        (1, &["A"], true),
        (1, &["b"], true),
        (1, &[], true),
        (1, &[""], false),
        (1, &["b", "c"], false),
        (2, &["b", "d"], true),
        (2, &[], false),
    ] {
        let taken = limiter.take(address(n), &fields(lines), limiter.begun);
        assert_eq!(taken.is_ok(), free, "{n} {lines:?}");
    }
}

#[test]
fn threads_at_once_get_no_more_than_one_would() {
    for key in [LimitKey::Client, LimitKey::Route] {
        let limiter = limiter(1, 86_400, 1000, key);
        let accepted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for n in 0..1000 {
                        let at = Duration::from_micros(n % 7);
                        if take(&limiter, CLIENT, at).is_ok() {
                            accepted.fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(accepted.into_inner(), 1000);
    }
}

#[test]
fn who_is_limited_stays_so_however_many_addresses_come_along() {
    let limiter = limiter(1, 60, 10, LimitKey::Client);
    while take(&limiter, CLIENT, Duration::ZERO).is_ok() {}
    for n in 0..200_000_u32 {
        let other = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
        let taken = limiter.take(other, &Fields::new(), limiter.begun);
        assert_eq!(taken, Ok(()), "a newcomer has a bucket of its own");
    }
    assert!(take(&limiter, CLIENT, Duration::from_secs(1)).is_err());
    let Buckets::Many { full, .. } = &limiter.buckets else {
        panic!("one bucket");
    };
    assert!(full.len() <= BUCKETS && full.memory() < 5_000_000);
}

#[test]
fn the_largest_burst_and_the_slowest_rate_neither_overflow_nor_let_everything_through() {
    for key in [LimitKey::Client, LimitKey::Route] {
        let limiter = limiter(1, 86_400, u32::MAX, key);
        let mut taken = 0_u32;
        while take(&limiter, CLIENT, Duration::ZERO).is_ok() {
            taken += 1;
            assert!(taken < 1_000_000, "no end of it");
        }
        assert!(taken > 100_000, "three centuries' worth");
        let wait = take(&limiter, CLIENT, Duration::ZERO).unwrap_err();
        assert!(wait <= Duration::from_secs(86_400));
    }
}

#[test]
fn a_clock_that_lags_behind_gives_no_place_twice() {
    let limiter = limiter(1, 1, 1, LimitKey::Client);
    let at = Duration::from_secs(10);
    assert!(take(&limiter, CLIENT, at).is_ok());
    assert_eq!(
        take(&limiter, CLIENT, Duration::from_secs(9)),
        Err(Duration::from_secs(2))
    );
    assert_eq!(take(&limiter, CLIENT, at + Duration::from_secs(1)), Ok(()));
}

/// A bucket of tokens, in fractions that have no rounding.
struct Model {
    count: u128,
    period: u128,
    most: u128,
    level: u128,
    last: u128,
}

impl Model {
    fn new(count: u32, seconds: u64, burst: u32) -> Self {
        let period = u128::from(seconds) * 1_000_000_000;
        let most = period * u128::from(burst);
        Self {
            count: u128::from(count),
            period,
            most,
            level: most,
            last: 0,
        }
    }

    fn take(&mut self, at: Duration) -> bool {
        let at = at.as_nanos();
        self.level = self.most.min(self.level + (at - self.last) * self.count);
        self.last = at;
        let free = self.level >= self.period;
        if free {
            self.level -= self.period;
        }
        free
    }
}

proptest! {
    #[test]
    fn it_is_a_bucket_of_tokens(
        // Those of which a place takes a whole number of nanoseconds.
        count in prop::sample::select(vec![1_u32, 2, 5, 8, 100, 1000, 62_500, 1_000_000]),
        seconds in prop::sample::select(vec![1_u64, 60, 3600, 86_400]),
        burst in 1_u32..20,
        steps in prop::collection::vec(0_u64..3000, 1..300),
        by_client in any::<bool>(),
    ) {
        let key = if by_client { LimitKey::Client } else { LimitKey::Route };
        let limiter = limiter(count, seconds, burst, key);
        let mut model = Model::new(count, seconds, burst);
        let mut at = Duration::ZERO;
        for step in steps {
            // Thousandths of an interval.
            at += Duration::from_nanos(limiter.interval * step / 1000);
            prop_assert_eq!(take(&limiter, CLIENT, at).is_ok(), model.take(at), "at {:?}", at);
        }
    }

    #[test]
    fn whatever_the_rate_it_never_lets_more_through_and_hardly_less(
        count in 1_u32..=1_000_000,
        seconds in prop::sample::select(vec![1_u64, 60, 3600, 86_400]),
        burst in 1_u32..20,
        steps in prop::collection::vec(0_u64..3000, 1..300),
    ) {
        let limiter = limiter(count, seconds, burst, LimitKey::Route);
        let mut model = Model::new(count, seconds, burst);
        let (mut at, mut ours, mut exact) = (Duration::ZERO, 0_u32, 0_u32);
        for step in steps {
            at += Duration::from_nanos(limiter.interval * step / 1000);
            ours += u32::from(take(&limiter, CLIENT, at).is_ok());
            exact += u32::from(model.take(at));
            prop_assert!(ours <= exact && exact - ours <= 1, "{ours} {exact} at {at:?}");
        }
    }

    #[test]
    fn after_the_wait_that_it_asks_for_there_is_a_place_and_not_before(
        count in 1_u32..=1_000_000,
        seconds in prop::sample::select(vec![1_u64, 60, 3600, 86_400]),
        burst in 1_u32..20,
    ) {
        let limiter = limiter(count, seconds, burst, LimitKey::Client);
        let at = Duration::from_secs(1);
        for _ in 0..burst {
            prop_assert!(take(&limiter, CLIENT, at).is_ok());
        }
        let wait = take(&limiter, CLIENT, at).unwrap_err();
        let early = at + wait.saturating_sub(Duration::from_nanos(1));
        prop_assert!(take(&limiter, CLIENT, early).is_err());
        prop_assert_eq!(take(&limiter, CLIENT, at + wait), Ok(()));
    }
}
