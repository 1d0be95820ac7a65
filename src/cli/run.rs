//! `equipoise run`: the load balancer in the foreground.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::files;
use crate::config::{self, Loaded, Problem, Problems};
use crate::observe::log;
use crate::server::{self, preflight};

/// What `run` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The configuration: a file, `-` for standard input, or a directory of files.
    #[arg(short, long, value_name = "FILE", default_value = super::DEFAULT_CONFIG)]
    pub config: PathBuf,
    /// Take over from the running instance: its sockets, sessions, health and counts, without refusing a connection. It
    /// is asked at SOCKET, by default server.upgrade_socket
    #[arg(long, value_name = "SOCKET", require_equals = true)]
    pub upgrade: Option<Option<PathBuf>>,
    /// Only begin the process that takes over, and end as soon as standard input does
    #[arg(long, hide = true, requires = "upgrade")]
    pub launch: bool,
}

/// Runs until it is told to stop, and gives the exit status: 0, 1 if it could not start, 2 if the
/// configuration has problems.
pub fn run(args: &Args) -> u8 {
    if args.launch {
        return server::launch();
    }
    server::hold_signals_back();
    // Before anything is said: nobody may be reading.
    if let Err(error) = log::begin() {
        log::say(&format!("equipoise: {error}"));
        return 1;
    }
    let loaded = match load(&args.config) {
        Ok(loaded) => loaded,
        Err(problems) => {
            if let Some(socket) = &args.upgrade {
                server::upgrade_failed(socket.as_deref(), &args.config, &problems.to_string());
            }
            log::say(&format!(
                "{problems}{}",
                super::without_a_file(&args.config)
            ));
            return 2;
        }
    };
    let path = args.config.clone();
    let configured = loaded.config.server.upgrade_socket.clone();
    let source = server::Source {
        file: args.config.clone(),
        reread: Box::new(move || reread(&path)),
        program: (args.config != Path::new("-"))
            .then(|| server::Program::of_this_process().ok())
            .flatten(),
    };
    let upgrade = args.upgrade.as_ref().map(|socket| match socket {
        Some(socket) => Some(socket.clone()),
        None => configured.clone(),
    });
    let upgrade = match upgrade {
        Some(None) => {
            log::say(
                "equipoise: server.upgrade_socket is null: say where the running instance is asked: --upgrade=SOCKET",
            );
            return 1;
        }
        upgrade => upgrade.flatten(),
    };
    match server::run(loaded, Some(source), upgrade.as_deref()) {
        Ok(()) => 0,
        Err(error) => {
            log::say(&format!("equipoise: {error}"));
            1
        }
    }
}

/// Reads the configuration and looks at the files and accounts that it names, so that what is wrong with them has its place,
/// too.
fn load(path: &Path) -> Result<Loaded, Problems> {
    let mut examined = config::examine(path, &config::environment);
    if let Some(loaded) = &examined.sound {
        let mut found = in_files(loaded);
        found.extend(preflight::examine(loaded).problems);
        examined.add(found);
    }
    examined.finish()
}

/// Reads it again. Where it can't be used, what else is wrong is looked for, so that all of it is told at once; otherwise a reload
/// reads the files by itself. What belongs to root isn't wrong because another user, who runs this by now, can't read it.
fn reread(path: &Path) -> Result<Loaded, Problems> {
    let mut examined = config::examine(path, &config::environment);
    if !examined.problems.is_empty()
        && let Some(loaded) = &examined.sound
    {
        let mut found = preflight::of_reload(loaded);
        if loaded.config.server.user.is_none() {
            found.extend(in_files(loaded));
        }
        examined.add(found);
    }
    examined.finish()
}

fn in_files(loaded: &Loaded) -> Vec<Problem> {
    let mut found = files::certificates(loaded, SystemTime::now()).problems;
    found.extend(files::secrets(loaded).problems);
    found
}
