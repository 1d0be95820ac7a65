//! The listeners' TLS: loaded all at once, and kept up with the files.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;

use super::instance::Instance;
use crate::acme::{Challenges, Store};
use crate::config::model::{self, Config};
use crate::observe::Metrics;
use crate::tls::{self, Loaded, Terminator};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often the log is reminded of certificates that end soon, in looks.
const REMIND: u32 = 24 * 3600;

/// Listeners whose TLS can't be served.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct TlsTrouble(Vec<String>);

/// What every listener with TLS is to serve, by its name.
pub type Secured = HashMap<Arc<str>, Loaded>;

/// Reads the files of every listener.
///
/// # Errors
///
/// Everything that can't be served.
pub fn load(config: &Config) -> Result<Secured, TlsTrouble> {
    let now = SystemTime::now();
    let (mut secured, mut troubles) = (Secured::new(), Vec::new());
    for listener in &config.listeners {
        let Some(settings) = &listener.tls else {
            continue;
        };
        match load_one(settings, now) {
            Ok(loaded) => {
                secured.insert(Arc::clone(&listener.name), loaded);
            }
            Err(found) => troubles.extend(
                found
                    .iter()
                    .map(|trouble| format!("listeners.{}.{trouble}", listener.name)),
            ),
        }
    }
    if troubles.is_empty() {
        Ok(secured)
    } else {
        Err(TlsTrouble(troubles))
    }
}

/// Reads the files of one listener.
///
/// # Errors
///
/// Everything that it can't be served with.
pub fn load_one(settings: &model::Tls, now: SystemTime) -> Result<Loaded, Vec<tls::Trouble>> {
    let obtained = settings.acme.as_ref().map(|acme| Store::new(acme).source());
    tls::load(settings, obtained.as_slice(), now)
}

/// A terminator for each of them.
///
/// # Errors
///
/// What OpenSSL doesn't take.
pub fn terminators(
    secured: Secured,
    challenges: &Arc<Challenges>,
    metrics: &Arc<Metrics>,
) -> Result<HashMap<Arc<str>, Arc<Terminator>>, TlsTrouble> {
    let mut terminators = HashMap::new();
    for (name, loaded) in secured {
        let terminator = Terminator::new(&name, loaded, Some(Arc::clone(challenges) as _), metrics)
            .map_err(|trouble| TlsTrouble(vec![format!("listeners.{name}.{trouble}")]))?;
        terminators.insert(name, Arc::new(terminator));
    }
    Ok(terminators)
}

/// Looks at the files now and then, as long as the instance lives.
pub async fn keep_fresh(instance: Weak<Instance>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = 0_u32;
    loop {
        ticks.tick().await;
        let Some(instance) = instance.upgrade() else {
            return;
        };
        looks = (looks + 1) % REMIND;
        if instance.terminators().next().is_none() {
            continue;
        }
        // Files may be on a disk, or a network, that takes its time.
        let looked = tokio::task::spawn_blocking(move || {
            let now = SystemTime::now();
            for terminator in instance.terminators() {
                terminator.refresh(now);
                terminator.ask_issuers(now);
                if looks == 0 {
                    terminator.remind(now);
                }
            }
        });
        if looked.await.is_err() {
            tracing::error!("looking at the files of TLS failed");
        }
    }
}
