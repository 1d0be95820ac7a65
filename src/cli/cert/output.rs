//! Writing a file so that it is there whole or not at all, and never readable by more people than it should be.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// Of a new file without secrets, and with.
const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;

/// What may remain of the mode of a file that is replaced by a private one: its group may have been let in.
const PRIVATE_AT_MOST: u32 = 0o640;

/// Writes the file, or replaces it. A symbolic link stays, what it leads to is replaced; owner, group and mode stay, as
/// far as they may.
///
/// # Errors
///
/// Whatever the file system says; the old file is then as it was.
pub fn replace(path: &Path, contents: &[u8], private: bool) -> io::Result<()> {
    let old = match fs::metadata(path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        return Err(io::Error::other(
            "this is not a file (-o - writes to stdout)",
        ));
    }
    let target = match old {
        Some(_) => fs::canonicalize(path)?,
        None => path.to_owned(),
    };
    let (temporary, mut file) = beside(&target)?;
    let written = (|| {
        file.write_all(contents)?;
        if let Some(old) = &old {
            // Only root may give files away; whoever may not keeps them.
            drop(fchown(&file, Some(old.uid()), Some(old.gid())));
        }
        file.set_permissions(Permissions::from_mode(mode(old.as_ref(), private)))?;
        file.sync_all()?;
        fs::rename(&temporary, &target)
    })();
    if written.is_err() {
        // What failed is told; that a leftover stays is nothing beside it.
        drop(fs::remove_file(&temporary));
    }
    written
}

/// Whether both names lead to one file, there already or not.
pub fn same(one: &Path, other: &Path) -> bool {
    one == other || resolved(one).is_some_and(|one| resolved(other) == Some(one))
}

fn resolved(path: &Path) -> Option<PathBuf> {
    if let Ok(whole) = fs::canonicalize(path) {
        return Some(whole);
    }
    let directory = match path.parent()? {
        here if here.as_os_str().is_empty() => Path::new("."),
        directory => directory,
    };
    Some(fs::canonicalize(directory).ok()?.join(path.file_name()?))
}

fn mode(old: Option<&fs::Metadata>, private: bool) -> u32 {
    match (old, private) {
        (None, true) => PRIVATE,
        (None, false) => PUBLIC,
        (Some(old), true) => old.mode() & PRIVATE_AT_MOST | PRIVATE,
        (Some(old), false) => old.mode() & 0o777,
    }
}

/// A new file for its owner only, in the same directory, so that it can be renamed.
fn beside(target: &Path) -> io::Result<(PathBuf, File)> {
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::other("a file name is wanted"))?;
    for attempt in 0..100 {
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.{attempt}", std::process::id()));
        let path = target.with_file_name(hidden);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(PRIVATE)
            .open(&path);
        match file {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(
        "too many leftovers of earlier attempts beside it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_private_file_is_for_its_owner_and_keeps_the_group_that_was_let_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.pem");
        replace(&path, b"one", true).unwrap();
        assert_eq!(mode_of(&path), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
        replace(&path, b"two", true).unwrap();
        assert_eq!(mode_of(&path), 0o640);
        fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        replace(&path, b"three", false).unwrap();
        assert_eq!(
            (mode_of(&path), fs::read(&path).unwrap()),
            (0o604, b"three".to_vec())
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_a_link_and_a_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        replace(&link, b"new", false).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert!(replace(dir.path(), b"x", false).is_err());
        assert!(replace(Path::new("/nonexistent/x"), b"x", false).is_err());
    }
}
