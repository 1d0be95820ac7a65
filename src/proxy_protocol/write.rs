//! Writing a header of either version.

use std::net::{IpAddr, SocketAddr};

use super::tlv::{Tls, Tlvs, kind};
use super::{Addresses, SIGNATURE};

/// Bytes of a unique id that may be said.
const LONGEST_ID: usize = 128;

/// Which version is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text, with addresses alone.
    V1,
    /// Binary, with all that is known.
    V2,
}

/// What is known of a connection beside its addresses. What is known here goes before what a proxy in front has said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// The protocol that the client agreed on.
    pub alpn: Option<&'a [u8]>,
    /// The host name that it asked for by TLS.
    pub authority: Option<&'a [u8]>,
    /// What tells the connection from all others, unless a proxy in front has given it a name already.
    pub unique_id: Option<&'a [u8]>,
    /// Its TLS.
    pub tls: Option<Tls<'a>>,
    /// What a proxy in front has said.
    pub passed: Option<&'a Tlvs>,
}

/// Writes headers of one version.
#[derive(Debug, Clone, Copy)]
pub struct Writer(pub Version);

impl Writer {
    /// For a connection of our own, as for a check. Version 1 has no word for it; what is unknown is treated alike.
    pub fn local(self) -> Vec<u8> {
        match self.0 {
            Version::V1 => b"PROXY UNKNOWN\r\n".to_vec(),
            Version::V2 => binary(0x20, 0x00, &[], &Tlvs::default()),
        }
    }

    /// For a client's connection.
    pub fn header(self, addresses: &Addresses, facts: &Facts<'_>) -> Vec<u8> {
        match (self.0, addresses) {
            (_, Addresses::Local) => self.local(),
            (
                Version::V1,
                Addresses::Inet {
                    source,
                    destination,
                },
            ) => line(*source, *destination),
            (Version::V1, _) => b"PROXY UNKNOWN\r\n".to_vec(),
            (Version::V2, Addresses::Unknown) => binary(0x21, 0x00, &[], &tlvs(facts)),
            (
                Version::V2,
                Addresses::Inet {
                    source,
                    destination,
                },
            ) => {
                let family = if source.is_ipv4() { 0x11 } else { 0x21 };
                binary(0x21, family, &inet(*source, *destination), &tlvs(facts))
            }
            (Version::V2, Addresses::Unix(unix)) => {
                let paths = [unix.source, unix.destination].concat();
                binary(0x21, 0x31, &paths, &tlvs(facts))
            }
        }
    }
}

fn line(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    let ports = (source.port(), destination.port());
    format!("PROXY {family} {from} {to} {} {}\r\n", ports.0, ports.1).into_bytes()
}

fn inet(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(36);
    for address in [source, destination] {
        match address.ip() {
            IpAddr::V4(address) => bytes.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => bytes.extend_from_slice(&address.octets()),
        }
    }
    for address in [source, destination] {
        bytes.extend_from_slice(&address.port().to_be_bytes());
    }
    bytes
}

/// All that is to be said, what is known here first.
fn tlvs(facts: &Facts<'_>) -> Tlvs {
    let passed = facts.passed;
    let named = passed.is_some_and(|passed| passed.find(kind::UNIQUE_ID).is_some());
    let mut tlvs = Tlvs::default();
    if let Some(alpn) = facts.alpn {
        tlvs.push(kind::ALPN, alpn);
    }
    if let Some(authority) = facts.authority {
        tlvs.push(kind::AUTHORITY, authority);
    }
    if let Some(id) = facts.unique_id
        && !named
        && id.len() <= LONGEST_ID
    {
        tlvs.push(kind::UNIQUE_ID, id);
    }
    if let Some(tls) = &facts.tls {
        tlvs.push_tls(tls);
    }
    for (kind, value) in passed.into_iter().flat_map(Tlvs::iter) {
        let is_known_here = match kind {
            kind::ALPN => facts.alpn.is_some(),
            kind::AUTHORITY => facts.authority.is_some(),
            kind::SSL => facts.tls.is_some(),
            _ => false,
        };
        if !is_known_here {
            tlvs.push(kind, value);
        }
    }
    tlvs
}

/// A header of version 2. What it has no room for at its end is left away.
fn binary(command: u8, family: u8, addresses: &[u8], tlvs: &Tlvs) -> Vec<u8> {
    let room = usize::from(u16::MAX) - addresses.len();
    let mut said = Tlvs::default();
    for (kind, value) in tlvs.iter() {
        if said.as_bytes().len() + 3 + value.len() > room {
            break;
        }
        said.push(kind, value);
    }
    let length = addresses.len() + said.as_bytes().len();
    let mut header = Vec::with_capacity(16 + length);
    header.extend_from_slice(SIGNATURE);
    header.extend_from_slice(&[command, family]);
    let length = u16::try_from(length).unwrap_or(u16::MAX);
    header.extend_from_slice(&length.to_be_bytes());
    header.extend_from_slice(addresses);
    header.extend_from_slice(said.as_bytes());
    header
}
