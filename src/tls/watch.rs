//! Whether files have changed, by looking at them: survives renames, Kubernetes' swapped symlinks, and file systems
//! that tell nobody.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// Files as they were when they were last looked at.
#[derive(Debug, Default)]
pub struct Watched {
    files: Vec<(PathBuf, Seen)>,
    /// Something has changed since the files were last used, and may be changing still.
    unsettled: bool,
}

/// Enough of a file to tell it from another. Symlinks are followed; `None` = there is none that could be looked at.
type Seen = Option<(u64, u64, u64, i64, i64, i64, i64)>;

impl Watched {
    /// These files, as they are now.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            files: paths
                .into_iter()
                .map(|path| {
                    let seen = look(&path);
                    (path, seen)
                })
                .collect(),
            unsettled: false,
        }
    }

    /// Whether the files have changed and are at rest again: a certificate and its key are rarely written at the same
    /// moment. To be called again and again, at intervals.
    pub fn has_changed(&mut self) -> bool {
        let mut moved = false;
        for (path, seen) in &mut self.files {
            let now = look(path);
            moved |= now != *seen;
            *seen = now;
        }
        if moved {
            self.unsettled = true;
            return false;
        }
        std::mem::take(&mut self.unsettled)
    }
}

fn look(path: &PathBuf) -> Seen {
    let file = fs::metadata(path).ok()?;
    Some((
        file.dev(),
        file.ino(),
        file.size(),
        file.mtime(),
        file.mtime_nsec(),
        file.ctime(),
        file.ctime_nsec(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_and_when_it_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("site.pem");
        fs::write(&path, "a").unwrap();
        let mut watched = Watched::new([path.clone()]);
        assert!(!watched.has_changed());
        fs::write(&path, "ab").unwrap();
        assert!(!watched.has_changed(), "still being written, maybe");
        assert!(watched.has_changed());
        assert!(!watched.has_changed());
    }

    #[test]
    fn renames_and_swapped_links_are_seen() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("1")).unwrap();
        fs::create_dir(at("2")).unwrap();
        fs::write(at("1/site.pem"), "a").unwrap();
        fs::write(at("2/site.pem"), "b").unwrap();
        std::os::unix::fs::symlink("1", at("data")).unwrap();
        let mut watched = Watched::new([at("data/site.pem")]);
        std::os::unix::fs::symlink("2", at("new")).unwrap();
        fs::rename(at("new"), at("data")).unwrap();
        assert!(!watched.has_changed());
        assert!(watched.has_changed());
        fs::remove_file(at("2/site.pem")).unwrap();
        assert!(!watched.has_changed());
        assert!(watched.has_changed(), "that it is gone is a change, too");
    }
}
