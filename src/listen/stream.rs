//! A client's connection, as the proxy sees it: one message at a time.
//!
//! [`ClientStream`] reads the socket, keeps what was read beyond the current message ([`Message`]) for
//! the next one, buffers small writes, counts bytes, and closes so that the last response reaches a
//! client that is still sending (a lingering close, as nginx does).

use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType, raw_connect::ProxyDigest,
};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::amendment::Amendment;
use super::framing::{Framing, Message};
use super::gather::Gather;
use super::handback::Handback;
use super::limits::Admitted;
use super::patience::{Patience, Wait};
use super::receive_rate::ReceiveRate;
use super::transport::Transport;
use crate::supervise;
use crate::tunnel::{Beginning, Tunnel};

/// Bytes asked of the socket at once for a header.
const HEAD_READ: usize = 8 * 1024;
/// How long a closed connection is still drained, so that a late byte from the client doesn't reset
/// the response under way to it.
const LINGER: Duration = Duration::from_secs(2);

/// A client's connection.
pub struct ClientStream {
    io: Option<Gather<Transport>>,
    /// Bytes read from the socket and not yet given away.
    inbox: BytesMut,
    message: Message,
    /// After `101 Switching Protocols` bytes go through as they come. With what the other end of the tunnel has to know,
    /// if there is one.
    tunnel: OnceLock<Option<Arc<Tunnel>>>,
    /// Where in what is written the tunnel begins.
    beginning: Beginning,
    /// What the server sends has come to its end, and the client has been told.
    told_end: bool,
    /// What is put right in the header section that is written next.
    amendment: OnceLock<Amendment>,
    /// The response broke off, and nothing but a reset tells the client.
    reset: AtomicBool,
    /// Where the connection goes when it is dropped, if it is to be kept.
    handback: Option<Arc<Handback>>,
    keep: AtomicBool,
    /// How much of the current message's body is still read.
    most: AtomicU64,
    /// How long the server may be silent, and the wait for that; `None` = somebody else sees to it.
    patience: Option<(Arc<Patience>, Wait)>,
    /// How fast the body has to arrive; `None` = as it likes.
    rate: Option<ReceiveRate>,
    saw_eof: bool,
    /// What is wrong with the current message's body.
    fault: Option<Fault>,
    bytes_in: u64,
    bytes_out: u64,
    digest: Arc<SocketDigest>,
    established: SystemTime,
    admitted: Option<Admitted>,
}

/// Why a body isn't read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Malformed,
    TooSlow,
    TooMuch,
}

impl ClientStream {
    /// Wraps an accepted connection.
    pub fn new(transport: Transport, admitted: Admitted) -> Self {
        let digest = SocketDigest::from_raw_fd(transport.socket().as_raw_fd());
        Self {
            io: Some(Gather::new(transport)),
            inbox: BytesMut::new(),
            message: Message::none(),
            tunnel: OnceLock::new(),
            beginning: Beginning::default(),
            told_end: false,
            amendment: OnceLock::new(),
            reset: AtomicBool::new(false),
            handback: None,
            keep: AtomicBool::new(false),
            most: AtomicU64::new(u64::MAX),
            patience: None,
            rate: None,
            saw_eof: false,
            fault: None,
            bytes_in: 0,
            bytes_out: 0,
            digest: Arc::new(digest),
            established: SystemTime::now(),
            admitted: Some(admitted),
        }
    }

    /// Bytes received and not yet given away: the next message's beginning, between messages.
    pub fn pending(&self) -> &[u8] {
        &self.inbox
    }

    /// Drops the first `count` pending bytes.
    pub fn skip(&mut self, count: usize) {
        self.inbox.advance(count.min(self.inbox.len()));
    }

    /// Puts `text` in place of a part of the pending bytes.
    pub fn replace(&mut self, place: Range<usize>, text: &[u8]) {
        let (Some(before), Some(after)) =
            (self.inbox.get(..place.start), self.inbox.get(place.end..))
        else {
            return;
        };
        self.inbox = BytesMut::from([before, text, after].concat().as_slice());
    }

