//! A table in memory, kept in files over a restart, a `kill -9` included.
//!
//! Each new binding is written to the end of a file by a thread, at once, so that nobody waits for a disk and next to
//! nothing is lost. Now and then the whole table is written to another file, which also says when sessions were used
//! last, and those changes begin anew:
//!
//! | file | |
//! |---|---|
//! | `POOL.sessions` | the whole table as it was at some moment, after the number of the first file of changes that goes on from there |
//! | `POOL.changes.N` | what has changed since, in the order of the numbers |
//!
//! Both hold [`records`](super::records). What is cut off at the end is left out.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::follow::{Absorber, Follower, FollowerEnd};
use super::local::Local;
use crate::supervise::{self, Task};

/// What both files begin with.
const MAGIC: &[u8; 8] = b"EQSESS1\n";
/// How often the whole table is written at most, and at least.
const OFTEN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(60);
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// How long the end of writing is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// Writes what becomes of a table.
#[derive(Default)]
pub(super) struct Keeping(Mutex<Option<Running>>);

struct Running {
    end: FollowerEnd,
    ended: mpsc::Receiver<()>,
}

impl Keeping {
    /// Begins to keep a table in `directory`, after what is there has been read if `reads`. Nothing that goes wrong stops
    /// anybody.
    pub(super) fn begin(&self, directory: &Path, pool: &Arc<str>, local: &Arc<Local>, reads: bool) {
        self.end();
        let files = Files::new(directory, pool, local.idle());
        if reads && let Err(error) = files.read(local) {
            let file = files.whole().display().to_string();
            tracing::error!(
                pool = &**pool,
                file,
                "kept sessions can't be read, or not all of them: {error}"
            );
        }
        let follower = Follower::of([(Arc::clone(pool), Arc::clone(local))]);
        let end = follower.ender();
        let (tell, ended) = mpsc::channel();
        let mut keeper = Some((files, follower, tell));
        let thread = supervise::keep_thread(Task::Sessions, "sessions", move || {
            // After a panic there is nothing left to go on with.
            if let Some((files, follower, tell)) = keeper.take() {
                Keeper::new(files, follower).run();
                // An error means that nobody waits for it.
                let _ = tell.send(());
            }
        });
        match thread {
            Ok(()) => *self.0.lock() = Some(Running { end, ended }),
            Err(error) => tracing::error!(
                pool = &**pool,
                "sessions won't outlast a restart: no thread can be made: {error}"
            ),
        }
    }

    /// Whether the table is kept.
    pub(super) fn is_on(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Ends it, when all is written or some time is over.
    pub(super) fn end(&self) {
        if let Some(Running { end, ended }) = self.0.lock().take() {
            end.end();
            // An error means that it ended long ago, or takes too long.
            let _ = ended.recv_timeout(PATIENCE);
        }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        if let Some(running) = self.0.get_mut().take() {
            running.end.end();
        }
    }
}

/// The files of one table.
struct Files {
    directory: PathBuf,
    name: String,
    /// Changes are written to the file of this number.
    number: u64,
    /// How often the whole table is written.
    interval: Duration,
}

impl Files {
    fn new(directory: &Path, pool: &str, idle: u32) -> Self {
        let interval = Duration::from_secs(u64::from(idle / 16));
        let mut files = Self {
            directory: directory.to_owned(),
            name: file_name(pool),
            number: 0,
            interval: interval.clamp(OFTEN, SELDOM),
        };
        files.number = files.numbers().into_iter().max().map_or(0, |last| last + 1);
        files
    }

    fn whole(&self) -> PathBuf {
        self.directory.join(format!("{}.sessions", self.name))
    }

    fn changes(&self, number: u64) -> PathBuf {
        self.directory
            .join(format!("{}.changes.{number}", self.name))
    }

