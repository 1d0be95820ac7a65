//! The running instance: put together, changed, ended. The only module that knows all others.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::acme::Challenges;
use crate::allocator;
use crate::config::model::{AccessLogPath, Config};
use crate::config::{self, Loaded};
use crate::descriptors;
use crate::listen::{self, BindError};
use crate::observe;
use crate::observe::Metrics;
use crate::observe::access_log::AccessLog;
use crate::workers::Workers;

mod acme;
mod arrivals;
mod bound;
mod control;
mod discovery;
mod door;
mod drained;
mod fd_store;
mod files;
mod fixed;
mod history;
mod instance;
mod keys;
mod life;
mod links;
mod listening;
mod missed;
mod notify;
mod occupant;
mod operator;
mod overrides;
mod pid_file;
mod pool_view;
pub mod preflight;
mod process;
mod refusals;
mod reload;
mod secured;
mod served;
mod service;
mod session_lookup;
pub mod sources;
mod tables;
mod upgrade;
mod view;
mod watch;

pub use life::hold_signals_back;

use bound::Bound;
use door::{Door, DoorFiles, DoorTroubles};
use instance::{Instance, Prepared};
use keys::Keys;
use links::Links;
use notify::Notifier;
use overrides::Shelf;
use process::Identity;
use reload::Reloads;
pub use reload::{Reread, Source};
use upgrade::{Heir, Sessions, State, UpgradeError};
pub use upgrade::{Program, launch};

/// How long the start waits for the servers' first checks before it accepts connections, which wait in
/// the backlog meanwhile.
const FIRST_CHECKS: Duration = Duration::from_millis(500);
/// Threads of what isn't a client's connection, at most: checks and the admin API, above all.
const BACKGROUND: usize = 4;
/// How long tasks that are still running get when the process ends.
const LAST_BREATH: Duration = Duration::from_millis(200);

/// Why the admin listener can't have its address, in words.
fn admin_words(address: &str, error: &std::io::Error) -> String {
    if address.starts_with("unix:") {
        upgrade::words(error)
    } else {
        listen::words(error)
    }
}

