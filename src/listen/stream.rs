//! A client's connection: its bytes, what was read ahead of them, and how it ends.
//!
//! [`ClientStream`] counts bytes and closes so that the last response reaches a client that is still sending (a lingering
//! close, as nginx does). What the bytes mean is somebody else's to know.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::lazy_timer::LazyTimer;
use super::limits::Admitted;
use super::transport::Transport;
use crate::spare::{Buffers, Inbox};
use crate::supervise;

/// Bytes asked of the socket at once for a header.
const HEAD_READ: usize = 4 * 1024;
/// How long a closed connection is still drained, so that a late byte from the client doesn't reset
/// the response under way to it.
const LINGER: Duration = Duration::from_secs(2);

thread_local! {
    static BUFFERS: Buffers = const { Buffers::new(HEAD_READ, 64) };
}

/// A client's connection.
pub struct ClientStream {
    /// `None` only while it is dropped.
    transport: Option<Transport>,
    /// Bytes read from the socket and not yet given away.
    inbox: Inbox,
    saw_end: bool,
    ending: Ending,
    admitted: Option<Admitted>,
    /// Of whoever waits for it.
    timer: LazyTimer,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// When the client has ended its side, too, or takes too long over it: it may still be sending.
    Lingering,
    /// At once, unless something of the client's has come all the same: it has said that it sends no more.
    Immediate,
    /// In a reset: the response broke off where a plain end would look complete.
    Reset,
}

impl ClientStream {
    /// Wraps an accepted connection.
    pub fn new(transport: Transport, admitted: Admitted) -> Self {
        Self {
            transport: Some(transport),
            inbox: Inbox::new(&BUFFERS),
            saw_end: false,
            ending: Ending::Lingering,
            admitted: Some(admitted),
            timer: LazyTimer::default(),
        }
    }

    /// The timer of whoever waits for something on this connection, to be put back when that is over.
    pub fn timer(&mut self) -> &mut LazyTimer {
        &mut self.timer
    }

    /// Bytes received and not yet given away.
    pub fn pending(&self) -> &[u8] {
        &self.inbox
    }

    /// The same, to be taken out.
    pub fn inbox(&mut self) -> &mut BytesMut {
        &mut self.inbox
    }

    /// Takes so many of the pending bytes. They keep no more memory than they need.
    pub fn take_out(&mut self, count: usize) -> Bytes {
        let count = count.min(self.inbox.len());
        if self.inbox.capacity() > HEAD_READ && count < self.inbox.capacity() / 2 {
            let bytes = Bytes::copy_from_slice(self.inbox.get(..count).unwrap_or_default());
            self.inbox.advance(count);
            self.inbox.rest();
            return bytes;
        }
        self.inbox.split_to(count).freeze()
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
        self.inbox.let_go();
        match self.fill().await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Reads more into [`Self::pending`]. Returns the number of bytes, 0 at the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx, HEAD_READ)).await
    }

    /// The same, with room for so many bytes.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        if self.saw_end {
            return Poll::Ready(Ok(0));
        }
        let Some(transport) = &mut self.transport else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if self.inbox.is_empty() {
            // No buffer is made for what hasn't come yet.
            ready!(transport.poll_readable(cx))?;
        }
        // What is left of a buffer is used, unless that is little.
        if self.inbox.capacity() - self.inbox.len() < room / 2 {
            self.inbox.reserve(room);
        }
        let read = pin!(transport.read_buf(&mut *self.inbox)).poll(cx);
        if read.is_pending() {
            // A connection holds no buffer while it waits.
            self.inbox.rest();
        }
        let count = ready!(read)?;
        self.saw_end |= count == 0;
        self.note_in(count);
        Poll::Ready(Ok(count))
    }

    /// Whether the client has sent something that nobody has been told of yet.
    pub fn has_arrived(&self) -> bool {
        let transport = self.transport.as_ref();
        !self.saw_end && transport.is_some_and(Transport::has_arrived)
    }

    /// Whether the client has ended its side.
    pub fn has_ended(&self) -> bool {
        self.saw_end
    }

    /// Whether what is written as several slices goes as one system call.
    pub fn is_plain(&self) -> bool {
        matches!(self.transport, Some(Transport::Plain(_)))
    }

    /// The connection is to end in a reset: its response broke off where a plain end would look complete.
    pub fn end_in_reset(&mut self) {
        self.ending = Ending::Reset;
    }

    /// The client has said that it sends no more, so nobody need wait for it when the connection is dropped. With TLS there
    /// is its own farewell to come, which is waited for.
    ///
    /// `doubted`: it may send something all the same, so the system is asked whether it has.
    pub fn end_at_once(&mut self, doubted: bool) {
        if self.is_plain() && !(doubted && self.has_arrived()) {
            self.ending = Ending::Immediate;
        }
    }

    /// Whether a plain close(2) loses nothing: with something unread in the socket it resets the connection, and what was
    /// sent last is lost.
    fn is_exhausted(&self) -> bool {
        let transport = self.transport.as_ref();
        let is_ready = transport.is_some_and(|transport| is_ready_to_read(transport.socket()));
        self.inbox.is_empty() && !is_ready
    }

    /// The connection below.
    ///
    /// # Errors
    ///
    /// There is none any more.
    pub fn transport(&self) -> io::Result<&Transport> {
        self.transport
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// The same, for its own methods.
    ///
    /// # Errors
    ///
    /// There is none any more.
    pub fn transport_mut(&mut self) -> io::Result<&mut Transport> {
        self.transport
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn note_in(&self, count: usize) {
        if let Some(admitted) = &self.admitted {
            admitted.metrics().bytes_in.inc_by(count as u64);
        }
    }

    fn note_out(&self, written: &Poll<io::Result<usize>>) {
        if let (Some(admitted), Poll::Ready(Ok(count))) = (&self.admitted, written) {
            admitted.metrics().bytes_out.inc_by(*count as u64);
        }
    }
}

impl AsyncRead for ClientStream {
    /// What is pending comes first.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.inbox.is_empty() {
            let count = this.inbox.len().min(buf.remaining());
            buf.put_slice(this.inbox.get(..count).unwrap_or_default());
            this.inbox.advance(count);
            if this.inbox.is_empty() {
                this.inbox.let_go();
            }
            return Poll::Ready(Ok(()));
        }
        if this.saw_end {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(this.transport_mut()?).poll_read(cx, buf))?;
        let count = buf.filled().len() - before;
        this.saw_end |= count == 0 && buf.remaining() > 0;
        this.note_in(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(this.transport_mut()?).poll_write(cx, buf);
        this.note_out(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(this.transport_mut()?).poll_write_vectored(cx, slices);
        this.note_out(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.is_plain()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().transport_mut()?).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().transport_mut()?).poll_shutdown(cx)
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        let is_over = self.saw_end || (self.ending == Ending::Immediate && self.is_exhausted());
        // Declared in this order, the socket is closed before it counts no more.
        let admitted = self.admitted.take();
        let Some(transport) = self.transport.take() else {
            return;
        };
        if self.ending == Ending::Reset {
            // With no time to linger, close(2) resets (socket(7)). If it can't be set, all is lost anyway.
            drop(SockRef::from(transport.socket()).set_linger(Some(Duration::ZERO)));
            return;
        }
        if is_over || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        supervise::once(async move {
            // Held on to until the socket is really closed: it counts as long as it is open.
            let _admitted = admitted;
            transport.close_gently(LINGER).await;
        });
    }
}

