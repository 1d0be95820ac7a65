//! The normal form of paths.
//!
//! A route protects a path only if whoever is behind it understands by a path what the route understood. So there is
//! one form, and it is what servers get: dot segments resolved (RFC 3986 section 5.2.4), slashes merged, no unreserved
//! character in percent-encoding, hexadecimal digits in upper case (section 6.2.2). Routes compare that form without
//! the parameters of its segments and with the other escapes decoded. A path about which servers could differ even
//! then has no normal form.
//!
//! [`PathForm`] has what may be kept for servers whose paths mean something by it. Routes compare the same even then: what a
//! server that merges slashes or decodes them would see.

use std::borrow::Cow;

pub use crate::config::model::PathForm;

/// A request's path in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalPath<'a> {
    /// What servers are asked for.
    pub forwarded: Cow<'a, [u8]>,
    /// What routes compare: decoded, without parameters.
    pub compared: Cow<'a, [u8]>,
}

impl NormalPath<'_> {
    /// What of `forwarded` makes the first `taken` bytes of `compared`.
    pub fn prefix(&self, taken: usize) -> &[u8] {
        let length = forwarded_length(&self.forwarded, taken);
        self.forwarded.get(..length).unwrap_or_default()
    }
}

/// The normal form of `path`, a request's target without its query. `*` is one already, and nothing is `/`.
///
/// # Errors
///
/// Why it has none, in words.
pub fn normalize(path: &[u8], form: PathForm) -> Result<NormalPath<'_>, &'static str> {
    if path == b"*" || is_plain(path) {
        return Ok(NormalPath {
            forwarded: Cow::Borrowed(path),
            compared: Cow::Borrowed(path),
        });
    }
    let forwarded = forwarded(path, form)?;
    let differs = |pair: &[u8]| matches!(pair, [b'%' | b';', ..] | [b'/', b'/']);
    let compared = (forwarded.windows(2).any(differs) || forwarded.ends_with(b";"))
        .then(|| compared(&forwarded));
    Ok(if forwarded == path {
        NormalPath {
            forwarded: Cow::Borrowed(path),
            compared: compared.map_or(Cow::Borrowed(path), Cow::Owned),
        }
    } else {
        NormalPath {
            compared: Cow::Owned(compared.unwrap_or_else(|| forwarded.clone())),
            forwarded: Cow::Owned(forwarded),
        }
    })
}

/// How many bytes of `forwarded`, a path in the form that servers get, make the first `taken` bytes of the compared
/// form. Parameters behind them aren't among them, but slashes that are one with the last are.
pub(super) fn forwarded_length(forwarded: &[u8], taken: usize) -> usize {
    let mut units = Units(forwarded);
    let mut left = taken;
    let mut after_slash = false;
    while left > 0 {
        match units.next() {
            Some(Unit::Byte(b';')) => units.skip_parameters(),
            Some(unit) if unit.is_slash() && after_slash => {}
            Some(unit) => {
                left -= 1;
                after_slash = unit.is_slash();
            }
            None => break,
        }
    }
    if after_slash {
        while Units(units.0).next().is_some_and(Unit::is_slash) {
            units.next();
        }
    }
    forwarded.len() - units.0.len()
}

/// Whether nothing of `path` is to be changed, decoded or cut off: the usual one, seen in one scan.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        match (before, *byte) {
            (_, b'%' | b';' | b'\\' | b'#' | b'?' | ..=b' ' | 0x7f) | (b'/', b'/') => return false,
            (b'/', b'.') if matches!(after, [] | [b'/', ..] | [b'.'] | [b'.', b'/', ..]) => {
                return false;
            }
            _ => {}
        }
        before = *byte;
        rest = after;
    }
    path.first() == Some(&b'/')
}

fn forwarded(path: &[u8], form: PathForm) -> Result<Vec<u8>, &'static str> {
    let segments = match path {
        [] => path,
        [b'/', segments @ ..] => segments,
        _ => return Err("the path does not begin with a slash"),
    };
    let mut out = Vec::with_capacity(path.len().max(1));
    let mut segments = segments.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let start = out.len();
        out.push(b'/');
        push_segment(segment, form, &mut out)?;
        match out.get(start + 1..).unwrap_or_default() {
            b"" if last || form.slashes => {}
            b"" => out.truncate(start),
            b"." => out.truncate(start + usize::from(last)),
            b".." => {
                let before = out.get(..start).unwrap_or_default();
                if before.ends_with(b"/") {
                    // To a server that merges slashes it leads further up.
                    return Err("the path leads up from between two slashes");
                }
                let parent = before
                    .iter()
                    .rposition(|byte| *byte == b'/')
                    .ok_or("the path leads above the root")?;
                out.truncate(parent + usize::from(last));
            }
            segment => check_segment(segment, last, form)?,
        }
    }
    Ok(out)
}

