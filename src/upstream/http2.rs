//! Connections of HTTP/2 to a server, each shared by as many requests as the server allows.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connections::Connections;
use crate::bodies::{Bodies, Body};
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

/// What small pieces of bodies may cost on one connection until they are [gathered](Bodies::gather): each counts as what it is
/// short of 256 bytes, and beyond it `h2` ends the connection, and with it everybody's requests. Many may come before a task
/// takes the response that they are of.
const SMALL_PIECES: usize = 128 << 20;

/// Bytes of a server's header section.
const HEADER_LIST: u32 = 256 * 1024;

/// Streams that we have reset and whose late frames are still known: clients cancel by hundreds.
const RESET_STREAMS: usize = 1000;

/// How long a request may be [kept back](InFlight::is_kept_back), since another connection may take it.
pub const OPENS_WITHIN: Duration = Duration::from_secs(1);

/// Bytes of one request's body that wait for the connection to take them.
const SEND_BUFFER: usize = 128 * 1024;

/// Faults of streams that are remembered until somebody asks.
const FAULTS: usize = 64;

/// What was seen of a connection's frames that the `h2` crate doesn't tell.
#[derive(Debug, Default)]
pub struct Witness {
    /// What was found wrong with responses, in words, before `h2` saw them.
    found: Mutex<Found>,
    /// The last request whose header has gone to the server.
    sent: AtomicU32,
    /// The server takes nothing for now, so what `h2` has written may be on its way.
    is_stuck: AtomicBool,
    /// So many small pieces of bodies have come that nothing more is read before they have been gathered.
    is_crowded: AtomicBool,
    bodies: Mutex<Bodies>,
}

#[derive(Debug, Default)]
struct Found {
    streams: VecDeque<(u32, &'static str)>,
    all: Option<&'static str>,
}

impl Witness {
    /// One response is malformed.
    pub fn note_fault(&self, stream: u32, fault: &'static str) {
        let streams = &mut self.found.lock().streams;
        if streams.len() == FAULTS {
            streams.pop_front();
        }
        streams.push_back((stream, fault));
    }

    /// Nothing that comes on the connection can be read any more.
    pub fn note_end(&self, fault: &'static str) {
        self.found.lock().all = Some(fault);
    }

    /// What was found wrong with that stream's response, if anything was. It is told once.
    pub fn fault(&self, stream: u32) -> Option<&'static str> {
        let found = &mut *self.found.lock();
        let place = found.streams.iter().position(|(id, _)| *id == stream);
        let fault = place.and_then(|place| found.streams.remove(place));
        fault.map(|(_, fault)| fault).or(found.all)
    }

    /// A request's header has gone to the server. They go in the order of their streams.
    pub fn note_sent(&self, stream: u32) {
        self.sent.store(stream, Ordering::Release);
    }

    /// Whether the server takes nothing more for now.
    pub fn note_stuck(&self, is_stuck: bool) {
        if self.is_stuck.load(Ordering::Relaxed) != is_stuck {
            self.is_stuck.store(is_stuck, Ordering::Release);
        }
    }

    /// Small pieces of bodies are to be gathered before anything more is read.
    pub fn note_crowded(&self) {
        self.is_crowded.store(true, Ordering::Release);
    }

    /// Gathers them, if they are to be.
    fn gather(&self) -> bool {
        let is_crowded = self.is_crowded.swap(false, Ordering::AcqRel);
        if is_crowded {
            self.bodies.lock().gather();
        }
        is_crowded
    }

    /// Whether nothing of that request has gone, nor is about to.
    fn is_unsent(&self, stream: u32) -> bool {
        self.sent.load(Ordering::Acquire) < stream && !self.is_stuck.load(Ordering::Acquire)
    }
}

/// A connection that requests share.
pub struct Shared {
    id: u64,
    send: SendRequest<Bytes>,
    moves: u64,
    in_flight: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    idle: Duration,
    rest: Mutex<Option<(Instant, Option<Rest>)>>,
    witness: Arc<Witness>,
}

