//! One direction of a connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncWrite, ReadBuf};

use super::pipe::{Pipe, Socket};
use super::wire::Wire;

/// Reads in a row before the other direction, and other connections, get their turn.
const TURN: usize = 8;

/// Less than this at once isn't worth a pipe.
const LITTLE: usize = 16 * 1024;

/// The way from one end to the other. It owns no memory, and no pipe, but for what the far end couldn't take at once.
///
/// Where much comes at once, and both ends are sockets as they are, the kernel moves it ([`Pipe`]): little is faster by way of
/// memory.
#[derive(Debug, Default)]
pub struct Flow {
    /// Read and not yet written, from `written` on.
    pending: Vec<u8>,
    written: usize,
    unflushed: bool,
    /// Much comes at once.
    is_bulk: bool,
    /// What is in it wasn't taken yet.
    pipe: Option<Pipe>,
    /// How the near end broke after all that was read of it.
    broken: Option<io::Error>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Open,
    /// The near end has said all; the far end is to learn of it once it has the rest.
    Ending,
    Ended,
    Broken,
}

/// What broke.
#[derive(Debug)]
pub enum Fault {
    /// The end that is read from.
    Near(io::Error),
    /// The end that is written to.
    Far(io::Error),
}

/// What moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Bytes that were read.
    pub read: usize,
    /// Bytes that were written.
    pub written: usize,
}

impl Moved {
    /// Whether anything did.
    pub fn any(self) -> bool {
        self.read > 0 || self.written > 0
    }
}

impl Flow {
    /// A way on which something has been read already.
    pub fn with(first: Vec<u8>) -> Self {
        Self {
            pending: first,
            ..Self::default()
        }
    }

