//! What is dumped means the same.

use super::*;

fn meaning(mut config: Config) -> String {
    // Where it was read from.
    config.files.clear();
    config.warnings.clear();
    format!("{config:#?}")
}

fn assert_means_the_same(loaded: &Loaded) {
    let text = dump(loaded).unwrap_or_else(|why| panic!("{why}"));
    let again = parse_str("/effective.yaml", &text, &no_env)
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let absolute = |text: String| {
        text.replace(
            "\"conf/",
            &format!("\"{}/conf/", env!("CARGO_MANIFEST_DIR")),
        )
    };
    let meant = absolute(meaning(loaded.config.clone()));
    assert_eq!(meaning(again), meant, "{text}");
}

#[test]
fn every_shipped_configuration_means_the_same_when_dumped() {
    let mut seen = 0;
    for entry in fs::read_dir("conf").expect("conf/") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let loaded = examine(&path, &no_env)
                .finish()
                .unwrap_or_else(|problems| panic!("{problems}"));
            assert_means_the_same(&loaded);
            seen += 1;
        }
    }
    assert!(seen >= 8);
}

#[test]
fn what_has_a_meaning_for_one_type_alone_is_left_out_elsewhere() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("lb.yaml");
    for lines in [
        "health_check: {type: tcp}",
        "health_check: {type: grpc, port: 81}",
        "health_check: null",
        "persistence: {type: cookie_insert, same_site: strict, attributes: {}}",
        "persistence: {type: source_ip}",
        "persistence: {type: route}",
        "persistence: {type: learn, cookie: SID}",
        "persistence: {type: cookie_rewrite, cookie: SID}",
        "queue: {size: 0, timeout: 0}",
        "health_check: {type: http, interval: 500ms, expect_status: [200, 301-302], expect_body: \"\\\\d${\"}",
        "tls: {verify: false, server_name: a.example}\nhttp2: true",
        "timeouts: {idle: 1500ms}\nretries: {on: [502, connect_failure], budget: 0}",
    ] {
        fs::write(&file, pool(lines)).expect("written");
        let Ok(loaded) = examine(&file, &no_env).finish() else {
            continue;
        };
        assert_means_the_same(&loaded);
    }
}
