//! The key of a session in the session table.
//!
//! A table may be large, may be in another process and may be dumped, so it holds no session id, which would
//! be as good as a password, and no client address, but 128 bits of a digest. Session ids can't be
//! guessed, so nothing leads back from their digests. Addresses can: who has the table can find out
//! whether a given address is in it.

use std::net::IpAddr;

use sha2::{Digest as _, Sha256};

/// A session's key. Nodes with a pool of the same name have the same key for the same session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey([u8; 16]);

impl SessionKey {
    /// From what [`SessionKey::as_bytes`] gave.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Uniformly distributed.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The keys of the sessions that a request may belong to, in its order: at least one, at most four. A client sends
/// several cookies of one name only if they were set for different paths or domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionKeys {
    first: SessionKey,
    others: [Option<SessionKey>; 3],
}

impl SessionKeys {
    /// The first of `keys`; `None` if there is none.
    pub(super) fn collect(mut keys: impl Iterator<Item = SessionKey>) -> Option<Self> {
        Some(Self {
            first: keys.next()?,
            others: std::array::from_fn(|_| keys.next()),
        })
    }

    /// The first of them.
    pub const fn first(&self) -> SessionKey {
        self.first
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = SessionKey> + use<> {
        std::iter::once(self.first).chain(self.others.into_iter().flatten())
    }
}

impl From<SessionKey> for SessionKeys {
    fn from(first: SessionKey) -> Self {
        Self {
            first,
            others: [None; 3],
        }
    }
}

/// Makes the keys of one pool.
#[derive(Clone)]
pub(super) struct KeyMaker(Sha256);

/// What a key is made from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// The value of the backend's cookie.
    Cookie = 1,
    /// The network of a client address.
    Network = 2,
    /// The value of a header field.
    Header = 3,
}

impl KeyMaker {
    pub(super) fn new(kind: Kind, pool: &str) -> Self {
        // No pool's name is the beginning of another's message: its length comes first.
        let state = Sha256::new()
            .chain_update([kind as u8])
            .chain_update(u64::try_from(pool.len()).unwrap_or(u64::MAX).to_be_bytes())
            .chain_update(pool);
        Self(state)
    }

    /// The key of the session that has this value of a cookie or a header field.
    pub(super) fn of_value(&self, value: &[u8]) -> SessionKey {
        finish(self.0.clone().chain_update(value))
    }

    /// The key of the clients whose addresses share the first `prefix` bits with `address`.
    pub(super) fn of_network(&self, address: IpAddr, prefix: u8) -> SessionKey {
        let state = self.0.clone().chain_update([prefix]);
        finish(match address {
            IpAddr::V4(address) => {
                let bits = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into()));
                state.chain_update((address.to_bits() & bits.unwrap_or(0)).to_be_bytes())
            }
            IpAddr::V6(address) => {
                let bits = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into()));
                state.chain_update((address.to_bits() & bits.unwrap_or(0)).to_be_bytes())
            }
        })
    }
}

fn finish(state: Sha256) -> SessionKey {
    let mut key = [0; 16];
    for (byte, digest) in key.iter_mut().zip(state.finalize()) {
        *byte = digest;
    }
    SessionKey(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cookie(pool: &str, value: &str) -> SessionKey {
        KeyMaker::new(Kind::Cookie, pool).of_value(value.as_bytes())
    }

    fn network(address: &str, prefix: u8) -> SessionKey {
        KeyMaker::new(Kind::Network, "pool").of_network(address.parse().unwrap(), prefix)
    }

    /// Computed with Python's `hashlib` from the description above: nodes of two versions share one table.
    #[test]
    fn the_form_is_what_it_was() {
        assert_eq!(cookie("tomcats", "0A1B2C").as_bytes(), &COOKIE_KEY);
        assert_eq!(network("192.0.2.77", 24).as_bytes(), &NETWORK_KEY);
    }

    const COOKIE_KEY: [u8; 16] = [
        0x98, 0x8e, 0xa3, 0x96, 0x38, 0x72, 0x09, 0x6a, 0x45, 0x19, 0x63, 0x77, 0x93, 0x2f, 0x4a,
        0x18,
    ];
    const NETWORK_KEY: [u8; 16] = [
        0xc9, 0x12, 0x90, 0x5b, 0xda, 0x93, 0xee, 0xb4, 0x2b, 0x4a, 0xff, 0x42, 0x44, 0xee, 0xc0,
        0xa3,
    ];

    #[test]
    fn pool_kind_and_value_make_the_key() {
        assert_eq!(cookie("pool", "a"), cookie("pool", "a"));
        assert_ne!(cookie("pool", "a"), cookie("pool", "b"));
        assert_ne!(cookie("pool", "a"), cookie("poola", ""));
        assert_ne!(
            KeyMaker::new(Kind::Cookie, "pool").of_value(b"a"),
            KeyMaker::new(Kind::Network, "pool").of_value(b"a")
        );
    }

    #[test]
    fn a_prefix_of_zero_is_everybody() {
        assert_eq!(network("192.0.2.1", 0), network("10.0.0.1", 0));
        assert_eq!(network("2001:db8::1", 0), network("::1", 0));
        assert_ne!(network("192.0.2.1", 0), network("::1", 0));
    }

    proptest! {
        #[test]
        fn what_is_beyond_the_prefix_does_not_count(address: u32, flip in 0_u32..32, prefix in 0_u8..=32) {
            let maker = KeyMaker::new(Kind::Network, "pool");
            let key = |bits: u32| maker.of_network(IpAddr::V4(bits.into()), prefix);
            let same = key(address) == key(address ^ (1 << (31 - flip)));
            prop_assert_eq!(same, flip >= prefix.into());
        }

        #[test]
        fn nor_of_the_larger_addresses(address: u128, flip in 0_u32..128, prefix in 0_u8..=128) {
            let maker = KeyMaker::new(Kind::Network, "pool");
            let key = |bits: u128| maker.of_network(IpAddr::V6(bits.into()), prefix);
            let same = key(address) == key(address ^ (1 << (127 - flip)));
            prop_assert_eq!(same, flip >= prefix.into());
        }
    }
}
