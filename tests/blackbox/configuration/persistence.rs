//! `persistence` and its files.

use std::collections::BTreeSet;

use serde_yaml::Value as Yaml;

use super::*;

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
             that the servers set, or header, that of a header field",
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
                let args = ["check", "--elsewhere", "-c", "lb.yaml", "--format", format];
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
    for file in shipped_files()
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
