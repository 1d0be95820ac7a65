//! Reading files with an eye on what operators name by mistake: directories, devices that never end, other people's
//! files.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Bytes of a file with a certificate, its chain or its key. Real ones have a few thousand.
pub const CERTIFICATE_LIMIT: u64 = 1024 * 1024;

/// Bytes of a bundle of authorities, or of revocation lists.
pub const BUNDLE_LIMIT: u64 = 64 * 1024 * 1024;

/// Bytes of a file with a password.
const PASSWORD_LIMIT: u64 = 64 * 1024;

/// A password. Not shown by `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// `None` if it has a NUL, which OpenSSL would take for its end.
    pub fn new(password: String) -> Option<Self> {
        (!password.contains('\0')).then_some(Self(password))
    }

    /// The first line of a file, without its line ending. A pipe will do, too.
    ///
    /// # Errors
    ///
    /// Why it can't be read, in words.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = read(path, PASSWORD_LIMIT)?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let line = bytes
            .split(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        std::str::from_utf8(line)
            .ok()
            .and_then(|line| Self::new(line.to_owned()))
            .ok_or_else(|| "the password in its first line is not UTF-8 text".to_owned())
    }

    /// As OpenSSL takes it.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// As OpenSSL takes it for PKCS#12; without NUL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// The whole file, of at most `limit` bytes.
///
/// # Errors
///
/// Why not, in words: `there is no such file`.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| words(&error))?;
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| words(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) {
        Ok(bytes)
    } else {
        Err(format!(
            "larger than {} KiB: this can't be it",
            limit / 1024
        ))
    }
}

/// An error of the file system in words.
pub fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".to_owned(),
        io::ErrorKind::IsADirectory => "this is a directory, a file is wanted".to_owned(),
        io::ErrorKind::NotADirectory => {
            "there is no such file (a part of its path is a file, not a directory)".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &[u8]) -> Result<Password, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Password::read(file.path())
    }

    #[test]
    fn a_password_is_the_first_line_without_its_ending() {
        let is = |text: &[u8]| password(text).unwrap().0;
        assert_eq!(is(b"secret"), "secret");
        assert_eq!(is(b" se cret \nmore"), " se cret ");
        assert_eq!(is(b"secret\r\n"), "secret");
        assert_eq!(is(b"\xef\xbb\xbfsecret"), "secret");
        assert_eq!(is(b""), "");
        assert!(password(b"se\0cret").is_err());
        assert!(password(b"\xff").is_err());
        assert_eq!(format!("{:?}", password(b"secret").unwrap()), "Password(…)");
    }

    #[test]
    fn what_can_not_be_read_is_said_in_words() {
        let error = |path: &str| read(Path::new(path), 10).unwrap_err();
        assert_eq!(error("/nonexistent/x"), "there is no such file");
        assert_eq!(error("/"), "this is a directory, a file is wanted");
        assert!(error("/dev/zero").starts_with("larger than"));
    }
}
