//! The check of type http.

use pingora::protocols::http::client::HttpSession;
use pingora::{Error, ErrorType, Result};

use super::Failed;
use super::exchange::Exchange;
use crate::config::model::HttpCheck;

/// A body is searched up to here; a health page is small.
const BODY_LIMIT: usize = 1 << 20;

/// Sends the request and compares the answer. Returns what was seen, in words.
///
/// # Errors
///
/// What was seen instead.
pub async fn check(exchange: &Exchange<'_>, check: &HttpCheck) -> Result<String, Failed> {
    let http2 = exchange.link.http2();
    let mut session = exchange.session(http2).await?;
    let status = ask(exchange, check, &mut session, http2)
        .await
        .map_err(|error| exchange.broken(&error))?;
    let ranges = &check.expect_status;
    if !ranges.iter().any(|range| range.contains(&status)) {
        let wanted = list(ranges);
        return Err(Failed::Unwanted(format!(
            "status {status}, wanted {wanted}"
        )));
    }
    if let Some(wanted) = &check.expect_body {
        let body = body(&mut session)
            .await
            .map_err(|error| exchange.broken(&error))?;
        if !wanted.is_match(&body) {
            return Err(Failed::Unwanted(format!(
                "status {status}, but the body does not match {wanted}"
            )));
        }
    }
    Ok("status and body as wanted".to_owned())
}

async fn ask(
    exchange: &Exchange<'_>,
    check: &HttpCheck,
    session: &mut HttpSession,
    http2: bool,
) -> Result<u16> {
    let mut request = exchange.request(
        check.method.clone(),
        &check.path,
        check.host.as_deref(),
        http2,
    )?;
    for (name, value) in &check.headers {
        request.insert_header(name, value)?;
    }
    session.write_request_header(Box::new(request)).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    let response = session
        .response_header()
        .ok_or_else(|| Error::new(ErrorType::InvalidHTTPHeader))?;
    Ok(response.status.as_u16())
}

async fn body(session: &mut HttpSession) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = session.read_response_body().await? {
        body.extend_from_slice(&chunk);
        if body.len() > BODY_LIMIT {
            break;
        }
    }
    Ok(body)
}

fn list(ranges: &[std::ops::RangeInclusive<u16>]) -> String {
    let mut text = String::new();
    for range in ranges {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&range.start().to_string());
        if range.start() != range.end() {
            text.push('-');
            text.push_str(&range.end().to_string());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_ranges_read_as_they_are_configured() {
        assert_eq!(list(&[200..=399]), "200-399");
        assert_eq!(list(&[200..=299, 301..=301]), "200-299, 301");
    }
}
