//! When a certificate is due, and when to try again. No clock, no randomness of its own.

use std::time::{Duration, SystemTime};

use super::certificate::Certificate;

/// The shortest time between two tries that fail.
pub const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest, unless the authority asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);
/// More than this the authority can't ask for.
const LONGEST_WISH: Duration = Duration::from_secs(7 * 86_400);

/// When the authority would like a certificate to be renewed (RFC 9773 section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its begin.
    pub start: SystemTime,
    /// Its end.
    pub end: SystemTime,
}

/// When to renew a certificate: when a third of its lifetime is left, a little earlier by chance, so that those that
/// were obtained together aren't renewed together. A window that the authority names goes before, as long as a sixth
/// is left to mend what fails. `chance` is from 0 to 1.
///
/// In any case a certificate is left alone for a tenth of its lifetime once it is here: with a clock that is far ahead, or an
/// authority that wants each new one to be renewed at once, there would be no end of it.
pub fn due(certificate: &Certificate, window: Option<Window>, chance: f64) -> SystemTime {
    let not_after = certificate.not_after;
    let lifetime = lifetime(certificate);
    let before_end = |span: Duration| {
        not_after
            .checked_sub(span)
            .unwrap_or(certificate.not_before)
    };
    let due = match window {
        None => before_end(lifetime / 3 + (lifetime / 30).mul_f64(chance)),
        Some(Window { start, end }) => {
            let width = end.duration_since(start).unwrap_or_default();
            let chosen = start.checked_add(width.mul_f64(chance)).unwrap_or(start);
            chosen.min(before_end(lifetime / 6))
        }
    };
    due.max(at_rest_until(certificate)).min(not_after)
}

/// Until when a certificate is left alone, whoever wants it renewed.
pub fn at_rest_until(certificate: &Certificate) -> SystemTime {
    let rest = lifetime(certificate) / 10;
    let until = certificate.since.checked_add(rest);
    until.unwrap_or(certificate.not_after)
}

fn lifetime(certificate: &Certificate) -> Duration {
    let Certificate {
        not_before,
        not_after,
        ..
    } = certificate;
    not_after.duration_since(*not_before).unwrap_or_default()
}

/// How long to wait after so many failures in a row, at least 1: a minute, then twice as long each time, up to a day;
/// a little more by chance; and not less than the authority asked for. `chance` is from 0 to 1.
pub fn pause(failures: u32, asked: Option<Duration>, chance: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = FIRST_PAUSE.saturating_mul(1 << doublings);
    let pause = pause.mul_f64(1.0 + chance / 4.0).min(LONGEST_PAUSE);
    pause.max(asked.unwrap_or_default().min(LONGEST_WISH))
}

#[cfg(test)]
mod tests {
    use super::super::certificate::tests::at;
    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 86_400;

    fn certificate(from: u64, to: u64) -> Certificate {
        Certificate {
            names: vec!["a.example.com".to_owned()],
            not_before: at(from),
            not_after: at(to),
            since: at(from),
            id: None,
        }
    }

    #[test]
    fn a_third_is_left_when_it_is_renewed() {
        let ninety = certificate(0, 90 * DAY);
        assert_eq!(due(&ninety, None, 0.0), at(60 * DAY));
        assert_eq!(due(&ninety, None, 1.0), at(57 * DAY));
    }

    #[test]
    fn the_authority_may_choose_but_not_too_late() {
        let ninety = certificate(0, 90 * DAY);
        let window = |start, end| {
            Some(Window {
                start: at(start * DAY),
                end: at(end * DAY),
            })
        };
        assert_eq!(due(&ninety, window(10, 12), 0.5), at(11 * DAY));
        assert_eq!(due(&ninety, window(70, 72), 0.0), at(70 * DAY));
        assert_eq!(due(&ninety, window(200, 300), 0.5), at(75 * DAY));
        // A window that ends before it begins is the moment of its begin.
        assert_eq!(due(&ninety, window(12, 10), 1.0), at(12 * DAY));
    }

    #[test]
    fn a_new_certificate_is_left_alone_for_a_while_whatever_the_clock_and_the_authority_say() {
        let mut ninety = certificate(0, 90 * DAY);
        let past = Some(Window {
            start: at(0),
            end: at(1),
        });
        assert_eq!(due(&ninety, past, 0.5), at(9 * DAY));
        // A clock that is sixty-five days ahead.
        ninety.since = at(65 * DAY);
        assert_eq!(due(&ninety, None, 0.0), at(74 * DAY));
        // Never beyond its end.
        ninety.since = at(89 * DAY);
        assert_eq!(due(&ninety, None, 0.0), at(90 * DAY));
        assert_eq!(due(&ninety, past, 0.0), at(90 * DAY));
    }

    #[test]
    fn pauses_grow_from_a_minute_to_a_day() {
        assert_eq!(pause(1, None, 0.0), Duration::from_secs(60));
        assert_eq!(pause(2, None, 0.0), Duration::from_secs(120));
        assert_eq!(pause(2, None, 1.0), Duration::from_secs(150));
        for failures in [12, 40, u32::MAX] {
            assert_eq!(pause(failures, None, 1.0), Duration::from_secs(DAY));
        }
    }

    #[test]
    fn the_authority_may_ask_for_patience_within_reason() {
        let asked = |seconds| pause(1, Some(Duration::from_secs(seconds)), 0.0);
        assert_eq!(asked(5), Duration::from_secs(60));
        assert_eq!(asked(2 * DAY), Duration::from_secs(2 * DAY));
        assert_eq!(asked(u64::MAX), Duration::from_secs(7 * DAY));
    }

    proptest! {
        #[test]
        fn any_validity_is_due_by_its_end(
            from in 0..u64::from(u32::MAX), since in 0..u64::from(u32::MAX), life in 1..u64::from(u32::MAX), chance in 0.0..1.0f64,
            window in proptest::option::of((0..u64::from(u32::MAX), 0..u64::from(u32::MAX))),
        ) {
            let mut certificate = certificate(from, from + life);
            certificate.since = at(since);
            let window = window.map(|(start, end)| Window { start: at(start), end: at(end) });
            prop_assert!(due(&certificate, window, chance) <= certificate.not_after);
        }

        #[test]
        fn a_pause_is_never_shorter_than_a_minute(failures: u32, asked: Option<u64>, chance in 0.0..1.0f64) {
            let pause = pause(failures, asked.map(Duration::from_secs), chance);
            prop_assert!(pause >= FIRST_PAUSE);
        }
    }
}
