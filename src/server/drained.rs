//! Whether an operator has drained the instance, kept in `server.state_dir`: a crash, after which the instance is started by
//! whoever watches it, doesn't put it back into service. A stop does: who starts it again wants it to serve.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::instance::Instance;
use crate::admin::ApiError;

/// The file in the state directory that is there as long as the instance is drained.
const FILE: &str = "drained";
/// What it says to who finds it.
const WORDS: &[u8] =
    b"An operator has drained this instance: DELETE /api/v1/drain takes that back.\n";

impl Instance {
    /// Does what an operator asks for, unless the process is about to end or to hand over.
    pub(super) fn set_drained(
        &self,
        is_drained: bool,
        change: impl FnOnce(),
    ) -> Result<(), ApiError> {
        let _one_at_a_time = self.drained.lock();
        if let Some(why) = self.reloads.refusal() {
            return Err(ApiError::conflict(why));
        }
        change();
        self.keep_drained(is_drained);
        Ok(())
    }

    /// The process ends as it was told to, and the next one serves. To be called once operators' changes are refused.
    pub(super) fn end_drained(&self) {
        let _one_at_a_time = self.drained.lock();
        self.keep_drained(false);
    }

    /// Leaves word for the next process, should this one crash, of whether the instance is drained.
    pub(super) fn keep_drained(&self, is_drained: bool) {
        let Some(directory) = self.shelf.directory() else {
            return;
        };
        if let Err(error) = keep(directory, is_drained) {
            tracing::error!(
                is_drained,
                "whether the instance is drained can't be kept in server.state_dir, for after a crash: {error}"
            );
        }
    }

    /// Goes on drained where the process before this one was and has crashed.
    pub(super) fn stay_drained(&self) {
        let kept = self.shelf.directory();
        if kept.is_some_and(|directory| directory.join(FILE).exists()) {
            tracing::warn!(
                "the instance is not ready: an operator had drained it before it crashed; DELETE /api/v1/drain takes that back"
            );
            self.drain.send_away(Instant::now(), Duration::ZERO);
        }
    }
}

fn keep(directory: &Path, is_drained: bool) -> io::Result<()> {
    let path = directory.join(FILE);
    if path.exists() == is_drained {
        return Ok(());
    }
    if is_drained {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(WORDS)?;
        file.sync_all()?;
    } else {
        fs::remove_file(&path)?;
    }
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_and_taken_back_and_both_may_be_said_twice() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("state");
        keep(&directory, false).expect("nothing to take back");
        for is_drained in [true, true, false, false] {
            keep(&directory, is_drained).expect("kept");
            assert_eq!(directory.join(FILE).exists(), is_drained);
        }
    }
}
