//! Both directions against each other, and against what is written down.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::checksum::crc32c;
use super::*;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn inet(source: &str, destination: &str) -> Addresses {
    Addresses::Inet {
        source: addr(source),
        destination: addr(destination),
    }
}

fn addresses(bytes: &[u8]) -> Result<Option<(Addresses, usize)>, Malformed> {
    read(bytes).map(|read| read.map(|(header, length)| (header.addresses, length)))
}

/// A header of version 2.
fn v2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, content].concat()
}

#[test]
fn lines_are_read_as_they_are_specified() {
    let v4 = inet("192.0.2.1:56324", "192.0.2.2:443");
    let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET /";
    assert_eq!(addresses(line), Ok(Some((v4, line.len() - 5))));
    let v6 = inet("[2001:db8::1]:0", "[::1]:65535");
    let line = b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n";
    assert_eq!(addresses(line), Ok(Some((v6, line.len()))));
    for unknown in [
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN ff::1 x 1 2 and more\r\n",
    ] {
        let whole = Ok(Some((Addresses::Unknown, unknown.len())));
        assert_eq!(addresses(unknown.as_bytes()), whole, "{unknown}");
    }
}

#[test]
fn lines_that_are_something_else_are_refused() {
    for wrong in [
        "PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 1\r\n",
        "PROXY TCP4 192.0.2.1  192.0.2.2 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 56324 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 056 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +5 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -5 443\r\n",
        "PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 ::1 ::2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 fe80::1%1 ::2 1 2\r\n",
        "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        "PROXY \u{1F600}\r\n",
    ] {
        assert_eq!(addresses(wrong.as_bytes()), Err(Malformed::Line), "{wrong}");
    }
    for wrong in [
        "proxy TCP4 ",
        "GET / HTTP/1.1\r\n",
        "PROXYTCP4",
        "\r\n\r\nX",
        "\x16\x03\x01",
    ] {
        assert_eq!(
            addresses(wrong.as_bytes()),
            Err(Malformed::NoHeader),
            "{wrong}"
        );
    }
    let endless = [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat();
    assert_eq!(addresses(&endless), Err(Malformed::TooLong));
    let longest = format!("PROXY UNKNOWN {:91}\r\n", "x");
    assert_eq!(longest.len(), LONGEST_LINE);
    assert!(addresses(longest.as_bytes()).unwrap().is_some());
}

#[test]
fn binary_headers_are_read_as_they_are_specified() {
    let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 0x01, 0xbb];
    let header = v2(0x21, 0x11, &v4);
    let whole = inet("192.0.2.1:56324", "192.0.2.2:443");
    assert_eq!(addresses(&header), Ok(Some((whole, 28))));
    // A datagram's addresses are nothing that we could use, but TLVs are behind them.
    let tlv = [&v4[..], &[kind::AWS, 0, 2, 1, 2]].concat();
    let (datagram, _) = read(&v2(0x21, 0x12, &tlv)).unwrap().unwrap();
    assert_eq!(datagram.addresses, Addresses::Unknown);
    assert_eq!(datagram.tlvs.find(kind::AWS), Some(&[1, 2][..]));
    for (command, family, content, expected) in [
        (0x20, 0x00, &b""[..], Addresses::Local),
        (0x20, 0x11, b"whatever it is", Addresses::Local),
        (0x21, 0x00, b"", Addresses::Unknown),
    ] {
        let header = v2(command, family, content);
        assert_eq!(addresses(&header), Ok(Some((expected, header.len()))));
    }
    for (command, family, content, wrong) in [
        (0x11, 0x11, &v4[..], Malformed::Version),
        (0x22, 0x11, &v4, Malformed::Command),
        (0x21, 0x41, &v4, Malformed::Family),
        (0x21, 0x13, &v4, Malformed::Family),
        (0x21, 0x11, &v4[..11], Malformed::Addresses),
        (0x21, 0x21, &v4, Malformed::Addresses),
        (0x21, 0x31, &v4, Malformed::Addresses),
        (0x21, 0x00, &[4, 0], Malformed::Tlv),
        (0x21, 0x00, &[4, 0, 2, 1], Malformed::Tlv),
        (0x21, 0x00, &[3, 0, 4, 1, 2, 3, 4], Malformed::Checksum),
        (0x21, 0x00, &[3, 0, 3, 1, 2, 3], Malformed::Tlv),
    ] {
        assert_eq!(addresses(&v2(command, family, content)), Err(wrong));
    }
}

#[test]
fn a_right_checksum_is_right_and_is_not_passed_on() {
    let content = [
        &[kind::AUTHORITY, 0, 1, b'a', kind::CRC32C, 0, 4][..],
        &[0; 4],
        &[4, 0, 0],
    ];
    let mut header = v2(0x21, 0x00, &content.concat());
    let sum = crc32c([&*header]).to_be_bytes();
    header[23..27].copy_from_slice(&sum);
    let (read, _) = read(&header).unwrap().unwrap();
    let all: Vec<_> = read.tlvs.iter().collect();
    assert_eq!(all, [(kind::AUTHORITY, &b"a"[..])]);
}

