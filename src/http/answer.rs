//! Answering a request ourselves, and noticing that nobody waits for an answer any more.

use http::{HeaderValue, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use super::context::Context;
use super::error_page::ErrorPage;
use super::failure::Failure;
use super::headers;
use super::identity;
use super::request_id::RequestId;

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
    let without_body = request.method == http::Method::HEAD;
    let mut response = ResponseHeader::build(status, Some(8))?;
    response.insert_header(header::CONTENT_TYPE, page.content_type)?;
    response.insert_header(header::CONTENT_LENGTH, page.body.len())?;
    response.insert_header(header::CACHE_CONTROL, "no-store")?;
    response.insert_header("X-Request-Id", id.value())?;
    if let Some(seconds) = page.retry_after {
        response.insert_header("Retry-After", HeaderValue::from(seconds))?;
    }
    sign(&mut response, context);
    session
        .write_response_header(Box::new(response), without_body)
        .await?;
    if !without_body {
        session.write_response_body(Some(page.body), true).await?;
    }
    Ok(())
}

/// Sends a request on to another place, for good, method and body included (RFC 9110 section 15.4.9).
pub async fn send_on(
    session: &mut Session,
    context: &Context,
    location: HeaderValue,
) -> Result<()> {
    let mut response = ResponseHeader::build(308, Some(4))?;
    response.insert_header("Location", location)?;
    response.insert_header(header::CONTENT_LENGTH, 0)?;
    if let Some(id) = &context.request_id {
        response.insert_header("X-Request-Id", id.value())?;
    }
    sign(&mut response, context);
    if !session.as_downstream_mut().is_body_empty() {
        // Its body isn't waited for.
        session.set_keepalive(None);
    }
    session
        .write_response_header(Box::new(response), true)
        .await
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
