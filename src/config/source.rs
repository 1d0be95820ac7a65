//! YAML text -> tree with positions.
//!
//! `serde_yaml` knows positions only of the first error, so the tree is built from `saphyr-parser`'s
//! events. Everything about a text that could exhaust the program is bounded here: depth, and the number of
//! values after aliases are expanded (the "billion laughs"). Its size is, and forbidden characters are, looked at
//! before, by [`super::input`].

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::core_schema::resolve;
use super::interpolate::interpolate;
use super::peers;
use super::problem::{Problems, shown};
use super::syntax;
use super::template;
use super::tree::{At, Entry, Files, Node, Place, Value};

/// Most values in one file, aliases expanded.
const MOST_NODES: usize = 1_000_000;
/// What is wrong with a list or mapping where a key is wanted.
const NO_KEY: &str = "a key must be a plain word, not a list or mapping";
/// Deepest nesting.
const DEEPEST: usize = 64;

/// Parses one file; its top level must be a mapping. `None` with at least one problem noted when it
/// can't be.
pub fn parse(
    file: usize,
    text: &str,
    files: &Files,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Option<Node> {
    let mut builder = Builder {
        file,
        env,
        files,
        problems,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        top: None,
    };
    if let Err((place, mut message)) = builder.read(text) {
        if message == NO_KEY {
            message = syntax::key_instead(text, place.line).unwrap_or(message);
        }
        problems.push(files.problem(place, String::new(), message));
        return None;
    }
    let top = builder.top.take();
    let start = Place {
        file,
        line: 1,
        column: 1,
    };
    match top {
        Some(node) if matches!(node.value, Value::Mapping(_)) => Some(Node {
            place: start,
            ..node
        }),
        Some(node) if node.value != Value::Null => {
            let message = match peers::whose(text) {
                Some(whose) => format!(
                    "looks like {whose}'s configuration; Equipoise's is written in YAML, as in conf/minimal.yaml"
                ),
                None => format!(
                    "must be a mapping of keys at the top, found {}",
                    node.kind()
                ),
            };
            problems.push(files.problem(node.place, String::new(), message));
            None
        }
        _ => {
            problems.push(files.problem(start, String::new(), "is empty"));
            None
        }
    }
}

/// A syntax error and where it is; nothing after it can be read.
type Broken = (Place, String);

struct Builder<'a> {
    file: usize,
    env: &'a dyn Fn(&str) -> Option<String>,
    files: &'a Files,
    problems: &'a mut Problems,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    top: Option<Node>,
}

/// A collection whose end hasn't come yet.
struct Open {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping {
        entries: Vec<Entry>,
        seen: HashMap<String, Place>,
        key: Option<(String, Place)>,
    },
}

