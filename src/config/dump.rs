//! The effective configuration as YAML: defaults filled in, paths absolute, secrets hidden.
//!
//! It is made from the raw structs, which know their defaults, and is a valid configuration that means the same, but
//! for what is hidden. A default that has no meaning where it would stand (`tcp` of a listener for HTTP, say) is left
//! out because validation refuses it there, not because a list says so.

use std::path::{Path, absolute};

use serde::Deserialize as _;
use serde_json::Value as Json;
use serde_yaml::Value as Yaml;

use super::address::{AdminAddress, Upstream};
use super::problem::Problems;
use super::raw::{self, FilePath, Name, OneOrMany};
use super::scalar::{HIDDEN, Scalar};
use super::template;
use super::tree::{Files, Node, Place, Value};
use super::units::Span;
use super::{Loaded, assemble, model, schema};

/// How many times keys without meaning are left out: leaving out one may show that another has none.
const MOST_ROUNDS: usize = 16;
/// What `sockaddr_un` holds (unix(7)).
const LONGEST_SOCKET: usize = 107;

/// The effective configuration of what was loaded without problems.
///
/// # Errors
/// Why it can't be written, which would be an error of the program.
pub fn dump(loaded: &Loaded) -> Result<String, String> {
    let words = |error: serde_yaml::Error| error.to_string();
    let mut tree = loaded.sound.clone();
    resolve(&mut tree, schema::schema(), &loaded.files);
    let mut raw = raw::Config::deserialize(tree.to_value()).map_err(words)?;
    fill(&mut raw, &loaded.config);
    let mut yaml = serde_yaml::to_value(&raw).map_err(words)?;
    finish(&mut yaml, &mut Vec::new());
    for _ in 0..MOST_ROUNDS {
        let text = serde_yaml::to_string(&yaml).map_err(words)?;
        let again = assemble(&|_| None, |merger| {
            let file = merger.files.add("effective.yaml");
            merger.text(file, &text)
        });
        if again.problems.is_empty() {
            return Ok(text);
        }
        let Some(Loaded { mut tree, .. }) = again.sound else {
            return Err(again.problems.to_string());
        };
        if !leave_out(&mut tree, &again.problems) {
            return Err(again.problems.to_string());
        }
        yaml = tree.to_value();
        // What was read is no longer as it is written.
        escape_all(&mut yaml, &mut Vec::new());
    }
    Err("more and more of it has no meaning where it stands".into())
}

/// As [`dump`], with the servers as they are in force: an operator may have changed, added and removed some.
///
/// # Errors
/// As of [`dump`].
pub fn dump_in_force(loaded: &Loaded, in_force: &model::Config) -> Result<String, String> {
    let words = |error: serde_yaml::Error| error.to_string();
    let text = dump(loaded)?;
    let mut yaml: Yaml = serde_yaml::from_str(&text).map_err(words)?;
    for (written, pool) in loaded.config.pools.iter().zip(&in_force.pools) {
        if written.servers == pool.servers {
            continue;
        }
        let servers = yaml
            .get_mut("pools")
            .and_then(|pools| pools.get_mut(&*pool.name))
            .and_then(|pool| pool.get_mut("servers"));
        let Some(servers) = servers else { continue };
        let known = servers.as_sequence().cloned().unwrap_or_default();
        let of_name = |name: &str| {
            let mut known = known.iter();
            known
                .find(|one| one.get("name").and_then(Yaml::as_str) == Some(name))
                .cloned()
        };
        *servers = pool
            .servers
            .iter()
            .map(|server| {
                let mut one = of_name(&server.name)
                    .unwrap_or_else(|| Yaml::Mapping(serde_yaml::Mapping::new()));
                if let Yaml::Mapping(keys) = &mut one {
                    keys.insert("name".into(), (*server.name).into());
                    keys.insert("address".into(), server.address.to_string().into());
                    keys.insert("weight".into(), server.weight.into());
                    keys.insert("max_connections".into(), server.max_connections.into());
                    keys.insert("backup".into(), server.backup.into());
                }
                one
            })
            .collect::<Vec<Yaml>>()
            .into();
    }
    serde_yaml::to_string(&yaml).map_err(words)
}

/// Makes paths absolute: they are relative to the file that they stand in, and what is printed stands in none.
fn resolve(node: &mut Node, schema: &Json, files: &Files) {
    if let Some(target) = schema.get("$ref").and_then(Json::as_str) {
        let target = target.strip_prefix('#').unwrap_or_default();
        if let Some(target) = schema::schema().pointer(target) {
            resolve(node, target, files);
        }
    }
    for alternative in schema
        .get("anyOf")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
    {
        resolve(node, alternative, files);
    }
    let place = node.place;
    match &mut node.value {
        Value::Mapping(entries) => {
            for entry in entries {
                let known = schema
                    .get("properties")
                    .and_then(|known| known.get(&entry.key))
                    .or_else(|| schema.get("additionalProperties"));
                if let Some(known) = known {
                    resolve(&mut entry.node, known, files);
                }
            }
        }
        Value::Sequence(items) => {
            if let Some(schema) = schema.get("items") {
                for item in items {
                    resolve(item, schema, files);
                }
            }
        }
        Value::String(text) => {
            let format = schema.get("format").and_then(Json::as_str);
            if let Some(format) = format
                && let Some(absolute) = resolved(text, format, place, files)
            {
                *text = absolute;
            }
        }
        _ => {}
    }
}

