//! A stream of a client's, for whoever serves its request.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;

use super::sending::First;
use super::stream::{Chunk, Ending, Local, Loss, Remote, Service, Stream};
use super::{BACKLOG, State, Streams};
use crate::headers::Fields;
use crate::http::wire::client::LATE_BODY;
use crate::http::wire::http2::frames::ErrorCode;

/// A stream. When this is dropped, it ends: with a reset unless its response is whole.
#[derive(Debug)]
pub struct Handle {
    streams: Arc<Streams>,
    id: u32,
    /// What its request's header costs.
    cost: usize,
}

impl Handle {
    pub(super) fn new(streams: Arc<Streams>, id: u32, cost: usize) -> Self {
        Self { streams, id, cost }
    }

    /// The stream's number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The next piece of the body. `holds`: its server is to take it before more is asked for. Nothing is held any more when it is asked.
    ///
    /// # Errors
    ///
    /// Nothing more comes.
    pub fn poll_body(&self, holds: bool, cx: &Context<'_>) -> Poll<Result<Chunk, Loss>> {
        self.with(|state| {
            state.let_go(self.id);
            let Some(stream) = state.get(self.id) else {
                return Poll::Ready(Err(Loss::Gone));
            };
            let polled = stream.poll_chunk(cx);
            if let Poll::Ready(Ok(Chunk::Data(piece, is_last))) = &polled {
                if holds && !is_last {
                    state.hold(self.id);
                }
                state.release_of(self.id, piece.len());
            }
            polled
        })
    }

    /// What was taken of the body is with its server.
    pub fn let_go(&self) {
        self.streams.0.lock().let_go(self.id);
    }

    /// How many bodies of the connection are held.
    pub fn held(&self) -> u32 {
        self.streams.0.lock().held
    }

    /// Ready when the client has given the request up, or its connection has ended.
    pub fn poll_gone(&self, cx: &Context<'_>) -> Poll<()> {
        let state = &mut *self.streams.0.lock();
        let Some(stream) = state.get(self.id).filter(|stream| !stream.is_lost()) else {
            return Poll::Ready(());
        };
        stream.wait(cx);
        Poll::Pending
    }

    /// Sends a response's header, the final or an interim one. `ends`: nothing follows.
    ///
    /// # Errors
    ///
    /// The client has gone.
    pub fn send_header(&self, status: StatusCode, fields: &Fields, ends: bool) -> Result<(), Loss> {
        self.with(|state| {
            let Some(stream) = state.get(self.id) else {
                return Err(Loss::Gone);
            };
            if !matches!(stream.local, Local::Open) {
                return Err(Loss::Gone);
            }
            if ends {
                stream.local = Local::Ended;
            }
            let status = First::Status(status.as_u16());
            state.sending.write_header(self.id, status, fields, ends);
            state.deeds.note_sent(0);
            Ok(())
        })
    }

    /// Ready when all of the response that was handed over is written: `piece`, which is taken when nothing of an earlier one
    /// waits, and behind it the `end`, with its trailers. `sent`: how many bytes of the body that makes.
    ///
    /// # Errors
    ///
    /// The client has gone.
    pub fn poll_send(
        &self,
        piece: &mut Bytes,
        end: &mut Option<Ending>,
        sent: &mut u64,
        cx: &Context<'_>,
    ) -> Poll<Result<(), Loss>> {
        self.with(|state| state.poll_send(self.id, piece, end, sent, cx))
    }

    /// Ready when more of the response may be read from its server. True: as much as comes; else a little, since the client's
    /// other responses have taken the rest, but this one's window is open.
    pub fn poll_room(&self, cx: &Context<'_>) -> Poll<bool> {
        let state = &mut *self.streams.0.lock();
        if state.sending.backlog() < BACKLOG {
            return Poll::Ready(true);
        }
        let Some(stream) = state.get(self.id).filter(|stream| !stream.is_lost()) else {
            return Poll::Ready(true);
        };
        if stream.send_window.left() > 0 {
            return Poll::Ready(false);
        }
        stream.waits_for_room = true;
        stream.wait(cx);
        state.sending.waiters += 1;
        Poll::Pending
    }

    /// Refuses the request: with this response, which is sent to its end whatever becomes of this.
    pub fn refuse(self, status: StatusCode, fields: &Fields, mut body: Bytes) {
        if self.send_header(status, fields, body.is_empty()).is_err() {
            return;
        }
        let (since, code) = (
            Instant::now(),
            match status {
                StatusCode::BAD_REQUEST => ErrorCode::Protocol,
                _ => ErrorCode::NoError,
            },
        );
        self.with(|state| {
            if let Some(stream) = state.get(self.id) {
                stream.service = Service::Refused { since, code };
            }
        });
        let (mut end, mut sent) = (Some(Ending { trailers: None }), 0);
        let cx = Context::from_waker(Waker::noop());
        if !body.is_empty() {
            // What of it isn't written now needs nobody.
            let (Poll::Ready(_) | Poll::Pending) =
                self.poll_send(&mut body, &mut end, &mut sent, &cx);
        }
    }

    /// Ends the stream before its response is whole.
    pub fn reset(&self, code: ErrorCode) {
        let mut wakers = Vec::new();
        self.with(|state| {
            if state.get(self.id).is_some_and(|stream| !stream.is_lost()) {
                state.reset(self.id, code, Loss::Gone, &mut wakers);
            }
        });
        super::wake(&mut wakers);
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        self.streams.with(act)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut wakers = Vec::new();
        self.with(|state| state.leave(self.id, self.cost, Instant::now(), &mut wakers));
        super::wake(&mut wakers);
    }
}

impl State {
    /// The task of the request has ended: closes the stream, or leaves the rest of it to the driver.
    fn leave(&mut self, id: u32, cost: usize, now: Instant, wakers: &mut Vec<Waker>) {
        self.let_go(id);
        self.headers = self.headers.saturating_sub(cost);
        self.note_left(now);
        if self.is_gone {
            return self.remove(id);
        }
        let Some(stream) = self.get(id) else { return };
        let is_refused = matches!(stream.service, Service::Refused { .. });
        if !is_refused {
            stream.service = Service::Over;
        }
        stream.waker = None;
        let unread = std::mem::take(&mut stream.body).len();
        let is_open = matches!(stream.remote, Remote::Open);
        let is_ending = matches!(stream.local, Local::Ending(_));
        match stream.local {
            Local::Ending(_) if is_refused => {}
            Local::Ended if !is_refused => self.deeds.note_finished(),
            Local::Ended | Local::Lost => {}
            Local::Open | Local::Ending(_) => {
                self.release(unread);
                return self.reset(id, ErrorCode::Internal, Loss::Gone, wakers);
            }
        }
        self.release_of(id, unread);
        if is_open || is_ending {
            self.late.push_back((now + LATE_BODY, id));
            self.driver.is_called = true;
        }
        self.remove_if_over(id);
        self.driver.is_called |= self.list.is_empty() && (self.last.is_some() || self.is_closing);
    }

    fn hold(&mut self, id: u32) {
        if let Some(stream) = self.get(id) {
            stream.is_held = true;
            self.held += 1;
        }
    }

    fn let_go(&mut self, id: u32) {
        let is_held = |stream: &mut Stream| std::mem::take(&mut stream.is_held);
        if self.get(id).is_some_and(is_held) {
            self.held = self.held.saturating_sub(1);
        }
    }
}
