//! Configuration: file -> tree -> raw -> model.
//!
//! 1. [`input`] reads text, [`source`] turns it into a tree in which every key and value knows where it is written;
//!    [`interpolate`] fills in environment variables and [`include`] merges several files.
//! 2. [`structure`] holds the tree against the JSON [`schema`], which is made from [`raw`]'s structs.
//! 3. serde turns the sound tree into [`raw::Config`], and [`validate`](mod@validate) that into the [`model`].
//!
//! Each step collects all problems, and the next one goes on with the part that is sound, so that one
//! run shows everything.

mod address;
mod balance_text;
mod checks;
mod core_schema;
mod difference;
mod discovery_text;
mod dump;
mod hints;
mod include;
mod input;
mod interpolate;
mod later;
mod log_text;
pub mod model;
mod peers;
mod problem;
mod raw;
mod route_cover;
mod route_text;
mod scalar;
mod schema;
mod source;
mod store;
mod structure;
mod syntax;
mod template;
mod text;
mod tls_text;
mod tree;
mod units;
mod validate;
mod validate_algorithm;
mod validate_cookie;
mod validate_http;
mod validate_listener;
mod validate_names;
mod validate_outliers;
mod validate_passwords;
mod validate_persistence;
mod validate_pool;
mod validate_rewrite;
mod validate_route;
mod validate_split;
mod validate_tls;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

pub use dump::{dump, dump_in_force};
pub use input::refuse_pipe;
pub use log_text::ACCESS_LOG_FIELDS;
pub use model::Config;
pub use problem::{Problem, Problems, escaped, on_one_line};
pub use schema::text as schema_text;

use checks::Checks;
use include::Merger;
use scalar::Scalar as _;
use tree::{At, Files, Node, Value};

/// A configuration, and where its keys are written.
#[derive(Debug)]
pub struct Loaded {
    /// What to work with.
    pub config: Config,
    /// What is allowed, and hardly meant.
    pub warnings: Vec<Problem>,
    /// As it is written.
    tree: Node,
    /// What of it follows the schema.
    sound: Node,
    files: Files,
}

/// What a configuration holds, right or not.
#[derive(Debug)]
pub struct Examined {
    /// What is sound of it, so that the files that it names can be looked at whatever else is wrong; it may be put to
    /// use only if there are no problems. `None`: nothing is.
    pub sound: Option<Loaded>,
    /// What is wrong with it, by file and position.
    pub problems: Problems,
}

impl Examined {
    /// Adds what came to light in the files that it names, and on this machine, but for keys that have a problem already: what
    /// stands for them meanwhile isn't what was written. All problems together are in order again.
    pub fn add(&mut self, more: impl IntoIterator<Item = Problem>) {
        let told: HashSet<String> = self.problems.iter().map(|told| told.path.clone()).collect();
        more.into_iter()
            .filter(|problem| !told.contains(&problem.path))
            .for_each(|problem| self.problems.push(problem));
        if let Some(loaded) = &self.sound {
            loaded.files.sort(&mut self.problems);
        }
    }

    /// The configuration, if nothing is wrong with it.
    ///
    /// # Errors
    /// Everything that is wrong with it, at least one problem.
    pub fn finish(self) -> Result<Loaded, Problems> {
        match self.sound {
            Some(loaded) if self.problems.is_empty() => Ok(loaded),
            _ => Err(self.problems),
        }
    }
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

    /// Adds to what was found what else is wrong, but for keys that were spoken of already; all in order.
    pub fn along_with(&self, mut found: Problems, more: Vec<Problem>) -> Problems {
        for problem in more {
            let is_told = |told: &Problem| told.path == problem.path && told.line == problem.line;
            if !found.iter().any(is_told) {
                found.push(problem);
            }
        }
        self.files.sort(&mut found);
        found
    }

    /// Every file whose content is part of it, and what its directory and the globs of `include` find by now: with another
    /// list, or another content, it is another configuration.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = self.config.files.clone();
        files.extend(self.config.read.iter().cloned());
        let directories = self.config.files.iter().filter(|path| path.is_dir());
        files.extend(directories.flat_map(|path| input::directory(path).unwrap_or_default()));
        files.extend(include::found_now(&self.tree, &self.files));
        files
    }

    /// What is written otherwise than in `before`, a few words a key.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        difference::differences(&before.tree, &self.tree)
    }
}

