//! The dashboard: one HTML file that loads nothing but the status.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const DASHBOARD: &str = include_str!("dashboard.html");

/// The page and the policy that allows exactly its own script and style.
#[derive(Clone)]
pub(super) struct Page {
    policy: String,
}

impl Page {
    pub(super) fn new() -> Self {
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            source_hash(DASHBOARD, "script"),
            source_hash(DASHBOARD, "style"),
        );
        Self { policy }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
            (header::CONTENT_SECURITY_POLICY, self.policy),
        ];
        (headers, DASHBOARD).into_response()
    }
}

/// The hash source (Content Security Policy Level 3, section 2.3.1) of the page's only element of
/// this name.
fn source_hash(html: &str, element: &str) -> String {
    let content = html
        .split_once(&format!("<{element}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{element}>")))
        .map_or("", |(content, _)| content);
    format!("sha256-{}", STANDARD.encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_script_and_one_style_and_nothing_from_elsewhere() {
        for element in ["script", "style"] {
            assert_eq!(
                DASHBOARD.matches(&format!("<{element}")).count(),
                1,
                "{element}"
            );
            assert_eq!(
                DASHBOARD.matches(&format!("<{element}>")).count(),
                1,
                "{element}"
            );
        }
        for forbidden in [
            " style=\"",
            " onclick",
            " onload",
            "@import",
            "innerHTML",
            "outerHTML",
        ] {
            assert!(!DASHBOARD.contains(forbidden), "{forbidden}");
        }
        for forbidden in [
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "<link rel=\"stylesheet",
        ] {
            assert!(!DASHBOARD.contains(forbidden), "{forbidden}");
        }
        let foreign = DASHBOARD.replace("http://www.w3.org/2000/svg", "");
        assert!(!foreign.contains("http://") && !foreign.contains("https://"));
    }

    #[test]
    fn hashes_are_of_the_content() {
        // echo -n "alert(1)" | openssl dgst -sha256 -binary | base64
        assert_eq!(
            source_hash("<p><script>alert(1)</script>", "script"),
            "sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI="
        );
    }
}
