//! `include:` globs: other files whose listeners and pools are merged in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::problem::{Problems, shown, similar};
use super::source;
use super::tree::{At, Entry, Files, Node, Value};

/// Most files that the globs of one configuration may find.
const MOST_FILES: usize = 1000;

/// The keys that an included file may have.
const MERGED: [&str; 2] = ["listeners", "pools"];

/// Reads every file that the globs of `tree` find, in sorted order, and adds its listeners and pools
/// to `tree`. `main` is the path of the file that `tree` was read from.
pub fn merge(
    tree: &mut Node,
    main: &Path,
    files: &mut Files,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) {
    for path in found(tree, main, files, problems) {
        let file = files.add(path.display().to_string());
        let text = match source::read(&path) {
            Ok(text) => text,
            Err(message) => {
                problems.push(files.whole(file, message));
                continue;
            }
        };
        if let Some(included) = source::parse(file, &text, files, env, problems) {
            add(tree, included, files, problems);
        }
    }
}

fn found(tree: &Node, main: &Path, files: &Files, problems: &mut Problems) -> Vec<PathBuf> {
    let root = At::root(tree);
    let include = root.key("include");
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
            Err(message) => problems.push(files.problem(item.place, item.path(), message)),
        }
    }
    paths.sort();
    paths.dedup();
    let itself = main.canonicalize().ok();
    paths.retain(|path| {
        let same = itself.is_some() && path.canonicalize().ok() == itself;
        if same {
            let message =
                "a glob finds this very file; keep included files in a directory of their own";
            problems.push(files.problem(include.place, include.path(), message));
        }
        !same
    });
    if paths.len() > MOST_FILES {
        let message = format!("finds {} files; at most {MOST_FILES} are read", paths.len());
        problems.push(files.problem(include.place, include.path(), message));
        paths.truncate(MOST_FILES);
    }
    paths
}

fn expand(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let full = if Path::new(pattern).is_absolute() || base.as_os_str().is_empty() {
        pattern.to_owned()
    } else {
        format!(
            "{}/{pattern}",
            glob::Pattern::escape(&base.to_string_lossy())
        )
    };
    let paths = glob::glob(&full).map_err(|error| format!("is not a glob: {}", error.msg))?;
    paths
        .take(MOST_FILES + 1)
        .map(|path| path.map_err(|error| format!("can't be searched: {error}")))
        .collect()
}

/// Moves listeners and pools of `included` into `tree`; anything else in it is a problem.
fn add(tree: &mut Node, included: Node, files: &Files, problems: &mut Problems) {
    let Value::Mapping(entries) = included.value else {
        return;
    };
    for entry in entries {
        if MERGED.contains(&entry.key.as_str()) {
            add_names(tree, entry, files, problems);
            continue;
        }
        let message = "an included file may hold only listeners and pools";
        let mut problem = files.problem(entry.place, shown(&entry.key), message);
        problem.suggestion = similar(&entry.key, MERGED).map(str::to_owned);
        problems.push(problem);
    }
}

fn add_names(tree: &mut Node, section: Entry, files: &Files, problems: &mut Problems) {
    let more = match section.node.value {
        Value::Mapping(more) => more,
        Value::Null => return,
        _ => {
            let message = format!("must be a mapping of names, found {}", section.node.kind());
            problems.push(files.problem(section.place, section.key, message));
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
            let message = format!("is defined twice; first at {}", files.show(*first));
            problems.push(files.problem(entry.place, path, message));
        } else {
            names.push(entry);
        }
    }
}
