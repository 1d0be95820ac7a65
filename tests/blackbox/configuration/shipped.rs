//! What is shipped: the configurations of `conf/`, the schema and the manual.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use serde_yaml::Value as Yaml;

use super::*;

#[test]
fn every_shipped_configuration_is_right() {
    let files = shipped_files();
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let path = file.to_str().expect("UTF-8");
        let outcome = equipoise(Path::new("."), &["check", "--elsewhere", "-c", path], &[]);
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
        // The examples' authority is one that nobody trusts.
        for warning in outcome.stderr.lines().filter(|line| line.starts_with(path)) {
            // And the one that shows every key has pools for that alone.
            let is_shown = path.ends_with("edge.yaml")
                && warning.ends_with("is used by no listener and no route");
            assert!(
                is_shown
                    || warning.contains("intermediate missing, or a private authority")
                    || warning.contains("valid for more than 398 days"),
                "{warning}"
            );
        }
    }
}

#[test]
fn the_schema_is_draft_2020_12_with_words_for_every_key() {
    let schema = schema();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(
        schema["required"],
        serde_json::json!(["listeners", "pools"])
    );
    let mut undescribed = Vec::new();
    for (name, section) in schema["$defs"].as_object().expect("sections") {
        for (key, value) in section["properties"].as_object().into_iter().flatten() {
            if value["description"].as_str().is_none_or(str::is_empty) {
                undescribed.push(format!("{name}.{key}"));
            }
        }
    }
    assert_eq!(undescribed, Vec::<String>::new());
}

#[test]
fn edge_yaml_shows_every_key_of_the_schema_and_no_other() {
    let schema = schema();
    let mut known = BTreeSet::new();
    schema_keys(&schema, &schema, "", &mut known);
    let edge = shipped_files()
        .into_iter()
        .find(|path| path.ends_with("edge.yaml"))
        .expect("edge.yaml");
    let text = fs::read_to_string(edge).expect("readable");
    let mut shown = BTreeSet::new();
    yaml_keys(
        &serde_yaml::from_str(&text).expect("YAML"),
        "",
        &known,
        &mut shown,
    );
    assert!(known.len() > 80, "{known:?}");
    // What has the same keys as something else is shown once.
    let is_shown_elsewhere = |path: &&String| {
        let of_listener = path.replace(".admin.tls", ".listeners.*.tls");
        let of_list = of_listener.replace(".tls.certificate.", ".tls.certificates[].");
        shown.contains(&of_list)
    };
    assert_eq!(
        known
            .difference(&shown)
            .filter(|path| !is_shown_elsewhere(path))
            .collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "not in edge.yaml"
    );
    assert_eq!(
        shown.difference(&known).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "not in the schema"
    );
}

/// Key paths with `*` for any name and `[]` for any item.
fn schema_keys(root: &Json, schema: &Json, path: &str, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root
            .pointer(reference.trim_start_matches('#'))
            .expect("a target");
        schema_keys(root, target, path, found);
    }
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        schema_keys(root, value, &path, found);
        found.insert(path);
    }
    for alternative in schema["anyOf"].as_array().into_iter().flatten() {
        schema_keys(root, alternative, path, found);
    }
    if schema["items"].is_object() {
        schema_keys(root, &schema["items"], &format!("{path}[]"), found);
    }
    if schema["additionalProperties"].is_object() {
        let path = format!("{path}.*");
        schema_keys(root, &schema["additionalProperties"], &path, found);
        found.insert(path);
    }
}

fn yaml_keys(value: &Yaml, path: &str, known: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    match value {
        Yaml::Mapping(entries) => {
            for (key, value) in entries {
                let any = format!("{path}.*");
                let path = if known.contains(&any) {
                    any
                } else {
                    format!("{path}.{}", key.as_str().expect("a key"))
                };
                yaml_keys(value, &path, known, found);
                found.insert(path);
            }
        }
        Yaml::Sequence(items) => {
            for item in items {
                yaml_keys(item, &format!("{path}[]"), known, found);
            }
        }
        _ => {}
    }
}

/// Names of all keys that the schema knows, whatever their depth.
fn keys(schema: &Json, found: &mut BTreeSet<String>) {
    match schema {
        Json::Object(object) => {
            if let Some(Json::Object(properties)) = object.get("properties") {
                found.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| keys(value, found));
        }
        Json::Array(items) => items.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn the_manual_has_every_key() {
    let schema = crate::common::Equipoise::command(&["schema"]).stdout;
    let mut known = BTreeSet::new();
    keys(&serde_json::from_str(&schema).expect("JSON"), &mut known);
    assert!(known.len() > 50, "{known:?}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let manual = fs::read_to_string(path).expect("the manual");
    // `a`, or `x.a` or `a.x` for what stands in a row of its own; or a heading.
    let missing: Vec<_> = known
        .iter()
        .filter(|key| {
            !manual.contains(&format!("`{key}`"))
                && !manual.contains(&format!(".{key}`"))
                && !manual.contains(&format!("\n## {key}\n"))
                && !manual.contains(&format!("`{key}."))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "docs/configuration.md doesn't mention {missing:?}"
    );
}
