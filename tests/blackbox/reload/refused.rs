//! What a running process can't take up is refused by name, whatever is wrong is told in one go, and nothing changes.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{reload, reloads};
use crate::common::preload::SLOW_FILE;
use crate::common::*;

/// The problems of the last reload, which was refused.
#[track_caller]
pub(super) fn problems(lb: &Equipoise) -> Vec<String> {
    let last = &lb.status()["reload"];
    assert_eq!(last["result"], "failure", "{last}");
    assert_eq!(last["changes"], Value::Array(Vec::new()), "{last}");
    strings(&last["problems"])
}

/// The changes of the last reload, which was done.
#[track_caller]
fn changes(lb: &Equipoise) -> Vec<String> {
    let last = &lb.status()["reload"];
    assert_eq!(last["result"], "success", "{last}");
    assert_eq!(last["problems"], Value::Array(Vec::new()), "{last}");
    strings(&last["changes"])
}

fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list");
    list.iter()
        .map(|one| one.as_str().expect("words").to_owned())
        .collect()
}

#[test]
fn everything_that_needs_a_restart_is_named_with_both_values() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Setup::of([&a])
        .top("server: {threads: 2}\nadmin: {bind: \"127.0.0.1:0\"}")
        .start();
    assert_eq!(lb.status()["reload"], Value::Null);
    let moved = ReservedPort::new();
    let wanted = format!(
        "server: {{threads: 3, user: nobody, group: daemon, state_dir: @DIR@/other}}\n\
         admin: {{bind: \"127.0.0.1:0\"}}\n\
         listeners:\n  web: {{bind: \"{}\", protocol: tcp, pool: app}}\n  \
         more: {{bind: \"127.0.0.1:0\", pool: app}}\n\
         pools:\n  app: {{health_check: null, servers: [{{name: b, address: \"{}\"}}]}}\n",
        moved.address(),
        b.address()
    );
    reload(&lb, &wanted);
    let found = problems(&lb);
    let dir = lb.dir().display();
    for wanted in [
        "server.threads: can't be changed from 2 to 3 while running".to_owned(),
        format!("server.state_dir: can't be changed from {dir}/state to {dir}/other while running"),
        "server.user: can't be changed from null to nobody while running".to_owned(),
        "server.group: can't be changed from null to daemon while running".to_owned(),
    ] {
        let place = format!("{dir}/equipoise.yaml:");
        assert!(
            found
                .iter()
                .any(|told| told.starts_with(&place) && told.contains(&wanted)),
            "no {wanted:?} in {found:#?}"
        );
        assert!(lb.stderr().contains(&wanted), "{}", lb.stderr());
    }
    assert_eq!(found.len(), 4, "{found:#?}");
    assert_eq!(lb.get("/", &[]).origin(), "a", "nothing has changed");
    assert!(lb.admin_get("/").text().contains("id=\"reload\""));
}

#[test]
fn what_changed_is_told() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Setup::of([&a])
        .top("server: {shutdown_timeout: 20s}")
        .start();
    let next = Setup::new()
        .server(&a, "weight: 3")
        .server(&b, "")
        .top("server: {shutdown_timeout: 10s}")
        .listener("http: {max_body_size: 5}");
    reload(&lb, &next.yaml());
    let told = [
        "server.shutdown_timeout: 20s -> 10s",
        "listeners.web.http added",
        "pools.app.servers[a].weight added",
        "pools.app.servers[b] added",
    ];
    assert_eq!(changes(&lb), told);
    let line = format!("configuration reloaded: {}", told.join(", "));
    eventually(SOON, || lb.stderr().contains(&line));
    reload(&lb, &next.yaml());
    assert!(changes(&lb).is_empty());
}

#[test]
fn listeners_in_another_order_are_the_same_listeners() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let yaml = |listeners: [(&str, &str); 2]| {
        let listener = |(name, pool): (&str, &str)| {
            format!("  {name}: {{bind: \"127.0.0.1:0\", pool: {pool}}}\n")
        };
        format!(
            "listeners:\n{}{}pools:\n  a: {{health_check: null, servers: [{{name: a, address: \"{}\"}}]}}\n  \
             b: {{health_check: null, servers: [{{name: b, address: \"{}\"}}]}}\n",
            listener(listeners[0]),
            listener(listeners[1]),
            a.address(),
            b.address()
        )
    };
    let lb = Equipoise::start(&yaml([("one", "a"), ("two", "b")]));
    reload(&lb, &yaml([("two", "a"), ("one", "b")]));
    changes(&lb);
    assert_eq!(get(lb.address("one"), "/", &[]).origin(), "b");
    assert_eq!(get(lb.address("two"), "/", &[]).origin(), "a");
}

