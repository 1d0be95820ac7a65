//! Checks a tree against the JSON Schema: keys, types, formats, ranges, choices.
//!
//! What passes is handed on, so that what takes more than one value to judge is judged at the same
//! time. A section of which every key has a default passes as a whole or not at all: half of it would
//! give complaints about combinations that nobody wrote.
//!
//! A small validator of our own rather than serde's, because it goes on after the first problem and
//! knows where everything is written. It understands what our schema uses, no more; a test holds that
//! the schema uses nothing else.

use serde_json::{Map, Value as Json};

use super::address::{AdminAddress, Bind, Network, SourceAddress, Upstream};
use super::balance_text::HashOn;
use super::core_schema::resolve;
use super::discovery_text::{DiscoveredName, NameServer};
use super::later;
use super::log_text::{LogFilter, LogTemplate};
use super::peers;
use super::problem::{Problem, Problems, shown, similar};
use super::route_text::{
    FieldName, HostPattern, LimitKey, MediaType, MethodName, PathPattern, Percent, Rate,
    RouteRegex, ValuePattern,
};
use super::scalar::Scalar;
use super::store::StoreAddress;
use super::template::Template;
use super::text::{
    Account, CookieDomain, CookieName, CookiePath, FieldValue, FilePath, HostField, Name,
    ParameterName, Pattern, RedirectHttps, RequestPath, Separator, StatusRange, Text,
};
use super::tls_text::{AlpnName, Contact, DnsName, HttpsUrl, OpensslList, ServerName};
use super::tree::{At, Entry, Files, Node, Value};
use super::units::{Size, Span};

/// Notes everything in `tree` that `schema` doesn't allow, and gives the part that is sound. Unless the tree is
/// `complete`, a section that is missing at its top may be written where it couldn't be read.
pub fn check(
    tree: &Node,
    schema: &Json,
    complete: bool,
    files: &Files,
    problems: &mut Problems,
) -> Option<Node> {
    let checker = Checker {
        schema,
        complete,
        files,
    };
    checker.node(&At::root(tree), schema, problems)
}

struct Checker<'a> {
    schema: &'a Json,
    complete: bool,
    files: &'a Files,
}

type Constructor = fn(&str) -> Result<(), String>;

/// The constructor behind a custom `format`.
fn constructor(format: &str) -> Option<Constructor> {
    fn of<T: Scalar>() -> (&'static str, Constructor) {
        (T::FORMAT, |text| T::parse(text).map(drop))
    }
    let all = [
        of::<Span>(),
        of::<Size>(),
        of::<Bind>(),
        of::<AdminAddress>(),
        of::<Upstream>(),
        of::<Network>(),
        of::<SourceAddress>(),
        of::<Name>(),
        of::<CookieName>(),
        of::<CookiePath>(),
        of::<CookieDomain>(),
        of::<Separator>(),
        of::<ParameterName>(),
        of::<StoreAddress>(),
        of::<RequestPath>(),
        of::<HostField>(),
        of::<FilePath>(),
        of::<Account>(),
        of::<LogFilter>(),
        of::<LogTemplate>(),
        of::<Pattern>(),
        of::<FieldValue>(),
        of::<StatusRange>(),
        of::<DnsName>(),
        of::<ServerName>(),
        of::<OpensslList>(),
        of::<AlpnName>(),
        of::<Contact>(),
        of::<Text>(),
        of::<HttpsUrl>(),
        of::<RedirectHttps>(),
        of::<Template>(),
        of::<HostPattern>(),
        of::<PathPattern>(),
        of::<ValuePattern>(),
        of::<RouteRegex>(),
        of::<MethodName>(),
        of::<FieldName>(),
        of::<Rate>(),
        of::<LimitKey>(),
        of::<Percent>(),
        of::<MediaType>(),
        of::<HashOn>(),
        of::<DiscoveredName>(),
        of::<NameServer>(),
    ];
    all.into_iter()
        .find(|(name, _)| *name == format)
        .map(|(_, parse)| parse)
}

