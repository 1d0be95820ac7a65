//! The dashboard: one HTML page that has its style and its script in it, and loads nothing but what the API says.
//!
//! Its parts are files of one idea each (`dashboard/`), joined when this is compiled. The script is a module, so its names
//! are its own.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::gzip;

const HEAD: &str = include_str!("dashboard/head.html");
const STYLE: &str = include_str!("dashboard/style.css");
const BODY: &str = include_str!("dashboard/body.html");
const SCRIPT: &str = concat!(
    include_str!("dashboard/words.js"),
    include_str!("dashboard/dom.js"),
    include_str!("dashboard/api.js"),
    include_str!("dashboard/history.js"),
    include_str!("dashboard/model.js"),
    include_str!("dashboard/plot.js"),
    include_str!("dashboard/rows.js"),
    include_str!("dashboard/grid.js"),
    include_str!("dashboard/inspector.js"),
    include_str!("dashboard/actions.js"),
    include_str!("dashboard/overview.js"),
    include_str!("dashboard/views.js"),
    include_str!("dashboard/events.js"),
    include_str!("dashboard/main.js"),
);

/// The page and the policy that allows exactly its own script and style.
#[derive(Clone)]
pub(super) struct Page {
    policy: HeaderValue,
    plain: Bytes,
    packed: Option<Bytes>,
}

impl Page {
    pub(super) fn new() -> Self {
        let html = html();
        // What scripts set of elements' styles (widths, places) is no inline style and needs no leave.
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'",
            source_hash(SCRIPT),
            source_hash(STYLE),
        );
        Self {
            policy: HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("")),
            packed: gzip::packed(html.as_bytes()).map(Bytes::from),
            plain: Bytes::from(html),
        }
    }

    /// The page, compressed for those who take that.
    pub(super) fn response(&self, request: &HeaderMap) -> Response {
        let headers = [
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/html; charset=utf-8"),
            ),
            (header::CONTENT_SECURITY_POLICY, self.policy.clone()),
            (header::VARY, HeaderValue::from_static("Accept-Encoding")),
        ];
        match &self.packed {
            Some(packed) if gzip::is_accepted(request) => {
                let coding = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
                (headers, coding, packed.clone()).into_response()
            }
            _ => (headers, self.plain.clone()).into_response(),
        }
    }
}

fn html() -> String {
    format!(
        "{HEAD}<style>{STYLE}</style>\n</head>\n<body>\n{BODY}<script type=\"module\">{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// The hash source of an element with this content (Content Security Policy Level 3, section 2.3.1).
fn source_hash(content: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_script_and_one_style_and_nothing_from_elsewhere() {
        let html = html();
        for element in ["<script", "</script", "<style", "</style"] {
            assert_eq!(html.matches(element).count(), 1, "{element}");
        }
        for forbidden in [
            " style=\"",
            " onclick",
            " onload",
            "@import",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "<link rel=\"stylesheet",
            "localStorage.setItem(\"token",
            "sessionStorage",
        ] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        let foreign = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!foreign.contains("http://") && !foreign.contains("https://"));
    }

    #[test]
    fn hashes_are_of_the_content() {
        // echo -n "alert(1)" | openssl dgst -sha256 -binary | base64
        assert_eq!(
            source_hash("alert(1)"),
            "sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI="
        );
    }
}
