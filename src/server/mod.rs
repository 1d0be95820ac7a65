//! The running instance: put together, changed, ended. The only module that knows all others.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::acme::Challenges;
use crate::admin;
use crate::allocator;
use crate::config;
use crate::config::model::{AccessLogPath, Config};
use crate::descriptors;
use crate::listen::{self, BindError};
use crate::observe;
use crate::observe::Metrics;
use crate::observe::access_log::AccessLog;

mod acme;
mod arrivals;
mod control;
mod discovery;
mod door;
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
mod view;
mod watch;

pub use life::hold_signals_back;

use door::{Door, DoorFiles, DoorTroubles};
use instance::{Instance, Prepared};
use keys::Keys;
use links::Links;
use notify::Notifier;
use overrides::Shelf;
use process::{Identity, PidFile};
use reload::Reloads;
pub use reload::{Reread, Source};

/// How long the start waits for the servers' first checks before it accepts connections, which wait in
/// the backlog meanwhile.
const FIRST_CHECKS: Duration = Duration::from_millis(500);
/// How long tasks that are still running get when the process ends.
const LAST_BREATH: Duration = Duration::from_millis(200);

/// Why an instance could not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address can't be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The admin listener's address can't be had.
    #[error("cannot listen on {address} for the admin listener: {source}")]
    Admin {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
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
}

/// Runs an instance until it is told to end. Blocks. Without a `source` there is nothing to reload.
///
/// # Errors
///
/// [`StartError`] when it can't start; nothing is accepted then.
pub fn run(config: &Config, source: Option<Source>) -> Result<(), StartError> {
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
    let limit = process::raise_descriptor_limit();
    let identity = process::identity(&config.server)?;

    // Everything that may need privileges or be in somebody else's hands, before anything runs.
    let sockets = config.listeners.iter().map(listen::bind);
    let sockets: Vec<_> = sockets.collect::<Result<_, _>>()?;
    let admin = match &config.admin {
        Some(settings) => {
            let listener = admin::bind(&settings.bind).map_err(|source| StartError::Admin {
                address: settings.bind.to_string(),
                source,
            })?;
            Some((settings.bind.clone(), listener))
        }
        None => None,
    };
    let metrics = Metrics::new(SystemTime::now());
    let door = DoorFiles::load(config, None).map_err(DoorTroubles)?;
    let door = Door::new(door, &metrics).map_err(|trouble| DoorTroubles(vec![trouble]))?;
    // Without a file that is read again there is nothing that changes could be laid over at the next start.
    let kept_in = source.as_ref().map(|_| &*config.server.state_dir);
    let shelf = Shelf::new(kept_in);
    let mut overrides = shelf.load();
    overrides.settle(config);
    let keys = Keys::load(config, &Keys::default())?;
    let links = Links::load(config, &Links::default())?;
    let access_log = open_access_log(config, identity.as_ref(), &metrics)?;
    let _pid_file = PidFile::write(config.server.pid_file.as_deref())?;
    // What is made in ACME's storage belongs to who works with it; keys may be for the eyes of the first user alone.
    acme::set_aside(config);
    if identity.is_none() {
        acme::prepare(config);
    }
    let challenges: Arc<Challenges> = Arc::default();
    let terminators = secured::terminators(secured::load(config)?, &challenges, &metrics)?;
    let prepared = Prepared {
        keys,
        terminators,
        challenges,
        links,
        admin: door,
        shelf,
        overrides,
    };
    if let Some(identity) = &identity {
        identity.assume(sources::are_clients(config))?;
        acme::prepare(config);
        missed::tell(config, source.as_ref(), &identity.name);
    }
    acme::advise(config);
    sources::tell(source.as_ref());

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.server.threads)
        .thread_name("equipoise")
        .on_thread_park(allocator::heed)
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    runtime.block_on(async {
        // First of all: a reload or a stop may be asked for while the first checks run.
        let signals = life::Signals::new().map_err(StartError::Signals)?;
        let listening = sockets.iter().map(Vec::len).sum();
        let shares = process::share_descriptors(config, limit, listening)?;
        descriptors::set(shares);
        let instance = {
            let log = Arc::clone(&access_log);
            Arc::new(Instance::new(config, prepared, metrics, log, shares))
        };
        if let Some((bind, listener)) = admin {
            instance.serve_admin(&bind, listener);
        }
        instance.discover(config);
        instance.first_checks(FIRST_CHECKS).await;
        instance.accept(config, sockets);
        let notifier = Arc::new(Notifier::new(config::environment("NOTIFY_SOCKET")));
        if let Some(source) = source {
            Reloads::serve(&instance, source, &notifier);
        }
        notifier.ready(&instance.summary());
        life::until_the_end(&instance, signals, &notifier).await;
        instance.admin.close();
        Ok::<_, StartError>(())
    })?;
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
    Ok(())
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