/// How many connections there have been.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

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
    /// Begins to speak HTTP/2 on a connection, whose frames are looked at by whoever leaves word with `witness`.
    ///
    /// # Errors
    ///
    /// The connection's.
    pub async fn begin<S>(
        stream: S,
        witness: Arc<Witness>,
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
        let watched = Arc::clone(&witness);
        supervise::once(async move {
            let (mut connection, mut coalescing) = (connection, WriteCoalescing::default());
            let driven = poll_fn(|cx| {
                let is_shared = sharing.load(Ordering::Relaxed) > 1;
                coalescing.poll(cx, is_shared, |cx| {
                    let polled = Pin::new(&mut connection).poll(cx);
                    if polled.is_pending() && watched.gather() {
                        // Reads on after the tasks that are ready: a response that has just begun isn't gathered
                        // before its task has taken it.
                        cx.waker().wake_by_ref();
                    }
                    polled
                })
            });
            if let Err(error) = driven.await {
                tracing::debug!(%error, "a connection of HTTP/2 to a server ended");
            }
            over.store(true, Ordering::Release);
        });
        Ok(Arc::new(Self {
            id: CONNECTIONS.fetch_add(1, Ordering::Relaxed) + 1,
            send,
            moves,
            in_flight,
            is_over,
            idle,
            rest: Mutex::default(),
            witness,
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
    pub fn send(&self, request: Request<()>, ended: bool) -> Result<Streams, UnsentError> {
        let mut send = self.shared.send.clone();
        send.send_request(request, ended).map_err(|error| {
            if error.is_library() {
                return UnsentError::Connection(error);
            }
            self.retire();
            UnsentError::Ending
        })
    }

    /// Takes the body of a response, so that it is gathered, too.
    pub fn receive(&self, body: RecvStream) -> Body {
        let has_more = !body.is_end_stream();
        let body = Body::new(body);
        if has_more {
            self.shared.witness.bodies.lock().add(&body);
        }
        body
    }

    /// Which connection this is, of all that there have been. None has the number 0.
    pub fn connection(&self) -> u64 {
        self.shared.id
    }

    /// Whether nothing of the request on that stream has gone, nor is about to.
    pub fn is_unsent(&self, stream: u32) -> bool {
        self.shared.witness.is_unsent(stream)
    }

    /// Whether that is so since its server has meanwhile lowered the number of streams. It may stay so for as long as the
    /// server likes; a request that is given up then never was.
    pub fn is_kept_back(&self, stream: u32) -> bool {
        let shared = &self.shared;
        self.is_unsent(stream)
            && shared.in_flight.load(Ordering::Acquire) > shared.send.current_max_send_streams()
    }

    /// What was found wrong with that stream's response, if anything was.
    pub fn fault(&self, stream: u32) -> Option<&'static str> {
        self.shared.witness.fault(stream)
    }

    /// No request is to be sent on this connection any more.
    pub fn retire(&self) {
        self.shared.is_over.store(true, Ordering::Release);
    }
}

/// A request's response to come, and the way for its body.
pub type Streams = (ResponseFuture, SendStream<Bytes>);

/// A place on one of a server's connections, if there is one. `moves`: how often the server's address has changed; `but`: the
/// connection that this request is to be tried again away from, if it isn't 0. Others come to that one last from now on.
pub fn enter(connections: &Connections, moves: u64, but: u64) -> Option<InFlight> {
    let mut shared = connections.shared().lock();
    shared.retain(|shared| shared.moves == moves && !shared.is_over.load(Ordering::Acquire));
    put_last(&mut shared, but);
    let mut others = shared.iter().filter(|shared| shared.id != but);
    others.find_map(Shared::enter)
}

fn put_last(all: &mut Vec<Arc<Shared>>, which: u64) {
    if which != 0
        && let Some(place) = all.iter().position(|shared| shared.id == which)
    {
        let last = all.remove(place);
        all.push(last);
    }
}

/// Shares a new connection, whose first place is the caller's. `but`: as for [`enter`].
pub fn share(
    connections: &Connections,
    shared: &Arc<Shared>,
    keeps: bool,
    but: u64,
) -> Option<InFlight> {
    let place = shared.enter();
    if keeps {
        let mut all = connections.shared().lock();
        all.push(Arc::clone(shared));
        put_last(&mut all, but);
    }
    place
}