impl Builder<'_> {
    fn read(&mut self, text: &str) -> Result<(), Broken> {
        let mut parser = Parser::new_from_str(text);
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| {
                let place = self.place(*error.marker());
                let hint = look_alike_before(text, place.line).unwrap_or_default();
                let message = syntax::explain(error.info(), text, place.line, place.column);
                let message = format!("is not valid YAML: {message}{hint}");
                (place, message)
            })?;
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let message =
                            "a second YAML document begins here; one file is one document";
                        return Err((self.place(span.start), message.into()));
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    self.scalar(&text, style, anchor, tag.as_deref(), span)?;
                }
                Event::SequenceStart(anchor, _) => {
                    self.begin(span, anchor, Content::Sequence(Vec::new()))?;
                }
                Event::MappingStart(anchor, _) => {
                    let content = Content::Mapping {
                        entries: Vec::new(),
                        seen: HashMap::new(),
                        key: None,
                    };
                    self.begin(span, anchor, content)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.end()?,
                Event::Alias(anchor) => self.alias(anchor, span)?,
                Event::StreamEnd => break,
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
            }
        }
        Ok(())
    }

    fn place(&self, marker: Marker) -> Place {
        Place {
            file: self.file,
            line: marker.line().max(1),
            column: marker.col().saturating_add(1),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Broken> {
        let place = self.place(span.start);
        if style == ScalarStyle::Plain
            && let Some((c, name)) = look_alike(text)
        {
            let message = format!(
                "`{}` holds {name} (U+{:04X}), which is no blank to YAML; write it anew, or in quotes if it is meant",
                shown(text),
                u32::from(c)
            );
            return Err((place, message));
        }
        if self.expects_key() {
            return self.add_key(text.to_owned(), place);
        }
        let is_string = style != ScalarStyle::Plain
            || tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        let kept = if self.is_in_routes() {
            template::is_variable
        } else {
            |_: &str| false
        };
        let value = match interpolate(text, self.env, kept) {
            Ok(text) if is_string => Value::String(text),
            Ok(text) => resolve(text),
            Err(mut message) => {
                if self.is_in_routes() {
                    message.push_str(&template::hint());
                }
                let path = self.path();
                self.problems.push(self.files.problem(place, path, message));
                Value::Unset
            }
        };
        self.add(Node { place, value }, anchor, 1)
    }

    fn begin(&mut self, span: Span, anchor: usize, content: Content) -> Result<(), Broken> {
        let place = self.place(span.start);
        if self.expects_key() {
            return Err((place, NO_KEY.into()));
        }
        if self.open.len() >= DEEPEST {
            return Err((place, format!("is nested deeper than {DEEPEST} levels")));
        }
        self.open.push(Open {
            place,
            anchor,
            content,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Broken> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let value = match open.content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping { entries, .. } => Value::Mapping(entries),
        };
        let place = open.place;
        self.add(Node { place, value }, open.anchor, 1)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Broken> {
        let place = self.place(span.start);
        if self.expects_key() {
            return Err((place, "an alias can't be a key".into()));
        }
        // Absent while the anchored collection is still open, which would make a cycle.
        let Some(node) = self.anchors.get(&anchor) else {
            return Err((place, "this alias stands inside the value it names".into()));
        };
        let (count, depth) = measure(node);
        if self.open.len() + depth > DEEPEST {
            return Err((place, format!("is nested deeper than {DEEPEST} levels")));
        }
        if self.nodes + count > MOST_NODES {
            return Err(too_many(place));
        }
        let node = node.clone();
        self.add(node, 0, count)
    }

    fn expects_key(&self) -> bool {
        matches!(
            self.open.last().map(|open| &open.content),
            Some(Content::Mapping { key: None, .. })
        )
    }

    fn add_key(&mut self, text: String, place: Place) -> Result<(), Broken> {
        self.count(1, place)?;
        if let Some(Content::Mapping { key, .. }) =
            self.open.last_mut().map(|open| &mut open.content)
        {
            *key = Some((text, place));
        }
        Ok(())
    }

    fn add(&mut self, node: Node, anchor: usize, count: usize) -> Result<(), Broken> {
        self.count(count, node.place)?;
        if anchor > 0 {
            let (count, _) = measure(&node);
            self.count(count, node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.top = Some(node);
            return Ok(());
        };
        match &mut open.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping { entries, seen, key } => {
                let Some((key, place)) = key.take() else {
                    return Ok(());
                };
                let first = seen.get(&key).copied();
                if first.is_none() {
                    seen.insert(key.clone(), place);
                    entries.push(Entry { key, place, node });
                    return Ok(());
                }
                let path = join(&self.path(), &key);
                let first = self.files.show(first.unwrap_or(place));
                let message = format!("is written twice; first at {first}");
                self.problems.push(self.files.problem(place, path, message));
            }
        }
        Ok(())
    }

    fn count(&mut self, more: usize, place: Place) -> Result<(), Broken> {
        self.nodes = self.nodes.saturating_add(more);
        if self.nodes > MOST_NODES {
            return Err(too_many(place));
        }
        Ok(())
    }

    /// Whether the value that comes next is a part of `listeners.NAME.routes`, where `${host}` is the request's.
    fn is_in_routes(&self) -> bool {
        let mut keys = self.open.iter().filter_map(|open| match &open.content {
            Content::Mapping { key, .. } => key.as_ref().map(|(key, _)| key.as_str()),
            Content::Sequence(_) => None,
        });
        keys.next() == Some("listeners") && keys.nth(1) == Some("routes")
    }

    /// The path of the value that comes next.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.content {
                Content::Sequence(items) => {
                    path.push('[');
                    path.push_str(&items.len().to_string());
                    path.push(']');
                }
                Content::Mapping { key, .. } => {
                    if let Some((key, _)) = key {
                        path = join(&path, key);
                    }
                }
            }
        }
        path
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        shown(key)
    } else {
        format!("{path}.{}", shown(key))
    }
}

