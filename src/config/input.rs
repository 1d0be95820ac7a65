//! Files, a directory of them or standard input -> text.
//!
//! Whatever YAML forbids (YAML 1.2.2, section 5.1) is found here with its place: the parser takes a NUL for the end
//! of the file, so that what stands after it would be lost without a word.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The path that stands for standard input on the command line.
pub const STDIN: &str = "-";
/// What messages call standard input.
pub const STDIN_NAME: &str = "<stdin>";

/// Largest file that is read, in bytes.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;
/// Most faults of one file that are told.
const MOST_FAULTS: usize = 100;

/// What is wrong with a text, and where: line and column, 1-based, in characters; `None`: with all of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub position: Option<(usize, usize)>,
    pub message: String,
}

impl Fault {
    fn whole(message: impl Into<String>) -> Vec<Self> {
        vec![Self {
            position: None,
            message: message.into(),
        }]
    }
}

/// Fails for a pipe. Files that the configuration names are read again and again, and a pipe would keep the reader waiting,
/// perhaps for ever.
///
/// # Errors
///
/// It is one.
pub fn refuse_pipe(path: &Path) -> io::Result<()> {
    let is_pipe = path.metadata().is_ok_and(|file| file.file_type().is_fifo());
    if is_pipe {
        let trouble = "it is a pipe; a file is wanted";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, trouble));
    }
    Ok(())
}

/// Reads a file, or standard input, that is not larger than 16 MiB and is text that YAML may be written in.
///
/// # Errors
/// Why not, in words; at least one fault.
pub fn read(path: &Path) -> Result<String, Vec<Fault>> {
    let bytes = if path == Path::new(STDIN) {
        // It ends with the first reader, and a reload would find an empty configuration.
        static READ: AtomicBool = AtomicBool::new(false);
        if READ.swap(true, Ordering::Relaxed) {
            return Err(Fault::whole(
                "was read at the start and can't be read again; a configuration in a file can be reloaded",
            ));
        }
        bounded(io::stdin().lock())
    } else {
        let file =
            File::open(path).map_err(|error| Fault::whole(format!("can't be opened: {error}")))?;
        bounded(file)
    };
    text(bytes.map_err(Fault::whole)?)
}

/// The files of a directory that make up a configuration: `*.yaml` and `*.yml` without a leading dot, sorted by name.
///
/// # Errors
/// Why there are none, in words.
pub fn directory(path: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error: io::Error| format!("can't be read: {error}");
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_yaml = [".yaml", ".yml"].iter().any(|end| name.ends_with(end));
        if is_yaml && !name.starts_with('.') && !entry.path().is_dir() {
            files.push(entry.path());
        }
    }
    files.sort();
    if files.is_empty() {
        return Err("is a directory without a file whose name ends in .yaml or .yml".into());
    }
    Ok(files)
}

fn bounded(source: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    source
        .take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("can't be read: {error}"))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err("is larger than 16 MiB, which no configuration is".into());
    }
    Ok(bytes)
}

/// The text in `bytes`, without a byte order mark at its start.
///
/// # Errors
/// Where it isn't UTF-8, or the characters that YAML forbids.
pub fn text(bytes: Vec<u8>) -> Result<String, Vec<Fault>> {
    // YAML's own way to tell (section 5.2): its first character is ASCII, so that a zero is half of it.
    let is_wide = match bytes.as_slice() {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [0, second, ..] => *second != 0,
        [_, 0, third, 0, ..] => *third != 0,
        _ => false,
    };
    if is_wide {
        return Err(Fault::whole("is UTF-16 or UTF-32; save it as UTF-8"));
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..valid).unwrap_or_default();
            let byte = error.as_bytes().get(valid).copied().unwrap_or_default();
            let mut place = Position::default();
            String::from_utf8_lossy(before)
                .chars()
                .for_each(|c| place.pass(c));
            return Err(vec![Fault {
                position: Some((place.line, place.column)),
                message: format!(
                    "is not UTF-8 from here on (byte 0x{byte:02x}); save the file as UTF-8"
                ),
            }]);
        }
    };
    let text = match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => rest.to_owned(),
        None => text,
    };
    let faults = forbidden(&text);
    if faults.is_empty() {
        Ok(text)
    } else {
        Err(faults)
    }
}