/// Why an instance could not start, or go on. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address can't be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The admin listener's address can't be had.
    #[error(
        "cannot listen on {address} for the admin listener: {}",
        admin_words(address, source)
    )]
    Admin {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The upgrade socket can't be had.
    #[error("cannot listen on {} for upgrades (server.upgrade_socket): {}", path.display(), upgrade::words(.source))]
    UpgradeSocket {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing can be taken over from the instance that runs.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// The program's log can't be set up.
    #[error(transparent)]
    Log(#[from] observe::log::LogError),
    /// The access log can't be opened.
    #[error("cannot open the access log {path}: {source}")]
    AccessLog {
        /// The file, or the name of the stream.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A listener's TLS can't be served.
    #[error(transparent)]
    Tls(#[from] secured::TlsTrouble),
    /// A cookie key can't be read or kept.
    #[error(transparent)]
    Key(#[from] keys::KeyTroubles),
    /// A file of a pool's TLS can't be used.
    #[error(transparent)]
    Link(#[from] links::LinkTroubles),
    /// A file of the admin listener can't be used.
    #[error(transparent)]
    Door(#[from] DoorTroubles),
    /// What an operating system's service manager wants of a process failed.
    #[error(transparent)]
    Process(#[from] process::ProcessError),
    /// Signals can't be listened for.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    /// The runtime can't be started.
    #[error("cannot start worker threads: {0}")]
    Runtime(std::io::Error),
    /// A worker has ended, and with it the connections that it served.
    #[error("a worker thread ended unexpectedly; the log says why")]
    Worker,
}

/// Runs an instance until it is told to end. Blocks. Without a `source` there is nothing to reload. With `upgrade` it takes
/// over from the instance that is asked there.
///
/// # Errors
///
/// [`StartError`] when it can't start; nothing is accepted then, and an instance that runs goes on. Also when it can't go on.
pub fn run(
    loaded: Loaded,
    source: Option<Source>,
    upgrade: Option<&Path>,
) -> Result<(), StartError> {
    let loaded = Arc::new(loaded);
    let config = &loaded.config;
    observe::init_logging(&config.logging)?;
    config.tell_warnings();
    let file = source.as_ref().map(|source| source.file.display());
    tracing::info!(
        version = observe::VERSION,
        configuration = file.map(tracing::field::display),
        threads = config.server.threads,
        listeners = config.listeners.len(),
        pools = config.pools.len(),
        "equipoise starts"
    );
    let mut heir = upgrade.map(|path| Heir::ask(path, config)).transpose()?;
    let outcome = start(&loaded, source, &mut heir);
    if let (Err(error), Some(heir)) = (&outcome, &heir) {
        heir.fail(&error.to_string());
    }
    outcome
}

/// Runs an instance; `heir` is taken when it serves.
fn start(
    loaded: &Arc<Loaded>,
    source: Option<Source>,
    heir: &mut Option<Heir>,
) -> Result<(), StartError> {
    let config = &loaded.config;
    let limit = process::raise_descriptor_limit();
    let identity = process::identity(&config.server)?;

    // Everything that may need privileges or be in somebody else's hands, before anything runs.
    let mut bound = Bound::take(config, source.is_some(), identity.as_ref(), heir.as_mut())?;
    let metrics = Metrics::new(SystemTime::now());
    let door = DoorFiles::load(config, None).map_err(DoorTroubles)?;
    let door = Door::new(door, &metrics).map_err(|trouble| DoorTroubles(vec![trouble]))?;
    let keys = Keys::load(config, &Keys::default())?;
    let links = Links::load(config, &Links::default())?;
    let access_log = open_access_log(config, identity.as_ref(), &metrics)?;
    let pid_file = bound::pid_file(config, heir.as_mut())?;
    // What is made in ACME's storage belongs to who works with it; keys may be for the eyes of the first user alone.
    acme::set_aside(config);
    if identity.is_none() {
        acme::prepare(config);
    }
    let challenges: Arc<Challenges> = Arc::default();
    let terminators = secured::terminators(secured::load(config)?, &challenges, &metrics)?;
    if let Some(identity) = &identity {
        identity.assume(sources::are_clients(config))?;
        acme::prepare(config);
        missed::tell(config, source.as_ref(), &identity.name);
    }
    acme::advise(config);
    sources::tell(loaded);

    let workers = Workers::start(config.server.threads).map_err(StartError::Runtime)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.server.threads.min(BACKGROUND))
        .thread_name("background")
        .on_thread_park(allocator::heed)
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let outcome = runtime.block_on(async {
        // First of all: a reload or a stop may be asked for while the first checks run.
        let signals = life::Signals::new().map_err(StartError::Signals)?;
        let listening = bound.sockets.iter().map(Vec::len).sum();
        let shares = process::share_descriptors(config, limit, listening)?;
        descriptors::set(shares);
        // Without a file that is read again there is nothing that changes could be laid over at the next start.
        let kept_in = source.as_ref().map(|_| &*config.server.state_dir);
        let shelf = Shelf::new(kept_in);
        // All that can fail is done.
        let inherited = heir.as_ref().map(Heir::state).transpose()?;
        let (mut state, sessions) = inherited.unwrap_or_default();
        let mut overrides = match heir {
            Some(_) => std::mem::take(&mut state.overrides),
            None => shelf.load(),
        };
        overrides.settle(config);
        let prepared = Prepared {
            keys,
            terminators,
            challenges,
            links,
            admin: door,
            shelf,
            overrides,
            discovered: state.discovered_servers(),
            known: std::mem::take(&mut state.pools),
            pid_file,
            workers: Arc::clone(&workers),
        };
        let instance = {
            let log = Arc::clone(&access_log);
            Arc::new(Instance::new(config, prepared, metrics, log, shares))
        };
        instance.reloads.hold_to(Arc::clone(loaded));
        let notifier = Notifier::new(config::environment("NOTIFY_SOCKET"));
        let room = config::environment("FDSTORE");
        let stored = std::mem::take(&mut bound.stored);
        let notifier = Arc::new(notifier.with_store(room.as_deref(), stored));
        let program = source.as_ref().and_then(|source| source.program.clone());
        instance.handover.prepare(program, &notifier);
        // From here on nothing can fail.
        let inheritance = heir.take().map(|heir| (heir, state, sessions));
        serve(&instance, config, bound, inheritance).await;
        if let Some(source) = source {
            Reloads::serve(&instance, source, &notifier);
        }
        instance.store_sockets(&notifier);
        notifier.ready(&instance.summary());
        let outcome = tokio::select! {
            () = life::until_the_end(&instance, signals, &notifier) => Ok(()),
            () = workers.lost() => Err(StartError::Worker),
        };
        instance.admin.close();
        let ending = Arc::clone(&instance);
        drop(tokio::task::spawn_blocking(move || ending.end_keeping_sessions()).await);
        Ok::<_, StartError>(outcome)
    })?;
    workers.end(LAST_BREATH);
    runtime.shutdown_timeout(LAST_BREATH);
    // Last: a connection that is cut off writes its line when its task is dropped.
    let unwritten = access_log.finish();
    if unwritten > 0 {
        tracing::error!(
            lines = unwritten,
            "what was left of the access log can't be written and is lost"
        );
    }
    tracing::info!("stopped");
    outcome
}

/// Serves: after the servers' first checks or, with what another process knew, at once.
async fn serve(
    instance: &Arc<Instance>,
    config: &Config,
    bound: Bound,
    inheritance: Option<(Heir, State, Sessions)>,
) {
    let Bound {
        sockets,
        mut admin,
        upgrade,
        stored: _,
    } = bound;
    let inheritance = inheritance.map(|(heir, state, sessions)| {
        instance.inherit(&state);
        (heir, state, instance.take_sessions(&sessions))
    });
    if inheritance.is_none() {
        instance.keep_sessions(true);
        instance.stay_drained();
        if let Some((bind, listener)) = admin.take() {
            instance.serve_admin(&bind, listener);
        }
    }
    instance.discover(config);
    instance.first_checks(FIRST_CHECKS).await;
    instance.accept(config, sockets);
    if let Some((heir, state, sessions)) = inheritance {
        let instance = Arc::clone(instance);
        let succeed = move || instance.succeed(heir, state, sessions);
        let succeeded = tokio::task::spawn_blocking(succeed).await;
        if let Ok(Err(error)) = succeeded {
            tracing::error!("{error}; serving all the same");
        }
    }
    // Whoever asks here gets one process's answers and then the other's, not now this one's and now that one's.
    if let Some((bind, listener)) = admin {
        instance.serve_admin(&bind, listener);
    }
    if let Some((path, listener, file)) = upgrade {
        instance.serve_upgrades(&path, listener, Arc::new(file));
    }
}

/// Tells the instance that was to be upgraded, if it can be made out, that the new process can't start, and why.
pub fn upgrade_failed(socket: Option<&Path>, file: &Path, problems: &str) {
    let socket = match socket {
        Some(socket) => Some(socket.to_owned()),
        None => config::upgrade_socket_of(file),
    };
    if let Some(socket) = socket {
        upgrade::tell_failure(&socket, problems);
    }
}

/// Opens the access log, whose file belongs to the user that the process becomes if it is made here.
fn open_access_log(
    config: &Config,
    identity: Option<&Identity>,
    metrics: &Metrics,
) -> Result<Arc<AccessLog>, StartError> {
    let settings = &config.logging.access_log;
    let failed = |source| StartError::AccessLog {
        path: settings.path.to_string(),
        source,
    };
    if let (AccessLogPath::File(path), Some(identity)) = (&settings.path, identity) {
        identity.make_log(path).map_err(failed)?;
    }
    AccessLog::open(settings, metrics.access_log_dropped()).map_err(failed)
}
