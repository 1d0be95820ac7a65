//! The tokens that may change something: from a file, compared without telling by the time it takes how much of one was
//! right.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::config::refuse_pipe;

/// Most that is read of a file.
const LARGEST: u64 = 64 * 1024;

/// The tokens of a file, as digests, so that all comparisons are of the same length and no dump of memory has them.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens(Vec<[u8; 32]>);

/// A token file that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It can't be read.
    #[error("the token file {path} can't be read: {source}", path = path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no token in it.
    #[error("the token file {path} holds no token; make one: openssl rand -hex 32", path = .0.display())]
    Empty(PathBuf),
    /// A line that can't be sent as a token (RFC 6750 section 2.1).
    #[error("the token file {path}: line {line} holds a character that no token can have", path = path.display())]
    NotAToken {
        /// Its path.
        path: PathBuf,
        /// The line's number, from 1.
        line: usize,
    },
}

impl Tokens {
    /// Reads a file: one token a line, empty lines and those that begin with `#` apart.
    ///
    /// # Errors
    ///
    /// It can't be read, or what it holds can't be used.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::Read {
            path: path.to_owned(),
            source,
        };
        let mut text = Vec::new();
        refuse_pipe(path).map_err(failed)?;
        let file = File::open(path).map_err(failed)?;
        file.take(LARGEST).read_to_end(&mut text).map_err(failed)?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &[u8]) -> Result<Self, TokenError> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut tokens = Vec::new();
        for (line, token) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let token = token.trim_ascii();
            if token.is_empty() || token.starts_with(b"#") {
                continue;
            }
            if !token.iter().all(u8::is_ascii_graphic) {
                return Err(TokenError::NotAToken {
                    path: path.to_owned(),
                    line,
                });
            }
            tokens.push(Sha256::digest(token).into());
        }
        if tokens.is_empty() {
            return Err(TokenError::Empty(path.to_owned()));
        }
        Ok(Self(tokens))
    }

    /// Whether this is one of them. Takes the same time whatever is presented, but for its length.
    pub fn accept(&self, presented: &[u8]) -> bool {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        self.0.iter().fold(false, |found, token| {
            openssl::memcmp::eq(token, &presented) | found
        })
    }
}

impl std::fmt::Debug for Tokens {
    /// Says how many there are and nothing else.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Tokens").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Tokens, TokenError> {
        Tokens::parse(Path::new("t"), text.as_bytes())
    }

    #[test]
    fn one_token_a_line() {
        let tokens = parse("\u{feff}# old\n one \r\n\ntwo\n").expect("tokens");
        assert!(tokens.accept(b"one") && tokens.accept(b"two"));
        for other in ["", "on", "one ", "One", "# old", "onetwo"] {
            assert!(!tokens.accept(other.as_bytes()), "{other:?}");
        }
        assert_eq!(format!("{tokens:?}"), "Tokens(2)");
    }

    #[test]
    fn a_file_without_a_token_is_an_error() {
        assert!(matches!(parse("\n# x\n"), Err(TokenError::Empty(_))));
        assert!(matches!(
            parse("good\nnot good\n"),
            Err(TokenError::NotAToken { line: 2, .. })
        ));
    }
}
