//! SPEC section 2, and `check` and `schema` of section 1, from outside.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;
use serde_yaml::Value as Yaml;
use tempfile::TempDir;

use crate::common::equipoise::BINARY;

const MINIMAL: &str = "
listeners:
  web:
    bind: 127.0.0.1:8080
    pool: app
pools:
  app:
    servers:
      - address: 127.0.0.1:8081
";

struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

fn equipoise(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Outcome {
    let output = Command::new(BINARY)
        .args(args)
        .env_remove("STATE_DIRECTORY")
        .envs(env.iter().copied())
        .current_dir(dir)
        .output()
        .expect("the binary runs");
    Outcome {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Checks `lb.yaml` with this text, next to these further files.
fn check_with(text: &str, files: &[(&str, &str)], env: &[(&str, &str)]) -> Outcome {
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("lb.yaml"), text).expect("written");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("allowed");
    }
    equipoise(dir.path(), &["check", "-c", "lb.yaml"], env)
}

/// The problems of `lb.yaml` with this text, one a line.
fn problems(text: &str) -> Vec<String> {
    let outcome = check_with(text, &[], &[]);
    assert_eq!(outcome.status, Some(2), "{}", outcome.stdout);
    assert_eq!(outcome.stdout, "", "problems belong to stderr");
    outcome.stderr.lines().map(str::to_owned).collect()
}

/// Further lines for the one pool.
fn pool(lines: &str) -> String {
    format!("{MINIMAL}    {}\n", lines.replace('\n', "\n    "))
}

fn shipped() -> Vec<PathBuf> {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let mut files: Vec<PathBuf> = fs::read_dir(conf)
        .expect("conf/")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    files
}

fn schema() -> Json {
    let outcome = equipoise(Path::new("."), &["schema"], &[]);
    assert_eq!(outcome.status, Some(0));
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

#[test]
fn a_good_file_is_ok_and_counted() {
    let outcome = check_with(MINIMAL, &[], &[]);
    assert_eq!(
        outcome.stdout,
        "lb.yaml: ok, 1 listener, 1 pool, 1 server\n"
    );
    assert_eq!(outcome.stderr, "");
    assert_eq!(outcome.status, Some(0));
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let told = problems(
        "server:
  max_conections: 5
listeners:
  web:
    bind: 127.0.0.1:8080
    pool: ap
    http: {header_timeout: 5}
pools:
  app:
    algorithm: weighted_round_robbin
    servers:
      - address: 127.0.0.1
      - {address: \"a:1\", wieght: 2}
  two:
    health_check: {interval: 1s, fast_interval: 2s}
    servers:
      - {name: x, address: \"a:1\"}
      - {name: x, address: \"a:2\"}
",
    );
    let wanted = [
        "lb.yaml:2:3: server.max_conections: unknown key; did you mean max_connections?",
        "lb.yaml:6:11: listeners.web.pool: there is no pool `ap`; did you mean app?",
        "lb.yaml:7:28: listeners.web.http.header_timeout: `5` has no unit; write 5s or 5ms",
        "lb.yaml:10:16: pools.app.algorithm: `weighted_round_robbin` is unknown; it can be one of \
         weighted_round_robin, weighted_least_connections; did you mean weighted_round_robin?",
        "lb.yaml:12:18: pools.app.servers[0].address: `127.0.0.1` has no port; write 127.0.0.1:8080",
        "lb.yaml:13:26: pools.app.servers[1].wieght: unknown key; did you mean weight?",
        "lb.yaml:15:49: pools.two.health_check.fast_interval: 2s is longer than interval (1s)",
        "lb.yaml:18:16: pools.two.servers[1].name: two servers are named `x`; the first at lb.yaml:17:16",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn wrong_types_say_what_is_wanted() {
    for (lines, wanted) in [
        (
            "queue: {size: \"5\"}",
            "pools.app.queue.size: must be a whole number, found a string",
        ),
        (
            "queue: 5",
            "pools.app.queue: must be a mapping, found a number",
        ),
        (
            "queue:",
            "pools.app.queue: must be a mapping, found nothing; write {} or leave the key away",
        ),
        (
            "retries: {on: connect_failure}",
            "pools.app.retries.on: must be a list, found a string",
        ),
        (
            "keepalive: {connections: 1.5}",
            "pools.app.keepalive.connections: must be a whole number",
        ),
        (
            "slow_start: [1s]",
            "pools.app.slow_start: must be a string or a whole number, found a list",
        ),
    ] {
        let told = problems(&pool(lines));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(wanted), "{}\n{wanted}", told[0]);
    }
}

#[test]
fn duplicate_keys_name_both_places() {
    let told = problems(&format!("{MINIMAL}listeners: {{}}\n"));
    assert_eq!(
        told,
        ["lb.yaml:10:1: listeners: is written twice; first at lb.yaml:2:1"]
    );
}

#[test]
fn syntax_errors_have_a_place() {
    let told = problems("listeners:\n  web: [\n");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("lb.yaml:") && told[0].contains("is not valid YAML"),
        "{told:?}"
    );
    assert!(problems("a: 1\n---\nb: 1\n")[0].starts_with("lb.yaml:2:1: a second YAML document"));
    assert!(problems("- a\n")[0].starts_with("lb.yaml:1:1: must be a mapping"));
}

#[test]
fn the_environment_fills_in_values() {
    let text = MINIMAL.replace("127.0.0.1:8081", "${BACKEND}:${PORT:-8081}");
    let outcome = check_with(&text, &[], &[("BACKEND", "db.example")]);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    let outcome = check_with(&text, &[], &[("BACKEND", "a:1, x: {"), ("PORT", "80")]);
    assert_eq!(outcome.status, Some(2), "a variable can't add structure");
    let told = problems(&text);
    let wanted =
        "lb.yaml:9:18: pools.app.servers[0].address: environment variable BACKEND is not set";
    assert!(told.len() == 1 && told[0].starts_with(wanted), "{told:?}");
}

#[test]
fn numbers_from_the_environment_are_numbers() {
    let text = pool("queue: {size: \"${SIZE}\"}").replace("\"${SIZE}\"", "$SIZE");
    assert!(
        problems(&text)[0].contains("must be a whole number"),
        "$NAME is no variable"
    );
    let text = pool("queue:\n  size: ${SIZE}");
    let outcome = check_with(&text, &[], &[("SIZE", "12")]);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
}

#[test]
fn includes_are_merged() {
    let text = format!("include: [conf.d/*.yaml, none/*.yaml]\n{MINIMAL}");
    let files = [
        (
            "conf.d/b.yaml",
            "pools: {b: {servers: [{address: \"a:1\"}, {address: \"a:2\"}]}}\n",
        ),
        (
            "conf.d/a.yaml",
            "listeners: {a: {bind: \"127.0.0.1:8090\", pool: b}}\n",
        ),
        ("conf.d/not-this.txt", "nonsense"),
    ];
    let outcome = check_with(&text, &files, &[]);
    assert_eq!(
        outcome.stdout, "lb.yaml: ok, 2 listeners, 2 pools, 3 servers\n",
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_name_defined_twice_names_both_places() {
    let text = format!("include: [more.yaml]\n{MINIMAL}");
    let more = "pools:\n  app:\n    servers: [{address: \"a:1\"}]\nserver: {}\n";
    let outcome = check_with(&text, &[("more.yaml", more)], &[]);
    assert_eq!(outcome.status, Some(2));
    let told: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(
        told,
        [
            "more.yaml:2:3: pools.app: is defined twice; first at lb.yaml:8:3",
            "more.yaml:4:1: server: an included file may hold only listeners and pools",
        ]
    );
}

#[test]
fn a_problem_in_an_include_names_that_file() {
    let text = format!("include: [more.yaml]\n{MINIMAL}");
    let more = "pools:\n  b:\n    servers: [{adress: \"a:1\"}]\n";
    let outcome = check_with(&text, &[("more.yaml", more)], &[]);
    let wanted = "more.yaml:3:16: pools.b.servers[0].adress: unknown key; did you mean address?";
    assert!(
        outcome.stderr.lines().any(|line| line == wanted),
        "{}",
        outcome.stderr
    );
}

#[test]
fn what_is_planned_is_not_supported_yet() {
    for (text, wanted) in [
        (
            MINIMAL.replace("    pool: app", "    pool: app\n    proxy_protocol: true"),
            "lb.yaml:6:5: listeners.web.proxy_protocol: not supported yet",
        ),
        (
            pool("algorithm: peak_ewma"),
            "lb.yaml:10:16: pools.app.algorithm: peak_ewma is not supported yet",
        ),
        (
            pool("discovery: {dns: x}"),
            "lb.yaml:10:5: pools.app.discovery: not supported yet",
        ),
    ] {
        assert_eq!(problems(&text), [wanted]);
    }
}

#[test]
fn a_mistake_in_a_route_is_the_only_one_told() {
    let routes = "listeners:\n  web:\n    bind: 127.0.0.1:0\n    routes:\n      \
                  - {match: {path: x}, respond: {status: 200}}\n\
                  pools: {app: {servers: [{address: \"127.0.0.1:1\"}]}}\n";
    assert_eq!(
        problems(routes),
        ["lb.yaml:5:24: listeners.web.routes[0].match.path: `x` is not a path; it begins with /"]
    );
    // In routes variables are the request's, and it is told which there are.
    let told = problems(&routes.replace("path: x", "path: \"/${hots}\""));
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("environment variable hots is not set")
            && told[0].contains("request_id, listener"),
        "{told:?}"
    );
}

#[test]
fn a_key_of_another_persistence_says_which_it_belongs_to() {
    for (lines, wanted) in [
        (
            "persistence: {type: cookie_insert, separator: \"!\"}",
            "lb.yaml:10:51: pools.app.persistence.separator: only for type route",
        ),
        (
            "persistence: {type: source_ip, cookie: SERVERID}",
            "lb.yaml:10:44: pools.app.persistence.cookie: only for types cookie_insert, cookie_rewrite, \
             cookie_prefix, route and learn",
        ),
        (
            "persistence: {type: cookie_prefix, cookie: S, table: {}}",
            "lb.yaml:10:51: pools.app.persistence.table: only for types learn and source_ip",
        ),
        (
            "persistence: {type: learn}",
            "lb.yaml:10:5: pools.app.persistence.cookie: is missing; type learn needs the name of the cookie \
             that the servers set",
        ),
        (
            "persistence: {type: cookie_insert, token: name, max_lifetime: 1h}",
            "lb.yaml:10:67: pools.app.persistence.max_lifetime: can't be enforced with token: name, which \
             says no time; write token: signed",
        ),
        (
            "persistence: {type: source_ip, timeout: 0}",
            "lb.yaml:10:45: pools.app.persistence.timeout: must be from 1s to 86400s, found 0",
        ),
    ] {
        assert_eq!(problems(&pool(lines)), [wanted]);
    }
    let outcome = check_with(
        &pool("persistence: {type: source_ip, timeout: 86400s}"),
        &[],
        &[],
    );
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
}

#[test]
fn a_route_names_one_server() {
    let text = pool("persistence: {type: route}");
    let with = |servers: &str| text.replace("\n      - address: 127.0.0.1:8081", servers);
    assert_eq!(
        problems(&with(
            "\n      - {name: a, address: \"a:1\", route: t1}\n      - {name: b, address: \"a:2\", route: t1}"
        )),
        ["lb.yaml:10:42: pools.app.servers[1].route: servers `a` and `b` both have the route `t1`"]
    );
    let dots = problems(&text);
    assert!(
        dots.len() == 1
            && dots[0]
                .contains("`127.0.0.1:8081` has its name for a route, which holds the separator"),
        "{dots:?}"
    );
    let right =
        "\n      - {name: a, address: \"a:1\"}\n      - {name: b, address: \"a:2\", route: t1}";
    let outcome = check_with(&with(right), &[], &[]);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
}

#[test]
fn the_password_of_a_store_is_never_printed() {
    const SECRET: &str = "sesame-open-42";
    let text = |store: &str| {
        pool(&format!(
            "persistence: {{type: source_ip, table: {{store: \"{store}\"}}}}"
        ))
    };
    for store in [
        "redis://:@@/",
        "redis://:@@@cache:x",
        "redis://:@@/x@cache",
        "redis://:@@#@cache",
        "http://:@@@cache",
        "unix://cache?pass=@@",
    ] {
        for (store, env) in [
            (store.replace("@@", SECRET), ""),
            (store.replace("@@", "${PASSWORD}"), SECRET),
        ] {
            let dir = TempDir::new().expect("a directory");
            fs::write(dir.path().join("lb.yaml"), text(&store)).expect("written");
            for format in ["text", "json"] {
                let args = ["check", "-c", "lb.yaml", "--format", format];
                let outcome = equipoise(dir.path(), &args, &[("PASSWORD", env)]);
                let said = outcome.stdout + &outcome.stderr;
                assert_eq!(outcome.status, Some(2), "{store} is accepted");
                assert!(said.contains("pools.app.persistence.table.store"), "{said}");
                assert!(!said.contains("sesame"), "{said}");
            }
        }
    }
    let right = text("redis://:${PASSWORD}@cache:6379/0");
    let outcome = check_with(&right, &[], &[("PASSWORD", SECRET)]);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(!(outcome.stdout + &outcome.stderr).contains("sesame"));
}

#[test]
fn every_signing_type_has_its_secret_file_checked() {
    for keys in [
        "type: cookie_insert",
        "type: cookie_rewrite, cookie: S",
        "type: cookie_prefix, cookie: S",
    ] {
        let text = pool(&format!("persistence: {{{keys}, secret_file: keys}}"));
        let told = problems(&text);
        assert!(
            told.len() == 1 && told[0].contains("pools.app.persistence.secret_file: "),
            "{told:?}"
        );
        let secret = "0123456789abcdef0123456789abcdef\n";
        let outcome = check_with(&text, &[("keys", secret)], &[]);
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    }
}

#[test]
fn every_persistence_is_shown_and_explained() {
    let schema = schema();
    let types = schema["$defs"]["Persistence"]["properties"]["type"]["enum"].clone();
    let types: Vec<String> = serde_json::from_value(types).expect("a list of types");
    assert_eq!(types.len(), 6, "{types:?}");
    let mut shown = BTreeSet::new();
    for file in shipped()
        .into_iter()
        .filter(|file| !file.ends_with("edge.yaml"))
    {
        let text = fs::read_to_string(&file).expect("readable");
        assert!(
            text.starts_with("# "),
            "{} says not what it is for",
            file.display()
        );
        let config: Yaml = serde_yaml::from_str(&text).expect("YAML");
        for (_, pool) in config["pools"].as_mapping().expect("pools") {
            let kind = pool["persistence"]["type"].as_str();
            shown.extend(kind.map(str::to_owned));
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sessions.md");
    let manual = fs::read_to_string(path).expect("the manual");
    for kind in types {
        assert!(shown.contains(&kind), "no example of {kind}");
        assert!(
            manual.contains(&format!("\n## `{kind}`\n")),
            "no chapter on {kind}"
        );
    }
}

#[test]
fn a_secret_file_must_be_usable() {
    let text = pool("persistence: {type: cookie_insert, secret_file: keys}");
    let told = problems(&text);
    assert!(
        told.len() == 1
            && told[0].starts_with("lb.yaml:10:53: pools.app.persistence.secret_file: "),
        "{told:?}"
    );
    let outcome = check_with(&text, &[("keys", "\n")], &[]);
    assert_eq!(outcome.status, Some(2), "an empty file signs nothing");
    let outcome = check_with(
        &text,
        &[("keys", "0123456789abcdef0123456789abcdef\n")],
        &[],
    );
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.stderr, "");
}

#[test]
fn a_missing_file_is_a_problem_and_a_missing_argument_is_usage() {
    let dir = TempDir::new().expect("a directory");
    let outcome = equipoise(dir.path(), &["check", "-c", "none.yaml"], &[]);
    assert_eq!(outcome.status, Some(2));
    assert!(
        outcome
            .stderr
            .starts_with("none.yaml: can't be opened: No such file"),
        "{}",
        outcome.stderr
    );
    assert_eq!(equipoise(dir.path(), &["check"], &[]).status, Some(2));
}

#[test]
fn json_is_one_object_on_stdout() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("lb.yaml");
    let args = ["check", "-c", "lb.yaml", "--format", "json"];
    fs::write(&file, MINIMAL).expect("written");
    let outcome = equipoise(dir.path(), &args, &[]);
    assert_eq!(outcome.status, Some(0));
    let report: Json = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(
        report,
        serde_json::json!({"valid": true, "problems": [], "warnings": []})
    );

    fs::write(&file, pool("alogrithm: x\nslow_start: 0x")).expect("written");
    let outcome = equipoise(dir.path(), &args, &[]);
    assert_eq!(outcome.status, Some(2));
    assert_eq!(outcome.stderr, "");
    let report: Json = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(report["valid"], false);
    assert_eq!(
        report["problems"][0],
        serde_json::json!({
            "file": "lb.yaml", "line": 10, "column": 5, "path": "pools.app.alogrithm",
            "message": "unknown key", "suggestion": "algorithm",
        })
    );
    assert_eq!(report["problems"][1]["column"], 17);
    assert!(report["problems"][1].get("suggestion").is_none());

    fs::remove_file(&file).expect("removed");
    let outcome = equipoise(dir.path(), &args, &[]);
    assert_eq!(outcome.status, Some(2));
    let report: Json = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(report["problems"][0]["line"], Json::Null);
}

#[test]
fn relative_paths_start_at_the_file() {
    let dir = TempDir::new().expect("a directory");
    fs::create_dir(dir.path().join("etc")).expect("made");
    let text = pool("persistence: {type: cookie_insert, secret_file: keys}");
    fs::write(dir.path().join("etc/lb.yaml"), text).expect("written");
    fs::write(
        dir.path().join("etc/keys"),
        "0123456789abcdef0123456789abcdef\n",
    )
    .expect("written");
    let outcome = equipoise(dir.path(), &["check", "-c", "etc/lb.yaml"], &[]);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
}

#[test]
fn every_shipped_configuration_is_right() {
    let files = shipped();
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let path = file.to_str().expect("UTF-8");
        let outcome = equipoise(Path::new("."), &["check", "-c", path], &[]);
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
        // The examples' authority is one that nobody trusts.
        for warning in outcome.stderr.lines().filter(|line| line.starts_with(path)) {
            assert!(
                warning.contains("intermediate missing, or a private authority"),
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
    let edge = shipped()
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
    assert_eq!(
        known.difference(&shown).collect::<Vec<_>>(),
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
