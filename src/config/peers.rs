//! What nginx, HAProxy, httpd, Envoy and Traefik call things: the name that they have here.
//!
//! The tables are by our own paths, because one word of theirs may be another key in another place, and several peers
//! share most of their words.

use super::tree::At;

mod listeners;
mod pools;
mod process;

/// By a path (`*` is any name, `[]` any list item): their words for one thing, with a space between them, and ours.
type Table = &'static [(&'static str, &'static [(&'static str, &'static str)])];

/// What somebody else's `key` of the mapping at `at` is called here.
pub fn key(at: &At<'_>, key: &str) -> Option<&'static str> {
    listed([process::KEYS, listeners::KEYS, pools::KEYS], at, key)
}

/// What somebody else's `value` at `at` is called here.
pub fn value(at: &At<'_>, value: &str) -> Option<&'static str> {
    listed([listeners::VALUES, pools::VALUES], at, value)
}

fn listed<const N: usize>(tables: [Table; N], at: &At<'_>, word: &str) -> Option<&'static str> {
    let word: String = word
        .chars()
        .take(64)
        .map(|c| match c {
            '-' | ' ' => '_',
            other => other.to_ascii_lowercase(),
        })
        .collect();
    tables
        .into_iter()
        .flatten()
        .filter(|(path, _)| at.matches(path))
        .flat_map(|(_, words)| *words)
        .find(|(theirs, _)| theirs.split(' ').any(|theirs| theirs == word))
        .map(|(_, ours)| *ours)
}

/// Whose configuration a text seems to be, by its first word.
pub fn whose(text: &str) -> Option<&'static str> {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let first = line.split([' ', '\t', '{']).next()?;
    match first {
        "upstream" | "server" | "http" | "events" | "worker_processes" | "stream" | "user"
        | "load_module" | "location"
            if line.ends_with(['{', ';', '}']) =>
        {
            Some("nginx")
        }
        "global" | "defaults" | "frontend" | "backend" | "listen" | "resolvers"
            if !line.contains(':') =>
        {
            Some("HAProxy")
        }
        _ if line.starts_with("<VirtualHost") || line.starts_with("<Proxy") => Some("httpd"),
        "ProxyPass" | "Listen" | "LoadModule" | "ServerName" | "ServerRoot" => Some("httpd"),
        _ if line.starts_with('[') && line.ends_with(']') && !line.contains(',') => {
            Some("a TOML or INI file")
        }
        _ => None,
    }
}
