//! SPEC section 1: the commands for a running instance.

use crate::common::*;

const TOKEN: &str = "correct-horse-battery-staple";

/// With a token, whose file is `token` beside the configuration.
fn start(setup: &Setup) -> Equipoise {
    let dir = TempDir::new("commands");
    dir.write("token", &format!("# ours\n{TOKEN}\n"));
    setup
        .clone()
        .top("admin: {bind: \"127.0.0.1:0\", token_file: \"@DIR@/token\"}\nserver: {state_dir: \"@DIR@/state\"}")
        .start_in(dir)
}

/// Runs a command for that instance, with its token.
#[track_caller]
fn command(lb: &Equipoise, args: &[&str]) -> Exit {
    let url = format!("http://{}", lb.admin());
    let token = lb.dir().join("token").display().to_string();
    let args = [args, &["--admin", &url, "--token-file", &token]].concat();
    Equipoise::command(&args)
}

/// The command succeeds, and says that.
#[track_caller]
fn assert_said(exit: &Exit, words: &str) {
    assert_eq!(exit.code(), Some(0), "{exit:?}");
    assert!(exit.stdout.contains(words), "{words}: {exit:?}");
    assert_eq!(exit.stderr, "", "{exit:?}");
}

/// The command fails with that status, and says why.
#[track_caller]
fn assert_failed(exit: &Exit, status: i32, words: &str) {
    assert_eq!(exit.code(), Some(status), "{exit:?}");
    assert!(exit.stderr.contains(words), "{words}: {exit:?}");
    assert_eq!(exit.stdout, "", "{exit:?}");
}

