//! The admin listener: health, metrics, the status of the running instance, what an operator changes of it, and the
//! dashboard.
//!
//! What it shows of the instance it gets through [`View`], and what it changes it does through [`Control`], so that it
//! knows nothing of how traffic is handled, and can be tested without any.

mod access;
pub mod advice;
mod api;
mod bind;
pub mod control;
mod etag;
mod gzip;
pub mod history;
mod host;
mod page;
mod problem;
pub mod status;
mod token;
mod transport;

use std::io;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, Request, State as Extract};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use crate::tls::Terminator;
pub use access::{Access, Peer};
use advice::Advice;
pub use bind::{Listener, bind};
pub use control::Control;
pub use etag::{Etag, Precondition};
use history::HistoryStatus;
use host::HostCheck;
use page::Page;
pub use problem::ApiError;
use status::Status;
pub use token::{TokenError, Tokens};

/// Most bytes of a request's body.
const LARGEST_BODY: usize = 64 * 1024;

/// What the admin listener sees of the running instance. Called for each admin request, from any
/// thread.
pub trait View: Send + Sync + 'static {
    /// Everything, as of now.
    fn status(&self) -> Status;

    /// How rates, errors, latencies and load went of late: the samples after the one of that number.
    fn history(&self, after: u64) -> HistoryStatus;

    /// What somebody who knows load balancers would say of it.
    fn advice(&self) -> Vec<Advice>;

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
    /// What is shown and changed.
    pub control: Arc<dyn Control>,
    /// The right to change something. May be replaced while the listener is served.
    pub access: Arc<ArcSwap<Access>>,
    /// What ends TLS; empty = plain HTTP. May be replaced while it is served.
    pub tls: Arc<ArcSwapOption<Terminator>>,
    /// Cancelled when the listener is to end.
    pub stop: CancellationToken,
}

/// Answers admin requests until the state's `stop` is cancelled, and then for at most 2 s those that are on their way.
///
/// # Errors
/// The listener can't be used.
pub async fn serve(listener: Listener, state: State) -> io::Result<()> {
    let (tls, stop) = (Arc::clone(&state.tls), state.stop.clone());
    let router = router(state, listener.host_check());
    transport::serve(listener, tls, router, stop).await
}

fn router(state: State, hosts: HostCheck) -> Router {
    let page = Page::new();
    Router::new()
        .route(
            "/",
            get(move |request: HeaderMap| async move { page.response(&request) }),
        )
        .route("/healthz", get("ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .nest("/api/v1", api::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(
            (state.clone(), hosts),
            guard,
        ))
        .with_state(state)
}

async fn readyz(Extract(state): Extract<State>) -> Response {
    match state.control.ready() {
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
        state.control.refresh();
        let (content_type, body) = state.control.metrics().render();
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

async fn not_found() -> Response {
    problem::response(StatusCode::NOT_FOUND, "nothing is at this path")
}

async fn method_not_allowed() -> Response {
    problem::response(
        StatusCode::METHOD_NOT_ALLOWED,
        "the Allow header says what is possible here",
    )
}

/// Turns away what a foreign web page may have sent, finds out who sends the rest, and marks every answer as nobody
/// else's to embed, keep or guess at.
async fn guard(
    Extract((state, hosts)): Extract<(State, HostCheck)>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut response = if !hosts.accepts(&request) {
        problem::response(
            StatusCode::MISDIRECTED_REQUEST,
            "this listener is for this machine: ask for localhost or an IP address, not a name",
        )
    } else if access::is_cross_site(&request) {
        problem::response(
            StatusCode::FORBIDDEN,
            "a page of another site sends this; it may link to the dashboard, and no more",
        )
    } else {
        match state.access.load().caller(peer, request.headers()) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                next.run(request).await
            }
            Err(error) => {
                tracing::warn!(
                    ?peer,
                    path = request.uri().path(),
                    "a wrong token for the admin API"
                );
                access::unauthorized(&error)
            }
        }
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
