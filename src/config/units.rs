//! Durations and sizes.

use std::fmt;
use std::time::Duration;

use super::problem::shown;
use super::scalar::{Scalar, scalar};

/// Longest duration: ten years, so that adding one to a point in time can't overflow.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// A duration such as `250ms`, `30s`, `5m`, `1h`, `7d`, or a plain `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// Seconds.
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Milliseconds.
    pub const fn millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }
}

impl Scalar for Span {
    const FORMAT: &'static str = "equipoise-duration";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let (number, unit) = split(text);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" if !number.is_empty() => {
                return Err(format!(
                    "`{0}` has no unit; write {0}s or {0}ms",
                    shown(number)
                ));
            }
            _ => return Err(not_a_duration(text)),
        };
        let number: u64 = number.parse().map_err(|_| not_a_duration(text))?;
        number
            .checked_mul(milliseconds)
            .map(Duration::from_millis)
            .filter(|duration| *duration <= LONGEST)
            .map(Self)
            .ok_or_else(|| format!("`{}` is longer than ten years", shown(text)))
    }
}

fn not_a_duration(text: &str) -> String {
    format!(
        "`{}` is not a duration; write a whole number and ms, s, m, h or d, such as 250ms or 30s",
        shown(text)
    )
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        if milliseconds == 0 {
            return f.write_str("0");
        }
        for (unit, size) in [
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1_000),
        ] {
            // 1h rather than 60m, but 90s rather than 1m30s: there is one number.
            if milliseconds.is_multiple_of(size) {
                return write!(f, "{}{unit}", milliseconds / size);
            }
        }
        write!(f, "{milliseconds}ms")
    }
}

scalar!(Span, {
    "type": ["string", "integer"],
    "pattern": "^(0|[0-9]+(ms|s|m|h|d))$",
    "minimum": 0,
    "maximum": 0
});

/// A number of bytes such as `64KiB` or `1MiB`, or a plain number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// Multiples of 1024 bytes.
    pub const fn kib(number: u64) -> Self {
        Self(number * 1024)
    }

    /// The size in the platform's own type.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Scalar for Size {
    const FORMAT: &'static str = "equipoise-size";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let factor: u64 = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "K" | "k" | "KB" | "kB" | "M" | "m" | "MB" | "G" | "g" | "GB" => {
                return Err(format!(
                    "`{}` has a unit of two meanings; write KiB, MiB or GiB (powers of 1024), or plain bytes",
                    shown(text)
                ));
            }
            _ => return Err(not_a_size(text)),
        };
        let number: u64 = number.parse().map_err(|_| not_a_size(text))?;
        number
            .checked_mul(factor)
            .map(Self)
            .ok_or_else(|| format!("`{}` is more bytes than can be counted", shown(text)))
    }
}

fn not_a_size(text: &str) -> String {
    format!(
        "`{}` is not a size; write a whole number of bytes, or one with KiB, MiB or GiB, such as 64KiB",
        shown(text)
    )
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}", self.0)
    }
}

scalar!(Size, {
    "type": ["string", "integer"],
    "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)?$",
    "minimum": 0
});

/// The leading digits, and what follows them.
fn split(text: &str) -> (&str, &str) {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(digits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(
                Span::parse(text),
                Ok(Span(Duration::from_millis(milliseconds))),
                "{text}"
            );
        }
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "1.5s",
            "5 s",
            "5S",
            "5sec",
            "1m30s",
            "99999999d",
            "+5s",
        ] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
        assert!(Span::parse("5").is_err_and(|why| why.contains("write 5s")));
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("64KiB", 65_536),
            ("1MiB", 1 << 20),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(Size::parse(text), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "KiB", "-1", "1.5MiB", "1 MiB", "1kib", "16777216TiB"] {
            assert!(Size::parse(text).is_err(), "{text}");
        }
        assert!(Size::parse("1MB").is_err_and(|why| why.contains("two meanings")));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_the_same(milliseconds in 0..LONGEST.as_secs() * 1000, bytes: u64) {
            let span = Span(Duration::from_millis(milliseconds));
            prop_assert_eq!(Span::parse(&span.to_string()), Ok(span));
            let size = Size(bytes);
            prop_assert_eq!(Size::parse(&size.to_string()), Ok(size));
        }

        #[test]
        fn nothing_panics(text in "\\PC*") {
            let _ = Span::parse(&text);
            let _ = Size::parse(&text);
        }
    }
}
