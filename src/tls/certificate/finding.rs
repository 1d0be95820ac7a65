//! What can be wrong with a certificate's files: the fault's name, where it is, why it matters, how it is mended.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::escaped;

/// A fault by name. docs/certificates.md has a section for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The file can't be read: it isn't there, is a directory, is too large, or may not be read.
    Unreadable,
    /// The file holds something else than what is wanted: a request, a public key, a web page, nothing at all.
    WrongKind,
    /// The name says one format, the content is another.
    Misnamed,
    /// A block or structure that can't be decoded: cut off, altered, with a marker that isn't one.
    Damaged,
    /// The lines end as Windows (or an old Mac) ends them.
    CrLf,
    /// A byte order mark stands before the first line.
    ByteOrderMark,
    /// A blank line between two certificates, or within one.
    BlankLine,
    /// A line longer than 64 columns.
    LongLine,
    /// Lines begin with spaces.
    Indented,
    /// `END` and `BEGIN` share a line.
    GluedLines,
    /// DER in base64 without `BEGIN` and `END`.
    NoMarkers,
    /// The server's certificate isn't the first one.
    LeafNotFirst,
    /// The other certificates aren't in the order in which each one certifies the one before.
    ChainOutOfOrder,
    /// No certificate leads from the server's to a root.
    IntermediateMissing,
    /// A certificate that isn't part of the chain.
    Unrelated,
    /// The same certificate again.
    Duplicate,
    /// The root itself, which clients have.
    RootIncluded,
    /// Signed by itself, by nobody else.
    SelfSigned,
    /// There is no key.
    KeyMissing,
    /// The key is another certificate's.
    KeyMismatch,
    /// Encrypted, and no password is given.
    KeyEncrypted,
    /// Encrypted, with another password than the one that is given.
    WrongPassword,
    /// Past its end.
    Expired,
    /// Before its beginning.
    NotYetValid,
    /// Ends within 30 days.
    ExpiresSoon,
    /// A name that clients will ask for is not in it.
    NameNotCovered,
    /// It has a common name only, which clients don't look at.
    NoAlternativeName,
    /// Signed with SHA-1 or MD5.
    WeakSignature,
    /// RSA below 2048 bits, or a curve below 256.
    ShortKey,
    /// Issued for something else than TLS servers (or clients).
    WrongPurpose,
    /// It doesn't say that it is for TLS servers.
    NoServerAuth,
    /// Its key may not sign, as servers have to.
    NoDigitalSignature,
    /// It may sign others, as an authority's.
    LeafIsAuthority,
    /// Its key is on a curve that is spelt out instead of named.
    ExplicitParameters,
    /// A serial number that is negative or too long.
    BadSerial,
    /// Valid for longer than public authorities may issue for.
    LongValidity,
    /// A DNS name that is none.
    BadName,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Sorted out when it is served; other programs may stumble.
    Mended,
    /// It works, and won't for long, or not for all.
    Warning,
    /// It can be served, but clients will refuse it.
    Error,
    /// It can't be served.
    Fatal,
}

/// One thing that is wrong.
///
/// Displayed as `FILE:LINE: what`; [`Self::explained`] has the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its name.
    pub fault: Fault,
    /// How bad it is.
    pub severity: Severity,
    /// The file as the user named it.
    pub file: PathBuf,
    /// 1-based, where what is meant begins; `None` in a file that has no lines, or when all of it is meant.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do about it.
    pub mend: String,
    /// The command that does it, for a POSIX shell, if a command can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl Finding {
    /// Says what is wrong with a file; [`Self::mend`] and [`Self::command`] say what to do.
    pub fn new(fault: Fault, severity: Severity, file: &Path, what: impl Into<String>) -> Self {
        Self {
            fault,
            severity,
            file: file.to_owned(),
            line: None,
            what: escaped(&what.into()).into_owned(),
            why: fault.why(),
            mend: String::new(),
            command: None,
        }
    }

    /// Where in the file.
    #[must_use]
    pub fn at(mut self, line: Option<usize>) -> Self {
        self.line = line;
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn mend(mut self, how: impl Into<String>) -> Self {
        self.mend = escaped(&how.into()).into_owned();
        self
    }

    /// The command that does it.
    #[must_use]
    pub fn command(mut self, command: impl Into<Option<String>>) -> Self {
        self.command = command.into();
        self
    }

    /// All of it, on several lines, without a newline at the end.
    pub fn explained(&self) -> String {
        let mut text = format!("{self}\n    why:  {}\n    mend: {}", self.why, self.mend);
        if let Some(command) = &self.command {
            text.push_str("\n          $ ");
            text.push_str(&escaped(command));
        }
        text
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", escaped(&self.file.to_string_lossy()))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl Finding {
    /// Worth knowing, but as it may be meant to be: nothing is wrong with the files.
    pub fn is_note(&self) -> bool {
        match self.fault {
            Fault::RootIncluded
            | Fault::SelfSigned
            | Fault::NoAlternativeName
            | Fault::NoServerAuth
            | Fault::LongValidity => true,
            // One that only itself vouches for.
            Fault::LeafIsAuthority => self.severity == Severity::Warning,
            _ => false,
        }
    }
}

/// Whether something among these keeps the certificate from being served.
pub fn is_fatal(findings: &[Finding]) -> bool {
    findings
        .iter()
        .any(|finding| finding.severity == Severity::Fatal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_file_line_what_and_goes_on_to_explain() {
        let mut finding = Finding {
            fault: Fault::CrLf,
            severity: Severity::Mended,
            file: "a.pem".into(),
            line: Some(3),
            what: "is wrong".into(),
            why: "it matters",
            mend: "do this:".into(),
            command: Some("true".into()),
        };
        assert_eq!(
            finding.explained(),
            "a.pem:3: is wrong\n    why:  it matters\n    mend: do this:\n          $ true"
        );
        assert!(!is_fatal(std::slice::from_ref(&finding)));
        finding.severity = Severity::Fatal;
        finding.line = None;
        finding.command = None;
        assert_eq!(
            finding.explained(),
            "a.pem: is wrong\n    why:  it matters\n    mend: do this:"
        );
        assert!(is_fatal(&[finding]));
    }
}
