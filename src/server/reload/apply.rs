//! A new configuration takes effect: judged as a whole first, then put into force without anything that could fail.

use std::collections::HashMap;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::model::{Config, UPGRADE_SOCKET};
use crate::config::{Loaded, Problems};
use crate::descriptors;
use crate::listen;
use crate::observe;
use crate::server::files::{self, Files};
use crate::server::fixed;
use crate::server::instance::{self, Instance, Running};
use crate::server::links::Links;
use crate::server::listening::{self, Listening};
use crate::server::pid_file::PidFile;
use crate::server::secured::Secured;
use crate::server::{acme, preflight, process, tables, upgrade};
use crate::tls::Terminator;
use crate::unix_socket::SocketFile;

/// How long a reload waits for files that can't be used: a certificate and its key are rarely renewed at the same
/// moment.
const SETTLE: Duration = Duration::from_secs(2);
/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(100);
impl Instance {
    /// Applies a new configuration.
    ///
    /// # Errors
    ///
    /// Everything that can't be used or can't be changed while running; nothing is changed then.
    pub(super) fn apply(self: &Arc<Self>, next: &Loaded) -> Result<(), Problems> {
        // The first that can't be had ends it, and who is told of it wants to know of all.
        self.adopt(next)
            .map_err(|found| next.along_with(found, preflight::of_reload(next)))
    }

    fn adopt(self: &Arc<Self>, next: &Loaded) -> Result<(), Problems> {
        let config = &next.config;
        let mut kept = self.files.lock();
        let Files {
            keys,
            links,
            mut secured,
            door,
        } = self.admissible(next, &kept)?;
        // What is closed here is to be closed.
        let predecessor = self.predecessor.lock().clone();
        if let Some(predecessor) = predecessor {
            predecessor.release();
        }
        let listeners = self.listeners.load_full();
        let sockets = listening::sockets(&listeners, next, &self.workers)?;
        let mut terminators = self.new_terminators(&listeners, next, &mut secured)?;
        let admin = self
            .admin
            .bind_anew(config.admin.as_ref())
            .map_err(|error| {
                let message = format!("can't be listened on: {}", listen::words(&error));
                Problems::from_iter([next.problem(&["admin", "bind"], message)])
            })?;
        if let Some(why) = self.reloads.refusal() {
            return Err(Problems::from_iter([next.problem(&[], why)]));
        }
        let group = self.next_group(next)?;
        let pid_file = self.next_pid_file(next)?;
        let upgrade = self.next_upgrade_socket(next)?;
        // The last that can fail: what follows is only done when the log is there.
        let log = &config.logging;
        self.access_log
            .reconfigure(&log.access_log)
            .map_err(|error| {
                let at = ["logging", "access_log", "path"];
                let message = format!("the access log can't be opened: {error}");
                Problems::from_iter([next.problem(&at, message)])
            })?;
        if let Err(error) = observe::log::reconfigure(log) {
            // The level was tried when the file was read.
            tracing::error!("{error}");
        }

        // From here on nothing can fail.
        let effective = self.lay_over(config);
        let (pools, gone) = self.next_pools(&effective, &links);
        let sites = instance::pool_sites(&pools, &keys);
        self.relisten(config, &sites, &sockets, |model| {
            (terminators.remove(&model.name), secured.remove(&model.name))
        });
        let wanted = config.server.max_connections;
        let shares = descriptors::shares();
        let before = self.state.lock().written.server.max_connections;
        if let Some(shares) = shares.filter(|_| wanted != before) {
            process::tell_too_few(wanted, shares);
        }
        let room = shares.map_or(usize::MAX, |shares| shares.clients);
        self.capacity.resize(Some(wanted.min(room)));
        if let Some(identity) = group {
            // It may: that was looked at first.
            if let Err(error) = identity.assume(false) {
                tracing::error!("{error}");
            }
        }
        {
            let mut state = self.state.lock();
            state.pools = pools;
            state.config = Arc::new(effective);
            state.written = Arc::new(config.clone());
        }
        for pool in &gone {
            self.metrics.forget_pool(pool);
        }
        self.discover(config);
        acme::apply(&self.certificates, config);
        self.metrics
            .set_server_histograms(config.metrics.server_histograms);
        self.metrics
            .set_server_counters(config.metrics.server_counters);
        kept.keys = keys;
        kept.links = links;
        self.admin.refit(config.admin.as_ref(), door, &self.metrics);
        self.admin.leave(config.admin.as_ref());
        if let (Some(listener), Some(settings)) = (admin, &config.admin) {
            self.serve_admin(&settings.bind, listener);
        }
        if let Some(pid_file) = pid_file {
            *self.pid_file.lock() = pid_file;
        }
        let socket = config.server.upgrade_socket.as_deref();
        if self.handover.path().as_deref() != socket {
            self.handover.close();
        }
        if let (Some((listener, file)), Some(path)) = (upgrade, socket) {
            self.serve_upgrades(path, listener, Arc::new(file));
        }
        Ok(())
    }

    /// The files of a configuration that this process can have.
    fn admissible(&self, next: &Loaded, known: &files::Kept) -> Result<Files, Problems> {
        let now = Arc::clone(&self.state.lock().written);
        let demands = fixed::demands(&now, next);
        if demands.is_empty() {
            acme::prepare(&next.config);
        }
        match self.settled(next, known) {
            Ok(files) if demands.is_empty() => Ok(files),
            read => {
                let in_files = read.err().unwrap_or_default();
                Err(demands.iter().chain(&in_files).cloned().collect())
            }
        }
    }

