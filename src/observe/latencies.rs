//! Counts of latencies by the bounds of a histogram, and the percentiles in between two readings of them.

use prometheus::Histogram;
use prometheus::core::Metric as _;

/// How many latencies lay below each bound, and in all. The bounds are in seconds and ascend.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latencies {
    /// Bounds, each with the number of latencies up to it.
    up_to: Vec<(f64, u64)>,
    all: u64,
}

/// The latencies, in seconds, that half, 95 % and 99 % of all requests stayed below.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentiles {
    /// 50 %.
    pub p50: f64,
    /// 95 %.
    pub p95: f64,
    /// 99 %.
    pub p99: f64,
}

impl Latencies {
    /// What a histogram has counted so far.
    pub fn of(histogram: &Histogram) -> Self {
        let metric = histogram.metric();
        let histogram = metric.get_histogram();
        let buckets = histogram.get_bucket().iter();
        Self {
            up_to: buckets
                .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
                .collect(),
            all: histogram.get_sample_count(),
        }
    }

    /// Adds others that were counted by the same bounds.
    pub fn add(&mut self, others: &Self) {
        if self.up_to.is_empty() {
            *self = others.clone();
            return;
        }
        for ((_, count), (_, more)) in self.up_to.iter_mut().zip(&others.up_to) {
            *count += more;
        }
        self.all += others.all;
    }

    /// Those that came after an earlier reading. If counting has begun anew since, there are none.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |index: usize| before.up_to.get(index).map_or(0, |(_, count)| *count);
        let up_to = self.up_to.iter().enumerate();
        Self {
            up_to: up_to
                .map(|(index, (bound, count))| (*bound, count.saturating_sub(earlier(index))))
                .collect(),
            all: self.all.saturating_sub(before.all),
        }
    }

    /// The percentiles; `None` where nothing was counted.
    pub fn percentiles(&self) -> Option<Percentiles> {
        (self.all > 0).then(|| Percentiles {
            p50: self.quantile(0.5),
            p95: self.quantile(0.95),
            p99: self.quantile(0.99),
        })
    }

    /// The latency that this part of all stayed below. Within a bucket latencies are taken to lie evenly, and beyond the
    /// last bound at it, as Prometheus' `histogram_quantile` does it.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of a few seconds, as parts of one another"
    )]
    fn quantile(&self, part: f64) -> f64 {
        let rank = part * self.all as f64;
        let (mut lower, mut below) = (0.0, 0.0);
        for (bound, count) in &self.up_to {
            let count = *count as f64;
            if count >= rank && count > below {
                return lower
                    + (bound - lower) * ((rank - below) / (count - below)).clamp(0.0, 1.0);
            }
            (lower, below) = (*bound, count);
        }
        lower
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(up_to: &[(f64, u64)], all: u64) -> Latencies {
        Latencies {
            up_to: up_to.to_vec(),
            all,
        }
    }

    #[test]
    fn percentiles_lie_evenly_within_a_bucket() {
        let latencies = counted(&[(0.1, 50), (0.2, 100), (1.0, 100)], 100);
        let found = latencies.percentiles().expect("some");
        assert!((found.p50 - 0.1).abs() < 1e-9, "{found:?}");
        assert!((found.p95 - 0.19).abs() < 1e-9, "{found:?}");
        assert!((found.p99 - 0.198).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn what_is_beyond_the_last_bound_is_taken_for_it_and_nothing_has_no_percentiles() {
        let latencies = counted(&[(0.1, 0), (0.2, 0)], 7);
        assert!((latencies.percentiles().expect("some").p50 - 0.2).abs() < 1e-9);
        assert_eq!(counted(&[(0.1, 0)], 0).percentiles(), None);
        assert_eq!(Latencies::default().percentiles(), None);
    }

    #[test]
    fn readings_are_subtracted_and_added() {
        let before = counted(&[(0.1, 1), (0.2, 2)], 3);
        let after = counted(&[(0.1, 4), (0.2, 8)], 9);
        assert_eq!(after.since(&before), counted(&[(0.1, 3), (0.2, 6)], 6));
        assert_eq!(after.since(&Latencies::default()), after);
        assert_eq!(before.since(&after), counted(&[(0.1, 0), (0.2, 0)], 0));
        let mut sum = Latencies::default();
        sum.add(&before);
        sum.add(&after);
        assert_eq!(sum, counted(&[(0.1, 5), (0.2, 10)], 12));
    }

    #[test]
    fn a_histogram_is_read() {
        let options = prometheus::HistogramOpts::new("x", "x").buckets(vec![0.1, 0.2]);
        let histogram = Histogram::with_opts(options).expect("valid");
        for seconds in [0.05, 0.15, 0.15, 3.0] {
            histogram.observe(seconds);
        }
        let expected = counted(&[(0.1, 1), (0.2, 3)], 4);
        assert_eq!(Latencies::of(&histogram), expected);
    }

    proptest! {
        #[test]
        fn percentiles_ascend_and_stay_within_the_bounds(counts in proptest::collection::vec(0_u64..1000, 4)) {
            let mut sum = 0;
            let bounds = [0.001, 0.01, 0.1, 1.0];
            let up_to: Vec<_> = bounds.iter().zip(&counts).map(|(bound, count)| { sum += count; (*bound, sum) }).collect();
            if let Some(found) = counted(&up_to, sum).percentiles() {
                prop_assert!(0.0 <= found.p50 && found.p50 <= found.p95);
                prop_assert!(found.p95 <= found.p99 && found.p99 <= 1.0);
            }
        }
    }
}
