//! Tells the program what it is built from: the compiler (`equipoise_build_info{rustc}`), and what
//! `equipoise --version --verbose` says besides. Nothing here needs git, a network or a file that a source tarball lacks.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.lock");
    println!("cargo:rerun-if-changed=.commit");
    println!("cargo:rerun-if-env-changed=EQUIPOISE_COMMIT");
    println!("cargo:rustc-env=EQUIPOISE_RUSTC={}", rustc());
    println!(
        "cargo:rustc-env=EQUIPOISE_TARGET={}, {}",
        variable("TARGET").unwrap_or_else(|| "unknown".to_owned()),
        kind_of_build()
    );
    println!("cargo:rustc-env=EQUIPOISE_PINGORA={}", pingora());
    println!(
        "cargo:rustc-env=EQUIPOISE_COMMIT={}",
        commit().unwrap_or_else(|| "unknown".to_owned())
    );
}

fn variable(name: &str) -> Option<String> {
    let value = std::env::var_os(name)?.into_string().ok()?;
    Some(value).filter(|value| !value.is_empty())
}

fn profile() -> String {
    variable("PROFILE").unwrap_or_else(|| "unknown".to_owned())
}

/// The same, and whether what the program does at work has guided the compiler (`make release`).
fn kind_of_build() -> String {
    let guided =
        variable("CARGO_ENCODED_RUSTFLAGS").is_some_and(|flags| flags.contains("profile-use="));
    format!(
        "{}{}",
        profile(),
        if guided { ", profile-guided" } else { "" }
    )
}

/// `rustc 1.95.0 (hash date)`: the number is what people compare.
fn rustc() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    said(Command::new(rustc).arg("--version"))
        .and_then(|version| version.split_whitespace().nth(1).map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The version in the lock file.
fn pingora() -> String {
    let lock = std::fs::read_to_string("Cargo.lock").unwrap_or_default();
    lock.split("[[package]]")
        .find(|package| package.contains("name = \"pingora-core\""))
        .and_then(|package| package.split("version = \"").nth(1))
        .and_then(|rest| rest.split('"').next())
        .unwrap_or("unknown")
        .to_owned()
}

/// What the builder says (an image is built without the repository), else what `git archive` wrote into the tarball, else
/// the repository's.
fn commit() -> Option<String> {
    variable("EQUIPOISE_COMMIT")
        .or_else(|| {
            let archived = std::fs::read_to_string(".commit").ok()?;
            let archived = archived.trim();
            is_hash(archived).then(|| archived.to_owned())
        })
        .or_else(repository)
}

fn is_hash(text: &str) -> bool {
    text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Of release builds only: a debug build would be made anew for every commit.
fn repository() -> Option<String> {
    if profile() != "release" {
        return Some("not recorded in debug builds".to_owned());
    }
    // A tarball that is unpacked in somebody else's repository isn't of that commit.
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let here = Path::new(".").canonicalize().ok()?;
    if Path::new(&top).canonicalize().ok()? != here {
        return None;
    }
    // Not the index: whoever asks for the state of the repository writes it, and all would be compiled anew.
    println!("cargo:rerun-if-changed=src");
    if let Some(path) = git(&["rev-parse", "--git-path", "HEAD"]) {
        println!("cargo:rerun-if-changed={path}");
    }
    if let Some(path) = git(&["symbolic-ref", "-q", "HEAD"])
        .and_then(|branch| git(&["rev-parse", "--git-path", &branch]))
        .filter(|path| Path::new(path).exists())
    {
        println!("cargo:rerun-if-changed={path}");
    }
    let hash = git(&["rev-parse", "HEAD"])?;
    let changed = git(&[
        "--no-optional-locks",
        "status",
        "--porcelain",
        "--untracked-files=no",
    ])
    .is_some_and(|changes| !changes.is_empty());
    Some(format!("{hash}{}", if changed { ", changed" } else { "" }))
}

fn git(arguments: &[&str]) -> Option<String> {
    said(Command::new("git").args(arguments))
}

fn said(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned())
}
