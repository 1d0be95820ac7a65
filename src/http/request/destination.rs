//! `Destination` of WebDAV's requests, in the words of the server that they go to.

use http::HeaderValue;

use crate::headers::ValueRef;
use crate::headers::names;
use crate::headers::names::KnownName;
use crate::http::context::Context;
use crate::http::failure::Failure;
use crate::http::record;
use crate::http::request::host;
use crate::http::wire::message::RequestHeader;
use crate::routing::{Destination, normalize};

/// The field (RFC 4918 section 10.3).
pub const DESTINATION: KnownName = KnownName::new("destination");

/// What the server gets in place of what the client said, if that is another place to the route of the request.
///
/// # Errors
///
/// The place isn't one that the route leads to.
pub fn of_server(
    request: &RequestHeader,
    context: &Context,
) -> Result<Option<HeaderValue>, Failure> {
    if !matches!(request.method.as_str(), "COPY" | "MOVE") {
        return Ok(None);
    }
    let mut lines = request.headers.get_all(DESTINATION).iter();
    let (Some(place), None) = (lines.next(), lines.next()) else {
        return Ok(None);
    };
    let Some(route) = context
        .route
        .as_ref()
        .filter(|route| route.rewrite.is_some())
    else {
        return Ok(None);
    };
    let (path, _) = record::split_target(request.target());
    let normal = normalize(path, route.form).map_err(Failure::BadPath)?;
    let client_authority = host::authority(request.target(), &request.headers).unwrap_or_default();
    let rewritten = route.rewrite.host.as_ref();
    let of_host = request.headers.get(names::HOST);
    let server_authority = rewritten
        .map(ValueRef::from)
        .or(of_host)
        .and_then(|host| host.to_str().ok());
    let mapped = Destination {
        rewrite: &route.rewrite,
        form: route.form,
        taken: normal.compared.get(..context.taken).unwrap_or_default(),
        client_authority,
        https: context
            .target()
            .is_some_and(|target| target.link.secure().is_some()),
        server_authority: server_authority.unwrap_or_default(),
    }
    .map(place.as_bytes())
    .map_err(Failure::BadPath)?;
    Ok(mapped.and_then(|mapped| HeaderValue::try_from(mapped).ok()))
}
