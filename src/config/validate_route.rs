//! raw -> model for routes.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::address::Network;
use super::checks::Checks;
use super::model;
use super::problem::shown;
use super::raw;
use super::route_text::HostPattern;
use super::template::Piece;
use super::tree::{At, Value};
use super::units::Span;
use super::validate_http::path_form;
use super::validate_passwords::basic_auth;
use super::validate_rewrite::{field_name, header_edits, rewrite};

/// All routes of a listener. Names of pools are checked elsewhere. `at` is the listener in the sound part of the tree,
/// `written` in all of it.
pub(super) fn routes(
    raw: &raw::Listener,
    at: &At<'_>,
    written: &At<'_>,
    pools: &HashMap<&str, Arc<str>>,
    checks: &mut Checks<'_>,
) -> Vec<model::Route> {
    let (routes_at, written_at) = (at.key("routes"), written.key("routes"));
    let mut names: HashMap<&str, String> = HashMap::new();
    let mut routes = Vec::with_capacity(raw.routes.len());
    for (index, route) in raw.routes.iter().enumerate() {
        let at = routes_at.item(index);
        if let Some(name) = &route.name {
            let name_at = at.key("name");
            if let Some(first) = names.get(name.0.as_str()) {
                let message = format!(
                    "two routes are named `{}`; the first at {first}",
                    shown(&name.0)
                );
                checks.note(&name_at, message);
            } else {
                names.insert(&name.0, checks.show(&name_at));
            }
            // What the other is called then.
            let place = name.0.parse::<usize>().ok().filter(|place| *place != index);
            if let Some(place) = place
                && raw
                    .routes
                    .get(place)
                    .is_some_and(|other| other.name.is_none())
                && name.0 == place.to_string()
            {
                let message = format!(
                    "is what the route {} has for a name, which has none but its place; write another, or one there, too",
                    checks.show(&routes_at.item(place))
                );
                checks.note(&name_at, message);
            }
        }
        let default = raw.pool.as_ref().map(|pool| pool.0.as_str());
        let form = path_form(
            route.slashes.unwrap_or(raw.http.slashes),
            route.encoded_slashes.unwrap_or(raw.http.encoded_slashes),
        );
        let written = written_at.item(index);
        let route = self::route(index, route, default, &at, &written, pools, checks);
        routes.extend(route.map(|route| model::Route { form, ..route }));
    }
    routes
}