/// Whether there is a constructor behind a `format`.
#[cfg(test)]
pub(super) fn knows_format(format: &str) -> bool {
    constructor(format).is_some()
}

impl Checker<'_> {
    fn node(&self, at: &At<'_>, schema: &Json, found: &mut Problems) -> Option<Node> {
        let node = at.node?;
        let rules = self.resolve(schema)?;
        if node.value == Value::Unset {
            return None;
        }
        if let Some(choices) = choices(rules) {
            return self.choice(at, node, &choices, found);
        }
        if let Some(alternatives) = alternatives(rules) {
            return self.alternative(at, node, alternatives, found);
        }
        if !self.has_type(at, node, rules, found) {
            return None;
        }
        match &node.value {
            Value::Mapping(entries) => self.mapping(at, node, entries, rules, found),
            Value::Sequence(items) => self.sequence(at, node, items, rules, found),
            _ => self.scalar(at, node, rules, found),
        }
    }

    /// Follows `$ref`; all of ours point into `$defs`.
    fn resolve<'s>(&'s self, schema: &'s Json) -> Option<&'s Map<String, Json>> {
        let rules = schema.as_object()?;
        match rules.get("$ref").and_then(Json::as_str) {
            Some(reference) => self
                .schema
                .pointer(reference.strip_prefix('#')?)
                .and_then(Json::as_object),
            None => Some(rules),
        }
    }

    fn choice(
        &self,
        at: &At<'_>,
        node: &Node,
        choices: &[&Json],
        found: &mut Problems,
    ) -> Option<Node> {
        if choices.iter().any(|choice| equals(node, choice)) {
            return Some(node.clone());
        }
        let mut words: Vec<String> = Vec::with_capacity(choices.len());
        for word in choices.iter().copied().map(word) {
            // A value that may be a string or a number has an entry for each of the two.
            if !words.contains(&word) {
                words.push(word);
            }
        }
        let list = words.join(", ");
        let Some(text) = node.text() else {
            let message = if words.len() == 1 {
                format!("must be {list}, found {}", node.kind())
            } else {
                format!("must be one of {list}, found {}", node.kind())
            };
            found.push(self.problem(at, message));
            return None;
        };
        if let Some(message) =
            around(&text).filter(|_| words.iter().any(|word| word == text.trim()))
        {
            found.push(self.problem(at, message));
            return None;
        }
        if later::is_planned_value(at, &text) {
            found.push(self.not_yet(at, &text));
            return None;
        }
        let message = if words.len() == 1 {
            format!("`{}` is unknown; it can be {list}", shown(&text))
        } else {
            format!("`{}` is unknown; it can be one of {list}", shown(&text))
        };
        let mut problem = self.problem(at, message);
        problem.suggestion = peers::value(at, &text)
            .or_else(|| similar(&text, words.iter().map(String::as_str)))
            .map(str::to_owned);
        found.push(problem);
        None
    }

    fn alternative(
        &self,
        at: &At<'_>,
        node: &Node,
        alternatives: &[Json],
        found: &mut Problems,
    ) -> Option<Node> {
        let fitting = alternatives.iter().find(|alternative| {
            self.resolve(alternative).is_some_and(|rules| {
                choices(rules).is_some() && node.value != Value::Null || fits_type(node, rules)
            })
        });
        if let Some(fitting) = fitting {
            return self.node(at, fitting, found);
        }
        let message = alternatives
            .iter()
            .filter_map(|alternative| self.resolve(alternative))
            .find_map(|rules| Self::wrong_scalar(node, rules));
        if let Some(message) = message {
            found.push(self.problem(at, message));
            return None;
        }
        let wanted: Vec<&str> = alternatives
            .iter()
            .filter_map(|alternative| self.resolve(alternative))
            .flat_map(type_names)
            .filter(|name| *name != "null")
            .collect();
        self.wrong_type(at, node, &wanted, found);
        None
    }

    fn has_type(
        &self,
        at: &At<'_>,
        node: &Node,
        rules: &Map<String, Json>,
        found: &mut Problems,
    ) -> bool {
        let fits = fits_type(node, rules);
        if !fits {
            if let Some(message) = Self::wrong_scalar(node, rules) {
                found.push(self.problem(at, message));
                return false;
            }
            let wanted: Vec<&str> = type_names(rules)
                .into_iter()
                .filter(|name| *name != "null")
                .collect();
            self.wrong_type(at, node, &wanted, found);
        }
        fits
    }

    /// A number where text is wanted, such as `bind: 80`: the constructor has the better words.
    fn wrong_scalar(node: &Node, rules: &Map<String, Json>) -> Option<String> {
        let parse = rules
            .get("format")
            .and_then(Json::as_str)
            .and_then(constructor)?;
        judge(parse, &node.text()?).err()
    }

    fn wrong_type(&self, at: &At<'_>, node: &Node, wanted: &[&str], found: &mut Problems) {
        if let Value::String(text) = &node.value
            && later::is_planned_value(at, text)
        {
            found.push(self.not_yet(at, text));
            return;
        }
        if let Value::String(text) = &node.value
            && let Some(message) = around(text)
        {
            let inner = Node {
                value: resolve(text.trim().to_owned()),
                ..*node
            };
            if wanted.contains(&type_of(&inner)) {
                found.push(self.problem(at, message));
                return;
            }
        }
        let words: Vec<&str> = wanted.iter().map(|name| type_word(name)).collect();
        let hint = match (&node.value, wanted) {
            (Value::Null, ["object"]) => "; write {} or leave the key away",
            (Value::Null, _) => "; leave the key away for its default",
            (Value::Integer(_) | Value::Float(_) | Value::Bool(_), ["string", ..]) => {
                "; put it in quotes"
            }
            (Value::String(text), ["boolean"]) if is_yes_or_no(text) => "; write true or false",
            (Value::String(text), ["integer"]) if text.parse::<i64>().is_ok() => {
                "; write it without quotes"
            }
            _ => "",
        };
        let message = format!(
            "must be {}, found {}{hint}",
            words.join(" or "),
            node.kind()
        );
        found.push(self.problem(at, message));
    }

    fn mapping(
        &self,
        at: &At<'_>,
        node: &Node,
        entries: &[Entry],
        rules: &Map<String, Json>,
        found: &mut Problems,
    ) -> Option<Node> {
        let known = rules.get("properties").and_then(Json::as_object);
        let others = rules
            .get("additionalProperties")
            .filter(|others| others.is_object());
        let mut sound = Vec::with_capacity(entries.len());
        let mut all_sound = true;
        for entry in entries {
            let here = at.entry(entry);
            let schema = known.and_then(|known| known.get(&entry.key)).or(others);
            let Some(schema) = schema else {
                found.push(self.unknown_key(at, entry, here.path(), known));
                continue;
            };
            match self.node(&here, schema, found) {
                Some(node) => sound.push(Entry {
                    key: entry.key.clone(),
                    place: entry.place,
                    node,
                }),
                None => all_sound = false,
            }
        }
        let required: Vec<&str> = rules
            .get("required")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        for key in &required {
            if node.entry(key).is_none() && (self.complete || !at.is_root()) {
                found.push(self.problem(&at.key(key), "is missing; it has no default"));
            }
        }
        if at.is_root() {
            // So that what is written in the other sections, and in the files that they name, is judged all the same.
            let missing = required
                .iter()
                .filter(|key| !sound.iter().any(|entry| entry.key == **key));
            let missing: Vec<Entry> = missing
                .map(|key| Entry {
                    key: (*key).to_owned(),
                    place: node.place,
                    node: Node {
                        place: node.place,
                        value: Value::Mapping(Vec::new()),
                    },
                })
                .collect();
            sound.extend(missing);
        } else {
            // An empty list in the place of one that has a problem: what stands beside it is judged all the same.
            let stands_empty = |key: &str| known?.get(key)?.get("x-stands-empty").map(|_| ());
            let broken = required.iter().filter(|key| {
                !sound.iter().any(|entry| entry.key == ***key) && stands_empty(key).is_some()
            });
            let broken: Vec<Entry> = broken
                .map(|key| Entry {
                    key: (*key).to_owned(),
                    place: node.place,
                    node: Node {
                        place: node.place,
                        value: Value::Sequence(Vec::new()),
                    },
                })
                .collect();
            sound.extend(broken);
        }
        // What nothing is required of has to be whole, unless it says that it stands without its broken parts, too.
        let stands_in_part = rules.get("x-stands-in-part").is_some();
        let usable = if required.is_empty() && others.is_none() {
            all_sound || stands_in_part
        } else {
            required
                .iter()
                .all(|key| sound.iter().any(|entry| entry.key == *key))
        };
        usable.then_some(Node {
            place: node.place,
            value: Value::Mapping(sound),
        })
    }

    fn unknown_key(
        &self,
        at: &At<'_>,
        entry: &Entry,
        path: String,
        known: Option<&Map<String, Json>>,
    ) -> Problem {
        let keys: Vec<&str> = known
            .into_iter()
            .flat_map(Map::keys)
            .map(String::as_str)
            .collect();
        if later::is_planned_key(at, &entry.key) {
            return self.files.problem(entry.place, path, "not supported yet");
        }
        if entry.key == "<<" {
            let message = "merge keys are not part of YAML 1.2; write the keys out";
            return self.files.problem(entry.place, path, message);
        }
        let mut problem = self.files.problem(entry.place, path, "unknown key");
        let meant = peers::key(at, &entry.key);
        match meant.or_else(|| similar(&entry.key, keys.iter().copied())) {
            Some(key) => problem.suggestion = Some(key.to_owned()),
            None if at.path().is_empty() => {
                problem.message = format!("unknown key; at the top there are {}", keys.join(", "));
            }
            None => problem.message = format!("unknown key; here there are {}", keys.join(", ")),
        }
        problem
    }

    fn sequence(
        &self,
        at: &At<'_>,
        node: &Node,
        items: &[Node],
        rules: &Map<String, Json>,
        found: &mut Problems,
    ) -> Option<Node> {
        let fewest = rules.get("minItems").and_then(Json::as_u64).unwrap_or(0);
        if (items.len() as u64) < fewest {
            found.push(self.problem(at, "is empty; at least one is needed"));
            return None;
        }
        let schema = rules.get("items")?;
        // Every item is looked at before the list is given up; one without the others would be
        // counted wrongly in paths.
        let sound: Vec<Option<Node>> = (0..items.len())
            .map(|index| self.node(&at.item(index), schema, found))
            .collect();
        let sound: Option<Vec<Node>> = sound.into_iter().collect();
        Some(Node {
            place: node.place,
            value: Value::Sequence(sound?),
        })
    }

    fn scalar(
        &self,
        at: &At<'_>,
        node: &Node,
        rules: &Map<String, Json>,
        found: &mut Problems,
    ) -> Option<Node> {
        let parse = rules
            .get("format")
            .and_then(Json::as_str)
            .and_then(constructor);
        if let (Some(parse), Some(text)) = (parse, node.text()) {
            return match judge(parse, &text) {
                Ok(()) => Some(node.clone()),
                Err(message) => {
                    found.push(self.problem(at, message));
                    None
                }
            };
        }
        let Value::Integer(number) = node.value else {
            return Some(node.clone());
        };
        let bound = |key| rules.get(key).and_then(Json::as_i64).map(i128::from);
        let (low, high) = (bound("minimum"), bound("maximum"));
        if low.is_none_or(|low| number >= low) && high.is_none_or(|high| number <= high) {
            return Some(node.clone());
        }
        let range = match (low, high) {
            (Some(low), Some(high)) => format!("from {low} to {high}"),
            (Some(low), None) => format!("at least {low}"),
            (None, high) => format!("at most {}", high.unwrap_or_default()),
        };
        found.push(self.problem(at, format!("must be {range}, found {number}")));
        None
    }

    fn not_yet(&self, at: &At<'_>, text: &str) -> Problem {
        self.problem(at, format!("{} is not supported yet", shown(text)))
    }

    fn problem(&self, at: &At<'_>, message: impl Into<String>) -> Problem {
        self.files.problem(at.place, at.path(), message)
    }
}

