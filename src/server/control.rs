//! What the admin API changes of the instance.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::COOKIE;
use http::{HeaderName, HeaderValue};
use serde_json::json;
use tokio::sync::oneshot;

use super::instance::{Instance, Running};
use super::overrides::{Added, Override, Overrides};
use crate::admin::control::{
    CertificateStatus, Change, Control, Later, NewServer, RefusedRequest, Renewal, ServerChange,
    ServerPath, SessionStatus, SessionsStatus,
};
use crate::admin::status::{ReloadResult, ReloadStatus, ServerStatus, timestamp};
use crate::admin::{ApiError, Etag, Precondition};
use crate::config;
use crate::config::model::{self, Config, LearnedFrom, Operator, Persistence};
use crate::dispatch::PoolSite;
use crate::headers::Fields;
use crate::observe::{Metrics, Topic};
use crate::persistence::table::{Answer, SessionTable, Waited};
use crate::persistence::{Found, Lookup, Moment, RequestView, SessionKeys, UnixTime};
use crate::tls::Terminator;

impl Control for Instance {
    fn server(&self, path: &ServerPath) -> Result<(ServerStatus, Etag), ApiError> {
        let status = self.server_status(&path.pool, &path.server)?;
        let etag = etag(&status);
        Ok((status, etag))
    }

    fn change_server(
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

    fn add_server(&self, pool: &str, server: &NewServer) -> Result<(), ApiError> {
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

    fn remove_server(
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

    fn disconnect(&self, path: &ServerPath) -> Result<usize, ApiError> {
        let running = self.running(&path.pool)?;
        let servers = running.pool.servers();
        let server = servers
            .iter()
            .find(|server| **server.name() == *path.server);
        let server = server.ok_or_else(|| no_server(&path.pool, &path.server))?;
        Ok(server.connections().end_all())
    }

    fn sessions(&self, pool: &str) -> Result<SessionsStatus, ApiError> {
        let running = self.running(pool)?;
        let settings = running.pool.settings();
        let persistence = settings.persistence.as_ref();
        let table = persistence.and_then(Persistence::table);
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Ok(SessionsStatus {
            pool: pool.to_owned(),
            r#type: persistence.map(|persistence| type_of(persistence).to_owned()),
            entries: running.table.as_ref().map(|table| count(table.len())),
            size: table.map(|table| count(table.size)),
            shared: running
                .table
                .as_ref()
                .is_some_and(|table| table.is_shared()),
        })
    }

    fn find_session<'a>(
        &'a self,
        pool: &'a str,
        key: &'a str,
    ) -> Later<'a, Result<SessionStatus, ApiError>> {
        Box::pin(async move {
            let asked = self.ask(pool, key)?;
            let (result, server, started) = match asked.found {
                Found::Said(lookup) => said(lookup),
                Found::Ask(keys) => {
                    let table = asked
                        .running
                        .table
                        .as_ref()
                        .ok_or_else(ApiError::internal)?;
                    recalled(table, &asked.running, &keys).await
                }
            };
            Ok(SessionStatus {
                pool: pool.to_owned(),
                r#type: asked.kind.to_owned(),
                result,
                server,
                started: started.map(timestamp),
            })
        })
    }

    fn forget_session<'a>(
        &'a self,
        pool: &'a str,
        key: &'a str,
    ) -> Later<'a, Result<(), ApiError>> {
        Box::pin(async move {
            let asked = self.ask(pool, key)?;
            let (Found::Ask(keys), Some(table)) = (asked.found, &asked.running.table) else {
                return Err(ApiError::conflict(format!(
                    "sessions of persistence type {} are in the clients' cookies: there is nothing here to forget",
                    asked.kind
                )));
            };
            let (now, mut waited) = (Moment::now(), Waited::default());
            let mut known = false;
            for key in keys.iter() {
                if matches!(table.get(key, now, &mut waited).await, Answer::Known(_)) {
                    table.forget(key);
                    known = true;
                }
            }
            if known {
                Ok(())
            } else {
                Err(ApiError::not_found("no such session is known"))
            }
        })
    }

    fn certificates(&self) -> Vec<CertificateStatus> {
        let listening = self.listeners.load();
        let listeners = listening.iter().filter_map(|listening| {
            let terminator = listening.terminator.as_ref()?;
            Some((listening.name.to_string(), Arc::clone(terminator)))
        });
        let admin = self.admin.tls.load_full();
        let admin = admin.map(|terminator| ("admin".to_owned(), terminator));
        let now = SystemTime::now();
        listeners
            .chain(admin)
            .flat_map(|(listener, terminator)| served(&listener, &terminator, now))
            .collect()
    }

    fn renew(&self, name: Option<&str>) -> Result<Vec<Renewal>, ApiError> {
        let renewed = self.certificates.renew(name);
        if renewed.is_empty() {
            return Err(ApiError::not_found(match name {
                Some(name) => format!("no certificate by ACME has the name {name}"),
                None => "there is no certificate by ACME".to_owned(),
            }));
        }
        let names = |names: Vec<Arc<str>>| names.iter().map(ToString::to_string).collect();
        Ok(renewed
            .into_iter()
            .map(|one| Renewal { names: names(one) })
            .collect())
    }

    fn refused(&self) -> Vec<RefusedRequest> {
        let refused = self.access_log.refused().all().into_iter();
        refused
            .map(|one| RefusedRequest {
                at: timestamp(one.at),
                client: one.client,
                listener: one.listener,
                protocol: one.protocol,
                method: one.method,
                host: one.host,
                path: one.path,
                status: one.status,
                reason: one.reason.to_string(),
                request_id: one.request_id,
            })
            .collect()
    }

    fn drain(&self, spread: Duration) {
        self.drain.send_away(Instant::now(), spread);
        self.tell_instance("draining");
    }

    fn resume(&self) {
        self.drain.keep();
        self.tell_instance("running");
    }

    fn reload(&self) -> Later<'_, Result<ReloadStatus, ApiError>> {
        Box::pin(async move {
            let (reply, replied) = oneshot::channel();
            self.reloads.ask(Some(reply)).map_err(ApiError::conflict)?;
            let status = replied.await.map_err(|_| ApiError::internal())?;
            if status.result == ReloadResult::Success {
                return Ok(status);
            }
            Err(ApiError {
                problems: status.problems.clone(),
                ..ApiError::unprocessable(
                    "the configuration can't be used as it is now; what ran before runs on",
                )
            })
        })
    }

    fn configuration(&self) -> Result<String, ApiError> {
        let loaded = self.reloads.current();
        let loaded = loaded
            .ok_or_else(|| ApiError::not_found("no file is the configuration of this instance"))?;
        let in_force = Arc::clone(&self.state.lock().config);
        config::dump_in_force(&loaded, &in_force).map_err(|error| {
            tracing::error!("the effective configuration can't be written: {error}");
            ApiError::internal()
        })
    }

    fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}

