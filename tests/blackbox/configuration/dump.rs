//! `check --dump`: the effective configuration.

use serde_yaml::Value as Yaml;

use super::*;

fn dump(dir: &Path, file: &str) -> String {
    let outcome = equipoise(dir, &["check", "-c", file, "--dump", "--elsewhere"], &[]);
    assert_eq!(outcome.status, Some(0), "{file}: {}", outcome.stderr);
    outcome.stdout
}

#[test]
fn the_effective_configuration_is_one_that_means_the_same() {
    let dir = TempDir::new().expect("a directory");
    for file in shipped_files() {
        let first = dump(Path::new("."), file.to_str().expect("UTF-8"));
        // Read from somewhere else, without the environment, it is what it was.
        fs::write(dir.path().join("again.yaml"), &first).expect("written");
        assert_eq!(dump(dir.path(), "again.yaml"), first, "{}", file.display());
    }
}

#[test]
fn defaults_are_filled_in_and_secrets_hidden() {
    let dir = TempDir::new().expect("a directory");
    fs::create_dir_all(dir.path().join("etc/conf.d")).expect("made");
    let text = "
include: conf.d/*.yaml
server: {pid_file: lb.pid}
logging: {access_log: {path: access.log}}
listeners:
  web:
    bind: ${ADDRESS:-127.0.0.1}:8080
    pool: app
    http: {server_header: \"a$${NAME}\"}
    routes:
      - match: {path: /old}
        redirect: {to: \"https://${host}/new\"}
      - match: {path: /x}
        request_headers: {set: {Authorization: Basic c2VjcmV0}}
";
    let more = "
pools:
  app:
    algorithm: weighted_least_connections
    servers: [\"127.0.0.1:8081\", {name: b, address: \"unix:app.sock\"}]
    persistence: {type: source_ip, table: {store: \"redis://:s3cret@127.0.0.1:6379/0\"}}
    health_check: {type: http, headers: {X-Token: s3cret, X-Kind: check}}
";
    fs::write(dir.path().join("etc/lb.yaml"), text).expect("written");
    fs::write(dir.path().join("etc/conf.d/app.yaml"), more).expect("written");
    let told = dump(dir.path(), "etc/lb.yaml");
    assert!(
        !told.contains("s3cret") && !told.contains("c2VjcmV0"),
        "{told}"
    );
    let yaml: Yaml = serde_yaml::from_str(&told).expect("YAML");
    let root = dir.path().canonicalize().expect("there");
    let at = |path: &str| Yaml::from(root.join(path).to_str().expect("UTF-8"));
    assert_eq!(yaml["server"]["pid_file"], at("etc/lb.pid"));
    assert_eq!(
        yaml["server"]["state_dir"],
        Yaml::from("/var/lib/equipoise")
    );
    assert_eq!(yaml["logging"]["access_log"]["path"], at("etc/access.log"));
    let web = &yaml["listeners"]["web"];
    assert_eq!(web["bind"][0], Yaml::from("127.0.0.1:8080"));
    assert_eq!(web["protocol"], Yaml::from("http"));
    assert_eq!(web["http"]["max_header_size"], Yaml::from("64KiB"));
    assert!(web.get("tcp").is_none(), "it has no meaning here: {told}");
    assert_eq!(
        web["routes"][0]["redirect"]["to"],
        Yaml::from("https://${host}/new")
    );
    let fields = &web["routes"][1]["request_headers"]["set"];
    assert_eq!(fields["Authorization"], Yaml::from("HIDDEN"));
    assert_eq!(web["http"]["server_header"], Yaml::from("a$${NAME}"));
    let app = &yaml["pools"]["app"];
    assert_eq!(app["servers"][0]["name"], Yaml::from("127.0.0.1:8081"));
    assert_eq!(app["servers"][1]["weight"], Yaml::from(1));
    let socket = format!("unix:{}", root.join("etc/conf.d/app.sock").display());
    assert_eq!(app["servers"][1]["address"], Yaml::from(socket));
    assert_eq!(app["slow_start"], Yaml::from("30s"));
    assert_eq!(
        app["persistence"]["table"]["store"],
        Yaml::from("redis://:HIDDEN@127.0.0.1:6379/0")
    );
    assert_eq!(
        app["health_check"]["headers"]["X-Token"],
        Yaml::from("HIDDEN")
    );
    assert_eq!(
        app["health_check"]["headers"]["X-Kind"],
        Yaml::from("check")
    );
    assert_eq!(app["health_check"]["path"], Yaml::from("/"));
    // It is a configuration itself.
    fs::write(dir.path().join("effective.yaml"), &told).expect("written");
    assert_eq!(dump(dir.path(), "effective.yaml"), told);
}

#[test]
fn nothing_is_dumped_of_what_has_problems() {
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("lb.yaml"), pool("sloow_start: 5s")).expect("written");
    let outcome = equipoise(
        dir.path(),
        &["check", "-c", "lb.yaml", "--dump", "--elsewhere"],
        &[],
    );
    assert_eq!(outcome.status, Some(2));
    assert_eq!(outcome.stdout, "");
    assert!(
        outcome.stderr.contains("did you mean slow_start?"),
        "{}",
        outcome.stderr
    );
}
