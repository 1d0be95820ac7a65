//! What two connections become that have switched protocols: one, by the relay that TCP has.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::config::model;
use crate::http::context::Context;
use crate::http::failure::Failure;
use crate::http::wire::{Client, client, server};
use crate::relay::{End, Meter, Wire, relay};
use crate::upstream::Stream;

/// How long one side of a tunnel may be silent when the other has finished, at most.
const HALF_CLOSED: Duration = Duration::from_secs(60);

/// Moves bytes both ways until the end, once the client has what was queued for it.
///
/// # Errors
///
/// Which end broke off, or was silent for too long.
pub async fn run(
    client: &mut Client,
    server: server::Http1,
    context: &Context,
) -> Result<(), Failure> {
    let (Client::Http1(client), Some(timeouts)) = (client, context.timeouts()) else {
        return Err(Failure::Internal);
    };
    let flushed = poll_fn(|cx| client.poll_flush(cx));
    match timeout(context.site().http.send_timeout, flushed).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => return Err(Failure::ClientTimeout),
    }
    let Some(mut stream) = client.take_stream() else {
        return Err(Failure::Internal);
    };
    let patience = timeouts.receive;
    let (connection, ahead) = server.into_switched();
    let mut server = ServerEnd {
        stream: connection,
        ahead,
    };
    let limits = model::Tcp {
        idle_timeout: patience,
        half_close_timeout: patience.min(HALF_CLOSED),
    };
    let mut counts = Counts {
        client,
        up: 0,
        down: 0,
    };
    let end = relay(&mut *stream, &mut server, &mut counts, &limits).await;
    drop(counts);
    match end {
        End::Complete | End::ServerLeft | End::HalfClosed => Ok(()),
        End::ClientGone => Err(Failure::ClientGone),
        End::ServerGone => Err(Failure::ServerReset),
        End::Idle => Err(Failure::ServerTimeout),
    }
}

/// Bytes that pass, told to the request's record also when it is cut off.
struct Counts<'a> {
    client: &'a mut client::Http1,
    up: u64,
    down: u64,
}

impl Meter for Counts<'_> {
    fn note_in(&mut self, count: usize) {
        self.up += count as u64;
    }

    fn note_out(&mut self, count: usize) {
        self.down += count as u64;
    }
}

impl Drop for Counts<'_> {
    fn drop(&mut self) {
        self.client.note_tunnelled(self.up, self.down);
    }
}

/// The server's end: what came along with its response comes first.
struct ServerEnd {
    stream: Stream,
    ahead: BytesMut,
}

impl AsyncRead for ServerEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let count = this.ahead.len().min(buf.remaining());
        buf.put_slice(this.ahead.get(..count).unwrap_or_default());
        this.ahead.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ServerEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl Wire for ServerEnd {
    fn has_failed(&self) -> bool {
        // Pingora's streams don't tell without being read from.
        false
    }

    fn reset_at_close(&self) {}

    fn is_cut_off(&mut self, _cx: &mut task::Context<'_>) -> bool {
        false
    }
}
