//! What becomes of a message on its way: of the request to the server, and of the response back by its route.

use bytes::Bytes;
use http::{HeaderName, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, Result};
use pingora_proxy::Session;

use super::context::Context;
use super::destination::DESTINATION;
use super::{answer, client_certificate, headers, host, identity, options, record, variables};
use crate::client_address::Forwarding;
use crate::config::model::HeaderEdits;
use crate::headers::{HeadersMut, is_ambiguous, is_known_as, remove_where};
use crate::pool::Lease;
use crate::routing::{Reverse, normalize};

/// Makes `request` the one that goes to the server of this try.
///
/// # Errors
///
/// The client doesn't take an interim response. Of the fields none could happen: all have been checked.
pub async fn prepare(
    session: &mut Session,
    request: &mut RequestHeader,
    context: &mut Context,
) -> Result<()> {
    if request.version == Version::HTTP_2
        && request.remove_header(&header::EXPECT).is_some()
        // Once: another try doesn't find it any more.
        && session.req_header_mut().remove_header(&header::EXPECT).is_some()
    {
        // Pingora drops such a server's interim responses, so the client is told here.
        answer::expect_more(session);
        let told = session.as_downstream_mut().write_continue_response().await;
        told.map_err(Error::into_down)?;
    }
    let (Some(origin), Some(client)) = (&context.origin, context.client) else {
        return Ok(());
    };
    let site = &origin.site;
    let tls = origin.connection.tls.as_ref();
    if !request.headers.contains_key(header::HOST)
        && let Some(lease) = &context.upstream.lease
    {
        let host = host::of_server(lease.server().configured_address());
        request.insert_header(header::HOST, host)?;
    }
    let mut fields = headers::Request(request);
    client_certificate::forward(&mut fields, tls);
    let target = context.target();
    if let Some(affinity) = target.and_then(|target| target.affinity.as_ref()) {
        affinity.prepare_request(&mut fields);
    }
    site.resolver.forward(
        &mut fields,
        &Forwarding {
            peer: origin.connection.peer.ip().to_canonical(),
            client,
            https: tls.is_some(),
            local_port: origin.connection.local.port(),
        },
    );
    if site.via {
        identity::via(&mut fields, session.req_header().version);
    }
    if request.version == Version::HTTP_2 && session.req_header().headers.contains_key(header::TE) {
        // Pingora has removed it with all that is for one hop only, but gRPC's servers insist on it. From clients
        // it can't say anything else in HTTP/2 (RFC 9113 section 8.2.2), and in HTTP/1 it may as well.
        request.insert_header(header::TE, "trailers")?;
    }
    if session.as_downstream_mut().is_body_done() {
        context.wait_for_server();
    } else if let Some(patience) = context.patience() {
        patience.rest();
    }
    if let Some(id) = &context.request_id {
        request.insert_header("X-Request-Id", id.value())?;
    }
    redirect(session.req_header(), request, context)?;
    let has_body = !session.as_downstream_mut().is_body_empty();
    mirror(session.req_header(), has_body, request, context);
    if context.upstream.tunnel.is_some()
        && let Some(protocols) = options::other_protocols(&session.req_header().headers)
    {
        // Pingora passes WebSocket on and no other.
        request.insert_header(header::CONNECTION, "Upgrade")?;
        request.insert_header(header::UPGRADE, protocols)?;
    }
    if let Some(keeping) = &context.upstream.keeping
        && !context.upstream.reused
        && !keeping.is_kept()
        && !session.is_upgrade_req()
    {
        // More than may be kept: this one ends with its response.
        request.insert_header(header::CONNECTION, "close")?;
    }
    Ok(())
}

/// Makes `request` the one that the route's server is asked. `original` is the client's.
///
/// # Errors
///
/// None that could happen: all parts have been checked.
fn redirect(
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
    if let Some(destination) = &context.destination {
        request.insert_header(DESTINATION, destination)?;
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
    remove_where(request, |name| {
        is_ambiguous(name)
            && edited().any(|known| {
                known != name && is_known_as(name.as_str().as_bytes(), known.as_str().as_bytes())
            })
    });
}

/// Begins the copy of a request that is about to be sent, if there is to be one. Once, however often it is tried.
fn mirror(
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

/// Gives the mirror the piece of the body that the server gets. `at` is where in the body the piece begins, in bytes.
pub fn copy(context: &mut Context, at: u64, piece: Option<&Bytes>, end_of_stream: bool) {
    if let (Some(copy), Some(piece)) = (&mut context.copy, piece) {
        copy.piece(at, piece);
    }
    if end_of_stream && let Some(copy) = context.copy.take() {
        copy.end();
    }
}

/// The fields that name places.
const MAPPED: [HeaderName; 3] = [
    header::LOCATION,
    header::CONTENT_LOCATION,
    header::SET_COOKIE,
];

/// Rewrites the places that the server names (`Location` and the like) to what they are called by the client's way.
pub fn map_back(request: &RequestHeader, response: &mut ResponseHeader, context: &Context) {
    let Some(route) = &context.route else {
        return;
    };
    let names_places = MAPPED
        .iter()
        .any(|name| response.headers.contains_key(name));
    if !route.rewrite.is_some() || !names_places {
        return;
    }
    let (path, _) = record::split_target(request.raw_path());
    let normal = normalize(path, route.form);
    let mut original_prefix = match &normal {
        Ok(normal) => normal.prefix(context.taken),
        Err(_) => b"",
    };
    while original_prefix.starts_with(b"//") {
        // At the beginning of a Location the next segment would be a host.
        original_prefix = original_prefix.get(1..).unwrap_or_default();
    }
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
        https: context.https,
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
