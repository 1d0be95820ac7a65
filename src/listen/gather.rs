//! Small writes gathered: a response's header and a small body are one system call, and one record of TLS.
//!
//! As tokio's `BufWriter`, but for its buffer: that is there while there is something in it, and given back by
//! [`Gather::rest`]. Most connections are idle most of the time, and none of them should hold one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Bytes that are gathered at most.
const CAPACITY: usize = 16 * 1024;

/// A stream whose writes are gathered until they are flushed.
#[derive(Debug)]
pub struct Gather<S> {
    stream: S,
    out: Vec<u8>,
    /// Bytes of `out` that have been written.
    written: usize,
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    /// Holds nothing yet.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            out: Vec::new(),
            written: 0,
        }
    }

    /// The stream below.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// The stream below, to read from.
    pub fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream below. What hasn't been flushed is lost.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// Whether all has been written.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Nothing is to be written for a while: gives the buffer back, if all has been written.
    pub fn rest(&mut self) {
        if self.is_empty() {
            self.out = Vec::new();
        }
    }

    /// Writes without gathering, after what has been gathered: for who gathers by itself, or flushes each write.
    pub fn poll_through(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_out(cx))?;
        self.rest();
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    /// Adds what is to be written to what is gathered, however much that becomes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.written..)
            && !rest.is_empty()
        {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.out.len() + buf.len() > CAPACITY {
            ready!(this.poll_out(cx))?;
        }
        if buf.len() >= CAPACITY {
            return Pin::new(&mut this.stream).poll_write(cx, buf);
        }
        if this.out.capacity() == 0 {
            this.out.reserve_exact(CAPACITY);
        }
        this.out.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn small_writes_wait_for_the_flush_and_the_buffer_goes() {
        let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
        let mut gather = Gather::new(ours);
        gather.write_all(b"one ").await.unwrap();
        gather.write_all(b"two").await.unwrap();
        assert!(!gather.is_empty());
        gather.rest();
        gather.flush().await.unwrap();
        let mut come = [0; 16];
        let count = theirs.read(&mut come).await.unwrap();
        assert_eq!(&come[..count], b"one two");
        assert!(gather.is_empty());
        assert!(gather.out.capacity() > 0);
        gather.rest();
        assert_eq!(gather.out.capacity(), 0);
    }

    #[tokio::test]
    async fn writing_through_keeps_the_order_and_no_buffer() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut gather = Gather::new(ours);
        gather.write_all(b"one ").await.unwrap();
        let written = std::future::poll_fn(|cx| gather.poll_through(cx, b"two")).await;
        assert_eq!(written.unwrap(), 3);
        assert_eq!(gather.out.capacity(), 0);
        let mut come = [0; 7];
        theirs.read_exact(&mut come).await.unwrap();
        assert_eq!(&come, b"one two");
    }

    proptest! {
        /// Whatever the sizes of the writes, and however little is taken at once, the bytes arrive in order.
        #[test]
        fn all_bytes_arrive_in_order(
            sizes in prop::collection::vec(0usize..40_000, 1..8),
            room in 1usize..50_000,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let all: Vec<u8> = (0..=250).cycle().take(sizes.iter().sum()).collect();
            let come = runtime.block_on(async {
                let (ours, mut theirs) = tokio::io::duplex(room);
                let mut come = Vec::new();
                let sending = async {
                    let mut gather = Gather::new(ours);
                    let mut rest = &all[..];
                    for (n, size) in sizes.iter().enumerate() {
                        gather.write_all(&rest[..*size]).await.unwrap();
                        rest = &rest[*size..];
                        if n % 3 == 0 {
                            gather.flush().await.unwrap();
                            gather.rest();
                        }
                    }
                    gather.shutdown().await.unwrap();
                };
                let ((), read) = tokio::join!(sending, theirs.read_to_end(&mut come));
                read.unwrap();
                come
            });
            prop_assert!(come == all);
        }
    }
}
