//! A listener's routes, ready for use: compiled once for each snapshot, with the state that outlives it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;

use crate::config::model;
use crate::config::model::{HeaderEdits, Rewrite, RouteTimeouts, Template};
use crate::http::body::mirror::Mirror;
use crate::http::request::target::Target;
use crate::networks::Networks;
use crate::routing::{
    Asked, NormalPath, Passwords, PathForm, RateLimiter, Schedule, Table, normalize,
};

/// Routes in their order.
pub struct Routes {
    table: Table,
    list: Vec<Arc<Route>>,
    normalizes: bool,
    /// What paths keep that no route takes.
    form: PathForm,
    /// All routes keep the same.
    is_uniform: bool,
}

/// What is done with some of the requests.
pub struct Route {
    /// What the access log calls it.
    pub name: Arc<str>,
    /// Where they go.
    pub action: Action,
    /// What paths keep.
    pub form: PathForm,
    /// What servers are asked for instead.
    pub rewrite: Rewrite,
    /// Fields of requests to the servers.
    pub request_headers: HeaderEdits,
    /// Fields of responses to the clients.
    pub response_headers: HeaderEdits,
    /// Requests in a time.
    pub limiter: Option<Arc<RateLimiter>>,
    /// Who may.
    pub passwords: Option<Arc<Passwords>>,
    /// The pool that gets a copy.
    pub mirror: Option<Arc<Mirror>>,
    timeouts: RouteTimeouts,
    allow: Networks,
    deny: Networks,
    users: Option<model::BasicAuth>,
}

/// Where requests go.
pub enum Action {
    /// To this pool.
    Pool(Arc<Target>),
    /// To one of these pools, by turns.
    Split(Vec<Arc<Target>>, Schedule),
    /// Nowhere: the client is sent on.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where to.
        to: Template,
    },
    /// Nowhere: they are answered here.
    Respond {
        /// 200 to 599.
        status: u16,
        /// `None`: an error page for statuses from 400 on, none for others.
        body: Option<Bytes>,
        /// What the body is.
        content_type: HeaderValue,
    },
}

impl Routes {
    /// The routes as configured; `None` if there are none. `targets` are the pools by their names. `before` are those of
    /// the snapshot before: what they have counted goes on counting.
    pub fn new(
        listener: &model::Listener,
        targets: &HashMap<Arc<str>, Arc<Target>>,
        before: Option<&Self>,
    ) -> Option<Self> {
        if listener.routes.is_empty() {
            return None;
        }
        let table = Table::new(listener.routes.iter().map(|route| &route.matches));
        let known: HashMap<&str, &Arc<Route>> = before
            .iter()
            .flat_map(|before| &before.list)
            .map(|route| (&*route.name, route))
            .collect();
        Some(Self {
            // A path that is rewritten is taken to pieces, as one that is compared.
            normalizes: table.compares_paths()
                || listener
                    .routes
                    .iter()
                    .any(|route| route.rewrite.path.is_some()),
            table,
            list: listener
                .routes
                .iter()
                .filter_map(|model| {
                    let before = known.get(&*model.name).map(|route| &***route);
                    Route::new(model, targets, before).map(Arc::new)
                })
                .collect(),
            form: listener.http.path,
            is_uniform: listener
                .routes
                .iter()
                .all(|route| route.form == listener.http.path),
        })
    }

    /// Whether paths are put into normal form here.
    pub fn normalizes(&self) -> bool {
        self.normalizes
    }

