//! The YAML tree with positions, and [`At`]: a spot in it that knows its key path.

use std::fmt;

use super::input::Fault;
use super::problem::{Problem, Problems, shown};

/// Where something is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Index into [`Files`].
    pub file: usize,
    /// 1-based; 0: the file as a whole is meant.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
}

/// The names of the files that a tree was read from, the main one first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    names: Vec<String>,
}

impl Files {
    /// Adds a file and gives its index.
    pub fn add(&mut self, name: impl Into<String>) -> usize {
        self.names.push(name.into());
        self.names.len() - 1
    }

    /// The name of a file.
    pub fn name(&self, file: usize) -> &str {
        self.names.get(file).map_or("", String::as_str)
    }

    /// All names, the main file first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The place of a file, or a directory of files, as a whole.
    pub fn start_of_all(file: usize) -> Place {
        Place {
            file,
            line: 0,
            column: 0,
        }
    }

    /// A place as `FILE:LINE:COL`.
    pub fn show(&self, place: Place) -> String {
        if place.line == 0 {
            return self.name(place.file).to_owned();
        }
        format!("{}:{}:{}", self.name(place.file), place.line, place.column)
    }

    /// Puts problems in the order of files and places, each once.
    pub fn sort(&self, problems: &mut Problems) {
        let rank = |file: &str| self.names.iter().position(|name| name == file);
        problems.sort_by_position(|file| rank(file).unwrap_or(0));
    }

    /// A problem at `place`.
    pub fn problem(&self, place: Place, path: String, message: impl Into<String>) -> Problem {
        Problem {
            file: self.name(place.file).to_owned(),
            line: (place.line > 0).then_some(place.line),
            column: (place.line > 0).then_some(place.column),
            path,
            message: message.into(),
            suggestion: None,
        }
    }

    /// A problem with a file's text.
    pub fn fault(&self, file: usize, fault: Fault) -> Problem {
        let (line, column) = fault.position.unwrap_or_default();
        let place = Place { file, line, column };
        self.problem(place, String::new(), fault.message)
    }

    /// A problem with the file as a whole.
    pub fn whole(&self, file: usize, message: impl Into<String>) -> Problem {
        Problem {
            file: self.name(file).to_owned(),
            line: None,
            column: None,
            path: String::new(),
            message: message.into(),
            suggestion: None,
        }
    }
}

/// A value and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

/// A value of the YAML 1.2 core schema (YAML 1.2.2, section 10.3).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    String(String),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
    /// Something that couldn't be found out, such as an unset variable. The problem is noted already,
    /// so nothing further is said about it.
    Unset,
}

/// A key of a mapping, and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    /// Where the key is.
    pub place: Place,
    pub node: Node,
}

impl Entry {
    /// Where a problem with this entry is shown: a scalar at its value, anything larger at its key.
    fn problem_place(&self) -> Place {
        match self.node.value {
            Value::Sequence(_) | Value::Mapping(_) | Value::Null => self.place,
            _ => self.node.place,
        }
    }
}

impl Node {
    /// The entry of a mapping with this key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::String(_) => "a string",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
            Value::Unset => "an unset variable",
        }
    }

    /// A scalar as it would be written; `None` for collections and null.
    pub fn text(&self) -> Option<String> {
        match &self.value {
            Value::Bool(value) => Some(value.to_string()),
            Value::Integer(value) => Some(value.to_string()),
            Value::Float(value) => Some(value.to_string()),
            Value::String(value) => Some(value.clone()),
            Value::Null | Value::Sequence(_) | Value::Mapping(_) | Value::Unset => None,
        }
    }

    /// The value without positions, for serde.
    pub fn to_value(&self) -> serde_yaml::Value {
        use serde_yaml::Value as Yaml;
        match &self.value {
            Value::Null | Value::Unset => Yaml::Null,
            Value::Bool(value) => Yaml::Bool(*value),
            Value::Integer(value) => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => Yaml::from(value),
                (_, Ok(value)) => Yaml::from(value),
                _ => Yaml::String(value.to_string()),
            },
            Value::Float(value) => Yaml::from(*value),
            Value::String(value) => Yaml::from(value.clone()),
            Value::Sequence(items) => Yaml::Sequence(items.iter().map(Self::to_value).collect()),
            Value::Mapping(entries) => Yaml::Mapping(
                entries
                    .iter()
                    .map(|entry| (Yaml::from(entry.key.clone()), entry.node.to_value()))
                    .collect(),
            ),
        }
    }
}

/// A spot in the tree: its value if it is written there, its place, and the way that led to it.
///
/// A key that is not written has the place of the nearest thing around it that is.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
    /// `None`: not written in the file.
    pub node: Option<&'a Node>,
    pub place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Item(usize),
}

