//! Frames on the upgrade socket: eight bytes of header (kind, three zeros, the length of the body in little-endian
//! order), then the body. Descriptors go along with a header (`SCM_RIGHTS`, unix(7)).

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest body: the state of a hundred thousand servers is a fifth of it.
const LARGEST: u32 = 256 * 1024 * 1024;
/// Descriptors with one frame at most; Linux takes 253.
pub const MOST_DESCRIPTORS: usize = 64;
const HEADER: usize = 8;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// New: who it is and what it speaks.
    Hello = 1,
    /// Old: nothing is handed over, and why.
    Refused,
    /// Old: what is handed over.
    Offer,
    /// Old: descriptors, in the order of the offer.
    Descriptors,
    /// New: it can't start, and why.
    Failed,
    /// New: all that may fail is done, what is the state?
    Prepared,
    /// Old: what it knows.
    State,
    /// Either: a pool's sessions, after the pool's name and its length in two bytes.
    Sessions,
    /// Old: that was all of the state.
    Complete,
    /// New: it accepts connections.
    Serving,
    /// Old: it accepts none any more.
    Taken,
    /// New: the old one is to let go of what it kept to go on with.
    Release,
    /// Old: it has.
    Released,
    /// Old: how far its drain is.
    Progress,
    /// Old: what it has counted until its end.
    Totals,
}

impl Kind {
    const ALL: [Self; 15] = [
        Self::Hello,
        Self::Refused,
        Self::Offer,
        Self::Descriptors,
        Self::Failed,
        Self::Prepared,
        Self::State,
        Self::Sessions,
        Self::Complete,
        Self::Serving,
        Self::Taken,
        Self::Release,
        Self::Released,
        Self::Progress,
        Self::Totals,
    ];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A frame that was received.
#[derive(Debug)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// What it says.
    pub body: Vec<u8>,
    /// What came along.
    pub descriptors: Vec<OwnedFd>,
}

impl Frame {
    /// What it says.
    ///
    /// # Errors
    ///
    /// It says something else.
    pub fn parse<T: DeserializeOwned>(&self) -> io::Result<T> {
        serde_json::from_slice(&self.body).map_err(io::Error::from)
    }
}

/// One end of a connection between two processes.
#[derive(Debug)]
pub struct Wire {
    stream: UnixStream,
    /// Whoever sends.
    sending: Mutex<()>,
}

impl Wire {
    /// On a stream that blocks.
    pub fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            sending: Mutex::new(()),
        }
    }

    /// The stream.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Sends a frame.
    ///
    /// # Errors
    ///
    /// Nobody takes it.
    pub fn send(&self, kind: Kind, body: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend_from_slice(&header(kind, body)?);
        bytes.extend_from_slice(body);
        let _turn = self.sending.lock();
        (&self.stream).write_all(&bytes)
    }

    /// Sends a frame that says `message`.
    ///
    /// # Errors
    ///
    /// Nobody takes it.
    pub fn say<T: Serialize>(&self, kind: Kind, message: &T) -> io::Result<()> {
        self.send(kind, &serde_json::to_vec(message)?)
    }

    /// Sends at most [`MOST_DESCRIPTORS`].
    ///
    /// # Errors
    ///
    /// Nobody takes them.
    pub fn hand(&self, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let header = header(Kind::Descriptors, &[])?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let _turn = self.sending.lock();
        let sent = sendmsg(
            &self.stream,
            &[IoSlice::new(&header)],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        (&self.stream).write_all(header.get(sent..).unwrap_or_default())
    }

    /// Waits for a frame, for each of its parts at most that long; `None` = for ever.
    ///
    /// # Errors
    ///
    /// There comes none: [`io::ErrorKind::UnexpectedEof`] if the other end is gone, [`io::ErrorKind::TimedOut`] if it takes
    /// too long.
    pub fn receive(&self, timeout: Option<Duration>) -> io::Result<Frame> {
        self.stream.set_read_timeout(timeout)?;
        self.take_frame().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            io::ErrorKind::ConnectionReset => io::ErrorKind::UnexpectedEof.into(),
            _ => error,
        })
    }

    fn take_frame(&self) -> io::Result<Frame> {
        let mut header = [0; HEADER];
        let mut descriptors = Vec::new();
        let mut filled = 0;
        while let Some(room) = header.get_mut(filled..).filter(|room| !room.is_empty()) {
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(
                &self.stream,
                &mut [IoSliceMut::new(room)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            );
            let received = match received {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(more) = message {
                    descriptors.extend(more);
                }
            }
            if received.bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += received.bytes;
        }
        let [kind, _, _, _, length @ ..] = header;
        let length = u32::from_le_bytes(length);
        let kind = Kind::of(kind).filter(|_| length <= LARGEST);
        let kind = kind.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the other process doesn't speak as this one does",
            )
        })?;
        let mut body = Vec::new();
        (&self.stream).take(length.into()).read_to_end(&mut body)?;
        if body.len() < length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Frame {
            kind,
            body,
            descriptors,
        })
    }
}

fn header(kind: Kind, body: &[u8]) -> io::Result<[u8; HEADER]> {
    let length = u32::try_from(body.len()).ok();
    let length = length.filter(|length| *length <= LARGEST);
    let [a, b, c, d] = length
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?
        .to_le_bytes();
    Ok([kind as u8, 0, 0, 0, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    fn pair() -> (Wire, Wire) {
        let (one, other) = UnixStream::pair().expect("a pair");
        (Wire::new(one), Wire::new(other))
    }

    #[test]
    fn frames_and_descriptors_come_as_they_were_sent() {
        let (one, other) = pair();
        one.say(Kind::Hello, &["a", "b"]).expect("sent");
        let file = std::fs::File::open("/dev/null").expect("open");
        one.hand(&[file.as_fd(), file.as_fd()]).expect("sent");
        one.send(Kind::Taken, b"").expect("sent");
        let soon = Some(Duration::from_secs(10));
        let hello = other.receive(soon).expect("a frame");
        assert_eq!(hello.kind, Kind::Hello);
        assert_eq!(hello.parse::<Vec<String>>().expect("JSON"), ["a", "b"]);
        assert!(hello.parse::<u32>().is_err());
        let handed = other.receive(soon).expect("a frame");
        assert_eq!(
            (handed.kind, handed.descriptors.len()),
            (Kind::Descriptors, 2)
        );
        assert_eq!(other.receive(soon).expect("a frame").kind, Kind::Taken);
        drop(one);
        let over = other.receive(soon).expect_err("over");
        assert_eq!(over.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn nonsense_and_silence_are_errors() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &[99, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 255, 255, 255, 255],
            &[1, 0, 0, 0, 9, 0, 0, 0, 1],
        ] {
            let (one, other) = pair();
            (&one.stream).write_all(bytes).expect("sent");
            drop(one);
            assert!(other.receive(Some(Duration::from_secs(10))).is_err());
        }
        let (_one, other) = pair();
        let late = other.receive(Some(Duration::from_millis(1)));
        assert_eq!(late.expect_err("late").kind(), io::ErrorKind::TimedOut);
    }
}
