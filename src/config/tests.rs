//! The whole way from text to model.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::model::{
    AccessLogFormat, AccessLogPath, Algorithm, CheckKind, Config, InitialState, ServerAddress,
};
use super::*;

mod broken;
mod dump;
mod persistence;
mod routes;
mod tls;

const MINIMAL: &str = "
listeners:
  web:
    bind: 127.0.0.1:80
    pool: app
pools:
  app:
    servers: [{address: 127.0.0.1:8080}]
";

fn no_env(_: &str) -> Option<String> {
    None
}

fn accepted(text: &str) -> Config {
    match parse_str("t.yaml", text, &no_env) {
        Ok(config) => config,
        Err(problems) => panic!("{problems}"),
    }
}

fn refused(text: &str) -> Vec<String> {
    match parse_str("t.yaml", text, &no_env) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// A configuration whose pool has these further lines.
fn pool(lines: &str) -> String {
    let lines = lines.replace('\n', "\n    ");
    format!("{MINIMAL}    {lines}\n")
}

/// What is wrong with the one pool's further lines, without place.
fn pool_problems(lines: &str) -> Vec<String> {
    refused(&pool(lines))
        .iter()
        .map(|problem| {
            let (_, rest) = problem.split_once(": ").expect("a place");
            rest.to_owned()
        })
        .collect()
}

fn assert_problem(problems: &[String], beginning: &str) {
    assert!(
        problems.len() == 1 && problems[0].starts_with(beginning),
        "wanted {beginning}, found {problems:#?}"
    );
}

#[test]
fn defaults_are_the_documented_ones() {
    let config = accepted(MINIMAL);
    let seconds = Duration::from_secs;
    assert_eq!(config.server.max_connections, 65_536);
    assert!(config.server.threads >= 1);
    assert_eq!(config.server.shutdown_timeout, seconds(30));
    assert_eq!(config.server.state_dir, Path::new("/var/lib/equipoise"));
    assert!(config.admin.is_none());
    assert_eq!(config.logging.level, "info");
    assert_eq!(config.logging.access_log.path, AccessLogPath::Stdout);
    assert_eq!(config.logging.access_log.format, AccessLogFormat::Combined);
    assert_eq!(config.logging.access_log.buffer, 65_536);
    let listener = &config.listeners[0];
    assert_eq!(listener.tcp_keepalive.idle, seconds(7200));
    assert_eq!(listener.tcp_keepalive.interval, seconds(75));
    assert_eq!(listener.tcp_keepalive.probes, 10);
    assert!(listener.client_address.x_forwarded_proto && !listener.client_address.x_real_ip);
    assert_eq!(listener.http.keepalive_requests, 100);
    assert_eq!(listener.http.keepalive_timeout, seconds(60));
    assert_eq!(listener.http.header_timeout, seconds(10));
    assert_eq!(listener.http.max_header_size, 65_536);
    assert_eq!(listener.http.max_uri_length, 16_384);
    assert_eq!(listener.http.max_body_size, 0);
    let pool = &config.pools[0];
    assert_eq!(pool.algorithm, Algorithm::WeightedRoundRobin);
    assert_eq!(&*pool.servers[0].name, "127.0.0.1:8080");
    assert_eq!(pool.servers[0].weight, 1);
    assert!(pool.persistence.is_none());
    assert_eq!(pool.slow_start, Duration::ZERO);
    assert_eq!((pool.queue.size, pool.queue.timeout), (0, seconds(5)));
    assert_eq!(pool.timeouts.connect, seconds(5));
    assert_eq!(pool.timeouts.idle, seconds(60));
    assert_eq!(pool.retries.attempts, 2);
    assert!(pool.retries.on_connect_failure && pool.retries.on_reset_before_response);
    assert!(!pool.retries.on_502 && !pool.retries.on_503 && !pool.retries.on_504);
    assert_eq!(pool.keepalive.connections, 128);
    let check = pool.health_check.as_ref().expect("checked by default");
    assert!(matches!(check.kind, CheckKind::Tcp));
    assert_eq!(
        (check.interval, check.fast_interval),
        (seconds(5), seconds(1))
    );
    assert_eq!((check.timeout, check.rise, check.fall), (seconds(2), 2, 3));
    assert_eq!(check.initial, InitialState::Unknown);
}

#[test]
fn slow_start_depends_on_the_algorithm_unless_it_is_written() {
    let of = |lines: &str| accepted(&pool(lines)).pools[0].slow_start;
    assert_eq!(
        of("algorithm: weighted_least_connections"),
        Duration::from_secs(30)
    );
    assert_eq!(
        of("algorithm: weighted_least_connections\nslow_start: 0"),
        Duration::ZERO
    );
    assert_eq!(of("slow_start: 5s"), Duration::from_secs(5));
}

#[test]
fn absent_and_null_health_checks_differ() {
    assert!(
        accepted(&pool("health_check: null")).pools[0]
            .health_check
            .is_none()
    );
    assert!(
        accepted(&pool("health_check: {}")).pools[0]
            .health_check
            .is_some()
    );
}

#[test]
fn an_empty_admin_section_listens_on_loopback() {
    let config = accepted(&format!("admin: {{}}\n{MINIMAL}"));
    let bind = config.admin.expect("an admin listener").bind;
    assert_eq!(bind, model::AdminBind::Tcp(([127, 0, 0, 1], 9900).into()));
    let problems = refused(&format!("admin: {{bind: 0.0.0.0:9900}}\n{MINIMAL}"));
    assert_problem(
        &problems,
        "t.yaml:1:15: admin.bind: 0.0.0.0:9900 is not a loopback address",
    );
    assert!(problems[0].contains("admin.token_file"));
}

#[test]
fn a_body_to_look_at_makes_head_get() {
    let config = accepted(&pool(
        "health_check: {type: http, expect_body: ok, headers: {X-N: 1}}",
    ));
    let Some(CheckKind::Http(check)) = config.pools[0].health_check.as_ref().map(|c| &c.kind)
    else {
        panic!("not an http check");
    };
    assert_eq!(check.method, ::http::Method::GET);
    assert_eq!(check.expect_status, [200..=399]);
    assert_eq!(check.headers[0].1, "1");
}

#[test]
fn state_dir_comes_from_systemd_where_the_file_is_silent() {
    let env = |name: &str| (name == "STATE_DIRECTORY").then(|| "/a:/b".to_owned());
    let config = parse_str("t.yaml", MINIMAL, &env).expect("accepted");
    assert_eq!(config.server.state_dir, Path::new("/a"));
}

#[test]
fn one_value_may_stand_for_a_list() {
    let listed = MINIMAL.replace("127.0.0.1:80\n", "[\"127.0.0.1:80\", \"[::1]:80\"]\n");
    assert_eq!(accepted(&listed).listeners[0].bind.len(), 2);
    assert_eq!(accepted(MINIMAL).listeners[0].bind.len(), 1);
    accepted(&pool("health_check: {type: http, expect_status: 200}"));
    accepted(&pool(
        "health_check: {type: http, expect_status: [200, \"301\", 302-399]}",
    ));
}

#[test]
fn names_and_addresses_keep_the_order_of_the_file() {
    let text = MINIMAL.replace(
        "[{address: 127.0.0.1:8080}]",
        "[{name: z, address: b.example:1}, {name: a, address: \"unix:s/a.sock\"}]",
    );
    let config = parse_str("/etc/eq/t.yaml", &text, &no_env).expect("accepted");
    let servers = &config.pools[0].servers;
    assert_eq!((&*servers[0].name, &*servers[1].name), ("z", "a"));
    assert_eq!(
        servers[0].address,
        ServerAddress::Name("b.example".into(), 1)
    );
    assert_eq!(
        servers[1].address,
        ServerAddress::Unix("/etc/eq/s/a.sock".into())
    );
}

#[test]
fn combinations_that_make_no_sense_are_refused() {
    for (lines, beginning) in [
        (
            "health_check: {rise: 0}",
            "pools.app.health_check.rise: must be from 1",
        ),
        (
            "health_check: {interval: 0}",
            "pools.app.health_check.interval: can't be 0",
        ),
        (
            "health_check: {interval: 1s, fast_interval: 2s}",
            "pools.app.health_check.fast_interval: 2s is longer than interval (1s)",
        ),
        (
            "health_check: {path: /x}",
            "pools.app.health_check.path: has no meaning for type tcp",
        ),
        (
            "health_check: {type: http, expect_status: []}",
            "pools.app.health_check.expect_status: is empty",
        ),
        (
            "health_check: {type: http, headers: {host: x}}",
            "pools.app.health_check.headers.host: is set by the key host",
        ),
        (
            "health_check: {type: http, headers: {X-A: x, x-a: y}}",
            "pools.app.health_check.headers.x-a: is written twice",
        ),
        (
            "health_check: {type: http, expect_body: \"(a\"}",
            "pools.app.health_check.expect_body: is not a regular expression",
        ),
        (
            "timeouts: {connect: 0}",
            "pools.app.timeouts.connect: can't be 0",
        ),
        (
            "queue: {size: 1, timeout: 0}",
            "pools.app.queue.timeout: can't be 0",
        ),
        (
            "retries: {on: [500]}",
            "pools.app.retries.on[0]: `500` is unknown",
        ),
        ("persistence: {}", "pools.app.persistence.type: is missing"),
    ] {
        assert_problem(&pool_problems(lines), beginning);
    }
    accepted(&pool("health_check: {interval: 500ms}"));
}

#[test]
fn every_server_may_have_weight_0_but_there_must_be_one() {
    accepted(&MINIMAL.replace("8080}", "8080, weight: 0}"));
    assert_problem(
        &refused(&MINIMAL.replace("[{address: 127.0.0.1:8080}]", "[]")),
        "t.yaml:8:5: pools.app.servers: is empty",
    );
}

#[test]
fn an_address_is_bound_once() {
    let two = |first: &str, second: &str| {
        format!("{MINIMAL}\n").replace(
            "    bind: 127.0.0.1:80\n    pool: app\n",
            &format!(
                "    bind: \"{first}\"\n    pool: app\n  other:\n    bind: \"{second}\"\n    pool: app\n"
            ),
        )
    };
    for (first, second, part) in [
        (
            "1.2.3.4:80",
            "1.2.3.4:80",
            "1.2.3.4:80 is bound twice; first at t.yaml:4:11",
        ),
        (
            "0.0.0.0:80",
            "1.2.3.4:80",
            "can't be bound besides 0.0.0.0:80",
        ),
        (
            "1.2.3.4:80",
            "0.0.0.0:80",
            "can't be bound besides 1.2.3.4:80",
        ),
        ("[::]:80", "[::1]:80", "can't be bound besides [::]:80"),
    ] {
        let problems = refused(&two(first, second));
        assert_problem(&problems, "t.yaml:7:11: listeners.other.bind: ");
        assert!(problems[0].contains(part), "{problems:?}");
    }
    for (first, second) in [
        ("1.2.3.4:80", "1.2.3.4:81"),
        ("1.2.3.4:80", "1.2.3.5:80"),
        ("0.0.0.0:80", "[::]:80"),
        ("127.0.0.1:0", "127.0.0.1:0"),
    ] {
        accepted(&two(first, second));
    }
    let admin = format!("admin: {{bind: 127.0.0.1:80}}\n{MINIMAL}");
    assert_problem(
        &refused(&admin),
        "t.yaml:5:11: listeners.web.bind: 127.0.0.1:80 is bound twice",
    );
}

#[test]
fn whatever_is_planned_is_refused_by_name() {
    let top = |line: &str| format!("{line}\n{MINIMAL}");
    // `@` stands for each of the words, in the text and in the path.
    for (text, path, words) in [
        (top("@: {}"), "@", "tracing"),
        (pool("algorithm: @"), "pools.app.algorithm", "adaptive"),
    ] {
        for word in words.split(' ') {
            let problems = refused(&text.replace('@', word));
            let wanted = format!(": {}: ", path.replace('@', word));
            assert!(
                problems.len() == 1
                    && problems[0].contains(&wanted)
                    && problems[0].ends_with("not supported yet"),
                "{wanted}{problems:?}"
            );
        }
    }
}

#[test]
fn one_broken_part_hides_no_other() {
    let problems = refused(
        "
server: {thread: 1}
listeners:
  web: {bind: nonsense, pool: ap}
  other: {bind: \"127.0.0.1:0\", pool: spare, max_connections: \"${NOPE}\"}
pools:
  app: {servers: [{address: \"a:1\"}, {address: \"a:1\"}], queue: {size: x}}
  spare: {servers: [{adress: \"a:1\"}]}
",
    );
    let wanted = [
        "t.yaml:2:10: server.thread: unknown key",
        "t.yaml:4:15: listeners.web.bind: `nonsense` is not ip:port",
        "t.yaml:4:31: listeners.web.pool: there is no pool `ap`; did you mean app?",
        "t.yaml:5:62: listeners.other.max_connections: environment variable NOPE is not set",
        "t.yaml:7:37: pools.app.servers[1].name: two servers are named `a:1`",
        "t.yaml:7:70: pools.app.queue.size: must be a whole number, found a string",
        "t.yaml:8:21: pools.spare.servers[0].address: is missing",
        "t.yaml:8:22: pools.spare.servers[0].adress: unknown key; did you mean address?",
    ];
    assert_eq!(problems.len(), wanted.len(), "{problems:#?}");
    for (problem, wanted) in problems.iter().zip(wanted) {
        assert!(problem.starts_with(wanted), "{problem}\n{wanted}");
    }
}

#[test]
fn missing_sections_are_named() {
    let problems = refused("server: {}\n");
    assert!(
        problems
            .iter()
            .any(|p| p.starts_with("t.yaml:1:1: listeners: is missing"))
    );
    assert!(
        problems
            .iter()
            .any(|p| p.starts_with("t.yaml:1:1: pools: is missing"))
    );
    let problems = refused("listeners: {}\npools: {}\n");
    assert!(
        problems[0].starts_with("t.yaml:1:1: listeners: is empty"),
        "{problems:?}"
    );
    assert!(
        problems[1].starts_with("t.yaml:2:1: pools: is empty"),
        "{problems:?}"
    );
}

#[test]
fn includes_are_merged_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let main = dir.path().join("main.yaml");
    fs::create_dir(dir.path().join("d")).expect("made");
    fs::write(
        &main,
        format!("include: [\"d/*.yaml\", \"none/*.yaml\"]\n{MINIMAL}"),
    )
    .expect("written");
    let b = "pools: {b: {servers: [{address: \"unix:b.sock\"}]}}\n";
    fs::write(dir.path().join("d/2.yaml"), b).expect("written");
    let a = "pools: {a: {servers: [{address: \"a:1\"}]}}\nlisteners: {x: {bind: \"127.0.0.1:81\", pool: b}}\n";
    fs::write(dir.path().join("d/1.yaml"), a).expect("written");
    let config = load(&main, &no_env).expect("accepted");
    let names: Vec<&str> = config.pools.iter().map(|pool| &*pool.name).collect();
    assert_eq!(names, ["app", "a", "b"]);
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(
        config.files,
        [
            main,
            dir.path().join("d/1.yaml"),
            dir.path().join("d/2.yaml")
        ]
    );
    let socket = ServerAddress::Unix(dir.path().join("d/b.sock"));
    assert_eq!(
        config.pools[2].servers[0].address, socket,
        "relative to the file it is in"
    );
}

#[test]
fn includes_hold_listeners_and_pools_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let main = dir.path().join("main.yaml");
    let part = dir.path().join("part.yml");
    fs::write(&main, format!("include: part.yml\n{MINIMAL}")).expect("written");
    fs::write(
        &part,
        "pools:\n  app: {servers: [{address: \"a:1\"}]}\nserver: {}\n",
    )
    .expect("written");
    let problems = load(&main, &no_env).expect_err("refused");
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            format!(
                "{}:2:3: pools.app: is defined twice; first at {}:8:3",
                part.display(),
                main.display()
            ),
            format!(
                "{}:3:1: server: an included file may hold only listeners and pools",
                part.display()
            ),
        ]
    );
    fs::write(&main, format!("include: \"*.yaml\"\n{MINIMAL}")).expect("written");
    let problems = load(&main, &no_env).expect_err("refused").to_string();
    assert!(
        problems.contains("include: a glob finds this very file"),
        "{problems}"
    );
}

#[test]
fn what_cannot_be_read_is_said_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = dir.path().join("no.yaml");
    let problems = load(&missing, &no_env).expect_err("refused").to_string();
    assert!(
        problems.starts_with(&format!("{}: can't be opened", missing.display())),
        "{problems}"
    );
    let binary = dir.path().join("binary.yaml");
    fs::write(&binary, b"a: 1\nb: \xff\n").expect("written");
    let problems = load(&binary, &no_env).expect_err("refused").to_string();
    assert!(
        problems.contains(":2:4: is not UTF-8 from here on"),
        "{problems}"
    );
    let large = dir.path().join("large.yaml");
    fs::write(&large, "# filler\n".repeat(2_000_000)).expect("written");
    let problems = load(&large, &no_env).expect_err("refused").to_string();
    assert!(problems.contains("larger than 16 MiB"), "{problems}");
    assert!(load(dir.path(), &no_env).is_err());
}

#[test]
fn the_schema_uses_only_what_the_structure_check_understands() {
    fn keywords<'a>(
        schema: &'a Json,
        found: &mut BTreeSet<&'a str>,
        formats: &mut BTreeSet<&'a str>,
    ) {
        let Json::Object(rules) = schema else { return };
        for (keyword, value) in rules {
            found.insert(keyword);
            match (keyword.as_str(), value) {
                ("properties" | "$defs", Json::Object(named)) => {
                    for schema in named.values() {
                        keywords(schema, found, formats);
                    }
                }
                ("anyOf" | "oneOf", Json::Array(list)) => {
                    for schema in list {
                        keywords(schema, found, formats);
                    }
                }
                ("items" | "additionalProperties", schema) => keywords(schema, found, formats),
                ("format", Json::String(format)) => {
                    formats.insert(format);
                }
                _ => {}
            }
        }
    }
    let (mut found, mut formats) = (BTreeSet::new(), BTreeSet::new());
    keywords(schema::schema(), &mut found, &mut formats);
    let understood = BTreeSet::from([
        "$defs",
        "$ref",
        "additionalProperties",
        "anyOf",
        "const",
        "enum",
        "format",
        "items",
        "maximum",
        "minItems",
        "minimum",
        "oneOf",
        "properties",
        "required",
        "type",
        "x-stands-empty",
        "x-stands-in-part",
        // What says nothing about values, or repeats what a format checks.
        "$schema",
        "default",
        "description",
        "pattern",
        "title",
    ]);
    assert_eq!(
        found.difference(&understood).collect::<Vec<_>>(),
        Vec::<&&str>::new()
    );
    let known = |format: &str| {
        structure::knows_format(format) || format.starts_with("uint") || format == "double"
    };
    assert_eq!(
        formats
            .iter()
            .filter(|format| !known(format))
            .collect::<Vec<_>>(),
        Vec::<&&str>::new()
    );
    assert!(formats.contains("equipoise-duration"));
}

#[test]
fn defaults_in_the_schema_are_sound_themselves() {
    let defaults = serde_yaml::to_string(&serde_json::json!({
        "server": schema::schema().pointer("/properties/server/default"),
        "logging": schema::schema().pointer("/properties/logging/default"),
    }))
    .expect("YAML");
    accepted(&format!("{defaults}{MINIMAL}"));
    assert!(defaults.contains("shutdown_timeout: 30s"), "{defaults}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = parse_str("t.yaml", &text, &no_env);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = parse_str("t.yaml", &text, &no_env);
    }

    #[test]
    fn no_mutation_panics(at in 0..MINIMAL.len(), length in 0..20_usize, text in "\\PC{0,10}") {
        let end = (at + length).min(MINIMAL.len());
        let mut mutated = MINIMAL.to_owned();
        mutated.replace_range(at..end, &text);
        if let Err(problems) = parse_str("t.yaml", &mutated, &no_env) {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn no_value_panics(
        key in "(server|admin|logging|listeners|pools|include|listeners.web|pools.app)",
        value in "(\\PC{0,12}|\\[\\]|\\{\\}|null|-1|1e9|\\[\\[\\]\\])",
    ) {
        let text = match key.split_once('.') {
            Some((section, name)) => format!("{MINIMAL}{section}: {{{name}: {value}}}\n"),
            None => format!("{key}: {value}\n"),
        };
        let _ = parse_str("t.yaml", &text, &no_env);
    }
}
