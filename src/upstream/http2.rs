//! Connections of HTTP/2 to a server, each shared by as many requests as the server allows.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::Request;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::connections::Connections;
use crate::coalescing::WriteCoalescing;
use crate::descriptors::idle::Rest;
use crate::supervise;

/// Requests at once on one connection, if the server doesn't say less: the usual number of servers.
const STREAMS: usize = 128;

/// What a server may send ahead on one stream, in bytes, while a client reads slowly: this is what such a client costs us.
/// A stream gets no faster than this a round trip, as with HAProxy.
const STREAM_WINDOW: u32 = 64 << 10;

/// The same for a connection: enough that slow clients never hold up the others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 128;

/// What small pieces of bodies that wait for their clients may cost on one connection: each counts as what it is short of 256
/// bytes. Enough for pieces of 16 bytes that fill the windows of all streams, since beyond it `h2` ends the connection, and with
/// it everybody's requests.
const SMALL_PIECES: usize = 128 << 20;

/// Bytes of a server's header section.
const HEADER_LIST: u32 = 256 * 1024;

/// Streams that we have reset and whose late frames are still known: clients cancel by hundreds.
const RESET_STREAMS: usize = 1000;

/// How long a request may wait for its stream on a connection whose server has just lowered the number of streams.
const OPENS_WITHIN: Duration = Duration::from_secs(1);

/// Bytes of one request's body that wait for the connection to take them.
const SEND_BUFFER: usize = 128 * 1024;

/// Faults of streams that are remembered until somebody asks.
const FAULTS: usize = 64;

/// What was found wrong with the responses of a connection, in words, before the `h2` crate saw them.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    streams: VecDeque<(u32, &'static str)>,
    all: Option<&'static str>,
}

impl Faults {
    /// One response is malformed.
    pub fn note(&self, stream: u32, fault: &'static str) {
        let streams = &mut self.0.lock().streams;
        if streams.len() == FAULTS {
            streams.pop_front();
        }
        streams.push_back((stream, fault));
    }

    /// Nothing that comes on the connection can be read any more.
    pub fn note_all(&self, fault: &'static str) {
        self.0.lock().all = Some(fault);
    }

    /// What was found wrong with that stream's response, if anything was. It is told once.
    pub fn of(&self, stream: u32) -> Option<&'static str> {
        let found = &mut *self.0.lock();
        let place = found.streams.iter().position(|(id, _)| *id == stream);
        let fault = place.and_then(|place| found.streams.remove(place));
        fault.map(|(_, fault)| fault).or(found.all)
    }
}

/// A connection that requests share.
pub struct Shared {
    send: SendRequest<Bytes>,
    moves: u64,
    in_flight: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    idle: Duration,
    rest: Mutex<Option<(Instant, Option<Rest>)>>,
    faults: Arc<Faults>,
}

/// A request that is under way on a shared connection, for as long as this is there.
pub struct InFlight {
    shared: Arc<Shared>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let shared = &self.shared;
        if shared.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            *shared.rest.lock() = Some((Instant::now(), Rest::begin()));
        }
    }
}

