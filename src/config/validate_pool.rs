//! raw -> model for pools.

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use regex::bytes::RegexBuilder;

use super::address::{SourceAddress, Upstream};
use super::checks::Checks;
use super::discovery_text::{DiscoveredName, NameServer};
use super::model;
use super::problem::shown;
use super::raw;
use super::tree::{At, Value};
use super::units::{Size, Span};
use super::validate_algorithm::picking;
use super::validate_outliers::outlier_detection;
use super::validate_persistence::{persistence, routes};
use super::validate_tls::upstream_tls;

/// What a server ramps up by where the file doesn't say and the algorithm would flood it.
const SLOW_START: Span = Span::secs(30);

/// The most of a body that may be kept for another try.
const LARGEST_REPLAY: Size = Size::kib(64 * 1024);

/// A pool, as far as it can be built; what is wrong is noted.
///
/// `at` is in the sound part of the tree, `written` in all of it.
pub(super) fn pool(
    name: &str,
    raw: &raw::Pool,
    at: &At<'_>,
    written: &At<'_>,
    checks: &mut Checks<'_>,
) -> model::Pool {
    let slow_start = raw.slow_start.unwrap_or(match raw.algorithm {
        raw::Algorithm::WeightedLeastConnections => SLOW_START,
        _ => Span::secs(0),
    });
    let picking = picking(raw, at, written, checks);
    let servers_at = at.key("servers");
    let servers = servers(&raw.servers, &servers_at, checks);
    let discovery = discovery(raw, at, written, checks);
    let persistence = raw.persistence.as_ref().and_then(|raw| {
        let (at, written) = (at.key("persistence"), written.key("persistence"));
        persistence(raw, &at, &written, checks)
    });
    let written_servers = written.key("servers");
    routes(
        &servers,
        persistence.as_ref(),
        &servers_at,
        &written_servers,
        checks,
    );
    let tls = raw.tls.as_ref().map(|raw| {
        let (at, written) = (at.key("tls"), written.key("tls"));
        upstream_tls(raw, &servers, discovery.as_ref(), &at, &written, checks)
    });
    let queue = queue(&raw.queue, &at.key("queue"), checks);
    let timeouts = timeouts(&raw.timeouts, &at.key("timeouts"), checks);
    let check_at = at.key("health_check");
    let health_check = raw
        .health_check
        .as_ref()
        .and_then(|raw| health_check(raw, &check_at, checks));
    let outlier_detection = raw.outlier_detection.as_ref().map(|raw| {
        let at = at.key("outlier_detection");
        outlier_detection(raw, &at, checks)
    });
    let source = source(raw.source, &servers, &at.key("source"), checks);
    let on = &raw.retries.on;
    if raw.retries.replay_buffer > LARGEST_REPLAY {
        let at = at.key("retries");
        checks.note(
            &at.key("replay_buffer"),
            "must be at most 64MiB: it is memory for each request",
        );
    }
    model::Pool {
        name: Arc::from(name),
        algorithm: picking.algorithm,
        hash_key: picking.hash_key,
        bounded_load: picking.bounded_load,
        discovery,
        servers,
        persistence,
        health_check,
        outlier_detection,
        slow_start: slow_start.0,
        queue,
        timeouts,
        retries: model::Retries {
            attempts: raw.retries.attempts,
            on_connect_failure: on.contains(&raw::RetryOn::ConnectFailure),
            on_reset_before_response: on.contains(&raw::RetryOn::ResetBeforeResponse),
            on_502: on.contains(&raw::RetryOn::Status(502)),
            on_503: on.contains(&raw::RetryOn::Status(503)),
            on_504: on.contains(&raw::RetryOn::Status(504)),
            budget_percent: raw.retries.budget.0,
            replay_buffer: raw.retries.replay_buffer.bytes(),
        },
        keepalive: model::Keepalive {
            connections: raw.keepalive.connections as usize,
        },
        tls,
        http2: raw.http2,
        proxy_protocol: raw.proxy_protocol.map(|version| match version {
            raw::ProxyProtocol::V1 => model::ProxyProtocol::V1,
            raw::ProxyProtocol::V2 => model::ProxyProtocol::V2,
        }),
        source,
    }
}

