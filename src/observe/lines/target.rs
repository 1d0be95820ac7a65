//! Where lines go in the end: a file, a named pipe, or one of the standard streams.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What the thread writes to.
pub(in crate::observe) trait Sink: Send + 'static {
    /// As [`std::io::Write::write`].
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Opens the same name again. After an error the sink is as it was.
    fn reopen(&mut self) -> io::Result<()>;
    /// Takes the last `bytes` back that were written. Whether they are gone: from a pipe nothing can be taken.
    fn take_back(&mut self, bytes: usize) -> bool;
}

/// A file, a named pipe, or one of the standard streams.
pub(in crate::observe) struct Target {
    /// `None`: a named pipe that nobody has opened for reading yet.
    file: Option<File>,
    /// `None`: nothing to open again.
    path: Option<PathBuf>,
}

impl Target {
    pub(in crate::observe) fn stdout() -> io::Result<Self> {
        // A descriptor of our own: std's handle would buffer once more, and its lock would be shared.
        Self::stream(io::stdout())
    }

    pub(in crate::observe) fn stderr() -> io::Result<Self> {
        Self::stream(io::stderr())
    }

    fn stream(stream: impl std::os::fd::AsFd) -> io::Result<Self> {
        let file = File::from(stream.as_fd().try_clone_to_owned()?);
        Ok(Self {
            file: Some(file),
            path: None,
        })
    }

    /// Opens a file, which is created with mode 0640 or appended to. A named pipe without a reader is opened once it
    /// has one.
    pub(in crate::observe) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: open(path)?,
            path: Some(path.to_owned()),
        })
    }
}

impl Sink for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none()
            && let Some(path) = &self.path
        {
            self.file = open(path)?;
        }
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "nobody reads the named pipe",
            )),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.file = open(path)?;
        }
        Ok(())
    }

    fn take_back(&mut self, bytes: usize) -> bool {
        let Some(file) = &mut self.file else {
            return true;
        };
        let (Ok(metadata), Ok(position)) = (file.metadata(), file.stream_position()) else {
            return false;
        };
        // A pipe keeps what it has; and after what somebody else has appended nothing of ours is at the end.
        if !metadata.is_file() || metadata.len() != position {
            return false;
        }
        file.set_len(position.saturating_sub(bytes as u64)).is_ok()
    }
}

/// `None`: a named pipe that nobody reads. Opening and writing never wait for a reader.
fn open(path: &Path) -> io::Result<Option<File>> {
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path);
    match opened {
        // What open(2) says of a named pipe without a reader.
        Err(error) if is_unread(&error) && is_pipe(path) => Ok(None),
        opened => opened.map(Some),
    }
}

fn is_unread(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::errno::Errno::ENXIO as i32)
}

fn is_pipe(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_named_pipe_is_not_waited_for_and_written_to_once_somebody_reads() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        let mut target = Target::file(&path).expect("opened, or to be opened");
        let error = target.write(b"one\n").expect_err("nobody reads");
        assert_eq!(error.to_string(), "nobody reads the named pipe");
        let mut reader = OpenOptions::new()
            .read(true)
            .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
            .open(&path)
            .expect("a reader");
        assert_eq!(target.write(b"two\n").expect("written"), 4);
        let mut read = [0; 16];
        assert_eq!(reader.read(&mut read).expect("read"), 4);
        // A pipe that is full is no reason to wait, either.
        let full = loop {
            match target.write(&[b'x'; 4096]) {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        assert!(!target.take_back(1));
    }

    #[test]
    fn the_end_of_a_file_is_taken_back_but_not_of_a_stream() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let mut target = Target::file(&path).expect("opened");
        assert_eq!(target.write(b"one\ntw").expect("written"), 6);
        assert!(target.take_back(2));
        assert_eq!(target.write(b"three\n").expect("written"), 6);
        assert_eq!(std::fs::read(&path).expect("a file"), b"one\nthree\n");
        let mut stderr = Target::stderr().expect("a stream");
        assert!(!stderr.take_back(1));
    }
}
