//! Entity tags: what a caller has seen, so that nobody changes what has changed since (RFC 9110 section 13.1).

use axum::extract::FromRequestParts;
use axum::http::header::{self, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::problem::ApiError;

/// A strong entity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etag(String);

impl Etag {
    /// Of whatever has the same JSON.
    pub fn of(what: &impl Serialize) -> Self {
        use std::fmt::Write as _;
        let digest = Sha256::digest(serde_json::to_vec(what).unwrap_or_default());
        let mut tag = String::with_capacity(18);
        for byte in digest.iter().take(8) {
            // Memory can be written to.
            let _ = write!(tag, "{byte:02x}");
        }
        Self(format!("\"{tag}\""))
    }

    /// As a field of a response.
    pub fn field(&self) -> [(HeaderName, HeaderValue); 1] {
        let value = HeaderValue::from_str(&self.0);
        [(
            header::ETAG,
            value.unwrap_or(HeaderValue::from_static("\"\"")),
        )]
    }

    /// Whether a list of tags, or `*`, has it.
    fn is_in(&self, fields: &HeaderMap, name: &HeaderName) -> bool {
        let values = fields.get_all(name).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag == self.0)
    }

    /// Whether the caller has exactly this (RFC 9110 section 13.1.2).
    pub fn is_known_to(&self, request: &HeaderMap) -> bool {
        self.is_in(request, &header::IF_NONE_MATCH)
    }
}

/// What the caller wants to change, as far as it says so: the `If-Match` of a request.
#[derive(Debug, Clone, Default)]
pub struct Precondition(Option<HeaderMap>);

impl Precondition {
    /// Whether it may go on with what is tagged like this now.
    ///
    /// # Errors
    ///
    /// It means another one.
    pub fn check(&self, now: &Etag) -> Result<(), ApiError> {
        match &self.0 {
            Some(fields) if !now.is_in(fields, &header::IF_MATCH) => {
                Err(ApiError::precondition_failed())
            }
            _ => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Precondition {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let has_one = parts.headers.contains_key(header::IF_MATCH);
        Ok(Self(has_one.then(|| parts.headers.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(values: &[&str]) -> Precondition {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(
                header::IF_MATCH,
                HeaderValue::from_str(value).expect("valid"),
            );
        }
        Precondition((!values.is_empty()).then_some(fields))
    }

    #[test]
    fn a_condition_is_a_list_of_tags_or_anything() {
        let (now, before) = (Etag::of(&1), Etag::of(&2));
        assert!(condition(&[]).check(&now).is_ok());
        assert!(condition(&["*"]).check(&now).is_ok());
        assert!(condition(&[&now.0]).check(&now).is_ok());
        assert!(
            condition(&[&format!("{}, {}", before.0, now.0)])
                .check(&now)
                .is_ok()
        );
        assert!(condition(&[&before.0, &now.0]).check(&now).is_ok());
        assert!(condition(&[&before.0]).check(&now).is_err());
        // Weak tags never match strongly (RFC 9110 section 8.8.3.2).
        assert!(condition(&[&format!("W/{}", now.0)]).check(&now).is_err());
    }
}
