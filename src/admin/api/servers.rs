//! Servers: shown, changed, added, removed, and parted from their connections.

use std::time::Duration;

use axum::extract::State as Extract;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{InBody, InPath, InQuery, audit, blocking, body, whole};
use crate::admin::State;
use crate::admin::access::Operator;
use crate::admin::control::{Change, NewServer, ServerChange, ServerPath};
use crate::admin::etag::Precondition;
use crate::admin::problem::ApiError;
use crate::admin::status::ServerStatus;
use crate::config;
use crate::config::model;

/// How often it is looked whether a server is idle by now.
const LOOK: Duration = Duration::from_millis(20);

/// How long to wait until the server is idle, before it is removed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    wait: Option<String>,
}

/// How many connections were ended.
#[derive(Serialize, JsonSchema)]
pub struct Disconnected {
    /// Connections to the server that were ended, those that were idle among them.
    pub connections: usize,
}

pub async fn list(
    Extract(state): Extract<State>,
    InPath(pool): InPath<String>,
) -> Result<Json<Vec<ServerStatus>>, ApiError> {
    let mut pools = state.control.status().pools.into_iter();
    let found = pools.find(|one| one.name == pool);
    found
        .map(|pool| Json(pool.servers))
        .ok_or_else(|| ApiError::not_found(format!("there is no pool {pool:?}")))
}

pub async fn show(
    Extract(state): Extract<State>,
    InPath((pool, server)): InPath<(String, String)>,
) -> Result<Response, ApiError> {
    answer(&state, &ServerPath { pool, server })
}

pub async fn change(
    Extract(state): Extract<State>,
    who: Operator,
    InPath((pool, server)): InPath<(String, String)>,
    precondition: Precondition,
    InBody(body): InBody,
) -> Result<Response, ApiError> {
    let path = ServerPath { pool, server };
    let (change, wait) = body::change(&body)?;
    edit(&state, &who, &path, change, precondition, words(&change)).await?;
    if let Some(wait) = wait {
        idle(&state, &path, wait).await;
    }
    answer(&state, &path)
}

pub async fn add(
    Extract(state): Extract<State>,
    who: Operator,
    InPath(pool): InPath<String>,
    InBody(body): InBody,
) -> Result<Response, ApiError> {
    let new = body::new_server(&body)?;
    let path = ServerPath {
        pool,
        server: new.name.clone(),
    };
    let (to, of) = (state.clone(), path.clone());
    whole(async move {
        let what = words_of_new(&new);
        let pool = of.pool.clone();
        blocking(&to.control, move |control| control.add_server(&pool, &new)).await?;
        audit(&to, &who, &of.to_string(), &what);
        Ok(())
    })
    .await?;
    let mut response = answer(&state, &path)?;
    *response.status_mut() = StatusCode::CREATED;
    let location = format!("/api/v1/pools/{}/servers/{}", path.pool, path.server);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

pub async fn remove(
    Extract(state): Extract<State>,
    who: Operator,
    InPath((pool, server)): InPath<(String, String)>,
    precondition: Precondition,
    InQuery(Wait { wait }): InQuery<Wait>,
) -> Result<StatusCode, ApiError> {
    let path = ServerPath { pool, server };
    let mut precondition = precondition;
    if let Some(wait) = wait {
        let wait = duration("wait", &wait)?;
        let drain = ServerChange {
            state: Some(model::Operator::Drain),
            ..ServerChange::default()
        };
        let condition = std::mem::take(&mut precondition);
        let what = "state drain, to be removed".to_owned();
        edit(&state, &who, &path, drain, condition, what).await?;
        idle(&state, &path, wait).await;
    }
    whole(async move {
        let of = path.clone();
        blocking(&state.control, move |control| {
            control.remove_server(&of, &precondition)
        })
        .await?;
        audit(&state, &who, &path.to_string(), "removed");
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

pub async fn disconnect(
    Extract(state): Extract<State>,
    who: Operator,
    InPath((pool, server)): InPath<(String, String)>,
    precondition: Precondition,
) -> Result<Json<Disconnected>, ApiError> {
    let path = ServerPath { pool, server };
    whole(async move {
        let of = path.clone();
        let connections = blocking(&state.control, move |control| {
            precondition.check(&control.server(&of)?.1)?;
            control.disconnect(&of)
        })
        .await?;
        let what = format!("disconnected, {connections} connections");
        audit(&state, &who, &path.to_string(), &what);
        Ok(Json(Disconnected { connections }))
    })
    .await
}

/// Changes a server, with `what` for the audit; a change of nothing isn't told.
async fn edit(
    state: &State,
    who: &Operator,
    path: &ServerPath,
    change: ServerChange,
    precondition: Precondition,
    what: String,
) -> Result<(), ApiError> {
    let (state, who, path) = (state.clone(), who.clone(), path.clone());
    whole(async move {
        let of = path.clone();
        blocking(&state.control, move |control| {
            control.change_server(&of, &change, &precondition)
        })
        .await?;
        if change != ServerChange::default() {
            audit(&state, &who, &path.to_string(), &what);
        }
        Ok(())
    })
    .await
}

/// A server as it is, with its tag.
fn answer(state: &State, path: &ServerPath) -> Result<Response, ApiError> {
    let (server, etag) = state.control.server(path)?;
    Ok((etag.field(), Json(server)).into_response())
}

/// Returns when the server works on nothing any more, or isn't there, or the time is over.
async fn idle(state: &State, path: &ServerPath, at_most: Duration) {
    let is_idle = async {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            match state.control.server(path) {
                Ok((server, _)) if server.active > 0 => {}
                _ => return,
            }
        }
    };
    // Not idle in time is for the caller to see.
    drop(tokio::time::timeout(at_most, is_idle).await);
}

/// A duration of a query.
pub fn duration(key: &str, text: &str) -> Result<Duration, ApiError> {
    config::duration(text).map_err(|why| ApiError::bad_request(format!("{key}: {why}")))
}

/// A change, for the audit.
fn words(change: &ServerChange) -> String {
    let mut words = Vec::new();
    words.extend(change.state.map(state_words).map(str::to_owned));
    words.extend(number("weight", change.weight));
    words.extend(number("max_connections", change.max_connections));
    words.join(", ")
}

/// A new server, for the audit: what isn't said is as by default.
fn words_of_new(server: &NewServer) -> String {
    let mut words = format!("added at {}, weight {}", server.address, server.weight);
    if server.max_connections != 0 {
        words.push_str(&format!(", max_connections {}", server.max_connections));
    }
    if server.backup {
        words.push_str(", backup");
    }
    if server.state != model::Operator::Ready {
        words.push_str(", ");
        words.push_str(state_words(server.state));
    }
    words
}

fn state_words(state: model::Operator) -> &'static str {
    match state {
        model::Operator::Ready => "state ready",
        model::Operator::Drain => "state drain",
        model::Operator::Maintenance => "state maintenance",
    }
}

fn number(key: &str, change: Change<impl std::fmt::Display>) -> Option<String> {
    match change {
        Change::None => None,
        Change::Back => Some(format!("{key} as in the file")),
        Change::To(number) => Some(format!("{key} {number}")),
    }
}

impl std::fmt::Display for ServerPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.pool, self.server)
    }
}
