//! What differs between two configurations as they are written, in a few words.

use std::collections::{HashMap, HashSet};

use super::problem::shown;
use super::tree::{Entry, Node, Value};

/// Differences that are told before the rest are only counted.
const TOLD: usize = 20;
/// Characters of a value that is shown.
const SHOWN: usize = 20;

/// The keys that differ, each as `key.path: OLD -> NEW`, `key.path added`, `removed` or `changed`. Servers and routes are
/// called by their names. Values are shown where they are numbers, switches, times and sizes, so that no secret is.
pub fn differences(before: &Node, after: &Node) -> Vec<String> {
    let mut found = Found::default();
    found.compare("", before, after);
    if found.untold > 0 {
        found.told.push(format!("and {} more", found.untold));
    }
    found.told
}

#[derive(Default)]
struct Found {
    told: Vec<String>,
    untold: usize,
}

impl Found {
    fn tell(&mut self, line: String) {
        if self.told.len() < TOLD {
            self.told.push(line);
        } else {
            self.untold = self.untold.saturating_add(1);
        }
    }

    fn compare(&mut self, path: &str, before: &Node, after: &Node) {
        match (&before.value, &after.value) {
            (Value::Mapping(before), Value::Mapping(after)) => {
                let step = |name: &str| join(path, name);
                self.compare_named(&keyed(before), &keyed(after), &step);
            }
            (Value::Sequence(before), Value::Sequence(after)) => {
                match (named(before), named(after)) {
                    (Some(before), Some(after)) => {
                        let step = |name: &str| format!("{path}[{name}]");
                        self.compare_named(&before, &after, &step);
                        if in_common(&before, &after) != in_common(&after, &before) {
                            self.tell(format!("{path}: another order"));
                        }
                    }
                    _ if same_items(before, after) => {}
                    _ => self.tell(format!("{path} changed")),
                }
            }
            (old, new) if same(old, new) => {}
            (old, new) => match (measure(old), measure(new)) {
                (Some(old), Some(new)) if !path.contains("_headers.") => {
                    self.tell(format!("{path}: {old} -> {new}"));
                }
                _ => self.tell(format!("{path} changed")),
            },
        }
    }

    fn compare_named(
        &mut self,
        before: &[(&str, &Node)],
        after: &[(&str, &Node)],
        step: &dyn Fn(&str) -> String,
    ) {
        let (old, new): (HashMap<_, _>, HashMap<_, _>) = (
            before.iter().copied().collect(),
            after.iter().copied().collect(),
        );
        for (name, node) in before {
            match new.get(name) {
                Some(now) => self.compare(&step(name), node, now),
                None => self.tell(format!("{} removed", step(name))),
            }
        }
        for (name, _) in after {
            if !old.contains_key(name) {
                self.tell(format!("{} added", step(name)));
            }
        }
    }
}

/// The names that both have, in the order of the first.
fn in_common<'a>(all: &[(&'a str, &Node)], others: &[(&str, &Node)]) -> Vec<&'a str> {
    let others: HashSet<&str> = others.iter().map(|(name, _)| *name).collect();
    all.iter()
        .map(|(name, _)| *name)
        .filter(|name| others.contains(name))
        .collect()
}

fn join(path: &str, key: &str) -> String {
    let key = shown(key);
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

fn keyed(entries: &[Entry]) -> Vec<(&str, &Node)> {
    entries
        .iter()
        .map(|entry| (entry.key.as_str(), &entry.node))
        .collect()
}

/// The items of a list by their `name`; `None` if one has none, or two have the same.
fn named(items: &[Node]) -> Option<Vec<(&str, &Node)>> {
    let mut seen = HashSet::with_capacity(items.len());
    let mut all = Vec::with_capacity(items.len());
    for item in items {
        let Value::String(name) = &item.entry("name")?.node.value else {
            return None;
        };
        if !seen.insert(name.as_str()) {
            return None;
        }
        all.push((name.as_str(), item));
    }
    Some(all)
}

fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Mapping(one), Value::Mapping(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| {
                    one.key == other.key && same(&one.node.value, &other.node.value)
                })
        }
        (Value::Sequence(one), Value::Sequence(other)) => same_items(one, other),
        (one, other) => one == other,
    }
}

fn same_items(one: &[Node], other: &[Node]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| same(&one.value, &other.value))
}

/// A value that may be shown.
fn measure(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Integer(value) => Some(value.to_string()),
        Value::Float(value) => Some(value.to_string()),
        Value::String(text) => {
            let is_span = text.starts_with(|c: char| c.is_ascii_digit())
                && text.len() <= SHOWN
                && text.trim_start_matches(|c: char| c.is_ascii_digit()).len() <= 3;
            is_span.then(|| text.clone())
        }
        Value::Null => Some("null".to_owned()),
        Value::Sequence(_) | Value::Mapping(_) | Value::Unset => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::Problems;
    use super::super::source;
    use super::super::tree::Files;
    use super::*;

    fn told(before: &str, after: &str) -> Vec<String> {
        let tree = |text: &str| {
            let mut files = Files::default();
            files.add("a.yaml");
            let mut problems = Problems::default();
            source::parse(0, text, &files, &|_| None, &mut problems).unwrap()
        };
        differences(&tree(before), &tree(after))
    }

    #[test]
    fn keys_are_told_with_what_may_be_shown() {
        assert_eq!(
            told(
                "{a: {b: 1, t: 5s, on: true, gone: 1}, s: secret}",
                "{a: {b: 2, t: 250ms, on: false}, s: terces, c: x}"
            ),
            [
                "a.b: 1 -> 2",
                "a.t: 5s -> 250ms",
                "a.on: true -> false",
                "a.gone removed",
                "s changed",
                "c added"
            ]
        );
        assert_eq!(
            told(
                "{request_headers: {set: {X-Key: 12}}}",
                "{request_headers: {set: {X-Key: 13}}}"
            ),
            ["request_headers.set.X-Key changed"]
        );
    }

    #[test]
    fn what_has_a_name_is_found_again_by_it() {
        let before = "servers: [{name: a, weight: 1}, {name: b}, {name: d}]";
        assert_eq!(
            told(
                before,
                "servers: [{name: d}, {name: c}, {name: a, weight: 2}]"
            ),
            [
                "servers[a].weight: 1 -> 2",
                "servers[b] removed",
                "servers[c] added",
                "servers: another order"
            ]
        );
        assert_eq!(told("l: [1, 2]", "l: [1, 3]"), ["l changed"]);
        assert_eq!(
            told("l: [{name: a}, {name: a}]", "l: [{name: a}]"),
            ["l changed"]
        );
    }

    #[test]
    fn places_and_comments_are_no_difference() {
        assert!(
            told(
                "a: {b: [1, {c: 2}]}",
                "# said\n\na:\n  b:\n  - 1\n  - c: 2\n"
            )
            .is_empty()
        );
    }

    #[test]
    fn many_are_counted() {
        let many = |n: usize| -> String { (0..30).map(|k| format!("k{k}: {n}\n")).collect() };
        let told = told(&many(1), &many(2));
        assert_eq!((told.len(), &*told[TOLD]), (TOLD + 1, "and 10 more"));
    }
}
