//! Following tables from outside, and taking over what somebody else knows: between two processes at an upgrade, and
//! between a table and its file.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::SessionTable;
use super::feed::{Change, Feed};
use super::local::Local;
use super::records::{Clocks, Decoder, Encoder, RecordsError, Told};
use crate::persistence::{Moment, SessionKey};

/// Sessions that are taken over at once at most: more than a table is likely to have.
const MOST: usize = 1 << 24;

/// Tells what becomes of the sessions of some tables.
pub struct Follower {
    feed: Arc<Feed>,
    tables: Vec<Followed>,
}

struct Followed {
    name: Arc<str>,
    local: Arc<Local>,
    encoder: Encoder,
}

/// Ends a follower's wait, from wherever.
#[derive(Clone)]
pub struct FollowerEnd(Arc<Feed>);

impl FollowerEnd {
    /// What has happened by now is told, and nothing more.
    pub fn end(&self) {
        self.0.end();
    }
}

impl Follower {
    /// Follows these tables from now on, each with the name that it is told by.
    pub fn new<'a>(tables: impl IntoIterator<Item = (&'a Arc<str>, &'a SessionTable)>) -> Self {
        let locals = tables
            .into_iter()
            .map(|(name, table)| (Arc::clone(name), Arc::clone(&table.local)));
        Self::of(locals)
    }

    pub(super) fn of(locals: impl IntoIterator<Item = (Arc<str>, Arc<Local>)>) -> Self {
        let feed = Arc::<Feed>::default();
        let tables = locals.into_iter().map(|(name, local)| Followed {
            name,
            local,
            encoder: Encoder::default(),
        });
        let tables: Vec<_> = tables.collect();
        for (tag, followed) in tables.iter().enumerate() {
            followed.local.followers.rcu(|before| {
                let mut after = Vec::clone(before);
                after.push((Arc::clone(&feed), tag));
                after
            });
        }
        Self { feed, tables }
    }

    /// A handle by which another thread ends it.
    pub fn ender(&self) -> FollowerEnd {
        FollowerEnd(Arc::clone(&self.feed))
    }

    /// Tells all that is known now: `write` gets the name of a table, and records.
    ///
    /// # Errors
    ///
    /// Those of `write`.
    pub fn dump<E>(
        &mut self,
        mut write: impl FnMut(&Arc<str>, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let now = Moment::now();
        for Followed {
            name,
            local,
            encoder,
        } in &mut self.tables
        {
            let clocks = Clocks::now();
            let mut bytes = Vec::new();
            local.each(now, |entries| {
                bytes.clear();
                for (key, record) in entries {
                    encoder.write(Change::Bound(key, record), &local.names, clocks, &mut bytes);
                }
                if bytes.is_empty() {
                    return Ok(());
                }
                write(name, &bytes)
            })?;
        }
        Ok(())
    }

    /// Waits for changes until `deadline` and tells them. Returns false when it was ended and has told all.
    ///
    /// # Errors
    ///
    /// Those of `write`.
    pub fn tell<E>(
        &mut self,
        deadline: Instant,
        mut write: impl FnMut(&Arc<str>, &[u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        let taken = self.feed.take(deadline);
        if taken.missed {
            self.dump(&mut write)?;
        }
        let clocks = Clocks::now();
        let mut pieces: Vec<Vec<u8>> = vec![Vec::new(); self.tables.len()];
        for (tag, change) in taken.changes {
            if let (Some(followed), Some(bytes)) = (self.tables.get_mut(tag), pieces.get_mut(tag)) {
                followed
                    .encoder
                    .write(change, &followed.local.names, clocks, bytes);
            }
        }
        for (followed, bytes) in self.tables.iter().zip(pieces) {
            if !bytes.is_empty() {
                write(&followed.name, &bytes)?;
            }
        }
        Ok(!taken.is_over)
    }

    /// Has names written again with what is told next, to somebody who hasn't heard them.
    pub(super) fn begin_anew(&mut self) {
        for followed in &mut self.tables {
            followed.encoder = Encoder::default();
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        for followed in &self.tables {
            followed.local.followers.rcu(|before| {
                let others = before
                    .iter()
                    .filter(|(feed, _)| !Arc::ptr_eq(feed, &self.feed));
                others.cloned().collect::<Vec<_>>()
            });
        }
    }
}

/// Takes over what a [`Follower`] of the same table elsewhere tells.
pub struct Absorber {
    local: Arc<Local>,
    decoder: Decoder,
    collected: HashMap<SessionKey, (Arc<str>, u32, u32)>,
}

impl Absorber {
    /// For that table.
    pub fn new(table: &SessionTable) -> Self {
        Self::of(Arc::clone(&table.local))
    }

    pub(super) fn of(local: Arc<Local>) -> Self {
        Self {
            local,
            decoder: Decoder::default(),
            collected: HashMap::new(),
        }
    }

    /// What comes next is of another source, which tells names anew.
    pub(super) fn begin_anew(&mut self) {
        self.decoder = Decoder::default();
    }

    /// Keeps records of a dump in mind until [`settle`](Self::settle).
    ///
    /// # Errors
    ///
    /// They are no records.
    pub fn collect(&mut self, bytes: &[u8]) -> Result<(), RecordsError> {
        let collected = &mut self.collected;
        self.decoder.read(bytes, Clocks::now(), |told| match told {
            Told::Gone(key) => drop(collected.remove(&key)),
            Told::Bound {
                key,
                server,
                started,
                used,
            } => {
                if collected.len() < MOST {
                    collected.insert(key, (server, started, used));
                }
            }
        })
    }

    /// Puts what was collected into the table, those that were used last on top. `unsure`: for how many seconds they may
    /// have been used later than it says. Returns how many there are.
    pub fn settle(&mut self, unsure: u32) -> usize {
        let now = Moment::now();
        let mut all: Vec<_> = std::mem::take(&mut self.collected).into_iter().collect();
        all.sort_unstable_by_key(|(_, (_, _, used))| *used);
        let restored = all.into_iter().filter(|(key, (server, started, used))| {
            let used = used.saturating_add(unsure).min(now.0);
            self.local.restore(*key, server, *started, used, now)
        });
        restored.count()
    }

    /// Puts changes into the table as they come.
    ///
    /// # Errors
    ///
    /// They are no records.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<(), RecordsError> {
        let (local, now) = (&self.local, Moment::now());
        self.decoder.read(bytes, Clocks::now(), |told| match told {
            Told::Gone(key) => local.forget(key),
            Told::Bound {
                key,
                server,
                started,
                used,
            } => drop(local.restore(key, &server, started, used, now)),
        })
    }
}
