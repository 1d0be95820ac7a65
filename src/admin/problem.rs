//! Errors as problem documents (RFC 9457).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use schemars::JsonSchema;
use serde::Serialize;

/// Why something that was asked for isn't done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ApiError {
    /// The status that says it.
    pub status: StatusCode,
    /// Why, in words.
    pub detail: String,
    /// Each by itself, where there may be several.
    pub problems: Vec<String>,
}

impl ApiError {
    /// With a status and words of its own.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            problems: Vec::new(),
        }
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// Not as things are now.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// What was sent can be read, and can't be done.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// What was sent can't be read.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Something has changed since the caller looked (RFC 9110 section 13.1.1).
    pub fn precondition_failed() -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "it has changed since: look at it again, and send the ETag that it has now",
        )
    }

    /// A fault of ours.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "that failed unexpectedly; the log says more",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = Problem {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: self.detail,
            problems: self.problems,
        };
        (
            self.status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            Json(problem),
        )
            .into_response()
    }
}

/// A problem document (RFC 9457). The type is `about:blank`: the status says it all (section 4.2.1).
#[derive(Serialize, JsonSchema)]
pub struct Problem {
    /// Always `about:blank`.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// What is wrong, in words.
    detail: String,
    /// Each by itself, where there are several: what is wrong with a configuration, each with its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

/// An error response.
pub(super) fn response(status: StatusCode, detail: &str) -> Response {
    ApiError::new(status, detail).into_response()
}
