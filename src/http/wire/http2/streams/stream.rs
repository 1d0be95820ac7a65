//! One stream: what has come of its request's body, and what is to go of its response.

use std::task::{Context, Waker};
use std::time::Instant;

use bytes::Bytes;

use super::STREAM_WINDOW;
use super::buffer::Buffer;
use crate::headers::Fields;
use crate::http::wire::http2::flow::{ReceiveWindow, SendWindow};

/// Why nothing more comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The client has given the request up, or its connection has ended.
    Gone,
    /// What it sent is malformed.
    Malformed,
}

/// How far the client's side is.
#[derive(Debug)]
pub enum Remote {
    /// More is to come.
    Open,
    /// All has come, with these trailers.
    Ended(Option<Fields>),
    /// Nothing more will come.
    Lost(Loss),
}

/// How far our side is.
#[derive(Debug)]
pub enum Local {
    /// More may be to go.
    Open,
    /// Behind the piece that waits.
    Ending(Ending),
    /// All has gone.
    Ended,
    /// Nothing more will go.
    Lost,
}

/// What becomes of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// A task serves it.
    Served,
    /// It was refused at that time, and its response is still being sent. It has no task.
    Refused(Instant),
    /// Its task has ended.
    Over,
}

/// How a response ends.
#[derive(Debug)]
pub struct Ending {
    /// Fields behind its body.
    pub trailers: Option<Fields>,
}

#[derive(Debug)]
pub struct Stream {
    pub service: Service,
    pub waker: Option<Waker>,
    pub remote: Remote,
    /// What has come of the body and nobody has taken.
    pub body: Buffer,
    /// What is still to come of it, if that was said.
    pub length: Option<u64>,
    pub window: ReceiveWindow,
    /// A piece of the body is with its server, and more may have come.
    pub is_held: bool,
    pub local: Local,
    /// What waits for a window or for the connection.
    pub piece: Bytes,
    pub send_window: SendWindow,
    /// Waits in line for the connection.
    pub is_in_line: bool,
    /// Its task waits until the connection holds less, or this stream's window opens.
    pub waits_for_room: bool,
    /// Bytes of the response's body that were written.
    pub sent: u64,
}

impl Stream {
    /// For a request that has come up to its header's end.
    pub fn new(ends: bool, length: Option<u64>, send_window: SendWindow) -> Self {
        Self {
            service: Service::Served,
            waker: None,
            remote: if ends {
                Remote::Ended(None)
            } else {
                Remote::Open
            },
            body: Buffer::default(),
            length,
            window: ReceiveWindow::new(STREAM_WINDOW),
            is_held: false,
            local: Local::Open,
            piece: Bytes::new(),
            send_window,
            is_in_line: false,
            waits_for_room: false,
            sent: 0,
        }
    }

    /// Has its task woken when something happens.
    pub fn wait(&mut self, cx: &Context<'_>) {
        if !(self.waker.as_ref()).is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    /// Ends it in both directions. How many bytes nobody has taken, and how many didn't go.
    pub fn end(&mut self, loss: Loss) -> (usize, usize) {
        let is_whole = !matches!(self.remote, Remote::Open) && self.body.is_empty();
        if !is_whole || !matches!(self.local, Local::Ended) {
            self.remote = Remote::Lost(loss);
        }
        if !matches!(self.local, Local::Ended) {
            self.local = Local::Lost;
        }
        let dropped = (self.body.len(), self.piece.len());
        self.body = Buffer::default();
        self.piece = Bytes::new();
        dropped
    }

    /// Whether a task serves its request.
    pub fn is_served(&self) -> bool {
        matches!(self.service, Service::Served)
    }

    /// Whether the client has given it up, or its connection has ended.
    pub fn is_lost(&self) -> bool {
        matches!(self.remote, Remote::Lost(_))
    }

    /// Whether either side has said all that it had to say.
    pub fn is_closed(&self) -> bool {
        let remote = !matches!(self.remote, Remote::Open);
        remote && matches!(self.local, Local::Ended | Local::Lost)
    }

    /// Whether nobody needs it any more.
    pub fn is_over(&self) -> bool {
        !self.is_served() && self.is_closed()
    }
}
