//! What the two connections of a tunnel know of each other: a request that switched protocols (RFC 9110 section 7.8).
//!
//! Pingora moves a tunnel's bytes, and takes the end of either side for the end of both: what a server says to a client
//! that has finished is lost. So neither side's end is shown to it before the other's. The connections are ours, and
//! see to it among themselves: when all that one side sent has been written to the other, that other one's write side is
//! shut, and the way back stays open.
//!
//! All bytes of both directions pass through one task, which is why counts are enough, and why whoever changes them
//! wakes the other by waking itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A tunnel, or what may become one.
#[derive(Debug, Default)]
pub struct Tunnel {
    client: Side,
    server: Side,
}

/// One direction: what its source sends, through Pingora, to the other side.
#[derive(Debug, Default)]
pub struct Side {
    /// Bytes read from it and handed to Pingora.
    read: AtomicU64,
    /// Of them, bytes written to the other side.
    passed: AtomicU64,
    /// What is written to the other side is the tunnel's.
    begun: AtomicBool,
    ended: AtomicBool,
}

impl Tunnel {
    /// What the client sends.
    pub fn client(&self) -> &Side {
        &self.client
    }

    /// What the server sends.
    pub fn server(&self) -> &Side {
        &self.server
    }

    /// Whether both sides have finished.
    pub fn is_over(&self) -> bool {
        self.client.has_ended() && self.server.has_ended()
    }
}

impl Side {
    /// So many bytes came from it.
    pub fn note_read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What is written to the other side from now on is the tunnel's.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    /// So many bytes were written to the other side.
    pub fn note_passed(&self, bytes: usize) {
        if self.begun.load(Ordering::Relaxed) {
            self.passed.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// It sends no more.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Bytes written to the other side.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Whether it has ended and all of it has been written to the other side.
    pub fn is_delivered(&self) -> bool {
        self.has_ended() && self.passed() >= self.read.load(Ordering::Relaxed)
    }
}

/// Finds out where the tunnel begins: after the header section of the 101, which interim responses may precede.
#[derive(Debug, Default)]
pub struct Beginning {
    /// Bytes of the section at hand.
    at: usize,
    /// The digits of its status.
    status: [u8; 3],
    /// Bytes of the CR LF CR LF that ends it.
    matched: usize,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Header,
    Tunnel,
    /// The response is another.
    None,
}

/// Longer than any header section that is taken from a server.
const LONGEST: usize = 4 * 1024 * 1024;

impl Beginning {
    /// Takes in what comes next. Returns how much of its end is the tunnel's.
    pub fn take(&mut self, data: &[u8]) -> usize {
        for (at, &byte) in data.iter().enumerate() {
            match self.state {
                State::Header => self.step(byte),
                State::Tunnel => return data.len() - at,
                State::None => return 0,
            }
        }
        0
    }

    /// Whether the tunnel has begun.
    pub fn is_found(&self) -> bool {
        self.state == State::Tunnel
    }

    fn step(&mut self, byte: u8) {
        const END: [u8; 4] = *b"\r\n\r\n";
        // HTTP/1.1 101
        if let Some(digit) = self
            .at
            .checked_sub(9)
            .and_then(|at| self.status.get_mut(at))
        {
            *digit = byte;
        }
        self.at += 1;
        self.matched = match END.get(self.matched) {
            Some(&wanted) if wanted == byte => self.matched + 1,
            _ => usize::from(byte == b'\r'),
        };
        if self.matched < END.len() {
            if self.at > LONGEST {
                self.state = State::None;
            }
            return;
        }
        match self.status {
            [b'1', b'0', b'1'] => self.state = State::Tunnel,
            [b'1', ..] => *self = Self::default(),
            _ => self.state = State::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n";

    #[test]
    fn a_tunnel_begins_after_the_101_however_it_arrives() {
        let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        for before in [&b""[..], hints] {
            let all = [before, SWITCHING, b"\r\n\r\nabc"].concat();
            for size in 1..all.len() {
                let mut beginning = Beginning::default();
                let taken: usize = all.chunks(size).map(|part| beginning.take(part)).sum();
                assert_eq!(taken, 7, "in pieces of {size}");
                assert!(beginning.is_found());
            }
        }
    }

    #[test]
    fn another_response_begins_none() {
        let mut beginning = Beginning::default();
        assert_eq!(
            beginning.take(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 x\r\n\r\nabc"),
            0
        );
        assert!(!beginning.is_found());
    }

    #[test]
    fn an_end_is_delivered_when_all_before_it_is() {
        let tunnel = Tunnel::default();
        let side = tunnel.client();
        side.note_passed(100);
        side.begin();
        side.note_read(5);
        side.end();
        assert!(!side.is_delivered());
        side.note_passed(5);
        assert!(side.is_delivered());
        assert!(!tunnel.is_over());
        tunnel.server().end();
        assert!(tunnel.is_over());
    }
}
