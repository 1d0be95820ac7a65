//! What `deploy/` holds, tried with the tools that will read it: systemd, promtool, keepalived,
//! logrotate, and the binary itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use regex::Regex;
use serde_json::Value as Json;
use serde_yaml::Value as Yaml;

use crate::common::equipoise::{BINARY, complete};
use crate::common::peers::program;
use crate::common::*;

mod queries;
use queries::{Vocabulary, in_dashboard};

#[test]
fn every_configuration_passes_check() {
    let dir = TempDir::new("deploy");
    let key = dir.write("cookie.key", "a key that is long enough for a test\n");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    for name in ["docker/equipoise.yaml", "kubernetes/equipoise.yaml"] {
        let yaml = read(name).replace(
            "/etc/equipoise/secret/cookie.key",
            &key.display().to_string(),
        );
        let config = dir.write("equipoise.yaml", &yaml);
        let config = config.display().to_string();
        let exit = Equipoise::command(&["check", "--elsewhere", "-c", &config]);
        assert_eq!(exit.code(), Some(0), "{name}: {}", exit.stderr);
    }
}

#[test]
fn the_service_is_well_formed_and_hardened() {
    let dir = TempDir::new("unit");
    let unit = read("systemd/equipoise.service").replace("/usr/local/bin/equipoise", BINARY);
    let unit = dir.write("equipoise.service", &unit);
    let unit = unit.to_str().unwrap();
    // What is only strange is a message and no failure.
    let said = succeed("systemd-analyze", &["verify", unit], dir.path());
    assert!(!said.contains("equipoise.service:"), "{said}");
    let limit = ["security", "--offline=true", "--threshold=20", unit];
    succeed("systemd-analyze", &limit, dir.path());
}