/// The absolute path; `None` if the text is no path, or is to stay as it is.
fn resolved(text: &str, format: &str, place: Place, files: &Files) -> Option<String> {
    let file = Path::new(files.name(place.file));
    let join = |path: &str| {
        let path = file.parent().unwrap_or(Path::new("")).join(path);
        Some(absolute(path).ok()?.to_str()?.to_owned())
    };
    if format == FilePath::FORMAT {
        // The words of the access log.
        let is_word = matches!(text, "stdout" | "stderr" | "off");
        return if is_word { None } else { join(text) };
    }
    let path = text.strip_prefix("unix:")?;
    if format == AdminAddress::FORMAT || format == Upstream::FORMAT {
        let path = join(path).filter(|path| path.len() <= LONGEST_SOCKET)?;
        return Some(format!("unix:{path}"));
    }
    None
}

/// Defaults that take more than the section itself to know.
fn fill(raw: &mut raw::Config, config: &model::Config) {
    raw.include = OneOrMany::default();
    let state_dir = absolute(&config.server.state_dir).ok();
    raw.server.state_dir = state_dir
        .as_deref()
        .and_then(Path::to_str)
        .and_then(|path| FilePath::parse(path).ok());
    for ((_, raw), pool) in raw.pools.0.iter_mut().zip(&config.pools) {
        raw.slow_start = Some(Span(pool.slow_start));
        for (raw, server) in raw.servers.iter_mut().zip(&pool.servers) {
            let (raw, name) = (&mut raw.0, |name: &str| Name::parse(name).ok());
            raw.name = raw.name.take().or_else(|| name(&server.name));
            raw.route = raw.route.take().or_else(|| name(&server.route));
        }
    }
}

/// Hides secrets, and writes strings such that reading them gives them back.
fn finish(value: &mut Yaml, keys: &mut Vec<String>) {
    hide(value, false);
    escape_all(value, keys);
}

fn escape_all(value: &mut Yaml, keys: &mut Vec<String>) {
    match value {
        Yaml::String(text) => {
            let is_in_routes = keys.first().is_some_and(|key| key == "listeners")
                && keys.get(2).is_some_and(|key| key == "routes");
            *text = escaped(text, is_in_routes);
        }
        Yaml::Sequence(items) => items.iter_mut().for_each(|item| escape_all(item, keys)),
        Yaml::Mapping(entries) => {
            for (key, value) in entries {
                keys.push(key.as_str().unwrap_or_default().to_owned());
                escape_all(value, keys);
                keys.pop();
            }
        }
        _ => {}
    }
}

/// `${` is written as `$${`, but for the variables of requests, which reading leaves alone.
fn escaped(text: &str, is_in_routes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let is_variable = after
            .split_once('}')
            .is_some_and(|(inside, _)| template::is_variable(inside));
        let stays = is_in_routes && is_variable && !out.ends_with('$');
        out.push_str(if stays { "${" } else { "$${" });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Values of header fields that are secrets by their names.
fn hide(value: &mut Yaml, in_fields: bool) {
    match value {
        Yaml::Sequence(items) => items.iter_mut().for_each(|item| hide(item, in_fields)),
        Yaml::Mapping(entries) => {
            for (key, value) in entries {
                let key = key.as_str().unwrap_or_default().to_ascii_lowercase();
                // A pattern may be shown, because it is no secret value.
                let is_value = value
                    .as_str()
                    .is_some_and(|text| !text.starts_with(['*', '~']));
                if in_fields && is_value && is_secret(&key) {
                    *value = HIDDEN.into();
                } else {
                    let fields = [
                        "headers",
                        "header",
                        "request_headers",
                        "response_headers",
                        "query",
                    ];
                    hide(value, in_fields || fields.contains(&key.as_str()));
                }
            }
        }
        _ => {}
    }
}

fn is_secret(field: &str) -> bool {
    let parts = [
        "authorization",
        "cookie",
        "token",
        "secret",
        "passw",
        "api-key",
        "apikey",
        "api_key",
    ];
    parts.iter().any(|part| field.contains(part))
}

/// Takes out the keys that the problems are about. Returns whether there were any.
fn leave_out(tree: &mut Node, problems: &Problems) -> bool {
    let is_meant = |place: Place| {
        problems
            .iter()
            .any(|problem| problem.line == Some(place.line) && problem.column == Some(place.column))
    };
    match &mut tree.value {
        Value::Mapping(entries) => {
            let before = entries.len();
            entries.retain(|entry| {
                let is_collection =
                    matches!(entry.node.value, Value::Mapping(_) | Value::Sequence(_));
                !is_meant(entry.place) && (is_collection || !is_meant(entry.node.place))
            });
            let gone = entries.len() < before;
            entries.iter_mut().fold(gone, |any, entry| {
                leave_out(&mut entry.node, problems) || any
            })
        }
        Value::Sequence(items) => {
            let mut gone = false;
            for item in items {
                gone |= leave_out(item, problems);
            }
            gone
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::interpolate::interpolate;
    use super::*;

    proptest! {
        #[test]
        fn what_is_escaped_reads_as_it_was(text in "[$${}a-z:-]{0,30}|\\PC{0,30}") {
            let read = interpolate(&escaped(&text, false), &|_| None, |_| false);
            prop_assert_eq!(read, Ok(text));
        }

        #[test]
        fn variables_of_requests_stay(text in "([$]|[$]\\{host\\}|[$]\\{x\\}|a){0,10}") {
            let read = interpolate(&escaped(&text, true), &|_| None, template::is_variable);
            prop_assert_eq!(read, Ok(text));
        }
    }
}
