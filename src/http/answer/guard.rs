//! What a server may answer: nothing that two readers could take for two different things is passed on.
//!
//! What is ambiguous is no answer (502, or another try where that is safe); what concerns the connection to the server only
//! is taken out (RFC 9110 section 7.6.1). A body that breaks its rules breaks off for the client too.

use std::time::Instant;

use crate::headers::names::{
    CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE,
    ETAG, EXPIRES, HOST, KnownName, LOCATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    VARY,
};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::headers::Fields;
use crate::http::context::Context;
use crate::http::failure::Failure;
use crate::http::wire::message::{RequestHeader, ResponseHeader};
use crate::http::wire::{Framing, response_framing};

/// Interim responses to one try of a request. Servers that work long send one every now and then; more is a flood.
const MAX_INTERIM: u32 = 64;

const KEEP_ALIVE: KnownName = KnownName::new("keep-alive");
const PROXY_CONNECTION: KnownName = KnownName::new("proxy-connection");

/// Looks at a response of a server's, interim or final, and takes out what isn't for the client. Returns how its body is
/// delimited.
///
/// # Errors
///
/// It can't be passed on.
pub fn admit(
    request: &RequestHeader,
    response: &mut ResponseHeader,
    context: &mut Context,
    passes_trailers: bool,
) -> Result<Framing, Failure> {
    let mut found = response_framing::of(
        &request.method,
        response,
        wanted_protocols(request, context),
    );
    if response.status.is_informational() {
        context.upstream.interim += 1;
        if context.upstream.interim > MAX_INTERIM {
            found = Err("too many interim responses");
        }
    }
    let framing = match found {
        Ok(framing) => framing,
        Err(fault) => {
            tell(context, fault);
            return Err(Failure::ServerInvalid);
        }
    };
    let status = response.status;
    if !status.is_informational() {
        note_passed(context);
    }
    if !passes_trailers && response.headers.contains_key(TRAILER) {
        // Nobody is to wait for what doesn't come.
        response.headers.remove(TRAILER);
    }
    clean(status, &mut response.headers);
    Ok(framing)
}

/// Takes out of a response's trailers what says something about the message or the connection: it is too late for
/// that (RFC 9110 section 6.5.1).
pub fn clean_trailers(trailers: &mut Fields) {
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        CONTENT_LENGTH,
        CONTENT_ENCODING,
        CONTENT_RANGE,
        CONTENT_TYPE,
        CACHE_CONTROL,
        HOST,
        LOCATION,
        SET_COOKIE,
    ] {
        trailers.remove(name);
    }
}

/// Writes a warning about a server that breaks the rules: one, until it is over.
pub fn tell(context: &Context, fault: &str) {
    if let (Some(target), Some(lease)) = (context.target(), &context.upstream.lease)
        && lease.server().refusals().refused(Instant::now())
    {
        let (pool, server) = (&**target.pool.name(), &**lease.server().name());
        tracing::warn!(
            pool,
            server,
            fault,
            "a server's answer is not valid HTTP and is refused; more of them are not told"
        );
    }
}

/// An answer is passed on.
fn note_passed(context: &Context) {
    if let (Some(target), Some(lease)) = (context.target(), &context.upstream.lease)
        && lease.server().refusals().passed()
    {
        let (pool, server) = (&**target.pool.name(), &**lease.server().name());
        tracing::info!(pool, server, "a server's answers are valid HTTP again");
    }
}

/// The `Upgrade` fields of the request; `None` if its server can't switch protocols, or wasn't asked to.
fn wanted_protocols<'a>(request: &'a RequestHeader, context: &Context) -> Option<&'a Fields> {
    let to_http2 = context.target().is_none_or(|target| target.link.http2());
    (request.headers.contains_key(UPGRADE) && !to_http2).then_some(&request.headers)
}

/// Takes out what concerns the connection to the server only.
fn clean(status: StatusCode, response: &mut Fields) {
    let named: Vec<HeaderName> = response
        .members(CONNECTION)
        .filter(|name| !is_plain(name))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| !is_end_to_end(name))
        .collect();
    let switches = status == StatusCode::SWITCHING_PROTOCOLS;
    // Which protocols a server insists on is for the client to know (RFC 9110 section 15.5.22).
    let keeps_upgrade =
        switches || (status == StatusCode::UPGRADE_REQUIRED && named.contains(UPGRADE.name()));
    for name in &named {
        if *name != UPGRADE {
            response.remove(name);
        }
    }
    let gone = [
        (CONNECTION, true),
        (KEEP_ALIVE, true),
        (PROXY_CONNECTION, true),
        (TE, true),
        (UPGRADE, !keeps_upgrade),
        // Neither has a body, whatever is said of it (RFC 9110 sections 8.6 and 15.4.5).
        (
            CONTENT_LENGTH,
            status == StatusCode::NO_CONTENT || status.is_informational(),
        ),
    ];
    for (name, _) in gone.iter().filter(|(_, goes)| *goes) {
        response.remove(name);
    }
    if switches {
        response.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    // How the client's connection delimits it is not the server's to say.
    response.remove(&TRANSFER_ENCODING);
}

/// What nearly every `Connection` says, and what goes anyway.
fn is_plain(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"close") || option.eq_ignore_ascii_case(b"keep-alive")
}

/// Fields that a `Connection` can't mean (RFC 9110 section 7.6.1): without them the response would be another one.
fn is_end_to_end(name: &HeaderName) -> bool {
    [
        CACHE_CONTROL,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        CONTENT_TYPE,
        DATE,
        ETAG,
        EXPIRES,
        LOCATION,
        SET_COOKIE,
        TRANSFER_ENCODING,
        VARY,
    ]
    .iter()
    .any(|known| *name == *known)
}

#[cfg(test)]
mod tests;