    /// Moves what can be moved, by way of `scratch`. Ready when nothing will ever be moved again: the near end has ended and
    /// the far end knows, or the flow was broken off. Of the `last` flow of a connection a plain socket learns the end by
    /// being closed, which follows at once.
    ///
    /// # Errors
    ///
    /// [`Fault`] says which end broke. Of a near end everything that came before has been read.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        near: &mut impl Wire,
        far: &mut impl Wire,
        scratch: &mut [u8],
        moved: &mut Moved,
        last: bool,
    ) -> Poll<Result<(), Fault>> {
        for _ in 0..TURN {
            if matches!(self.state, State::Ended | State::Broken) {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_pending(cx, far, moved))?;
            if let Some(pipe) = self.pipe.take() {
                ready!(self.poll_pipe(cx, far, pipe, moved))?;
            }
            if let Some(error) = self.broken.take() {
                return Poll::Ready(Err(Fault::Near(error)));
            }
            if self.state == State::Ending {
                ready!(Pin::new(&mut *far).poll_flush(cx)).map_err(Fault::Far)?;
                if !last || far.plain().is_none() {
                    ready!(Pin::new(&mut *far).poll_shutdown(cx)).map_err(Fault::Far)?;
                }
                self.state = State::Ended;
                return Poll::Ready(Ok(()));
            }
            if self.is_bulk
                && let (Some(from), Some(to)) = (near.plain(), far.plain())
                && let Some(pipe) = Pipe::take()
            {
                ready!(self.poll_bulk(cx, from, to, pipe, moved))?;
                continue;
            }
            let capacity = scratch.len();
            let mut buf = ReadBuf::new(scratch);
            match Pin::new(&mut *near).poll_read(cx, &mut buf) {
                Poll::Ready(read) => read.map_err(Fault::Near)?,
                Poll::Pending => return self.poll_idle(cx, far),
            }
            let ends = !buf.filled().is_empty() && self.read_on(cx, near, far, &mut buf);
            let mut data = buf.filled();
            moved.read += data.len();
            self.is_bulk = data.len() >= capacity / 2;
            if data.is_empty() {
                if near.is_cut_off(cx) {
                    return Poll::Ready(Err(Fault::Near(io::ErrorKind::UnexpectedEof.into())));
                }
                self.state = State::Ending;
                continue;
            }
            if ends {
                self.state = State::Ending;
                data = Self::poll_last(cx, far, data, moved)?;
            }
            self.poll_data(cx, far, data, moved)?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Between plain sockets: reads what has come besides, which costs no system call where nothing has, and says whether it has
    /// ended: the end is to go out with the last bytes.
    fn read_on(
        &mut self,
        cx: &mut Context<'_>,
        near: &mut impl Wire,
        far: &impl Wire,
        buf: &mut ReadBuf<'_>,
    ) -> bool {
        if near.plain().is_none() || far.plain().is_none() {
            return false;
        }
        while buf.remaining() > 0 {
            let before = buf.filled().len();
            match Pin::new(&mut *near).poll_read(cx, buf) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) if buf.filled().len() == before => return true,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    // What came before it goes out first.
                    self.broken = Some(error);
                    return false;
                }
            }
        }
        false
    }

    /// Whether the near end broke while what it had said before wasn't taken yet.
    pub fn is_near_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Whether the near end is being read from, so that its end would be noticed.
    pub fn is_reading(&self) -> bool {
        self.state == State::Open && self.pending.is_empty() && self.pipe.is_none()
    }

    /// Whether the near end has ended, or the flow was broken off.
    pub fn is_closed(&self) -> bool {
        self.state != State::Open
    }

    /// Whether the near end has ended and the far end knows.
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Whether nothing will ever be moved again.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Ended | State::Broken)
    }

    /// Bytes of memory that it holds.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.pending.capacity()
    }

    /// The far end takes no more. What has ended stays so.
    pub fn break_off(&mut self) {
        self.pending = Vec::new();
        self.pipe = None;
        self.broken = None;
        self.written = 0;
        if self.state != State::Ended {
            self.state = State::Broken;
        }
    }

    /// Writes what was left over.
    fn poll_pending(
        &mut self,
        cx: &mut Context<'_>,
        far: &mut (impl AsyncWrite + Unpin),
        moved: &mut Moved,
    ) -> Poll<Result<(), Fault>> {
        while let Some(rest) = self.pending.get(self.written..)
            && !rest.is_empty()
        {
            let count = ready!(poll_write(cx, far, rest))?;
            self.written += count;
            self.unflushed = true;
            moved.written += count;
        }
        self.pending.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Has the kernel move what comes, and pass it on. Ready when there may be more.
    fn poll_bulk(
        &mut self,
        cx: &mut Context<'_>,
        from: Socket<'_>,
        to: Socket<'_>,
        mut pipe: Pipe,
        moved: &mut Moved,
    ) -> Poll<Result<(), Fault>> {
        let filled = pipe.poll_fill(cx, from);
        let count = match filled {
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(error)) => {
                pipe.give_back();
                return Poll::Ready(Err(Fault::Near(error)));
            }
            Poll::Pending => {
                pipe.give_back();
                self.pending = Vec::new();
                return Poll::Pending;
            }
        };
        moved.read += count;
        self.is_bulk = count >= LITTLE;
        if count == 0 {
            pipe.give_back();
            self.state = State::Ending;
            return Poll::Ready(Ok(()));
        }
        self.poll_pipe_to(cx, to, pipe, moved)
    }

    /// Passes on what is left in a pipe.
    fn poll_pipe(
        &mut self,
        cx: &mut Context<'_>,
        far: &mut impl Wire,
        pipe: Pipe,
        moved: &mut Moved,
    ) -> Poll<Result<(), Fault>> {
        match far.plain() {
            Some(to) => self.poll_pipe_to(cx, to, pipe, moved),
            // It was one when the pipe was filled, and stays one.
            None => Poll::Ready(Err(Fault::Far(io::ErrorKind::Unsupported.into()))),
        }
    }

    /// Passes on what is in a pipe, and keeps what isn't taken at once.
    fn poll_pipe_to(
        &mut self,
        cx: &mut Context<'_>,
        to: Socket<'_>,
        mut pipe: Pipe,
        moved: &mut Moved,
    ) -> Poll<Result<(), Fault>> {
        while !pipe.is_empty() {
            match pipe.poll_drain(cx, to) {
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Err(Fault::Far(io::ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Ok(count)) => moved.written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Fault::Far(error))),
                Poll::Pending if pipe.reserve() => {
                    self.pipe = Some(pipe);
                    return Poll::Pending;
                }
                Poll::Pending => {
                    pipe.empty_into(&mut self.pending).map_err(Fault::Far)?;
                    pipe.give_back();
                    return Poll::Pending;
                }
            }
        }
        pipe.give_back();
        Poll::Ready(Ok(()))
    }

    /// Writes the last bytes in a way that has the kernel wait for the end, so that both go in one packet. Returns what
    /// wasn't taken.
    fn poll_last<'a>(
        cx: &mut Context<'_>,
        far: &impl Wire,
        data: &'a [u8],
        moved: &mut Moved,
    ) -> Result<&'a [u8], Fault> {
        let Some(to) = far.plain() else {
            return Ok(data);
        };
        match to.poll_send_more(cx, data) {
            Poll::Ready(Ok(count)) => {
                moved.written += count;
                Ok(data.get(count..).unwrap_or_default())
            }
            Poll::Ready(Err(error)) => Err(Fault::Far(error)),
            Poll::Pending => Ok(data),
        }
    }

    /// Writes what was just read, and keeps what isn't taken at once.
    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        far: &mut (impl AsyncWrite + Unpin),
        mut data: &[u8],
        moved: &mut Moved,
    ) -> Result<(), Fault> {
        while !data.is_empty() {
            let Poll::Ready(count) = poll_write(cx, far, data)? else {
                // As much again as was taken may well be left over next time: the memory stays while bytes flow.
                self.pending.extend_from_slice(data);
                return Ok(());
            };
            self.unflushed = true;
            moved.written += count;
            data = data.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Nothing comes at the moment: what is gathered somewhere goes out, and no memory is held meanwhile.
    fn poll_idle(
        &mut self,
        cx: &mut Context<'_>,
        far: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<(), Fault>> {
        self.pending = Vec::new();
        if self.unflushed {
            ready!(Pin::new(far).poll_flush(cx)).map_err(Fault::Far)?;
            self.unflushed = false;
        }
        Poll::Pending
    }
}

fn poll_write(
    cx: &mut Context<'_>,
    far: &mut (impl AsyncWrite + Unpin),
    data: &[u8],
) -> Poll<Result<usize, Fault>> {
    match ready!(Pin::new(far).poll_write(cx, data)) {
        Ok(0) => Poll::Ready(Err(Fault::Far(io::ErrorKind::WriteZero.into()))),
        Ok(count) => Poll::Ready(Ok(count)),
        Err(error) => Poll::Ready(Err(Fault::Far(error))),
    }
}
