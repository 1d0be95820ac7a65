//! What a route makes of a message on its way: of the request to the server, and of the response back.

use bytes::Bytes;
use http::{HeaderName, header};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use super::context::Context;
use super::{headers, host, record, variables};
use crate::config::model::HeaderEdits;
use crate::headers::{HeadersMut, is_ambiguous, is_known_as};
use crate::pool::Lease;
use crate::routing::Reverse;

/// Makes `request` the one that the route's server is asked. `original` is the client's.
///
/// # Errors
///
/// None that could happen: all parts have been checked.
pub fn redirect(
    original: &RequestHeader,
    request: &mut RequestHeader,
    context: &mut Context,
) -> Result<()> {
    if let Some(uri) = &context.uri {
        request.set_raw_path(uri)?;
    }
    let Some(route) = &context.route else {
        return Ok(());
    };
    if let Some(host) = &route.rewrite.host {
        request.insert_header(header::HOST, host)?;
    }
    if !route.request_headers.is_empty() {
        let mut fields = headers::Request(request);
        drop_impostors(&route.request_headers, &mut fields);
        variables::edit(&route.request_headers, &mut fields, original, context);
    }
    Ok(())
}

/// Drops other spellings of the fields that a route sets or takes out: who set `X_User` could pass for whom the route calls
/// `X-User`, with servers that hand fields on as CGI does.
fn drop_impostors(edits: &HeaderEdits, request: &mut impl HeadersMut) {
    let set = edits.set.iter().map(|(name, _)| name);
    let edited = || set.clone().chain(&edits.remove);
    let is_impostor = |name: &&HeaderName| {
        is_ambiguous(name)
            && edited().any(|known| {
                known != *name && is_known_as(name.as_str().as_bytes(), known.as_str().as_bytes())
            })
    };
    // Nearly always empty, and then nothing is allocated.
    let names: Vec<HeaderName> = request
        .headers()
        .keys()
        .filter(is_impostor)
        .cloned()
        .collect();
    for name in &names {
        request.remove(name);
    }
}

/// Begins the copy of a request that is about to be sent, if there is to be one. Once, however often it is tried.
pub fn mirror(
    original: &RequestHeader,
    has_body: bool,
    request: &RequestHeader,
    context: &mut Context,
) {
    if let Some(mirror) = context
        .route
        .as_ref()
        .and_then(|route| route.mirror.as_ref())
        && !context.mirrored
        && !original.headers.contains_key(header::UPGRADE)
    {
        context.mirrored = true;
        if mirror.wants() {
            context.copy = Some(mirror.begin(request.clone(), has_body));
        }
    }
}

/// Has the mirror get what the server gets of the body, from byte `at` on.
pub fn copy(context: &mut Context, at: u64, piece: Option<&Bytes>, end_of_stream: bool) {
    if let (Some(copy), Some(piece)) = (&mut context.copy, piece) {
        copy.piece(at, piece);
    }
    if end_of_stream && let Some(copy) = context.copy.take() {
        copy.end();
    }
}

/// Has the server's own names for places mean what the client asked for.
pub fn map_back(request: &RequestHeader, response: &mut ResponseHeader, context: &Context) {
    let (Some(route), Some(origin)) = (&context.route, &context.origin) else {
        return;
    };
    if !route.rewrite.is_some() {
        return;
    }
    let (path, _) = record::split_target(request.raw_path());
    let normal = origin
        .site
        .routes
        .as_ref()
        .map(|routes| routes.normal(path));
    let original_prefix = match &normal {
        Some(Ok(normal)) => normal.prefix(context.taken),
        _ => b"",
    };
    let server = context
        .upstream
        .lease
        .as_ref()
        .map(|lease| Lease::server(lease).configured_address().to_string());
    let rewritten = route
        .rewrite
        .host
        .as_ref()
        .and_then(|host| host.to_str().ok());
    Reverse {
        rewrite: &route.rewrite,
        original_prefix,
        https: origin.connection.tls.is_some(),
        client_authority: host::authority(request.raw_path(), &request.headers).unwrap_or_default(),
        server_authorities: [
            rewritten.unwrap_or_default(),
            server.as_deref().unwrap_or_default(),
        ],
    }
    .map(&mut headers::Response(response));
}

/// Changes the fields of a response as the route says.
pub fn edit_response(request: &RequestHeader, response: &mut ResponseHeader, context: &Context) {
    if let Some(route) = &context.route
        && !route.response_headers.is_empty()
    {
        let mut fields = headers::Response(response);
        variables::edit(&route.response_headers, &mut fields, request, context);
    }
}
