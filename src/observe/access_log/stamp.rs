//! Time stamps, formatted once a second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::ascii;

const RFC_3339: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
const COMMON_LOG: &[BorrowedFormatItem<'_>] =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");

/// The last second that was written, both ways.
#[derive(Default)]
pub(super) struct Stamp {
    second: Option<u64>,
    rfc_3339: Vec<u8>,
    common_log: Vec<u8>,
}

impl Stamp {
    /// Appends RFC 3339 with milliseconds, in UTC: `2000-10-10T13:55:36.042Z`.
    pub(super) fn rfc_3339(&mut self, out: &mut Vec<u8>, time: SystemTime) {
        let since_epoch = self.turn_to(time);
        out.extend_from_slice(&self.rfc_3339);
        out.push(b'.');
        ascii::push_padded(out, since_epoch.subsec_millis(), 3);
        out.push(b'Z');
    }

    /// Appends the Common Log Format's time, in UTC: `10/Oct/2000:13:55:36 +0000`.
    pub(super) fn common_log(&mut self, out: &mut Vec<u8>, time: SystemTime) {
        self.turn_to(time);
        out.extend_from_slice(&self.common_log);
    }

    fn turn_to(&mut self, time: SystemTime) -> Duration {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let second = since_epoch.as_secs();
        if self.second != Some(second) {
            let utc = i64::try_from(second)
                .ok()
                .and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok())
                .unwrap_or(OffsetDateTime::UNIX_EPOCH);
            self.rfc_3339.clear();
            self.common_log.clear();
            // Neither memory nor a whole date can make these fail.
            let _ = utc.format_into(&mut self.rfc_3339, RFC_3339);
            let _ = utc.format_into(&mut self.common_log, COMMON_LOG);
            self.second = Some(second);
        }
        since_epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_follow_the_time() {
        let mut stamp = Stamp::default();
        let mut written = |milliseconds| {
            let time = UNIX_EPOCH + Duration::from_millis(milliseconds);
            let (mut long, mut short) = (Vec::new(), Vec::new());
            stamp.rfc_3339(&mut long, time);
            stamp.common_log(&mut short, time);
            (
                String::from_utf8(long).expect("ASCII"),
                String::from_utf8(short).expect("ASCII"),
            )
        };
        let expected = |long: &str, short: &str| (long.to_owned(), short.to_owned());
        assert_eq!(
            written(971_186_136_042),
            expected("2000-10-10T13:55:36.042Z", "10/Oct/2000:13:55:36 +0000")
        );
        assert_eq!(
            written(971_186_136_999),
            expected("2000-10-10T13:55:36.999Z", "10/Oct/2000:13:55:36 +0000")
        );
        assert_eq!(
            written(971_186_137_000),
            expected("2000-10-10T13:55:37.000Z", "10/Oct/2000:13:55:37 +0000")
        );
        assert_eq!(
            written(0),
            expected("1970-01-01T00:00:00.000Z", "01/Jan/1970:00:00:00 +0000")
        );
    }
}
