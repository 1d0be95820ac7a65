//! The API's description is true: all that it has is there, and it has all that is there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{assert_problem, start};
use crate::common::*;

/// Everything that can be done: method and path.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    all
}

#[test]
fn every_operation_is_there_and_no_other_method() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    let document = lb.admin_get("/api/v1/openapi.json").json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut by_path: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (method, path, operation) in operations(&document) {
        let target = path.replace("{pool}", "app").replace("{server}", "a");
        by_path
            .entry(target.clone())
            .or_default()
            .push(method.clone());
        let changes = operation.get("security").is_some();
        let mut client = Client::connect(lb.admin());
        client.send_request(&method, &target, &[], b"").unwrap();
        let head = client.read_head().unwrap();
        if changes {
            assert_eq!(head.status, 401, "{method} {target}: {head}");
            continue;
        }
        assert!(
            !matches!(head.status, 401 | 403 | 404 | 405),
            "{method} {target}: {head}"
        );
        let status = head.status.to_string();
        let responses = operation["responses"].as_object().unwrap();
        let content = &responses[&status]["content"];
        let kind = head.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default();
        assert!(!content[kind].is_null(), "{method} {target} answers {kind}");
    }
    for (target, methods) in &by_path {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if !methods.iter().any(|known| known == method) {
                let mut client = Client::connect(lb.admin());
                let response = client.request(method, target, &[], b"").unwrap();
                assert_problem(&response, 405);
            }
        }
    }
}

/// Whether a value has what a schema says, as far as types and keys go.
fn fits(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(target) = schema["$ref"].as_str() {
        let target = document.pointer(target.strip_prefix('#').unwrap());
        return fits(document, target.unwrap(), value, at);
    }
    if let Some(options) = schema["anyOf"].as_array() {
        // Only ever a value or null.
        let option = if value.is_null() {
            options.last()
        } else {
            options.first()
        };
        return fits(document, option.unwrap(), value, at);
    }
    if let Some(properties) = schema["properties"].as_object() {
        let value = value.as_object().unwrap_or_else(|| panic!("{at}: {value}"));
        for key in value.keys() {
            assert!(properties.contains_key(key), "{at}.{key} isn't described");
        }
        for (key, schema) in properties {
            let value = value
                .get(key)
                .unwrap_or_else(|| panic!("{at}.{key} isn't there"));
            fits(document, schema, value, &format!("{at}.{key}"));
        }
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for value in values {
            fits(document, items, value, &format!("{at}[]"));
        }
    }
}

#[test]
fn the_status_is_as_described() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]).pool("health_check: {type: tcp}"));
    lb.wait_state("app", "a", "up");
    let document = lb.admin_get("/api/v1/openapi.json").json();
    let schema = &document["paths"]["/api/v1/status"]["get"]["responses"]["200"]["content"]["application/json"]
        ["schema"];
    fits(&document, schema, &lb.status(), "status");
    for (method, path, operation) in operations(&document) {
        assert!(operation["operationId"].is_string(), "{method} {path}");
        assert!(operation["summary"].is_string(), "{method} {path}");
    }
}