/// What is wrong with a value, in words; what surrounds a good one is told as such.
fn judge(parse: Constructor, text: &str) -> Result<(), String> {
    parse(text).map_err(|message| {
        let fits = |inner: &str| inner != text && parse(inner).is_ok();
        if let Some(message) = around(text).filter(|_| fits(text.trim())) {
            return message;
        }
        let inner = text.trim_matches(['\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{201e}']);
        if fits(inner) {
            return format!(
                "`{}` is in typographic quotes; write {} in plain ones",
                shown(text),
                shown(inner)
            );
        }
        message
    })
}

/// Blanks and line breaks around a value, as files and secrets have them at their end.
fn around(text: &str) -> Option<String> {
    let shown = shown(text);
    if text.ends_with(['\n', '\r']) {
        Some(format!(
            "`{shown}` ends in a line break; is it from a file or a secret that was written with echo, or a block (`|` without `-`)?"
        ))
    } else if text.trim() != text {
        Some(format!("`{shown}` begins or ends with blanks"))
    } else {
        None
    }
}

/// The values that a schema lists, however it lists them.
fn choices(rules: &Map<String, Json>) -> Option<Vec<&Json>> {
    if let Some(values) = rules.get("enum").and_then(Json::as_array) {
        return Some(values.iter().collect());
    }
    if let Some(value) = rules.get("const") {
        return Some(vec![value]);
    }
    let alternatives = alternatives(rules)?;
    let lists: Option<Vec<Vec<&Json>>> = alternatives
        .iter()
        .map(|alternative| alternative.as_object().and_then(choices))
        .collect();
    lists.map(|lists| lists.into_iter().flatten().collect())
}