    /// A path in the form that is compared here. It is the same whatever a route keeps.
    ///
    /// # Errors
    ///
    /// Why there is none, in words.
    pub fn compared<'a>(&self, path: &'a [u8]) -> Result<NormalPath<'a>, &'static str> {
        if self.is_uniform {
            return normalize(path, self.form);
        }
        // The more is kept, the less can be resolved: what leads up from between two slashes can't.
        let merged = PathForm {
            slashes: false,
            encoded_slashes: true,
        };
        normalize(path, PathForm::ALL).or_else(|_| normalize(path, merged))
    }

    /// A path in the form that servers get from this route, or from none: `compared`, if that is the same.
    ///
    /// # Errors
    ///
    /// Why there is none, in words.
    pub fn forwarded<'a>(
        &self,
        path: &'a [u8],
        compared: NormalPath<'a>,
        route: Option<&Route>,
    ) -> Result<NormalPath<'a>, &'static str> {
        if self.is_uniform {
            return Ok(compared);
        }
        normalize(path, route.map_or(self.form, |route| route.form))
    }

    /// The first route that fits, and how much of the compared path its `path` or `path_prefix` took.
    pub fn find(&self, asked: &Asked<'_>) -> Option<(Arc<Route>, usize)> {
        let found = self.table.find(asked)?;
        let route = self.list.get(found.route)?;
        Some((Arc::clone(route), found.taken))
    }
}

impl Route {
    /// `None` only if a pool isn't there, which was checked.
    fn new(
        model: &model::Route,
        targets: &HashMap<Arc<str>, Arc<Target>>,
        before: Option<&Self>,
    ) -> Option<Self> {
        let target = |name: &Arc<str>| targets.get(name).cloned();
        let action = match &model.action {
            model::Action::Pool(name) => Action::Pool(target(name)?),
            model::Action::Split(shares) => {
                let weights: Vec<u16> = shares.iter().map(|(_, weight)| *weight).collect();
                let pools: Option<Vec<_>> = shares.iter().map(|(name, _)| target(name)).collect();
                let turns = Schedule::new(&weights);
                let turns = match before.map(|before| &before.action) {
                    Some(Action::Split(_, before)) => turns.after(before),
                    _ => turns,
                };
                Action::Split(pools?, turns)
            }
            model::Action::Redirect { status, to } => Action::Redirect {
                status: *status,
                to: to.clone(),
            },
            model::Action::Respond {
                status,
                body,
                content_type,
            } => Action::Respond {
                status: *status,
                body: body.clone(),
                content_type: content_type.clone(),
            },
        };
        let limiter = model.rate_limit.as_ref().map(|settings| {
            before
                .and_then(|before| before.limiter.as_ref())
                .filter(|limiter| limiter.settings() == settings)
                .map_or_else(|| Arc::new(RateLimiter::new(settings)), Arc::clone)
        });
        let passwords = model.basic_auth.as_ref().map(|settings| {
            let same = |before: &&Self| {
                before.users.as_ref().is_some_and(|users| {
                    users.realm == settings.realm && users.users == settings.users
                })
            };
            before
                .filter(same)
                .and_then(|before| before.passwords.clone())
                .unwrap_or_else(|| Passwords::new(settings))
        });
        let mirror = model.mirror.as_ref().and_then(|mirror| {
            let target = targets.get(&mirror.pool)?;
            Some(Arc::new(Mirror::new(
                Arc::clone(&target.site),
                mirror.ratio,
                before.and_then(|before| before.mirror.as_deref()),
            )))
        });
        Some(Self {
            name: Arc::clone(&model.name),
            action,
            form: model.form,
            rewrite: model.rewrite.clone(),
            request_headers: model.request_headers.clone(),
            response_headers: model.response_headers.clone(),
            limiter,
            passwords,
            mirror,
            timeouts: model.timeouts,
            allow: Networks::new(&model.allow),
            deny: Networks::new(&model.deny),
            users: model.basic_auth.clone(),
        })
    }

    /// Whether a client may, by its address.
    pub fn admits(&self, client: IpAddr) -> bool {
        !self.deny.contains(client) && (self.allow.is_empty() || self.allow.contains(client))
    }

    /// The times that this route's servers get.
    pub fn timeouts(&self) -> &RouteTimeouts {
        &self.timeouts
    }
}