#[test]
fn what_is_known_here_goes_before_what_was_said() {
    let mut passed = Tlvs::default();
    for (kind, value) in [
        (kind::AUTHORITY, &b"said"[..]),
        (kind::SSL, &[1, 0, 0, 0, 0]),
        (kind::UNIQUE_ID, b"first"),
        (kind::AWS, b"\x01vpce-1"),
        (kind::GCP, &[9; 8]),
    ] {
        passed.push(kind, value);
    }
    let facts = Facts {
        alpn: Some(b"h2"),
        authority: Some(b"ours"),
        unique_id: Some(b"second"),
        tls: Some(Tls {
            version: "TLSv1.3",
            cipher: "X",
            client: Some(TlsClient {
                common_name: Some("alice"),
                resumed: true,
            }),
        }),
        passed: Some(&passed),
    };
    let addresses = Addresses::inet(addr("192.0.2.1:1"), addr("[::1]:2"));
    let header = Writer(Version::V2).header(&addresses, &facts);
    let (read, length) = read(&header).unwrap().unwrap();
    assert_eq!(length, header.len());
    assert_eq!(read.addresses, inet("[::ffff:192.0.2.1]:1", "[::1]:2"));
    let all: Vec<_> = read.tlvs.iter().collect();
    let ssl = b"\x05\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x05alice\x23\0\x01X";
    assert_eq!(
        all,
        [
            (kind::ALPN, &b"h2"[..]),
            (kind::AUTHORITY, b"ours"),
            (kind::SSL, ssl),
            (kind::UNIQUE_ID, b"first"),
            (kind::AWS, b"\x01vpce-1"),
            (kind::GCP, &[9; 8]),
        ]
    );
    assert!(read.tlvs.is_tls());
}

#[test]
fn version_1_says_unknown_where_it_has_no_words() {
    let writer = Writer(Version::V1);
    let unix = Addresses::Unix(Box::new(UnixAddresses {
        source: [1; UNIX_PATH],
        destination: [2; UNIX_PATH],
    }));
    for addresses in [Addresses::Local, Addresses::Unknown, unix] {
        let header = writer.header(&addresses, &Facts::default());
        assert_eq!(header, b"PROXY UNKNOWN\r\n");
    }
    assert_eq!(writer.local(), b"PROXY UNKNOWN\r\n");
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).into()),
        any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).into()),
    ]
}

fn any_addresses() -> impl Strategy<Value = Addresses> {
    let socket = || (any_ip(), any::<u16>()).prop_map(SocketAddr::from);
    prop_oneof![
        4 => (socket(), socket()).prop_map(|(from, to)| Addresses::inet(from, to)),
        1 => Just(Addresses::Local),
        1 => Just(Addresses::Unknown),
        1 => any::<(u8, u8)>().prop_map(|(from, to)| Addresses::Unix(Box::new(UnixAddresses {
            source: [from; UNIX_PATH],
            destination: [to; UNIX_PATH],
        }))),
    ]
}

proptest! {
    /// What is written is read, and of what has come in part nothing is missing and nothing too much.
    #[test]
    fn what_is_written_is_read_in_pieces(
        addresses in any_addresses(),
        passed in prop::collection::vec((6..=255_u8, prop::collection::vec(any::<u8>(), 0..40)), 0..6),
        behind in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut tlvs = Tlvs::default();
        for (kind, value) in &passed {
            tlvs.push(*kind, value);
        }
        let facts = Facts { passed: Some(&tlvs), ..Facts::default() };
        let header = Writer(Version::V2).header(&addresses, &facts);
        let mut all = header.clone();
        all.extend_from_slice(&behind);
        for end in 0..header.len() {
            prop_assert_eq!(read(&all[..end]), Ok(None));
        }
        let (said, length) = read(&all).unwrap().unwrap();
        prop_assert_eq!(length, header.len());
        if addresses == Addresses::Local {
            prop_assert_eq!(said.tlvs, Tlvs::default());
        } else {
            prop_assert_eq!(said.tlvs, tlvs);
        }
        prop_assert_eq!(&said.addresses, &addresses);

        let line = Writer(Version::V1).header(&addresses, &Facts::default());
        prop_assert!(line.len() <= LONGEST_LINE);
        for end in 0..line.len() {
            prop_assert_eq!(read(&line[..end]), Ok(None));
        }
        let expected = match &addresses {
            Addresses::Inet { .. } => addresses,
            _ => Addresses::Unknown,
        };
        let (said, length) = read(&line).unwrap().unwrap();
        prop_assert_eq!((said.addresses, length), (expected, line.len()));
    }

    /// More than a header has room for is left away, and what is said is read.
    #[test]
    fn a_header_never_says_more_than_it_holds(count in 1..8_usize, size in 1..40_000_usize) {
        let value = vec![7; size];
        let mut tlvs = Tlvs::default();
        for _ in 0..count {
            tlvs.push(kind::AZURE, &value);
        }
        let facts = Facts { authority: Some(b"a"), passed: Some(&tlvs), ..Facts::default() };
        let header = Writer(Version::V2).header(&Addresses::Unknown, &facts);
        let (said, length) = read(&header).unwrap().unwrap();
        prop_assert_eq!(length, header.len());
        prop_assert_eq!(said.tlvs.find(kind::AUTHORITY), Some(&b"a"[..]));
    }
}