#[test]
fn tcp_keepalive_counts_for_new_connections() {
    let a = Origin::start("a");
    let with = |idle: &str| {
        Setup::of([&a]).listener(&format!(
            "tcp_keepalive: {{idle: {idle}, interval: 10s, probes: 3}}"
        ))
    };
    let lb = with("1000s").start();
    reload(&lb, &with("50s").yaml());
    assert_eq!(
        changes(&lb),
        ["listeners.web.tcp_keepalive.idle: 1000s -> 50s"]
    );
    // One that was waited for before the reload still may be the old one's.
    lb.get("/", &[]);
    let mut client = lb.client();
    client.get("/", &[]).unwrap();
    let ours = format!(
        "0100007F:{:04X} 0100007F:{:04X}",
        lb.web().port(),
        client.local_addr().port()
    );
    let left = eventually(SOON, || {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let line = table.lines().find(|line| line.contains(&ours))?;
        let ticks = line.split_whitespace().nth(5)?.strip_prefix("02:")?;
        u64::from_str_radix(ticks, 16).ok()
    });
    assert!((3_000..=5_000).contains(&left), "{left} ticks");
}

#[test]
fn all_that_is_wrong_with_files_is_told_at_once_and_nothing_changes() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let pki = Pki::new();
    let site = pki.leaf(&["a.test"]);
    let secret = pki.write("secret", "a secret of more than sixteen bytes\n");
    let yaml = |origin: &Origin| {
        format!(
            "listeners:\n  web: {{bind: \"127.0.0.1:0\", pool: app}}\n  \
             secure:\n    {{bind: \"127.0.0.1:0\", protocol: https, pool: app, tls: {{certificates: [{{cert: {}, key: {}}}]}}}}\n\
             pools:\n  app:\n    health_check: null\n    persistence: {{type: cookie_insert, secret_file: {}}}\n    \
             servers: [{{name: {}, address: \"{}\"}}]\n",
            site.cert.display(),
            site.key.display(),
            secret.display(),
            origin.name(),
            origin.address()
        )
    };
    let lb = Equipoise::start(&yaml(&a));
    let right = fs::read(&site.key).unwrap();
    fs::write(&site.key, "no key\n").unwrap();
    fs::write(&secret, "short\n").unwrap();
    reload(&lb, &yaml(&b));
    let found = problems(&lb);
    assert!(
        [
            "listeners.secure.tls.certificates[0]",
            "pools.app.persistence.secret_file"
        ]
        .iter()
        .all(|key| found.iter().any(|told| told.contains(key))),
        "{found:#?}"
    );
    assert_eq!(lb.get("/", &[]).origin(), "a");
    let mut client = Tls::new(&pki, "a.test").connect(lb.address("secure"));
    assert_eq!(client.get("/", &[]).unwrap().origin(), "a");
    fs::write(&site.key, right).unwrap();
    fs::write(&secret, "a secret of more than sixteen bytes\n").unwrap();
    reload(&lb, &yaml(&b));
    assert_eq!(lb.get("/", &[]).origin(), "b");
}

#[test]
fn keys_files_and_addresses_are_told_together() {
    let origin = Origin::start("a");
    let server = format!(
        "pools:\n  app: {{health_check: null, servers: [{{name: a, address: \"{}\"}}]",
        origin.address()
    );
    let web = "listeners:\n  web: {bind: \"127.0.0.1:0\", pool: app}\n";
    let lb = Equipoise::start(&format!("{web}{server}}}\n"));
    // An address that is kept for documents (RFC 5737): no machine has it.
    let broken = |word: &str, top: &str| {
        format!(
            "{top}{web}  far: {{bind: \"203.0.113.1:80\", pool: app{word}}}\n  \
             secure: {{bind: \"127.0.0.1:0\", protocol: https, pool: app, \
             tls: {{certificates: [{{cert: none.pem, key: none.key}}]}}}}\n{server}, tls: {{ca: none.ca}}}}\n"
        )
    };
    for (word, top, first) in [
        (", colour: red", "", "listeners.far.colour"),
        ("", "server: {threads: 7}\n", "server.threads"),
        ("", "", "listeners.secure.tls"),
    ] {
        let top = format!("{top}logging: {{access_log: {{path: none/access.log}}}}\n");
        reload(&lb, &broken(word, &top));
        let found = problems(&lb);
        for wanted in [
            first,
            "logging.access_log.path",
            "listeners.far.bind",
            "none.pem",
            "pools.app.tls.ca",
        ] {
            assert!(
                found.iter().any(|told| told.contains(wanted)),
                "{wanted} is missing: {found:#?}"
            );
        }
    }
    // None of them is in the way of another.
    let top = "server: {pid_file: none/pid}\nlogging: {access_log: {path: none/access.log}}\n";
    reload(&lb, &format!("{top}{web}{server}}}\n"));
    let found = problems(&lb);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(lb.get("/", &[]).origin(), "a");
}

