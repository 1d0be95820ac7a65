//! How keys are spread over shards and buckets.

/// A secret of the table, without which nobody can choose keys that meet in one bucket.
#[derive(Clone, Copy)]
pub(super) struct Seed([u64; 2]);

impl Seed {
    pub(super) fn random() -> Self {
        Self(rand::random())
    }

    /// Multiplies the halves of the key, each masked by a secret, and folds the product (as wyhash does). The keys
    /// are digests already, so that more is not needed.
    pub(super) fn hash(&self, key: &[u8; 16]) -> u64 {
        let key = u128::from_le_bytes(*key);
        let Self([low, high]) = *self;
        #[expect(clippy::cast_possible_truncation, reason = "the halves are meant")]
        let (a, b) = (key as u64 ^ low, (key >> 64) as u64 ^ high);
        let product = u128::from(a) * u128::from(b);
        #[expect(clippy::cast_possible_truncation, reason = "the halves are meant")]
        let folded = product as u64 ^ (product >> 64) as u64;
        folded
    }
}