/// What the unit has its manager do is done here by hand: there is no systemd that runs.
#[test]
fn the_service_says_when_it_is_ready_and_how_a_reload_ended() {
    use std::os::unix::net::UnixDatagram;
    let unit = read("systemd/equipoise.service");
    let line = |key: &str| -> Vec<String> {
        unit.lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(line("Type"), ["notify"]);
    assert_eq!(line("ExecStartPre"), [""; 0]);
    assert_eq!(line("RestartPreventExitStatus"), ["2"]);
    let (pki, origin, dir) = (Pki::new(), Origin::start("a"), TempDir::new("unit"));
    let expired = pki.expired(&["a.test"]);
    let yaml = |threads: u32, limit: u32| {
        let setup = Setup::of([&origin])
            .top(&format!(
                "server: {{threads: {threads}}}\nadmin: {{bind: \"unix:@DIR@/admin.sock\"}}"
            ))
            .listener(&format!(
                "http: {{max_body_size: {limit}}}\nprotocol: https\ntls: {{certificates: [{{cert: {}, key: {}}}]}}",
                expired.cert.display(),
                expired.key.display()
            ));
        complete(&setup.yaml(), dir.path())
    };
    let config = dir.write("equipoise.yaml", &yaml(2, 1));
    let command = |line: &str| {
        let mut words = line.split(' ').map(|word| match word {
            "/usr/local/bin/equipoise" => BINARY.to_owned(),
            "/etc/equipoise/equipoise.yaml" => config.display().to_string(),
            word => word.to_owned(),
        });
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        command
    };
    let manager = UnixDatagram::bind(dir.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(SOON)).unwrap();
    let heard = || {
        let mut buffer = [0; 4096];
        let length = manager.recv(&mut buffer).expect("a word from the service");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let start = line("ExecStart");
    let mut child = command(&start[0])
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .stderr(fs::File::create(dir.path().join("stderr.log")).unwrap())
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        assert_eq!(
            heard(),
            "READY=1\nSTATUS=Serving 1 listeners, 1 pools, 1 servers"
        );
        let reload = line("ExecReload");
        let reload = || {
            reload.iter().all(|line| {
                let line = line.replace("$MAINPID", &pid);
                output(&mut command(&line)).status.success()
            })
        };
        dir.write("equipoise.yaml", &yaml(2, 2));
        assert!(reload(), "an expired certificate is no reason not to");
        assert!(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(
            heard(),
            "READY=1\nSTATUS=Serving 1 listeners, 1 pools, 1 servers"
        );
        dir.write("equipoise.yaml", &yaml(3, 3));
        assert!(!reload(), "the running process can't have it");
        assert!(heard().starts_with("RELOADING=1"));
        let told = heard();
        assert!(
            told.contains("the last reload was refused: ") && told.contains("server.threads"),
            "{told}"
        );
        dir.write("equipoise.yaml", "listeners: 1");
        assert!(!reload(), "a file with problems");
        assert!(
            output(&mut command(&format!("/bin/kill -TERM {pid}")))
                .status
                .success()
        );
        assert!(heard().starts_with("STOPPING=1"));
    }));
    let _ = child.kill();
    let _ = child.wait();
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn stopping_is_given_more_time_than_it_takes() {
    let seconds = |text: &str, pattern: &str| -> u64 {
        let found = Regex::new(pattern).unwrap().captures(text);
        found.unwrap_or_else(|| panic!("no {pattern}"))[1]
            .parse()
            .unwrap()
    };
    let default = seconds(
        &fs::read_to_string(root().join("conf/edge.yaml")).unwrap(),
        r"\n  shutdown_timeout: (\d+)s",
    );
    let unit = read("systemd/equipoise.service");
    assert!(seconds(&unit, r"\nTimeoutStopSec=(\d+)s") > default);
    let deployment = read("kubernetes/deployment.yaml");
    let drain = seconds(
        &read("kubernetes/equipoise.yaml"),
        r"\n  shutdown_timeout: (\d+)s",
    );
    let pause = seconds(&deployment, r"sleep:\n +seconds: (\d+)");
    assert!(seconds(&deployment, r"terminationGracePeriodSeconds: (\d+)") > drain + pause);
}

#[test]
fn prometheus_takes_its_configuration_and_rules() {
    let here = deploy().join("prometheus");
    succeed("promtool", &["check", "config", "prometheus.yml"], &here);
    // Debian's promtool is built without Kubernetes discovery, so the rest of that file.
    let in_cluster: Yaml = serde_yaml::from_str(&read("prometheus/prometheus-kubernetes.yml"))
        .expect("YAML of Prometheus in Kubernetes");
    assert_eq!(in_cluster["rule_files"][0], "alerts.yml");
    succeed("promtool", &["check", "rules", "alerts.yml"], &here);
    succeed("promtool", &["test", "rules", "alerts.test.yml"], &here);
}

#[test]
fn every_alert_is_tested_to_fire_and_not_to() {
    let rules: Yaml = serde_yaml::from_str(&read("prometheus/alerts.yml")).unwrap();
    let tests: Yaml = serde_yaml::from_str(&read("prometheus/alerts.test.yml")).unwrap();
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for test in tests["tests"].as_sequence().unwrap() {
        for case in test["alert_rule_test"].as_sequence().unwrap() {
            let expected = case["exp_alerts"].as_sequence().unwrap();
            let set = if expected.is_empty() {
                &mut silent
            } else {
                &mut fires
            };
            set.insert(case["alertname"].as_str().unwrap());
        }
    }
    let alerts: BTreeSet<_> = rules["groups"][0]["rules"]
        .as_sequence()
        .unwrap()
        .iter()
        .map(|rule| rule["alert"].as_str().unwrap())
        .collect();
    assert!(alerts.len() > 10);
    assert_eq!(fires, alerts);
    assert_eq!(silent, alerts);
}

#[test]
fn every_query_of_the_dashboard_is_promql() {
    let queries = in_dashboard(&read("grafana/equipoise.json"));
    assert!(queries.len() > 20);
    let rules: String = queries
        .iter()
        .enumerate()
        .map(|(n, query)| {
            format!(
                "      - record: q{n}\n        expr: {}\n",
                Json::from(&**query)
            )
        })
        .collect();
    let dir = TempDir::new("queries");
    dir.write(
        "queries.yml",
        &format!("groups:\n  - name: dashboard\n    rules:\n{rules}"),
    );
    succeed("promtool", &["check", "rules", "queries.yml"], dir.path());
}

/// A server's series that are there once something has happened.
const SPARSE: [(&str, &str, &[&str]); 9] = [
    (
        "equipoise_server_state",
        "state",
        &["up", "down", "unknown", "drain", "maintenance"],
    ),
    (
        "equipoise_server_picks_total",
        "by",
        &["balance", "persistence", "retry"],
    ),
    (
        "equipoise_health_checks_total",
        "result",
        &["success", "failure"],
    ),
    (
        "equipoise_upstream_connections_total",
        "reused",
        &["true", "false"],
    ),
    ("equipoise_server_bytes_total", "direction", &["in", "out"]),
    ("equipoise_server_errors_total", "server", &[]),
    ("equipoise_ejections_total", "server", &[]),
    // By another setting.
    ("equipoise_upstream_response_seconds", "server", &[]),
    ("equipoise_upstream_connect_seconds", "server", &[]),
];

#[test]
fn every_metric_label_and_value_that_is_asked_for_exists() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    // With the names that the rules' tests are about.
    let site = pki.leaf(&["lb.example.com", "old.example.com", "new.example.com"]);
    let lb = Setup::of([&origin])
        .listener(&format!(
            "protocol: https\ntls: {{certificates: [{{cert: {}, key: {}}}]}}",
            site.cert.display(),
            site.key.display()
        ))
        // Nothing listens there; that its store is away is counted as well.
        .pool("persistence: {type: source_ip, table: {store: \"redis://127.0.0.1:1/0\"}}")
        .start();
    let mut client = Tls::new(&pki, "lb.example.com").connect(lb.web());
    client.get("/", &[("Connection", "close")]).unwrap();
    drop(client);
    lb.wait_idle();
    let mut exists = Vocabulary::of(&lb.metrics());
    for (name, label, values) in SPARSE {
        exists.add(name, label, values);
        // Whatever else it has.
        exists.add(name, "pool", &[]);
        exists.add(name, "server", &[]);
    }

    let mut texts: Vec<(String, String)> = in_dashboard(&read("grafana/equipoise.json"))
        .into_iter()
        .map(|query| ("grafana/equipoise.json".to_owned(), query))
        .collect();
    let pages = ["docs", "deploy", ""].into_iter().flat_map(|directory| {
        let entries = fs::read_dir(root().join(directory)).unwrap();
        entries.map(|entry| entry.unwrap().path())
    });
    let pages = pages.filter(|path| path.extension().is_some_and(|e| e == "md"));
    let rules =
        ["alerts.yml", "alerts.test.yml"].map(|name| deploy().join("prometheus").join(name));
    for path in pages.chain(rules) {
        let text = fs::read_to_string(&path).unwrap();
        texts.push((path.display().to_string(), text));
    }
    let missing: Vec<_> = texts
        .iter()
        .flat_map(|(name, text)| {
            let wrong = exists.missing_from(text);
            wrong.into_iter().map(move |what| format!("{name}: {what}"))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert_eq!(
        exists.missing_from(r#"equipoise_nothing equipoise_queue_length{pol="a"} equipoise_server_state{state=~"up|gone"}"#),
        ["equipoise_nothing", "equipoise_queue_length{pol}", "equipoise_server_state{state=gone}"]
    );
}

#[test]
fn keepalived_takes_its_configuration() {
    let dir = TempDir::new("keepalived");
    // Without the interface and the script, which this machine may lack; and run as who tests, as
    // keepalived 2.2.7 ends itself on --config-test when it has changed its user to look at a script.
    let user = succeed("id", &["-un"], dir.path());
    let config = read("keepalived/keepalived.conf")
        .replace(
            "script_user nobody nogroup",
            &format!("script_user {}", user.trim()),
        )
        .replace("/usr/local/libexec/equipoise/check-ready", "/bin/true")
        .replace("global_defs {", "global_defs {\n    dynamic_interfaces")
        .replace("interface eth0", "interface absent0");
    let path = dir.write("keepalived.conf", &config);
    let check = ["--config-test", "-f", path.to_str().unwrap()];
    succeed("keepalived", &check, dir.path());
}

#[test]
fn keepalived_s_check_tells_who_is_ready() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    let nobody = ReservedPort::new();
    let script = deploy().join("keepalived/check-ready");
    let ask = |url: String| output(Command::new(&script).arg(url)).status.code();
    assert_eq!(ask(format!("http://{}/readyz", lb.admin())), Some(0));
    // What it says of any status that isn't success, such as 503 while draining.
    assert_eq!(ask(format!("http://{}/nothing", lb.admin())), Some(22));
    assert_eq!(ask(format!("http://{}/readyz", nobody.address())), Some(7));
}

#[test]
fn logrotate_rotates_the_access_log() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .top("logging: {access_log: {path: @DIR@/log/access.log, format: combined, buffer: 0}}");
    let dir = TempDir::new("logrotate");
    fs::create_dir(dir.path().join("log")).unwrap();
    let lb = lb.start_in(dir);
    let log = |name: &str| fs::read_to_string(lb.dir().join("log").join(name)).unwrap_or_default();
    lb.get("/before", &[]);
    eventually(SOON, || log("access.log").contains("/before"));

    let id = |flag| succeed("id", &[flag], lb.dir()).trim().to_owned();
    let rules = read("logrotate/equipoise")
        .replace(
            "/var/log/equipoise",
            &lb.dir().join("log").display().to_string(),
        )
        .replace(
            "equipoise equipoise",
            &format!("{} {}", id("-un"), id("-gn")),
        )
        .replace(
            "systemctl kill --kill-who=main --signal=USR1 equipoise.service 2>/dev/null || true",
            &format!("kill -USR1 {}", lb.pid()),
        );
    let path = lb.dir().join("logrotate.conf");
    fs::write(&path, rules).unwrap();
    // It refuses a configuration that others may write.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let force = ["--force", "--state", "state", path.to_str().unwrap()];
    succeed("logrotate", &force, lb.dir());

    eventually(SOON, || {
        lb.get("/after", &[]);
        log("access.log").contains("/after")
    });
    assert!(log("access.log.1").contains("/before"));
    assert!(!log("access.log").contains("/before"));
}

#[test]
fn the_image_is_built_from_what_there_is() {
    let dockerfile = read("docker/Dockerfile");
    let toolchain = fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    let version = Regex::new("channel = \"(.*)\"").unwrap();
    let version = &version.captures(&toolchain).unwrap()[1];
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")));
    let sent: BTreeSet<String> = fs::read_to_string(root().join(".dockerignore"))
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix('!').map(str::to_owned))
        .collect();
    let copied: BTreeSet<String> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--from"))
        .flat_map(|line| {
            let (sources, _) = line.rsplit_once(' ').unwrap();
            sources.split(' ').map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(copied, sent);
    for path in &copied {
        assert!(root().join(path).exists(), "{path}");
    }
}

#[test]
fn the_manifests_fit_together() {
    let yaml = |name: &str| -> Yaml {
        serde_yaml::from_str(&read(&format!("kubernetes/{name}"))).expect(name)
    };
    let kustomization = yaml("kustomization.yaml");
    let listed: BTreeSet<_> = kustomization["resources"]
        .as_sequence()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    let there: BTreeSet<_> = fs::read_dir(deploy().join("kubernetes"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|e| e == "yaml"))
        .filter(|name| !["kustomization.yaml", "equipoise.yaml"].contains(&name.as_str()))
        .collect();
    assert_eq!(listed, there);

    let config = yaml("equipoise.yaml");
    let bound: BTreeSet<u64> = ["web", "admin"]
        .iter()
        .map(|name| config["listeners"][*name]["bind"].as_str().unwrap())
        .map(|bind| bind.rsplit_once(':').unwrap().1.parse().unwrap())
        .collect();
    let pod = &yaml("deployment.yaml")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let ports: BTreeMap<&str, u64> = container["ports"]
        .as_sequence()
        .unwrap()
        .iter()
        .map(|p| {
            (
                p["name"].as_str().unwrap(),
                p["containerPort"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(ports.values().copied().collect::<BTreeSet<_>>(), bound);
    for probe in ["startupProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["path"], "/readyz");
        assert_eq!(container[probe]["httpGet"]["port"], "admin");
    }
    let key = config["pools"]["app"]["persistence"]["secret_file"]
        .as_str()
        .unwrap();
    let mounted = container["volumeMounts"].as_sequence().unwrap();
    assert!(mounted.iter().any(|m| {
        m["name"] == "cookie-key"
            && key == format!("{}/cookie.key", m["mountPath"].as_str().unwrap())
    }));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn deploy() -> PathBuf {
    root().join("deploy")
}

#[track_caller]
fn read(name: &str) -> String {
    fs::read_to_string(deploy().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Runs a tool that must succeed; returns all that it said.
#[track_caller]
fn succeed(tool: &str, args: &[&str], dir: &Path) -> String {
    let output = output(Command::new(program(tool)).args(args).current_dir(dir));
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success(),
        "{tool} {args:?}: {}\n{said}",
        output.status
    );
    said
}

#[track_caller]
fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

#[test]
fn make_install_puts_everything_in_its_place_and_keeps_what_is_configured() {
    let (dir, bin) = (TempDir::new("install"), TempDir::new("build"));
    // What is made from the binary goes beside it.
    let built = bin.path().join("equipoise");
    std::os::unix::fs::symlink(BINARY, &built).unwrap();
    let make = |target: &str| {
        let bin = format!("BIN={}", built.display());
        let to = format!("DESTDIR={}", dir.path().display());
        let args = ["--no-print-directory", target, "PREFIX=/usr", &bin, &to];
        succeed("make", &args, &root())
    };
    make("install");
    let at = |path: &str| dir.path().join(path);
    let sections = |path: &Path| succeed("readelf", &["-SW", path.to_str().unwrap()], &root());

    let program = at("usr/bin/equipoise");
    let said = output(Command::new(&program).arg("--version"));
    assert!(said.status.success());
    let inside = sections(&program);
    assert!(
        !inside.contains(".debug_line") && !inside.contains(".symtab"),
        "{inside}"
    );
    assert!(inside.contains(".gnu_debuglink"), "{inside}");
    let config = at("etc/equipoise/equipoise.yaml");
    let said = output(
        Command::new(&program)
            .args(["check", "--elsewhere"])
            .arg(&config),
    );
    assert!(said.status.success());
    let unit = fs::read_to_string(at("usr/lib/systemd/system/equipoise.service")).unwrap();
    assert!(
        unit.contains("\nExecStart=/usr/bin/equipoise run"),
        "{unit}"
    );
    assert!(!unit.contains("/usr/local/"), "{unit}");
    for path in [
        "usr/lib/sysusers.d/equipoise.conf",
        "usr/share/bash-completion/completions/equipoise",
        "usr/share/zsh/site-functions/_equipoise",
        "usr/share/fish/vendor_completions.d/equipoise.fish",
        "usr/share/man/man1/equipoise.1",
        "usr/share/man/man1/equipoise-cert-check.1",
        "usr/share/doc/equipoise/README.md",
        "usr/share/doc/equipoise/LICENSE",
        "usr/share/doc/equipoise/docs/configuration.md",
        "usr/share/doc/equipoise/conf/edge.yaml",
        "usr/share/doc/equipoise/deploy/prometheus/alerts.yml",
    ] {
        let file = fs::metadata(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(file.len() > 0, "{path}");
        assert_eq!(file.permissions().mode() & 0o444, 0o444, "{path}");
    }
    assert!(!at("usr/lib/debug").exists());
    make("install-debug");
    assert!(sections(&at("usr/lib/debug/usr/bin/equipoise.debug")).contains(".debug_line"));

    fs::write(&config, "# mine\n").unwrap();
    make("install");
    make("uninstall");
    assert_eq!(fs::read_to_string(&config).unwrap(), "# mine\n");
    let page = at("usr/share/man/man1/equipoise.1");
    let left: Vec<_> = [program, page, at("usr/share/doc/equipoise")]
        .into_iter()
        .filter(|path| path.exists())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
