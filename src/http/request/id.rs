//! Request ids: one for each request, in the log, in error pages, and in `X-Request-Id` to the server.

use http::HeaderValue;
use rand::RngCore;

use crate::headers::{Fields, Text, ValueRef};
use crate::http::X_REQUEST_ID;

/// Longer ones from a proxy in front are replaced.
const MAX_LENGTH: usize = 128;

/// A request's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Id);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Id {
    Ours(Text),
    Given(HeaderValue),
}

impl RequestId {
    /// A new one: 128 random bits, in hexadecimal.
    pub fn random(rng: &mut impl RngCore) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut bits = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        let mut text = [0u8; 32];
        for place in text.iter_mut().rev() {
            *place = DIGITS
                .get(usize::try_from(bits & 0xf).unwrap_or(0))
                .copied()
                .unwrap_or(b'0');
            bits >>= 4;
        }
        Self(match Text::new(&text) {
            Some(text) => Id::Ours(text),
            None => Id::Given(HeaderValue::from_static("0")),
        })
    }

    /// The id that a trusted proxy in front gave the request, if it is one we would write into a log.
    pub fn from_trusted(value: ValueRef<'_>) -> Option<Self> {
        let text = value.as_bytes();
        let fine = (1..=MAX_LENGTH).contains(&text.len())
            && text
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte));
        fine.then(|| Self(Id::Given(value.to_value())))
    }

    /// Sets `X-Request-Id`.
    pub fn write(&self, fields: &mut Fields) {
        match &self.0 {
            Id::Ours(text) => fields.insert_text(X_REQUEST_ID, *text),
            Id::Given(value) => fields.insert(X_REQUEST_ID, value.clone()),
        }
    }

    /// As the value of `X-Request-Id`.
    pub fn value(&self) -> HeaderValue {
        match &self.0 {
            Id::Ours(text) => ValueRef::from(text).to_value(),
            Id::Given(value) => value.clone(),
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        let bytes = match &self.0 {
            Id::Ours(text) => text.as_bytes(),
            Id::Given(value) => value.as_bytes(),
        };
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_32_hexadecimal_digits_and_differ() {
        let mut rng = rand::rng();
        let (one, two) = (RequestId::random(&mut rng), RequestId::random(&mut rng));
        assert_eq!(one.as_str().len(), 32);
        assert!(one.as_str().bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(one, two);
    }

    #[test]
    fn only_harmless_ids_are_taken_over() {
        let from =
            |text: &str| RequestId::from_trusted((&HeaderValue::from_str(text).unwrap()).into());
        assert_eq!(from("abc-123").unwrap().as_str(), "abc-123");
        assert_eq!(from(""), None);
        assert_eq!(from("a b"), None);
        assert_eq!(from("a\"b"), None);
        assert_eq!(from(&"x".repeat(129)), None);
    }
}
