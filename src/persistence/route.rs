//! `persistence.type: route`: the backend ends its session ids in the name of its route, as Tomcat does with
//! `jvmRoute` (`JSESSIONID=0A1B2C.tomcat1`). We only read them.
//!
//! With `insert` there is a cookie of ours as well that says the route and nothing else, as httpd's manual
//! has it: `ROUTEID=.tomcat1`, set when an answer came from another route than the request's cookie names.
//!
//! An id is looked for in our cookie, in the backend's cookie, in the path's parameters and in the query, in
//! this order; of those that name a route of the pool the first counts whose server can take the request. Tomcat prefers the cookie to the path's
//! parameter as well; httpd doesn't. Parameters are read as Tomcat reads its own: in any segment of the path, the
//! name with its case, not percent-decoded.

use std::collections::HashMap;
use std::sync::Arc;

use crate::headers::names::SET_COOKIE;

use super::affinity::{Answered, Member, RequestView};
use super::codec::{MAX_CANDIDATES, bound};
use super::template::Template;
use super::{Bound, Lookup, UnixTime, cache_control, cookie};
use crate::config::model::{RouteCookie, RoutePersistence as Settings};
use crate::headers::Fields;

/// The routes of one pool. `S` is a handle of a server.
#[derive(Clone)]
pub(super) struct Route<S> {
    servers: HashMap<Arc<[u8]>, S>,
    cookie: Arc<str>,
    /// Not empty.
    separator: Vec<u8>,
    path_parameter: Option<Arc<str>>,
    query_parameter: Option<Arc<str>>,
    inserted: Option<Inserted>,
}

/// Our own cookie.
#[derive(Clone)]
struct Inserted {
    name: Arc<str>,
    template: Template,
}

impl<S: Clone> Route<S> {
    pub(super) fn new(settings: &Settings, servers: &[Member<S>]) -> Self {
        let routes = servers
            .iter()
            .map(|server| (server.route.as_bytes().into(), server.handle.clone()));
        Self {
            servers: routes.collect(),
            cookie: settings.cookie.clone(),
            separator: settings.separator.clone().into_bytes(),
            path_parameter: settings.path_parameter.clone(),
            query_parameter: settings.query_parameter.clone(),
            inserted: settings.insert.as_ref().map(Inserted::new),
        }
    }

    /// The session that `request` belongs to.
    pub(super) fn read(&self, request: &RequestView<'_>, now: UnixTime) -> Lookup<S> {
        let headers = request.headers;
        let inserted = self.inserted.iter();
        let inserted = inserted.flat_map(|inserted| cookies(headers, &inserted.name));
        let in_path = self.path_parameter.iter();
        let in_path = in_path
            .flat_map(|name| path_parameters(request.path, name.as_bytes()).take(MAX_CANDIDATES));
        let in_query = self.query_parameter.iter();
        let in_query = in_query.flat_map(|name| {
            query_parameters(request.query.unwrap_or_default(), name.as_bytes())
                .take(MAX_CANDIDATES)
        });
        let ids = inserted
            .chain(cookies(headers, &self.cookie))
            .chain(in_path)
            .chain(in_query);
        bound(ids.map(|id| self.judge(id, now)))
    }

    /// Sets our cookie if there is one and the answer came from a route that none of the request's names.
    pub(super) fn finish_response(&self, response: &mut Fields, facts: &Answered<'_>) {
        let Some(inserted) = &self.inserted else {
            return;
        };
        let mut named = cookies(facts.request, &inserted.name);
        if named.any(|id| route_of(id, &self.separator) == Some(facts.route.as_bytes())) {
            return;
        }
        let value = [&self.separator, facts.route.as_bytes()].concat();
        let line = inserted.template.line(&value, facts.https);
        response.append(SET_COOKIE, line);
        cache_control::forbid_shared(response);
    }

    /// What one session id says.
    fn judge(&self, id: &[u8], now: UnixTime) -> Lookup<S> {
        let Some(route) = route_of(id, &self.separator) else {
            return Lookup::Miss;
        };
        self.servers.get(route).map_or(Lookup::Gone, |server| {
            Lookup::only(Bound {
                server: server.clone(),
                session_started: now,
                renew: false,
            })
        })
    }
}

impl Inserted {
    fn new(settings: &RouteCookie) -> Self {
        Self {
            name: settings.cookie.clone(),
            template: Template::new(&settings.cookie, &settings.attributes, None),
        }
    }
}

fn cookies<'a>(request: &'a Fields, name: &'a str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    cookie::values(request, name.as_bytes()).take(MAX_CANDIDATES)
}

/// What follows the last `separator`, which isn't empty; `None` if nothing does.
fn route_of<'a>(id: &'a [u8], separator: &[u8]) -> Option<&'a [u8]> {
    let last = id
        .windows(separator.len().max(1))
        .rposition(|window| window == separator)?;
    let route = id.get(last + separator.len()..)?;
    (!route.is_empty()).then_some(route)
}

/// The values of the parameters called `name` in any segment of `path`.
fn path_parameters<'a>(path: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    path.split(|&byte| byte == b'/')
        .flat_map(|segment| segment.split(|&byte| byte == b';').skip(1))
        .filter_map(move |parameter| value_of(parameter, name))
}

/// The values of the parameters called `name` in `query`.
pub(super) fn query_parameters<'a>(
    query: &'a [u8],
    name: &'a [u8],
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    query
        .split(|&byte| byte == b'&')
        .filter_map(move |parameter| value_of(parameter, name))
}

fn value_of<'a>(parameter: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    parameter.strip_prefix(name)?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests;