/// Where connections come from. No server may be where nothing could come from there.
fn source(
    raw: Option<SourceAddress>,
    servers: &[model::PoolServer],
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<model::Source> {
    let address = match raw? {
        SourceAddress::Client => return Some(model::Source::Client),
        SourceAddress::Address(address) => address,
    };
    let other_family = servers.iter().find_map(|server| match &server.address {
        model::ServerAddress::Socket(at) if at.is_ipv4() != address.is_ipv4() => Some((server, at)),
        _ => None,
    });
    if let Some((server, there)) = other_family {
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        let name = shown(&server.name);
        checks.note(
            at,
            format!("is {family}, and the server `{name}` is at {there}"),
        );
    }
    Some(model::Source::Address(address))
}

/// Where the servers are found, if they aren't listed. `written` is the pool in all of the tree.
fn discovery(
    raw: &raw::Pool,
    at: &At<'_>,
    written: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<model::Discovery> {
    let listed = written.key("servers").is_written();
    let Some(found) = &raw.discovery else {
        // What is written but not sound has been complained about already.
        if !listed && !written.key("discovery").is_written() {
            let message = "is missing; a pool has servers, or discovery that finds them";
            checks.note(&at.key("servers"), message);
        }
        return None;
    };
    let at = at.key("discovery");
    if listed {
        checks.note(&at, "can't be beside servers: it says who they are");
    }
    if !(Span::millis(100)..=Span::secs(3600)).contains(&found.interval) {
        let message = format!("must be from 100ms to 1h, found {}", found.interval);
        checks.note(&at.key("interval"), message);
    }
    let name_servers = found.resolvers.0.iter();
    let name_servers: Vec<_> = name_servers
        .filter_map(|one| match one {
            NameServer::System => None,
            NameServer::At(address) => Some(*address),
        })
        .collect();
    if !name_servers.is_empty() && name_servers.len() < found.resolvers.0.len() {
        let message = "has addresses beside system, which has its own";
        checks.note(&at.key("resolvers"), message);
    }
    Some(model::Discovery {
        dns: match &found.dns {
            DiscoveredName::Addresses(host, port) => {
                model::DiscoveredName::Addresses(Arc::from(host.as_str()), *port)
            }
            DiscoveredName::Services(name) => {
                model::DiscoveredName::Services(Arc::from(name.as_str()))
            }
        },
        interval: found.interval.0,
        min: found.min as usize,
        resolvers: (!name_servers.is_empty()).then_some(name_servers),
    })
}

fn servers(raw: &[raw::Listed], at: &At<'_>, checks: &mut Checks<'_>) -> Vec<model::PoolServer> {
    let mut names: HashMap<String, String> = HashMap::new();
    let mut servers = Vec::with_capacity(raw.len());
    for (index, raw::Listed(raw)) in raw.iter().enumerate() {
        let at = at.item(index);
        let name_at = at.key("name");
        let name = match &raw.name {
            Some(name) => name.0.clone(),
            None => default_name(&raw.address),
        };
        if let Some(first) = names.get(&name) {
            let hint = if raw.name.is_some() {
                ""
            } else {
                " (a server without a name is named by its address)"
            };
            let message = format!(
                "two servers are named `{}`{hint}; the first at {first}",
                shown(&name)
            );
            checks.note(&name_at, message);
        } else {
            names.insert(name.clone(), checks.show(&name_at));
        }
        let address = match &raw.address {
            Upstream::Socket(address) => model::ServerAddress::Socket(*address),
            Upstream::Name(host, port) => {
                model::ServerAddress::Name(Arc::from(host.as_str()), *port)
            }
            Upstream::Unix(path) => {
                model::ServerAddress::Unix(checks.path(&at.key("address"), path))
            }
        };
        let route = raw.route.as_ref().map_or(&name, |route| &route.0);
        servers.push(model::PoolServer {
            route: Arc::from(route.as_str()),
            name: Arc::from(name),
            address,
            weight: raw.weight,
            max_connections: raw.max_connections,
            backup: raw.backup,
            operator: model::Operator::Ready,
        });
    }
    servers
}

/// The address; of a unix socket its file name, as a name can't hold slashes.
fn default_name(address: &Upstream) -> String {
    match address {
        Upstream::Unix(path) => Path::new(path)
            .file_name()
            .map_or_else(|| "unix".into(), |name| name.to_string_lossy().into_owned()),
        _ => address.to_string(),
    }
}

fn queue(raw: &raw::Queue, at: &At<'_>, checks: &mut Checks<'_>) -> model::Queue {
    if raw.size > 0 {
        checks.positive(
            &at.key("timeout"),
            raw.timeout,
            "; for no waiting write size: 0",
        );
    }
    model::Queue {
        size: raw.size as usize,
        timeout: raw.timeout.0,
    }
}

fn timeouts(raw: &raw::Timeouts, at: &At<'_>, checks: &mut Checks<'_>) -> model::Timeouts {
    let mut positive = |key, span, instead| checks.positive(&at.key(key), span, instead);
    model::Timeouts {
        connect: positive("connect", raw.connect, ""),
        send: positive("send", raw.send, ""),
        receive: positive("receive", raw.receive, ""),
        idle: positive(
            "idle",
            raw.idle,
            "; to keep no connections write keepalive: {connections: 0}",
        ),
    }
}

fn health_check(
    raw: &raw::HealthCheck,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<model::HealthCheck> {
    let plain = |kind, word, checks: &mut Checks<'_>| {
        for key in [
            "method",
            "path",
            "host",
            "headers",
            "expect_status",
            "expect_body",
        ] {
            let key_at = at.key(key);
            if key_at.is_written() {
                let message = format!("has no meaning for type {word}; write type: http");
                checks.note(&key_at, message);
            }
        }
        kind
    };
    let kind = match raw.r#type {
        raw::CheckType::Tcp => plain(model::CheckKind::Tcp, "tcp", checks),
        raw::CheckType::Tls => plain(model::CheckKind::Tls, "tls", checks),
        raw::CheckType::Grpc => plain(model::CheckKind::Grpc, "grpc", checks),
        raw::CheckType::Http => model::CheckKind::Http(Box::new(http_check(raw, at, checks)?)),
    };
    let interval = checks.positive(
        &at.key("interval"),
        raw.interval,
        "; for no checks write health_check: null",
    );
    let fast_at = at.key("fast_interval");
    let mut fast_interval = checks.positive(&fast_at, raw.fast_interval, "");
    if fast_interval > interval && !interval.is_zero() {
        if fast_at.is_written() {
            let message = format!(
                "{} is longer than interval ({})",
                raw.fast_interval, raw.interval
            );
            checks.note(&fast_at, message);
        }
        fast_interval = interval.max(Duration::from_millis(1));
    }
    Some(model::HealthCheck {
        kind,
        interval,
        fast_interval,
        timeout: checks.positive(&at.key("timeout"), raw.timeout, ""),
        rise: raw.rise,
        fall: raw.fall,
        initial: match raw.initial {
            raw::Initial::Unknown => model::InitialState::Unknown,
            raw::Initial::Up => model::InitialState::Up,
            raw::Initial::Down => model::InitialState::Down,
        },
        port: raw.port,
    })
}

fn http_check(
    raw: &raw::HealthCheck,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<model::HttpCheck> {
    let method = match raw.method {
        // A response to HEAD has no body to look at.
        raw::Method::Head if raw.expect_body.is_some() => http::Method::GET,
        raw::Method::Head => http::Method::HEAD,
        raw::Method::Get => http::Method::GET,
        raw::Method::Options => http::Method::OPTIONS,
        raw::Method::Post => http::Method::POST,
        raw::Method::Put => http::Method::PUT,
    };
    let expect_at = at.key("expect_status");
    if raw.expect_status.0.is_empty() {
        checks.note(&expect_at, "is empty, so that no response could be right");
    }
    let expect_body = match &raw.expect_body {
        Some(pattern) => match RegexBuilder::new(&pattern.0).size_limit(1 << 20).build() {
            Ok(regex) => Some(regex),
            Err(error) => {
                checks.note(&at.key("expect_body"), error.to_string());
                return None;
            }
        },
        None => None,
    };
    Some(model::HttpCheck {
        method,
        path: raw.path.0.clone(),
        host: raw.host.as_ref().map(|host| host.0.clone()),
        headers: headers(raw, &at.key("headers"), checks),
        expect_status: raw
            .expect_status
            .0
            .iter()
            .map(|range| range.0.clone())
            .collect(),
        expect_body,
    })
}

fn headers(
    raw: &raw::HealthCheck,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> Vec<(HeaderName, http::HeaderValue)> {
    let entries = match at.node.map(|node| &node.value) {
        Some(Value::Mapping(entries)) => entries.as_slice(),
        _ => &[],
    };
    let mut headers: Vec<(HeaderName, http::HeaderValue)> = Vec::new();
    for ((name, value), entry) in raw.headers.0.iter().zip(entries) {
        let at = at.entry(entry);
        let Ok(name) = HeaderName::from_str(name) else {
            checks.note(
                &at,
                format!("`{}` is not the name of a header field", shown(name)),
            );
            continue;
        };
        match name.as_str() {
            "host" => checks.note(&at, "is set by the key host of the health check"),
            "content-length" | "transfer-encoding" | "connection" | "upgrade" | "te" => {
                checks.note(&at, "belongs to the connection and is set by Equipoise");
            }
            _ if headers.iter().any(|(known, _)| *known == name) => {
                checks.note(&at, "is written twice (header names know no case)");
            }
            _ => {}
        }
        headers.push((name, value.0.clone()));
    }
    headers
}
