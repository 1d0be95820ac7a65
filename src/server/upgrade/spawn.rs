//! The new process, begun by the old one.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;

use super::super::instance::Instance;
use super::Stage;
use super::launcher::Launcher;
use crate::supervise;

/// What this process was begun with, so that another can be begun alike.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
}

impl Program {
    /// Of this process. The path is as it was given: where it is a link, or is replaced, the next process is what it leads
    /// to then.
    ///
    /// # Errors
    ///
    /// It can't be found out.
    pub fn of_this_process() -> io::Result<Self> {
        let (path, args) = Self::invocation()?;
        let is_upgrade = |arg: &OsString| {
            arg.to_str()
                .is_some_and(|arg| arg == UPGRADE || arg.starts_with(&format!("{UPGRADE}=")))
        };
        Ok(Self {
            path,
            args: args.filter(|arg| !is_upgrade(arg)).collect(),
        })
    }

    /// What a launcher is to begin: this program, with these arguments, but not as a launcher.
    pub(super) fn to_be_launched() -> io::Result<Command> {
        let (path, args) = Self::invocation()?;
        let mut command = Command::new(path);
        command
            .args(args.filter(|arg| arg != LAUNCH))
            .stdin(Stdio::null());
        Ok(command)
    }

    /// The path of this process's program, and its arguments.
    fn invocation() -> io::Result<(PathBuf, impl Iterator<Item = OsString>)> {
        let mut args = std::env::args_os();
        let given = PathBuf::from(args.next().unwrap_or_default());
        let path = if given.components().count() > 1 {
            std::path::absolute(given)?
        } else {
            on_path(&given).map_or_else(std::env::current_exe, Ok)?
        };
        Ok((path, args))
    }

    /// A launcher.
    fn command(&self, socket: &Path) -> Command {
        let mut upgrade = OsString::from(UPGRADE);
        upgrade.push("=");
        upgrade.push(socket);
        let mut command = Command::new(&self.path);
        command
            .args(&self.args)
            .arg(upgrade)
            .arg(LAUNCH)
            // They are this process's.
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_PID")
            .stdin(Stdio::piped());
        command
    }
}

/// Flags of `run`.
const UPGRADE: &str = "--upgrade";
const LAUNCH: &str = "--launch";

fn on_path(name: &Path) -> Option<PathBuf> {
    let directories = std::env::var_os("PATH")?;
    let mut found = std::env::split_paths(&directories).map(|directory| directory.join(name));
    found.find(|path| path.is_file())
}

impl Instance {
    /// Begins the process that is to take over from this one. What becomes of it is told.
    pub(in super::super) fn begin_upgrade(self: &Arc<Self>) {
        if let Err(why) = self.spawn_successor() {
            tracing::error!("no upgrade: {why}");
        }
    }

    fn spawn_successor(self: &Arc<Self>) -> Result<(), String> {
        let program = self
            .handover
            .program()
            .ok_or("this instance has no configuration file that another process could read")?;
        let socket = self
            .handover
            .path()
            .ok_or("there is no server.upgrade_socket")?;
        if std::process::id() == 1 {
            return Err(
                "this is process 1 of its container, with whose end everything in it ends; start another container"
                    .to_owned(),
            );
        }
        let mut launcher = self.handover.launcher.lock();
        if launcher.is_some() {
            return Err("another one is under way".to_owned());
        }
        let mut child = supervise::process_once(&mut program.command(&socket))
            .map_err(|error| format!("{} can't be run: {error}", program.path.display()))?;
        let pid = child.id();
        let (ends, ended) = channel();
        *launcher = Some(Launcher::new(child.stdin.take(), ended));
        tracing::info!(pid, program = %program.path.display(), "upgrading: a new process begins");
        let instance = Arc::downgrade(self);
        let watch = move || {
            let ended = child.wait();
            drop(ends);
            let Some(instance) = instance.upgrade() else {
                return;
            };
            if instance.handover.stage() == Stage::Own
                && let Ok(status) = ended
            {
                drop(instance.handover.launcher.lock().take());
                tracing::error!(pid, "the new process ended: {status}; running on as before");
            }
        };
        // Nobody waits for this thread: the process that it watches may well outlive this one.
        supervise::thread_once("upgrade", watch)
            .map(drop)
            .map_err(|error| error.to_string())
    }
}