/// Whether the runtime knows of something to read, be it the end. Costs no system call, and what has come since the runtime
/// asked the system last isn't known.
fn is_ready_to_read(socket: &TcpStream) -> bool {
    socket.try_io(Interest::READABLE, || Ok(())).is_ok()
}

impl std::fmt::Debug for ClientStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientStream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::supervise::tests::use_up_the_turn;

    /// A client's connection, and the client.
    async fn connected() -> (ClientStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let stream = ClientStream {
            transport: Some(Transport::Plain(accepted.unwrap().0)),
            inbox: Inbox::new(&BUFFERS),
            saw_end: false,
            ending: Ending::Lingering,
            admitted: None,
            timer: LazyTimer::default(),
        };
        (stream, client.unwrap())
    }

    /// What the client reads to the end, or how that fails.
    async fn read_to_end(client: &mut TcpStream) -> Result<Vec<u8>, io::ErrorKind> {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut bytes));
        let read = read.await.expect("the connection ends");
        read.map(|_| bytes).map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn a_client_that_sends_no_more_is_closed_at_once() {
        let (mut stream, mut client) = connected().await;
        client.write_all(b"request").await.unwrap();
        stream.readable().await.unwrap();
        stream.take_out(7);
        stream.write_all(b"response").await.unwrap();
        stream.end_at_once(false);
        // What lingers is closed by a task, which has had no turn yet.
        let descriptor = stream.transport().unwrap().socket().as_raw_fd();
        let socket = || std::fs::read_link(format!("/proc/self/fd/{descriptor}"));
        let open = socket().unwrap();
        drop(stream);
        // Another test may have opened something with that number since.
        assert_ne!(socket().ok(), Some(open));
        assert_eq!(read_to_end(&mut client).await, Ok(b"response".to_vec()));
    }

    #[tokio::test]
    async fn a_client_that_sends_more_all_the_same_loses_nothing() {
        for doubted in [false, true] {
            let (mut stream, mut client) = connected().await;
            client.write_all(b"request").await.unwrap();
            stream.readable().await.unwrap();
            stream.take_out(7);
            client.write_all(b"\r\n").await.unwrap();
            if !doubted {
                let socket = stream.transport().unwrap().socket();
                socket.readable().await.unwrap();
            }
            stream.write_all(b"response").await.unwrap();
            stream.end_at_once(doubted);
            drop(stream);
            assert_eq!(read_to_end(&mut client).await, Ok(b"response".to_vec()));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_wait_ends_whatever_the_task_has_done_before() {
        let (mut stream, client) = connected().await;
        drop(client);
        stream
            .transport()
            .unwrap()
            .socket()
            .readable()
            .await
            .unwrap();
        let waits = tokio::spawn(async move {
            use_up_the_turn().await;
            stream.readable().await.map_err(|error| error.kind())
        });
        let ended = tokio::time::timeout(Duration::from_secs(20), waits).await;
        assert_eq!(
            ended.expect("it keeps the thread to itself").unwrap(),
            Err(io::ErrorKind::UnexpectedEof)
        );
    }
}
