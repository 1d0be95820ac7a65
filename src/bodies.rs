//! The bodies of an HTTP/2 connection to a server as they come, and what of them waits for whoever they go to.
//!
//! `h2` keeps each DATA frame by itself, at a cost of some hundred bytes however little the frame brings, and ends a connection,
//! with everybody's requests on it, when many small ones wait. So the connection's driver [gathers](Bodies::gather) what
//! waits whenever [many](MANY) small ones have come: as bytes, of which there are no more than the sender's windows allow for,
//! since those open only when a piece is [released](Body::release).

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use http::HeaderMap;
use parking_lot::Mutex;

/// Small frames after which is gathered. One read brings no more than three times as many, and `h2` keeps twice as many as
/// that.
pub const MANY: u32 = 1000;
/// A frame of fewer bytes is small: `h2` counts what it is short of them.
pub const SMALL: usize = 256;
/// Bytes of a piece of what was gathered.
const PIECE: usize = 16 * 1024;

/// The body of a response.
#[derive(Debug)]
pub struct Body(Arc<Mutex<Waiting>>);

#[derive(Debug)]
struct Waiting {
    stream: RecvStream,
    /// What was taken from `stream` and is wanted next.
    gathered: BytesMut,
    /// What the stream ended with, behind what was gathered.
    failed: Option<h2::Error>,
    /// Who waits for more.
    waker: Option<Waker>,
}

impl Body {
    /// Of a stream that nothing was read of.
    pub fn new(stream: RecvStream) -> Self {
        Self(Arc::new(Mutex::new(Waiting {
            stream,
            gathered: BytesMut::new(),
            failed: None,
            waker: None,
        })))
    }

    /// The next piece, which is to be [released](Self::release) later; `None` at the end.
    pub fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        self.0.lock().poll_next(cx)
    }

    /// The sender may send so many bytes again.
    pub fn release(&mut self, bytes: usize) {
        self.0.lock().release(bytes);
    }

    /// Whether no more data is to come, nor trailers.
    pub fn is_at_end(&self) -> bool {
        self.0.lock().is_at_end()
    }

    /// The trailers, once there is no more data.
    pub fn poll_trailers(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, h2::Error>> {
        let waiting = &mut *self.0.lock();
        let trailers = waiting.stream.poll_trailers(cx);
        waiting.note_waker(trailers.is_pending(), cx);
        trailers
    }
}

impl Waiting {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        let next = self.poll_piece(cx);
        self.note_waker(next.is_pending(), cx);
        next
    }

    fn release(&mut self, bytes: usize) {
        // Only a stream that has gone meanwhile has no window to open.
        drop(self.stream.flow_control().release_capacity(bytes));
    }

    fn is_at_end(&self) -> bool {
        self.gathered.is_empty() && self.stream.is_end_stream()
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        if !self.gathered.is_empty() {
            let length = self.gathered.len().min(PIECE);
            let piece = self.gathered.split_to(length).freeze();
            if self.gathered.is_empty() {
                self.gathered = BytesMut::new();
            }
            return Poll::Ready(Some(Ok(piece)));
        }
        match self.failed.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None => self.stream.poll_data(cx),
        }
    }

    fn note_waker(&mut self, waits: bool, cx: &Context<'_>) {
        if !waits {
            self.waker = None;
        } else if !(self.waker.as_ref()).is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    fn gather(&mut self) {
        if self.failed.is_some() {
            return;
        }
        // `h2` remembers who asked last.
        let waker = self.waker.clone();
        let mut cx = Context::from_waker(waker.as_ref().unwrap_or(Waker::noop()));
        while let Poll::Ready(Some(next)) = self.stream.poll_data(&mut cx) {
            match next {
                Ok(piece) => self.gathered.extend_from_slice(&piece),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
    }
}

/// The bodies of a connection that may have something waiting.
#[derive(Debug, Default)]
pub struct Bodies {
    all: Vec<Weak<Mutex<Waiting>>>,
    /// With so many those are looked for that nobody wants any more.
    full: usize,
}

impl Bodies {
    /// Gathers of this one, too, from now on.
    pub fn add(&mut self, body: &Body) {
        if self.all.len() >= self.full {
            self.all.retain(|body| body.strong_count() > 0);
            self.full = 2 * self.all.len() + 8;
        }
        self.all.push(Arc::downgrade(&body.0));
    }

    /// Takes what waits with `h2`. Whoever waits for it has been woken when it came.
    pub fn gather(&mut self) {
        self.all.retain(|body| {
            let body = body.upgrade();
            body.inspect(|body| body.lock().gather()).is_some()
        });
    }
}
