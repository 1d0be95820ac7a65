//! Chromium without a window.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::process::program;
use crate::common::temp::TempDir;

/// A browser that looks at one page, ended with all its processes when dropped.
pub struct Chromium {
    child: Child,
    _profile: TempDir,
}

impl Chromium {
    /// Opens a page, whatever its certificate.
    #[track_caller]
    pub fn open(url: &str) -> Self {
        let profile = TempDir::new("chromium");
        let mut command = headless(profile.path(), &[]);
        command
            .args(["--ignore-certificate-errors", "--remote-debugging-port=0"])
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let child = command
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e} (run `make setup`)"));
        Self {
            child,
            _profile: profile,
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Chromium in a process group of its own, begun by `runner` with its arguments, if there is one.
#[track_caller]
pub fn headless(profile: &Path, runner: &[&str]) -> Command {
    let chromium = program("chromium");
    let mut command = match runner {
        [] => Command::new(&chromium),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(&chromium);
            command
        }
    };
    command
        .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
        .args(["--disable-dev-shm-usage", "--no-first-run"])
        .args(["--disable-background-networking", "--no-proxy-server"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .stderr(Stdio::null())
        .process_group(0);
    command
}

/// Ends a browser and all its processes.
pub fn end(child: &mut Child) {
    if let Ok(group) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let _ = child.wait();
}
