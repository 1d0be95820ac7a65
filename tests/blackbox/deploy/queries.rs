//! What rules, dashboards and pages ask Prometheus for, against what there is.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value as Json;

use crate::common::Metrics;

/// The names, labels and values of closed sets in the metrics of a running instance.
pub struct Vocabulary {
    /// Of each name its labels, and of each label its values.
    labels: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

/// Labels whose values come from the configuration, or from Prometheus.
const OPEN: [&str; 4] = ["listener", "pool", "server", "le"];
const PROMETHEUS: [&str; 2] = ["job", "instance"];

impl Vocabulary {
    pub fn of(metrics: &Metrics) -> Self {
        let mut labels: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for sample in metrics.samples() {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| sample.name.strip_suffix(end))
                .unwrap_or(&sample.name);
            for name in [family, &sample.name] {
                let known = labels.entry(name.to_owned()).or_default();
                for (label, value) in &sample.labels {
                    known
                        .entry(label.clone())
                        .or_default()
                        .insert(value.clone());
                }
            }
        }
        Self { labels }
    }

    /// Adds the values of a closed set of which a server shows only what has happened.
    pub fn add(&mut self, name: &str, label: &str, values: &[&str]) {
        let labels = self.labels.entry(name.to_owned()).or_default();
        let known = labels.entry(label.to_owned()).or_default();
        known.extend(values.iter().map(|value| (*value).to_owned()));
    }

    /// What is asked for in a text and isn't there.
    pub fn missing_from(&self, text: &str) -> Vec<String> {
        let name = Regex::new(
            r"\b(equipoise_[a-z0-9_]+|process_(?:cpu|open|max|resident|virtual|start)_[a-z_]+)(?:\{([^{}]*)\})?",
        )
        .unwrap();
        let matcher = Regex::new(r#"([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)""#).unwrap();
        let mut missing = Vec::new();
        for found in name.captures_iter(text) {
            let name = &found[1];
            let Some(labels) = self.labels.get(name) else {
                missing.push(name.to_owned());
                continue;
            };
            let selector = found.get(2).map_or("", |selector| selector.as_str());
            for matcher in matcher.captures_iter(selector) {
                let label = &matcher[1];
                if PROMETHEUS.contains(&label) {
                    continue;
                }
                let Some(values) = labels.get(label) else {
                    missing.push(format!("{name}{{{label}}}"));
                    continue;
                };
                if OPEN.contains(&label) {
                    continue;
                }
                for value in matcher[3].split('|').filter(|v| !values.contains(*v)) {
                    missing.push(format!("{name}{{{label}={value}}}"));
                }
            }
        }
        missing
    }
}

/// Every query of the dashboard, its variables filled in as Grafana would.
pub fn in_dashboard(json: &str) -> Vec<String> {
    fn collect(value: &Json, found: &mut Vec<String>) {
        match value {
            Json::Object(fields) => {
                for (key, value) in fields {
                    match value.as_str() {
                        Some(query) if key == "expr" => found.push(query.to_owned()),
                        Some(query) if key == "definition" => {
                            let inside = query.strip_prefix("label_values(").unwrap();
                            let (selector, _) = inside.rsplit_once(',').unwrap();
                            found.push(selector.to_owned());
                        }
                        _ => collect(value, found),
                    }
                }
            }
            Json::Array(items) => items.iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    let dashboard: Json = serde_json::from_str(json).unwrap();
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    let variable = Regex::new(r"\$(?:instance|listener|pool)\b").unwrap();
    found
        .iter()
        .map(|query| {
            let query = query.replace("$__rate_interval", "1m");
            let query = variable.replace_all(&query, ".*").into_owned();
            assert!(!query.contains('$'), "an unknown variable: {query}");
            query
        })
        .collect()
}
