//! Parameters of a query (application/x-www-form-urlencoded), compared decoded.

use std::borrow::Cow;

use crate::config::model::ValuePattern;
use crate::routing::path::decoded;

use super::fits;

/// Whether any parameter of `query` is named `name` and has a value that fits. One without `=` has an empty value.
pub(super) fn has(query: Option<&[u8]>, name: &str, pattern: &ValuePattern) -> bool {
    let parameters = query
        .unwrap_or_default()
        .split(|byte| *byte == b'&')
        .filter(|parameter| !parameter.is_empty());
    let mut values = parameters.filter_map(|parameter| {
        let mut parts = parameter.splitn(2, |byte| *byte == b'=');
        let named = Decoded(parts.next()?).eq(name.bytes());
        named.then(|| parts.next().unwrap_or_default())
    });
    values.any(|value| match pattern {
        ValuePattern::Exact(text) => Decoded(value).eq(text.bytes()),
        ValuePattern::Present => true,
        ValuePattern::Regex(_) => fits(pattern, &whole(value)),
    })
}

/// `value` decoded, without a copy if it is so already.
fn whole(value: &[u8]) -> Cow<'_, [u8]> {
    if value.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        Cow::Owned(Decoded(value).collect())
    } else {
        Cow::Borrowed(value)
    }
}

/// The bytes that text stands for: `+` is a blank, and a `%` that no two digits follow is one.
struct Decoded<'a>(&'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if let [b'%', high, low, rest @ ..] = self.0
            && let Some(byte) = decoded(*high, *low)
        {
            self.0 = rest;
            return Some(byte);
        }
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(if *byte == b'+' { b' ' } else { *byte })
    }
}
