//! What a sound configuration says and its author hardly means: warnings, never errors.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::checks::{Checks, entries};
use super::model::{self, ServerAddress};
use super::raw;
use super::route_cover::covers;
use super::tree::At;

/// Notes warnings about a configuration without problems. `root` is the top of its tree.
pub fn hints(raw: &raw::Config, model: &model::Config, root: &At<'_>, checks: &mut Checks<'_>) {
    let pools_at = root.key("pools");
    for (pool, entry) in model.pools.iter().zip(entries(&pools_at)) {
        let at = pools_at.entry(entry);
        if !is_used(&pool.name, raw) {
            checks.warn(&at, "is used by no listener and no route");
        }
        servers(pool, &at, checks);
        own_listeners(pool, model, &at, checks);
        dropped_cookies(pool, raw, &at, checks);
        if let Some(check) = &pool.health_check
            && check.timeout > check.interval
        {
            let check_at = at.key("health_check");
            let message = "is longer than interval, so that a server that doesn't answer is checked more rarely than interval says";
            checks.warn(&check_at.key("timeout"), message);
        }
        let unlimited = pool
            .servers
            .iter()
            .all(|server| server.max_connections == 0);
        if pool.queue.size > 0 && unlimited {
            let message = "nothing ever waits, because no server has max_connections";
            checks.warn(&at.key("queue"), message);
        }
    }
    let listeners_at = root.key("listeners");
    for ((_, listener), entry) in raw.listeners.0.iter().zip(entries(&listeners_at)) {
        let at = listeners_at.entry(entry);
        hidden_routes(&listener.routes, &at.key("routes"), checks);
        if listener.proxy_protocol && listener.client_address.trusted_proxies.is_empty() {
            let message = "changes nothing, because client_address.trusted_proxies names nobody: PROXY headers are taken from those alone";
            checks.warn(&at.key("proxy_protocol"), message);
        }
    }
}

fn is_used(pool: &str, raw: &raw::Config) -> bool {
    let mut listeners = raw.listeners.0.iter();
    listeners.any(|(_, listener)| leads_to(listener, pool))
}

fn leads_to(listener: &raw::Listener, pool: &str) -> bool {
    let is = |name: &Option<raw::Name>| name.as_ref().is_some_and(|name| name.0 == pool);
    let by_name = &listener.tcp.sni_routes.0;
    is(&listener.pool)
        || by_name.iter().any(|(_, name)| name.0 == pool)
        || listener.routes.iter().any(|route| {
            is(&route.pool)
                || route.split.iter().any(|share| share.pool.0 == pool)
                || route
                    .mirror
                    .as_ref()
                    .is_some_and(|mirror| mirror.pool.0 == pool)
        })
}

/// Warns of cookies of ours that browsers accept only with `Secure`, on listeners where clients come by http.
fn dropped_cookies(pool: &model::Pool, raw: &raw::Config, at: &At<'_>, checks: &mut Checks<'_>) {
    let at = at.key("persistence");
    let (attributes, at) = match &pool.persistence {
        Some(model::Persistence::CookieInsert(insert)) => (&insert.attributes, at),
        Some(model::Persistence::Route(route)) => match &route.insert {
            Some(cookie) => (&cookie.attributes, at.key("insert")),
            None => return,
        },
        _ => return,
    };
    let mut listeners = raw.listeners.0.iter();
    let plain =
        listeners.find(|(_, listener)| listener.tls.is_none() && leads_to(listener, &pool.name));
    let Some((listener, _)) = plain.filter(|_| attributes.secure == model::Secure::Auto) else {
        return;
    };
    let cure = "write secure: true if clients come by https through a proxy in front";
    if attributes.same_site == model::SameSite::None {
        let message = format!(
            "browsers drop a cookie with SameSite=None that is not Secure, as it is on the listener `{listener}`, which is http; {cure}, or another same_site"
        );
        checks.warn(&at.key("same_site"), message);
    } else if attributes.partitioned {
        let message = format!(
            "is left away on the listener `{listener}`, which is http, since browsers want Secure with it; {cure}"
        );
        checks.warn(&at.key("partitioned"), message);
    }
}

