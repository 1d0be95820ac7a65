//! Routes and templates: the table finds what a walk through the list finds, and a filled-in template is a URL.
//!
//! The first line is the request's host and path, each further one a route: a letter, a host or `*`, and a path.

use std::net::{IpAddr, Ipv4Addr};

use equipoise::config::model::{HostPattern, Match, PathMatch, Template};
use equipoise::headers::Fields;
use equipoise::routing::{Asked, Found, Table, Values, location};
use http::{HeaderValue, Method};

/// One input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.lines();
    let (host, path) = lines
        .next()
        .and_then(|line| line.split_once(' '))
        .unwrap_or(("", "/"));
    template(text.lines().last().unwrap_or_default(), path);
    let routes: Vec<Match> = lines.take(64).filter_map(route).collect();
    let headers = Fields::new();
    let asked = Asked {
        host: Some(host),
        path: path.as_bytes(),
        query: None,
        method: &Method::GET,
        headers: &headers,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    assert_eq!(Table::new(&routes).find(&asked), walk(&routes, host, path));
}

fn route(line: &str) -> Option<Match> {
    let mut words = line.split(' ');
    let (kind, host, path) = (words.next()?, words.next()?, words.next()?);
    let hosts = match host.strip_prefix("*.") {
        _ if host == "*" => Vec::new(),
        Some(name) => vec![HostPattern::Below(name.to_ascii_lowercase())],
        None => vec![HostPattern::Exact(host.to_ascii_lowercase())],
    };
    // As the configuration has it: paths begin with a slash, and prefixes don't end in one.
    let paths = vec![path.to_owned()];
    let path = match kind {
        "e" if path.starts_with('/') => PathMatch::Exact(paths),
        "p" if path.starts_with('/') => {
            PathMatch::Prefix(vec![path.trim_end_matches('/').to_owned()])
        }
        _ => PathMatch::Any,
    };
    Some(Match {
        hosts,
        path,
        methods: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
        clients: Vec::new(),
    })
}

fn walk(routes: &[Match], host: &str, path: &str) -> Option<Found> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let short = host.len() <= 255;
    routes.iter().enumerate().find_map(|(route, matches)| {
        let host_fits = matches.hosts.is_empty()
            || short
                && matches.hosts.iter().any(|pattern| match pattern {
                    HostPattern::Any => true,
                    HostPattern::Exact(name) => *name == host,
                    HostPattern::Below(name) => host.ends_with(&format!(".{name}")),
                });
        let taken = match &matches.path {
            PathMatch::Exact(all) => (all[0] == path).then_some(path.len())?,
            PathMatch::Prefix(all) => {
                let prefix = &all[0];
                let rest = path.strip_prefix(prefix.as_str())?;
                let ends = prefix.is_empty() || rest.is_empty() || rest.starts_with('/');
                ends.then_some(prefix.len())?
            }
            _ => 0,
        };
        host_fits.then_some(Found { route, taken })
    })
}

fn template(text: &str, path: &str) {
    let Ok(template) = serde_json::from_value::<Template>(text.into()) else {
        return;
    };
    let mut headers = Fields::new();
    if let Ok(value) = HeaderValue::from_str(path) {
        headers.append(http::HeaderName::from_static("x-a"), value);
    }
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let values = Values {
        https: true,
        host: "a.test",
        port: 443,
        path: path.as_bytes(),
        query: Some(path.as_bytes()),
        method: &Method::GET,
        client: address,
        peer: address,
        request_id: "id",
        listener: "web",
        route: "0",
        tls_version: None,
        tls_cipher: None,
        sni: None,
        headers: &headers,
    };
    if let Some(value) = location(&template, &values) {
        let place = value.as_bytes();
        assert!(place.iter().all(u8::is_ascii_graphic));
        if place.starts_with(b"//") {
            assert!(text.starts_with("//"), "another host");
        }
    }
}
