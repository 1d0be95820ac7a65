//! What an operator changes of servers: noted, kept, and put in force, all of it or nothing.

use std::sync::Arc;

use super::instance::{Instance, Running};
use super::overrides::{Added, Override, Overrides};
use crate::admin::control::{Change, NewServer, ServerChange, ServerPath};
use crate::admin::status::ServerStatus;
use crate::admin::{ApiError, Etag, Precondition};
use crate::config::model::{self, Config, Operator};

impl Instance {
    /// The state of a server, and the tag that it has as long as nobody changes it.
    pub(super) fn tagged_server(
        &self,
        path: &ServerPath,
    ) -> Result<(ServerStatus, Etag), ApiError> {
        let status = self.server_status(&path.pool, &path.server)?;
        let etag = etag(&status);
        Ok((status, etag))
    }

    /// Changes a server that is there.
    pub(super) fn edit_server(
        &self,
        path: &ServerPath,
        change: &ServerChange,
        precondition: &Precondition,
    ) -> Result<(), ApiError> {
        self.override_servers(|overrides, written| {
            precondition.check(&etag(&self.server_status(&path.pool, &path.server)?))?;
            edit(overrides, written, path, change);
            Ok(())
        })
    }

    /// Adds a server to a pool.
    pub(super) fn put_server(&self, pool: &str, server: &NewServer) -> Result<(), ApiError> {
        self.override_servers(|overrides, written| {
            let name = &*server.name;
            if self.server_status(pool, name).is_ok() {
                return Err(ApiError::conflict(format!(
                    "the pool {pool} has a server {name} already"
                )));
            }
            let found = written.pools.iter().find(|one| *one.name == *pool);
            let model = found.ok_or_else(|| no_pool(pool))?;
            let changes = overrides.pool_mut(pool);
            let of_file = model.servers.iter().find(|one| *one.name == *name);
            if let Some(of_file) = of_file {
                // It was removed: what is added in its place may be the same, and is the file's then.
                if of_file.address != server.address {
                    return Err(ApiError::conflict(format!(
                        "the file has a server {name} at {}, which was removed; take another name",
                        of_file.address
                    )));
                }
                changes.removed.remove(name);
                let path = ServerPath {
                    pool: pool.to_owned(),
                    server: name.to_owned(),
                };
                let change = ServerChange {
                    state: Some(server.state),
                    weight: Change::To(server.weight),
                    max_connections: Change::To(server.max_connections),
                };
                edit(overrides, written, &path, &change);
                return Ok(());
            }
            changes.added.push(Added {
                name: name.to_owned(),
                address: server.address.to_string(),
                weight: server.weight,
                max_connections: server.max_connections,
                backup: server.backup,
                state: server.state.into(),
            });
            Ok(())
        })
    }

    /// Takes a server out of its pool.
    pub(super) fn take_server_out(
        &self,
        path: &ServerPath,
        precondition: &Precondition,
    ) -> Result<(), ApiError> {
        self.override_servers(|overrides, written| {
            precondition.check(&etag(&self.server_status(&path.pool, &path.server)?))?;
            let changes = overrides.pool_mut(&path.pool);
            changes.changed.remove(&path.server);
            changes.added.retain(|added| added.name != path.server);
            if let Some(server) = of_file(written, path) {
                let address = server.address.to_string();
                changes.removed.insert(path.server.clone(), address);
            }
            Ok(())
        })
    }

    /// Ends the connections to a server. Gives how many there were.
    pub(super) fn cut_off(&self, path: &ServerPath) -> Result<usize, ApiError> {
        let running = self.running(&path.pool)?;
        let servers = running.pool.servers();
        let server = servers
            .iter()
            .find(|server| **server.name() == *path.server);
        let server = server.ok_or_else(|| no_server(&path.pool, &path.server))?;
        Ok(server.connections().end_all())
    }

