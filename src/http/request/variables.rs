//! The `${variables}` of routes, from a request.

use std::borrow::Cow;

use http::HeaderValue;

use crate::config::model::{HeaderEdits, Template};
use crate::headers::Fields;
use crate::http::context::Context;
use crate::http::record;
use crate::http::request::host;
use crate::http::wire::message::RequestHeader;
use crate::routing::{PathForm, Values, apply, normalize};

/// The place that `template` gives for a request; `None` if it would be too long, or the path has no normal form: raw, it
/// could mean another place to whoever is there.
pub fn location(
    template: &Template,
    request: &RequestHeader,
    context: &Context,
) -> Option<HeaderValue> {
    let (path, _) = record::split_target(request.target());
    normalize(path, form(context)).ok()?;
    with_values(request, context, |values| {
        crate::routing::location(template, values)
    })
    .flatten()
}

/// Changes a message's fields as its route says. `request` is the client's request, as it came.
pub fn edit(edits: &HeaderEdits, message: &mut Fields, request: &RequestHeader, context: &Context) {
    with_values(request, context, |values| apply(edits, message, values));
}

/// What paths keep in variables: all that the route passes on, and encoded slashes, which no server is to read there.
fn form(context: &Context) -> PathForm {
    PathForm {
        slashes: context
            .route
            .as_ref()
            .is_some_and(|route| route.form.slashes),
        encoded_slashes: true,
    }
}

fn with_values<T>(
    request: &RequestHeader,
    context: &Context,
    then: impl FnOnce(&Values<'_>) -> T,
) -> Option<T> {
    let (origin, route) = (&context.origin, context.route.as_ref()?);
    let (path, query) = record::split_target(request.target());
    let path = match normalize(path, form(context)) {
        Ok(normal) => normal.forwarded,
        // Of a listener that doesn't look at paths.
        Err(_) => Cow::Borrowed(path),
    };
    let tls = origin.connection.tls.as_ref();
    let peer = origin.connection.ends.peer_ip();
    Some(then(&Values {
        https: context.https,
        host: host::authority(request.target(), &request.headers).map_or("", host::without_port),
        port: origin.connection.local.port(),
        path: &path,
        query,
        method: &request.method,
        client: context.client_address(),
        peer,
        request_id: context
            .request_id
            .as_ref()
            .map_or("", crate::http::RequestId::as_str),
        listener: &origin.site.listener,
        route: &route.name,
        tls_version: tls.map(|tls| tls.version),
        tls_cipher: tls.map(|tls| tls.cipher),
        sni: tls.and_then(|tls| tls.sni.as_deref()),
        headers: &request.headers,
    }))
}
