//! A request's body on its way, and what is kept of it for another try.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::headers::Fields;
use crate::http::wire::client::Part;
use crate::http::wire::{Client, ClientError};

/// A request's body, try after try.
pub struct Upload {
    has_body: bool,
    /// What was taken from the client, as long as it isn't too much.
    kept: Option<Vec<Bytes>>,
    /// Bytes of it that are kept at most.
    most: usize,
    size: usize,
    /// Pieces that this try's server was given already.
    given: usize,
    /// All has been taken from the client.
    is_whole: bool,
    trailers: Option<Fields>,
    /// This try's server was given all.
    is_over: bool,
}

impl Upload {
    /// Of a request of which nothing was taken yet. `most` bytes of it are kept for another try.
    pub fn new(client: &Client, most: usize) -> Self {
        Self {
            has_body: client.has_body(),
            kept: Some(Vec::new()),
            most,
            size: 0,
            given: 0,
            is_whole: client.is_body_done(),
            trailers: None,
            is_over: false,
        }
    }

    /// Whether there is a body.
    pub fn has_body(&self) -> bool {
        self.has_body
    }

    /// Whether it can be sent again, from its beginning.
    pub fn is_replayable(&self) -> bool {
        self.kept.is_some()
    }

    /// Another try begins.
    pub fn rewind(&mut self) {
        self.given = 0;
        self.is_over = !self.has_body;
    }

    /// There will be no other try.
    pub fn forget(&mut self) {
        if self.given >= self.kept.as_ref().map_or(0, Vec::len) {
            self.kept = None;
        }
    }

    /// Whether this try's server was given all, or is given no more.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the whole body was taken from the client.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The server is given no more.
    pub fn give_up(&mut self) {
        self.is_over = true;
    }

    /// What the server gets next.
    ///
    /// # Errors
    ///
    /// It doesn't come.
    pub fn poll_next(
        &mut self,
        client: &mut Client,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Part, ClientError>> {
        if let Some(piece) = self.kept.as_ref().and_then(|kept| kept.get(self.given)) {
            self.given += 1;
            return Poll::Ready(Ok(Part::Data(piece.clone())));
        }
        if self.is_whole {
            self.is_over = true;
            return Poll::Ready(Ok(Part::End(self.trailers.clone())));
        }
        match ready!(client.poll_body(cx))? {
            Part::Data(piece) => {
                self.keep(&piece);
                self.is_whole = client.is_body_done() && matches!(client, Client::Http1(_));
                Poll::Ready(Ok(Part::Data(piece)))
            }
            Part::End(trailers) => {
                (self.is_whole, self.is_over) = (true, true);
                self.trailers.clone_from(&trailers);
                Poll::Ready(Ok(Part::End(trailers)))
            }
        }
    }

    fn keep(&mut self, piece: &Bytes) {
        self.size = self.size.saturating_add(piece.len());
        if self.size > self.most {
            self.kept = None;
        }
        if let Some(kept) = &mut self.kept {
            kept.push(piece.clone());
            self.given = kept.len();
        }
    }
}
