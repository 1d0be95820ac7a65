use clap::Parser;
use proptest::prelude::*;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(line: &str) -> Args {
    Line::try_parse_from(std::iter::once("proxy").chain(line.split_whitespace()))
        .unwrap_or_else(|error| panic!("{error}"))
        .args
}

fn yaml(line: &str) -> String {
    configuration(&args(line), None).unwrap()
}

fn config(line: &str) -> config::Config {
    let yaml = yaml(line);
    config::parse_str("test", &yaml, &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}\n{yaml}"))
}

fn problems(line: &str) -> Vec<String> {
    match configuration(&args(line), None) {
        Ok(yaml) => by_flag(&config::parse_str("test", &yaml, &|_| None).unwrap_err()),
        Err(one) => vec![one],
    }
}

#[test]
fn one_listener_and_one_pool() {
    assert_eq!(
        yaml("--from :8080 --to 127.0.0.1:8081 --to 8082 --sticky"),
        "# What `equipoise proxy` runs. `equipoise run -c` with this file does the same.\n\
         listeners:\n\
         \x20 web:\n\
         \x20   bind: \"0.0.0.0:8080\"\n\
         \x20   pool: app\n\
         pools:\n\
         \x20 app:\n\
         \x20   servers:\n\
         \x20     - address: \"127.0.0.1:8081\"\n\
         \x20     - address: \"127.0.0.1:8082\"\n\
         \x20   persistence: {type: cookie_insert}\n"
    );
}

#[test]
fn listeners_as_they_are_written() {
    for (written, wanted) in [
        (":8080", "0.0.0.0:8080"),
        ("*:8080", "0.0.0.0:8080"),
        ("8080", "0.0.0.0:8080"),
        ("localhost:8080", "127.0.0.1:8080"),
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("[::]:80", "[::]:80"),
        ("[::1]:80", "[::1]:80"),
    ] {
        let config = config(&format!("--from {written} --to 8081"));
        let bind: Vec<_> = config.listeners.iter().flat_map(|one| &one.bind).collect();
        assert_eq!(bind.len(), 1, "{written}");
        assert_eq!(bind[0].to_string(), wanted, "{written}");
    }
    let both = config("--from :80 --from [::]:80 --to 8081");
    assert_eq!(both.listeners[0].bind.len(), 2);
}

#[test]
fn servers_as_they_are_written() {
    for (written, wanted, tls) in [
        ("8081", "127.0.0.1:8081", false),
        (":8081", "127.0.0.1:8081", false),
        ("10.0.0.1:8081", "10.0.0.1:8081", false),
        ("[2001:db8::1]:8081", "[2001:db8::1]:8081", false),
        ("app.internal:8081", "app.internal:8081", false),
        ("unix:/run/app.sock", "unix:/run/app.sock", false),
        ("http://app.internal", "app.internal:80", false),
        ("http://app.internal/", "app.internal:80", false),
        ("HTTP://app.internal:8081/", "app.internal:8081", false),
        ("http://[::1]", "[::1]:80", false),
        ("http://[::1]:8081", "[::1]:8081", false),
        ("https://app.internal", "app.internal:443", true),
        ("https://10.0.0.1:8443", "10.0.0.1:8443", true),
        ("https://[::1]", "[::1]:443", true),
    ] {
        let config = config(&format!("--from 8080 --to {written}"));
        let pool = &config.pools[0];
        assert_eq!(pool.servers[0].address.to_string(), wanted, "{written}");
        assert_eq!(pool.tls.is_some(), tls, "{written}");
    }
}

#[test]
fn https_has_a_certificate_and_port_80() {
    let text = yaml("--https www.example.com --https example.com --to 8081");
    assert!(
        text.contains(
            "  web:\n    bind: \"0.0.0.0:80\"\n    redirect_https: true\n  secure:\n    bind: \"0.0.0.0:443\"\n    protocol: https\n"
        ),
        "{text}"
    );
    config("--https www.example.com --https example.com --to 8081");
    let moved = yaml("--https www.example.com --from 127.0.0.1:8443 --from [::1]:8443 --to 8081");
    assert!(
        moved.contains("bind: [\"127.0.0.1:80\", \"[::1]:80\"]\n    redirect_https: 8443"),
        "{moved}"
    );
    config("--https www.example.com --from 127.0.0.1:8443 --from [::1]:8443 --to 8081");
}

#[test]
fn what_is_wrong_names_its_flag() {
    for (line, wanted) in [
        ("--from 10.0.0.1 --to 8081", "--from: "),
        ("--from example.com:80 --to 8081", "--from: "),
        ("--from :70000 --to 8081", "--from: "),
        ("--from unix:/run/x --to 8081", "--from: "),
        ("--from :80 --from :80 --to 8081", "--from: "),
        ("--from :80 --to app.internal", "--to: "),
        ("--from :80 --to 70000", "--to: "),
        ("--from :80 --to http://[::1", "--to: "),
        ("--from :80 --to https://a --to b:80", "--to: either all"),
        ("--https not_a/name --to 8081", "--https: "),
        (
            "--https a.example.com --from :80 --to 8081",
            "--from 0.0.0.0:80: ",
        ),
        (
            "--https a.example.com --from :443 --from :8443 --to 8081",
            "--from: with",
        ),
        ("--from :80 --to 8081 --admin 8080", "--admin: "),
    ] {
        let problems = problems(line);
        assert!(
            problems.iter().all(|one| one.starts_with(wanted)) && !problems.is_empty(),
            "{line}: {problems:?}"
        );
    }
    for (line, wanted) in [
        ("--from :80", "--to <ADDR>"),
        ("--to 8081", "--from <ADDR>"),
        ("--from http://:80 --to 8081", "write the address alone"),
        ("--from https://:443 --to 8081", "--https HOST"),
        ("--from :80 --to http://a/path", "leave /path out"),
        ("--from :80 --to http://u:p@a", "no user"),
        ("--from :80 --to http://", "the host is missing"),
        ("--from :80 --to tcp://a:1", "tcp:// is not spoken"),
    ] {
        let line = std::iter::once("proxy").chain(line.split_whitespace());
        let error = Line::try_parse_from(line).err().unwrap().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn a_state_directory_is_named_only_where_something_is_kept() {
    let of = |line: &str| configuration(&args(line), Some("/home/a \"b\"/state".into())).unwrap();
    assert!(!of("--from 80 --to 81").contains("state_dir"));
    for line in [
        "--from 80 --to 81 --sticky",
        "--https a.example.com --to 81",
    ] {
        let config = config::parse_str("test", &of(line), &|_| None).unwrap();
        assert_eq!(
            config.server.state_dir,
            std::path::Path::new("/home/a \"b\"/state")
        );
    }
}

proptest! {
    /// Whatever is written, the text is YAML of the same shape: values don't become structure.
    #[test]
    fn values_stay_values(from in "[^/]{0,20}", to in "\\PC{0,20}", host in "\\PC{0,20}") {
        let args = Args {
            from: vec![from.clone()],
            to: vec![Server { address: to.clone(), tls: false }],
            sticky: true,
            https: vec![host.clone()],
            admin: None,
            print: false,
        };
        if let Ok(text) = configuration(&args, None) {
            let tree: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
            prop_assert_eq!(tree["pools"]["app"]["servers"][0]["address"].as_str(), Some(&*to));
            let secure = &tree["listeners"]["secure"];
            prop_assert_eq!(secure["bind"].as_str(), Some(&*from));
            prop_assert_eq!(secure["tls"]["acme"]["domains"][0].as_str(), Some(&*host));
        }
    }
}
