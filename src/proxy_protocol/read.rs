//! Reading a header of either version, however it is cut into pieces.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::checksum::crc32c;
use super::tlv::{Tlvs, kind};
use super::{Addresses, Header, LONGEST_LINE, SIGNATURE, UNIX_PATH, UnixAddresses, WORD};

/// Bytes of version 2 before its addresses.
const FIXED: usize = 16;

/// Why something is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It begins like neither version.
    #[error("what came first is no PROXY header")]
    NoHeader,
    /// A line without an end.
    #[error("the line of the PROXY header doesn't end within {LONGEST_LINE} bytes")]
    TooLong,
    /// A line that doesn't say what it has to say.
    #[error(
        "the line of the PROXY header isn't PROXY TCP4|TCP6|UNKNOWN with two addresses and two ports"
    )]
    Line,
    /// A version after 2.
    #[error("the PROXY header is of a version that isn't known")]
    Version,
    /// Neither LOCAL nor PROXY.
    #[error("the PROXY header has a command that isn't known")]
    Command,
    /// Addresses of no family that version 2 has.
    #[error("the PROXY header has addresses of a family that isn't known")]
    Family,
    /// Less room than its addresses need.
    #[error("the PROXY header is too short for its addresses")]
    Addresses,
    /// Its TLVs don't add up.
    #[error("the PROXY header has a TLV that is longer than it says")]
    Tlv,
    /// It isn't what was sent.
    #[error("the checksum of the PROXY header is wrong")]
    Checksum,
}

/// The header that `bytes` begin with, and its length. `None`: more has to come, and all that has come belongs to the
/// header.
///
/// # Errors
///
/// It can't become one, whatever comes.
pub fn read(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    if begins(bytes, WORD) {
        line(bytes)
    } else if begins(bytes, SIGNATURE) {
        binary(bytes)
    } else {
        Err(Malformed::NoHeader)
    }
}

/// Whether `bytes` begin like this, as far as both go.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    bytes.iter().zip(with).all(|(is, wanted)| is == wanted)
}

fn line(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let window = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|two| two == b"\r\n") else {
        return if window.len() < LONGEST_LINE {
            Ok(None)
        } else {
            Err(Malformed::TooLong)
        };
    };
    let text = window.get(WORD.len()..end).unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| Malformed::Line)?;
    let header = Header {
        addresses: line_addresses(text).ok_or(Malformed::Line)?,
        tlvs: Tlvs::default(),
    };
    Ok(Some((header, end + 2)))
}

/// What follows the word PROXY.
fn line_addresses(text: &str) -> Option<Addresses> {
    // What else stands there is to be ignored.
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Some(Addresses::Unknown);
    }
    let mut parts = text.split(' ');
    let family = parts.next()?;
    let mut address = || -> Option<IpAddr> {
        let text = parts.next()?;
        match family {
            "TCP4" => Ipv4Addr::from_str(text).ok().map(IpAddr::V4),
            "TCP6" => Ipv6Addr::from_str(text).ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (source, destination) = (address()?, address()?);
    let mut port = || -> Option<u16> {
        let text = parts.next()?;
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = is_number && (text == "0" || !text.starts_with('0'));
        text.parse().ok().filter(|_| is_plain)
    };
    let (from, to) = (port()?, port()?);
    parts.next().is_none().then_some(Addresses::Inet {
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
    })
}

fn binary(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let Some(&command) = bytes.get(12) else {
        return Ok(None);
    };
    if command >> 4 != 2 {
        return Err(Malformed::Version);
    }
    let is_local = match command & 0x0f {
        0 => true,
        1 => false,
        _ => return Err(Malformed::Command),
    };
    let (Some(&family), Some(&[high, low])) = (bytes.get(13), bytes.get(14..FIXED)) else {
        return Ok(None);
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    let Some(whole) = bytes.get(..length) else {
        return Ok(None);
    };
    let content = whole.get(FIXED..).unwrap_or_default();
    let header = if is_local {
        // What else is in there is of no interest, whatever it is.
        Header {
            addresses: Addresses::Local,
            tlvs: Tlvs::default(),
        }
    } else {
        let (addresses, rest) = binary_addresses(family, content)?;
        let all = Tlvs::of(rest).ok_or(Malformed::Tlv)?;
        if let Some(sum) = all.find(kind::CRC32C) {
            check_sum(whole, rest.len(), &all, sum)?;
        }
        Header {
            addresses,
            tlvs: all.to_pass_on(),
        }
    };
    Ok(Some((header, length)))
}

/// The addresses, and what is behind them.
fn binary_addresses(family: u8, content: &[u8]) -> Result<(Addresses, &[u8]), Malformed> {
    match family {
        0x11 => {
            let (source, rest) = split::<4>(content)?;
            let (destination, rest) = split::<4>(rest)?;
            let (ports, rest) = split::<4>(rest)?;
            let (source, destination) = (Ipv4Addr::from(*source), Ipv4Addr::from(*destination));
            Ok((inet(source, destination, *ports), rest))
        }
        0x21 => {
            let (source, rest) = split::<16>(content)?;
            let (destination, rest) = split::<16>(rest)?;
            let (ports, rest) = split::<4>(rest)?;
            let (source, destination) = (Ipv6Addr::from(*source), Ipv6Addr::from(*destination));
            Ok((inet(source, destination, *ports), rest))
        }
        0x31 => {
            let (source, rest) = split::<UNIX_PATH>(content)?;
            let (destination, rest) = split::<UNIX_PATH>(rest)?;
            let addresses = UnixAddresses {
                source: *source,
                destination: *destination,
            };
            Ok((Addresses::Unix(Box::new(addresses)), rest))
        }
        // Datagrams have the same addresses, and are none of ours.
        0x12 => split::<12>(content).map(|(_, rest)| (Addresses::Unknown, rest)),
        0x22 => split::<36>(content).map(|(_, rest)| (Addresses::Unknown, rest)),
        0x32 => split::<{ 2 * UNIX_PATH }>(content).map(|(_, rest)| (Addresses::Unknown, rest)),
        0x00 => Ok((Addresses::Unknown, content)),
        // Values that version 2 doesn't have are to be refused (its specification, section 2.2).
        _ => Err(Malformed::Family),
    }
}

fn inet(source: impl Into<IpAddr>, destination: impl Into<IpAddr>, ports: [u8; 4]) -> Addresses {
    let [a, b, c, d] = ports;
    Addresses::Inet {
        source: SocketAddr::new(source.into(), u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination.into(), u16::from_be_bytes([c, d])),
    }
}

fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), Malformed> {
    bytes.split_first_chunk().ok_or(Malformed::Addresses)
}

/// Compares the checksum with that of the header with zeros in its place.
fn check_sum(whole: &[u8], tlvs: usize, all: &Tlvs, sum: &[u8]) -> Result<(), Malformed> {
    let wanted = <[u8; 4]>::try_from(sum).map_err(|_| Malformed::Tlv)?;
    let place = all.value_place(kind::CRC32C).ok_or(Malformed::Tlv)?;
    let start = whole.len() - tlvs + place;
    let before = whole.get(..start).unwrap_or_default();
    let after = whole.get(start + 4..).unwrap_or_default();
    if crc32c([before, &[0; 4], after]) == u32::from_be_bytes(wanted) {
        Ok(())
    } else {
        Err(Malformed::Checksum)
    }
}