    /// The group of another configuration, if it is another one.
    fn next_group(&self, next: &Loaded) -> Result<Option<process::Identity>, Problems> {
        let wanted = &next.config.server;
        if self.state.lock().written.server.group == wanted.group {
            return Ok(None);
        }
        process::identity(wanted).map_err(|error| {
            Problems::from_iter([next.problem(&["server", error.key()], error.to_string())])
        })
    }

    /// The pid file of another configuration, if it is another one.
    fn next_pid_file(&self, next: &Loaded) -> Result<Option<PidFile>, Problems> {
        let wanted = next.config.server.pid_file.as_deref();
        if self.pid_file.lock().path() == wanted {
            return Ok(None);
        }
        PidFile::write(wanted).map(Some).map_err(|error| {
            Problems::from_iter([next.problem(&["server", "pid_file"], error.to_string())])
        })
    }

    /// The upgrade socket of another configuration, if it is another one.
    fn next_upgrade_socket(
        &self,
        next: &Loaded,
    ) -> Result<Option<(UnixListener, SocketFile)>, Problems> {
        let Some(path) = next.config.server.upgrade_socket.as_deref() else {
            return Ok(None);
        };
        if self.handover.path().as_deref() == Some(path) {
            return Ok(None);
        }
        match upgrade::listen(path) {
            Ok(bound) => Ok(Some(bound)),
            // It wasn't missed at the start either.
            Err(_) if path == Path::new(UPGRADE_SOCKET) => Ok(None),
            Err(error) => {
                let message = format!("can't be listened on: {}", upgrade::words(&error));
                let at = ["server", "upgrade_socket"];
                Err(Problems::from_iter([next.problem(&at, message)]))
            }
        }
    }

    /// The pools of another configuration, and the names of those that aren't in it any more.
    fn next_pools(&self, config: &Config, links: &Links) -> (Vec<Running>, Vec<Arc<str>>) {
        let before = self.state.lock().pools.clone();
        let mut old: HashMap<Arc<str>, Running> = before
            .into_iter()
            .map(|running| (Arc::clone(running.pool.name()), running))
            .collect();
        let mut pools = Vec::with_capacity(config.pools.len());
        for (model, link) in config.pools.iter().zip(links.iter()) {
            let known = old.remove(&model.name);
            let is_new = known.is_none();
            let running = if let Some(mut running) = known {
                running.pool.reconcile(model);
                running.heed_operator(model);
                running.link = Arc::clone(link);
                running.watch.sync(link);
                running.table = tables::session_table(model, running.table.take(), &self.metrics);
                running
            } else {
                Running::start(model, link, None, &self.metrics, &self.background)
            };
            running.keep_sessions(self.shelf.directory(), is_new);
            pools.push(running);
        }
        (pools, old.into_keys().collect())
    }

    /// What ends TLS of the listeners that aren't there yet.
    fn new_terminators(
        &self,
        listeners: &[Arc<Listening>],
        next: &Loaded,
        secured: &mut Secured,
    ) -> Result<HashMap<Arc<str>, Arc<Terminator>>, Problems> {
        let mut terminators = HashMap::new();
        let mut problems = Problems::default();
        for model in &next.config.listeners {
            let name = &model.name;
            if model.tls.is_none() || listening::same(listeners, model).is_some() {
                continue;
            }
            let at = ["listeners", name, "tls"];
            let Some(loaded) = secured.remove(name) else {
                problems.push(next.problem(&at, "its files can't be read"));
                continue;
            };
            let challenges = Arc::clone(self.challenges());
            match Terminator::new(name, loaded, Some(challenges as _), &self.metrics) {
                Ok(terminator) => {
                    terminators.insert(Arc::clone(name), Arc::new(terminator));
                }
                Err(trouble) => problems.push(next.problem(&at, trouble.to_string())),
            }
        }
        if problems.is_empty() {
            Ok(terminators)
        } else {
            Err(problems)
        }
    }

    /// What a file says, with the operator's changes that it leaves in force.
    fn lay_over(&self, written: &Config) -> Config {
        let written = &self.discoveries.laid_over(written);
        let mut overrides = self.overrides.lock();
        let mut next = overrides.clone();
        next.settle(written);
        if next != *overrides {
            if let Err(error) = self.shelf.keep(&next) {
                tracing::error!(
                    "the operator's changes can't be kept in server.state_dir: {error}"
                );
            }
            *overrides = next;
        }
        overrides.laid_over(written)
    }

    /// Reads the files, again and again for a moment if they can't be used.
    #[expect(
        clippy::disallowed_methods,
        reason = "a reload has a thread of its own that may wait"
    )]
    fn settled(&self, next: &Loaded, known: &files::Kept) -> Result<Files, Problems> {
        let deadline = Instant::now() + SETTLE;
        let listeners = self.listeners.load_full();
        loop {
            let read = files::read(next, known, &self.admin, |listener| {
                let listening = listeners.iter().find(|one| one.name == *listener);
                listening.and_then(|listening| listening.terminator.as_deref())
            });
            if read.is_ok() || Instant::now() >= deadline {
                return read;
            }
            std::thread::sleep(LOOK);
        }
    }
}
