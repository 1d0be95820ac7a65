//! What an authority asks to see that a name is ours: `GET /.well-known/acme-challenge/TOKEN` (RFC 8555 section 8.3).
//!
//! It is answered on every listener, before anything is routed or redirected. A token that isn't ours goes the way
//! of any request: a server behind us may have a client of its own.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, header};

use crate::http::answer;
use crate::http::context::Context;
use crate::http::failure::Failure;
use crate::http::record::split_target;
use crate::http::wire::Client;
use crate::http::wire::message::RequestHeader;

const PREFIX: &[u8] = b"/.well-known/acme-challenge/";

/// Answers the request if it asks for one of our tokens; says whether it did.
///
/// # Errors
///
/// The client doesn't take its answer.
pub async fn answer(
    request: &RequestHeader,
    client: &mut Client,
    context: &mut Context,
) -> Result<bool, Failure> {
    let Some(token) = token(&request.method, request.target()) else {
        return Ok(false);
    };
    let challenges = &context.shared().challenges;
    if challenges.is_idle() {
        return Ok(false);
    }
    let (challenges, token) = (Arc::clone(challenges), token.to_owned());
    // Other nodes' answers are files.
    let found = tokio::task::spawn_blocking(move || challenges.http01(&token)).await;
    let Some(answer) = found.ok().flatten() else {
        return Ok(false);
    };
    let mut response = answer::response(200);
    for (name, value) in [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        let value = HeaderValue::from_static(value);
        response.headers.insert(name, value);
    }
    let body = Bytes::from(answer);
    answer::send(request, client, context, response, body, false).await?;
    Ok(true)
}

/// The token that a request asks for, if it asks for any.
fn token<'a>(method: &Method, target: &'a [u8]) -> Option<&'a str> {
    let (path, _) = split_target(target);
    let token = path.strip_prefix(PREFIX)?;
    let asks = method == Method::GET || method == Method::HEAD;
    std::str::from_utf8(token).ok().filter(|_| asks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_follows_the_well_known_path() {
        let get = |target: &'static str| token(&Method::GET, target.as_bytes());
        assert_eq!(get("/.well-known/acme-challenge/abc"), Some("abc"));
        assert_eq!(get("/.well-known/acme-challenge/abc?x=1"), Some("abc"));
        assert_eq!(get("/.well-known/acme-challenge"), None);
        assert_eq!(get("/x/.well-known/acme-challenge/abc"), None);
        let path = b"/.well-known/acme-challenge/abc";
        assert_eq!(token(&Method::POST, path), None);
        assert_eq!(token(&Method::HEAD, path), Some("abc"));
    }
}