    /// The numbers of the files of changes that there are.
    fn numbers(&self) -> Vec<u64> {
        let prefix = format!("{}.changes.", self.name);
        let number = |entry: io::Result<fs::DirEntry>| {
            let name = entry.ok()?.file_name();
            name.to_str()?.strip_prefix(&prefix)?.parse().ok()
        };
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        let mut numbers: Vec<u64> = entries.filter_map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Reads what was kept.
    fn read(&self, local: &Arc<Local>) -> io::Result<()> {
        let mut absorber = Absorber::of(Arc::clone(local));
        let (mut first, mut outcome) = (0, Ok(()));
        match open(&self.whole()) {
            Ok(mut file) => {
                let mut number = [0; 8];
                file.read_exact(&mut number)?;
                first = u64::from_le_bytes(number);
                outcome = collect(&mut file, &mut absorber);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => outcome = Err(error),
        }
        for number in self.numbers() {
            if number < first {
                continue;
            }
            absorber.begin_anew();
            let read =
                open(&self.changes(number)).and_then(|mut file| collect(&mut file, &mut absorber));
            outcome = outcome.and(read);
        }
        let unsure = u32::try_from(self.interval.as_secs()).unwrap_or(u32::MAX);
        let count = absorber.settle(unsure);
        if count > 0 {
            let pool = &*self.name;
            tracing::info!(pool, sessions = count, "kept sessions are known again");
        }
        outcome
    }
}

/// A pool's name as the name of a file.
fn file_name(pool: &str) -> String {
    let mut name = String::new();
    for byte in pool.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            name.push(byte.into());
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

fn open(path: &Path) -> io::Result<File> {
    let mut file = File::open(path)?;
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic)?;
    if magic == *MAGIC {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} isn't of this program's", path.display()),
        ))
    }
}

fn collect(file: &mut File, absorber: &mut Absorber) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        let bytes = piece.get(..length).unwrap_or_default();
        absorber
            .collect(bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
}

/// The thread's side.
struct Keeper {
    files: Files,
    follower: Follower,
    /// Where changes go; `None` = they can't be written.
    changes: Option<File>,
    /// Whether it was told that they can't.
    told: bool,
}

impl Keeper {
    fn new(files: Files, follower: Follower) -> Self {
        Self {
            files,
            follower,
            changes: None,
            told: false,
        }
    }

    fn run(mut self) {
        let mut due = Instant::now() + self.write_all();
        loop {
            let Self {
                changes, follower, ..
            } = &mut self;
            let told = follower.tell(due, |_, bytes| match changes {
                Some(file) => file.write_all(bytes),
                None => Ok(()),
            });
            match told {
                Ok(true) => {}
                Ok(false) => {
                    self.write_all();
                    return;
                }
                Err(error) => {
                    self.complain(&error);
                    due = due.min(Instant::now() + AGAIN);
                }
            }
            if Instant::now() >= due {
                due = Instant::now() + self.write_all();
            }
        }
    }

    /// Writes the whole table. Returns after how long that is to be done again.
    fn write_all(&mut self) -> Duration {
        match self.checkpoint() {
            Ok(()) => {
                if std::mem::take(&mut self.told) {
                    tracing::info!(pool = self.files.name, "sessions are kept again");
                }
                self.files.interval
            }
            Err(error) => {
                self.complain(&error);
                AGAIN
            }
        }
    }

