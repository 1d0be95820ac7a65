//! CRC-32C (Castagnoli, RFC 9260 appendix A), which a header of version 2 may carry.

/// The polynomial, its bits in reverse.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The checksum of bytes that come in parts.
pub fn crc32c<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut sum = u32::MAX;
    for byte in parts.into_iter().flatten() {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = sum & 1;
            sum = (sum >> 1) ^ (POLYNOMIAL * carry);
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    /// Of RFC 3720 appendix B.4, and the check value of the catalogue of CRCs.
    #[test]
    fn it_is_castagnolis() {
        assert_eq!(crc32c([&[0; 32][..]]), 0x8a91_36aa);
        assert_eq!(crc32c([&[0xff; 32][..]]), 0x62a8_ab43);
        assert_eq!(crc32c([&b"1234"[..], b"56789"]), 0xe306_9283);
    }
}
