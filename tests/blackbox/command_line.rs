//! SPEC section 1, what is said of the command line as such.

use std::path::Path;
use std::process::Command;

use crate::common::equipoise::BINARY;
use crate::common::*;

const SOUND: &str = "listeners: {web: {bind: \"127.0.0.1:0\", pool: app}}\n\
                     pools: {app: {servers: [{address: 127.0.0.1:8081}]}}\n";
/// Needs no rights: ends at the first look at its configuration.
const UNSOUND: &str = "listeners: {}\n";

/// Runs a command line in a world whose /etc holds nothing but these files.
fn with_etc(etc: &Path, args: &[&str]) -> Exit {
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c"])
        .arg("mount --bind \"$0\" /etc && exec \"$@\"")
        .args([etc.as_os_str(), BINARY.as_ref()])
        .args(args)
        .output()
        .expect("unshare (util-linux)");
    Exit {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn the_configuration_is_in_etc_unless_said_otherwise() {
    let etc = TempDir::new("etc");
    etc.write("equipoise/equipoise.yaml", SOUND);
    let exit = with_etc(etc.path(), &["check"]);
    assert_eq!(
        exit.stdout, "/etc/equipoise/equipoise.yaml: ok, 1 listener, 1 pool, 1 server\n",
        "{exit:?}"
    );
    assert_eq!(exit.code(), Some(0));
    etc.write("equipoise/equipoise.yaml", UNSOUND);
    for command in ["check", "run"] {
        let exit = with_etc(etc.path(), &[command]);
        assert_eq!(exit.code(), Some(2), "{exit:?}");
        assert!(
            exit.stderr.starts_with("/etc/equipoise/equipoise.yaml:1:"),
            "{exit:?}"
        );
        assert!(!exit.stderr.contains("equipoise demo"), "{exit:?}");
    }
}

#[test]
fn who_has_no_file_is_told_what_there_is() {
    let etc = TempDir::new("etc");
    for command in ["check", "run"] {
        let exit = with_etc(etc.path(), &[command]);
        assert_eq!(exit.code(), Some(2), "{exit:?}");
        assert!(
            exit.stderr.starts_with("/etc/equipoise/equipoise.yaml: "),
            "{exit:?}"
        );
        assert!(exit.stderr.contains("-c FILE"), "{exit:?}");
        assert!(exit.stderr.contains("equipoise demo"), "{exit:?}");
    }
    // Whoever named a file knows that.
    let exit = with_etc(etc.path(), &["run", "-c", "/none.yaml"]);
    assert_eq!(exit.code(), Some(2), "{exit:?}");
    assert!(!exit.stderr.contains("equipoise demo"), "{exit:?}");
}

#[test]
fn check_takes_its_file_with_and_without_the_flag() {
    let dir = TempDir::new("check");
    let file = dir.write("lb.yaml", SOUND).display().to_string();
    let ok = format!("{file}: ok, 1 listener, 1 pool, 1 server\n");
    for args in [
        &["check", &*file][..],
        &["check", "-c", &*file],
        &["check", "--config", &*file],
    ] {
        let exit = Equipoise::command(args);
        assert_eq!((exit.code(), &*exit.stdout), (Some(0), &*ok), "{exit:?}");
    }
    let exit = Equipoise::command(&["check", &file, "-c", &file]);
    assert_eq!(exit.code(), Some(2));
    assert!(exit.stderr.contains("cannot be used with"), "{exit:?}");
}

#[test]
fn the_version_is_short_and_more_with_verbose() {
    let short = format!("equipoise {}\n", env!("CARGO_PKG_VERSION"));
    for args in [&["--version"][..], &["-V"], &["-V", "run"]] {
        let exit = Equipoise::command(args);
        assert_eq!((exit.code(), exit.stdout), (Some(0), short.clone()));
    }
    let exit = Equipoise::command(&["--version", "--verbose"]);
    assert_eq!(exit.code(), Some(0));
    for args in [&["-V", "-v"][..], &["-Vv"], &["-v", "-V"]] {
        assert_eq!(Equipoise::command(args).stdout, exit.stdout, "{args:?}");
    }
    let mut lines = exit.stdout.lines();
    assert_eq!(lines.next(), Some(short.trim()));
    let rest: Vec<_> = lines.filter_map(|line| line.split_once(' ')).collect();
    let rest: Vec<_> = rest.iter().map(|(k, v)| (*k, v.trim())).collect();
    let names: Vec<_> = rest.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        ["commit", "compiler", "target", "OpenSSL", "Pingora"]
    );
    let of = |name| rest.iter().find(|(n, _)| *n == name).unwrap().1;
    assert!(of("compiler").starts_with("rustc 1."), "{rest:?}");
    assert!(of("OpenSSL").starts_with("3."), "{rest:?}");
    assert_eq!(of("Pingora"), pingora_of_the_lock_file());
    // Alone it means nothing.
    assert_eq!(Equipoise::command(&["--verbose"]).code(), Some(2));
    assert_eq!(Equipoise::command(&["--verbose", "run"]).code(), Some(2));
}

fn pingora_of_the_lock_file() -> String {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let lock: Vec<_> = lock.lines().collect();
    let at = lock.iter().position(|l| *l == "name = \"pingora-core\"");
    let version = lock[at.unwrap() + 1];
    version
        .trim_start_matches("version = ")
        .trim_matches('"')
        .to_owned()
}

#[test]
fn shells_learn_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let exit = Equipoise::command(&["completions", shell]);
        assert_eq!(exit.code(), Some(0), "{exit:?}");
        for word in ["check", "convert", "password-file", "completions"] {
            assert!(exit.stdout.contains(word), "{shell}: {word}");
        }
    }
    // The one that everybody has takes it.
    let script = Equipoise::command(&["completions", "bash"]).stdout;
    let dir = TempDir::new("completions");
    let path = dir.write("equipoise.bash", &script);
    let asked = "source \"$0\"; COMP_WORDS=(equipoise sch); COMP_CWORD=1; \
                 _equipoise equipoise sch equipoise; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").arg("-c").arg(asked).arg(path).output();
    let output = output.unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "schema\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let exit = Equipoise::command(&["completions", "cmd"]);
    assert_eq!(exit.code(), Some(2));
    assert!(exit.stderr.contains("possible values"), "{exit:?}");
}

#[test]
fn every_command_has_its_manual_page() {
    let dir = TempDir::new("man");
    let pages = dir.path().join("man1");
    let exit = Equipoise::command(&["man", pages.to_str().unwrap()]);
    assert_eq!(exit.code(), Some(0), "{exit:?}");
    let page = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap();
    let first = Equipoise::command(&["man"]).stdout;
    assert_eq!(first, page("equipoise.1"));
    assert!(
        first.starts_with(".ie") && first.contains(".TH equipoise 1"),
        "{first}"
    );
    let help = Equipoise::command(&["help"]).stdout;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<_> = listed
        .take_while(|line| !line.is_empty())
        // What goes on from the line before is further in.
        .filter_map(|line| line.strip_prefix("  ").filter(|it| !it.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() > 15, "{help}");
    for name in commands {
        assert!(
            page(&format!("equipoise-{name}.1")).contains(".SH SYNOPSIS"),
            "{name}"
        );
    }
    let exit = Equipoise::command(&["man", "/proc/nowhere"]);
    assert_eq!(exit.code(), Some(1));
    assert!(
        exit.stderr
            .contains("cannot write the pages into /proc/nowhere"),
        "{exit:?}"
    );
}
