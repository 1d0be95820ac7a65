//! Failures in a row, by kind.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::model::Fault;

/// How many requests in a row a server failed. An answer ends those that had none; only one that came to its end ends those
/// that broke off.
#[derive(Debug, Default)]
pub(super) struct Run {
    refused: AtomicU32,
    reset: AtomicU32,
    timed_out: AtomicU32,
    status: AtomicU32,
    broken_off: AtomicU32,
}

impl Run {
    /// Counts a failure without a proper answer. Returns how many there are in a row.
    pub(super) fn failed(&self, fault: Fault) -> u32 {
        let kind = match fault {
            Fault::ConnectFailure => &self.refused,
            Fault::Reset => &self.reset,
            Fault::Timeout => &self.timed_out,
            Fault::Status(_) => &self.status,
        };
        kind.fetch_add(1, Ordering::Relaxed);
        self.length()
    }

    /// Counts an answer that broke off. Returns how many failures there are in a row.
    pub(super) fn broken_off(&self) -> u32 {
        self.broken_off.fetch_add(1, Ordering::Relaxed);
        self.length()
    }

    /// Notes an answer.
    pub(super) fn answered(&self) {
        for kind in [&self.refused, &self.reset, &self.timed_out, &self.status] {
            end(kind);
        }
    }

    /// Notes an answer's proper end.
    pub(super) fn completed(&self) {
        end(&self.broken_off);
    }

    /// Forgets everything.
    pub(super) fn end(&self) {
        self.answered();
        self.completed();
    }

    fn length(&self) -> u32 {
        let kinds = [
            &self.refused,
            &self.reset,
            &self.timed_out,
            &self.status,
            &self.broken_off,
        ];
        kinds.iter().fold(0, |sum, kind| {
            sum.saturating_add(kind.load(Ordering::Relaxed))
        })
    }

    /// The reason, in words.
    pub(super) fn words(&self) -> String {
        let mut words = format!("{} failures in a row (", self.length());
        let mut first = true;
        for (kind, one, several) in [
            (&self.refused, "failed connection", "failed connections"),
            (&self.reset, "reset", "resets"),
            (&self.timed_out, "timeout", "timeouts"),
            (&self.status, "bad status", "bad statuses"),
            (&self.broken_off, "answer broken off", "answers broken off"),
        ] {
            let count = kind.load(Ordering::Relaxed);
            if count > 0 {
                let comma = if first { "" } else { ", " };
                let what = if count == 1 { one } else { several };
                let _ = write!(words, "{comma}{count} {what}");
                first = false;
            }
        }
        words.push(')');
        words
    }
}

/// Sets a counter to 0; mostly it is.
fn end(count: &AtomicU32) {
    if count.load(Ordering::Relaxed) > 0 {
        count.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_the_run() {
        let run = Run::default();
        assert_eq!(run.failed(Fault::Reset), 1);
        assert_eq!(run.failed(Fault::Timeout), 2);
        run.answered();
        assert_eq!(run.failed(Fault::Status(500)), 1);
    }

    #[test]
    fn answers_that_break_off_are_ended_by_one_that_does_not() {
        let run = Run::default();
        for wanted in 1..=3 {
            run.answered();
            assert_eq!(run.broken_off(), wanted);
        }
        run.answered();
        run.completed();
        assert_eq!(run.broken_off(), 1);
    }

    #[test]
    fn the_words_count_by_kind() {
        let run = Run::default();
        for fault in [Fault::ConnectFailure, Fault::ConnectFailure, Fault::Timeout] {
            run.failed(fault);
        }
        assert_eq!(
            run.words(),
            "3 failures in a row (2 failed connections, 1 timeout)"
        );
    }
}
