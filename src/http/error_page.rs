//! The small pages that Equipoise answers itself: status, reason, request id; HTML, or JSON if asked.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};

/// A response made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage {
    /// The status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
    /// `Retry-After` in seconds, on statuses that pass.
    pub retry_after: Option<u32>,
}

/// A server may be back after a few checks; a client should not ask every instant.
const RETRY_AFTER: u32 = 5;

impl ErrorPage {
    /// The page for a status. `detail` is for the reader and must come from us, never from outside.
    pub fn new(status: u16, detail: &str, request_id: &str, request: Option<&HeaderMap>) -> Self {
        let title = title(status);
        let (content_type, body) = if request.is_some_and(prefers_json) {
            let body = serde_json::json!({
                "status": status,
                "title": title,
                "detail": detail,
                "request_id": request_id,
            });
            ("application/json", format!("{body}\n"))
        } else {
            (
                "text/html; charset=utf-8",
                html(status, title, detail, request_id),
            )
        };
        Self {
            status,
            content_type,
            body: Bytes::from(body),
            retry_after: matches!(status, 503 | 429).then_some(RETRY_AFTER),
        }
    }

    /// The whole response on an HTTP/1.1 connection that is closed after it; for requests that didn't
    /// get as far as having a session.
    pub fn to_wire(&self, request_id: &str, date: &str, without_body: bool) -> Vec<u8> {
        let mut wire = format!(
            "HTTP/1.1 {} {}\r\nDate: {date}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nX-Request-Id: {request_id}\r\n",
            self.status,
            title(self.status),
            self.content_type,
            self.body.len(),
        )
        .into_bytes();
        if let Some(seconds) = self.retry_after {
            wire.extend_from_slice(format!("Retry-After: {seconds}\r\n").as_bytes());
        }
        wire.extend_from_slice(b"Connection: close\r\n\r\n");
        if !without_body {
            wire.extend_from_slice(&self.body);
        }
        wire
    }
}

/// A status's reason phrase.
pub fn title(status: u16) -> &'static str {
    StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Error")
}

/// JSON when it is asked for and HTML isn't asked for before it. Weights are left out of it: clients
/// that want JSON say so plainly, and everybody can read the HTML.
fn prefers_json(request: &HeaderMap) -> bool {
    let Some(accept) = request.get(header::ACCEPT) else {
        return false;
    };
    let accept = accept.as_bytes().to_ascii_lowercase();
    let place = |needle: &[u8]| {
        accept
            .windows(needle.len())
            .position(|window| window == needle)
    };
    match (place(b"json"), place(b"text/html")) {
        (Some(json), Some(html)) => json < html,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

fn html(status: u16, title: &str, detail: &str, request_id: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{status} {title}</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;\
         padding:0 1rem;color:#222;background:#fff}}h1{{font-weight:500}}\
         code{{color:#666}}@media(prefers-color-scheme:dark){{\
         body{{color:#ddd;background:#181818}}code{{color:#999}}}}</style>\n\
         <h1>{status} {title}</h1>\n<p>{detail}\n<p><code>request {request_id}</code>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn page(accept: Option<&str>) -> ErrorPage {
        let mut request = HeaderMap::new();
        if let Some(accept) = accept {
            request.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        }
        ErrorPage::new(503, "no server is available", "abc", Some(&request))
    }

    #[test]
    fn json_only_for_those_who_ask() {
        assert!(page(None).content_type.starts_with("text/html"));
        assert!(page(Some("*/*")).content_type.starts_with("text/html"));
        assert!(
            page(Some("text/html,application/json;q=0.9"))
                .content_type
                .starts_with("text/html")
        );
        let json = page(Some("application/json"));
        let body: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
        assert_eq!(body["status"], 503);
        assert_eq!(body["request_id"], "abc");
        assert_eq!(json.retry_after, Some(5));
    }

    #[test]
    fn the_wire_form_closes_and_counts_its_body() {
        let page = ErrorPage::new(400, "malformed", "abc", None);
        let wire = String::from_utf8(page.to_wire("abc", "now", false)).unwrap();
        let (head, body) = wire.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"));
        assert!(head.contains("Connection: close"));
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(body.contains("abc"));
        assert!(page.to_wire("abc", "now", true).ends_with(b"\r\n\r\n"));
    }
}
