//! How long a server takes to answer, as `peak_ewma` sees it.
//!
//! An exponentially weighted moving average that believes bad news at once and good news by and by: a sample above it
//! replaces it, one below it pulls it down as far as time has passed since the last (Finagle's `p2cPeakEwma`). Without
//! samples it fades away, so that a server that was slow is tried again.

use std::time::Duration;

/// After this time without a sample, or with none but small ones, what was before counts for 1/e. In microseconds.
const DECAY: f64 = 10e6;

/// What an answer that failed counts for at least, and at most. In microseconds.
const FAILED: (f64, f64) = (1e6, 60e6);

/// How many times the average a failed answer counts for, in between.
const FAILED_TIMES: f64 = 3.0;

/// The least that is told from 0, in microseconds.
const FLOOR: f64 = 1.0;

/// What a server took for one answer, or to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// From when it was asked.
    pub took: Duration,
    /// It failed. However fast that was, it is no reason to ask it again.
    pub failed: bool,
}

/// The average of one server.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct PeakEwma {
    /// In microseconds, as of `at`. 0: there was no sample yet.
    average: f64,
    at: Duration,
    /// The last sample was of a failure.
    failed: bool,
}

impl PeakEwma {
    /// Takes in a sample that came at `now`, a time since whenever.
    pub(super) fn observe(&mut self, sample: Sample, now: Duration) {
        let before = self.at(now).unwrap_or(0.0);
        let mut took = micros(sample.took);
        if sample.failed {
            let (least, most) = FAILED;
            took = took.max((self.average * FAILED_TIMES).clamp(least, most));
        }
        self.average = if took >= before {
            took
        } else {
            // `before` has faded already: the rest of the weight is the sample's.
            before + took * (1.0 - self.kept(now))
        }
        .max(FLOOR);
        self.at = now.max(self.at);
        self.failed = sample.failed;
    }

    /// Whether the last answer failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// The average at `now`, in microseconds; `None` before the first sample.
    pub(super) fn at(&self, now: Duration) -> Option<f64> {
        (self.average > 0.0).then(|| (self.average * self.kept(now)).max(FLOOR))
    }

    /// What is left at `now` of what was.
    fn kept(&self, now: Duration) -> f64 {
        (-micros(now.saturating_sub(self.at)) / DECAY).exp()
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(millis: u64) -> Sample {
        Sample {
            took: Duration::from_millis(millis),
            failed: false,
        }
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn bad_news_counts_at_once_and_good_news_by_and_by() {
        let mut ewma = PeakEwma::default();
        assert_eq!(ewma.at(at(5)), None);
        ewma.observe(answer(10), at(0));
        ewma.observe(answer(200), at(1));
        assert_eq!(ewma.at(at(1)), Some(200e3));
        for now in 2..=100 {
            ewma.observe(answer(10), at(now));
        }
        let soon = ewma.at(at(100)).unwrap();
        assert!((190e3..200e3).contains(&soon), "{soon}");
        for now in 100..=60_000 {
            ewma.observe(answer(10), at(now));
        }
        let late = ewma.at(at(60_000)).unwrap();
        assert!((10e3..11e3).contains(&late), "{late}");
    }

    #[test]
    fn without_samples_it_fades() {
        let mut ewma = PeakEwma::default();
        ewma.observe(answer(100), at(0));
        let later = ewma.at(at(10_000)).unwrap();
        assert!((36e3..37e3).contains(&later), "{later}");
        // As after a night without requests.
        assert_eq!(ewma.at(Duration::from_secs(100_000)), Some(1.0));
        ewma.observe(answer(5), Duration::from_secs(100_000));
        assert_eq!(ewma.at(Duration::from_secs(100_000)), Some(5e3));
    }

    #[test]
    fn a_fast_failure_is_a_slow_answer() {
        let failure = Sample {
            failed: true,
            ..answer(1)
        };
        let mut ewma = PeakEwma::default();
        ewma.observe(answer(10), at(0));
        ewma.observe(failure, at(1));
        assert_eq!(ewma.at(at(1)), Some(1e6));
        // Where answers take long, it is slower than those all the same.
        let mut slow = PeakEwma::default();
        slow.observe(answer(5000), at(0));
        slow.observe(failure, at(0));
        assert_eq!(slow.at(at(0)), Some(15e6));
        for _ in 0..9 {
            slow.observe(failure, at(0));
        }
        assert_eq!(slow.at(at(0)), Some(60e6), "there is an end to it");
    }

    #[test]
    fn a_time_that_is_before_the_last_one_does_no_harm() {
        let mut ewma = PeakEwma::default();
        ewma.observe(answer(100), at(50));
        ewma.observe(answer(10), at(40));
        assert_eq!(ewma.at(at(50)), Some(100e3));
    }
}