    /// Changes what the operator has changed, keeps it, and puts it in force: all of it, or nothing.
    fn override_servers(
        &self,
        edit: impl FnOnce(&mut Overrides, &Config) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        // With a reload's lock: one lays these over what it has read.
        let kept = self.files.lock();
        if let Some(why) = self.reloads.refusal() {
            return Err(ApiError::conflict(why));
        }
        let written = Arc::clone(&self.state.lock().written);
        let written = self.discoveries.laid_over(&written);
        let before = self.overrides.lock().clone();
        let mut next = before.clone();
        edit(&mut next, &written)?;
        next.settle(&written);
        if next == before {
            return Ok(());
        }
        if let Err(error) = self.shelf.keep(&next) {
            tracing::error!(
                "the operator's change counts, and will be lost at a restart: it can't be kept in server.state_dir: {error}"
            );
        }
        self.reconcile(Arc::new(next.laid_over(&written)), &kept.keys);
        *self.overrides.lock() = next;
        Ok(())
    }

    /// A pool that there is.
    pub(super) fn running(&self, pool: &str) -> Result<Running, ApiError> {
        let state = self.state.lock();
        let mut pools = state.pools.iter();
        let found = pools.find(|running| **running.pool.name() == *pool);
        found.cloned().ok_or_else(|| no_pool(pool))
    }
}

/// What can be changed of a server, so that its tag changes with it.
fn etag(server: &ServerStatus) -> Etag {
    Etag::of(&(
        &server.address,
        server.operator,
        server.weight,
        server.max_connections,
        server.source,
    ))
}

fn no_pool(pool: &str) -> ApiError {
    ApiError::not_found(format!("there is no pool {pool:?}"))
}

/// There is no such server.
pub fn no_server(pool: &str, server: &str) -> ApiError {
    ApiError::not_found(format!("the pool {pool} has no server {server:?}"))
}

fn of_file<'a>(written: &'a Config, path: &ServerPath) -> Option<&'a model::PoolServer> {
    let pool = written.pools.iter().find(|pool| *pool.name == *path.pool)?;
    let mut servers = pool.servers.iter();
    servers.find(|server| *server.name == *path.server)
}

/// Notes a change of a server that is there.
fn edit(overrides: &mut Overrides, written: &Config, path: &ServerPath, change: &ServerChange) {
    let of_file = of_file(written, path);
    let changes = overrides.pool_mut(&path.pool);
    let mut added = changes.added.iter_mut();
    if let Some(added) = added.find(|added| added.name == path.server) {
        added.state = change.state.map_or(added.state, Into::into);
        // No file says what they were.
        added.weight = change.weight.applied(added.weight, 1);
        added.max_connections = change.max_connections.applied(added.max_connections, 0);
        return;
    }
    let Some(server) = of_file else { return };
    let kept = changes.changed.entry(path.server.clone()).or_default();
    kept.state = change.state.map_or(kept.state, Into::into);
    kept.weight = overriding(change.weight, kept.weight, server.weight);
    kept.max_connections = overriding(
        change.max_connections,
        kept.max_connections,
        server.max_connections,
    );
}

fn overriding<T>(change: Change<T>, before: Option<Override<T>>, file: T) -> Option<Override<T>> {
    match change {
        Change::None => before,
        Change::Back => None,
        Change::To(value) => Some(Override { value, file }),
    }
}

/// What is otherwise of a server than its file says, and the state that is wanted of it.
pub fn overridden(overrides: &Overrides, pool: &str, server: &str) -> Vec<&'static str> {
    let Some(change) = overrides
        .pool(pool)
        .and_then(|pool| pool.changed.get(server))
    else {
        return Vec::new();
    };
    let mut words = Vec::new();
    if Operator::from(change.state) != Operator::Ready {
        words.push("state");
    }
    if change.weight.is_some() {
        words.push("weight");
    }
    if change.max_connections.is_some() {
        words.push("max_connections");
    }
    words
}