    /// Waits until the client sends something, without holding a buffer meanwhile. Returns at once if
    /// something is pending.
    ///
    /// # Errors
    ///
    /// Those of the socket, and that it has come to its end.
    pub async fn readable(&mut self) -> io::Result<()> {
        if !self.inbox.is_empty() {
            return Ok(());
        }
        self.inbox = BytesMut::new();
        let io = self.io.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        io.rest();
        let Transport::Plain(socket) = io.stream() else {
            return io.stream().readable().await;
        };
        loop {
            socket.readable().await?;
            self.inbox.reserve(HEAD_READ);
            match socket.try_read_buf(&mut self.inbox) {
                Ok(0) => {
                    self.saw_eof = true;
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(count) => {
                    self.note_in(count);
                    return Ok(());
                }
                // A socket is taken for readable until a read says otherwise, a new one, too.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.inbox = BytesMut::new();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads more into [`Self::pending`]. Returns the number of bytes, 0 at the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub async fn fill(&mut self) -> io::Result<usize> {
        let io = self.io.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        self.inbox.reserve(HEAD_READ);
        let count = io.stream_mut().read_buf(&mut self.inbox).await?;
        self.saw_eof |= count == 0;
        self.note_in(count);
        Ok(count)
    }

    /// Lets the proxy read the next message, whose header section is the first `head` pending bytes.
    pub fn begin(&mut self, head: usize, framing: Framing) {
        self.message = Message::new(head, framing);
        self.most = AtomicU64::new(u64::MAX);
    }

    /// Where the connection goes if it is dropped after [`Self::keep`]. For the current message.
    pub fn set_handback(&mut self, handback: &Arc<Handback>) {
        self.handback = Some(Arc::clone(handback));
    }

    /// The current message has been answered in full: the connection may carry another, even if it is dropped.
    pub fn keep(&self) {
        self.keep.store(true, Ordering::Release);
    }

    /// Bytes of the current message's body that are still to be read; `None` where only its end will tell.
    pub fn body_left(&self) -> Option<u64> {
        self.message.body_left()
    }

    /// Nobody wants the rest of the current message's body. It is read over, but no more than so many bytes.
    pub fn read_over(&self, most: u64) {
        self.most.store(most, Ordering::Release);
    }

    /// Reads the current message to its end, if that comes within `patience`. Returns whether the connection can carry
    /// another.
    pub async fn finish_message(&mut self, patience: Duration) -> bool {
        let finish = async {
            let mut rest = [0u8; 2048];
            while !self.message.is_done() && self.fault.is_none() {
                if !matches!(self.read(&mut rest).await, Ok(1..)) {
                    break;
                }
            }
        };
        // Out of time is not done.
        drop(tokio::time::timeout(patience, finish).await);
        self.is_between_messages()
    }

    /// Whoever waits for the client while its request is answered waits no longer than this. For the current message.
    pub fn set_patience(&mut self, patience: Option<Arc<Patience>>) {
        self.patience = patience.map(|patience| (patience, Wait::default()));
    }

    /// The current message's body has to arrive at so many bytes a second; 0 = as it likes.
    pub fn set_receive_rate(&mut self, least: u64) {
        self.rate = ReceiveRate::new(least);
    }

    /// Whether the current message has been read to its end and the connection can carry another.
    pub fn is_between_messages(&self) -> bool {
        self.message.is_done() && self.fault.is_none() && !self.is_tunnel()
    }

    /// Whether the client has ended its side, or the connection has broken.
    pub fn has_ended(&self) -> bool {
        self.saw_eof
    }

    /// Whether the client has sent more than has been given away.
    pub fn has_more(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let in_kernel = self.io.as_ref().is_some_and(|io| {
            // Of a socket that doesn't block.
            matches!(SockRef::from(io.stream().socket()).peek(&mut byte), Ok(1..))
        });
        !self.inbox.is_empty() || in_kernel
    }

    /// Whether the current message's body broke the rules of its framing.
    pub fn is_malformed(&self) -> bool {
        self.fault == Some(Fault::Malformed)
    }

    /// Whether the current message's body came too slowly to be waited for.
    pub fn is_too_slow(&self) -> bool {
        self.fault == Some(Fault::TooSlow)
    }

    /// From now on bytes go through as they come: the connection was upgraded.
    pub fn become_tunnel(&self, tunnel: Option<Arc<Tunnel>>) {
        if let Some(tunnel) = &tunnel {
            tunnel.client().begin();
            tunnel.server().begin();
        }
        // It becomes one once.
        drop(self.tunnel.set(tunnel));
    }

    /// Has the header section that is written next put right. For responses that Pingora writes.
    pub fn amend(&self, amendment: Amendment) {
        // A response has one header section.
        drop(self.amendment.set(amendment));
    }

    /// The connection is to end in a reset: its response broke off where a plain end would look complete.
    pub fn end_in_reset(&self) {
        self.reset.store(true, Ordering::Release);
    }

    /// The connection may end in good order: its response is complete, or nobody is there to mistake it.
    pub fn end_plainly(&self) {
        self.reset.store(false, Ordering::Release);
    }

    /// The connection as it is, for its next owner. What is left here is nothing.
    fn moved(&mut self) -> Self {
        Self {
            io: self.io.take(),
            inbox: std::mem::take(&mut self.inbox),
            message: std::mem::replace(&mut self.message, Message::none()),
            tunnel: std::mem::take(&mut self.tunnel),
            beginning: std::mem::take(&mut self.beginning),
            told_end: self.told_end,
            amendment: OnceLock::new(),
            reset: AtomicBool::new(*self.reset.get_mut()),
            handback: None,
            keep: AtomicBool::new(false),
            most: AtomicU64::new(*self.most.get_mut()),
            patience: None,
            rate: self.rate.take(),
            saw_eof: self.saw_eof,
            fault: self.fault,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            digest: Arc::clone(&self.digest),
            established: self.established,
            admitted: self.admitted.take(),
        }
    }

    fn is_tunnel(&self) -> bool {
        self.tunnel.get().is_some()
    }

    fn note_in(&mut self, count: usize) {
        self.bytes_in += count as u64;
        if let Some(admitted) = &self.admitted {
            admitted.metrics().bytes_in.inc_by(count as u64);
        }
    }

    fn note_out(&mut self, count: usize) {
        self.bytes_out += count as u64;
        if let Some(admitted) = &self.admitted {
            admitted.metrics().bytes_out.inc_by(count as u64);
        }
    }

    /// Gives away pending bytes, as far as they belong to the current message.
    fn give_pending(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        let mut most = self.inbox.len().min(buf.remaining());
        if self.message.head_left() > 0 {
            // The header section by itself: it is sound, even if the body turns out not to be.
            most = most.min(self.message.head_left());
        }
        let offered = self.inbox.get(..most).unwrap_or_default();
        let count = if self.is_tunnel() {
            most
        } else {
            match self.message.take(offered) {
                Ok(count) => count,
                Err(malformed) => {
                    self.fault = Some(Fault::Malformed);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, malformed));
                }
            }
        };
        buf.put_slice(self.inbox.get(..count).unwrap_or_default());
        self.inbox.advance(count);
        Ok(())
    }

    /// Reads the socket into `buf`; what is beyond the current message is kept back.
    fn poll_socket(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(io) = self.io.as_mut() else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let before = buf.filled().len();
        match Pin::new(io.stream_mut()).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {}
            other => return other,
        }
        let read = buf.filled().len() - before;
        self.saw_eof |= read == 0;
        self.note_in(read);
        if self.is_tunnel() {
            return Poll::Ready(Ok(()));
        }
        let fresh = buf.filled().get(before..).unwrap_or_default();
        match self.message.take(fresh) {
            Ok(count) => {
                self.inbox
                    .extend_from_slice(fresh.get(count..).unwrap_or_default());
                buf.set_filled(before + count);
                Poll::Ready(Ok(()))
            }
            Err(malformed) => {
                self.fault = Some(Fault::Malformed);
                buf.set_filled(before);
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, malformed)))
            }
        }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.inbox.is_empty() {
            self.poll_socket(cx, buf)
        } else {
            Poll::Ready(self.give_pending(buf))
        }
    }

    /// More for the other end of the tunnel. Its end isn't shown to Pingora, which would end the other direction.
    fn poll_tunnel(
        &mut self,
        tunnel: &Tunnel,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.told_end && tunnel.server().is_delivered() {
            // A client that has gone is found out by reading.
            self.told_end = match self.io.as_mut() {
                Some(io) => Pin::new(io).poll_shutdown(cx).is_ready(),
                None => true,
            };
        }
        if !self.saw_eof {
            let (before, room) = (buf.filled().len(), buf.remaining());
            ready!(self.poll_more(cx, buf))?;
            let count = buf.filled().len() - before;
            tunnel.client().note_read(count);
            if count > 0 || room == 0 {
                return Poll::Ready(Ok(()));
            }
            tunnel.client().end();
            // Whoever writes to the server is in this task, and looks again.
            cx.waker().wake_by_ref();
        }
        // The other end shows it, after all that the server said.
        Poll::Pending
    }

    /// More of the message's body, at the pace that it has to keep.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = self.poll_more(cx, buf);
        if let Some(rate) = &mut self.rate {
            if polled.is_ready() {
                rate.note(buf.filled().len() - before);
            } else if rate.poll_too_slow(cx).is_ready() {
                self.fault = Some(Fault::TooSlow);
                let slow = "the request's body comes too slowly";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, slow)));
            }
        }
        let most = self.most.get_mut();
        if *most < u64::MAX {
            let read = (buf.filled().len() - before) as u64;
            if read > *most {
                self.fault = Some(Fault::TooMuch);
                let much = "the rest of the request's body is too long to be read over";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, much)));
            }
            *most -= read;
        }
        polled
    }

    /// Nothing is going on: what was gathered to be sent need not wait for more. A slow server's
    /// response reaches the client as it comes.
    fn flush_meanwhile(&mut self, cx: &mut Context<'_>) {
        if let Some(io) = self.io.as_mut()
            && !io.is_empty()
        {
            // Whoever writes next meets the error, if there is one.
            let _ = Pin::new(io).poll_flush(cx).is_ready();
        }
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.patience {
            Some((patience, wait)) => patience.poll_end(wait, cx).map(|()| {
                let silent = "the server is silent";
                Err(io::Error::new(io::ErrorKind::TimedOut, silent))
            }),
            None => Poll::Pending,
        }
    }

    /// The message is read to its end, and whoever reads on wants to know whether the client is still
    /// there. What the client sends is the next message's; only the end of the stream is news.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.saw_eof {
            return Poll::Ready(Ok(()));
        }
        // A client that has sent more is still there; and if it has closed its side of the connection
        // since, it does wait for its answers.
        while self.inbox.is_empty() {
            let Some(io) = self.io.as_mut() else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            let mut ahead = [0u8; 2048];
            let mut buf = ReadBuf::new(&mut ahead);
            match Pin::new(io.stream_mut()).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            let read = buf.filled();
            if read.is_empty() {
                self.saw_eof = true;
                return Poll::Ready(Ok(()));
            }
            self.inbox.extend_from_slice(read);
            let count = read.len();
            self.note_in(count);
        }
        Poll::Pending
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = if let Some(tunnel) = this.tunnel.get() {
            match tunnel.clone() {
                Some(tunnel) => this.poll_tunnel(&tunnel, cx, buf),
                None => this.poll_more(cx, buf),
            }
        } else if this.message.is_done() {
            match this.poll_gone(cx) {
                Poll::Pending => this.poll_patience(cx),
                gone @ Poll::Ready(_) => gone,
            }
        } else if this.message.head_left() > 0 {
            this.poll_more(cx, buf)
        } else {
            this.poll_body(cx, buf)
        };
        if polled.is_pending() {
            this.flush_meanwhile(cx);
        }
        polled
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let is_tunnel = self.is_tunnel();
        let amendment = self.amendment.take();
        let Some(io) = self.io.as_mut() else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        // HTTP/2 gathers its frames, and a tunnel's bytes go as they come.
        let written = if let Some(amendment) = amendment {
            io.add(&amendment.apply(buf));
            Poll::Ready(Ok(buf.len()))
        } else if is_tunnel {
            io.poll_through(cx, buf)
        } else {
            Pin::new(io).poll_write(cx, buf)
        };
        if let Poll::Ready(Ok(count)) = &written {
            let count = *count;
            self.note_out(count);
            if let Some(Some(tunnel)) = self.tunnel.get() {
                let tunnel = Arc::clone(tunnel);
                let written = buf.get(..count).unwrap_or_default();
                tunnel.server().note_passed(self.beginning.take(written));
            }
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.io.as_mut() {
            Some(io) => Pin::new(io).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.io.as_mut() {
            Some(io) => Pin::new(io).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        let handback = self.handback.take();
        if let Some(handback) = handback.filter(|_| *self.keep.get_mut()) {
            handback.put(Box::new(self.moved()));
            return;
        }
        let (Some(mut io), admitted) = (self.io.take(), self.admitted.take()) else {
            return;
        };
        if self.reset.load(Ordering::Acquire) {
            // With no time to linger, close(2) resets (socket(7)). If it can't be set, all is lost anyway.
            drop(SockRef::from(io.stream().socket()).set_linger(Some(Duration::ZERO)));
            return;
        }
        if self.saw_eof {
            return;
        }
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        supervise::once(async move {
            // Held on to until the socket is really closed: it counts as long as it is open.
            let _admitted = admitted;
            // A client that doesn't take the rest goes without.
            drop(tokio::time::timeout(LINGER, io.flush()).await);
            io.into_stream().close_gently(LINGER).await;
        });
    }
}

impl std::fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientStream")
            .field("peer", &self.digest.peer_addr())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        // A client that has gone already is no news.
        drop(AsyncWriteExt::shutdown(self).await);
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        self.io
            .as_ref()
            .map_or(-1, |io| io.stream().socket().as_raw_fd())
    }
}

impl Ssl for ClientStream {}

impl Peek for ClientStream {}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest {
            established_ts: self.established,
            ..TimingDigest::default()
        })]
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }
}
