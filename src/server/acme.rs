//! Certificates by ACME, as the configuration wants them.

use std::sync::Arc;
use std::time::SystemTime;

use tokio_util::task::TaskTracker;

use crate::acme::{Challenges, Manager, Store};
use crate::config::model::{self, Challenge, Config, Protocol};
use crate::observe::Metrics;

/// Renames kept certificates that can't be served, so that they stop no start. To be called before the files of TLS are
/// read for the first time.
pub fn set_aside(config: &Config) {
    for settings in wanted(config) {
        let store = Store::new(&settings);
        match store.set_aside_unusable() {
            Ok(None) => {}
            Ok(Some((path, why))) => tracing::error!(
                "ACME: {}: what was kept can't be used ({why}) and is {} now",
                settings.domains.join(", "),
                path.display()
            ),
            Err(error) => complain(&settings, &error),
        }
    }
}

/// Makes sure that those who are about to read the files find what can be had. Touches files: call it before
/// listeners are built from a configuration.
pub fn prepare(config: &Config) {
    for settings in wanted(config) {
        if let Err(error) = Store::new(&settings).prepare(SystemTime::now()) {
            complain(&settings, &error);
        }
    }
}

/// Tells the operator what looks wrong, though it may be meant.
pub fn advise(config: &Config) {
    let http = |listener: &model::Listener| listener.protocol == Protocol::Http;
    if config.listeners.iter().any(http) {
        return;
    }
    for settings in wanted(config) {
        if settings.challenge == Challenge::Http01 {
            tracing::warn!(
                "ACME: {}: the challenge is http-01, but no listener here has protocol http; \
                 another node with the same acme.storage has to answer at port 80",
                settings.domains.join(", ")
            );
        }
    }
}

/// Begins to obtain and renew what the configuration wants. Must be called within a runtime.
pub fn start(
    config: &Config,
    challenges: &Arc<Challenges>,
    metrics: &Metrics,
    tasks: &TaskTracker,
) -> Manager {
    let manager = Manager::new(Arc::clone(challenges), metrics.acme(), tasks.clone());
    apply(&manager, config);
    manager
}

/// Goes on with what the configuration wants now.
pub fn apply(manager: &Manager, config: &Config) {
    let wanted: Vec<_> = wanted(config).collect();
    manager.look_after(&wanted);
}

fn wanted(config: &Config) -> impl Iterator<Item = model::Acme> {
    let settings = |listener: &model::Listener| listener.tls.as_ref()?.acme.clone();
    config.listeners.iter().filter_map(settings)
}

fn complain(settings: &model::Acme, error: &std::io::Error) {
    let storage = settings.storage.display();
    tracing::error!("ACME: acme.storage {storage} can't be used: {error}");
}