fn too_many(place: Place) -> Broken {
    let message = format!("holds more than {MOST_NODES} values (aliases count as what they name)");
    (place, message)
}

/// How many values a node holds, itself included, and how deep it is. Recursion is bounded by
/// [`DEEPEST`].
fn measure(node: &Node) -> (usize, usize) {
    let inner = |nodes: &mut dyn Iterator<Item = &Node>| {
        nodes.fold((1, 1), |(count, depth), node| {
            let (inner_count, inner_depth) = measure(node);
            (count + inner_count, depth.max(inner_depth + 1))
        })
    };
    match &node.value {
        Value::Sequence(items) => inner(&mut items.iter()),
        Value::Mapping(entries) => inner(&mut entries.iter().map(|entry| &entry.node)),
        _ => (1, 0),
    }
}

/// A character that looks like a blank or like nothing, as text from web pages and word processors has it.
fn look_alike(text: &str) -> Option<(char, &'static str)> {
    text.chars().find_map(|c| {
        let name = match c {
            '\u{a0}' | '\u{202f}' => "a no-break space",
            '\u{2000}'..='\u{200a}' | '\u{3000}' => "a wide or narrow space",
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{ad}' => "an invisible character",
            '\u{2028}' | '\u{2029}' | '\u{85}' => "a line break that only looks like one",
            _ => return None,
        };
        Some((c, name))
    })
}

/// A hint at the last such character up to a line.
fn look_alike_before(text: &str, line: usize) -> Option<String> {
    let lines = text.lines().enumerate().take(line);
    let (index, (c, name)) = lines
        .filter_map(|(index, line)| Some((index, look_alike(line)?)))
        .last()?;
    let (line, code) = (index + 1, u32::from(c));
    Some(format!(
        " (line {line} holds {name} (U+{code:04X}), which is no blank to YAML)"
    ))
}