/// A duration as the configuration writes it: `250ms`, `30s`, `5m`.
///
/// # Errors
/// It isn't one; the error says so in words.
pub fn duration(text: &str) -> Result<Duration, String> {
    units::Span::parse(text).map(|span| span.0)
}

/// A server's address as the configuration writes it. The path of a Unix socket has to be absolute, as it stands in no
/// file that it could be relative to.
///
/// # Errors
/// It isn't one; the error says so in words.
pub fn server_address(text: &str) -> Result<model::ServerAddress, String> {
    Ok(match address::Upstream::parse(text)? {
        address::Upstream::Socket(address) => model::ServerAddress::Socket(address),
        address::Upstream::Name(host, port) => model::ServerAddress::Name(host.into(), port),
        address::Upstream::Unix(path) if Path::new(&path).is_absolute() => {
            model::ServerAddress::Unix(path.into())
        }
        address::Upstream::Unix(_) => return Err("the path of the socket is not absolute".into()),
    })
}

/// Whether a text can be the name of a server, pool or listener.
///
/// # Errors
/// It can't; the error says why.
pub fn check_name(name: &str) -> Result<(), String> {
    text::check_name(name)
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

/// Reads and validates the configuration of a file and its includes, of all files of a directory, or of standard
/// input (`-`). `env` looks up environment variables.
///
/// # Errors
/// Everything that is wrong with it, at least one problem.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
    examine(path, env).finish().map(|loaded| loaded.config)
}

/// As [`load`], for who has further problems to find.
pub fn examine(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Examined {
    assemble(env, |merger| {
        if path == Path::new(input::STDIN) {
            merger.file(path, input::STDIN_NAME)
        } else if path.is_dir() {
            merger.directory(path)
        } else {
            merger.file(path, &path.display().to_string())
        }
    })
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
    load_str(name, text, env).map(|loaded| loaded.config)
}

/// As [`parse_str`], with the text that it stands for.
///
/// # Errors
///
/// Likewise.
pub fn load_str(
    name: &str,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, Problems> {
    let examined = assemble(env, |merger| {
        let file = merger.files.add(name);
        merger.text(file, text)
    });
    examined.finish()
}

fn assemble(
    env: &dyn Fn(&str) -> Option<String>,
    read: impl FnOnce(&mut Merger<'_>) -> Option<Node>,
) -> Examined {
    let mut files = Files::default();
    let mut problems = Problems::default();
    let sound = steps(&mut files, env, &mut problems, read).map(|steps| {
        let (mut config, warnings, tree, sound) = steps;
        let mut warnings: Problems = warnings;
        files.sort(&mut warnings);
        config.warnings = warnings.iter().map(ToString::to_string).collect();
        Loaded {
            config,
            warnings: warnings.into_iter().cloned().collect(),
            tree,
            sound,
            files: files.clone(),
        }
    });
    files.sort(&mut problems);
    Examined { sound, problems }
}

/// `None` with at least one problem noted where a step can't go on.
fn steps(
    files: &mut Files,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
    read: impl FnOnce(&mut Merger<'_>) -> Option<Node>,
) -> Option<(Config, Problems, Node, Node)> {
    let mut merger = Merger::new(files, env, problems);
    let mut tree = read(&mut merger)?;
    merger.include(&mut tree);
    let complete = merger.complete;
    let sound = structure::check(&tree, schema::schema(), complete, files, problems)?;
    let raw = match raw::Config::deserialize(sound.to_value()) {
        Ok(raw) => raw,
        Err(error) => {
            problems.push(files.whole(0, error.to_string()));
            return None;
        }
    };
    let mut checks = Checks::new(files, complete, problems);
    let config = validate::validate(&raw, &sound, &tree, env, &mut checks);
    let warnings = checks.into_warnings();
    Some((config, warnings, tree, sound))
}

/// Where the instance of a file that can't be used may be asked for an upgrade, as far as that can be made out.
pub fn upgrade_socket_of(file: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(file).ok()?;
    let yaml: serde_yaml::Value = serde_yaml::from_str(&text).ok()?;
    let server = yaml.get("server");
    let socket = match server.and_then(|server| server.get("upgrade_socket")) {
        Some(value) => PathBuf::from(value.as_str()?),
        None => PathBuf::from(model::UPGRADE_SOCKET),
    };
    Some(file.parent().unwrap_or(Path::new(".")).join(socket))
}

#[cfg(test)]
mod tests;
