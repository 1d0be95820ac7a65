//! The small pages that Equipoise answers itself: status, reason, request id; a configured file, HTML, or JSON if asked.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use crate::config::model;
use crate::headers::Fields;

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

const JSON: &str = "application/json";

/// A server may be back after a few checks; a client should not ask every instant.
const RETRY_AFTER: u32 = 5;

impl ErrorPage {
    /// The page for a status: the configured one, if there is one, but JSON for who asks for that and wouldn't get it
    /// there. `detail` is for the reader and must come from us, never from outside.
    pub fn new(
        configured: &[model::ErrorPage],
        status: u16,
        detail: &str,
        request_id: &str,
        request: Option<&Fields>,
    ) -> Self {
        let retry_after = matches!(status, 503 | 429).then_some(RETRY_AFTER);
        let wants_json = request.is_some_and(prefers_json);
        let page = configured.iter().find(|page| page.status == status);
        if let Some(page) = page.filter(|page| !wants_json || page.content_type == JSON) {
            return Self {
                status,
                content_type: page.content_type,
                body: filled_in(&page.body, status, request_id),
                retry_after,
            };
        }
        let title = title(status);
        let (content_type, body) = if wants_json {
            let body = serde_json::json!({
                "status": status,
                "title": title,
                "detail": detail,
                "request_id": request_id,
            });
            (JSON, format!("{body}\n"))
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
            retry_after,
        }
    }

    /// The whole response on an HTTP/1.1 connection that is closed after it; for requests that didn't
    /// get as far as having a session.
    pub fn to_wire(
        &self,
        request_id: &str,
        date: &str,
        server: Option<&HeaderValue>,
        without_body: bool,
    ) -> Vec<u8> {
        let mut wire = format!(
            "HTTP/1.1 {} {}\r\nDate: {date}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nX-Request-Id: {request_id}\r\n",
            self.status,
            title(self.status),
            self.content_type,
            self.body.len(),
        )
        .into_bytes();
        if self.status == 405 {
            wire.extend_from_slice(format!("Allow: {}\r\n", allowed(b"")).as_bytes());
        }
        if let Some(seconds) = self.retry_after {
            wire.extend_from_slice(format!("Retry-After: {seconds}\r\n").as_bytes());
        }
        if let Some(server) = server.filter(|server| !server.is_empty()) {
            for part in [b"Server: ", server.as_bytes(), b"\r\n"] {
                wire.extend_from_slice(part);
            }
        }
        wire.extend_from_slice(b"Connection: close\r\n\r\n");
        if !without_body {
            wire.extend_from_slice(&self.body);
        }
        wire
    }
}

/// For `Allow`: the methods that a request may be sent with instead of one that isn't served.
pub fn allowed(refused: &[u8]) -> String {
    const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let others = METHODS
        .into_iter()
        .filter(|method| method.as_bytes() != refused);
    others.collect::<Vec<_>>().join(", ")
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
fn prefers_json(request: &Fields) -> bool {
    let Some(accept) = request.get(header::ACCEPT) else {
        return false;
    };
    let accept = accept.as_bytes().to_ascii_lowercase();
    match (find(&accept, b"json"), find(&accept, b"text/html")) {
        (Some(json), Some(html)) => json < html,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// A configured page with `${request_id}` and `${status}` in their places. Neither holds a character that means anything in
/// HTML or JSON: an id is ours, or one that [`RequestId::from_trusted`](crate::http::request::id::RequestId::from_trusted) let pass.
fn filled_in(page: &Bytes, status: u16, request_id: &str) -> Bytes {
    const OPENING: &[u8] = b"${";
    let Some(first) = find(page, OPENING) else {
        return page.clone();
    };
    let (plain, mut rest) = page.split_at(first);
    let mut filled = plain.to_vec();
    while let Some(at) = find(rest, OPENING) {
        let (plain, variable) = rest.split_at(at);
        filled.extend_from_slice(plain);
        rest = if let Some(after) = variable.strip_prefix(b"${request_id}") {
            filled.extend_from_slice(request_id.as_bytes());
            after
        } else if let Some(after) = variable.strip_prefix(b"${status}") {
            filled.extend_from_slice(status.to_string().as_bytes());
            after
        } else {
            filled.extend_from_slice(OPENING);
            variable.get(OPENING.len()..).unwrap_or_default()
        };
    }
    filled.extend_from_slice(rest);
    Bytes::from(filled)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
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

    fn of(configured: &[model::ErrorPage], request: Option<&Fields>) -> ErrorPage {
        let detail = "no server is available";
        ErrorPage::new(configured, 503, detail, "abc", request)
    }

    fn configured(content_type: &'static str, body: &'static str) -> [model::ErrorPage; 1] {
        [model::ErrorPage {
            status: 503,
            content_type,
            body: Bytes::from_static(body.as_bytes()),
        }]
    }

    fn page(accept: Option<&str>) -> ErrorPage {
        of(&[], Some(&request(accept)))
    }

    fn request(accept: Option<&str>) -> Fields {
        let mut request = Fields::new();
        if let Some(accept) = accept {
            request.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        }
        request
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
        let page = ErrorPage::new(&[], 400, "malformed", "abc", None);
        let wire = String::from_utf8(page.to_wire("abc", "now", None, false)).unwrap();
        let (head, body) = wire.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"));
        assert!(head.contains("Connection: close"));
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(body.contains("abc"));
        assert!(
            page.to_wire("abc", "now", None, true)
                .ends_with(b"\r\n\r\n")
        );
    }

    #[test]
    fn the_wire_form_names_the_server_only_if_it_is_configured() {
        let page = ErrorPage::new(&[], 400, "malformed", "abc", None);
        let wire = |server| {
            let server = HeaderValue::from_static(server);
            String::from_utf8(page.to_wire("abc", "now", Some(&server), true)).unwrap()
        };
        assert!(wire("edge").contains("\r\nServer: edge\r\n"));
        assert!(!wire("").contains("Server"));
    }

    #[test]
    fn a_configured_page_is_for_those_who_do_not_ask_for_json() {
        let html = configured("text/html; charset=utf-8", "sorry");
        for accept in [None, Some("text/html"), Some("*/*"), Some("image/png")] {
            assert_eq!(of(&html, Some(&request(accept))).body, "sorry");
        }
        assert_eq!(of(&html, None).retry_after, Some(5));
        let json = request(Some("application/json"));
        assert_eq!(of(&html, Some(&json)).content_type, JSON);
        let own = configured(JSON, "{}");
        assert_eq!(of(&own, Some(&json)).body, "{}");
        assert_eq!(of(&own, None).content_type, JSON);
        let other = ErrorPage::new(&html, 502, "x", "abc", None);
        assert!(
            String::from_utf8(other.body.to_vec())
                .unwrap()
                .contains("502 Bad Gateway")
        );
    }

    #[test]
    fn only_the_two_variables_are_filled_in() {
        for (text, expected) in [
            ("a ${status} b ${request_id}${status}", "a 503 b abc503"),
            ("${request_id} ${host} ${", "abc ${host} ${"),
            ("${${status}}", "${503}"),
            ("$status ${ status } $", "$status ${ status } $"),
            ("", ""),
        ] {
            let page = [model::ErrorPage {
                status: 503,
                content_type: JSON,
                body: Bytes::copy_from_slice(text.as_bytes()),
            }];
            assert_eq!(of(&page, None).body, expected, "{text}");
        }
    }
}
