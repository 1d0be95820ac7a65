//! A server's name with the dates that HAProxy adds to it, for those who come from there with its clients.
//!
//! With `maxidle`, HAProxy's `cookie … insert` says when the cookie was set: `NAME|DATE`. With `maxlife` it says when the
//! first one was, too: `NAME|DATE|DATE`. A date is the time since 1970 in units of four seconds, rounded up, in 30 bits, as five
//! characters of base64 (`s30tob64` in its `base64.c`, read in `http_ana.c`).

use super::UnixTime;

/// Between name and dates.
const BAR: u8 = b'|';
/// Characters of a date.
const DATE: usize = 5;

/// A name with what dates there are. One that can't be read isn't there, as with HAProxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DatedName<'a> {
    pub(super) name: &'a [u8],
    /// When the cookie was set.
    pub(super) set: Option<UnixTime>,
    /// When the first cookie of the session was.
    pub(super) session_started: Option<UnixTime>,
}

impl<'a> DatedName<'a> {
    /// `None`: no date follows.
    pub(super) fn parse(value: &'a [u8]) -> Option<Self> {
        let mut parts = value.splitn(3, |&byte| byte == BAR);
        let name = parts.next()?;
        let set = parts.next()?;
        Some(Self {
            name,
            set: date(set),
            session_started: parts.next().and_then(date),
        })
    }
}

/// Whatever follows it.
fn date(text: &[u8]) -> Option<UnixTime> {
    let digits = text.get(..DATE)?.iter();
    let quarters = digits
        .copied()
        .try_fold(0_u64, |value, digit| Some(value << 6 | digit_value(digit)?))?;
    // 0 is none.
    (quarters > 0).then_some(UnixTime(quarters * 4))
}

fn digit_value(digit: u8) -> Option<u64> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(value: &str) -> Option<(String, Option<u64>, Option<u64>)> {
        let dated = DatedName::parse(value.as_bytes())?;
        let name = String::from_utf8_lossy(dated.name).into_owned();
        Some((
            name,
            dated.set.map(|at| at.0),
            dated.session_started.map(|at| at.0),
        ))
    }

    #[test]
    fn reads_what_haproxy_writes() {
        let dates = |set, started| Some(("s1".to_owned(), set, started));
        assert_eq!(parsed("s1"), None);
        assert_eq!(parsed("s1|awCnc"), dates(Some(1_795_204_976), None));
        assert_eq!(
            parsed("s1|awCnc|awCna"),
            dates(Some(1_795_204_976), Some(1_795_204_968))
        );
        assert_eq!(parsed("s1||awCna"), dates(None, Some(1_795_204_968)));
        for none in ["s1|", "s1|awCn", "s1|aw.nc", "s1|awCn=", "s1|AAAAA", "s1||"] {
            assert_eq!(parsed(none), dates(None, None), "{none}");
        }
    }

    proptest! {
        #[test]
        fn a_date_is_what_it_was_made_from(quarters in 1_u64..1 << 30) {
            const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let digit = |n: u64| DIGITS[usize::try_from(quarters >> (6 * (4 - n)) & 63).unwrap()];
            let text: Vec<u8> = (0..5).map(digit).collect();
            prop_assert_eq!(date(&text), Some(UnixTime(quarters * 4)));
        }

        #[test]
        fn anything_can_be_looked_at(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = DatedName::parse(&value);
        }
    }
}
