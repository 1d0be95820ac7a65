//! SPEC section 2, and `check` and `schema` of section 1, from outside.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::equipoise::BINARY;

mod dump;
mod messages;
mod newcomers;
mod persistence;
mod report;
mod several_files;
mod shipped;
mod text;
mod warnings;

const MINIMAL: &str = "
listeners:
  web:
    bind: 127.0.0.1:8080
    pool: app
pools:
  app:
    servers:
      - address: 127.0.0.1:8081
";

struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

fn equipoise(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Outcome {
    let output = Command::new(BINARY)
        .args(args)
        .env_remove("STATE_DIRECTORY")
        .envs(env.iter().copied())
        .current_dir(dir)
        .output()
        .expect("the binary runs");
    Outcome {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Checks `lb.yaml` with this text, next to these further files.
fn check_with(text: &str, files: &[(&str, &str)], env: &[(&str, &str)]) -> Outcome {
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("lb.yaml"), text).expect("written");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("allowed");
    }
    equipoise(dir.path(), &["check", "--elsewhere", "-c", "lb.yaml"], env)
}

/// Checks what comes on standard input.
fn check_stdin(dir: &Path, text: &str) -> Outcome {
    let mut child = Command::new(BINARY)
        .args(["check", "--elsewhere", "-c", "-"])
        .env_remove("STATE_DIRECTORY")
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(text.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    Outcome {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// The problems of `lb.yaml` with this text, one a line.
fn problems(text: &str) -> Vec<String> {
    let outcome = check_with(text, &[], &[]);
    assert_eq!(outcome.status, Some(2), "{}", outcome.stdout);
    assert_eq!(outcome.stdout, "", "problems belong to stderr");
    outcome.stderr.lines().map(str::to_owned).collect()
}

/// Further lines for the one pool.
fn pool(lines: &str) -> String {
    format!("{MINIMAL}    {}\n", lines.replace('\n', "\n    "))
}

fn shipped_files() -> Vec<PathBuf> {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let mut files: Vec<PathBuf> = fs::read_dir(conf)
        .expect("conf/")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    files
}

fn schema() -> serde_json::Value {
    let outcome = equipoise(Path::new("."), &["schema"], &[]);
    assert_eq!(outcome.status, Some(0));
    serde_json::from_str(&outcome.stdout).expect("JSON")
}
