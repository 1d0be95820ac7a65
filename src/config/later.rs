//! Keys and values that are planned but not built: refused by name, so that nobody believes a
//! setting is in force, and nobody looks for a misspelling.

use super::tree::At;

/// Keys, by the path of their mapping (`*` is any name, `[]` any list item).
const KEYS: &[(&str, &[&str])] = &[("", &["tracing"])];

/// Values, by the path of their key.
const VALUES: &[(&str, &[&str])] = &[
    ("pools.*.algorithm", &["adaptive"]),
    ("pools.*.servers.[].max_connections", &["auto"]),
];

/// Whether `key` of the mapping at `at` is planned.
pub fn is_planned_key(at: &At<'_>, key: &str) -> bool {
    listed(KEYS, at, key)
}

/// Whether `value` at `at` is planned.
pub fn is_planned_value(at: &At<'_>, value: &str) -> bool {
    listed(VALUES, at, value)
}

fn listed(table: &[(&str, &[&str])], at: &At<'_>, word: &str) -> bool {
    table
        .iter()
        .any(|(path, words)| words.contains(&word) && at.matches(path))
}