const BYTE_ORDER_MARK: char = '\u{feff}';

/// The forbidden characters of a text; equal ones side by side are one fault.
fn forbidden(text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut place = Position::default();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let start = (place.line, place.column);
        place.pass(c);
        if is_printable(c) {
            continue;
        }
        let mut count = 1_usize;
        while chars.next_if_eq(&c).is_some() {
            place.pass(c);
            count += 1;
        }
        if faults.len() == MOST_FAULTS {
            break;
        }
        let times = if count == 1 {
            String::new()
        } else {
            format!(", {count} times")
        };
        let code = u32::from(c);
        let message = match c {
            '\0' => format!(
                "holds a NUL character (U+0000){times}, which YAML forbids; was the file cut off by a crash?"
            ),
            BYTE_ORDER_MARK => format!(
                "holds a byte order mark (U+FEFF){times}, which may stand at the start of a file alone; were two files joined?"
            ),
            _ => format!("holds the character U+{code:04X}{times}, which YAML forbids"),
        };
        faults.push(Fault {
            position: Some(start),
            message,
        });
    }
    faults
}

/// `c-printable` of YAML 1.2.2, section 5.1, without the byte order mark, which has no business within a text.
fn is_printable(c: char) -> bool {
    matches!(c,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..
    ) && c != BYTE_ORDER_MARK
}

/// Where the next character stands.
struct Position {
    line: usize,
    column: usize,
    after_return: bool,
}

impl Default for Position {
    fn default() -> Self {
        Self {
            line: 1,
            column: 1,
            after_return: false,
        }
    }
}

impl Position {
    fn pass(&mut self, c: char) {
        match c {
            // `\n` after `\r` belongs to the same line break.
            '\n' if self.after_return => {}
            '\n' | '\r' => {
                self.line += 1;
                self.column = 1;
            }
            _ => self.column += 1,
        }
        self.after_return = c == '\r';
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn faults(bytes: &[u8]) -> Vec<String> {
        let faults = text(bytes.to_vec()).expect_err("refused");
        faults
            .into_iter()
            .map(|fault| match fault.position {
                Some((line, column)) => format!("{line}:{column} {}", fault.message),
                None => fault.message,
            })
            .collect()
    }

    #[test]
    fn forbidden_characters_have_a_place() {
        for (bytes, wanted) in [
            (&b"a: 1\nb: \0"[..], "2:4 holds a NUL character (U+0000),"),
            (
                b"a: 1\r\n\0\0\0",
                "2:1 holds a NUL character (U+0000), 3 times",
            ),
            (b"a\rb\x07", "2:2 holds the character U+0007,"),
            (b"a: \x7f", "1:4 holds the character U+007F"),
            ("é: \u{80}".as_bytes(), "1:4 holds the character U+0080"),
            ("a\n\u{feff}b".as_bytes(), "2:1 holds a byte order mark"),
            ("a\u{ffff}".as_bytes(), "1:2 holds the character U+FFFF"),
            (
                b"a: 1\n\xc3\xa9\xff",
                "2:2 is not UTF-8 from here on (byte 0xff)",
            ),
            (b"\xff\xfea\0", "is UTF-16 or UTF-32"),
            (b"a\0:\0", "is UTF-16 or UTF-32"),
            (b"\0a\0:", "is UTF-16 or UTF-32"),
        ] {
            let told = faults(bytes);
            assert!(told.len() == 1 && told[0].starts_with(wanted), "{told:?}");
        }
        assert_eq!(faults(b"\x01\x02\n\x01").len(), 3);
        assert_eq!(
            faults("\u{1}\u{2}".repeat(1000).as_bytes()).len(),
            MOST_FAULTS
        );
    }

    #[test]
    fn what_yaml_allows_is_left_alone() {
        let fine = "\u{feff}a: é\t\u{85}\u{a0}\u{d7ff}\u{e000}\u{fffd}\u{10000}\r\n";
        assert_eq!(
            text(fine.into()).as_deref(),
            Ok(fine.trim_start_matches('\u{feff}'))
        );
        assert_eq!(text(Vec::new()).as_deref(), Ok(""));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(text) = text(bytes) {
                prop_assert!(text.chars().all(is_printable));
            }
        }
    }
}
