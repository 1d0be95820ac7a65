//! Sessions: found, decoded, forgotten.

use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::Deserialize;

use super::{InPath, InQuery, audit, whole};
use crate::admin::State;
use crate::admin::access::Operator;
use crate::admin::problem::ApiError;

/// Which session.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    key: Option<String>,
}

pub async fn find(
    Extract(state): Extract<State>,
    InPath(pool): InPath<String>,
    InQuery(Key { key }): InQuery<Key>,
) -> Result<Response, ApiError> {
    Ok(match key {
        Some(key) => Json(state.control.find_session(&pool, &key).await?).into_response(),
        None => Json(state.control.sessions(&pool)?).into_response(),
    })
}

pub async fn forget(
    Extract(state): Extract<State>,
    who: Operator,
    InPath(pool): InPath<String>,
    InQuery(Key { key }): InQuery<Key>,
) -> Result<StatusCode, ApiError> {
    // Gives the pool's own error first.
    state.control.sessions(&pool)?;
    let key = key.ok_or_else(|| ApiError::bad_request("key: say which session, with ?key="))?;
    whole(async move {
        state.control.forget_session(&pool, &key).await?;
        // The key is as good as a password.
        audit(&state, &who, &pool, "a session forgotten");
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
