//! What the operator has changed while the instance runs: laid over each configuration that is read, and kept in
//! `server.state_dir` over restarts.
//!
//! A change lasts until it is taken back, or until the file changes that very value: then who edits the file has the
//! last word.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::model::{self, Config, Operator};

/// The file in the state directory.
const FILE: &str = "overrides.json";
/// Most that is read of it.
const LARGEST: u64 = 64 * 1024 * 1024;

/// All changes, by pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    pools: BTreeMap<String, PoolOverrides>,
}

/// The changes of one pool's servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolOverrides {
    /// Servers of the file of which something is otherwise.
    pub changed: BTreeMap<String, ServerOverrides>,
    /// Servers that aren't in the file, in the order in which they were added.
    pub added: Vec<Added>,
    /// Servers of the file that aren't to be there, with the addresses that they had.
    pub removed: BTreeMap<String, String>,
}

/// What is otherwise of a server than its file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerOverrides {
    /// No file says it.
    pub state: Wanted,
    /// The weight.
    pub weight: Option<Override<u16>>,
    /// The limit.
    pub max_connections: Option<Override<u32>>,
}

/// A value instead of the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override<T> {
    /// What counts.
    pub value: T,
    /// What the file said when it was set. It counts only as long as the file says that.
    pub file: T,
}

/// A server that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// Its name.
    pub name: String,
    /// Its address, as a file would have it.
    pub address: String,
    /// Its weight.
    pub weight: u16,
    /// Its limit.
    pub max_connections: u32,
    /// Used only when no other server is available.
    pub backup: bool,
    /// What the operator wants of it.
    #[serde(default)]
    pub state: Wanted,
}

/// [`Operator`] as it is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// [`Operator::Ready`].
    #[default]
    Ready,
    /// [`Operator::Drain`].
    Drain,
    /// [`Operator::Maintenance`].
    Maintenance,
}

impl From<Wanted> for Operator {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Ready => Self::Ready,
            Wanted::Drain => Self::Drain,
            Wanted::Maintenance => Self::Maintenance,
        }
    }
}

impl From<Operator> for Wanted {
    fn from(operator: Operator) -> Self {
        match operator {
            Operator::Ready => Self::Ready,
            Operator::Drain => Self::Drain,
            Operator::Maintenance => Self::Maintenance,
        }
    }
}

impl Overrides {
    /// The changes of a pool.
    pub fn pool(&self, name: &str) -> Option<&PoolOverrides> {
        self.pools.get(name)
    }

    /// The same, to be changed.
    pub fn pool_mut(&mut self, name: &str) -> &mut PoolOverrides {
        self.pools.entry(name.to_owned()).or_default()
    }

    /// Forgets what a file has the last word about, and what changes nothing any more.
    pub fn settle(&mut self, written: &Config) {
        self.pools.retain(|name, changes| {
            let Some(pool) = written.pools.iter().find(|pool| *pool.name == **name) else {
                return false;
            };
            // Nothing is known yet of whom they are about.
            if pool.discovery.is_some() && pool.servers.is_empty() {
                return true;
            }
            changes.settle(pool);
            *changes != PoolOverrides::default()
        });
    }

    /// A configuration with the changes laid over it. They have been [settled](Self::settle) with it.
    pub fn laid_over(&self, written: &Config) -> Config {
        let mut config = written.clone();
        for pool in &mut config.pools {
            if let Some(changes) = self.pools.get(&*pool.name) {
                changes.lay_over(pool);
            }
        }
        config
    }
}

impl PoolOverrides {
    /// Whether a server was added.
    pub fn added(&self, server: &str) -> bool {
        self.added.iter().any(|added| added.name == server)
    }

    fn settle(&mut self, pool: &model::Pool) {
        let find = |name: &str| pool.servers.iter().find(|server| *server.name == *name);
        self.changed.retain(|name, change| {
            let Some(server) = find(name) else {
                return false;
            };
            change.weight = change
                .weight
                .filter(|weight| weight.file == server.weight && weight.value != weight.file);
            change.max_connections = change
                .max_connections
                .filter(|limit| limit.file == server.max_connections && limit.value != limit.file);
            *change != ServerOverrides::default()
        });
        self.added.retain(|added| find(&added.name).is_none());
        self.removed.retain(|name, address| {
            find(name).is_some_and(|server| server.address.to_string() == *address)
        });
    }

    fn lay_over(&self, pool: &mut model::Pool) {
        pool.servers
            .retain(|server| !self.removed.contains_key(&*server.name));
        for server in &mut pool.servers {
            let Some(change) = self.changed.get(&*server.name) else {
                continue;
            };
            server.operator = change.state.into();
            server.weight = change.weight.map_or(server.weight, |weight| weight.value);
            server.max_connections = change
                .max_connections
                .map_or(server.max_connections, |limit| limit.value);
        }
        pool.servers
            .extend(self.added.iter().filter_map(Added::server));
    }
}

impl Added {
    /// The server as the configuration would have it; `None` if its address can't be read.
    fn server(&self) -> Option<model::PoolServer> {
        let name: Arc<str> = Arc::from(self.name.as_str());
        Some(model::PoolServer {
            route: Arc::clone(&name),
            name,
            address: crate::config::server_address(&self.address).ok()?,
            weight: self.weight,
            max_connections: self.max_connections,
            backup: self.backup,
            operator: self.state.into(),
        })
    }
}

