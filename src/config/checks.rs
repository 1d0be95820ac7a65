//! What notes what is wrong with a configuration; shared by all of its sections.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::problem::Problems;
use super::text::check_name;
use super::tree::{At, Entry, Files, Value};
use super::units::Span;

/// Collects problems; shared by all sections.
pub(super) struct Checks<'a> {
    files: &'a Files,
    complete: bool,
    found: &'a mut Problems,
    warnings: Problems,
    /// Files whose content is part of the configuration.
    pub read: Vec<PathBuf>,
}

impl<'a> Checks<'a> {
    /// Problems are noted in `found`.
    pub fn new(files: &'a Files, complete: bool, found: &'a mut Problems) -> Self {
        Self {
            files,
            complete,
            found,
            warnings: Problems::default(),
            read: Vec::new(),
        }
    }

    /// Whether all that is written could be read.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The files of the configuration.
    pub fn files(&self) -> Vec<PathBuf> {
        self.files.names().map(PathBuf::from).collect()
    }

    /// Whether nothing has been found so far.
    pub fn is_sound(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether so much has been found that no more is told.
    pub fn is_full(&self) -> bool {
        self.found.is_full()
    }

    /// What is allowed, and hardly meant.
    pub fn into_warnings(self) -> Problems {
        self.warnings
    }

    /// Notes that what is written at `at` is allowed, and hardly meant.
    pub fn warn(&mut self, at: &At<'_>, message: impl Into<String>) {
        self.warnings
            .push(self.files.problem(at.place, at.path(), message));
    }

    /// Notes that something is wrong at `at`.
    pub fn note(&mut self, at: &At<'_>, message: impl Into<String>) {
        self.found
            .push(self.files.problem(at.place, at.path(), message));
    }

    /// Notes it with what was probably meant.
    pub fn note_with(&mut self, at: &At<'_>, message: String, suggestion: Option<&str>) {
        let mut problem = self.files.problem(at.place, at.path(), message);
        problem.suggestion = suggestion.map(str::to_owned);
        self.found.push(problem);
    }

    /// A duration that can't be 0.
    pub fn positive(&mut self, at: &At<'_>, span: Span, instead: &str) -> Duration {
        if span.0.is_zero() {
            self.note(at, format!("can't be 0{instead}"));
        }
        span.0
    }

    /// A path, relative to the file that it is written in.
    pub fn path(&self, at: &At<'_>, path: &str) -> PathBuf {
        let file = Path::new(self.files.name(at.place.file));
        file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// A name that something is given.
    pub fn name(&mut self, name: &str, entry: &Entry, at: &At<'_>) {
        if let Err(message) = check_name(name) {
            let problem = self.files.problem(entry.place, at.path(), message);
            self.found.push(problem);
        }
    }

    /// A place for a message.
    pub fn show(&self, at: &At<'_>) -> String {
        self.files.show(at.place)
    }
}

/// The entries of the mapping at a spot.
pub(super) fn entries<'a>(at: &At<'a>) -> &'a [Entry] {
    match at.node.map(|node| &node.value) {
        Some(Value::Mapping(entries)) => entries,
        _ => &[],
    }
}
