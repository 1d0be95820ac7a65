//! What is on its way to the other end of a connection: small parts gathered, a large one as it is.
//!
//! A head and a small body are one system call and one record of TLS. A large piece isn't copied.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use super::buffers;

/// Bytes that are gathered at most; what is more waits for the next write.
const GATHERED: usize = 16 * 1024;
/// Pieces up to this size are copied to what is gathered already.
const SMALL: usize = 4 * 1024;

/// Bytes that are still to be written.
#[derive(Debug, Default)]
pub struct Output {
    gathered: Vec<u8>,
    /// Bytes of `gathered` that have been written.
    written: usize,
    piece: Bytes,
    /// Comes behind the piece.
    tail: &'static [u8],
    unflushed: bool,
    total: u64,
}

impl Output {
    /// Whether all has been written, flushed or not.
    pub fn is_empty(&self) -> bool {
        self.written == self.gathered.len() && self.piece.is_empty() && self.tail.is_empty()
    }

    /// Bytes written so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether more may be added before what is there has been written.
    pub fn has_room(&self) -> bool {
        self.piece.is_empty() && self.tail.is_empty() && self.gathered.len() < GATHERED
    }

    /// Where a head is written to. Only while there is room.
    pub fn gathered(&mut self) -> &mut Vec<u8> {
        if self.gathered.capacity() == 0 {
            self.gathered = buffers::take();
        }
        &mut self.gathered
    }

    /// Adds a piece of a body, and what comes behind it. Only while there is room.
    pub fn add(&mut self, piece: Bytes, tail: &'static [u8]) {
        if piece.len() <= SMALL {
            let gathered = self.gathered();
            gathered.extend_from_slice(&piece);
            gathered.extend_from_slice(tail);
        } else {
            (self.piece, self.tail) = (piece, tail);
        }
    }

    /// Adds what comes behind everything. That needs no room.
    pub fn end(&mut self, last: &'static [u8], behind_piece: &'static [u8]) {
        if self.has_piece() {
            self.tail = behind_piece;
        } else {
            self.gathered().extend_from_slice(last);
        }
    }

    /// Whether a piece is there that is written as it is.
    fn has_piece(&self) -> bool {
        !self.piece.is_empty() || !self.tail.is_empty()
    }

    /// Writes all there is.
    ///
    /// # Errors
    ///
    /// The connection's.
    pub fn poll_flush<S>(&mut self, cx: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while !self.is_empty() {
            let first = self.gathered.get(self.written..).unwrap_or_default();
            let slices = [
                IoSlice::new(first),
                IoSlice::new(&self.piece),
                IoSlice::new(self.tail),
            ];
            let from = slices.iter().position(|slice| !slice.is_empty());
            let slices = slices.get(from.unwrap_or_default()..).unwrap_or_default();
            let count = match slices {
                [one, rest @ ..] if rest.iter().all(|slice| slice.is_empty()) => {
                    ready!(Pin::new(&mut *stream).poll_write(cx, one))?
                }
                several => ready!(Pin::new(&mut *stream).poll_write_vectored(cx, several))?,
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.note_written(count);
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// What has been written needs no memory.
    fn give_back(&mut self) {
        self.written = 0;
        buffers::give_back(std::mem::take(&mut self.gathered));
    }

    fn note_written(&mut self, count: usize) {
        self.total += count as u64;
        let gathered = count.min(self.gathered.len() - self.written);
        self.written += gathered;
        let piece = (count - gathered).min(self.piece.len());
        self.piece.advance(piece);
        let tail = count - gathered - piece;
        self.tail = self.tail.get(tail..).unwrap_or_default();
        if self.written == self.gathered.len() {
            self.give_back();
        }
        if self.piece.is_empty() {
            // What it was a part of can be used again.
            self.piece = Bytes::new();
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    use super::*;

    proptest! {
        /// Whatever the sizes of the pieces, and however little is taken at once, the bytes arrive in order.
        #[test]
        fn all_bytes_arrive_in_order(
            sizes in prop::collection::vec(0usize..40_000, 1..8),
            room in 1usize..50_000,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let whole: Vec<u8> = (0..=250).cycle().take(sizes.iter().sum()).collect();
            let (mut wanted, mut at) = (Vec::new(), 0);
            let pieces: Vec<Bytes> = sizes
                .iter()
                .map(|size| {
                    let piece = Bytes::copy_from_slice(&whole[at..at + size]);
                    at += size;
                    piece
                })
                .collect();
            for piece in &pieces {
                wanted.extend_from_slice(b"head");
                wanted.extend_from_slice(piece);
                wanted.extend_from_slice(b"tail");
            }
            let come = runtime.block_on(async {
                let (mut ours, mut theirs) = tokio::io::duplex(room);
                let mut come = Vec::new();
                let sending = async move {
                    let mut output = Output::default();
                    for piece in pieces {
                        if !output.has_room() {
                            poll_fn(|cx| output.poll_flush(cx, &mut ours)).await.unwrap();
                        }
                        output.gathered().extend_from_slice(b"head");
                        output.add(piece, b"tail");
                    }
                    poll_fn(|cx| output.poll_flush(cx, &mut ours)).await.unwrap();
                    assert!(output.is_empty());
                };
                let ((), read) = tokio::join!(sending, theirs.read_to_end(&mut come));
                read.unwrap();
                come
            });
            prop_assert!(come == wanted);
        }
    }
}
