//! Copies of requests for a shadow pool, to try a new version on real traffic.
//!
//! Fire and forget: whatever the shadow does, or doesn't, the request that is copied isn't slower, doesn't fail and
//! isn't answered otherwise. So a copy has a task of its own, and what is to be sent waits for it in a bounded queue.
//! Where that is full because the shadow can't keep up, the copy is given up, and cut off as a client does that goes
//! away; when too many are under way, there is none in the first place.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http::Method;
use tokio::sync::mpsc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::dispatch::PoolSite;
use crate::headers::names;
use crate::http::record::split_target;
use crate::http::wire::message::RequestHeader;
use crate::persistence::RequestView;
use crate::supervise;
use crate::upstream::{Caller, Link};

mod delivery;

use delivery::Delivery;

/// Copies of a route under way at most.
const COPIES: usize = 128;

/// Pieces of a body that wait for the shadow at most. They are as large as they were read, 64 KiB at most.
const PIECES: usize = 64;

/// Bytes of bodies that wait at most, over all copies of a route.
const ROOM: usize = 32 << 20;

/// What a route copies, and where to.
pub struct Mirror {
    target: Arc<PoolSite>,
    share: Share,
    places: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

/// The copy of one request, while the request is under way. Dropped before its end it is cut off.
#[derive(Default)]
pub struct Copy {
    /// `None`: there is no copy, or not any more.
    way: Option<Way>,
    /// Bytes of the body so far.
    copied: u64,
}

struct Way {
    mirror: Arc<Mirror>,
    pieces: mpsc::Sender<Piece>,
    whole: Arc<AtomicBool>,
}

/// A part of a body, and its place in the room for all.
struct Piece {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// A body as the copy's task gets it.
struct Body {
    pieces: mpsc::Receiver<Piece>,
    whole: Arc<AtomicBool>,
}

impl Mirror {
    /// Copies for `target` of so many requests, from 0 to 1. `before` is the route's one of the snapshot before: its copies
    /// that are still under way count on, so that reloads, however many, don't have them pile up before a shadow that hangs.
    pub fn new(target: Arc<PoolSite>, ratio: f64, before: Option<&Self>) -> Self {
        let share = Share::new(ratio);
        if let Some(before) = before.filter(|before| before.share.step == share.step) {
            let sum = before.share.sum.load(Ordering::Relaxed);
            share.sum.store(sum, Ordering::Relaxed);
        }
        let shared = |of: fn(&Self) -> &Arc<Semaphore>, most| {
            before.map_or_else(
                || Arc::new(Semaphore::new(most)),
                |before| Arc::clone(of(before)),
            )
        };
        Self {
            target,
            share,
            places: shared(|mirror| &mirror.places, COPIES),
            room: shared(|mirror| &mirror.room, ROOM),
        }
    }

    /// Whether the next request is one to be copied. To be asked once for each.
    pub fn wants(&self) -> bool {
        self.share.takes()
    }

    /// What the shadow pool hashes of a client's request, if it does: a copy goes where the request would go itself.
    pub fn key(&self, request: &RequestHeader, client: IpAddr) -> Option<u64> {
        let (path, query) = split_target(request.target());
        self.target.key(&RequestView {
            headers: &request.headers,
            path,
            query,
            client,
            last_token: None,
        })
    }

    /// Begins the copy of a request that goes to its own server with this header. `has_body`: it has one, which
    /// follows. `key` is what [`Self::key`] gave; `caller` says who a connection over a link is made for.
    pub fn begin(
        self: &Arc<Self>,
        head: RequestHeader,
        has_body: bool,
        key: Option<u64>,
        caller: impl FnOnce(&Link) -> Caller,
    ) -> Copy {
        if head.method == Method::CONNECT || head.headers.contains_key(names::UPGRADE) {
            // What follows would be no request, and nobody would answer.
            return Copy::default();
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.tell("too many copies are under way: some requests are not copied");
            return Copy::default();
        };
        let empty = head
            .headers
            .get(names::CONTENT_LENGTH)
            .is_some_and(|length| length == "0");
        let has_body = has_body && !empty;
        let whole = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel(if has_body { PIECES } else { 1 });
        let delivery = Delivery {
            target: Arc::clone(&self.target),
            caller: caller(&self.target.link),
            head,
            body: has_body.then(|| Body {
                pieces: receiver,
                whole: Arc::clone(&whole),
            }),
            key,
        };
        // Nobody waits for it, the end of the process neither.
        supervise::once(async move {
            delivery.run().await;
            drop(place);
        });
        Copy {
            way: has_body.then(|| Way {
                mirror: Arc::clone(self),
                pieces: sender,
                whole,
            }),
            copied: 0,
        }
    }

    /// Tells once a second what nobody would know otherwise.
    fn tell(&self, what: &str) {
        if self.target.pool.told().mirror.first_at(Instant::now()) {
            tracing::warn!(pool = &**self.target.pool.name(), "mirror: {what}");
        }
    }
}

impl Copy {
    /// A part of the body, which begins at byte `at` of it. It is not waited for. What is repeated, because the original
    /// is tried again, goes along once.
    pub fn piece(&mut self, at: u64, bytes: &Bytes) {
        let Some(way) = &self.way else { return };
        let known = usize::try_from(self.copied.saturating_sub(at)).unwrap_or(usize::MAX);
        if known >= bytes.len() {
            return;
        }
        if way.pieces.is_closed() {
            // The shadow has answered early, or has failed.
            self.way = None;
        } else if way.pass_on(bytes.slice(known..)) {
            self.copied = at + bytes.len() as u64;
        } else {
            way.mirror
                .tell("the pool can't keep up with a body: its copy is given up");
            self.way = None;
        }
    }

    /// The body is whole.
    pub fn end(self) {
        if let Some(way) = self.way {
            // The task looks once the queue is closed, which is when this is dropped.
            way.whole.store(true, Ordering::Release);
        }
    }
}

impl Way {
    /// False: there is no room.
    fn pass_on(&self, bytes: Bytes) -> bool {
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.mirror.room).try_acquire_many_owned(size) else {
            return false;
        };
        let piece = Piece { bytes, _room: room };
        self.pieces.try_send(piece).is_ok()
    }
}

impl Body {
    /// Whether the last part was the last one of the request, too.
    fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Acquire)
    }
}

/// Some of all requests, evenly: of any so many in a row the share, give or take one.
struct Share {
    /// The share in parts of 2^64; `None` = all.
    step: Option<u64>,
    /// Each time this overflows it is somebody's turn.
    sum: AtomicU64,
}

impl Share {
    fn new(ratio: f64) -> Self {
        const WHOLE: f64 = 18_446_744_073_709_551_616.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to less than the whole; what isn't ends at the limits"
        )]
        let step = (ratio < 1.0).then_some((ratio * WHOLE) as u64);
        Self {
            step,
            sum: AtomicU64::new(u64::MAX / 2),
        }
    }

    fn takes(&self) -> bool {
        self.step.is_none_or(|step| {
            let before = self.sum.fetch_add(step, Ordering::Relaxed);
            before.checked_add(step).is_none()
        })
    }
}

#[cfg(test)]
mod tests;
