//! Several files, one tree: what `include` finds, and the files of a directory.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use glob::MatchOptions;

use super::input;
use super::problem::{Problems, shown, similar};
use super::source;
use super::tree::{At, Entry, Files, Node, Value};

/// Most files that the globs of one configuration may find.
const MOST_FILES: usize = 1000;

/// The keys that several files may have, and an included file alone.
const MERGED: [&str; 2] = ["listeners", "pools"];

/// A leading dot is matched by a dot only, as in a shell, so that files that editors, archivers and Kubernetes (`..data`)
/// leave behind are not read as configuration.
const HOW: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Reads files and merges them.
pub struct Merger<'a> {
    pub files: &'a mut Files,
    pub env: &'a dyn Fn(&str) -> Option<String>,
    pub problems: &'a mut Problems,
    /// Whether every file could be read and parsed; otherwise what seems missing may stand in one that couldn't.
    pub complete: bool,
    /// The real paths of what has been read.
    read: Vec<PathBuf>,
}

impl<'a> Merger<'a> {
    /// Nothing is read yet.
    pub fn new(
        files: &'a mut Files,
        env: &'a dyn Fn(&str) -> Option<String>,
        problems: &'a mut Problems,
    ) -> Self {
        Self {
            files,
            env,
            problems,
            complete: true,
            read: Vec::new(),
        }
    }

    /// The tree of one file, which goes by `name` in messages; `None` with at least one problem noted.
    pub fn file(&mut self, path: &Path, name: &str) -> Option<Node> {
        let file = self.files.add(name);
        self.read.extend(path.canonicalize());
        match input::read(path) {
            Ok(text) => self.text(file, &text),
            Err(faults) => {
                for fault in faults {
                    self.problems.push(self.files.fault(file, fault));
                }
                self.complete = false;
                None
            }
        }
    }

    /// As [`Self::file`], of what a glob or directory has found. A pipe or a device would keep its reader waiting.
    fn regular_file(&mut self, path: &Path) -> Option<Node> {
        let name = path.display().to_string();
        let is_regular = path.metadata().is_ok_and(|found| found.is_file());
        if path.exists() && !is_regular {
            let file = self.files.add(name);
            let message = "is no file but a directory, pipe, socket or device, and is not read";
            self.problems.push(self.files.whole(file, message));
            self.complete = false;
            return None;
        }
        self.file(path, &name)
    }

    /// The tree of one file's text; `None` with at least one problem noted.
    pub fn text(&mut self, file: usize, text: &str) -> Option<Node> {
        let tree = source::parse(file, text, self.files, self.env, self.problems);
        self.complete &= tree.is_some();
        tree
    }

    /// All files of a directory as one; a section that isn't merged may stand in one of them alone.
    pub fn directory(&mut self, path: &Path) -> Option<Node> {
        let directory = self.files.add(path.display().to_string());
        let found = match input::directory(path) {
            Ok(found) => found,
            Err(message) => {
                self.problems.push(self.files.whole(directory, message));
                return None;
            }
        };
        let mut tree = Node {
            place: Files::start_of_all(directory),
            value: Value::Mapping(Vec::new()),
        };
        let mut any = false;
        for path in self.unread(found) {
            if let Some(more) = self.regular_file(&path) {
                any = true;
                self.add(&mut tree, more, true);
            }
        }
        any.then_some(tree)
    }

    /// Reads every file that the globs of `tree` find, in the order of their paths, and adds its listeners and pools.
    pub fn include(&mut self, tree: &mut Node) {
        let found = self.found(tree);
        for path in self.unread(found) {
            if let Some(included) = self.regular_file(&path) {
                self.add(tree, included, false);
            }
        }
    }

    /// Without files that were read already, under whatever name, and without further names of the same file.
    fn unread(&self, paths: Vec<PathBuf>) -> Vec<PathBuf> {
        let mut seen = self.read.clone();
        let mut unread = paths;
        unread.retain(|path| match path.canonicalize() {
            Ok(real) if seen.contains(&real) => false,
            Ok(real) => {
                seen.push(real);
                true
            }
            // A file without a real path can't be read either, and reading it tells why.
            Err(_) => true,
        });
        unread
    }

    fn found(&mut self, tree: &Node) -> Vec<PathBuf> {
        let root = At::root(tree);
        let include = root.key("include");
        let main = Path::new(self.files.name(include.place.file));
        let base = main.parent().unwrap_or(Path::new(""));
        let mut paths = Vec::new();
        for index in 0..source::items_of(&include) {
            let item = include.item(index);
            let Some(Value::String(pattern)) = item.node.map(|node| &node.value) else {
                // The structure check says what is wrong with it.
                continue;
            };
            match expand(base, pattern) {
                Ok(more) => paths.extend(more),
                Err(message) => {
                    let problem = self.files.problem(item.place, item.path(), message);
                    self.problems.push(problem);
                }
            }
        }
        paths.sort();
        paths.dedup();
        let itself = main.canonicalize().ok();
        let before = paths.len();
        paths.retain(|path| itself.is_none() || path.canonicalize().ok() != itself);
        if paths.len() < before {
            let message =
                "a glob finds this very file; keep included files in a directory of their own";
            let problem = self.files.problem(include.place, include.path(), message);
            self.problems.push(problem);
        }
        if paths.len() > MOST_FILES {
            let message = format!("finds {} files; at most {MOST_FILES} are read", paths.len());
            let problem = self.files.problem(include.place, include.path(), message);
            self.problems.push(problem);
            paths.truncate(MOST_FILES);
        }
        paths
    }

