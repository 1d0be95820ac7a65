//! The admin listener: health, metrics, the status of the running instance, and the dashboard.
//!
//! It only reads. What it shows of the instance it gets through [`View`], so that it knows nothing
//! of how traffic is handled, and can be tested without any.

mod bind;
mod gzip;
mod host;
mod page;
mod problem;
pub mod status;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State as Extract};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::{Router, serve as axum_serve};
use tokio::sync::oneshot;

use crate::observe::Metrics;
pub use bind::{Listener, bind};
use host::HostCheck;
use page::Page;
use status::Status;

/// How long open connections may go on after the end was asked for.
const GRACE: Duration = Duration::from_secs(2);

/// What the admin listener sees of the running instance. Called for each admin request, from any
/// thread.
pub trait View: Send + Sync + 'static {
    /// Everything, as of now.
    fn status(&self) -> Status;

    /// Whether this instance should get traffic.
    ///
    /// # Errors
    /// It should not; the error says why, in words.
    fn ready(&self) -> Result<(), String>;

    /// Called before the metrics are read: the place to set the gauges that nobody keeps up to
    /// date in between.
    fn refresh(&self) {}
}

/// What the handlers share.
#[derive(Clone)]
pub struct State {
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// What everything else shows.
    pub view: Arc<dyn View>,
}

/// Answers admin requests until `shutdown` is ready, and then for at most 2 s those that are on
/// their way.
///
/// # Errors
/// The listener can't be used.
pub async fn serve(
    listener: Listener,
    state: State,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = router(state, listener.host_check());
    let (stop, stopped) = oneshot::channel();
    let shutdown = async move {
        shutdown.await;
        // Nobody listens if the server has ended by itself.
        let _ = stop.send(());
    };
    let serving = async move {
        match listener {
            Listener::Tcp(listener) => {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum_serve(listener, router)
                    .with_graceful_shutdown(shutdown)
                    .await
            }
            Listener::Unix(listener, _file) => {
                let listener = tokio::net::UnixListener::from_std(listener)?;
                axum_serve(listener, router)
                    .with_graceful_shutdown(shutdown)
                    .await
            }
        }
    };
    let overdue = async move {
        if stopped.await.is_err() {
            // The server has ended by itself, and says how.
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        result = serving => result,
        () = overdue => Ok(()),
    }
}

fn router(state: State, hosts: HostCheck) -> Router {
    let page = Page::new();
    Router::new()
        .route("/", get(move || async move { page.into_response() }))
        .route("/healthz", get("ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status_json))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(hosts, guard))
        .with_state(state)
}

async fn readyz(Extract(state): Extract<State>) -> Response {
    match state.view.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {reason}\n"),
        )
            .into_response(),
    }
}

async fn metrics(Extract(state): Extract<State>, request: HeaderMap) -> Response {
    let compress = gzip::is_accepted(&request);
    // Requests are served on this thread, too.
    let rendered = tokio::task::spawn_blocking(move || {
        state.view.refresh();
        let (content_type, body) = state.metrics.render();
        let packed = compress.then(|| gzip::packed(&body)).flatten();
        (content_type, body, packed)
    });
    let vary = (header::VARY, "Accept-Encoding");
    match rendered.await {
        Ok((content_type, _, Some(packed))) => {
            let coding = (header::CONTENT_ENCODING, "gzip");
            (
                [coding, vary],
                [(header::CONTENT_TYPE, content_type)],
                packed,
            )
                .into_response()
        }
        Ok((content_type, body, None)) => {
            ([vary], [(header::CONTENT_TYPE, content_type)], body).into_response()
        }
        Err(_) => problem::response(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the metrics could not be written out; the log says more",
        ),
    }
}

async fn status_json(Extract(state): Extract<State>) -> Json<Status> {
    Json(state.view.status())
}

async fn not_found() -> Response {
    problem::response(StatusCode::NOT_FOUND, "nothing is at this path")
}

async fn method_not_allowed() -> Response {
    problem::response(
        StatusCode::METHOD_NOT_ALLOWED,
        "the Allow header says what is possible here",
    )
}

/// Turns away what a foreign web page may have sent, and marks every answer as nobody else's to
/// embed, keep or guess at.
async fn guard(Extract(hosts): Extract<HostCheck>, request: Request, next: Next) -> Response {
    let mut response = if hosts.accepts(&request) {
        next.run(request).await
    } else {
        problem::response(
            StatusCode::MISDIRECTED_REQUEST,
            "this listener is for this machine: ask for localhost or an IP address, not a name",
        )
    };
    for (name, value) in SECURITY_HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

#[cfg(test)]
mod tests;
