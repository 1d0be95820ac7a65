//! From an accepted socket to a connection that can be served: whose it is, whether it may come, TLS.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use super::refusals::Refusals;
use super::service::Service;
use crate::listen::{Accepted, Admitted, Drain, Ends, Reception, Transport};
use crate::supervise;
use crate::tls::Terminator;
use crate::workers::Worker;

/// What happens to the connections of one listener before they are served.
pub struct Arrivals {
    /// The rules of now.
    pub reception: Arc<ArcSwap<Reception>>,
    /// What serves them in the end.
    pub service: Service,
    /// `None` for the protocols without TLS.
    pub terminator: Option<Arc<Terminator>>,
    /// Connections being served.
    pub tracker: TaskTracker,
    /// Whether the process is to end.
    pub drain: Arc<Drain>,
    /// Where those are written down that come to nothing.
    pub refusals: Refusals,
}

impl Arrivals {
    /// Takes a connection that was just accepted to its worker.
    pub fn take(self: &Arc<Self>, connection: Accepted, admitted: Admitted, worker: &Worker) {
        if worker.is_here() {
            self.begin(connection, admitted);
            return;
        }
        let this = Arc::clone(self);
        let _entered = worker.enter();
        // It is registered there: from here it would wake that thread before there is anything for it to do.
        supervise::once_tracked(&self.tracker, async move {
            this.begin(connection, admitted);
        });
    }

    /// Takes a connection of this thread's.
    fn begin(self: &Arc<Self>, connection: Accepted, admitted: Admitted) {
        let peer = connection.peer();
        let socket = match connection.register() {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, %peer, "a connection can't be served");
                return;
            }
        };
        if !self.reception.load().expects_header(peer) {
            self.receive(socket, Ends::of_socket(peer), admitted);
            return;
        }
        let this = Arc::clone(self);
        supervise::once_tracked(&self.tracker, async move {
            let began = (SystemTime::now(), Instant::now());
            let reception = this.reception.load_full();
            match reception.introduced(&socket, peer, &this.drain).await {
                Ok(ends) => this.receive(socket, ends, admitted),
                Err(why) => this
                    .refusals
                    .not_introduced(peer, began, why, admitted.metrics()),
            }
        });
    }

    /// Takes a connection of which is known whose it is.
    fn receive(self: &Arc<Self>, socket: TcpStream, ends: Ends, mut admitted: Admitted) {
        if !self.service.admits(&ends, &mut admitted) {
            return;
        }
        let Some(terminator) = self.terminator.clone() else {
            let transport = Transport::Plain(socket);
            self.service
                .serve(&self.tracker, transport, None, ends, admitted);
            return;
        };
        let this = Arc::clone(self);
        supervise::once_tracked(&self.tracker, async move {
            let began = (SystemTime::now(), Instant::now());
            let accepted = terminator
                .accept(socket, ends.peer, this.drain.begun())
                .await;
            match accepted {
                Ok((stream, tls)) => {
                    let transport = Transport::Tls(Box::new(stream));
                    this.service
                        .serve(&this.tracker, transport, Some(tls), ends, admitted);
                }
                Err(Some(failure)) => this.refusals.no_tls(&ends, began, &failure),
                Err(None) => {}
            }
        });
    }
}
