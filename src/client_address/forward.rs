//! The forwarding headers that a server gets.
//!
//! From an untrusted peer every `X-Forwarded-*`, `Forwarded` and `X-Real-IP` is thrown away first, also
//! where nothing is written in its place. `_` counts as `-` there, as do other signs, and such names go whoever
//! sent them: CGI and what descends from it make `HTTP_X_FORWARDED_FOR` of all spellings, and no proxy
//! writes the one with `_`.

use std::str;

use crate::headers::names::{FORWARDED, HOST, KnownName};
use http::HeaderValue;

use super::forwarded::Element;
use super::{Forwarding, Resolver, X_FORWARDED_FOR, entry};
use crate::config::model::XForwardedFor;
use crate::headers::{Fields, Text, ValueRef, is_ambiguous, is_known_as, list_members, trim};

const X_REAL_IP: KnownName = KnownName::new("x-real-ip");
const X_FORWARDED_PROTO: KnownName = KnownName::new("x-forwarded-proto");
const X_FORWARDED_HOST: KnownName = KnownName::new("x-forwarded-host");
const X_FORWARDED_PORT: KnownName = KnownName::new("x-forwarded-port");

impl Resolver {
    /// Writes the forwarding headers of `request` for the server. Not to be called twice on one
    /// request, or the peer is listed twice.
    pub fn forward(&self, request: &mut Fields, context: &Forwarding) {
        discard(request, context.client.trusted_peer);
        match self.x_forwarded_for {
            XForwardedFor::Append => append(request, context.peer.to_canonical().into()),
            XForwardedFor::Replace => {
                request.insert_text(X_FORWARDED_FOR, context.client.address.into());
            }
            XForwardedFor::Off => {}
        }
        if self.x_real_ip {
            request.insert_text(X_REAL_IP, context.client.address.into());
        }
        if self.x_forwarded_proto {
            origin(request, context);
        }
        if self.forwarded {
            let value = if self.x_forwarded_for == XForwardedFor::Replace {
                replaced(request, context)
            } else {
                let headers = &*request;
                let ours = Element {
                    from: context.peer.to_canonical(),
                    host: headers.get(HOST).map(ValueRef::as_bytes),
                    protocol: protocol(context.https),
                };
                ours.appended(headers)
            };
            request.insert(FORWARDED, value);
        }
    }
}

/// Forwarded with the client alone, who asked what a trusted proxy says that was asked, or else what we were.
fn replaced(request: &Fields, context: &Forwarding) -> HeaderValue {
    let trusted = context.client.trusted_peer;
    let proto = told_protocol(request).filter(|_| trusted);
    let host = told_first(request, &X_FORWARDED_HOST, is_hosts).filter(|_| trusted);
    Element {
        from: context.client.address,
        host: host.or_else(|| request.get(HOST).map(ValueRef::as_bytes)),
        protocol: proto
            .and_then(|proto| str::from_utf8(proto).ok())
            .unwrap_or(protocol(context.https)),
    }
    .alone()
}

/// The protocol by which the client asked, as `X-Forwarded-Proto` says.
pub(super) fn told_protocol(request: &Fields) -> Option<&[u8]> {
    told_first(request, &X_FORWARDED_PROTO, is_protocols)
}

/// What was said first in a field of one well-formed line: what the client asked.
fn told_first<'a>(
    request: &'a Fields,
    name: &KnownName,
    well_formed: fn(&[u8]) -> bool,
) -> Option<&'a [u8]> {
    let value = sole(request, name)?.as_bytes();
    list_members(value).next().filter(|_| well_formed(value))
}

fn protocol(https: bool) -> &'static str {
    if https { "https" } else { "http" }
}

/// Takes out the forwarding headers that are not believed.
fn discard(request: &mut Fields, trusted_peer: bool) {
    request.remove_where(|name| {
        is_forwarding(name.as_str().as_bytes()) && (!trusted_peer || is_ambiguous(name))
    });
}

fn is_forwarding(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"x-forwarded-";
    is_known_as(name, b"forwarded")
        || is_known_as(name, b"x-real-ip")
        || name
            .get(..PREFIX.len())
            .is_some_and(|start| is_known_as(start, PREFIX))
}