fn alternatives(rules: &Map<String, Json>) -> Option<&[Json]> {
    rules
        .get("anyOf")
        .or_else(|| rules.get("oneOf"))
        .and_then(Json::as_array)
        .map(Vec::as_slice)
}

fn type_names(rules: &Map<String, Json>) -> Vec<&str> {
    match rules.get("type") {
        Some(Json::String(name)) => vec![name],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn fits_type(node: &Node, rules: &Map<String, Json>) -> bool {
    let names = type_names(rules);
    let own = type_of(node);
    names.is_empty() || names.contains(&own) || (own == "integer" && names.contains(&"number"))
}

/// A node's type by JSON Schema's name.
fn type_of(node: &Node) -> &'static str {
    match node.value {
        Value::Null | Value::Unset => "null",
        Value::Bool(_) => "boolean",
        Value::Integer(_) => "integer",
        Value::Float(_) => "number",
        Value::String(_) => "string",
        Value::Sequence(_) => "array",
        Value::Mapping(_) => "object",
    }
}

fn type_word(name: &str) -> &str {
    match name {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "a string",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        _ => name,
    }
}

fn equals(node: &Node, json: &Json) -> bool {
    match (&node.value, json) {
        (Value::String(text), Json::String(choice)) => text == choice,
        (Value::Bool(flag), Json::Bool(choice)) => flag == choice,
        (Value::Integer(number), Json::Number(choice)) => {
            choice.as_i64().map(i128::from) == Some(*number)
        }
        // Numbers can't be compared as they were written: 1.20 is read as 1.2.
        (Value::Float(number), Json::Number(choice)) => choice
            .as_f64()
            .is_some_and(|choice| choice.total_cmp(number).is_eq()),
        (Value::Null, Json::Null) => true,
        _ => false,
    }
}

fn word(json: &Json) -> String {
    json.as_str()
        .map_or_else(|| json.to_string(), str::to_owned)
}

fn is_yes_or_no(text: &str) -> bool {
    ["yes", "no", "on", "off", "y", "n", "true", "false"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}
