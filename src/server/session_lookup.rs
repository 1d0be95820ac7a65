//! Where a session is, asked as a request would ask.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::COOKIE;
use http::{HeaderName, HeaderValue};

use super::instance::{Instance, Running};
use crate::admin::ApiError;
use crate::admin::control::{SessionStatus, SessionsStatus};
use crate::admin::status::timestamp;
use crate::config::model::{LearnedFrom, Persistence};
use crate::dispatch::PoolSite;
use crate::headers::Fields;
use crate::persistence::table::{Answer, SessionTable, Waited};
use crate::persistence::{Found, Lookup, Moment, RequestView, SessionKeys, UnixTime};

/// What a session's key leads to.
struct Asked {
    running: Running,
    kind: &'static str,
    found: Found<Arc<crate::pool::Server>>,
}

impl Instance {
    /// What is remembered of a pool's sessions.
    pub(super) fn count_sessions(&self, pool: &str) -> Result<SessionsStatus, ApiError> {
        let running = self.running(pool)?;
        let settings = running.pool.settings();
        let persistence = settings.persistence.as_ref();
        let table = persistence.and_then(Persistence::table);
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Ok(SessionsStatus {
            pool: pool.to_owned(),
            r#type: persistence.map(|persistence| persistence.name().to_owned()),
            entries: running.table.as_ref().map(|table| count(table.len())),
            size: table.map(|table| count(table.size)),
            shared: running
                .table
                .as_ref()
                .is_some_and(|table| table.is_shared()),
        })
    }

    /// What a session's key says.
    pub(super) async fn look_session_up(
        &self,
        pool: &str,
        key: &str,
    ) -> Result<SessionStatus, ApiError> {
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
    }

    /// Forgets an entry of the session table.
    pub(super) async fn drop_session(&self, pool: &str, key: &str) -> Result<(), ApiError> {
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
    }

    /// Asks what a request with that key would: a cookie's value, or a client's address.
    fn ask(&self, pool: &str, key: &str) -> Result<Asked, ApiError> {
        let running = self.running(pool)?;
        let settings = running.pool.settings();
        let no_sessions = || ApiError::conflict(format!("the pool {pool} keeps no sessions"));
        let persistence = settings.persistence.as_ref().ok_or_else(no_sessions)?;
        let kind = persistence.name();
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
            last_token: None,
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