/// Adds `segment` with only those escapes that it needs.
fn push_segment(segment: &[u8], form: PathForm, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut rest = segment;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'%' => {
                let [high, low, after @ ..] = after else {
                    return Err("the path has a % without two hexadecimal digits");
                };
                let byte = decoded(*high, *low)
                    .ok_or("the path has a % without two hexadecimal digits")?;
                rest = after;
                match byte {
                    ..b' ' | 0x7f => return Err("the path has an encoded control character"),
                    b'/' | b'\\' if !form.encoded_slashes => {
                        return Err("the path has an encoded slash or backslash");
                    }
                    b'-' | b'.' | b'_' | b'~' => out.push(byte),
                    _ if byte.is_ascii_alphanumeric() => out.push(byte),
                    _ => {
                        out.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
                    }
                }
            }
            b'\\' => return Err("the path has a backslash"),
            b'#' | b'?' => return Err("the path has a # or ? that is not encoded"),
            ..=b' ' | 0x7f => return Err("the path has a blank or a control character"),
            _ => out.push(*byte),
        }
    }
    Ok(())
}

/// Refuses a segment that is another one, or several, to a server that cuts parameters off or decodes before it
/// looks where segments end.
fn check_segment(segment: &[u8], last: bool, form: PathForm) -> Result<(), &'static str> {
    let mut units = Units(segment);
    // The pieces between encoded slashes, each by its first bytes: nothing else matters.
    let (mut length, mut dots, mut pieces) = (0, 0, 1);
    let is_dots = |length, dots| length == dots && (1..=2).contains(&dots);
    while let Some(unit) = units.next() {
        match unit {
            Unit::Byte(b';') => {
                if units.any(|unit| unit == Unit::Slash) {
                    return Err("the path has an encoded slash in a parameter");
                }
                break;
            }
            Unit::Slash if length == 0 && !form.slashes => {
                return Err("the path has an empty segment by an encoded slash");
            }
            Unit::Slash if is_dots(length, dots) => {
                return Err("the path has a segment . or .. by an encoded slash");
            }
            Unit::Slash => {
                pieces += 1;
                (length, dots) = (0, 0);
            }
            Unit::Byte(byte) => {
                length += 1;
                dots += usize::from(byte == b'.');
            }
        }
    }
    match length {
        0 if !last && pieces == 1 => Err("the path has a segment of nothing but parameters"),
        0 if !last && !form.slashes => Err("the path has an empty segment by an encoded slash"),
        _ if is_dots(length, dots) && pieces == 1 => {
            Err("the path has a segment . or .. with parameters")
        }
        _ if is_dots(length, dots) => Err("the path has a segment . or .. by an encoded slash"),
        _ => Ok(()),
    }
}

fn compared(forwarded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(forwarded.len());
    let mut units = Units(forwarded);
    while let Some(unit) = units.next() {
        match unit {
            Unit::Byte(b';') => units.skip_parameters(),
            unit if unit.is_slash() && out.ends_with(b"/") => {}
            Unit::Byte(byte) => out.push(byte),
            Unit::Slash => out.push(b'/'),
        }
    }
    out
}

/// A byte of the compared form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// As it is, or decoded.
    Byte(u8),
    /// An encoded slash or backslash.
    Slash,
}

impl Unit {
    fn is_slash(self) -> bool {
        matches!(self, Self::Slash | Self::Byte(b'/'))
    }
}

/// What a forwarded path is read as, escape by escape. An encoded semicolon is one as well: to a server that decodes
/// first, parameters begin there.
struct Units<'a>(&'a [u8]);

impl Units<'_> {
    /// Goes on where the segment ends.
    fn skip_parameters(&mut self) {
        let end = self.0.iter().position(|byte| *byte == b'/');
        self.0 = end.and_then(|end| self.0.get(end..)).unwrap_or_default();
    }
}

impl Iterator for Units<'_> {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        if let [b'%', high, low, rest @ ..] = self.0
            && let Some(byte) = decoded(*high, *low)
        {
            self.0 = rest;
            return Some(match byte {
                b'/' | b'\\' => Unit::Slash,
                byte => Unit::Byte(byte),
            });
        }
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(Unit::Byte(*byte))
    }
}

/// The byte that two hexadecimal digits stand for.
pub(super) fn decoded(high: u8, low: u8) -> Option<u8> {
    let digit = |byte| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests;
