//! raw -> model for listeners, but for what their protocols bring along.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::checks::{Checks, entries};
use super::model;
use super::problem::{shown, similar};
use super::raw;
use super::text::check_name;
use super::tree::{At, Value};
use super::validate_http::http;
use super::validate_names::sni_routes;
use super::validate_route::{is_empty_list, routes};
use super::validate_tls::tls;

/// Linux takes no more seconds for `TCP_KEEPIDLE` and `TCP_KEEPINTVL` (tcp(7)).
const LONGEST_KEEPALIVE: u64 = 32_767;

/// One listener. `at` is where it stands in the sound part of the tree, `written` in all of it.
pub(super) fn listener(
    name: &str,
    raw: &raw::Listener,
    at: &At<'_>,
    written: &At<'_>,
    pools: &HashMap<&str, Arc<str>>,
    state_dir: &Path,
    checks: &mut Checks<'_>,
) -> model::Listener {
    if raw.bind.0.is_empty() && is_empty_list(&written.key("bind")) {
        checks.note(
            &at.key("bind"),
            "is empty; a listener needs at least one address",
        );
    }
    let is_http = matches!(raw.protocol, raw::Protocol::Http | raw::Protocol::Https);
    let is_unknown = at.is_broken(written, "protocol");
    for (key, fits, protocols) in [
        ("http", is_http, "http and https"),
        (
            "redirect_https",
            raw.protocol == raw::Protocol::Http,
            "http",
        ),
        ("routes", is_http, "http and https"),
        ("tcp", !is_http, "tcp and tls"),
    ] {
        let at = at.key(key);
        let is_off = key == "redirect_https" && raw.redirect_https.0.is_none();
        let has_meaning = fits || is_unknown || is_off;
        if at.is_written() && !has_meaning {
            checks.note(&at, format!("has a meaning for protocol {protocols} alone"));
        }
    }
    if raw.redirect_https.0.is_some() && !raw.routes.is_empty() {
        checks.note(
            &at.key("routes"),
            "are never looked at beside redirect_https, which answers every request; write a last route with redirect instead",
        );
    }
    if raw.pool.is_none()
        && raw.redirect_https.0.is_none()
        && !written.key("routes").is_written()
        && !written.key("tcp").key("sni_routes").is_written()
        && !written.key("pool").is_written()
    {
        checks.note(at, "needs pool, the name of where everything goes");
    }
    let routes = routes(raw, at, written, pools, checks);
    let sni_routes = sni_routes(raw, &at.key("tcp").key("sni_routes"), pools, checks);
    model::Listener {
        name: Arc::from(name),
        bind: raw.bind.0.iter().map(|bind| bind.0).collect(),
        protocol: match raw.protocol {
            raw::Protocol::Http => model::Protocol::Http,
            raw::Protocol::Https => model::Protocol::Https,
            raw::Protocol::Tcp => model::Protocol::Tcp,
            raw::Protocol::Tls => model::Protocol::Tls,
        },
        proxy_protocol: raw.proxy_protocol,
        max_connections: raw.max_connections as usize,
        max_connections_per_client: raw.max_connections_per_client as usize,
        connection_rate_per_client: raw.connection_rate_per_client,
        tcp_keepalive: tcp_keepalive(&raw.tcp_keepalive, &at.key("tcp_keepalive"), checks),
        client_address: client_address(&raw.client_address),
        http: http(&raw.http, &at.key("http"), checks),
        tls: tls(raw, at, written, state_dir, checks),
        redirect_https: raw.redirect_https.0,
        tcp: tcp(&raw.tcp, &at.key("tcp"), checks),
        sni_routes,
        routes,
        pool: raw.pool.as_ref().map(|name| {
            pools
                .get(name.0.as_str())
                .map_or_else(|| Arc::from(name.0.as_str()), Arc::clone)
        }),
    }
}

/// Looks for pools that listeners name and that aren't there. Looks at all written listeners, so that one that isn't sound elsewhere has its
/// reference checked, too.
pub(super) fn unknown_pools(
    listeners: &At<'_>,
    pools: &At<'_>,
    names: &HashMap<&str, Arc<str>>,
    checks: &mut Checks<'_>,
) {
    for entry in entries(listeners) {
        let at = listeners.entry(entry);
        unknown_pool(&at.key("pool"), pools, names, checks);
        let by_name = at.key("tcp");
        let by_name = by_name.key("sni_routes");
        for entry in entries(&by_name) {
            unknown_pool(&by_name.entry(entry), pools, names, checks);
        }
        let routes = at.key("routes");
        for index in 0..items(&routes) {
            let route = routes.item(index);
            unknown_pool(&route.key("pool"), pools, names, checks);
            unknown_pool(&route.key("mirror").key("pool"), pools, names, checks);
            let split = route.key("split");
            for index in 0..items(&split) {
                unknown_pool(&split.item(index).key("pool"), pools, names, checks);
            }
        }
    }
}

fn items(at: &At<'_>) -> usize {
    match at.node.map(|node| &node.value) {
        Some(Value::Sequence(items)) => items.len(),
        _ => 0,
    }
}

fn unknown_pool(
    at: &At<'_>,
    pools: &At<'_>,
    names: &HashMap<&str, Arc<str>>,
    checks: &mut Checks<'_>,
) {
    if let Some(Value::String(name)) = at.node.map(|node| &node.value)
        && check_name(name).is_ok()
        && !names.contains_key(name.as_str())
    {
        let message = format!("there is no pool `{}`", shown(name));
        let meant = if checks.is_full() {
            None
        } else {
            similar(name, entries(pools).iter().map(|pool| pool.key.as_str()))
        };
        checks.note_with(at, message, meant);
    }
}

fn tcp_keepalive(
    raw: &raw::TcpKeepalive,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> model::TcpKeepalive {
    for (key, span) in [("idle", raw.idle), ("interval", raw.interval)] {
        let whole = span.0.subsec_nanos() == 0;
        if !whole || !(1..=LONGEST_KEEPALIVE).contains(&span.0.as_secs()) {
            let message =
                format!("must be whole seconds from 1s to {LONGEST_KEEPALIVE}s, found {span}");
            checks.note(&at.key(key), message);
        }
    }
    model::TcpKeepalive {
        idle: raw.idle.0,
        interval: raw.interval.0,
        probes: raw.probes,
    }
}

fn client_address(raw: &raw::ClientAddress) -> model::ClientAddress {
    model::ClientAddress {
        trusted_proxies: raw
            .trusted_proxies
            .iter()
            .map(|network| network.0)
            .collect(),
        x_forwarded_for: match raw.x_forwarded_for {
            raw::XForwardedFor::Append => model::XForwardedFor::Append,
            raw::XForwardedFor::Replace => model::XForwardedFor::Replace,
            raw::XForwardedFor::Off => model::XForwardedFor::Off,
        },
        x_real_ip: raw.x_real_ip,
        x_forwarded_proto: raw.x_forwarded_proto,
        forwarded: raw.forwarded,
        via: raw.via,
    }
}

fn tcp(raw: &raw::Tcp, at: &At<'_>, checks: &mut Checks<'_>) -> model::Tcp {
    let mut positive = |key, span| checks.positive(&at.key(key), span, "");
    model::Tcp {
        idle_timeout: positive("idle_timeout", raw.idle_timeout),
        half_close_timeout: positive("half_close_timeout", raw.half_close_timeout),
    }
}
