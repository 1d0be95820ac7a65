//! Files of the configuration that change by themselves.

use std::fs;
use std::os::unix::fs::symlink;

use crate::common::*;

fn watching(setup: &Setup) -> Setup {
    setup
        .clone()
        .top("server: {watch_config: true, state_dir: \"@DIR@/state\"}")
}

/// Renames another configuration into place, so that nobody sees half of it.
fn put(lb: &Equipoise, yaml: &str) {
    let next = lb.dir().join("next");
    fs::write(&next, equipoise::complete(yaml, lb.dir())).unwrap();
    fs::rename(&next, lb.dir().join("equipoise.yaml")).unwrap();
}

/// Waits until requests go there.
#[track_caller]
fn wait_origin(lb: &Equipoise, origin: &Origin) {
    eventually(SOON, || lb.get("/", &[]).origin() == origin.name());
}

#[test]
fn a_changed_file_is_taken_up_and_a_broken_one_told_once() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = watching(&Setup::of([&a])).start();
    put(&lb, &watching(&Setup::of([&b])).yaml());
    wait_origin(&lb, &b);
    put(&lb, "listeners: [");
    eventually(SOON, || lb.status()["reload"]["result"] == "failure");
    assert_eq!(lb.get("/", &[]).origin(), "b");
    put(&lb, &watching(&Setup::of([&a])).yaml());
    wait_origin(&lb, &a);
    let reloads = |result: &str| {
        let labels = [("result", result)];
        lb.metrics().sum("equipoise_config_reloads_total", &labels)
    };
    assert!((reloads("failure") - 1.0).abs() < 0.1, "told once");
    assert!((reloads("success") - 2.0).abs() < 0.1);
}

#[test]
fn swapped_links_new_includes_and_named_files_are_changes() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let dir = TempDir::new("links");
    let pool = |name: &str, origin: &Origin| {
        format!(
            "pools: {{{name}: {{health_check: null, servers: [\"{}\"]}}}}\n",
            origin.address()
        )
    };
    // As Kubernetes mounts a ConfigMap.
    dir.write("v1/pool.yaml", &pool("app", &a));
    dir.write("v2/pool.yaml", &pool("app", &b));
    symlink("v1", dir.path().join("..data")).unwrap();
    fs::create_dir(dir.path().join("conf")).unwrap();
    symlink("../..data/pool.yaml", dir.path().join("conf/pool.yaml")).unwrap();
    dir.write("503.html", "first");
    let yaml = "server: {watch_config: true, state_dir: \"@DIR@/state\"}\n\
                include: [\"@DIR@/conf/*.yaml\"]\n\
                listeners:\n  web: {bind: \"127.0.0.1:0\", pool: app, http: {error_pages: {503: \"@DIR@/503.html\"}},\n    \
                routes: [{match: {path: /none}, pool: none}]}\n\
                pools: {none: {health_check: null, servers: [{name: x, address: \"127.0.0.1:1\", weight: 0}]}}\n";
    let lb = Equipoise::start_in(dir, yaml);
    assert_eq!(lb.get("/", &[]).origin(), "a");
    symlink("v2", lb.dir().join("..next")).unwrap();
    fs::rename(lb.dir().join("..next"), lb.dir().join("..data")).unwrap();
    wait_origin(&lb, &b);
    fs::write(lb.dir().join("conf/more.yaml"), pool("more", &a)).unwrap();
    eventually(SOON, || lb.status()["pools"].as_array().unwrap().len() == 3);
    assert_eq!(lb.get("/none", &[]).text(), "first");
    fs::write(lb.dir().join("503.html"), "second").unwrap();
    eventually(SOON, || lb.get("/none", &[]).text() == "second");
}

#[test]
fn without_watch_config_nobody_looks() {
    let (a, b, c) = (Origin::start("a"), Origin::start("b"), Origin::start("c"));
    let lb = watching(&Setup::of([&a])).start();
    // It may be switched off, and on again, by a reload.
    lb.rewrite(&Setup::of([&b]).yaml());
    wait_origin(&lb, &b);
    // It serves a moment before it counts.
    eventually(SOON, || super::reloads(&lb) == 1.0);
    lb.rewrite(&watching(&Setup::of([&c])).yaml());
    super::reload(&lb, &watching(&Setup::of([&a])).yaml());
    assert_eq!(lb.get("/", &[]).origin(), "a");
    lb.rewrite(&watching(&Setup::of([&b])).yaml());
    wait_origin(&lb, &b);
}
