//! The file that the process's id is written to.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

/// It can't be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the pid file {}: {source}", path.display())]
pub struct PidFileError {
    path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// A pid file, removed when this is dropped. Where that isn't possible, because privileges were dropped and the directory
/// isn't ours, it is made empty: nobody then takes its number for a process.
#[derive(Default)]
pub struct PidFile(Option<Written>);

struct Written {
    path: PathBuf,
    file: File,
    /// It is another process's by now.
    is_left: bool,
}

impl PidFile {
    /// Writes the process's id, if there is a path to write it to.
    ///
    /// # Errors
    ///
    /// The file can't be written.
    pub fn write(path: Option<&Path>) -> Result<Self, PidFileError> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let failed = |source| PidFileError {
            path: path.to_owned(),
            source,
        };
        let file = File::create(path).map_err(failed)?;
        let written = Self::handed(path, file);
        written.write_again().map_err(failed)?;
        Ok(written)
    }

    /// One that another process wrote, and that is to be this one's once it is [written again](Self::write_again).
    pub fn handed(path: &Path, file: File) -> Self {
        Self(Some(Written {
            path: path.to_owned(),
            file,
            is_left: false,
        }))
    }

    /// Writes the process's id instead of what is there.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn write_again(&self) -> io::Result<()> {
        let Some(written) = &self.0 else {
            return Ok(());
        };
        let mut file = &written.file;
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    }

    /// Where it is.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_ref().map(|written| written.path.as_path())
    }

    /// Its path and the file, for another process.
    pub fn open(&self) -> Option<(&Path, &File)> {
        let written = self.0.as_ref()?;
        Some((&written.path, &written.file))
    }

    /// Another process writes it from now on, or (`is_left` false) this one again.
    pub fn leave(&mut self, is_left: bool) {
        if let Some(written) = &mut self.0 {
            written.is_left = is_left;
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let Some(Written {
            path,
            file,
            is_left: false,
        }) = &self.0
        else {
            return;
        };
        if let Err(error) = std::fs::remove_file(path) {
            tracing::info!(path = %path.display(), %error, "the pid file can't be removed and is empty now");
            if let Err(error) = file.set_len(0) {
                tracing::warn!(path = %path.display(), %error, "the pid file can't be emptied");
            }
        }
    }
}
