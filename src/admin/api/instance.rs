//! The instance as a whole: its status, configuration, certificates and refusals; reload and drain.

use std::time::Duration;

use axum::extract::State as Extract;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use serde::Deserialize;

use super::{InQuery, audit, blocking, whole};
use crate::admin::State;
use crate::admin::access::Operator;
use crate::admin::advice::Advice;
use crate::admin::control::{CertificateStatus, Renewal};
use crate::admin::etag::Etag;
use crate::admin::history::HistoryStatus;
use crate::admin::problem::ApiError;
use crate::admin::status::{ReloadStatus, Status};
use crate::observe::refused::Refused;

/// How long connections are told to go over.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    spread: Option<String>,
}

/// Which certificates.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    name: Option<String>,
}

/// Which samples.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    after: Option<u32>,
}

pub async fn status(Extract(state): Extract<State>) -> Json<Status> {
    Json(state.control.status())
}

pub async fn history(
    Extract(state): Extract<State>,
    InQuery(After { after }): InQuery<After>,
) -> Json<HistoryStatus> {
    Json(state.control.history(after.unwrap_or(0).into()))
}

pub async fn advice(Extract(state): Extract<State>) -> Json<Vec<Advice>> {
    Json(state.control.advice())
}

pub async fn certificates(Extract(state): Extract<State>) -> Json<Vec<CertificateStatus>> {
    Json(state.control.certificates())
}

pub async fn renew(
    Extract(state): Extract<State>,
    who: Operator,
    InQuery(Name { name }): InQuery<Name>,
) -> Result<(StatusCode, Json<Vec<Renewal>>), ApiError> {
    let renewals = state.control.renew(name.as_deref())?;
    for renewal in &renewals {
        audit(
            &state,
            &who,
            "certificates",
            &format!("renewal of {} asked for", renewal.names.join(", ")),
        );
    }
    Ok((StatusCode::ACCEPTED, Json(renewals)))
}

pub async fn refused(Extract(state): Extract<State>) -> Json<Vec<Refused>> {
    Json(state.control.refused())
}

pub async fn drain(
    Extract(state): Extract<State>,
    who: Operator,
    InQuery(Spread { spread }): InQuery<Spread>,
) -> Result<Json<Status>, ApiError> {
    let spread = spread.map(|spread| super::servers::duration("spread", &spread));
    let spread = spread.transpose()?.unwrap_or(Duration::ZERO);
    whole(async move {
        blocking(&state.control, move |control| control.drain(spread)).await?;
        let what = format!("drained over {spread:?}");
        audit(&state, &who, "the instance", &what);
        Ok(Json(state.control.status()))
    })
    .await
}

pub async fn resume(
    Extract(state): Extract<State>,
    who: Operator,
) -> Result<Json<Status>, ApiError> {
    whole(async move {
        blocking(&state.control, super::Control::resume).await?;
        audit(&state, &who, "the instance", "taken back into service");
        Ok(Json(state.control.status()))
    })
    .await
}

pub async fn reload(
    Extract(state): Extract<State>,
    who: Operator,
) -> Result<Json<ReloadStatus>, ApiError> {
    audit(&state, &who, "the configuration", "reload asked for");
    state.control.reload().await.map(Json)
}

pub async fn configuration(
    Extract(state): Extract<State>,
    request: HeaderMap,
) -> Result<Response, ApiError> {
    let yaml = blocking(&state.control, super::Control::configuration).await?;
    let etag = Etag::of(&yaml);
    if etag.is_known_to(&request) {
        return Ok((StatusCode::NOT_MODIFIED, etag.field()).into_response());
    }
    let accept = request
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("yaml")) {
        let kind = (header::CONTENT_TYPE, "application/yaml");
        return Ok((etag.field(), [kind], yaml).into_response());
    }
    let value: serde_json::Value = serde_yaml::from_str(&yaml).map_err(|_| ApiError::internal())?;
    Ok((etag.field(), Json(value)).into_response())
}
