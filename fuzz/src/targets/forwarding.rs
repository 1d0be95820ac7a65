//! `X-Forwarded-For`, `X-Real-IP` and `Forwarded`: nobody untrusted is believed, and what servers get ends in what we
//! know ourselves.
//!
//! The first byte says which settings; then `X-Forwarded-For`, `Forwarded` and `X-Real-IP`, line by line.

use std::net::{IpAddr, Ipv4Addr};

use equipoise::client_address::{Forwarding, Resolver};
use equipoise::config::model::{ClientAddress, XForwardedFor};
use equipoise::headers::{Fields, ValueRef};
use http::{HeaderName, HeaderValue};

const NAMES: [HeaderName; 3] = [
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-real-ip"),
];

/// One input.
pub fn run(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let mut request = Fields::new();
    for (line, name) in data.split(|byte| *byte == b'\n').zip(NAMES.iter().cycle()) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            request.append(name.clone(), value);
        }
    }
    let x_forwarded_for = [
        XForwardedFor::Append,
        XForwardedFor::Replace,
        XForwardedFor::Off,
    ][usize::from(choice % 3)];
    let resolver = Resolver::new(&ClientAddress {
        trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        x_forwarded_for,
        x_real_ip: choice & 8 != 0,
        x_forwarded_proto: choice & 16 != 0,
        forwarded: choice & 32 != 0,
        via: false,
    });
    for peer in [[192, 0, 2, 1], [10, 0, 0, 1]] {
        let peer = IpAddr::V4(Ipv4Addr::from(peer));
        let client = resolver.client(peer, &request);
        let trusted = peer == IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(client.trusted_peer, trusted);
        assert!(trusted || client.address == peer);
        let mut sent = request.clone();
        resolver.forward(
            &mut sent,
            &Forwarding {
                peer,
                client,
                https: false,
                local_port: 80,
            },
        );
        let lines: Vec<&[u8]> = sent
            .get_all("x-forwarded-for")
            .iter()
            .map(ValueRef::as_bytes)
            .collect();
        match x_forwarded_for {
            XForwardedFor::Off => assert!(trusted || lines.is_empty()),
            XForwardedFor::Replace => assert_eq!(lines, [client.address.to_string().as_bytes()]),
            XForwardedFor::Append => {
                let last = lines.last().expect("a line");
                assert!(last.ends_with(peer.to_string().as_bytes()));
                assert!(trusted || lines == [peer.to_string().as_bytes()]);
            }
        }
    }
}