#[test]
fn a_reload_between_a_certificate_and_its_key_waits_for_the_key() {
    let a = Origin::start("a");
    let pki = Pki::new();
    let (old, new) = (pki.leaf(&["a.test"]), pki.leaf(&["a.test", "b.test"]));
    let setup = Setup::of([&a]).listener(&format!(
        "protocol: https\ntls: {{certificates: [{{cert: {}, key: {}}}]}}",
        old.cert.display(),
        old.key.display()
    ));
    let lb = setup.start();
    let before = reloads(&lb);
    fs::copy(&new.cert, &old.cert).unwrap();
    lb.signal(Signal::SIGHUP);
    // It has been read by now, or will be when both are there.
    holds_for(Duration::from_millis(300), || reloads(&lb) <= before);
    fs::copy(&new.key, &old.key).unwrap();
    eventually(SOON, || reloads(&lb) > before);
    changes(&lb);
    let mut client = Tls::new(&pki, "b.test").connect(lb.web());
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
}

#[test]
fn nobody_waits_for_files_that_are_slow_to_read() {
    let a = Origin::start("a");
    let dir = TempDir::new("slow");
    let secret = dir.write("secret", "a secret of more than sixteen bytes\n");
    let setup = Setup::of([&a]).pool(&format!(
        "persistence: {{type: cookie_insert, secret_file: {}}}",
        secret.display()
    ));
    let (library, gate) = (preload(&dir, SLOW_FILE), dir.path().join("gate"));
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("SLOW_FILE", secret.to_str().unwrap()),
        ("GATE", gate.to_str().unwrap()),
    ];
    let lb = Equipoise::start_with(&setup.yaml(), &environment);
    let before = reloads(&lb);
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRUSR).unwrap();
    lb.signal(Signal::SIGHUP);
    // Opening it to write waits for who reads: the reload is in the middle of it.
    let shut = fs::OpenOptions::new().write(true).open(&gate).unwrap();
    assert_eq!(lb.admin_get("/readyz").status, 200);
    assert_eq!(lb.status()["reload"], Value::Null);
    assert_eq!(lb.get("/", &[]).status, 200);
    fs::remove_file(&gate).unwrap();
    drop(shut);
    eventually(SOON, || reloads(&lb) > before);
    changes(&lb);
}

#[test]
fn the_logs_change_at_once() {
    let a = Origin::start("a");
    let with = |logging: &str| Setup::of([&a]).top(&format!("logging: {logging}"));
    let lb = with("{access_log: {path: @DIR@/one.log, format: json, buffer: 0}}").start();
    lb.get("/one", &[]);
    let has = |name: &str, text: &str| {
        fs::read_to_string(lb.dir().join(name)).is_ok_and(|log| log.contains(text))
    };
    eventually(SOON, || has("one.log", "\"path\":\"/one\""));
    let next = "{level: debug, format: json, access_log: {path: @DIR@/two.log, format: combined, buffer: 0}}";
    reload(&lb, &with(next).yaml());
    changes(&lb);
    lb.get("/two", &[]);
    eventually(SOON, || has("two.log", "\"GET /two HTTP/1.1\" 200"));
    assert!(!has("one.log", "/two"));
    eventually(SOON, || has("stderr.log", "{\"timestamp\":"));

    // All or nothing: nothing has been changed when a log can't be opened.
    let b = Origin::start("b");
    let wrong = "{access_log: {path: @DIR@/none/three.log, format: combined}}";
    reload(
        &lb,
        &Setup::of([&b]).top(&format!("logging: {wrong}")).yaml(),
    );
    let found = problems(&lb);
    assert!(
        found.len() == 1
            && found[0].contains("logging.access_log.path: the access log can't be opened"),
        "{found:?}"
    );
    assert_eq!(lb.get("/three", &[]).origin(), "a");
    eventually(SOON, || has("two.log", "/three"));
}