#[test]
fn servers_are_drained_maintained_and_made_ready() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = start(&Setup::of([&a, &b]));
    for (name, state) in [
        ("drain", "drain"),
        ("maintain", "maintenance"),
        ("drain", "drain"),
        ("maint", "maintenance"),
        ("ready", "up"),
    ] {
        let said = format!("app/a: {state}, weight 1, 0 active\n");
        assert_said(&command(&lb, &[name, "app/a"]), &said);
        assert_eq!(lb.server("app", "a")["state"], state);
    }
    assert_said(&command(&lb, &["weight", "app/a", "5"]), "weight 5");
    assert_eq!(lb.server("app", "a")["weight"], 5);
    assert_said(&command(&lb, &["weight", "app/a", "file"]), "weight 1");
    for (args, words) in [
        (["drain", "app/x"].as_slice(), "no server"),
        (&["drain", "x/a"], "no pool"),
    ] {
        assert_failed(&command(&lb, args), 1, words);
    }
    for args in [
        ["drain", "app"].as_slice(),
        &["weight", "app/a", "70000"],
        &["drain", "app/a", "--wait", "soon"],
    ] {
        assert_eq!(command(&lb, args).code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_server_that_is_down_says_what_is_wanted_of_it() {
    let a = Origin::start("a");
    let setup = Setup::of([&a]).server_at("b", "127.0.0.1:1", "");
    let lb = start(&setup.pool("health_check: {type: tcp, interval: 100ms, fall: 1}"));
    lb.wait_state("app", "b", "down");
    let drained = command(&lb, &["drain", "app/b"]);
    assert_said(&drained, "app/b: down (drain), weight 1, 0 active\n");
    assert_said(&command(&lb, &["status", "app/b"]), "down (drain)");
    assert_said(&command(&lb, &["ready", "app/b"]), "app/b: down, weight 1");
}

#[test]
fn drain_waits_until_nothing_is_under_way() {
    let a = Origin::with("a", |_| Answer::held());
    let lb = start(&Setup::of([&a]));
    let mut client = lb.client();
    client.send_request("GET", "/", &[], b"").unwrap();
    a.wait_held(1);
    let exit = command(&lb, &["drain", "app/a", "--wait", "50ms"]);
    assert_failed(&exit, 1, "drain, weight 1, 1 active, still at work");
    a.release_all();
    assert_said(
        &command(&lb, &["drain", "app/a", "--wait", "20s"]),
        "0 active",
    );
    assert_eq!(client.read_response(false).unwrap().status, 200);
}

#[test]
fn servers_are_added_and_removed() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = start(&Setup::of([&a]));
    let address = b.address().to_string();
    let exit = command(&lb, &["add", "app/b", &address, "--weight", "3"]);
    assert_said(&exit, "app/b: up, weight 3");
    let exit = command(&lb, &["add", "app/b", &address]);
    assert_failed(&exit, 1, "has a server b already");
    assert_failed(&command(&lb, &["add", "app/c", "nowhere"]), 1, "address: ");
    assert_said(
        &command(&lb, &["remove", "app/a", "--wait", "5s"]),
        "app/a: removed",
    );
    assert_eq!(lb.get("/", &[]).origin(), "b");
    assert_failed(&command(&lb, &["remove", "app/a"]), 1, "no server");
}

#[test]
fn status_is_a_table_or_what_the_api_says() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = start(&Setup::of([&a, &b]));
    let exit = command(&lb, &["drain", "app/b"]);
    assert_eq!(exit.code(), Some(0), "{exit:?}");
    let url = format!("http://{}", lb.admin());
    let status = |more: &[&str]| Equipoise::command(&[&["status", "--admin", &url], more].concat());
    let exit = status(&[]);
    let lines: Vec<&str> = exit.stdout.lines().collect();
    assert!(
        lines[0].starts_with("equipoise ") && lines[0].contains(": running for "),
        "{exit:?}"
    );
    for (start, part) in [("web ", "http"), ("app/a ", "up"), ("app/b ", "drain")] {
        let line = lines.iter().find(|line| line.starts_with(start));
        assert!(
            line.is_some_and(|line| line.contains(part)),
            "{start}: {exit:?}"
        );
    }
    let exit = status(&["--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&exit.stdout).unwrap();
    assert_eq!(json["pools"][0]["servers"][1]["operator"], "drain");
    let exit = status(&["app/b"]);
    assert!(!exit.stdout.contains("app/a"), "{exit:?}");
    // The pool is still all of it: one of two takes new work.
    assert!(exit.stdout.contains("1/2"), "{exit:?}");
    // All commands take a token, also where none is needed.
    for reads in [&["status"][..], &["top", "-n", "1"]] {
        assert_said(&command(&lb, reads), "app/a ");
    }
    assert_failed(
        &status(&["--token-file", "/nowhere"]),
        2,
        "cannot read /nowhere",
    );
    assert_failed(&status(&["app/x"]), 1, "there is no \"app/x\"");
    let exit = Equipoise::command(&["top", "--admin", &url, "--interval", "20ms"]);
    assert_said(&exit, "0.0/s");
}

#[test]
fn sessions_are_found_and_forgotten() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = start(&Setup::of([&a, &b]).pool("persistence: {type: source_ip}"));
    let origin = lb.get("/", &[]).origin().to_owned();
    let sessions = |more: &[&str]| command(&lb, &[&["sessions", "app"], more].concat());
    assert_said(&sessions(&[]), "source_ip: 1 of at most ");
    assert_said(
        &sessions(&["127.0.0.1"]),
        &format!("bound to {origin}, since "),
    );
    assert_failed(&sessions(&["127.0.0.9"]), 1, "no such session");
    assert_said(&sessions(&["127.0.0.1", "--forget"]), "forgotten");
    assert_failed(&sessions(&["127.0.0.1"]), 1, "no such session");
    assert_failed(&command(&lb, &["sessions", "x"]), 1, "no pool");
}

#[test]
fn reload_says_what_changed_or_what_is_wrong() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = start(&Setup::of([&a]));
    assert_said(&command(&lb, &["reload"]), "reloaded: the same keys");
    let yaml = std::fs::read_to_string(lb.dir().join("equipoise.yaml")).unwrap();
    let to_b = yaml.replace(&a.address().to_string(), &b.address().to_string());
    lb.rewrite(&to_b);
    assert_said(&command(&lb, &["reload"]), "pools.app.servers");
    assert_eq!(lb.get("/", &[]).origin(), "b");
    lb.rewrite(&yaml.replace("servers:", "algoritm: x\n    servers:"));
    let exit = command(&lb, &["reload"]);
    assert_failed(&exit, 2, "equipoise.yaml:");
    assert!(exit.stderr.contains("algoritm"), "{exit:?}");
    assert_eq!(lb.get("/", &[]).origin(), "b");
}