impl<'a> At<'a> {
    /// The top of the tree.
    pub fn root(node: &'a Node) -> Self {
        Self {
            parent: None,
            step: Step::Root,
            place: node.place,
            node: Some(node),
        }
    }

    /// The value of `key`, written or not.
    pub fn key(&'a self, key: &'a str) -> At<'a> {
        let entry = self.node.and_then(|node| node.entry(key));
        At {
            parent: Some(self),
            step: Step::Key(key),
            node: entry.map(|entry| &entry.node),
            place: entry.map_or(self.place, Entry::problem_place),
        }
    }

    /// An entry of the mapping at this spot.
    pub fn entry(&'a self, entry: &'a Entry) -> At<'a> {
        At {
            parent: Some(self),
            step: Step::Key(&entry.key),
            node: Some(&entry.node),
            place: entry.problem_place(),
        }
    }

    /// The item at `index` of the list at this spot; of anything else the thing itself, which is how
    /// `bind: A` and `bind: [A]` come to mean the same.
    pub fn item(&'a self, index: usize) -> At<'a> {
        match self.node.map(|node| &node.value) {
            Some(Value::Sequence(items)) => {
                let node = items.get(index);
                At {
                    parent: Some(self),
                    step: Step::Item(index),
                    node,
                    place: node.map_or(self.place, |node| node.place),
                }
            }
            _ => *self,
        }
    }

    /// Whether this is the top of the tree.
    pub fn is_root(&self) -> bool {
        matches!(self.step, Step::Root)
    }

    /// Whether anything but null is written here.
    pub fn is_written(&self) -> bool {
        self.node.is_some_and(|node| node.value != Value::Null)
    }

    /// Whether what is written at `key` has a problem of its own, so that nothing more is to be said about it. `written` is this
    /// spot in all of the tree, this one is in the sound part.
    pub fn is_broken(&self, written: &At<'_>, key: &str) -> bool {
        written.key(key).is_written() && !self.key(key).is_written()
    }

    /// The key path, such as `pools.web.servers[0].address`.
    pub fn path(&self) -> String {
        let mut path = String::new();
        // Writing to a String can't fail.
        let _ = self.write_path(&mut path);
        path
    }

    /// The path with `*` for names that the user chose is what `pattern` is compared with:
    /// `pools.*.servers.[].route`.
    pub fn matches(&self, pattern: &str) -> bool {
        let mut steps = pattern.rsplit('.').filter(|step| !step.is_empty());
        let mut here = Some(self);
        while let Some(at) = here {
            let fits = match (at.step, steps.next()) {
                (Step::Root, None) => true,
                (Step::Key(key), Some(step)) => step == "*" || step == key,
                (Step::Item(_), Some(step)) => step == "[]",
                _ => false,
            };
            if !fits {
                return false;
            }
            here = at.parent;
        }
        true
    }

    fn write_path(&self, out: &mut impl fmt::Write) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.write_path(out)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Key(key) => {
                let first = matches!(self.parent.map(|parent| parent.step), Some(Step::Root));
                write!(out, "{}{}", if first { "" } else { "." }, shown(key))
            }
            Step::Item(index) => write!(out, "[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(value: Value, line: usize, column: usize) -> Node {
        let place = Place {
            file: 0,
            line,
            column,
        };
        Node { place, value }
    }

    fn entry(key: &str, line: usize, column: usize, node: Node) -> Entry {
        let place = Place {
            file: 0,
            line,
            column,
        };
        Entry {
            key: key.into(),
            place,
            node,
        }
    }

    fn tree() -> Node {
        let address = entry("address", 3, 9, node(Value::String("a:1".into()), 3, 18));
        let servers = node(
            Value::Sequence(vec![node(Value::Mapping(vec![address]), 3, 9)]),
            3,
            7,
        );
        let web = node(Value::Mapping(vec![entry("servers", 2, 5, servers)]), 2, 5);
        let pools = node(Value::Mapping(vec![entry("web", 1, 3, web)]), 1, 3);
        node(Value::Mapping(vec![entry("pools", 0, 1, pools)]), 0, 1)
    }

    #[test]
    fn knows_path_and_place() {
        let tree = tree();
        let root = At::root(&tree);
        let pools = root.key("pools");
        let web = pools.key("web");
        let servers = web.key("servers");
        let server = servers.item(0);
        let address = server.key("address");
        assert_eq!(address.path(), "pools.web.servers[0].address");
        assert_eq!((address.place.line, address.place.column), (3, 18));
        assert_eq!((servers.place.line, servers.place.column), (2, 5));
        let absent = server.key("weight");
        assert_eq!(absent.path(), "pools.web.servers[0].weight");
        assert_eq!((absent.place.line, absent.place.column), (3, 9));
        assert!(!absent.is_written());
        assert!(address.matches("pools.*.servers.[].address"));
        assert!(!address.matches("pools.*.servers.address"));
        assert!(!address.matches("web.servers.[].address"));
    }
}
