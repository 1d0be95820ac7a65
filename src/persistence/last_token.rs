//! The token that was verified last on a connection: nearly all of its requests bring the same one, and what it says is
//! known then without a look at the keys.

use parking_lot::Mutex;

use super::token::{Claims, ENCODED};

/// What a connection remembers of its tokens.
#[derive(Debug, Default)]
pub struct LastToken(Mutex<Option<Verified>>);

/// A token that somebody with our keys made.
#[derive(Debug, Clone, Copy)]
struct Verified {
    codec: u64,
    text: [u8; ENCODED],
    key: usize,
    claims: Claims,
}

impl LastToken {
    /// Which of the codec's keys verified that very token, and what it says; `None`: it has to be verified.
    pub(super) fn recall(&self, codec: u64, text: &[u8]) -> Option<(usize, Claims)> {
        let last = *self.0.lock();
        last.filter(|last| last.codec == codec && last.text == *text)
            .map(|last| (last.key, last.claims))
    }

    /// A token was verified.
    pub(super) fn note(&self, codec: u64, text: &[u8], key: usize, claims: Claims) {
        if let Ok(text) = text.try_into() {
            *self.0.lock() = Some(Verified {
                codec,
                text,
                key,
                claims,
            });
        }
    }
}
