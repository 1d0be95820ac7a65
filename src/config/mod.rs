//! Configuration: file -> tree -> raw -> model.
//!
//! 1. [`source`] turns YAML into a tree in which every key and value knows where it is written;
//!    [`interpolate`] fills in environment variables and [`include`] merges further files.
//! 2. [`structure`] holds the tree against the JSON [`schema`], which is made from [`raw`]'s structs.
//! 3. serde turns the sound tree into [`raw::Config`], and [`validate`](mod@validate) that into the [`model`].
//!
//! Each step collects all problems, and the next one goes on with the part that is sound, so that one
//! run shows everything.

mod address;
mod core_schema;
mod include;
mod interpolate;
mod later;
pub mod model;
mod problem;
mod raw;
mod route_text;
mod scalar;
mod schema;
mod source;
mod store;
mod structure;
mod template;
mod text;
mod tree;
mod units;
mod validate;
mod validate_cookie;
mod validate_http;
mod validate_passwords;
mod validate_persistence;
mod validate_pool;
mod validate_route;
mod validate_split;
mod validate_tls;

use std::path::Path;

use serde::Deserialize;

pub use model::Config;
pub use problem::{Problem, Problems, on_one_line};
pub use schema::text as schema_text;
pub use text::ACCESS_LOG_FIELDS;

use tree::{At, Files, Node, Value};

/// A configuration, and where its keys are written.
#[derive(Debug)]
pub struct Loaded {
    /// What to work with.
    pub config: Config,
    tree: Node,
    files: Files,
}

impl Loaded {
    /// A problem that came to light only in use, placed where its key is written. The path is one of keys, such as
    /// `["pools", "web", "persistence", "secret_file"]`, and of indices of lists.
    pub fn problem(&self, path: &[&str], message: impl Into<String>) -> Problem {
        fn descend(at: &At<'_>, path: &[&str], files: &Files, message: String) -> Problem {
            match path.split_first() {
                Some((key, rest)) => match (at.node.map(|node| &node.value), key.parse()) {
                    (Some(Value::Sequence(_)), Ok(index)) => {
                        descend(&at.item(index), rest, files, message)
                    }
                    _ => descend(&at.key(key), rest, files, message),
                },
                None => files.problem(at.place, at.path(), message),
            }
        }
        descend(&At::root(&self.tree), path, &self.files, message.into())
    }
}

/// The process's environment, as the lookup that [`load`] takes. A variable that isn't UTF-8 counts as
/// unset.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads and validates the configuration of a file and its includes. `env` looks up environment
/// variables.
///
/// # Errors
/// Everything that is wrong with it, at least one problem.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
    load_with_places(path, env).map(|loaded| loaded.config)
}

/// As [`load`], for who may have to report further problems.
///
/// # Errors
/// Everything that is wrong with it, at least one problem.
pub fn load_with_places(
    path: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Problems> {
    let mut files = Files::default();
    let file = files.add(path.display().to_string());
    match source::read(path) {
        Ok(text) => assemble(path, &text, files, env),
        Err(message) => Err([files.whole(file, message)].into_iter().collect()),
    }
}

/// Reads and validates a configuration from memory; `name` stands for its file in messages, and
/// relative paths are relative to its directory.
///
/// # Errors
/// Everything that is wrong with it, at least one problem.
pub fn parse_str(
    name: &str,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Problems> {
    let mut files = Files::default();
    files.add(name);
    assemble(Path::new(name), text, files, env).map(|loaded| loaded.config)
}

fn assemble(
    path: &Path,
    text: &str,
    mut files: Files,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Problems> {
    let mut problems = Problems::default();
    let result = steps(path, text, &mut files, env, &mut problems);
    match result {
        Some((config, tree)) if problems.is_empty() => Ok(Loaded {
            config,
            tree,
            files,
        }),
        _ => {
            let names: Vec<&str> = files.names().collect();
            problems
                .sort_by_position(|file| names.iter().position(|name| *name == file).unwrap_or(0));
            Err(problems)
        }
    }
}

/// `None` with at least one problem noted where a step can't go on.
fn steps(
    path: &Path,
    text: &str,
    files: &mut Files,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Option<(Config, Node)> {
    let mut tree = source::parse(0, text, files, env, problems)?;
    include::merge(&mut tree, path, files, env, problems);
    let sound = structure::check(&tree, schema::schema(), files, problems)?;
    let raw = match raw::Config::deserialize(sound.to_value()) {
        Ok(raw) => raw,
        Err(error) => {
            problems.push(files.whole(0, error.to_string()));
            return None;
        }
    };
    let config = validate::validate(&raw, &sound, &tree, files, env, problems);
    Some((config, tree))
}

#[cfg(test)]
mod tests;
