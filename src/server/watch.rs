//! Watching the files that the configuration consists of: when they change, it is reloaded.
//!
//! They are looked at rather than listened for: what is mounted, linked, renamed into place or swapped by Kubernetes is seen
//! alike, and so is what the globs of `include` find anew.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::instance::Instance;
use crate::config::Loaded;
use crate::config::model::{Config, Persistence, UpstreamTls};

/// How often they are looked at. What has changed has to be the same at the next look, so that nothing half written is
/// read.
const LOOK: Duration = Duration::from_millis(500);

/// What tells one content of a file from another one; `None` = it isn't there.
type Stamp = Option<[i64; 6]>;

/// The files of a configuration as they were at some moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<PathBuf, Stamp>);

impl Seen {
    /// As they are now.
    pub fn now(loaded: &Loaded) -> Self {
        Self::of(files(loaded))
    }

    /// The files of `loaded`, which were read after this was seen: those that aren't known as they are now. What a glob
    /// finds by now that was neither seen before nor read has come since, and is left for the next look.
    pub fn after(self, loaded: &Loaded) -> Self {
        let read: HashSet<PathBuf> = read(&loaded.config).collect();
        let stamps = files(loaded).into_iter().filter_map(|path| {
            let known = self.0.get(&path).copied();
            let stamp = known.or_else(|| read.contains(&path).then(|| stamp(&path)))?;
            Some((path, stamp))
        });
        Self(stamps.collect())
    }

    fn of(files: Vec<PathBuf>) -> Self {
        let stamps = files.into_iter().map(|path| {
            let stamp = stamp(&path);
            (path, stamp)
        });
        Self(stamps.collect())
    }

    /// A file that isn't as it was.
    fn changed(&self, now: &Self) -> Option<PathBuf> {
        let all = now.0.keys().chain(self.0.keys());
        all.into_iter()
            .find(|path| self.0.get(*path) != now.0.get(*path))
            .cloned()
    }
}

fn stamp(path: &Path) -> Stamp {
    let found = path.metadata().ok()?;
    let signed = |number: u64| number.cast_signed();
    Some([
        signed(found.dev()),
        signed(found.ino()),
        signed(found.size()),
        found.mtime(),
        found.mtime_nsec(),
        // Also told by what keeps the time of writing, such as `cp -p`.
        found
            .ctime()
            .wrapping_mul(1_000_000_000)
            .wrapping_add(found.ctime_nsec()),
    ])
}

/// Everything that a reload reads, but for listeners' certificates, which are taken up by themselves.
fn files(loaded: &Loaded) -> Vec<PathBuf> {
    let mut files = loaded.files();
    files.extend(read(&loaded.config));
    files
}

/// Those of them that were read for it.
fn read(config: &Config) -> impl Iterator<Item = PathBuf> {
    let own = config.files.iter().chain(&config.read).cloned();
    let tokens = config
        .admin
        .iter()
        .filter_map(|admin| admin.token_file.clone());
    let of_pools = config.pools.iter().flat_map(|pool| {
        let secret = pool.persistence.as_ref().and_then(Persistence::signing_key);
        let tls = pool
            .tls
            .as_ref()
            .map(UpstreamTls::files)
            .unwrap_or_default();
        tls.into_iter().chain(secret.flatten().cloned())
    });
    own.chain(tokens).chain(of_pools)
}

/// Asks for a reload whenever they have changed, as long as the instance lives and is configured to.
pub async fn watch(instance: Weak<Instance>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: Option<Seen> = None;
    loop {
        ticks.tick().await;
        let Some(instance) = instance.upgrade() else {
            return;
        };
        let Some(loaded) = instance.reloads.current() else {
            return;
        };
        if !loaded.config.server.watch_config {
            before = None;
            continue;
        }
        // Files may be on a disk, or a network, that takes its time.
        let Ok(now) = tokio::task::spawn_blocking(move || Seen::now(&loaded)).await else {
            continue;
        };
        let changed = instance.reloads.seen().changed(&now);
        let Some(path) = changed else {
            before = None;
            continue;
        };
        if before.as_ref() == Some(&now) {
            let path = path.display();
            tracing::info!(%path, "a file of the configuration has changed: reloading");
            // So that this change is told once, however the reload ends.
            instance.reloads.note_seen(now);
            before = None;
            if let Err(why) = instance.reloads.ask(None) {
                tracing::warn!("{why}");
            }
        } else {
            before = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_a_glob_finds_after_the_reading_is_left_for_the_next_look() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        let pool = |name: &str| format!("pools: {{{name}: {{servers: [\"127.0.0.1:1\"]}}}}\n");
        let main =
            "include: [\"*.pool.yaml\"]\nlisteners: {web: {bind: \"127.0.0.1:0\", pool: a}}\n";
        fs::write(at("main.yaml"), main).expect("written");
        fs::write(at("a.pool.yaml"), pool("a")).expect("written");
        let examined = crate::config::examine(&at("main.yaml"), &|_| None);
        let loaded = examined.finish().expect("sound");
        let before = Seen::now(&loaded);
        fs::write(at("b.pool.yaml"), pool("b")).expect("written");
        let seen = before.clone().after(&loaded);
        assert_eq!(seen, before);
        let now = Seen::now(&loaded);
        assert_eq!(seen.changed(&now), Some(at("b.pool.yaml")));
        assert_eq!(Seen::default().after(&loaded).changed(&before), None);
        assert_eq!(now.clone().after(&loaded).changed(&now), None, "once");
    }

    #[test]
    fn whatever_becomes_of_a_file_is_a_change() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::write(at("a"), "1").expect("written");
        let look = || Seen::of(vec![at("a"), at("b")]);
        let first = look();
        assert_eq!(first.changed(&look()), None);
        fs::write(at("b"), "new").expect("written");
        let second = look();
        assert_eq!(first.changed(&second), Some(at("b")));
        fs::write(at("next"), "1").expect("written");
        fs::rename(at("next"), at("a")).expect("renamed");
        let third = look();
        assert_eq!(second.changed(&third), Some(at("a")));
        fs::remove_file(at("b")).expect("removed");
        assert_eq!(third.changed(&look()), Some(at("b")));
        let fewer = Seen::of(vec![at("a")]);
        assert_eq!(third.changed(&fewer), Some(at("b")), "no longer found");
    }
}
