//! What a listener does with the connections it accepts, by its protocol.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use pingora_proxy::HttpProxy;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::model::{self, Protocol};
use crate::dispatch::PoolSite;
use crate::http::{Edge, HttpListener, Shared, Site, connection};
use crate::listen::{Admitted, Ends, Transport};
use crate::observe::Metrics;
use crate::supervise;
use crate::tcp;
use crate::tls::Established;

/// What serves a listener's connections. A handle: clones serve alike.
#[derive(Clone)]
pub enum Service {
    /// HTTP, with or without TLS.
    Http(Http),
    /// Bytes as they come, with or without TLS.
    Tcp(Arc<tcp::Listener>),
}

/// HTTP of one listener.
#[derive(Clone)]
pub struct Http {
    listener: Arc<HttpListener>,
    /// One for all listeners.
    proxy: Arc<HttpProxy<Edge>>,
    shared: Arc<Shared>,
    requests: Arc<AtomicU64>,
}

impl Service {
    /// The service of a listener as configured. `pools` are all there are.
    pub fn new(
        model: &model::Listener,
        pools: &HashMap<Arc<str>, Arc<PoolSite>>,
        metrics: &Metrics,
        proxy: &Arc<HttpProxy<Edge>>,
        shared: &Arc<Shared>,
    ) -> Self {
        match model.protocol {
            Protocol::Http | Protocol::Https => {
                let requests = Arc::new(AtomicU64::new(0));
                let site = Site::new(model, pools, metrics, &requests, None);
                Self::Http(Http {
                    listener: Arc::new(HttpListener {
                        site: ArcSwap::from_pointee(site),
                        gone: CancellationToken::new(),
                    }),
                    proxy: Arc::clone(proxy),
                    shared: Arc::clone(shared),
                    requests,
                })
            }
            Protocol::Tcp | Protocol::Tls => Self::Tcp(Arc::new(tcp::Listener::new(
                tcp::Site::new(model, pools, metrics),
                Arc::clone(&shared.access_log),
            ))),
        }
    }

    /// Takes another configuration of the listener, of the same protocol. What is being served goes on as it
    /// began.
    pub fn reconfigure(
        &self,
        model: &model::Listener,
        pools: &HashMap<Arc<str>, Arc<PoolSite>>,
        metrics: &Metrics,
    ) {
        match self {
            Self::Http(http) => {
                let before = http.listener.site.load_full();
                let site = Site::new(model, pools, metrics, &http.requests, Some(&before));
                http.listener.site.store(Arc::new(site));
            }
            Self::Tcp(tcp) => {
                let site = tcp::Site::new(model, pools, metrics);
                tcp.site.store(Arc::new(site));
            }
        }
    }

    /// The listener is no longer there: its HTTP connections end when they can, with their next response. Bytes go on.
    pub fn close(&self) {
        if let Self::Http(http) = self {
            http.listener.gone.cancel();
        }
    }

    /// Whether the connection may be served. To be asked before anything is read from it: what may not has been
    /// recorded, and is to be closed. HTTP turns connections away in its own words, later.
    pub fn admits(&self, ends: &Ends, admitted: &mut Admitted) -> bool {
        match self {
            Self::Http(_) => true,
            Self::Tcp(tcp) => tcp.admits(ends, admitted),
        }
    }

    /// Serves a connection to its end, in a task of its own.
    pub fn serve(
        &self,
        tracker: &TaskTracker,
        transport: Transport,
        tls: Option<Established>,
        ends: Ends,
        admitted: Admitted,
    ) {
        match self {
            Self::Http(http) => {
                let serving = connection::serve(
                    Arc::clone(&http.proxy),
                    Arc::clone(&http.shared),
                    Arc::clone(&http.listener),
                    transport,
                    tls,
                    ends,
                    admitted,
                );
                if let Some(serving) = serving {
                    supervise::once_tracked(tracker, serving);
                }
            }
            Self::Tcp(tcp) => {
                let listener = Arc::clone(tcp);
                supervise::once_tracked(
                    tracker,
                    tcp::serve(listener, transport, tls, ends, admitted),
                );
            }
        }
    }

    /// The name of the pool that takes everything; empty if there is none.
    pub fn pool(&self) -> String {
        let name = |target: Option<&Arc<PoolSite>>| {
            target
                .map(|target| target.pool.name().to_string())
                .unwrap_or_default()
        };
        match self {
            Self::Http(http) => {
                let site = http.listener.site.load();
                name(site.target.as_ref().map(|target| &target.site))
            }
            Self::Tcp(tcp) => name(tcp.site.load().target.site.as_ref()),
        }
    }

    /// Counts on from what another process counted.
    pub fn inherit_requests(&self, requests: u64) {
        if let Self::Http(http) = self {
            http.requests.fetch_add(requests, Ordering::Relaxed);
        }
    }

    /// Requests that ended; with TCP there are none.
    pub fn requests(&self) -> u64 {
        match self {
            Self::Http(http) => http.requests.load(Ordering::Relaxed),
            Self::Tcp(_) => 0,
        }
    }
}