/// The written items at a spot: the list's, or the one value itself.
pub fn items_of(at: &At<'_>) -> usize {
    match at.node.map(|node| &node.value) {
        Some(Value::Sequence(items)) => items.len(),
        Some(_) => 1,
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> (Option<Node>, Vec<String>) {
        let mut files = Files::default();
        let file = files.add("t.yaml");
        let mut problems = Problems::default();
        let env = |name: &str| (name == "N").then(|| "7".to_owned());
        let node = parse(file, text, &files, &env, &mut problems);
        (node, problems.iter().map(ToString::to_string).collect())
    }

    fn value(text: &str) -> Value {
        let (node, problems) = parsed(&format!("k: {text}"));
        assert_eq!(problems, Vec::<String>::new());
        node.as_ref()
            .and_then(|node| node.entry("k"))
            .map(|entry| entry.node.value.clone())
            .expect("parsed")
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        assert_eq!(value("null"), Value::Null);
        assert_eq!(value("~"), Value::Null);
        assert_eq!(value(""), Value::Null);
        assert_eq!(value("true"), Value::Bool(true));
        assert_eq!(value("off"), Value::String("off".into()));
        assert_eq!(value("yes"), Value::String("yes".into()));
        assert_eq!(value("12"), Value::Integer(12));
        assert_eq!(value("-12"), Value::Integer(-12));
        assert_eq!(value("0x1F"), Value::Integer(31));
        assert_eq!(value("0o17"), Value::Integer(15));
        assert_eq!(value("1.5"), Value::Float(1.5));
        assert_eq!(value("1e3"), Value::Float(1000.0));
        assert_eq!(value("200-399"), Value::String("200-399".into()));
        assert_eq!(value("1.2.3.4"), Value::String("1.2.3.4".into()));
        assert_eq!(value("\"12\""), Value::String("12".into()));
        assert_eq!(value("!!str 12"), Value::String("12".into()));
        assert_eq!(value("${N}"), Value::Integer(7));
        assert_eq!(value("\"${N}\""), Value::String("7".into()));
        assert_eq!(value("$${N}"), Value::String("${N}".into()));
    }

    #[test]
    fn positions_are_those_of_an_editor() {
        let (node, _) = parsed("# head\na:\n  - b: 1\n    c: é\n");
        let node = node.expect("parsed");
        let a = node.entry("a").expect("a");
        assert_eq!((a.place.line, a.place.column), (2, 1));
        let Value::Sequence(items) = &a.node.value else {
            panic!("not a list");
        };
        let c = items[0].entry("c").expect("c");
        assert_eq!((c.place.line, c.place.column), (4, 5));
        assert_eq!((c.node.place.line, c.node.place.column), (4, 8));
    }

    #[test]
    fn duplicates_name_both_places() {
        let (_, problems) = parsed("a:\n  x: 1\n  y: 2\n  x: 3\n");
        assert_eq!(
            problems,
            ["t.yaml:4:3: a.x: is written twice; first at t.yaml:2:3"]
        );
    }

    #[test]
    fn unset_variables_have_a_place() {
        let (node, problems) = parsed("a: [1, \"${NOPE}\"]\nb: ${ALSO}\n");
        assert!(node.is_some());
        assert_eq!(problems.len(), 2);
        assert!(problems[0].starts_with("t.yaml:1:8: a[1]: environment variable NOPE is not set"));
        assert!(problems[1].starts_with("t.yaml:2:4: b: environment variable ALSO is not set"));
    }

    #[test]
    fn what_is_not_one_mapping_is_refused() {
        for (text, part) in [
            ("a: 1\n---\nb: 2\n", "t.yaml:2:1: a second YAML document"),
            ("- a\n", "t.yaml:1:1: must be a mapping"),
            ("", "t.yaml:1:1: is empty"),
            ("# only words\n", "t.yaml:1:1: is empty"),
            ("a: [1\nb: 2\n", "t.yaml:"),
            ("a:\n\tb: 1\n", "t.yaml:2:"),
            ("? [a]\n: 1\n", "a key must be a plain word"),
            ("a: &x [*x]\n", "t.yaml:1:8: this alias stands inside"),
            ("a: *x\n", "is not valid YAML"),
        ] {
            let (node, problems) = parsed(text);
            assert!(node.is_none(), "{text}");
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].contains(part), "{text}: {problems:?}");
        }
    }

    #[test]
    fn aliases_stand_for_values_but_not_for_bombs() {
        let (node, problems) = parsed("a: &x {k: 1}\nb: *x\n");
        assert_eq!(problems, Vec::<String>::new());
        let node = node.expect("parsed");
        let b = node.entry("b").expect("b");
        assert_eq!(
            b.node.entry("k").map(|k| k.node.text()),
            Some(Some("1".into()))
        );

        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let below = level - 1;
            let aliases = vec![format!("*a{below}"); 10].join(", ");
            bomb = format!("{bomb}a{level}: &a{level} [{aliases}]\n");
        }
        let (node, problems) = parsed(&bomb);
        assert!(node.is_none());
        assert!(
            problems[0].contains("more than 1000000 values"),
            "{problems:?}"
        );
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
        let (node, problems) = parsed(&deep);
        assert!(node.is_none());
        assert!(
            problems[0].contains("nested deeper than 64"),
            "{problems:?}"
        );
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC*") {
            let _ = parsed(&text);
        }

        #[test]
        fn nothing_yaml_like_panics(text in "[-a:{}\\[\\]&*!|>'\"%@#?,$~ \t\n\r0.]{0,200}") {
            let _ = parsed(&text);
        }
    }
}