fn servers(pool: &model::Pool, at: &At<'_>, checks: &mut Checks<'_>) {
    let at = at.key("servers");
    let mut known: HashMap<&ServerAddress, &str> = HashMap::new();
    for (index, server) in pool.servers.iter().enumerate() {
        if let Some(first) = known.get(&server.address) {
            let item = at.item(index);
            let message = format!(
                "is the address of `{first}`, too: one server gets the share, the checks and the limits of two"
            );
            checks.warn(&item.key("address"), message);
        } else {
            known.insert(&server.address, &server.name);
        }
    }
    if pool.servers.is_empty() {
        return;
    }
    if pool.servers.iter().all(|server| server.weight == 0) {
        let message = "all have weight 0, so that none takes a new session: every request without one gets 503";
        checks.warn(&at, message);
    } else if pool.servers.iter().all(|server| server.backup) {
        let message = "all are backups, which is as if none were";
        checks.warn(&at, message);
    }
}

/// Warns of a server whose address is one of our own listeners.
fn own_listeners(pool: &model::Pool, model: &model::Config, at: &At<'_>, checks: &mut Checks<'_>) {
    let at = at.key("servers");
    for (index, server) in pool.servers.iter().enumerate() {
        let reached = |bind: &SocketAddr| reaches(&server.address, *bind);
        let listener = model
            .listeners
            .iter()
            .find(|listener| listener.bind.iter().any(reached));
        let Some(listener) = listener else {
            continue;
        };
        let goes_there = listener.pool.as_ref() == Some(&pool.name)
            || listener.routes.iter().any(|route| match &route.action {
                model::Action::Pool(name) => *name == pool.name,
                model::Action::Split(shares) => shares.iter().any(|(name, _)| *name == pool.name),
                model::Action::Redirect { .. } | model::Action::Respond { .. } => false,
            });
        let what = if goes_there {
            "what is sent there comes back, round and round"
        } else {
            "what is sent there comes in once more"
        };
        let item = at.item(index);
        let message = format!(
            "is the listener `{}` of this very process; {what}",
            listener.name
        );
        checks.warn(&item.key("address"), message);
    }
}

/// Whether a connection to `server` from this machine ends at `bind`.
fn reaches(server: &ServerAddress, bind: SocketAddr) -> bool {
    let (addresses, port): (&[IpAddr], u16) = match server {
        ServerAddress::Socket(address) => (&[address.ip().to_canonical()], address.port()),
        ServerAddress::Name(name, port) if &**name == "localhost" => (
            &[
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ],
            *port,
        ),
        // What a name resolves to is only known at run time.
        ServerAddress::Name(..) | ServerAddress::Unix(_) => return false,
    };
    port == bind.port()
        && addresses.iter().any(|address| {
            // The kernel takes a connection to the wildcard address as one to loopback.
            let address = match address {
                IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                other => *other,
            };
            let bound = bind.ip();
            bound == address
                || bound.is_unspecified() && bound.is_ipv4() == address.is_ipv4() && is_own(address)
        })
}

/// Whether an address is one of this machine's: only such can be bound. Nothing is sent.
fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

/// Warns of routes that get no request because an earlier route takes all of theirs.
fn hidden_routes(routes: &[raw::Route], at: &At<'_>, checks: &mut Checks<'_>) {
    for (index, route) in routes.iter().enumerate() {
        let earlier = routes.iter().take(index);
        let hides = earlier
            .enumerate()
            .find(|(_, earlier)| covers(&earlier.r#match, &route.r#match));
        if let Some((place, _)) = hides {
            let first = checks.show(&at.item(place));
            let message = format!(
                "is never reached: the route at {first} takes all that this one is for, and the first that fits is taken"
            );
            checks.warn(&at.item(index), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_address_is_recognized_in_all_its_forms() {
        let server = |text: &str| {
            if let Ok(address) = text.parse() {
                return ServerAddress::Socket(address);
            }
            let (host, port) = text.split_once(':').expect("host:port");
            ServerAddress::Name(host.into(), port.parse().expect("a port"))
        };
        for (address, bind, wanted) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("127.0.0.9:80", "0.0.0.0:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("localhost:80", "0.0.0.0:80", true),
            ("localhost:80", "[::]:80", true),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
            ("[::1]:80", "[::]:80", true),
            ("[::1]:80", "0.0.0.0:80", false),
            ("127.0.0.1:81", "0.0.0.0:80", false),
            ("192.0.2.1:80", "0.0.0.0:80", false),
            ("127.0.0.2:80", "127.0.0.1:80", false),
            ("app:80", "0.0.0.0:80", false),
        ] {
            let bind = bind.parse().expect("an address");
            assert_eq!(reaches(&server(address), bind), wanted, "{address} {bind}");
        }
    }
}