/// Where changes are kept over restarts.
#[derive(Debug, Clone)]
pub struct Shelf(Option<PathBuf>);

impl Shelf {
    /// In that state directory; `None` = they aren't kept.
    pub fn new(state_dir: Option<&Path>) -> Self {
        Self(state_dir.map(|directory| directory.join(FILE)))
    }

    /// Where else something may be kept.
    pub fn directory(&self) -> Option<&Path> {
        self.0.as_deref().and_then(Path::parent)
    }

    /// What is kept there. What can't be read is told, set aside, and stops no start.
    pub fn load(&self) -> Overrides {
        let Some(path) = &self.0 else {
            return Overrides::default();
        };
        match read(path) {
            Ok(overrides) => overrides,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Overrides::default(),
            Err(error) => {
                let aside = path.with_extension("json.unusable");
                let set_aside = fs::rename(path, &aside).is_ok();
                let file = path.display();
                tracing::error!(
                    set_aside,
                    "the operator's changes in {file} can't be read and are lost: {error}"
                );
                Overrides::default()
            }
        }
    }

    /// Keeps them: all or nothing, also if the machine stops meanwhile.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn keep(&self, overrides: &Overrides) -> io::Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        let directory = path.parent().unwrap_or(Path::new("."));
        if !directory.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)?;
        }
        let next = path.with_extension("json.next");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&next)?;
        serde_json::to_writer_pretty(&mut file, overrides)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&next, path)?;
        File::open(directory)?.sync_all()
    }
}

fn read(path: &Path) -> io::Result<Overrides> {
    use io::Read as _;
    let mut text = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(servers: &str) -> Config {
        let text = format!(
            "listeners: {{web: {{bind: \"127.0.0.1:0\", pool: app}}}}\npools: {{app: {{servers: [{servers}]}}}}"
        );
        crate::config::parse_str("t.yaml", &text, &|_| None).expect("valid")
    }

    fn weights(config: &Config) -> Vec<(String, u16)> {
        let servers = config.pools.iter().flat_map(|pool| &pool.servers);
        servers
            .map(|server| (server.name.to_string(), server.weight))
            .collect()
    }

    const A: &str = "{name: a, address: \"127.0.0.1:1\", weight: 2}";
    const B: &str = "{name: b, address: \"127.0.0.1:2\"}";

    #[test]
    fn a_value_counts_until_the_file_changes_it() {
        let mut overrides = Overrides::default();
        let change = overrides.pool_mut("app").changed.entry("a".to_owned());
        *change.or_default() = ServerOverrides {
            state: Wanted::Drain,
            weight: Some(Override { value: 7, file: 2 }),
            max_connections: None,
        };
        let same = config(&format!("{A}, {B}"));
        overrides.settle(&same);
        let effective = overrides.laid_over(&same);
        assert_eq!(
            weights(&effective),
            [("a".to_owned(), 7), ("b".to_owned(), 1)]
        );
        assert_eq!(effective.pools[0].servers[0].operator, Operator::Drain);
        let other = config(&A.replace("weight: 2", "weight: 3"));
        overrides.settle(&other);
        let effective = overrides.laid_over(&other);
        assert_eq!(weights(&effective), [("a".to_owned(), 3)]);
        assert_eq!(effective.pools[0].servers[0].operator, Operator::Drain);
        overrides.settle(&config(B));
        assert_eq!(overrides, Overrides::default());
    }

    #[test]
    fn the_file_wins_over_servers_added_and_removed() {
        let mut overrides = Overrides::default();
        let app = overrides.pool_mut("app");
        app.removed.insert("a".to_owned(), "127.0.0.1:1".to_owned());
        app.added.push(Added {
            name: "c".to_owned(),
            address: "127.0.0.1:3".to_owned(),
            weight: 4,
            max_connections: 0,
            backup: false,
            state: Wanted::Ready,
        });
        let same = config(&format!("{A}, {B}"));
        overrides.settle(&same);
        let effective = overrides.laid_over(&same);
        assert_eq!(
            weights(&effective),
            [("b".to_owned(), 1), ("c".to_owned(), 4)]
        );
        let moved =
            config("{name: a, address: \"127.0.0.1:9\"}, {name: c, address: \"127.0.0.1:8\"}");
        overrides.settle(&moved);
        assert_eq!(overrides, Overrides::default());
    }

    #[test]
    fn what_is_kept_is_read_again_and_what_is_broken_is_set_aside() {
        let directory = tempfile::tempdir().expect("a directory");
        let shelf = Shelf::new(Some(&directory.path().join("state")));
        assert_eq!(shelf.load(), Overrides::default());
        let mut overrides = Overrides::default();
        overrides
            .pool_mut("app")
            .removed
            .insert("a".into(), "b".into());
        shelf.keep(&overrides).expect("kept");
        assert_eq!(shelf.load(), overrides);
        let path = directory.path().join("state").join(FILE);
        fs::write(&path, "{").expect("written");
        assert_eq!(shelf.load(), Overrides::default());
        assert!(!path.exists() && path.with_extension("json.unusable").exists());
    }
}
