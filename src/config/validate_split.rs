//! Whether the sessions of a split's pools can be told apart.
//!
//! A session goes to the pool that has its server. Where cookies say no more than the server's name or route, two pools
//! may each have one that is called so, and the session would change from one to the other.

use std::collections::HashMap;

use super::checks::Checks;
use super::model;
use super::problem::shown;
use super::raw;
use super::tree::At;

/// Notes servers of a split's pools that sessions can't tell apart. `at` is a listener.
pub(super) fn tell_apart(
    listener: &raw::Listener,
    at: &At<'_>,
    pools: &HashMap<&str, &model::Pool>,
    checks: &mut Checks<'_>,
) {
    let at = at.key("routes");
    for (index, route) in listener.routes.iter().enumerate() {
        let at = at.item(index);
        let at = at.key("split");
        let mut before: Vec<&model::Pool> = Vec::new();
        for (index, share) in route.split.iter().enumerate() {
            let Some(pool) = pools.get(share.pool.0.as_str()) else {
                continue;
            };
            if let Some(message) = before.iter().find_map(|other| mistaken(other, pool)) {
                checks.note(&at.item(index).key("pool"), message);
            }
            before.push(pool);
        }
    }
}

/// Which server of `pool` a session could be taken to be of that is one of `other`'s.
fn mistaken(other: &model::Pool, pool: &model::Pool) -> Option<String> {
    if other.name == pool.name {
        return None;
    }
    let (said, theirs) = (Said::by(pool)?, Said::by(other)?);
    if !said.meets(&theirs) {
        return None;
    }
    let known: HashMap<&str, &model::ServerAddress> = other
        .servers
        .iter()
        .map(|server| (theirs.of(server), &server.address))
        .collect();
    let server = pool.servers.iter().find(|server| {
        let of_name = known.get(said.of(server));
        of_name.is_some_and(|address| **address != server.address)
    })?;
    let name = shown(said.of(server));
    let other = shown(&other.name);
    Some(match said {
        Said::Name(_) => format!(
            "a server `{name}` is in pool `{other}`, too, and a cookie with its name doesn't say in which; call one \
             otherwise, or write token: signed"
        ),
        Said::Route(_) => format!(
            "a server with the route `{name}` is in pool `{other}`, too, and a session id doesn't say in which; give one \
             another route"
        ),
    })
}

/// What a pool's sessions say of their server in words that another pool may use as well.
enum Said<'a> {
    /// Its name, in this cookie.
    Name(&'a str),
    /// Its route.
    Route(&'a model::RoutePersistence),
}

impl<'a> Said<'a> {
    fn by(pool: &'a model::Pool) -> Option<Self> {
        use model::Persistence;
        match pool.persistence.as_ref()? {
            Persistence::CookieInsert(insert) => {
                (insert.token == model::Token::Name).then_some(Self::Name(&insert.cookie))
            }
            Persistence::CookieRewrite(rewrite) | Persistence::CookiePrefix(rewrite) => {
                (rewrite.token == model::Token::Name).then_some(Self::Name(&rewrite.cookie))
            }
            Persistence::Route(route) => Some(Self::Route(route)),
            Persistence::Learn(_) | Persistence::SourceIp(_) => None,
        }
    }

    /// Whether the two look at one place.
    fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(cookie), Self::Name(other)) => cookie == other,
            (Self::Route(route), Self::Route(other)) => {
                let is_same = |a: &Option<_>, b: &Option<_>| a.is_some() && a == b;
                let inserted = |route: &model::RoutePersistence| {
                    route.insert.as_ref().map(|insert| insert.cookie.clone())
                };
                route.cookie == other.cookie
                    || is_same(&route.path_parameter, &other.path_parameter)
                    || is_same(&route.query_parameter, &other.query_parameter)
                    || is_same(&inserted(route), &inserted(other))
            }
            _ => false,
        }
    }

    fn of<'b>(&self, server: &'b model::PoolServer) -> &'b str {
        match self {
            Self::Name(_) => &server.name,
            Self::Route(_) => &server.route,
        }
    }
}
