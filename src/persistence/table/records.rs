//! Sessions as bytes: in the file that a table is kept in, and on the way to another process at an upgrade.
//!
//! A sequence of records, each of one byte that says what it is, and numbers in little-endian order:
//!
//! | | |
//! |---|---|
//! | `1` | a server's name: its number (4), the length (2), the name |
//! | `2` | a session that is bound: key (16), number of the server (4), when it was bound (4), when it was used last (4) |
//! | `3` | a session that was forgotten: key (16) |
//!
//! Times are seconds since 1970, since each process has a monotonic clock of its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::feed::Change;
use super::names::Names;
use crate::persistence::{Moment, SessionKey, UnixTime};

const NAME: u8 = 1;
const BOUND: u8 = 2;
const GONE: u8 = 3;

/// Bytes are something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("these are no records of sessions")]
pub struct RecordsError;

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    moment: Moment,
    unix: UnixTime,
}

impl Clocks {
    pub(super) fn now() -> Self {
        Self {
            moment: Moment::now(),
            unix: UnixTime::now(),
        }
    }

    fn unix(self, moment: u32) -> u32 {
        let age = self.moment.seconds_since(Moment(moment));
        u32::try_from(self.unix.0.saturating_sub(age.into())).unwrap_or(u32::MAX)
    }

    /// What is in the future is now.
    fn moment(self, unix: u32) -> u32 {
        let age = self.unix.seconds_since(UnixTime(unix.into()));
        let age = u32::try_from(age).unwrap_or(u32::MAX);
        self.moment.0.saturating_sub(age).max(1)
    }
}

/// Writes the sessions of one table.
#[derive(Default)]
pub(super) struct Encoder {
    /// The servers whose names were written.
    named: HashSet<u32>,
}

impl Encoder {
    /// Appends a change to `bytes`.
    pub(super) fn write(
        &mut self,
        change: Change,
        names: &Names,
        clocks: Clocks,
        bytes: &mut Vec<u8>,
    ) {
        match change {
            Change::Gone(key) => {
                bytes.push(GONE);
                bytes.extend_from_slice(key.as_bytes());
            }
            Change::Bound(key, record) => {
                if !self.named.contains(&record.server) {
                    let Some(name) = names.name(record.server) else {
                        return;
                    };
                    let Ok(length) = u16::try_from(name.len()) else {
                        return;
                    };
                    bytes.push(NAME);
                    bytes.extend_from_slice(&record.server.to_le_bytes());
                    bytes.extend_from_slice(&length.to_le_bytes());
                    bytes.extend_from_slice(name.as_bytes());
                    self.named.insert(record.server);
                }
                bytes.push(BOUND);
                bytes.extend_from_slice(key.as_bytes());
                bytes.extend_from_slice(&record.server.to_le_bytes());
                bytes.extend_from_slice(&clocks.unix(record.started).to_le_bytes());
                bytes.extend_from_slice(&clocks.unix(record.used).to_le_bytes());
            }
        }
    }
}

/// A change as it was read: with a name, and times of this process's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Bound {
        key: SessionKey,
        server: Arc<str>,
        started: u32,
        used: u32,
    },
    Gone(SessionKey),
}

/// Reads the sessions of one table.
#[derive(Default)]
pub(super) struct Decoder {
    names: HashMap<u32, Arc<str>>,
    /// The beginning of a record whose rest is still to come.
    begun: Vec<u8>,
}

impl Decoder {
    /// Calls `told` with each change in `bytes`, which go on where the last ones ended.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        clocks: Clocks,
        mut told: impl FnMut(Told),
    ) -> Result<(), RecordsError> {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let mut rest = Reader(&all);
        loop {
            let before = rest;
            match self.one(&mut rest, clocks)? {
                Next::Told(change) => told(change),
                Next::Name => {}
                Next::Incomplete => {
                    self.begun = before.0.to_vec();
                    return Ok(());
                }
            }
        }
    }

    fn one(&mut self, rest: &mut Reader<'_>, clocks: Clocks) -> Result<Next, RecordsError> {
        let Some(kind) = rest.byte() else {
            return Ok(Next::Incomplete);
        };
        let next = match kind {
            NAME => self.name(rest)?,
            BOUND => {
                let Some((key, server, started, used)) = rest.bound() else {
                    return Ok(Next::Incomplete);
                };
                let server = self.names.get(&server).ok_or(RecordsError)?;
                Some(Next::Told(Told::Bound {
                    key,
                    server: Arc::clone(server),
                    started: clocks.moment(started),
                    used: clocks.moment(used),
                }))
            }
            GONE => rest.key().map(|key| Next::Told(Told::Gone(key))),
            _ => return Err(RecordsError),
        };
        Ok(next.unwrap_or(Next::Incomplete))
    }

    fn name(&mut self, rest: &mut Reader<'_>) -> Result<Option<Next>, RecordsError> {
        let (Some(number), Some(length)) = (rest.number(), rest.short()) else {
            return Ok(None);
        };
        let Some(name) = rest.take(length.into()) else {
            return Ok(None);
        };
        let name = std::str::from_utf8(name).map_err(|_| RecordsError)?;
        self.names.insert(number, Arc::from(name));
        Ok(Some(Next::Name))
    }
}

enum Next {
    Told(Told),
    Name,
    Incomplete,
}

#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn key(&mut self) -> Option<SessionKey> {
        let bytes = self.take(16)?.try_into().ok()?;
        Some(SessionKey::from_bytes(bytes))
    }

    fn bound(&mut self) -> Option<(SessionKey, u32, u32, u32)> {
        Some((self.key()?, self.number()?, self.number()?, self.number()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::persistence::table::shard::Record;

    fn key(n: u8) -> SessionKey {
        SessionKey::from_bytes([n; 16])
    }

    #[test]
    fn what_is_written_is_read_in_whatever_pieces() {
        let names = Names::default();
        let (a, b) = (names.number("a").unwrap(), names.number("bé").unwrap());
        let clocks = Clocks::now();
        let now = clocks.moment.0;
        let record = |server, ago| Record {
            server,
            started: now - ago - 5,
            used: now - ago,
            checked: 0,
        };
        let mut bytes = Vec::new();
        let mut encoder = Encoder::default();
        for change in [
            Change::Bound(key(1), record(a, 0)),
            Change::Bound(key(2), record(b, 100)),
            Change::Gone(key(1)),
            Change::Bound(key(3), record(a, 7)),
        ] {
            encoder.write(change, &names, clocks, &mut bytes);
        }
        for size in [1, 2, 3, 29, 1000] {
            let mut decoder = Decoder::default();
            let mut told = Vec::new();
            for piece in bytes.chunks(size) {
                decoder
                    .read(piece, clocks, |change| told.push(change))
                    .unwrap();
            }
            let bound = |n, server: &str, ago| Told::Bound {
                key: key(n),
                server: Arc::from(server),
                started: now - ago - 5,
                used: now - ago,
            };
            let wanted = [
                bound(1, "a", 0),
                bound(2, "bé", 100),
                Told::Gone(key(1)),
                bound(3, "a", 7),
            ];
            assert_eq!(told, wanted);
            assert!(decoder.begun.is_empty());
        }
    }

    proptest! {
        #[test]
        fn whatever_bytes_there_are_nothing_breaks(bytes in prop::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..400)) {
            let mut decoder = Decoder::default();
            let _ = decoder.read(&bytes, Clocks::now(), |_| ());
            prop_assert!(decoder.begun.len() <= bytes.len());
        }
    }
}
