//! Answering a request ourselves, and noticing that nobody waits for an answer any more.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora_proxy::Session;

use super::context::Context;
use super::error_page::{ErrorPage, allowed};
use super::failure::Failure;
use super::identity;
use super::request_id::RequestId;
use super::{LATE_BODY, headers, trouble, variables};

/// Bytes of a body that are read over.
const SMALL_BODY: u64 = 64 * 1024;

/// Sends an error page.
pub async fn answer(
    session: &mut Session,
    context: &Context,
    failure: Failure,
    status: u16,
) -> Result<()> {
    let id = context
        .request_id
        .clone()
        .unwrap_or_else(|| RequestId::random(&mut rand::rng()));
    let request = session.req_header();
    let pages = context.site().map(|site| &*site.http.error_pages);
    let page = ErrorPage::new(
        pages.unwrap_or_default(),
        status,
        failure.detail(),
        id.as_str(),
        Some(&request.headers),
    );
    let mut response = ResponseHeader::build(status, Some(8))?;
    response.insert_header(header::CONTENT_TYPE, page.content_type)?;
    response.insert_header(header::CACHE_CONTROL, "no-store")?;
    response.insert_header("X-Request-Id", id.value())?;
    let seconds = context.retry_after.map(whole_seconds).or(page.retry_after);
    if let Some(seconds) = seconds {
        response.insert_header("Retry-After", HeaderValue::from(seconds))?;
    }
    if status == 405 {
        response.insert_header(header::ALLOW, allowed(request.method.as_str().as_bytes()))?;
    }
    if failure == Failure::Unauthorized
        && let Some(passwords) = context
            .route
            .as_ref()
            .and_then(|route| route.passwords.as_ref())
    {
        response.insert_header("WWW-Authenticate", passwords.challenge())?;
    }
    send(session, context, response, page.body).await
}

/// Sends an error page for a request that may go no further. Its connection serves the next one.
pub async fn refuse(session: &mut Session, context: &mut Context, failure: Failure) -> Result<()> {
    context.failure = Some(failure);
    settle_body(session);
    let status = failure.status().unwrap_or(500);
    answer(session, context, failure, status).await
}

/// Sends what a route answers itself.
pub async fn respond(
    session: &mut Session,
    context: &Context,
    status: u16,
    body: Option<Bytes>,
    content_type: &HeaderValue,
) -> Result<()> {
    settle_body(session);
    let mut response = ResponseHeader::build(status, Some(6))?;
    let body = body.unwrap_or_default();
    if !body.is_empty() {
        response.insert_header(header::CONTENT_TYPE, content_type)?;
    }
    if let Some(id) = &context.request_id {
        response.insert_header("X-Request-Id", id.value())?;
    }
    send(session, context, response, body).await
}

/// Sends a request on to another place.
pub async fn send_on(
    session: &mut Session,
    context: &Context,
    status: u16,
    location: HeaderValue,
) -> Result<()> {
    settle_body(session);
    let mut response = ResponseHeader::build(status, Some(6))?;
    response.insert_header("Location", location)?;
    if let Some(id) = &context.request_id {
        response.insert_header("X-Request-Id", id.value())?;
    }
    send(session, context, response, Bytes::new()).await
}

/// Sends a response of ours, with what the route wants on it.
async fn send(
    session: &mut Session,
    context: &Context,
    mut response: ResponseHeader,
    body: Bytes,
) -> Result<()> {
    sign(&mut response, context);
    if !matches!(response.status.as_u16(), 204 | 304) {
        response.insert_header(header::CONTENT_LENGTH, body.len())?;
    }
    if let Some(route) = &context.route
        && !route.response_headers.is_empty()
    {
        let request = session.req_header();
        let mut fields = headers::Response(&mut response);
        variables::edit(&route.response_headers, &mut fields, request, context);
    }
    let without_body = session.req_header().method == http::Method::HEAD || body.is_empty();
    session
        .write_response_header(Box::new(response), without_body)
        .await?;
    if !without_body {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

/// An interim response is next, which says nothing about the connection: Pingora would close one whose request isn't
/// complete at any response, and it is `100 Continue` that requests are completed after.
pub fn expect_more(session: &mut Session) {
    session
        .as_downstream_mut()
        .set_close_on_response_before_downstream_finish(false);
}

/// The final response is next.
pub fn expect_no_more(session: &mut Session) {
    session
        .as_downstream_mut()
        .set_close_on_response_before_downstream_finish(true);
}

/// A request's body that nobody is going to read: a small one is read over, so that the connection serves the next
/// request; a large one, or one that the client may not even begin to send, isn't waited for.
pub fn settle_body(session: &mut Session) {
    if session.as_downstream_mut().is_body_done() {
        return;
    }
    // Who waits for `100 Continue` and is refused may leave out the body, and nobody can tell (RFC 9110 section 10.1.1).
    let is_coming = !session.req_header().headers.contains_key(header::EXPECT)
        || session.response_written().is_some();
    let is_small = trouble::client_stream(session.as_downstream()).is_some_and(|stream| {
        stream.read_over(SMALL_BODY);
        stream.body_left().is_none_or(|left| left <= SMALL_BODY)
    });
    if is_coming && is_small {
        let downstream = session.as_downstream_mut();
        downstream.set_close_on_response_before_downstream_finish(false);
        downstream.set_total_drain_timeout(Some(LATE_BODY));
        downstream.set_read_timeout(Some(LATE_BODY));
    } else {
        session.set_keepalive(None);
    }
}

/// Keeps the client's connection, now that its request has been answered here in full, if the answer said so.
pub fn keep_connection(session: &Session) {
    let downstream = session.as_downstream();
    let will_keep = matches!(downstream, ServerSession::H1(http1) if http1.will_keepalive());
    if let Some(stream) = trouble::client_stream(downstream).filter(|_| will_keep) {
        stream.keep();
    }
}

/// Rounded up: who comes back then isn't too early.
fn whole_seconds(wait: Duration) -> u32 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}

/// Says who answers, if the listener is to.
fn sign(response: &mut ResponseHeader, context: &Context) {
    let server = context
        .site()
        .and_then(|site| site.http.server_header.as_ref());
    identity::server(&mut headers::Response(response), server);
}

/// Returns when the client has gone. In HTTP/1 that can't be told as long as its request isn't read to the end.
pub async fn gone(session: &mut Session) {
    let downstream = session.as_downstream_mut();
    let can_be_told = downstream.is_custom() || downstream.is_body_done();
    if !can_be_told || downstream.read_body_or_idle(true).await.is_ok() {
        std::future::pending::<()>().await;
    }
}
