//! Who the client is, and how the servers are told.
//!
//! Anybody can write a forwarding header, so it is worth what its sender is worth. [`Resolver`] believes
//! it from trusted proxies only: the client is found by walking `X-Forwarded-For` from its right
//! end, which the nearest proxy wrote, past the proxies that are trusted. What an untrusted peer sends is
//! thrown away before ours is written, so a server that reads the left-most entry can't be lied to.

mod entry;
mod forward;
mod forwarded;

use std::net::IpAddr;

use crate::config::model::{ClientAddress as Settings, XForwardedFor};
use crate::headers::names::KnownName;
use crate::headers::{Fields, trim};
use crate::networks::Networks;

const X_FORWARDED_FOR: KnownName = KnownName::new("x-forwarded-for");

/// How many entries the walk looks at. No chain of real proxies is near that long.
const MAX_ENTRIES: usize = 64;

/// Finds clients and writes forwarding headers, by the rules of one listener.
#[derive(Debug, Clone)]
pub struct Resolver {
    trusted: Networks,
    x_forwarded_for: XForwardedFor,
    x_real_ip: bool,
    x_forwarded_proto: bool,
    forwarded: bool,
}

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// An IPv4 address that came as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2) is given as IPv4.
    pub address: IpAddr,
    /// The peer is one of the trusted proxies, so its forwarding headers are believed.
    pub trusted_peer: bool,
}

/// What forwarding headers are written from.
#[derive(Debug, Clone, Copy)]
pub struct Forwarding {
    /// The other end of the client's connection.
    pub peer: IpAddr,
    /// What [`Resolver::client`] said of this request.
    pub client: Client,
    /// The client's connection is TLS.
    pub https: bool,
    /// The port that the client's connection arrived at.
    pub local_port: u16,
}

impl Resolver {
    /// Compiles the settings of a listener.
    pub fn new(settings: &Settings) -> Self {
        Self {
            trusted: Networks::new(&settings.trusted_proxies),
            x_forwarded_for: settings.x_forwarded_for,
            x_real_ip: settings.x_real_ip,
            x_forwarded_proto: settings.x_forwarded_proto,
            forwarded: settings.forwarded,
        }
    }

    /// Whether a peer is a proxy whose word on its clients counts.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.contains(peer.to_canonical())
    }

    /// Who sent `request` over a connection from `peer`.
    ///
    /// An untrusted peer is the client. Otherwise it is the right-most entry of `X-Forwarded-For` (all
    /// lines, as one list) that is no trusted proxy; if all are, the left-most one. An entry that is
    /// no address ends the walk, and so does the end of the 64 entries that are looked at: what is
    /// beyond can't be told, so the client is the address that the walk came to last, which is that of a
    /// trusted proxy.
    ///
    /// With `forwarded`, a request without any `X-Forwarded-For` is looked at by its `Forwarded` in the same way.
    pub fn client(&self, peer: IpAddr, request: &Fields) -> Client {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return Client {
                address: peer,
                trusted_peer: false,
            };
        }
        let address = if self.forwarded && !request.contains_key(X_FORWARDED_FOR) {
            self.walk(peer, forwarded::addresses_from_right(request))
        } else {
            self.walk(peer, entries_from_right(request).map(entry::address))
        };
        Client {
            address,
            trusted_peer: true,
        }
    }

    /// Whether the client came by https: to us (`connection`) or, by the word of a trusted proxy, to the first one. What
    /// `X-Forwarded-Proto` says first counts, or else the `proto` that `Forwarded` has beside the client.
    pub fn https(&self, client: Client, request: &Fields, connection: bool) -> bool {
        if !client.trusted_peer {
            return connection;
        }
        let told = forward::told_protocol(request).or_else(|| {
            forwarded::protocols_from_right(request)
                .find(|(from, _)| !from.is_some_and(|from| self.trusted.contains(from)))
                .and_then(|(_, protocol)| protocol)
        });
        let is = |known: &[u8]| told.is_some_and(|told| told.eq_ignore_ascii_case(known));
        if is(b"http") || is(b"ws") {
            false
        } else {
            connection || is(b"https") || is(b"wss")
        }
    }

    /// The address at which a walk from `peer` ends.
    fn walk(&self, peer: IpAddr, entries: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut address = peer;
        for entry in entries.take(MAX_ENTRIES) {
            let Some(next) = entry else { break };
            address = next;
            if !self.trusted.contains(address) {
                break;
            }
        }
        address
    }
}

/// The list's entries that are not empty, the last one first.
fn entries_from_right(request: &Fields) -> impl Iterator<Item = &[u8]> {
    let lines = request.get_all(X_FORWARDED_FOR).iter().rev();
    lines
        .flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','))
        .map(trim)
        .filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests;