/// A route, or nothing where it can't be built; what is wrong is noted.
fn route(
    index: usize,
    raw: &raw::Route,
    default: Option<&str>,
    at: &At<'_>,
    written: &At<'_>,
    pools: &HashMap<&str, Arc<str>>,
    checks: &mut Checks<'_>,
) -> Option<model::Route> {
    // What is written and not sound has its own problem; the rest, and what files it names, is looked at all the same.
    let is_broken = |key: &str| at.is_broken(written, key);
    let matches = matches(&raw.r#match, &at.key("match"), checks).filter(|_| !is_broken("match"));
    let action = if ["pool", "split", "redirect", "respond"]
        .into_iter()
        .any(is_broken)
    {
        None
    } else {
        action(raw, default, at, pools, checks)
    };
    let goes_on = matches!(
        action,
        Some(model::Action::Pool(_) | model::Action::Split(_)) | None
    );
    if !goes_on {
        for key in ["rewrite", "request_headers", "mirror", "timeouts"] {
            let at = at.key(key);
            if at.is_written() {
                checks.note(&at, "has no meaning here: these requests go to no server");
            }
        }
    }
    let allow_at = at.key("allow");
    if is_empty_list(&allow_at) {
        checks.note(
            &allow_at,
            "is empty, so that nobody could come in; leave the key away for everybody, or write respond",
        );
    }
    let basic_auth = raw
        .basic_auth
        .as_ref()
        .map(|raw| basic_auth(raw, &at.key("basic_auth"), checks));
    let rewrite = rewrite(raw, &at.key("rewrite"), checks);
    let request_headers = header_edits(
        &raw.request_headers,
        &at.key("request_headers"),
        true,
        checks,
    );
    let response_headers = header_edits(
        &raw.response_headers,
        &at.key("response_headers"),
        false,
        checks,
    );
    Some(model::Route {
        name: raw.name.as_ref().map_or_else(
            || Arc::from(index.to_string()),
            |name| Arc::from(name.0.as_str()),
        ),
        matches: matches?,
        action: action?,
        form: model::PathForm::default(),
        rewrite,
        request_headers,
        response_headers,
        rate_limit: raw.rate_limit.as_ref().map(rate_limit),
        basic_auth,
        allow: networks(&raw.allow.0),
        deny: networks(&raw.deny.0),
        mirror: raw
            .mirror
            .as_ref()
            .map(|raw| mirror(raw, &at.key("mirror"), pools, checks)),
        timeouts: timeouts(&raw.timeouts, &at.key("timeouts"), checks),
    })
}

fn networks(raw: &[Network]) -> Vec<ipnet::IpNet> {
    raw.iter().map(|network| network.0).collect()
}

fn matches(raw: &raw::Match, at: &At<'_>, checks: &mut Checks<'_>) -> Option<model::Match> {
    for key in ["host", "path", "path_prefix", "method", "client"] {
        let at = at.key(key);
        if is_empty_list(&at) {
            checks.note(
                &at,
                "is empty, so that no request could fit; leave the key away for any",
            );
        }
    }
    let paths = [
        !raw.path.0.is_empty(),
        !raw.path_prefix.0.is_empty(),
        raw.path_regex.is_some(),
    ];
    if paths.into_iter().filter(|written| *written).count() > 1 {
        checks.note(
            at,
            "has more than one of path, path_prefix, path_regex; write two routes",
        );
    }
    let path = if let Some(regex) = &raw.path_regex {
        model::PathMatch::Regex(regex.0.clone())
    } else if !raw.path_prefix.0.is_empty() {
        let prefixes = raw.path_prefix.0.iter();
        model::PathMatch::Prefix(
            prefixes
                .map(|path| path.0.trim_end_matches('/').to_owned())
                .collect(),
        )
    } else if !raw.path.0.is_empty() {
        model::PathMatch::Exact(raw.path.0.iter().map(|path| path.0.clone()).collect())
    } else {
        model::PathMatch::Any
    };
    let header_at = at.key("header");
    let mut headers = Vec::with_capacity(raw.header.0.len());
    for (name, value) in &raw.header.0 {
        headers.push((field_name(name, &header_at, checks)?, value.clone()));
    }
    let any = raw.host.0.contains(&HostPattern::Any);
    Some(model::Match {
        hosts: if any { Vec::new() } else { raw.host.0.clone() },
        path,
        methods: raw.method.0.iter().map(|method| method.0.clone()).collect(),
        headers,
        query: raw.query.0.clone(),
        clients: networks(&raw.client.0),
    })
}

pub(super) fn is_empty_list(at: &At<'_>) -> bool {
    matches!(at.node.map(|node| &node.value), Some(Value::Sequence(items)) if items.is_empty())
}

fn action(
    raw: &raw::Route,
    default: Option<&str>,
    at: &At<'_>,
    pools: &HashMap<&str, Arc<str>>,
    checks: &mut Checks<'_>,
) -> Option<model::Action> {
    // Written in the file, whether sound or not.
    let written = ["pool", "split", "redirect", "respond"]
        .iter()
        .filter(|key| {
            at.key(key)
                .node
                .is_some_and(|node| node.value != Value::Null)
        })
        .count();
    if is_empty_list(&at.key("split")) {
        checks.note(&at.key("split"), "is empty; at least one pool is needed");
        return None;
    }
    if written > 1 {
        checks.note(at, "has more than one of pool, split, redirect, respond");
        return None;
    }
    if let Some(redirect) = &raw.redirect {
        return Some(redirect_to(redirect, &at.key("redirect"), checks));
    }
    if let Some(respond) = &raw.respond {
        let body_at = at.key("respond");
        let body_at = body_at.key("body");
        if matches!(respond.status, 204 | 205 | 304)
            && respond.body.as_ref().is_some_and(|body| !body.is_empty())
        {
            checks.note(
                &body_at,
                format!("a response of status {} has no body", respond.status),
            );
        }
        return Some(model::Action::Respond {
            status: respond.status,
            body: respond.body.as_ref().map(|body| Bytes::from(body.clone())),
            content_type: respond.content_type.0.clone(),
        });
    }
    if !raw.split.is_empty() {
        return split(&raw.split, &at.key("split"), pools, checks);
    }
    let pool = raw.pool.as_ref().map(|pool| pool.0.as_str()).or(default);
    if pool.is_none() && written == 0 {
        checks.note(
            at,
            "needs one of pool, split, redirect, respond: the listener has no pool",
        );
    }
    pool.map(|name| model::Action::Pool(named(name, pools)))
}

fn redirect_to(raw: &raw::Redirect, at: &At<'_>, checks: &mut Checks<'_>) -> model::Action {
    let to_at = at.key("to");
    let fits = match raw.to.pieces.first() {
        Some(Piece::Text(text)) => {
            text.starts_with('/') || text.starts_with("http://") || text.starts_with("https://")
        }
        Some(Piece::Variable(
            model::Variable::Scheme | model::Variable::Path | model::Variable::Uri,
        )) => true,
        _ => false,
    };
    if !fits {
        checks.note(
            &to_at,
            "must begin with https://, http:// or /, or such a variable",
        );
    } else if is_hostless(&raw.to.to_string()) {
        checks.note(
            &to_at,
            "has no host where one belongs: https://HOST${uri}, or https://${host}${uri}",
        );
    }
    if let Some(blank) = raw.to.pieces.iter().find_map(|piece| match piece {
        Piece::Text(text) => text
            .chars()
            .find(|c| c.is_ascii_whitespace() || "\"<>\\^`{|}".contains(*c)),
        Piece::Variable(_) | Piece::Encoded(_) => None,
    }) {
        checks.note(
            &to_at,
            format!("holds {blank:?}, which a URL may only in percent-encoding"),
        );
    }
    model::Action::Redirect {
        status: raw.status.0.unwrap_or(302),
        to: raw.to.clone(),
    }
}

/// Whether a URL, or text that becomes one, goes on with the path where its host should be: browsers take the path's first
/// segment for it.
fn is_hostless(to: &str) -> bool {
    let after = ["http", "https", "${scheme}"]
        .into_iter()
        .find_map(|scheme| to.strip_prefix(scheme)?.strip_prefix("://"));
    after.is_some_and(|after| {
        let not_a_host = ["/", "?", "#", "${path}", "${uri}", "${query}"];
        after.is_empty() || not_a_host.iter().any(|wrong| after.starts_with(wrong))
    })
}

fn split(
    raw: &[raw::Share],
    at: &At<'_>,
    pools: &HashMap<&str, Arc<str>>,
    checks: &mut Checks<'_>,
) -> Option<model::Action> {
    if raw.iter().all(|share| share.weight == 0) {
        checks.note(at, "has no weight but 0, so that nothing could go anywhere");
        return None;
    }
    for (index, share) in raw.iter().enumerate() {
        if raw
            .iter()
            .take(index)
            .any(|before| before.pool == share.pool)
        {
            let at = at.item(index);
            checks.note(
                &at.key("pool"),
                format!("pool `{}` is here already", shown(&share.pool.0)),
            );
        }
    }
    let shares = raw
        .iter()
        .map(|share| (named(&share.pool.0, pools), share.weight));
    Some(model::Action::Split(shares.collect()))
}

fn named(name: &str, pools: &HashMap<&str, Arc<str>>) -> Arc<str> {
    pools.get(name).map_or_else(|| Arc::from(name), Arc::clone)
}

fn rate_limit(raw: &raw::RateLimit) -> model::RateLimit {
    let per_second = u64::from(raw.rate.count) / raw.rate.period.as_secs().max(1);
    model::RateLimit {
        rate: raw.rate,
        burst: raw
            .burst
            .unwrap_or_else(|| u32::try_from(per_second).unwrap_or(u32::MAX))
            .max(1),
        key: raw.key.clone(),
    }
}

fn mirror(
    raw: &raw::Mirror,
    at: &At<'_>,
    pools: &HashMap<&str, Arc<str>>,
    checks: &mut Checks<'_>,
) -> model::Mirror {
    if !(0.0..=1.0).contains(&raw.ratio) {
        checks.note(
            &at.key("ratio"),
            format!("must be from 0 to 1, found {}", raw.ratio),
        );
    }
    model::Mirror {
        pool: named(&raw.pool.0, pools),
        ratio: raw.ratio,
    }
}

fn timeouts(
    raw: &raw::RouteTimeouts,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> model::RouteTimeouts {
    let mut positive =
        |key, span: Option<Span>| span.map(|span| checks.positive(&at.key(key), span, ""));
    model::RouteTimeouts {
        connect: positive("connect", raw.connect),
        send: positive("send", raw.send),
        receive: positive("receive", raw.receive),
    }
}