/// Makes all lines of `X-Forwarded-For` one, with `peer` at its end.
fn append(request: &mut Fields, peer: Text) {
    let lines = || {
        let lines = request.get_all(X_FORWARDED_FOR).iter();
        lines
            .map(|line| trim(line.as_bytes()))
            .filter(|line| !line.is_empty())
    };
    if lines().next().is_none() {
        request.insert_text(X_FORWARDED_FOR, peer);
        return;
    }
    let length = lines().map(|line| line.len() + 2).sum::<usize>() + peer.as_bytes().len();
    let mut list = Vec::with_capacity(length);
    for line in lines() {
        list.extend_from_slice(line);
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(peer.as_bytes());
    // Parts of valid values make a valid one.
    if let Ok(list) = HeaderValue::try_from(list) {
        request.insert(X_FORWARDED_FOR, list);
    }
}

/// X-Forwarded-Proto, -Host and -Port: how the client addressed us.
///
/// What a trusted proxy says stays, each of the three for itself, if it is one line and well-formed.
/// A trusted proxy that gives the protocol but no port gets the port that goes with what it said, not the
/// one that it connected to: the client has never seen that.
fn origin(request: &mut Fields, context: &Forwarding) {
    let trusted = context.client.trusted_peer;
    let told = |request: &Fields, name: &KnownName, well_formed: fn(&[u8]) -> bool| {
        trusted && sole(request, name).is_some_and(|value| well_formed(value.as_bytes()))
    };

    let told_proto = told(request, &X_FORWARDED_PROTO, is_protocols);
    if !told_proto {
        let ours = HeaderValue::from_static(protocol(context.https));
        request.insert(X_FORWARDED_PROTO, ours);
    }
    let told_host = told(request, &X_FORWARDED_HOST, is_hosts);
    if !told_host && !request.insert_same(X_FORWARDED_HOST, &HOST) {
        request.remove(&X_FORWARDED_HOST);
    }
    if !told(request, &X_FORWARDED_PORT, is_port) {
        let derived = told_proto.then(|| port_of_origin(request)).flatten();
        let port = derived.unwrap_or(context.local_port);
        request.insert_text(X_FORWARDED_PORT, port.into());
    }
}

/// The value of a field that has one line.
fn sole<'a>(request: &'a Fields, name: &KnownName) -> Option<ValueRef<'a>> {
    let mut lines = request.get_all(name).iter();
    let line = lines.next()?;
    lines.next().is_none().then_some(line)
}

/// One protocol, or a list of them that proxies have appended to.
fn is_protocols(value: &[u8]) -> bool {
    let known = |name: &[u8]| {
        [&b"http"[..], b"https", b"ws", b"wss"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    };
    list_members(value).next().is_some() && list_members(value).all(known)
}

/// One host with or without a port, or a list of them (RFC 3986 section 3.2.2).
fn is_hosts(value: &[u8]) -> bool {
    let of_host = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(byte);
    let is_host = |host: &[u8]| host.iter().all(of_host);
    list_members(value).next().is_some() && list_members(value).all(is_host)
}

fn is_port(value: &[u8]) -> bool {
    str::from_utf8(value).is_ok_and(|text| !text.is_empty() && entry::is_port(text))
}

/// The port of the origin that X-Forwarded-Proto and -Host name.
fn port_of_origin(request: &Fields) -> Option<u16> {
    let first = |name| list_members(request.get(name)?.as_bytes()).next();
    let host = first(X_FORWARDED_HOST).unwrap_or_default();
    let after_colon = host
        .rsplit(|&byte| byte == b':')
        .next()
        .filter(|port| port.len() < host.len());
    let explicit = after_colon
        .filter(|port| is_port(port))
        .and_then(|port| str::from_utf8(port).ok()?.parse().ok());
    let by_protocol = || match first(X_FORWARDED_PROTO)? {
        protocol if protocol.eq_ignore_ascii_case(b"https") => Some(443),
        protocol if protocol.eq_ignore_ascii_case(b"wss") => Some(443),
        _ => Some(80),
    };
    explicit.or_else(by_protocol)
}

#[cfg(test)]
mod tests;
