//! One stream: what has come of one message, and what is to go of the other.

use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;

use super::buffer::Buffer;
use super::response::Response;
use crate::headers::Fields;
use crate::http::wire::http2::flow::{ReceiveWindow, SendWindow};
use crate::http::wire::http2::frames::ErrorCode;

/// Why nothing more comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The client has given the request up, or the connection has ended.
    Gone,
    /// What came is malformed, in words.
    Malformed(&'static str),
    /// The server has ended the stream, with this code (section 7).
    Reset(u32),
    /// The server hasn't looked at the request and won't (section 8.7).
    Unprocessed,
    /// The same, since it is going away as servers do.
    GoingAway,
}

/// What comes of a body.
#[derive(Debug)]
pub enum Chunk {
    /// Bytes of it, never none, and whether they are the last.
    Data(Bytes, bool),
    /// Its end.
    End(Option<Fields>),
}

/// How far the other side is.
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

/// What becomes of a client's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// A task serves it.
    Served,
    /// It was refused, and its response is still being sent. It has no task.
    Refused {
        /// When that was.
        since: Instant,
        /// What its stream is reset with if its client doesn't end it: for a malformed request an error (section 8.1.1).
        code: ErrorCode,
    },
    /// Its task has ended.
    Over,
}

/// How a message ends.
#[derive(Debug)]
pub struct Ending {
    /// Fields behind its body.
    pub trailers: Option<Fields>,
}

#[derive(Debug)]
pub struct Stream {
    pub service: Service,
    pub waker: Option<Waker>,
    /// What a server answers, but for the body. Clients answer nothing.
    pub response: Option<Box<Response>>,
    pub remote: Remote,
    /// What has come of the body and nobody has taken.
    pub body: Buffer,
    /// What is still to come of it, if that was said.
    pub length: Option<u64>,
    pub window: ReceiveWindow,
    /// A piece of a request's body is with its server, and more may have come.
    pub is_held: bool,
    pub local: Local,
    /// What waits for a window or for the connection.
    pub piece: Bytes,
    pub send_window: SendWindow,
    /// Waits in line for the connection.
    pub is_in_line: bool,
    /// Its task waits until the connection holds less, or this stream's window opens.
    pub waits_for_room: bool,
    /// Bytes of our body that were written.
    pub sent: u64,
}

impl Stream {
    /// For a client's request that has come up to its header's end, and whose body is of that length.
    pub fn of_client(ends: bool, length: Option<u64>, windows: (u32, SendWindow)) -> Self {
        Self {
            remote: if ends {
                Remote::Ended(None)
            } else {
                Remote::Open
            },
            length,
            ..Self::new(windows)
        }
    }

    /// For a request to a server, which has no body if it `ends` with its header.
    pub fn to_server(ends: bool, response: Response, windows: (u32, SendWindow)) -> Self {
        Self {
            response: Some(Box::new(response)),
            local: if ends { Local::Ended } else { Local::Open },
            ..Self::new(windows)
        }
    }

    fn new((window, send_window): (u32, SendWindow)) -> Self {
        Self {
            service: Service::Served,
            waker: None,
            response: None,
            remote: Remote::Open,
            body: Buffer::new(window),
            length: None,
            window: ReceiveWindow::new(window),
            is_held: false,
            local: Local::Open,
            piece: Bytes::new(),
            send_window,
            is_in_line: false,
            waits_for_room: false,
            sent: 0,
        }
    }

    /// Registers the task that is woken when something happens on the stream.
    pub fn wait(&mut self, cx: &Context<'_>) {
        if !(self.waker.as_ref()).is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    /// The next piece of the body that comes.
    pub fn poll_chunk(&mut self, cx: &Context<'_>) -> Poll<Result<Chunk, Loss>> {
        if let Some(piece) = self.body.pop() {
            let is_last = self.body.is_empty() && matches!(self.remote, Remote::Ended(None));
            return Poll::Ready(Ok(Chunk::Data(piece, is_last)));
        }
        match &mut self.remote {
            Remote::Ended(trailers) => Poll::Ready(Ok(Chunk::End(trailers.take()))),
            Remote::Lost(loss) => Poll::Ready(Err(*loss)),
            Remote::Open => {
                self.wait(cx);
                Poll::Pending
            }
        }
    }

    /// Ends it in both directions. How many bytes nobody has taken, and how many didn't go.
    pub fn end(&mut self, loss: Loss) -> (usize, usize) {
        let has_come = !matches!(self.remote, Remote::Open);
        let is_whole = has_come && self.body.is_empty() && matches!(self.local, Local::Ended);
        // What has come of a response is taken all the same; a request that was given up isn't served.
        let stays = if self.response.is_some() {
            has_come
        } else {
            is_whole
        };
        if !stays {
            self.remote = Remote::Lost(loss);
        }
        if !matches!(self.local, Local::Ended) {
            self.local = Local::Lost;
        }
        let unsent = std::mem::take(&mut self.piece).len();
        let unread = if self.response.is_some() {
            0
        } else {
            std::mem::take(&mut self.body).len()
        };
        (unread, unsent)
    }

    /// Whether a task serves its request, or made it.
    pub fn is_served(&self) -> bool {
        matches!(self.service, Service::Served)
    }

    /// Whether the other side has given it up, or its connection has ended.
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