/// What a session's key leads to.
struct Asked {
    running: Running,
    kind: &'static str,
    found: Found<Arc<crate::pool::Server>>,
}

impl Instance {
    /// Changes what the operator has changed, keeps it, and puts it in force: all of it, or nothing.
    fn override_servers(
        &self,
        edit: impl FnOnce(&mut Overrides, &Config) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        // With a reload's lock: one lays these over what it has read.
        let kept = self.files.lock();
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

    pub(super) fn running(&self, pool: &str) -> Result<Running, ApiError> {
        let state = self.state.lock();
        let mut pools = state.pools.iter();
        let found = pools.find(|running| **running.pool.name() == *pool);
        found.cloned().ok_or_else(|| no_pool(pool))
    }

    /// Asks what a request with that key would: a cookie's value, or a client's address.
    fn ask(&self, pool: &str, key: &str) -> Result<Asked, ApiError> {
        let running = self.running(pool)?;
        let settings = running.pool.settings();
        let no_sessions = || ApiError::conflict(format!("the pool {pool} keeps no sessions"));
        let persistence = settings.persistence.as_ref().ok_or_else(no_sessions)?;
        let kind = type_of(persistence);
        let mut headers = Fields::new();
        let mut client = IpAddr::from([0, 0, 0, 0]);
        let field = |value: &str| {
            HeaderValue::from_str(value)
                .map_err(|_| ApiError::bad_request("key: no header field can have this value"))
        };
        match carrier(persistence) {
            Carrier::Cookie(cookie) => headers.insert(COOKIE, field(&format!("{cookie}={key}"))?),
            Carrier::Field(name) => headers.insert(name.clone(), field(key)?),
            Carrier::Address => {
                let address = key.trim_matches(['[', ']']).parse();
                client = address.map_err(|_| {
                    ApiError::bad_request("key: the key is a client's IP address here")
                })?;
            }
        }
        let view = RequestView {
            headers: &headers,
            path: b"/",
            query: None,
            client,
        };
        let keys = self.files.lock().keys.of(&settings).cloned();
        let table = running.table.clone();
        let site = PoolSite::new(
            &running.pool,
            Arc::clone(&running.link),
            keys.as_ref(),
            table,
        );
        let affinity = site.affinity.as_ref().ok_or_else(no_sessions)?;
        let found = affinity.lookup(&view, UnixTime::now());
        drop(settings);
        Ok(Asked {
            running,
            kind,
            found,
        })
    }

    fn tell_instance(&self, state: &str) {
        let data = json!({"state": state});
        self.metrics.events().publish(Topic::Instance, data);
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

fn type_of(persistence: &Persistence) -> &'static str {
    match persistence {
        Persistence::CookieInsert(_) => "cookie_insert",
        Persistence::CookieRewrite(_) => "cookie_rewrite",
        Persistence::CookiePrefix(_) => "cookie_prefix",
        Persistence::Route(_) => "route",
        Persistence::Learn(_) => "learn",
        Persistence::SourceIp(_) => "source_ip",
    }
}

/// What a request says of its session with.
enum Carrier<'a> {
    Cookie(&'a str),
    Field(&'a HeaderName),
    Address,
}

fn carrier(persistence: &Persistence) -> Carrier<'_> {
    match persistence {
        Persistence::CookieInsert(insert) => Carrier::Cookie(&insert.cookie),
        Persistence::CookieRewrite(rewrite) | Persistence::CookiePrefix(rewrite) => {
            Carrier::Cookie(&rewrite.cookie)
        }
        Persistence::Route(route) => Carrier::Cookie(&route.cookie),
        Persistence::Learn(learn) => match &learn.from {
            LearnedFrom::Cookie(cookie) => Carrier::Cookie(cookie),
            LearnedFrom::Header(name) => Carrier::Field(name),
        },
        Persistence::SourceIp(_) => Carrier::Address,
    }
}

type Session = (&'static str, Option<String>, Option<SystemTime>);

/// What a token says.
fn said(lookup: Lookup<Arc<crate::pool::Server>>) -> Session {
    match lookup {
        Lookup::Miss => ("unknown", None, None),
        Lookup::Invalid => ("invalid", None, None),
        Lookup::Expired => ("expired", None, None),
        Lookup::Gone => ("gone", None, None),
        Lookup::Bound(bound, _) => {
            let started = Duration::from_secs(bound.session_started.0);
            let started = SystemTime::UNIX_EPOCH.checked_add(started);
            // Some tokens don't say when their sessions began.
            let started = started.filter(|_| bound.session_started.0 > 0);
            ("bound", Some(bound.server.name().to_string()), started)
        }
    }
}

/// What the session table knows.
async fn recalled(table: &SessionTable, running: &Running, keys: &SessionKeys) -> Session {
    let (now, mut waited) = (Moment::now(), Waited::default());
    let mut expired = false;
    for key in keys.iter() {
        match table.get(key, now, &mut waited).await {
            Answer::Known(binding) => {
                let servers = running.pool.servers();
                let is_there = servers
                    .iter()
                    .any(|server| *server.name() == binding.server);
                let age = Duration::from_secs(now.0.saturating_sub(binding.started.0).into());
                let started = SystemTime::now().checked_sub(age);
                let result = if is_there { "bound" } else { "gone" };
                return (result, Some(binding.server.to_string()), started);
            }
            Answer::Expired => expired = true,
            Answer::Unknown => {}
        }
    }
    (if expired { "expired" } else { "unknown" }, None, None)
}

fn served(listener: &str, terminator: &Terminator, now: SystemTime) -> Vec<CertificateStatus> {
    let served = terminator.certificates().into_iter();
    served
        .map(|one| CertificateStatus {
            listener: listener.to_owned(),
            names: one.names,
            issuer: one.issuer,
            not_before: timestamp(one.not_before),
            not_after: timestamp(one.not_after),
            expires_in_days: days_left(one.not_after, now),
            source: if one.obtained { "acme" } else { "file" },
            file: one.file.display().to_string(),
            findings: one.findings,
        })
        .collect()
}

fn days_left(end: SystemTime, now: SystemTime) -> i64 {
    const DAY: u64 = 24 * 3600;
    let days = |span: Duration| i64::try_from(span.as_secs() / DAY).unwrap_or(i64::MAX);
    match end.duration_since(now) {
        Ok(left) => days(left),
        Err(over) => -1 - days(over.duration()),
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
