//! A connection that is made for a request: its descriptor, and whether it may be kept afterwards.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::Result;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::upstreams::peer::{Tracer, Tracing};

use super::dial::{self, Raw};
use crate::descriptors::idle::Holder;
use crate::descriptors::{self, Place};
use crate::pool::{Address, Server};

/// No descriptor's number.
const NONE: RawFd = -1;

/// A try's connection to a server: it makes one, with a place in the budget of descriptors, if Pingora has none for it.
///
/// No more of a server's connections may be kept than the configuration says. One that may holds its place among them
/// until it is closed, whoever uses it meanwhile.
#[derive(Debug)]
pub struct Keeping {
    server: Arc<Server>,
    limit: usize,
    kept: AtomicBool,
    patience: Duration,
    /// The place of the connection that it is to make or has made, as long as that is there.
    place: Mutex<Option<Place>>,
    /// The number of the connection that it made.
    made: AtomicI32,
    /// Where that leads.
    reached: OnceLock<Arc<Address>>,
    /// The number of the connection that it uses.
    used: AtomicI32,
}

impl Keeping {
    /// For a connection to `server`, of which `limit` may be kept, and which may wait for `patience` for its descriptor.
    pub(super) fn new(server: &Arc<Server>, limit: usize, patience: Duration) -> Self {
        Self {
            server: Arc::clone(server),
            limit,
            kept: AtomicBool::new(false),
            patience,
            place: Mutex::default(),
            made: AtomicI32::new(NONE),
            reached: OnceLock::new(),
            used: AtomicI32::new(NONE),
        }
    }

    /// Whether the connection that it made may be kept.
    pub fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// Brings along the place for the connection, should one have to be made.
    pub fn reserve(&self, place: Place) {
        *self.place.lock() = Some(place);
    }

    /// Notes the number of the connection that is used, whoever made it. False if it was idle and has just been given up.
    pub fn hold(&self, number: RawFd) -> bool {
        if number != self.made.load(Ordering::Relaxed) {
            // It was there already, with a place of its own.
            drop(self.place.lock().take());
        }
        self.used.store(number, Ordering::Relaxed);
        descriptors::idle::hold(number, Holder::at(self))
    }

    /// Notes that the connection is used no more: it is idle now, or gone.
    pub fn rest(&self) {
        let number = self.used.swap(NONE, Ordering::Relaxed);
        if number != NONE {
            descriptors::idle::rest(number, Holder::at(self));
        }
    }

    /// What Pingora tells of the connection.
    pub(super) fn tracer(self: &Arc<Self>) -> Tracer {
        Tracer(Box::new(Held(Arc::clone(self))))
    }

    /// Where the connection that it made leads, if it made one.
    pub fn reached(&self) -> Option<&Address> {
        self.reached.get().map(|address| &**address)
    }

    /// Connects, with a place for it. Whoever uses it limits the time of connecting.
    pub(super) async fn reach(&self) -> Result<Raw> {
        let reserved = self.place.lock().take();
        let place = match reserved {
            Some(place) => place,
            None => descriptors::server(self.patience)
                .await
                .map_err(dial::out_of)?,
        };
        let (raw, address) = dial::reach_server(&self.server, None).await?;
        *self.place.lock() = Some(place);
        // Once: it is for one connection.
        drop(self.reached.set(address));
        Ok(raw)
    }
}

#[async_trait]
impl L4Connect for Keeping {
    async fn connect(&self, _address: &SocketAddr) -> Result<Stream> {
        let (number, stream) = match self.reach().await? {
            Raw::Tcp(stream) => (stream.as_raw_fd(), Stream::from(stream)),
            Raw::Unix(stream) => (stream.as_raw_fd(), Stream::from(stream)),
        };
        self.made.store(number, Ordering::Relaxed);
        Ok(stream)
    }
}

/// [`Keeping`], as the connection that it made holds it.
#[derive(Debug)]
struct Held(Arc<Keeping>);

impl Tracing for Held {
    fn on_connected(&self) {
        let kept = self.0.server.keep_connection(self.0.limit);
        self.0.kept.store(kept, Ordering::Relaxed);
    }

    /// Just before the descriptor is closed.
    fn on_disconnected(&self) {
        let keeping = &self.0;
        descriptors::idle::forget(keeping.made.swap(NONE, Ordering::Relaxed));
        drop(keeping.place.lock().take());
        if keeping.kept.swap(false, Ordering::Relaxed) {
            keeping.server.drop_connection();
        }
    }

    fn boxed_clone(&self) -> Box<dyn Tracing> {
        Box::new(Self(Arc::clone(&self.0)))
    }
}
