//! From a request as HTTP/2 has it to the one message that everything behind here knows.
//!
//! Its fields are in order, each for itself ([`crate::http::wire::http2::fields`]). What they say together and an HTTP/1 server could take
//! for something else is refused here, by the same rules and limits as in [`head`]. Then `:authority` becomes the one Host field, `:path` the target, and
//! the crumbs of Cookie one field again (section 8.2.3): from here on the request is an HTTP/1 one but for its version.

use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST};
use http::{HeaderMap, HeaderValue, Method, Uri, request};

use crate::headers::authority::is_same;

use crate::http::wire::authority;
use crate::http::wire::head;
use crate::http::wire::head::HeadLimits;

/// Why a request is refused: the status to answer and the reason in words.
pub type Refusal = (u16, &'static str);

/// Makes one message of a request.
///
/// `bodiless`: it ends with its header.
///
/// # Errors
///
/// [`Refusal`] when the request must not be forwarded; it is then as it was.
pub fn settle(
    request: &mut request::Parts,
    bodiless: bool,
    limits: &HeadLimits,
) -> Result<(), Refusal> {
    check_target(request)?;
    let host = host(request)?;
    check_length(&request.headers, limits)?;
    check_expectation(&request.headers)?;
    let crumbs = crumbs(&request.headers)?;

    if bodiless {
        // Nothing is to be continued.
        request.headers.remove(EXPECT);
    } else if request
        .headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length == "0")
    {
        // Whether that is true its frames have yet to show, and the server is not to take it for whole before.
        request.headers.remove(CONTENT_LENGTH);
    }
    if bodiless && takes_content(&request.method) && !request.headers.contains_key(CONTENT_LENGTH) {
        // HTTP/2 says so by its frames. In HTTP/1 there are servers that answer 411 to a POST that doesn't say how
        // long it is (RFC 9110 section 8.6).
        request
            .headers
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if let Some(host) = host {
        request.headers.insert(HOST, host);
    }
    if let Some(cookie) = crumbs {
        request.headers.insert(COOKIE, cookie);
    }
    if let Some(target) = request.uri.path_and_query() {
        let encoded = authority::encoded(target.as_str().as_bytes());
        request.uri = match encoded.map(Uri::try_from) {
            Some(Ok(encoded)) => encoded,
            _ => Uri::from(target.clone()),
        };
    }
    Ok(())
}

/// The host that is asked for, for the log of a request that was refused.
pub fn asked_host(request: &request::Parts) -> Option<&[u8]> {
    request
        .uri
        .authority()
        .map(|authority| authority.as_str().as_bytes())
        .or_else(|| request.headers.get(HOST).map(HeaderValue::as_bytes))
}

fn check_target(request: &request::Parts) -> Result<(), Refusal> {
    if request.method == Method::CONNECT {
        return Err((405, "CONNECT is not served here"));
    }
    if !head::is_method(request.method.as_str().as_bytes()) {
        return Err((400, "malformed method"));
    }
    let target = request.uri.path_and_query().map_or("", |it| it.as_str());
    match target.as_bytes() {
        [b'/', ..] if authority::is_target(target.as_bytes()) => Ok(()),
        [b'/', ..] => Err((400, head::NO_TARGET)),
        b"*" if request.method == Method::OPTIONS => Ok(()),
        _ => Err((400, "malformed :path")),
    }
}

/// The Host field that the request is to have, if it hasn't got it. One authority, told once or twice but never in
/// two ways (RFC 9113 section 8.3.1).
fn host(request: &request::Parts) -> Result<Option<HeaderValue>, Refusal> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err((400, "more than one Host field"));
    }
    if host.is_some_and(|host| !authority::is_authority(host.as_bytes())) {
        return Err((400, "malformed Host field"));
    }
    let https = request.uri.scheme_str().map(|scheme| scheme == "https");
    let Some(authority) = request.uri.authority() else {
        return host
            .map(|_| None)
            .ok_or((400, "neither :authority nor Host"));
    };
    let authority = authority.as_str();
    if !authority::is_authority(authority.as_bytes()) {
        return Err((400, "malformed :authority"));
    }
    match host {
        Some(host) if host == authority => Ok(None),
        Some(host) if !is_same(https, host.as_bytes(), authority.as_bytes()) => {
            Err((400, ":authority and the Host field differ"))
        }
        // The authority counts (RFC 9113 section 8.3.1).
        _ => HeaderValue::from_str(authority)
            .map(Some)
            .map_err(|_| (400, "malformed :authority")),
    }
}

/// `h2` holds the body to this length.
fn check_length(headers: &HeaderMap, limits: &HeadLimits) -> Result<(), Refusal> {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| head::content_length(length.as_bytes()));
    if limits.body > 0 && length.is_some_and(|length| length > limits.body) {
        return Err((413, "the body is larger than max_body_size"));
    }
    Ok(())
}

fn check_expectation(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut expectations = headers.get_all(EXPECT).iter();
    match (expectations.next(), expectations.next()) {
        (None, _) => Ok(()),
        (Some(one), None) if head::is_expectation(one.as_bytes()) => Ok(()),
        _ => Err((417, head::UNKNOWN_EXPECTATION)),
    }
}

/// Whether content is what requests of that method are for.
fn takes_content(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// The one Cookie field of several.
fn crumbs(headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else {
        return Ok(None);
    };
    let mut whole = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        whole.extend_from_slice(b"; ");
        whole.extend_from_slice(crumb.as_bytes());
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(whole))
        .map(Some)
        .map_err(|_| (400, "malformed Cookie field"))
}

#[cfg(test)]
mod tests;