#[test]
fn whom_to_ask_and_the_token_are_in_the_configuration() {
    let a = Origin::start("a");
    let lb = start(&Setup::of([&a]));
    let dir = TempDir::new("whom");
    let token = dir.write("token", TOKEN).display().to_string();
    let admin = |more: &str| {
        let yaml = format!(
            "admin: {{bind: \"{}\"{more}}}\n{}",
            lb.admin(),
            Setup::of([&a]).yaml()
        );
        dir.write("lb.yaml", &yaml).display().to_string()
    };
    let file = admin(&format!(", token_file: \"{token}\""));
    assert_said(
        &Equipoise::command(&["drain", "app/a", "-c", &file]),
        "drain",
    );
    let file = admin("");
    let exit = Equipoise::command(&["ready", "app/a", "-c", &file]);
    assert_failed(&exit, 1, "that needs a token");
    let exit = Equipoise::command(&["ready", "app/a", "-c", &file, "--token-file", &token]);
    assert_said(&exit, "up");
    dir.write("wrong", "wrong");
    let wrong = dir.path().join("wrong").display().to_string();
    let exit = Equipoise::command(&["ready", "app/a", "-c", &file, "--token-file", &wrong]);
    assert_failed(&exit, 1, "the token is not one of those");
    let exit = Equipoise::command(&["ready", "app/a", "-c", &file, "--token-file", "/nowhere"]);
    assert_failed(&exit, 2, "cannot read /nowhere");
    let nobody = ReservedPort::new();
    let url = format!("http://{}", nobody.address());
    let exit = Equipoise::command(&["status", "--admin", &url]);
    assert_failed(&exit, 1, "cannot connect to 127.0.0.1:");
}

#[test]
fn tls_is_verified() {
    let (a, pki) = (Origin::start("a"), Pki::new());
    let site = pki.leaf(&["localhost"]);
    let (cert, key) = (site.cert.display(), site.key.display());
    let dir = TempDir::new("tls");
    dir.write("token", TOKEN);
    let admin = format!(
        "admin: {{bind: \"127.0.0.1:0\", token_file: \"@DIR@/token\", tls: {{certificate: {{cert: {cert}, key: {key}}}}}}}"
    );
    let setup = Setup::of([&a]);
    let lb = Equipoise::start_early_in(dir, &setup.clone().top(&admin).yaml());
    let url = format!("https://localhost:{}", lb.admin().port());
    let exit = Equipoise::command(&["healthcheck", "--admin", &url]);
    assert_failed(&exit, 1, "--ca FILE");
    let ca = pki.root().display().to_string();
    let exit = Equipoise::command(&["healthcheck", "--admin", &url, "--ca", &ca]);
    assert_said(&exit, "ready");
    let by_address = format!("https://{}", lb.admin());
    let exit = Equipoise::command(&["healthcheck", "--admin", &by_address, "--ca", &ca]);
    assert_failed(&exit, 1, "no TLS with");
    // Without --admin the certificate is known from the configuration.
    let own = TempDir::new("own");
    let bound = |cert: &str, key: &str| {
        let yaml = format!(
            "admin: {{bind: \"{}\", tls: {{certificate: {{cert: {cert}, key: {key}}}}}}}\n{}",
            lb.admin(),
            setup.yaml()
        );
        own.write("lb.yaml", &yaml).display().to_string()
    };
    let file = bound(&cert.to_string(), &key.to_string());
    assert_said(&Equipoise::command(&["healthcheck", "-c", &file]), "ready");
    let other = pki.leaf(&["localhost"]);
    let file = bound(
        &other.cert.display().to_string(),
        &other.key.display().to_string(),
    );
    let exit = Equipoise::command(&["healthcheck", "-c", &file]);
    assert_failed(&exit, 1, "isn't the configuration's");
}
