//! raw -> model for passive detection.

use std::ops::RangeInclusive;

use super::checks::Checks;
use super::model;
use super::raw::{self, FailureKind};
use super::route_text::Percent;
use super::tree::At;
use super::units::Span;

const WINDOW: RangeInclusive<Span> = Span::secs(1)..=Span::secs(600);
const EJECTION: RangeInclusive<Span> = Span::millis(100)..=Span::secs(3600);

/// `at` is the mapping.
pub(super) fn outlier_detection(
    raw: &raw::OutlierDetection,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> model::OutlierDetection {
    for (key, span, range) in [
        ("window", raw.window, WINDOW),
        ("ejection", raw.ejection, EJECTION),
    ] {
        if !range.contains(&span) {
            let message = format!(
                "must be from {} to {}, found {span}",
                range.start(),
                range.end()
            );
            checks.note(&at.key(key), message);
        }
    }
    for (key, percent, least) in [
        ("failure_rate", raw.failure_rate, 0),
        ("max_ejected", raw.max_ejected, 1),
    ] {
        if !(least..=100).contains(&percent.0) {
            let message = format!("must be from {least}% to 100%, found {percent}");
            checks.note(&at.key(key), message);
        }
    }
    if raw.consecutive_failures == 0 && raw.failure_rate == Percent(0) {
        let message =
            "ejects nobody with consecutive_failures: 0 and failure_rate: 0%; leave it away";
        checks.note(at, message);
    }
    let statuses = raw.on.iter().filter_map(|kind| match kind {
        FailureKind::Status(status) => Some(*status),
        _ => None,
    });
    model::OutlierDetection {
        consecutive_failures: raw.consecutive_failures,
        failure_rate: raw.failure_rate.0,
        window: raw.window.0,
        minimum: raw.minimum,
        ejection: raw.ejection.0,
        max_ejected: raw.max_ejected.0,
        on_connect_failure: raw.on.contains(&FailureKind::ConnectFailure),
        on_reset: raw.on.contains(&FailureKind::Reset),
        on_timeout: raw.on.contains(&FailureKind::Timeout),
        on_statuses: statuses.collect(),
    }
}
