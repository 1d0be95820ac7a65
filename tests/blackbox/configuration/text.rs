//! The text itself: YAML, its characters, and what the environment fills in.

use super::*;

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

/// The problems of `lb.yaml` with these bytes.
fn told_about(bytes: &[u8]) -> Vec<String> {
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("lb.yaml"), bytes).expect("written");
    let outcome = equipoise(dir.path(), &["check", "--elsewhere", "-c", "lb.yaml"], &[]);
    assert_eq!(outcome.status, Some(2), "{}", outcome.stdout);
    outcome.stderr.lines().map(str::to_owned).collect()
}

#[test]
fn a_nul_ends_nothing_in_silence() {
    let text = format!("{MINIMAL}\0\0\0\n      - address: 127.0.0.1:8082\n");
    assert_eq!(
        told_about(text.as_bytes()),
        [
            "lb.yaml:10:1: holds a NUL character (U+0000), 3 times, which YAML forbids; was the file cut off by a crash?"
        ]
    );
}

#[test]
fn what_is_not_text_for_yaml_says_where() {
    let mut latin = MINIMAL.as_bytes().to_vec();
    latin.extend(b"# caf\xe9\n");
    let utf16: Vec<u8> = MINIMAL
        .trim_start()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (bytes, wanted) in [
        (latin, "lb.yaml:10:6: is not UTF-8 from here on (byte 0xe9)"),
        (utf16.clone(), "lb.yaml: is UTF-16 or UTF-32"),
        (
            [&[0xff, 0xfe], &*utf16].concat(),
            "lb.yaml: is UTF-16 or UTF-32",
        ),
        (
            format!("{MINIMAL}\u{feff}{MINIMAL}").into_bytes(),
            "lb.yaml:10:1: holds a byte order mark (U+FEFF)",
        ),
        (
            format!("{MINIMAL}# \u{1b}[0m\n").into_bytes(),
            "lb.yaml:10:3: holds the character U+001B",
        ),
        (
            MINIMAL
                .replace("    pool: app", "    pool: \u{200b}app")
                .into_bytes(),
            "lb.yaml:5:11: `\u{200b}app` holds an invisible character (U+200B)",
        ),
        (
            MINIMAL
                .replace("127.0.0.1:8081", "\u{201c}127.0.0.1:8081\u{201d}")
                .into_bytes(),
            "lb.yaml:9:18: pools.app.servers[0].address: `\u{201c}127.0.0.1:8081\u{201d}` is in typographic quotes; write 127.0.0.1:8081 in plain ones",
        ),
    ] {
        let told = told_about(&bytes);
        assert!(
            told.len() == 1 && told[0].starts_with(wanted),
            "{told:?}\n{wanted}"
        );
    }
    let told = problems(&MINIMAL.replace("pool: app", "pool:\u{a0}app"));
    assert!(
        told[0].contains("is not valid YAML")
            && told[0].contains("line 5 holds a no-break space (U+00A0)"),
        "{told:?}"
    );
    let marked = format!("\u{feff}{MINIMAL}");
    assert_eq!(check_with(&marked, &[], &[]).status, Some(0));
}

#[test]
fn one_file_is_one_document() {
    for text in [
        format!("---\n{MINIMAL}"),
        format!("%YAML 1.2\n---{MINIMAL}...\n"),
        format!("{MINIMAL}...\n# the end\n"),
        format!("...\n{MINIMAL}"),
    ] {
        let outcome = check_with(&text, &[], &[]);
        assert_eq!(outcome.status, Some(0), "{text}\n{}", outcome.stderr);
    }
    for (text, wanted) in [
        (
            format!("{MINIMAL}---\n"),
            "lb.yaml:10:1: a second YAML document begins here",
        ),
        (
            format!("{MINIMAL}...\n      - address: a:1\n"),
            "lb.yaml:11:7: a second YAML document begins here",
        ),
        (
            format!("{MINIMAL}...\npools: {{}}\n"),
            "lb.yaml:11:1: a second YAML document begins here",
        ),
        (
            format!("---\n---\n{MINIMAL}"),
            "lb.yaml:2:1: a second YAML document begins here",
        ),
        (format!("{MINIMAL}  ...\n"), "lb.yaml:"),
    ] {
        let told = problems(&text);
        assert!(
            told.len() == 1 && told[0].starts_with(wanted),
            "{text}{told:?}\n{wanted}"
        );
    }
}

#[test]
fn aliases_are_values_and_merge_keys_are_refused() {
    let text = format!(
        "{}\n  b: {{servers: *servers}}\n",
        MINIMAL.trim_end().replace("servers:", "servers: &servers")
    );
    let outcome = check_with(&text, &[], &[]);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(
        outcome.stdout.contains("2 pools, 2 servers"),
        "{}",
        outcome.stdout
    );
    let text = format!(
        "{}\n  b:\n    <<: *a\n",
        MINIMAL.trim_end().replace("  app:", "  app: &a")
    );
    assert!(
        problems(&text)[1].contains("merge keys are not part of YAML 1.2; write the keys out"),
        "{:?}",
        problems(&text)
    );
}

#[test]
fn tabs_are_told_as_tabs() {
    for text in [
        MINIMAL.replace("    bind", "\tbind"),
        MINIMAL.replace("    bind", "  \tbind"),
        MINIMAL.replace("      - address", "\t- address"),
    ] {
        let told = problems(&text);
        assert!(
            told.len() == 1 && told[0].contains("never by tabs"),
            "{told:?}"
        );
    }
}
