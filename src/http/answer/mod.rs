//! Responses on their way to the client, whoever makes them.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Version};
use tokio::time::timeout;

use crate::headers::Fields;
use crate::headers::names;
use crate::http::context::Context;
use crate::http::failure::Failure;
use crate::http::request::id::RequestId;
use crate::http::request::variables;
use crate::http::wire::client::BodySize;
use crate::http::wire::message::{RequestHeader, ResponseHeader};
use crate::http::wire::{Client, ClientError};

pub mod acme;
pub mod date;
pub mod error_page;
pub mod guard;
pub mod identity;
pub mod redirect;

use error_page::{ErrorPage, allowed};

/// Queues the header of a final response, and sees to its compression. `last`: the connection is to end with it.
///
/// # Errors
///
/// The client has gone.
pub fn queue_head(
    client: &mut Client,
    context: &mut Context,
    mut response: ResponseHeader,
    mut size: BodySize,
    last: bool,
) -> Result<(), ClientError> {
    if let Some(compressor) = &mut context.compressor {
        size = compressor.begin(&mut response, size);
    }
    client.queue_head(response, size, last)
}

/// Queues a piece of its body.
///
/// # Errors
///
/// It can't be compressed.
pub fn queue_data(client: &mut Client, context: &mut Context, piece: Bytes) -> Result<(), Failure> {
    match &mut context.compressor {
        Some(compressor) => {
            let coded = compressor.encode(piece).ok_or(Failure::Internal)?;
            if !coded.is_empty() {
                client.queue_data(coded);
            }
        }
        None => client.queue_data(piece),
    }
    Ok(())
}

/// What is left of its body once the last piece has been queued. To be queued before its end.
///
/// # Errors
///
/// It can't be compressed.
pub fn last_piece(context: &mut Context) -> Result<Option<Bytes>, Failure> {
    match &mut context.compressor {
        Some(compressor) => {
            let coded = compressor.finish().ok_or(Failure::Internal)?;
            Ok((!coded.is_empty()).then_some(coded))
        }
        None => Ok(None),
    }
}

/// Sends what was queued, within the listener's time.
///
/// # Errors
///
/// The client doesn't take it.
pub async fn flush(client: &mut Client, context: &Context) -> Result<(), Failure> {
    let flushed = poll_fn(|cx| client.poll_flush(cx));
    match timeout(context.site().http.send_timeout, flushed).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Failure::ClientGone),
        Err(_) => Err(Failure::ClientTimeout),
    }
}

/// Sends an error page. `last`: the connection is to end with it.
///
/// # Errors
///
/// The client doesn't take it.
pub async fn answer(
    request: &RequestHeader,
    client: &mut Client,
    context: &mut Context,
    (failure, status): (Failure, u16),
    last: bool,
) -> Result<(), Failure> {
    let id = context
        .request_id
        .clone()
        .unwrap_or_else(|| RequestId::random(&mut rand::rng()));
    let page = ErrorPage::new(
        &context.site().http.error_pages,
        status,
        failure.detail(),
        id.as_str(),
        Some(&request.headers),
    );
    let mut response = response(status);
    let fields = &mut response.headers;
    fields.insert(
        names::CONTENT_TYPE,
        HeaderValue::from_static(page.content_type),
    );
    fields.insert(names::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    id.write(fields);
    let seconds = context.retry_after.map(whole_seconds).or(page.retry_after);
    if let Some(seconds) = seconds {
        fields.insert(names::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == 405
        && let Ok(allowed) = HeaderValue::try_from(allowed(request.method.as_str().as_bytes()))
    {
        fields.insert(names::ALLOW, allowed);
    }
    if failure == Failure::Unauthorized
        && let Some(passwords) = context
            .route
            .as_ref()
            .and_then(|route| route.passwords.as_ref())
    {
        fields.insert(names::WWW_AUTHENTICATE, passwords.challenge().clone());
    }
    send(request, client, context, response, page.body, last).await
}

/// Sends what a route answers itself.
///
/// # Errors
///
/// The client doesn't take it.
pub async fn respond(
    request: &RequestHeader,
    client: &mut Client,
    context: &mut Context,
    status: u16,
    body: Option<Bytes>,
    content_type: &HeaderValue,
) -> Result<(), Failure> {
    let mut response = response(status);
    let body = body.unwrap_or_default();
    let fields = &mut response.headers;
    if !body.is_empty() {
        fields.insert(names::CONTENT_TYPE, content_type.clone());
    }
    if let Some(id) = &context.request_id {
        id.write(fields);
    }
    send(request, client, context, response, body, false).await
}

/// Sends a request on to another place.
///
/// # Errors
///
/// The client doesn't take it.
pub async fn send_on(
    request: &RequestHeader,
    client: &mut Client,
    context: &mut Context,
    status: u16,
    location: HeaderValue,
) -> Result<(), Failure> {
    let mut response = response(status);
    let fields = &mut response.headers;
    fields.insert(names::LOCATION, location);
    if let Some(id) = &context.request_id {
        id.write(fields);
    }
    send(request, client, context, response, Bytes::new(), false).await
}

/// Sends a response of ours, with what the route wants on it.
///
/// # Errors
///
/// The client doesn't take it.
pub async fn send(
    request: &RequestHeader,
    client: &mut Client,
    context: &mut Context,
    mut response: ResponseHeader,
    body: Bytes,
    last: bool,
) -> Result<(), Failure> {
    sign(&mut response, context);
    let size = match response.status.as_u16() {
        204 | 304 => BodySize::None,
        _ => BodySize::Exactly(body.len() as u64),
    };
    if size != BodySize::None {
        let length = HeaderValue::from(body.len());
        response.headers.insert(names::CONTENT_LENGTH, length);
    }
    if let Some(route) = &context.route
        && !route.response_headers.is_empty()
    {
        let fields = &mut response.headers;
        variables::edit(&route.response_headers, fields, request, context);
    }
    let without_body = response.ends_with_header(&request.method);
    let last = last || is_draining(context);
    queue_head(client, context, response, size, last).map_err(|_| Failure::ClientGone)?;
    if !without_body {
        queue_data(client, context, body)?;
        if let Some(rest) = last_piece(context)? {
            // There is room for one piece at a time.
            flush(client, context).await?;
            client.queue_data(rest);
        }
        client.queue_end(None);
    }
    flush(client, context).await
}

/// A response of ours of that status.
pub fn response(status: u16) -> ResponseHeader {
    let status =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    ResponseHeader::new(status, Version::HTTP_11, Fields::with_room())
}

/// Whether this connection is to end: the process does, or connections are sent away.
pub fn is_draining(context: &Context) -> bool {
    let connection = &context.origin.connection;
    connection.shared.drain.sends_away(connection.ends.peer)
}

/// Rounded up: who comes back then isn't too early.
fn whole_seconds(wait: Duration) -> u32 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}

/// Says who answers, if the listener is to.
fn sign(response: &mut ResponseHeader, context: &Context) {
    let server = context.site().http.server_header.as_ref();
    identity::server(&mut response.headers, server);
}
