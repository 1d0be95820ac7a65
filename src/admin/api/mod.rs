//! The API below `/api/v1`: what each path does. What is done is up to [`Control`]; here is what is read of requests, who
//! may send them, what is answered, and who is told.

mod body;
mod events;
mod instance;
mod openapi;
mod servers;
mod sessions;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::{get, patch, post};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::access::Operator;
use super::control::Control;
use super::problem::ApiError;
use super::{LARGEST_BODY, State};
use crate::observe::Topic;
use crate::supervise;

/// Where all of it is.
pub fn routes() -> Router<State> {
    Router::new()
        .route("/openapi.json", get(openapi::document))
        .route("/status", get(instance::status))
        .route("/history", get(instance::history))
        .route("/advice", get(instance::advice))
        .route(
            "/pools/{pool}/servers",
            get(servers::list).post(servers::add),
        )
        .route(
            "/pools/{pool}/servers/{server}",
            patch(servers::change)
                .get(servers::show)
                .delete(servers::remove),
        )
        .route(
            "/pools/{pool}/servers/{server}/disconnect",
            post(servers::disconnect),
        )
        .route(
            "/pools/{pool}/sessions",
            get(sessions::find).delete(sessions::forget),
        )
        .route("/certificates", get(instance::certificates))
        .route("/certificates/renew", post(instance::renew))
        .route("/refused", get(instance::refused))
        .route("/drain", post(instance::drain).delete(instance::resume))
        .route("/reload", post(instance::reload))
        .route("/config", get(instance::configuration))
        .route("/events", get(events::stream))
}

/// Does what may block for a moment: files are written, and a reload may have to end first.
async fn blocking<T: Send + 'static>(
    control: &Arc<dyn Control>,
    work: impl FnOnce(&dyn Control) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let control = Arc::clone(control);
    tokio::task::spawn_blocking(move || work(&*control))
        .await
        .unwrap_or_else(|_| Err(ApiError::internal()))
}

/// Makes a change as a whole, with its line of the audit, also if whoever asked for it has hung up meanwhile: what is awaited
/// in a handler alone ends with the connection.
async fn whole<T: Send + 'static>(
    change: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    supervise::once(change)
        .await
        .unwrap_or_else(|_| Err(ApiError::internal()))
}

/// One line for each change, with who made it; and an event.
fn audit(state: &State, who: &Operator, change: &str, what: &str) {
    let actor = who.words();
    tracing::info!(target: "equipoise::audit", actor, what, "{change}");
    state.control.metrics().events().publish(
        Topic::Operator,
        json!({"actor": actor, "change": change, "what": what}),
    );
}

/// The parts of a path, with its errors as problem documents.
struct InPath<T>(T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(path)| Self(path))
            .map_err(|error| ApiError::bad_request(error.body_text()))
    }
}

/// A whole body, with its errors as problem documents.
struct InBody(Bytes);

impl<S: Send + Sync> FromRequest<S> for InBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Bytes::from_request(request, state)
            .await
            .map(Self)
            .map_err(|error| match error.status() {
                StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!("the body is larger than {LARGEST_BODY} bytes"),
                ),
                status => ApiError::new(status, error.body_text()),
            })
    }
}

/// A query, with its errors as problem documents.
struct InQuery<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Query::from_request_parts(parts, state)
            .await
            .map(|Query(query)| Self(query))
            .map_err(|error| {
                let words = error.body_text();
                let what = words.strip_prefix("Failed to deserialize query string: ");
                ApiError::bad_request(format!("the query: {}", what.unwrap_or(&words)))
            })
    }
}
