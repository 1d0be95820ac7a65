//! A connection to a server that comes along to the thread of whoever uses it.
//!
//! A socket is watched by one thread's runtime. Who uses it from another thread is woken by that one each time something
//! comes, which costs both a switch. So it moves when a worker begins to write, which is what happens first on a connection that was idle.
//! Reading alone doesn't move it: so it is looked at while it is idle.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::dial::Raw;
use crate::workers;

/// A connection that is watched by the runtime of the worker that last wrote to it.
#[derive(Debug)]
pub struct Roaming {
    /// `None` once a move has failed.
    raw: Option<Raw>,
    /// The worker whose runtime watches it; `None` = none of them.
    worker: Option<usize>,
}

impl Roaming {
    /// A connection that was made on this thread.
    pub fn new(raw: Raw) -> Self {
        Self {
            raw: Some(raw),
            worker: workers::current(),
        }
    }

    fn here(&mut self) -> io::Result<&mut Raw> {
        let here = workers::current();
        if here != self.worker && here.is_some() {
            self.worker = here;
            self.raw = self.raw.take().map(Raw::moved_here).transpose()?;
        }
        self.anywhere()
    }

    fn anywhere(&mut self) -> io::Result<&mut Raw> {
        let lost = || io::ErrorKind::NotConnected.into();
        self.raw.as_mut().ok_or_else(lost)
    }
}

impl AsyncRead for Roaming {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().anywhere()?).poll_read(cx, buf)
    }
}

impl AsyncWrite for Roaming {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.get_mut().here()?).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.get_mut().here()?).poll_write_vectored(cx, slices)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().anywhere()?).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().anywhere()?).poll_shutdown(cx)
    }
}