impl Shared {
    /// Begins to speak HTTP/2 on a connection, whose responses are looked at by whoever leaves word with `faults`.
    ///
    /// # Errors
    ///
    /// The connection's.
    pub async fn begin<S>(
        stream: S,
        faults: Arc<Faults>,
        moves: u64,
        idle: Duration,
    ) -> Result<Arc<Self>, h2::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST)
            .max_send_buffer_size(SEND_BUFFER)
            .data_frame_budget(SMALL_PIECES)
            .initial_max_send_streams(STREAMS)
            .max_concurrent_reset_streams(RESET_STREAMS)
            .max_local_error_reset_streams(None)
            .handshake::<S, Bytes>(stream)
            .await?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let in_flight = Arc::<AtomicUsize>::default();
        let sharing = Arc::clone(&in_flight);
        supervise::once(async move {
            let (mut connection, mut coalescing) = (connection, WriteCoalescing::default());
            let driven = poll_fn(|cx| {
                let is_shared = sharing.load(Ordering::Relaxed) > 1;
                coalescing.poll(cx, is_shared, |cx| Pin::new(&mut connection).poll(cx))
            });
            if let Err(error) = driven.await {
                tracing::debug!(%error, "a connection of HTTP/2 to a server ended");
            }
            over.store(true, Ordering::Release);
        });
        Ok(Arc::new(Self {
            send,
            moves,
            in_flight,
            is_over,
            idle,
            rest: Mutex::default(),
            faults,
        }))
    }

    /// A place for one more request, if the server allows one.
    pub fn enter(self: &Arc<Self>) -> Option<InFlight> {
        let most = self.send.current_max_send_streams().min(STREAMS);
        if self.is_over.load(Ordering::Acquire) {
            return None;
        }
        let taken = self
            .in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < most).then_some(count + 1)
            });
        taken.ok()?;
        self.rest.lock().take();
        Some(InFlight {
            shared: Arc::clone(self),
        })
    }

    /// Whether no request is under way.
    pub fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) == 0
    }

    /// Whether it has ended, or has been idle for too long.
    pub fn is_over(&self, now: Instant) -> bool {
        let idle_since = self.rest.lock().as_ref().map(|(since, _)| *since);
        self.is_over.load(Ordering::Acquire)
            || (self.is_idle()
                && idle_since
                    .is_some_and(|since| now.saturating_duration_since(since) >= self.idle))
    }
}

/// Why a request's header wasn't sent.
#[derive(Debug, thiserror::Error)]
pub enum UnsentError {
    /// The connection has ended, or its server is going away.
    #[error("the connection takes no more requests")]
    Ending,
    /// The server has lowered the number of its streams.
    #[error("the connection takes no request for now")]
    Full,
    /// The connection's.
    #[error("{0}")]
    Connection(#[source] h2::Error),
}

impl InFlight {
    /// Sends a request's header. `ended`: it has no body.
    ///
    /// # Errors
    ///
    /// Why it wasn't sent.
    pub async fn send(&self, request: Request<()>, ended: bool) -> Result<Streams, UnsentError> {
        let mut send = self.shared.send.clone();
        let (response, mut stream) = match send.send_request(request, ended) {
            Ok(streams) => streams,
            Err(error) if error.is_library() => return Err(UnsentError::Connection(error)),
            Err(_) => {
                self.retire();
                return Err(UnsentError::Ending);
            }
        };
        // Ready when the header has been let go. A server that has lowered the number of its streams may keep it back for
        // as long as it likes.
        match timeout(OPENS_WITHIN, poll_fn(|cx| send.poll_ready(cx))).await {
            Err(_) => {
                stream.send_reset(Reason::CANCEL);
                Err(UnsentError::Full)
            }
            // What becomes of the connection from now on is known by the response.
            Ok(_) => Ok((response, stream)),
        }
    }

    /// What was found wrong with that stream's response, if anything was.
    pub fn fault(&self, stream: u32) -> Option<&'static str> {
        self.shared.faults.of(stream)
    }

    /// No request is to be sent on this connection any more.
    pub fn retire(&self) {
        self.shared.is_over.store(true, Ordering::Release);
    }
}

/// A request's response to come, and the way for its body.
pub type Streams = (ResponseFuture, SendStream<Bytes>);

/// A place on one of a server's connections, if there is one. `moves`: how often the server's address has changed.
pub fn enter(connections: &Connections, moves: u64) -> Option<InFlight> {
    let mut shared = connections.shared().lock();
    shared.retain(|shared| shared.moves == moves && !shared.is_over.load(Ordering::Acquire));
    shared.iter().find_map(Shared::enter)
}

/// Shares a new connection, whose first place is the caller's.
pub fn share(connections: &Connections, shared: &Arc<Shared>, keeps: bool) -> Option<InFlight> {
    let place = shared.enter();
    if keeps {
        connections.shared().lock().push(Arc::clone(shared));
    }
    place
}
