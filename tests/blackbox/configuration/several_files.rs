//! Several files: `include`, a directory, and standard input.

use super::*;

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
    let outcome = equipoise(
        dir.path(),
        &["check", "--elsewhere", "-c", "etc/lb.yaml"],
        &[],
    );
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
}

#[test]
fn a_leading_dot_is_matched_by_a_dot_alone() {
    let text = format!("include: [\"conf.d/*.yaml\", \"**/extra/*.yaml\"]\n{MINIMAL}");
    let rubbish = "rub\0bish";
    let files = [
        ("conf.d/._a.yaml", rubbish),
        ("conf.d/.#a.yaml", rubbish),
        ("..data/extra/b.yaml", rubbish),
        (".git/extra/c.yaml", rubbish),
        (
            "conf.d/a.yaml",
            "pools: {b: {servers: [{address: \"a:1\"}]}}\nlisteners: {b: {bind: \"127.0.0.1:8090\", pool: b}}\n",
        ),
    ];
    let outcome = check_with(&text, &files, &[]);
    assert_eq!(
        outcome.stdout, "lb.yaml: ok, 2 listeners, 2 pools, 2 servers\n",
        "{}",
        outcome.stderr
    );
    // Who writes the dot means it.
    let text = text.replace("conf.d/*.yaml", "conf.d/.*.yaml");
    let outcome = check_with(&text, &files, &[]);
    assert_eq!(outcome.status, Some(2));
    assert!(
        outcome.stderr.contains("conf.d/._a.yaml:1:4: holds a NUL"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn one_file_under_several_names_is_merged_once() {
    let dir = TempDir::new().expect("a directory");
    // As Kubernetes mounts a ConfigMap.
    fs::create_dir_all(dir.path().join("conf.d/..2026")).expect("made");
    let more = "pools: {b: {servers: [{address: \"a:1\"}]}}\nlisteners: {b: {bind: \"127.0.0.1:8090\", pool: b}}\n";
    fs::write(dir.path().join("conf.d/..2026/b.yaml"), more).expect("written");
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(target, dir.path().join(name)).expect("linked");
    };
    link("..2026", "conf.d/..data");
    link("..data/b.yaml", "conf.d/b.yaml");
    link("b.yaml", "conf.d/z.yaml");
    let text = format!("include: [\"conf.d/*.yaml\", \"conf.d/b*\", conf.d/b.yaml]\n{MINIMAL}");
    fs::write(dir.path().join("lb.yaml"), text).expect("written");
    let outcome = equipoise(dir.path(), &["check", "--elsewhere", "-c", "lb.yaml"], &[]);
    assert_eq!(
        outcome.stdout, "lb.yaml: ok, 2 listeners, 2 pools, 2 servers\n",
        "{}",
        outcome.stderr
    );
    // The same mount as a directory.
    fs::write(dir.path().join("conf.d/..2026/b.yaml"), MINIMAL).expect("written");
    let outcome = equipoise(dir.path(), &["check", "--elsewhere", "-c", "conf.d"], &[]);
    assert_eq!(
        outcome.stdout, "conf.d: ok, 1 listener, 1 pool, 1 server\n",
        "{}",
        outcome.stderr
    );
}

#[test]
fn an_included_file_that_is_no_glob_must_be_there() {
    let text = format!("include: [\"none/*.yaml\", more.yaml, ./]\n{MINIMAL}");
    assert_eq!(
        problems(&text),
        [
            "lb.yaml:1:26: include[1]: more.yaml can't be read: No such file or directory (os error 2)",
            "lb.yaml:1:37: include[2]: `./` is a directory; write ./*.yaml",
        ]
    );
}

#[test]
fn what_may_stand_in_a_file_that_cannot_be_read_is_not_missed() {
    let text = format!(
        "include: conf.d/*\n{}",
        MINIMAL.replace("pool: app", "pool: other")
    );
    let outcome = check_with(&text, &[("conf.d/a.yaml", "pools: {other: {\n")], &[]);
    let told: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("conf.d/a.yaml:"), "{told:?}");
}

fn directory(files: &[(&str, &str)]) -> Outcome {
    let dir = TempDir::new().expect("a directory");
    fs::create_dir(dir.path().join("etc")).expect("made");
    for (name, text) in files {
        fs::write(dir.path().join("etc").join(name), text).expect("written");
    }
    equipoise(dir.path(), &["check", "--elsewhere", "-c", "etc"], &[])
}

#[test]
fn a_directory_is_read_as_one_configuration() {
    let listeners =
        "server: {threads: 1}\nlisteners: {web: {bind: \"127.0.0.1:8080\", pool: app}}\n";
    let pools = "pools: {app: {servers: [{address: \"127.0.0.1:8081\"}]}}\n";
    let outcome = directory(&[
        ("20-pools.yml", pools),
        ("10-web.yaml", listeners),
        (".hidden.yaml", "\0"),
        ("30-web.yaml~", "\0"),
        ("README", "words"),
    ]);
    assert_eq!(
        outcome.stdout, "etc: ok, 1 listener, 1 pool, 1 server\n",
        "{}",
        outcome.stderr
    );

    let outcome = directory(&[
        ("a.yaml", listeners),
        ("b.yaml", &format!("server: {{}}\nadmin: {{}}\n{listeners}")),
        ("c.yaml", "server: {}\n"),
    ]);
    assert_eq!(outcome.status, Some(2));
    let told: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(
        told,
        [
            "etc: pools: is missing; it has no default",
            "etc/a.yaml:2:49: listeners.web.pool: there is no pool `app`",
            "etc/b.yaml:1:1: server: stands in two files; first at etc/a.yaml:1:1; write all of it in one",
            "etc/b.yaml:3:1: server: is written twice; first at etc/b.yaml:1:1",
            "etc/b.yaml:4:13: listeners.web: is defined twice; first at etc/a.yaml:2:13",
            "etc/c.yaml:1:1: server: stands in two files; first at etc/a.yaml:1:1; write all of it in one",
        ]
    );

    let outcome = directory(&[("README", "words")]);
    assert_eq!(
        outcome.stderr,
        "etc: is a directory without a file whose name ends in .yaml or .yml\n"
    );
    assert_eq!(outcome.status, Some(2));
}

#[test]
fn standard_input_is_a_configuration() {
    let dir = TempDir::new().expect("a directory");
    let outcome = check_stdin(dir.path(), MINIMAL);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    // Relative paths are relative to where the program was started.
    fs::write(dir.path().join("more.yaml"), "pools: {}\nbad: 1\n").expect("written");
    let outcome = check_stdin(
        dir.path(),
        &format!("include: more.yaml\npoools: {{}}\n{MINIMAL}"),
    );
    assert_eq!(
        outcome.stderr.lines().collect::<Vec<_>>(),
        [
            "<stdin>:2:1: poools: unknown key; did you mean pools?",
            "more.yaml:2:1: bad: an included file may hold only listeners and pools",
        ]
    );
}

#[test]
fn a_pipe_or_a_device_is_not_waited_for() {
    let dir = TempDir::new().unwrap();
    nix::unistd::mkfifo(&dir.path().join("pipe.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("/dev/zero", dir.path().join("zero.yaml")).unwrap();
    for include in ["pipe.yaml", "p*.yaml", "zero.yaml", "z*.yaml"] {
        let text = format!("include: ['{include}']\n{MINIMAL}");
        fs::write(dir.path().join("lb.yml"), &text).unwrap();
        let output = Command::new(BINARY)
            .args(["check", "lb.yml"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{include}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("is no file but a"), "{include}: {said}");
    }
    let exit = Command::new(BINARY)
        .arg("check")
        .arg(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(exit.stderr).unwrap();
    assert!(said.contains("pipe.yaml: is no file but a"), "{said}");
}

/// Nobody writes to it, so whoever opens it to read never comes back.
#[test]
fn a_pipe_instead_of_a_file_that_the_configuration_names_is_not_waited_for() {
    let dir = TempDir::new().unwrap();
    nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pool = |more: &str| {
        format!(
            "listeners: {{web: {{bind: '127.0.0.1:0', pool: app}}}}\npools: {{app: {{servers: ['127.0.0.1:1'], {more}}}}}\n"
        )
    };
    for text in [
        pool("persistence: {type: cookie_insert, secret_file: pipe}"),
        pool("tls: {ca: pipe}"),
        pool("tls: {certificate: {cert: pipe, key: pipe}}"),
        format!(
            "{}admin: {{bind: '127.0.0.1:0', token_file: pipe}}\n",
            pool("")
        ),
    ] {
        fs::write(dir.path().join("lb.yml"), &text).unwrap();
        let output = Command::new(BINARY)
            .args(["check", "lb.yml"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}: {said}");
        assert!(
            said.contains("is a pipe; a file is wanted"),
            "{text}: {said}"
        );
    }
}
