//! The date of a cookie's `Expires`, read as browsers do (RFC 6265bis section 5.1.1).
//!
//! Servers write it in more forms than HTTP dates have (`Thu, 01-Jan-1970 00:00:00 GMT` is the most
//! common of them), so it is not read as one of a few forms but word by word.

use super::UnixTime;

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: u64 = 719_468;

/// The moment that `text` names; one before 1970 is taken for 1970. `None`: browsers would not read it.
pub(super) fn parse(text: &[u8]) -> Option<UnixTime> {
    let mut time = None;
    let mut day = None;
    let mut month = None;
    let mut year = None;
    for word in text.split(|&byte| is_delimiter(byte)) {
        // The first word that can be one of these is it, in this order.
        if time.is_none() && fill(&mut time, time_of_day(word)) {
            continue;
        }
        if day.is_none() && fill(&mut day, number(word, 1, 2)) {
            continue;
        }
        if month.is_none() && fill(&mut month, month_of(word)) {
            continue;
        }
        if year.is_none() {
            fill(&mut year, number(word, 2, 4));
        }
    }
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    seconds(year, month?, day?, time?).map(UnixTime)
}

fn fill<T>(slot: &mut Option<T>, found: Option<T>) -> bool {
    let filled = found.is_some();
    *slot = found;
    filled
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e)
}

/// The digits that `word` begins with, if there are `min` to `max` of them.
fn number(word: &[u8], min: usize, max: usize) -> Option<u64> {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit());
    let mut value = 0;
    let mut count = 0;
    for digit in digits {
        count += 1;
        if count > max {
            return None;
        }
        value = value * 10 + u64::from(digit - b'0');
    }
    (count >= min).then_some(value)
}

/// Seconds since midnight of `hh:mm:ss`, whatever follows.
fn time_of_day(word: &[u8]) -> Option<u64> {
    let mut fields = word.splitn(3, |&byte| byte == b':');
    let mut whole = |limit| {
        let field = fields.next()?;
        let all_digits = field.iter().all(u8::is_ascii_digit);
        number(field, 1, 2).filter(|&value| all_digits && value < limit)
    };
    // Out of range is no date at all (step 5 of the algorithm); an absent time is none either.
    let (hour, minute) = (whole(24)?, whole(60)?);
    let second = number(fields.next()?, 1, 2).filter(|&value| value < 60)?;
    Some(hour * 3600 + minute * 60 + second)
}

/// 1–12, by the first three letters.
fn month_of(word: &[u8]) -> Option<u64> {
    const NAMES: [&[u8; 3]; 12] = [
        b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov",
        b"dec",
    ];
    let (letters, _) = word.split_first_chunk::<3>()?;
    (1..)
        .zip(NAMES)
        .find_map(|(month, name)| letters.eq_ignore_ascii_case(name).then_some(month))
}

/// Seconds since 1970 of a date of the Gregorian calendar.
fn seconds(year: u64, month: u64, day: u64, time: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days_of_month = match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year < 1601 || !(1..=days_of_month).contains(&day) {
        return None;
    }
    // Counted from a March, so that the leap day is a year's last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = 365 * year + leap_days + (153 * month + 2) / 5 + day - 1;
    // Before the epoch, the time of day doesn't matter any more.
    Some(
        days.checked_sub(EPOCH)
            .map_or(0, |days| days * 86_400 + time),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn all_common_forms_are_read() {
        for text in [
            "Fri, 15 Jan 2027 08:00:00 GMT",
            "Fri, 15-Jan-2027 08:00:00 GMT",
            "Friday, 15-Jan-27 08:00:00 GMT",
            "Fri Jan 15 08:00:00 2027",
            "15 january 2027 8:0:0",
            "2027 08:00:00 15 JAN",
        ] {
            assert_eq!(
                parse(text.as_bytes()),
                Some(UnixTime(1_800_000_000)),
                "{text}"
            );
        }
        assert_eq!(parse(b"Thu, 01-Jan-1970 00:00:10 GMT"), Some(UnixTime(10)));
        assert_eq!(parse(b"Mon, 01 Jan 1601 12:00:00 GMT"), Some(UnixTime(0)));
        assert_eq!(parse(b"29 Feb 2000 00:00:00"), Some(UnixTime(951_782_400)));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "never",
            "Fri, 15 Jan 2027",
            "15 Jan 08:00:00",
            "32 Jan 2027 08:00:00",
            "29 Feb 2027 08:00:00",
            "29 Feb 1900 08:00:00",
            "15 Jan 2027 24:00:00",
            "15 Jan 2027 08:60:00",
            "15 Jan 1600 08:00:00",
            "15 Foo 2027 08:00:00",
            "\u{ff}:\u{ff}:\u{ff}",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_http_date_is_what_it_was_made_from(seconds in 0_u64..253_402_300_800) {
            let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            prop_assert_eq!(parse(text.as_bytes()), Some(UnixTime(seconds)));
        }

        #[test]
        fn anything_can_be_looked_at(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(&text);
        }

        #[test]
        fn anything_like_a_date_too(text in "([0-9]{1,5}|[0-9]{1,3}:[0-9]{1,3}:[0-9]{1,3}|Jan|Feb|[ -,]){0,9}") {
            let _ = parse(text.as_bytes());
        }
    }
}
