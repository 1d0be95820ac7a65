//! What is wrong with a configuration, where, and what to write instead.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

/// Problems listed before the rest are only counted: a file of nonsense must not flood a terminal.
const LISTED: usize = 1000;

/// Characters of a key or value that are quoted in a message.
const QUOTED: usize = 80;

/// Names looked at for a suggestion.
const CANDIDATES: usize = 1000;

/// One thing that is wrong.
///
/// Displayed as `FILE:LINE:COL: key.path: what is wrong`. Without a position (a file that can't be
/// read) it is `FILE: what is wrong`; without a key (a syntax error) the path is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file as the user named it, or as an `include` glob found it.
    pub file: String,
    /// 1-based; `None` when the file as a whole is meant.
    pub line: Option<usize>,
    /// 1-based, in characters; `None` when the file as a whole is meant.
    pub column: Option<usize>,
    /// Such as `pools.web.servers[0].address`; empty when no key is meant.
    pub path: String,
    /// What is wrong, and where it helps what to do, in words.
    pub message: String,
    /// The key, name or value that was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl Problem {
    /// As `FILE:LINE:COL: warning: key.path: what is wrong`, which editors find their way by as they do in a
    /// compiler's.
    pub fn as_warning(&self) -> impl fmt::Display {
        Warning(self)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, kind: &str) -> fmt::Result {
        write!(f, "{}", escaped(&self.file))?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        f.write_str(kind)?;
        if !self.path.is_empty() {
            write!(f, ": {}", escaped(&self.path))?;
        }
        write!(f, ": {}", escaped(&self.message))?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean {}?", escaped(suggestion))?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "")
    }
}

struct Warning<'a>(&'a Problem);

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, ": warning")
    }
}

/// Every problem of one configuration, in the order of files and positions; never empty as an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    list: Vec<Problem>,
    unlisted: usize,
}

impl Problems {
    /// Notes one more problem.
    pub fn push(&mut self, problem: Problem) {
        if self.list.len() < LISTED {
            self.list.push(problem);
        } else {
            self.unlisted = self.unlisted.saturating_add(1);
        }
    }

    /// Whether further problems are only counted, so that no words need be found for them.
    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= LISTED
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The problems, by file and position.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// How many problems there are, unlisted ones included.
    pub fn count(&self) -> usize {
        self.list.len().saturating_add(self.unlisted)
    }

    /// Sorts by position; `rank` gives the place of a file in the order of reading.
    pub(super) fn sort_by_position(&mut self, rank: impl Fn(&str) -> usize) {
        self.list.sort_by(|a, b| {
            let key = |problem: &Problem| (rank(&problem.file), problem.line, problem.column);
            key(a).cmp(&key(b)).then_with(|| a.path.cmp(&b.path))
        });
        self.list.dedup();
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        let mut collected = Self::default();
        for problem in problems {
            collected.push(problem);
        }
        collected
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for problem in &self.list {
            write!(f, "{separator}{problem}")?;
            separator = "\n";
        }
        if self.unlisted > 0 {
            write!(f, "{separator}and {} more", self.unlisted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A key or value as it may appear in a message.
pub(super) fn shown(text: &str) -> String {
    on_one_line(text, QUOTED)
}

/// `text` as it may appear in a message: on one line, at most so many characters, without control characters.
pub fn on_one_line(text: &str, most: usize) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == most {
            out.push('…');
            break;
        }
        push_escaped(c, &mut out);
    }
    out
}

/// `text` as it may be written to a terminal or a log, whoever wrote it: characters that move the cursor, change colours
/// or the direction of writing, or aren't seen, are written as escapes. Lines stay lines.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c != '\n' && is_hidden(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push(c),
            c => push_escaped(c, &mut out),
        }
    }
    Cow::Owned(out)
}

fn push_escaped(c: char, out: &mut String) {
    if is_hidden(c) {
        out.extend(c.escape_default());
    } else {
        out.push(c);
    }
}

/// Control characters, and those of Unicode that change the direction of writing (UTR 36 section 2.10.1).
fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The candidate that `text` is probably a misspelling of.
///
/// Jaro-Winkler finds swapped and missing letters and honours a common beginning, Damerau-Levenshtein
/// keeps it from matching words of another length.
pub(super) fn similar<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A wrong number has no right one near it.
    if text.chars().count() > QUOTED || text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let wanted = text.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates.into_iter().take(CANDIDATES) {
        if candidate == text || candidate.len() > QUOTED {
            continue;
        }
        let known = candidate.to_lowercase();
        let score = strsim::jaro_winkler(&wanted, &known);
        let distance = strsim::damerau_levenshtein(&wanted, &known);
        let close = score >= 0.8 && distance <= 1 + wanted.chars().count() / 3;
        if close && best.is_none_or(|(top, _)| score > top) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: usize, path: &str, message: &str) -> Problem {
        Problem {
            file: "a.yaml".into(),
            line: Some(line),
            column: Some(3),
            path: path.into(),
            message: message.into(),
            suggestion: None,
        }
    }

    #[test]
    fn reads_as_file_line_column_path_message() {
        let mut wrong = problem(2, "pools.web", "is wrong");
        assert_eq!(wrong.to_string(), "a.yaml:2:3: pools.web: is wrong");
        wrong.suggestion = Some("right".into());
        assert_eq!(
            wrong.to_string(),
            "a.yaml:2:3: pools.web: is wrong; did you mean right?"
        );
        wrong = problem(2, "", "not YAML");
        assert_eq!(wrong.to_string(), "a.yaml:2:3: not YAML");
        assert_eq!(
            wrong.as_warning().to_string(),
            "a.yaml:2:3: warning: not YAML"
        );
        wrong.line = None;
        assert_eq!(wrong.to_string(), "a.yaml: not YAML");
    }

    #[test]
    fn is_sorted_and_counted() {
        let mut problems: Problems = [problem(9, "b", "x"), problem(2, "a", "y")]
            .into_iter()
            .collect();
        problems.sort_by_position(|_| 0);
        assert_eq!(problems.to_string(), "a.yaml:2:3: a: y\na.yaml:9:3: b: x");
        for _ in 0..LISTED {
            problems.push(problem(1, "c", "z"));
        }
        assert_eq!(problems.count(), LISTED + 2);
        assert!(problems.to_string().ends_with("\nand 2 more"));
    }

    #[test]
    fn suggests_what_is_near_and_nothing_else() {
        let keys = ["weight", "address", "backup", "max_connections"];
        assert_eq!(similar("wieght", keys), Some("weight"));
        assert_eq!(similar("adress", keys), Some("address"));
        assert_eq!(similar("Weight", keys), Some("weight"));
        assert_eq!(similar("maxconnections", keys), Some("max_connections"));
        assert_eq!(similar("colour", keys), None);
        assert_eq!(similar("500", ["502", "503"]), None);
        assert_eq!(similar(&"w".repeat(1_000_000), keys), None);
    }

    #[test]
    fn quotes_on_one_short_line() {
        assert_eq!(shown("a\nb\u{1b}[0m"), "a\\nb\\u{1b}[0m");
        assert_eq!(shown(&"x".repeat(500)).chars().count(), QUOTED + 1);
    }
}
