//! SPEC sections 1 and 7: `cert inspect`, `cert check`, `cert convert`. Files of every kind and with every fault are
//! made by the real `openssl` command, and every command that `check` prints is run.

mod convert;
mod faults;
mod formats;
mod helper;
mod inspect;
mod keys;
mod kinds;
mod trust;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::equipoise::BINARY;
use crate::common::*;

/// A site as `site.pem` and `site.key`.
pub fn site(pki: &Pki) -> Issued {
    let site = pki.leaf(&["lb.example.com"]);
    pki.write("site.pem", site.chain_pem());
    pki.write("site.key", site.key_pem());
    site
}

/// Runs a script in the directory of the PKI, with the binary under test in the PATH. It has to succeed.
#[track_caller]
pub fn sh(pki: &Pki, script: &str) -> String {
    sh_with_input(pki, script, "")
}

/// As [`sh`], with something to read.
#[track_caller]
pub fn sh_with_input(pki: &Pki, script: &str, input: &str) -> String {
    let bin = Path::new(BINARY).parent().unwrap().display();
    let mut child = Command::new("sh")
        .args(["-ec", &format!("PATH='{bin}':$PATH\n{script}")])
        .current_dir(pki.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A script that reads nothing may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `equipoise cert …` in the directory of the PKI. Where chains end is of the test's making.
#[track_caller]
pub fn cert(pki: &Pki, args: &str) -> Exit {
    cert_with_roots(pki, args, "/dev/null")
}

/// As [`cert`], where the system has the roots of this file.
#[track_caller]
pub fn cert_with_roots(pki: &Pki, args: &str, roots: &str) -> Exit {
    let output = Command::new(BINARY)
        .arg("cert")
        .args(args.split_whitespace())
        .current_dir(pki.dir())
        .env("SSL_CERT_FILE", roots)
        .env("SSL_CERT_DIR", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Exit {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A problem as `cert check` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub file: String,
    pub line: Option<usize>,
    pub what: String,
    pub why: String,
    pub mend: String,
    pub command: Option<String>,
}

/// Runs `cert check`, which has to find something, and reads what it prints.
#[track_caller]
pub fn problems(pki: &Pki, args: &str) -> Vec<Problem> {
    let exit = cert(pki, &format!("check {args}"));
    assert_eq!(exit.code(), Some(1), "{exit:?}");
    assert_eq!(exit.stdout, "", "problems go to stderr");
    let problems = parse(&exit.stderr);
    let count = problems.len();
    let summary = format!("{count} problem{}", if count == 1 { "" } else { "s" });
    assert_eq!(
        exit.stderr.lines().last(),
        Some(&*summary),
        "{}",
        exit.stderr
    );
    for problem in &problems {
        assert!(
            !problem.why.is_empty() && !problem.mend.is_empty(),
            "{problem:?}"
        );
    }
    problems
}

/// As [`problems`], if there is just one, and it says this and is at that line.
#[track_caller]
pub fn problem(pki: &Pki, args: &str, line: Option<usize>, what: &str) -> Problem {
    let problems = problems(pki, args);
    let [problem] = problems.as_slice() else {
        panic!("one problem is wanted: {problems:#?}");
    };
    assert!(problem.what.contains(what), "{problem:#?}");
    assert_eq!(problem.line, line, "{problem:#?}");
    problem.clone()
}

/// Checks, and finds a single thing, of which it thinks no worse than a note.
#[track_caller]
pub fn note(pki: &Pki, args: &str, line: Option<usize>, what: &str) -> Problem {
    let exit = cert(pki, &format!("check {args}"));
    assert_eq!(exit.code(), Some(0), "{exit:?}");
    assert!(exit.stdout.trim_end().ends_with("; 1 note"), "{exit:?}");
    let notes = parse(&exit.stderr);
    let [note] = notes.as_slice() else {
        panic!("one note is wanted: {notes:#?}");
    };
    assert!(note.what.contains(what), "{note:#?}");
    assert_eq!(note.line, line, "{note:#?}");
    note.clone()
}

/// Checks, and finds nothing.
#[track_caller]
pub fn is_good(pki: &Pki, args: &str) {
    let exit = cert(pki, &format!("check {args}"));
    assert_eq!((exit.code(), &*exit.stderr), (Some(0), ""), "{exit:?}");
    assert!(exit.stdout.contains(": ok, "), "{exit:?}");
}

/// Runs the command that the problem comes with, and finds nothing any more.
#[track_caller]
pub fn is_mended(pki: &Pki, problem: &Problem, args: &str) {
    sh(
        pki,
        problem.command.as_deref().expect("a command that mends"),
    );
    is_good(pki, args);
}

fn parse(stderr: &str) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    for line in stderr.lines() {
        let last = problems.last_mut();
        if let Some(why) = line.strip_prefix("    why:  ") {
            last.unwrap().why.push_str(why);
        } else if let Some(mend) = line.strip_prefix("    mend: ") {
            last.unwrap().mend.push_str(mend);
        } else if let Some(command) = line.strip_prefix("          $ ") {
            last.unwrap().command = Some(command.to_owned());
        } else if let Some((place, what)) = line.split_once(": ") {
            let (file, line) = match place.rsplit_once(':') {
                Some((file, line)) => (file, Some(line.parse().unwrap())),
                None => (place, None),
            };
            problems.push(Problem {
                file: file.to_owned(),
                line,
                what: what.to_owned(),
                why: String::new(),
                mend: String::new(),
                command: None,
            });
        }
    }
    problems
}
