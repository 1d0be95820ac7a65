//! What becomes of a message on its way: of the request to the server, and of the response back by its route.

use bytes::Bytes;
use http::{HeaderValue, Version};

use crate::client_address::Forwarding;
use crate::config::model::HeaderEdits;
use crate::headers::names::{self, KnownName};
use crate::headers::{Fields, is_ambiguous, is_known_as, list_members};
use crate::http::answer::identity;
use crate::http::context::Context;
use crate::http::record;
use crate::http::request::client_certificate;
use crate::http::request::destination::DESTINATION;
use crate::http::request::host;
use crate::http::request::variables;
use crate::http::wire::message::{RequestHeader, ResponseHeader};
use crate::http::wire::server::RequestBody;
use crate::pool::Lease;
use crate::routing::{Reverse, normalize};

/// What is for one hop only (RFC 9110 section 7.6.1), whether `Connection` names it or not.
const HOP_BY_HOP: [KnownName; 10] = [
    KnownName::new("keep-alive"),
    KnownName::new("proxy-connection"),
    KnownName::new("http2-settings"),
    names::PROXY_AUTHENTICATE,
    names::PROXY_AUTHORIZATION,
    names::TE,
    names::TRAILER,
    names::TRANSFER_ENCODING,
    names::CONNECTION,
    names::UPGRADE,
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
pub fn prepare(original: &RequestHeader, has_body: bool, context: &mut Context) -> Departure {
    let to_http2 = context.target().is_some_and(|target| target.link.http2());
    let mut request = original.clone();
    for name in &HOP_BY_HOP {
        request.headers.remove(name);
    }
    let upgrade = original.version == Version::HTTP_11
        && !to_http2
        && original.headers.contains_key(names::UPGRADE);
    write(original, &mut request, context, to_http2);
    redirect(original, &mut request, context);
    mirror(original, has_body, &request, context);
    let sized = request.headers.contains_key(names::CONTENT_LENGTH);
    let body = match (has_body, sized) {
        (false, _) => RequestBody::None,
        (true, true) => RequestBody::Sized,
        (true, false) => RequestBody::Unknown,
    };
    if upgrade {
        for name in [names::CONNECTION, names::UPGRADE] {
            if let Some(value) = original.headers.get(&name) {
                request.headers.insert(name, value.to_value());
            }
        }
    }
    Departure {
        request,
        body,
        upgrade,
    }
}

/// Whether the client takes trailers.
pub fn takes_trailers(request: &RequestHeader) -> bool {
    match request.version {
        Version::HTTP_2 => true,
        Version::HTTP_11 => {
            let lines = request.headers.get_all(names::TE).iter();
            lines
                .flat_map(|line| list_members(line.as_bytes()))
                .any(|member| member.eq_ignore_ascii_case(b"trailers"))
        }
        _ => false,
    }
}

/// Writes the fields that the servers of this listener get.
fn write(original: &RequestHeader, request: &mut RequestHeader, context: &Context, to_http2: bool) {
    let Some(client) = context.client else {
        return;
    };
    let origin = &context.origin;
    let site = &origin.site;
    let tls = origin.connection.tls.as_ref();
    let fields = &mut request.headers;
    if !fields.contains_key(names::HOST)
        && let Some(lease) = &context.upstream.lease
    {
        let host = host::of_server(lease.server().configured_address());
        fields.insert(names::HOST, host);
    }
    client_certificate::forward(fields, tls);
    let target = context.target();
    if let Some(affinity) = target.and_then(|target| target.affinity.as_ref()) {
        affinity.prepare_request(fields);
    }
    site.resolver.forward(
        fields,
        &Forwarding {
            peer: origin.connection.ends.peer_ip(),
            client,
            https: origin.connection.is_https(),
            local_port: origin.connection.local.port(),
        },
    );
    if site.via {
        identity::via(fields, original.version);
    }
    if to_http2 {
        // The client was told to go on.
        fields.remove(names::EXPECT);
        if original.headers.contains_key(names::TE) {
            // gRPC's servers insist on it. From clients it can't say anything else in HTTP/2 (RFC 9113 section 8.2.2),
            // and in HTTP/1 it may as well.
            fields.insert(names::TE, HeaderValue::from_static("trailers"));
        }
    }
    if let Some(id) = &context.request_id {
        id.write(fields);
    }
}

/// Makes `request` the one that the route's server is asked. `original` is the client's.
fn redirect(original: &RequestHeader, request: &mut RequestHeader, context: &Context) {
    if let Some(uri) = &context.uri {
        request.set_target(uri.clone());
    }
    let Some(route) = &context.route else {
        return;
    };
    if let Some(host) = &route.rewrite.host {
        request.headers.insert(names::HOST, host.clone());
    }
    if let Some(destination) = &context.destination {
        request.headers.insert(DESTINATION, destination.clone());
    }
    if !route.request_headers.is_empty() {
        drop_impostors(&route.request_headers, &mut request.headers);
        let fields = &mut request.headers;
        variables::edit(&route.request_headers, fields, original, context);
    }
}

/// Drops other spellings of the fields that a route sets or takes out: who set `X_User` could pass for whom the route calls
/// `X-User`, with servers that hand fields on as CGI does.
fn drop_impostors(edits: &HeaderEdits, request: &mut Fields) {
    if !request.has_odd_names() {
        return;
    }
    let set = edits.set.iter().map(|(name, _)| name);
    let edited = || set.clone().chain(&edits.remove);
    request.remove_where(|name| {
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
        && !original.headers.contains_key(names::UPGRADE)
    {
        context.mirrored = true;
        if mirror.wants() {
            let key = mirror.key(original, context.client_address());
            let copy = mirror.begin(request.clone(), has_body, key, |link| context.caller(link));
            context.copy = Some(copy);
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
const MAPPED: [KnownName; 3] = [names::LOCATION, names::CONTENT_LOCATION, names::SET_COOKIE];

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
    let (path, _) = record::split_target(request.target());
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
        client_authority: host::authority(request.target(), &request.headers).unwrap_or_default(),
        server_authorities: [
            rewritten.unwrap_or_default(),
            server.as_deref().unwrap_or_default(),
        ],
    }
    .map(&mut response.headers);
}

/// Changes the fields of a response as the route says.
pub fn edit_response(request: &RequestHeader, response: &mut ResponseHeader, context: &Context) {
    if let Some(route) = &context.route
        && !route.response_headers.is_empty()
    {
        let fields = &mut response.headers;
        variables::edit(&route.response_headers, fields, request, context);
    }
}