    /// Moves listeners and pools of `more` into `tree`, and whatever else it holds if `everything` may come.
    fn add(&mut self, tree: &mut Node, more: Node, everything: bool) {
        let Value::Mapping(entries) = more.value else {
            return;
        };
        for entry in entries {
            if MERGED.contains(&entry.key.as_str()) {
                self.add_names(tree, entry);
            } else if everything {
                self.add_section(tree, entry);
            } else {
                let message = "an included file may hold only listeners and pools";
                let mut problem = self.files.problem(entry.place, shown(&entry.key), message);
                problem.suggestion = similar(&entry.key, MERGED).map(str::to_owned);
                self.problems.push(problem);
            }
        }
    }

    fn add_section(&mut self, tree: &mut Node, section: Entry) {
        if let Some(first) = tree.entry(&section.key) {
            let message = format!(
                "stands in two files; first at {}; write all of it in one",
                self.files.show(first.place)
            );
            let problem = self
                .files
                .problem(section.place, shown(&section.key), message);
            self.problems.push(problem);
        } else if let Value::Mapping(sections) = &mut tree.value {
            sections.push(section);
        }
    }

    fn add_names(&mut self, tree: &mut Node, section: Entry) {
        let more = match section.node.value {
            Value::Mapping(more) => more,
            Value::Null => return,
            _ => {
                let message = format!("must be a mapping of names, found {}", section.node.kind());
                let problem = self.files.problem(section.place, section.key, message);
                self.problems.push(problem);
                return;
            }
        };
        let Value::Mapping(sections) = &mut tree.value else {
            return;
        };
        let Some(known) = sections.iter_mut().find(|known| known.key == section.key) else {
            sections.push(Entry {
                node: Node {
                    place: section.node.place,
                    value: Value::Mapping(more),
                },
                ..section
            });
            return;
        };
        if known.node.value == Value::Null {
            known.node.value = Value::Mapping(Vec::new());
        }
        let Value::Mapping(names) = &mut known.node.value else {
            return;
        };
        let places: HashMap<String, _> = names
            .iter()
            .map(|entry| (entry.key.clone(), entry.place))
            .collect();
        for entry in more {
            if let Some(first) = places.get(&entry.key) {
                let path = format!("{}.{}", section.key, shown(&entry.key));
                let message = format!("is defined twice; first at {}", self.files.show(*first));
                self.problems
                    .push(self.files.problem(entry.place, path, message));
            } else {
                names.push(entry);
            }
        }
    }
}

/// The files of one glob; a path without `*`, `?` or `[` must be there.
/// What the globs of `include` find by now, as far as they can be read.
pub fn found_now(tree: &Node, files: &Files) -> Vec<PathBuf> {
    let root = At::root(tree);
    let include = root.key("include");
    let base = Path::new(files.name(include.place.file)).parent();
    let base = base.unwrap_or(Path::new(""));
    let mut paths = Vec::new();
    for index in 0..source::items_of(&include) {
        if let Some(Value::String(pattern)) = include.item(index).node.map(|node| &node.value)
            && let Ok(more) = expand(base, pattern)
        {
            paths.extend(more);
        }
    }
    paths.truncate(MOST_FILES);
    paths
}

fn expand(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    if !pattern.contains(['*', '?', '[']) {
        let path = base.join(pattern);
        return match path.metadata() {
            Ok(found) if found.is_dir() => Err(format!(
                "`{}` is a directory; write {}/*.yaml",
                shown(pattern),
                shown(pattern.trim_end_matches('/'))
            )),
            Ok(_) => Ok(vec![path]),
            Err(error) => Err(format!("{} can't be read: {error}", path.display())),
        };
    }
    let full = if Path::new(pattern).is_absolute() || base.as_os_str().is_empty() {
        pattern.to_owned()
    } else {
        format!(
            "{}/{pattern}",
            glob::Pattern::escape(&base.to_string_lossy())
        )
    };
    // The pattern is written the way in which the paths that are found are written.
    let full: PathBuf = Path::new(&full)
        .components()
        .filter(|part| *part != Component::CurDir)
        .collect();
    let full = full.to_string_lossy();
    let refused = |error: glob::PatternError| format!("is not a glob: {}", error.msg);
    // With these options the glob crate's search finds no hidden file at all, even where the glob has the dot. So it
    // searches without them, and what it finds is compared with them.
    let exact = glob::Pattern::new(&full).map_err(refused)?;
    glob::glob(&full)
        .map_err(refused)?
        .filter(|path| match path {
            Ok(path) => exact.matches_path_with(path, HOW),
            Err(_) => true,
        })
        .take(MOST_FILES + 1)
        .map(|path| path.map_err(|error| format!("can't be searched: {error}")))
        .collect()
}
