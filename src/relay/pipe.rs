//! Pipes, through which the kernel moves bytes from socket to socket without copying them to us (splice(2)).
//!
//! A pipe is only kept by a direction whose far end doesn't take what is in it; otherwise it goes back to its thread, empty. So
//! there are few: what they need of descriptors comes from the share of connections to servers while they are kept, and
//! without it what is in them is taken into memory.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::libc::{MSG_MORE, MSG_NOSIGNAL};
use nix::unistd::{pipe2, read};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use crate::descriptors;
use crate::descriptors::Place;

/// Bytes in a pipe, if the system allows it. It has as many pages, and a packet takes one at least.
const SIZE: i32 = 256 * 1024;

/// Empty pipes that a thread keeps.
const SPARE: usize = 2;

/// A socket that the kernel can move bytes from and to.
#[derive(Debug, Clone, Copy)]
pub enum Socket<'a> {
    /// Over TCP.
    Tcp(&'a TcpStream),
    /// A Unix socket.
    Unix(&'a UnixStream),
}

impl Socket<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }

    /// Sends bytes that more follows at once, be it the end: they wait for it to go along (send(2), MSG_MORE).
    pub fn poll_send_more(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Interest::WRITABLE, || {
            SockRef::from(&self.fd()).send_with_flags(data, MSG_MORE | MSG_NOSIGNAL)
        })
    }

    /// Does something as soon as the socket is ready for it.
    fn poll_io(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        mut act: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(match (self, interest.is_readable()) {
                (Self::Tcp(socket), true) => socket.poll_read_ready(cx),
                (Self::Tcp(socket), false) => socket.poll_write_ready(cx),
                (Self::Unix(socket), true) => socket.poll_read_ready(cx),
                (Self::Unix(socket), false) => socket.poll_write_ready(cx),
            })?;
            let done = match self {
                Self::Tcp(socket) => socket.try_io(interest, &mut act),
                Self::Unix(socket) => socket.try_io(interest, &mut act),
            };
            match done {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

/// A pipe, and how much is in it.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
    /// The descriptors' places, while it is kept.
    places: Option<(Place, Place)>,
}

thread_local! {
    static SPARES: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

impl Pipe {
    /// An empty one. `None`: the system has none.
    pub fn take() -> Option<Self> {
        if let Some(spare) = SPARES.with_borrow_mut(Vec::pop) {
            return Some(spare);
        }
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).ok()?;
        // A user may have so many large ones; a smaller one does as well.
        let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(SIZE));
        Some(Self {
            read,
            write,
            held: 0,
            places: None,
        })
    }

    /// Gives it back to its thread, if it is empty; otherwise what is in it is lost.
    pub fn give_back(mut self) {
        self.places = None;
        if self.held == 0 {
            SPARES.with_borrow_mut(|spares| {
                if spares.len() < SPARE {
                    spares.push(self);
                }
            });
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Sets descriptors aside for keeping it. False: there are none to spare.
    pub fn reserve(&mut self) -> bool {
        if self.places.is_none() {
            self.places = descriptors::server_now().zip(descriptors::server_now());
        }
        self.places.is_some()
    }

    /// Takes in what comes from a socket. Zero is its end.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, from: Socket<'_>) -> Poll<io::Result<usize>> {
        let count = ready!(from.poll_io(cx, Interest::READABLE, || {
            moved(from.fd(), self.write.as_fd())
        }))?;
        self.held += count;
        Poll::Ready(Ok(count))
    }

    /// Passes on to a socket what is in it.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, to: Socket<'_>) -> Poll<io::Result<usize>> {
        let count = ready!(to.poll_io(cx, Interest::WRITABLE, || {
            moved(self.read.as_fd(), to.fd())
        }))?;
        self.held = self.held.saturating_sub(count);
        Poll::Ready(Ok(count))
    }

    /// Takes what is in it into memory.
    ///
    /// # Errors
    ///
    /// Those of `read(2)`.
    pub fn empty_into(&mut self, memory: &mut Vec<u8>) -> io::Result<()> {
        let before = memory.len();
        memory.resize(before + self.held, 0);
        let mut filled = before;
        while let Some(rest) = memory.get_mut(filled..)
            && !rest.is_empty()
        {
            match read(&self.read, rest)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        self.held = 0;
        Ok(())
    }
}

fn moved(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    let size = usize::try_from(SIZE).unwrap_or(usize::MAX);
    Ok(splice(from, None, to, None, size, flags)?)
}
