//! Connections to the admin listener: bounded in number and in how long they may take over a header, with TLS if it is
//! configured, and ended in good order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::Peer;
use super::bind::Listener;
use crate::supervise;
use crate::tls::Terminator;

/// Connections at once: no more than are needed, so that clients keep their descriptors.
const MOST: usize = 256;
/// How long a request's header may take.
const HEADER: Duration = Duration::from_secs(10);
/// How long to wait before the next attempt, when nothing can be accepted for want of descriptors.
const BREATH: Duration = Duration::from_millis(50);
/// How long a request may be on its way on a connection that was accepted before the end was asked for.
const LULL: Duration = Duration::from_millis(100);
/// How long open connections may go on after the end was asked for.
const GRACE: Duration = Duration::from_secs(2);

/// Answers what comes at a listener by `router` until `stop` is cancelled, and then for at most 2 s what is on its way.
///
/// # Errors
/// The listener can't be used.
pub async fn serve(
    listener: Listener,
    tls: Arc<ArcSwapOption<Terminator>>,
    router: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    let door = Door {
        router,
        places: Arc::new(Semaphore::new(MOST)),
        served: GracefulShutdown::new(),
        tracker: TaskTracker::new(),
        tls,
        stop,
    };
    match listener {
        Listener::Tcp(listener) => door.tcp(TcpListener::from_std(listener)?).await,
        Listener::Unix(listener, _file) => door.unix(UnixListener::from_std(listener)?).await,
    }
    let Door {
        served, tracker, ..
    } = door;
    tracker.close();
    // A client that has just connected may not have sent its request yet.
    tokio::time::sleep(LULL).await;
    // A connection that isn't done by then is cut off.
    drop(
        tokio::time::timeout(GRACE, async {
            served.shutdown().await;
            tracker.wait().await;
        })
        .await,
    );
    Ok(())
}

struct Door {
    router: Router,
    places: Arc<Semaphore>,
    served: GracefulShutdown,
    tracker: TaskTracker,
    tls: Arc<ArcSwapOption<Terminator>>,
    stop: CancellationToken,
}

impl Door {
    async fn tcp(&self, listener: TcpListener) {
        while let Some((stream, peer)) = self.next(|| listener.accept()).await {
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                continue;
            };
            let served = self.served.watcher();
            let (router, peered) = (self.router.clone(), Peer::Tcp(peer));
            let (tls, stop) = (self.tls.load_full(), self.stop.clone());
            supervise::once_tracked(&self.tracker, async move {
                let _place = place;
                // Nagle's algorithm would hold events back.
                let _ = stream.set_nodelay(true);
                match tls {
                    None => converse(stream, router, peered, served).await,
                    Some(tls) => match tls.accept(stream, peer, stop.cancelled()).await {
                        Ok((stream, _)) => converse(stream, router, peered, served).await,
                        Err(failure) => {
                            tracing::debug!(%peer, ?failure, "no TLS handshake with the admin listener");
                        }
                    },
                }
            });
        }
    }

    async fn unix(&self, listener: UnixListener) {
        while let Some((stream, _)) = self.next(|| listener.accept()).await {
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                continue;
            };
            let served = self.served.watcher();
            let (router, peer) = (self.router.clone(), unix_peer(&stream));
            supervise::once_tracked(&self.tracker, async move {
                let _place = place;
                converse(stream, router, peer, served).await;
            });
        }
    }

    /// What `accept` gives; `None` when it is time to end.
    async fn next<T, F: Future<Output = io::Result<T>>>(
        &self,
        accept: impl Fn() -> F,
    ) -> Option<T> {
        loop {
            tokio::select! {
                accepted = accept() => match accepted {
                    Ok(accepted) => return Some(accepted),
                    Err(error) => {
                        tracing::debug!(%error, "cannot accept a connection to the admin listener");
                        tokio::time::sleep(BREATH).await;
                    }
                },
                () = self.stop.cancelled() => return None,
            }
        }
    }
}

fn unix_peer(stream: &UnixStream) -> Peer {
    let credentials = stream.peer_cred().ok();
    Peer::Unix(credentials.map(|peer| (peer.uid(), peer.pid())))
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
    peer: Peer,
    served: hyper_util::server::graceful::Watcher,
) {
    let service = TowerToHyperService::new(router.layer(axum::Extension(peer)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.watch(connection).await {
        tracing::debug!(%error, "a connection to the admin listener ended badly");
    }
}
