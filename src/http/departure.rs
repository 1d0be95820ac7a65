//! What becomes of a message on its way: of the request to the server, and of the response back by its route.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Uri, Version, header};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use super::context::Context;
use super::destination::DESTINATION;
use super::failure::Failure;
use super::wire::server::RequestBody;
use super::{client_certificate, headers, host, identity, record, variables};
use crate::client_address::Forwarding;
use crate::config::model::HeaderEdits;
use crate::headers::{HeadersMut, is_ambiguous, is_known_as, list_members, remove_where};
use crate::pool::Lease;
use crate::routing::{Reverse, normalize};

/// What is for one hop only (RFC 9110 section 7.6.1), whether `Connection` names it or not.
const HOP_BY_HOP: [HeaderName; 10] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
];

/// A request as its server is asked.
pub struct Departure {
    /// Its header.
    pub request: RequestHeader,
    /// What its body is like.
    pub body: RequestBody,
    /// It asks to switch protocols.
    pub upgrade: bool,
}

/// Makes the request that goes to the server of this try. `has_body`: the client's has one.
///
/// # Errors
///
/// It can't be said in the protocol that the server speaks.
pub fn prepare(
    original: &RequestHeader,
    has_body: bool,
    context: &mut Context,
) -> Result<Departure, Failure> {
    let to_http2 = context.target().is_some_and(|target| target.link.http2());
    let mut request = original.clone();
    for name in &HOP_BY_HOP {
        request.remove_header(name);
    }
    let upgrade = original.version == Version::HTTP_11
        && !to_http2
        && original.headers.contains_key(header::UPGRADE);
    write(original, &mut request, context, to_http2).map_err(|error| {
        tracing::error!(%error, "a request could not be written");
        Failure::Internal
    })?;
    mirror(original, has_body, &request, context);
    let sized = request.headers.contains_key(header::CONTENT_LENGTH);
    let body = match (has_body, sized) {
        (false, _) => RequestBody::None,
        (true, true) => RequestBody::Sized,
        (true, false) => RequestBody::Unknown,
    };
    if to_http2 {
        speak_http2(&mut request, context)?;
    } else if upgrade {
        for name in [header::CONNECTION, header::UPGRADE] {
            if let Some(value) = original.headers.get(&name) {
                headers::Request(&mut request).set(name, value.clone());
            }
        }
    }
    Ok(Departure {
        request,
        body,
        upgrade,
    })
}

/// Whether the client takes trailers.
pub fn takes_trailers(request: &RequestHeader) -> bool {
    match request.version {
        Version::HTTP_2 => true,
        Version::HTTP_11 => {
            let lines = request.headers.get_all(header::TE).iter();
            lines
                .flat_map(|line| list_members(line.as_bytes()))
                .any(|member| member.eq_ignore_ascii_case(b"trailers"))
        }
        _ => false,
    }
}

/// Writes the fields that the servers of this listener get.
fn write(
    original: &RequestHeader,
    request: &mut RequestHeader,
    context: &mut Context,
    to_http2: bool,
) -> Result<()> {
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
            peer: origin.connection.ends.peer_ip(),
            client,
            https: origin.connection.is_https(),
            local_port: origin.connection.local.port(),
        },
    );
    if site.via {
        identity::via(&mut fields, original.version);
    }
    if to_http2 {
        // The client was told to go on.
        request.remove_header(&header::EXPECT);
        if original.headers.contains_key(header::TE) {
            // gRPC's servers insist on it. From clients it can't say anything else in HTTP/2 (RFC 9113 section 8.2.2),
            // and in HTTP/1 it may as well.
            request.insert_header(header::TE, "trailers")?;
        }
    }
    if let Some(id) = &context.request_id {
        request.insert_header("X-Request-Id", id.value())?;
    }
    redirect(original, request, context)
}

/// Makes it a request of HTTP/2: Host becomes `:authority`.
fn speak_http2(request: &mut RequestHeader, context: &Context) -> Result<(), Failure> {
    if !request.raw_path_is_utf8() {
        return Err(Failure::BadRequest);
    }
    let is_secure = context
        .target()
        .is_some_and(|target| target.link.secure().is_some());
    let host = request.remove_header(&header::HOST);
    let host = host.as_ref().map_or(&b""[..], HeaderValue::as_bytes);
    let path = request
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let uri = Uri::builder()
        .scheme(if is_secure { "https" } else { "http" })
        .authority(host)
        .path_and_query(path)
        .build()
        .map_err(|_| Failure::BadRequest)?;
    request.set_version(Version::HTTP_2);
    request.set_uri(uri);
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
            context.copy =
                Some(mirror.begin(request.clone(), has_body, |link| context.caller(link)));
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
