//! Unix sockets that are listened on, and their files.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Listens at a path, whose file gets that mode. A file that an earlier process left behind is replaced, one that someone
/// listens on is not, and neither is any other.
///
/// # Errors
///
/// Those of the system; `AddrInUse` if somebody listens there.
pub fn listen(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let listener = bind(path)?;
    listener.set_nonblocking(true)?;
    let file = SocketFile::at(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok((listener, file))
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
}

/// A socket that nobody listens on; never another kind of file.
fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    is_socket
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// A Unix socket's file, removed on drop unless another process has put its own there, or goes on with this one.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    is_left: AtomicBool,
}

impl SocketFile {
    /// The file of a socket that listens at that path.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path)?,
            is_left: AtomicBool::new(false),
        })
    }

    /// Somebody else sees to it from now on (or, with `false`, this again).
    pub fn leave(&self, is_left: bool) {
        self.is_left.store(is_left, Ordering::Release);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.is_left.load(Ordering::Acquire)
            && identity(&self.path).is_ok_and(|now| now == self.identity)
        {
            // Nothing depends on it: the next start replaces what is left.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_left_over_socket_is_replaced_a_live_one_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.sock");
        // What a killed process leaves behind: the file without a listener.
        drop(UnixListener::bind(&path).expect("bound"));
        assert!(path.exists());
        let live = listen(&path, 0o600).expect("replaced");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = listen(&path, 0o600).expect_err("in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(path.exists());
        live.1.leave(true);
        live.1.leave(false);
        drop(live);
        assert!(!path.exists());
    }

    #[test]
    fn other_files_and_other_processes_sockets_are_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.sock");
        fs::write(&path, "precious").expect("written");
        assert!(listen(&path, 0o600).is_err());
        assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
        fs::remove_file(&path).expect("removed");
        let ours = listen(&path, 0o600).expect("bound");
        let moved = dir.path().join("moved.sock");
        fs::rename(&path, &moved).expect("renamed");
        let _theirs = UnixListener::bind(&path).expect("bound");
        drop(ours);
        assert!(path.exists(), "the successor's socket stays");
        let left = SocketFile::at(&path).expect("a file");
        left.leave(true);
        drop(left);
        assert!(path.exists());
    }
}
