//! The demo's web servers: they say who they are, each at its own speed.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, post};
use rand::Rng as _;

/// A running web server.
#[derive(Debug, Clone)]
pub struct Origin {
    pub name: &'static str,
    pub address: SocketAddr,
    /// What the load balancer gives it.
    pub weight: u16,
    /// How long it takes for a response, on average.
    pub delay: Duration,
    colour: &'static str,
}

struct Site {
    origin: Origin,
    requests: AtomicU64,
    broken: AtomicBool,
}

/// Starts the three on ports of the kernel's choice, in a thread of their own.
///
/// # Errors
/// When no port or no thread is to be had.
pub fn start() -> io::Result<Vec<Origin>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut sites = Vec::new();
    for (name, weight, delay, colour) in [
        ("fast", 4, 5, "#2e7d32"),
        ("steady", 2, 40, "#1565c0"),
        ("slow", 1, 150, "#c62828"),
    ] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let origin = Origin {
            name,
            address: listener.local_addr()?,
            weight,
            delay: Duration::from_millis(delay),
            colour,
        };
        sites.push((listener, origin));
    }
    let origins = sites.iter().map(|(_, origin)| origin.clone()).collect();
    std::thread::Builder::new()
        .name("demo-servers".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let mut running = tokio::task::JoinSet::new();
                for (listener, origin) in sites {
                    running.spawn(serve(listener, origin));
                }
                while running.join_next().await.is_some() {}
            });
        })?;
    Ok(origins)
}

async fn serve(listener: TcpListener, origin: Origin) -> io::Result<()> {
    let site = Arc::new(Site {
        origin,
        requests: AtomicU64::new(0),
        broken: AtomicBool::new(false),
    });
    let router = Router::new()
        .route("/health", any(health))
        .route("/break", post(toggle))
        .fallback(page)
        .with_state(site);
    axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await
}

async fn health(State(site): State<Arc<Site>>) -> StatusCode {
    if site.broken.load(Ordering::Relaxed) {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    }
}

/// Breaks the server, or mends it.
async fn toggle(State(site): State<Arc<Site>>) -> String {
    let was_broken = site.broken.fetch_xor(true, Ordering::Relaxed);
    let now = if was_broken { "mended" } else { "broken" };
    format!("{} is {now} now\n", site.origin.name)
}

async fn page(State(site): State<Arc<Site>>, uri: Uri, headers: HeaderMap) -> Response {
    let origin = &site.origin;
    let delay = origin.delay.mul_f64(rand::rng().random_range(0.7..1.3));
    tokio::time::sleep(delay).await;
    let number = site.requests.fetch_add(1, Ordering::Relaxed) + 1;
    if site.broken.load(Ordering::Relaxed) {
        let text = format!("{} is broken (POST /break to it mends it)\n", origin.name);
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    let wants_html = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    let ms = delay.as_millis();
    if wants_html {
        let html = include_str!("page.html")
            .replace("{name}", origin.name)
            .replace("{colour}", origin.colour)
            .replace("{number}", &number.to_string())
            .replace("{ms}", &ms.to_string())
            .replace("{path}", &escape(uri.path()))
            .replace("{client}", &shown(&headers, "x-forwarded-for"))
            .replace("{cookies}", &shown(&headers, "cookie"))
            .replace("{id}", &shown(&headers, "x-request-id"));
        (no_store, Html(html)).into_response()
    } else {
        let text = format!(
            "{:<7} answered in {ms} ms, its request {number}\n",
            origin.name
        );
        (no_store, text).into_response()
    }
}

/// A header's value for the page, or a dash.
fn shown(headers: &HeaderMap, name: &str) -> String {
    match headers.get(name) {
        Some(value) => escape(&String::from_utf8_lossy(value.as_bytes())),
        None => "–".to_owned(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('{', "&#123;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_request_becomes_markup() {
        assert_eq!(
            escape("<a href=\"x\">&{id}"),
            "&lt;a href=&quot;x&quot;&gt;&amp;&#123;id}"
        );
    }
}