    fn checkpoint(&mut self) -> io::Result<()> {
        let files = &mut self.files;
        if !files.directory.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&files.directory)?;
        }
        // From now on what changes is in the next file, whether or not the table that is written has it.
        let before = files.number;
        let mut next = create(&files.changes(before + 1))?;
        next.write_all(MAGIC)?;
        files.number = before + 1;
        self.changes = Some(next);
        self.follower.begin_anew();
        let written = files.whole().with_extension("sessions.next");
        let mut whole = io::BufWriter::with_capacity(PIECE, create(&written)?);
        whole.write_all(MAGIC)?;
        whole.write_all(&files.number.to_le_bytes())?;
        self.follower.dump(|_, bytes| whole.write_all(bytes))?;
        let whole = whole.into_inner().map_err(io::IntoInnerError::into_error)?;
        whole.sync_data()?;
        fs::rename(&written, files.whole())?;
        self.follower.begin_anew();
        for number in files.numbers() {
            if number <= before {
                // What stays is left out when it is read.
                let _ = fs::remove_file(files.changes(number));
            }
        }
        Ok(())
    }

    fn complain(&mut self, error: &io::Error) {
        self.changes = None;
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                pool = self.files.name,
                directory = %self.files.directory.display(),
                "sessions can't be kept, and are lost at a restart: {error}"
            );
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::table::TableMetrics;
    use crate::persistence::{Moment, SessionKey};

    fn local(size: usize) -> Arc<Local> {
        let hour = Duration::from_secs(3600);
        Arc::new(Local::new(size, hour, None, TableMetrics::default()))
    }

    fn key(n: u32) -> SessionKey {
        let mut bytes = [7; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        SessionKey::from_bytes(bytes)
    }

    fn bind(local: &Local, n: u32, server: &str) {
        local.bind(key(n), &Arc::from(server), Moment::now());
    }

    fn known(local: &Local, n: u32) -> Option<String> {
        let known = local.peek(key(n), Moment::now());
        known.map(|(binding, _)| binding.server.to_string())
    }

    fn keep(directory: &Path, local: &Arc<Local>) -> Keeping {
        let keeping = Keeping::default();
        keeping.begin(directory, &Arc::from("a/pool"), local, true);
        keeping
    }

    /// How long each file is.
    fn lengths(directory: &Path) -> Vec<u64> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let found = entries.filter_map(|entry| entry.metadata().ok());
        found.map(|found| found.len()).collect()
    }

    /// Waits until the files are as is wanted.
    fn wait(directory: &Path, wanted: impl Fn(&[u64]) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !wanted(&lengths(directory)) {
            assert!(Instant::now() < deadline, "{:?}", lengths(directory));
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_was_bound_is_known_again_after_an_end_and_after_a_crash() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = directory.path().join("sessions");
        let first = local(1000);
        let keeping = keep(&state, &first);
        for n in 0..100 {
            bind(&first, n, if n % 2 == 0 { "even" } else { "odd" });
        }
        first.forget(key(4));
        keeping.end();
        let second = local(1000);
        let keeping = keep(&state, &second);
        assert_eq!(second.len(), 99);
        assert_eq!(known(&second, 2).as_deref(), Some("even"));
        assert_eq!(known(&second, 3).as_deref(), Some("odd"));
        assert_eq!(known(&second, 4), None);
        // A crash: nobody is told that it ends.
        // The whole table, and a file of changes in which nothing is but what it begins with.
        let is_settled = |all: &[u64]| {
            all.len() == 2 && all.contains(&8) && all.iter().any(|length| *length > 99 * 29)
        };
        wait(&state, is_settled);
        bind(&second, 1000, "late");
        second.rebind(key(2), "even", &Arc::from("late"), Moment::now());
        let late = 8 + (1 + 4 + 2 + 4) + 2 * 29;
        wait(&state, |all| all.contains(&late));
        let copy = directory.path().join("crashed");
        fs::create_dir(&copy).unwrap();
        for entry in fs::read_dir(&state).unwrap().flatten() {
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        drop(keeping);
        let third = local(1000);
        let keeping = keep(&copy, &third);
        assert_eq!(third.len(), 100);
        assert_eq!(known(&third, 1000).as_deref(), Some("late"));
        assert_eq!(known(&third, 2).as_deref(), Some("late"));
        keeping.end();
        let names: Vec<_> = fs::read_dir(&copy)
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names.contains(&"a%2Fpool.sessions".to_owned()), "{names:?}");
    }

    #[test]
    fn a_smaller_table_keeps_those_that_were_used_last() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = local(100);
        let keeping = keep(directory.path(), &first);
        let now = Moment::now().0;
        for n in 0..100 {
            let used = now - 200 + n;
            first.restore(key(n), &Arc::from("a"), used - 1, used, Moment(now));
        }
        keeping.end();
        let second = local(10);
        let keeping = keep(directory.path(), &second);
        assert_eq!(second.len(), 10);
        assert!((90..100).all(|n| known(&second, n).is_some()));
        keeping.end();
    }

    #[test]
    fn broken_files_stop_nobody_and_what_is_whole_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = local(100);
        let keeping = keep(directory.path(), &first);
        bind(&first, 1, "a");
        bind(&first, 2, "a");
        keeping.end();
        let whole = directory.path().join("a%2Fpool.sessions");
        let bytes = fs::read(&whole).unwrap();
        fs::write(&whole, &bytes[..bytes.len() - 5]).unwrap();
        let second = local(100);
        keep(directory.path(), &second).end();
        assert_eq!(second.len(), 1);
        fs::write(&whole, "something else altogether").unwrap();
        let third = local(100);
        let keeping = keep(directory.path(), &third);
        bind(&third, 3, "b");
        keeping.end();
        let fourth = local(100);
        keep(directory.path(), &fourth).end();
        assert_eq!(known(&fourth, 3).as_deref(), Some("b"));
    }

    #[test]
    fn where_nothing_can_be_written_sessions_live_in_memory() {
        let directory = tempfile::tempdir().expect("a directory");
        let no_directory = directory.path().join("file");
        fs::write(&no_directory, "").unwrap();
        let table = local(100);
        let keeping = keep(&no_directory, &table);
        bind(&table, 1, "a");
        keeping.end();
        assert_eq!(known(&table, 1).as_deref(), Some("a"));
    }
}
