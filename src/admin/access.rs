//! The rights of callers: everybody who can connect may read, and a token gives the right to change something. At a Unix
//! socket without tokens the permissions of its file give that right.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nix::unistd::{Uid, User};

use super::problem::ApiError;
use super::token::Tokens;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub enum Peer {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket: the user and the process, if the system says them.
    Unix(Option<(u32, Option<i32>)>),
}

/// The sender of a request, and the right to change something.
#[derive(Debug, Clone)]
pub struct Caller {
    peer: Peer,
    right: Right,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    /// A token that is in the file.
    Token,
    /// The permissions of the socket's file.
    File,
    /// None is configured.
    NoneConfigured,
    /// None was sent.
    NoneSent,
}

/// The tokens that count.
#[derive(Debug, Clone)]
pub struct Access {
    /// `None` = none are configured.
    pub tokens: Option<Arc<Tokens>>,
}

impl Access {
    /// Finds out the sender of a request and its rights.
    ///
    /// # Errors
    ///
    /// A token that isn't one of ours: also where none would be needed, so that nobody believes it to be right.
    pub fn caller(&self, peer: Peer, request: &HeaderMap) -> Result<Caller, ApiError> {
        let right = match (&self.tokens, presented(request)) {
            (Some(tokens), Some(token)) if tokens.accept(&token) => Right::Token,
            (Some(_), Some(_)) => {
                return Err(ApiError::new(
                    StatusCode::UNAUTHORIZED,
                    "the token is not one of those in admin.token_file",
                ));
            }
            (Some(_), None) => Right::NoneSent,
            (None, _) => match peer {
                Peer::Tcp(_) => Right::NoneConfigured,
                Peer::Unix(_) => Right::File,
            },
        };
        Ok(Caller { peer, right })
    }
}

/// The token of a request (RFC 6750 section 2.1).
fn presented(request: &HeaderMap) -> Option<Cow<'_, [u8]>> {
    let value = request.get(header::AUTHORIZATION)?.as_bytes();
    match value.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
            Some(token.trim_ascii().into())
        }
        // Another scheme: whatever it is, it is no token of ours.
        _ => Some(Cow::Borrowed(b"")),
    }
}

impl Caller {
    /// In words, for the audit.
    pub fn words(&self) -> String {
        let peer = match self.peer {
            Peer::Tcp(address) => address.to_string(),
            Peer::Unix(None) => "the Unix socket".to_owned(),
            Peer::Unix(Some((uid, pid))) => {
                let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
                let user = user.map_or_else(|| uid.to_string(), |user| user.name);
                match pid {
                    Some(pid) => format!("user {user}, pid {pid}"),
                    None => format!("user {user}"),
                }
            }
        };
        match self.right {
            Right::Token => format!("{peer}, by token"),
            _ => peer,
        }
    }
}

/// Where the caller stands among a request's extensions.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(ApiError::internal)
    }
}

/// A caller who may change something: every handler that does has one.
#[derive(Debug, Clone)]
pub struct Operator(Caller);

impl Operator {
    /// In words, for the audit.
    pub fn words(&self) -> String {
        self.0.words()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let caller = Caller::from_request_parts(parts, state)
            .await
            .map_err(IntoResponse::into_response)?;
        match caller.right {
            Right::Token | Right::File => Ok(Self(caller)),
            Right::NoneSent => Err(unauthorized(&ApiError::new(
                StatusCode::UNAUTHORIZED,
                "that needs a token: Authorization: Bearer TOKEN",
            ))),
            Right::NoneConfigured => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "without admin.token_file this API only reads",
            )
            .into_response()),
        }
    }
}

/// Asks for a token (RFC 9110 section 11.6.1).
pub fn unauthorized(error: &ApiError) -> Response {
    let mut response = error.clone().into_response();
    response.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"equipoise\""),
    );
    response
}

/// Whether a browser sends this for the page of another site. What isn't from a browser has neither field.
pub fn is_cross_site(request: &Request) -> bool {
    let field = |name: &str| {
        let value = request.headers().get(name)?;
        Some(value.to_str().unwrap_or("?"))
    };
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    // A link to the dashboard may stand anywhere.
    let is_navigation = is_read
        && request.uri().path() == "/"
        && field("sec-fetch-mode").is_none_or(|mode| mode == "navigate");
    let by_site = field("sec-fetch-site")
        .is_some_and(|site| !matches!(site, "same-origin" | "none") && !is_navigation);
    let by_origin = !is_read
        && field("origin").is_some_and(|origin| {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_none() || host != field("host")
        });
    by_site || by_origin
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn is_refused(method: &str, path: &str, fields: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        is_cross_site(&request.body(Body::empty()).expect("valid"))
    }

    #[test]
    fn pages_of_other_sites_are_told_by_what_browsers_say() {
        let (host, site) = (("host", "lb:9900"), "sec-fetch-site");
        assert!(!is_refused("POST", "/api/v1/reload", &[host]), "curl");
        let own = [host, ("origin", "https://lb:9900"), (site, "same-origin")];
        assert!(!is_refused("POST", "/api/v1/reload", &own));
        for origin in ["https://evil.example", "null", "https://lb:9901"] {
            assert!(is_refused(
                "POST",
                "/api/v1/reload",
                &[host, ("origin", origin)]
            ));
        }
        for from in ["cross-site", "same-site", "what"] {
            assert!(is_refused("GET", "/api/v1/status", &[host, (site, from)]));
        }
        let link = [(site, "cross-site"), ("sec-fetch-mode", "navigate")];
        assert!(!is_refused("GET", "/", &link));
        assert!(is_refused(
            "GET",
            "/",
            &[(site, "cross-site"), ("sec-fetch-mode", "no-cors")]
        ));
        assert!(
            !is_refused("GET", "/api/v1/status", &[(site, "none")]),
            "typed"
        );
    }
}
