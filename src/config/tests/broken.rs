//! What a value that is wrong brings along.

use std::fs;

use serde_yaml::Value as Yaml;

use super::no_env;
use crate::config::parse_str;

/// A configuration that shows every key.
const EXAMPLE: &str = "conf/edge.yaml";

/// Every value of the example is broken in turn: nothing else is told, neither what hangs together with it
/// nor that it is missing.
#[test]
fn one_broken_value_is_one_problem() {
    let text = fs::read_to_string(EXAMPLE).expect("the example");
    let example: Yaml = serde_yaml::from_str(&text).expect("YAML");
    let mut paths = Vec::new();
    leaves(&example, &mut Vec::new(), &mut paths);
    assert!(paths.len() > 250, "{}", paths.len());
    let broken = serde_yaml::from_str::<Yaml>("{no-such: {key: 1}}").expect("YAML");
    let mut wrong = Vec::new();
    for path in paths {
        let mut changed = example.clone();
        *at(&mut changed, &path) = broken.clone();
        let text = serde_yaml::to_string(&changed).expect("YAML");
        let mut shown = String::new();
        for step in &path {
            match step.parse::<usize>() {
                Ok(index) if step != "503" => shown.push_str(&format!("[{index}]")),
                _ if shown.is_empty() => shown.push_str(step),
                _ => shown.push_str(&format!(".{step}")),
            }
        }
        let Err(problems) = parse_str("conf/broken.yaml", &text, &no_env) else {
            wrong.push(format!("{shown}: accepted"));
            continue;
        };
        for problem in &problems {
            if !problem.path.starts_with(&shown) {
                wrong.push(format!("{shown}: {problem}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The paths of all values that hold no others.
fn leaves(value: &Yaml, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let mut below = |step: String, value: &Yaml| {
        path.push(step);
        leaves(value, path, found);
        path.pop();
    };
    match value {
        Yaml::Mapping(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                let key = key.as_str().map(str::to_owned);
                // Statuses of error pages.
                let key = key.unwrap_or_else(|| "503".to_owned());
                below(key, value);
            }
        }
        Yaml::Sequence(items) if !items.is_empty() => {
            for (index, value) in items.iter().enumerate() {
                below(index.to_string(), value);
            }
        }
        _ => found.push(path.clone()),
    }
}

/// What is at a path.
fn at<'a>(value: &'a mut Yaml, path: &[String]) -> &'a mut Yaml {
    let Some((step, rest)) = path.split_first() else {
        return value;
    };
    let next = match value {
        Yaml::Sequence(items) => items.get_mut(step.parse::<usize>().expect("an index")),
        Yaml::Mapping(entries) => match step.as_str() {
            "503" => entries.get_mut(Yaml::from(503)),
            key => entries.get_mut(key),
        },
        _ => None,
    };
    at(next.expect("what was found"), rest)
}
