//! All routes of a listener, compiled: which one takes a request.
//!
//! The first route of the list whose conditions hold, however special another is. Hosts are found by hash and paths by
//! a tree of segments, so that a request is compared with the few routes that could take it, not with all. Routes
//! without a host or a path, or with a regular expression for one, are tried one by one.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderName, Method};
use paths::Paths;
use regex::bytes::Regex;

use crate::config::model::HostPattern;
use crate::config::model::Match;
use crate::config::model::PathMatch;
use crate::config::model::ValuePattern;
use crate::headers::Fields;
use crate::networks::Networks;

mod paths;
mod query;

/// The longest name of a host (RFC 1035 section 2.3.4); nothing longer is a host of a route.
const LONGEST_HOST: usize = 255;

/// What routes ask of a request.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The host, without its port.
    pub host: Option<&'a str>,
    /// The path in the form that is compared.
    pub path: &'a [u8],
    /// The query, without its question mark.
    pub query: Option<&'a [u8]>,
    /// The method.
    pub method: &'a Method,
    /// The header fields.
    pub headers: &'a Fields,
    /// The client's address.
    pub client: IpAddr,
}

/// The route that takes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its place in the list.
    pub route: usize,
    /// How many bytes of the compared path its `path` or `path_prefix` took; of several prefixes the longest counts.
    pub taken: usize,
}

/// The routes of a listener.
#[derive(Debug)]
pub struct Table {
    routes: Vec<Conditions>,
    /// One for each different list of routes that hosts have.
    paths: Vec<Paths>,
    /// Hosts, and their place in `paths`.
    exact: HashMap<Box<[u8]>, usize>,
    /// The same for all hosts below a name.
    below: HashMap<Box<[u8]>, usize>,
    /// The most labels that a name in `below` has.
    deepest: usize,
    /// For every host.
    any: Paths,
    compares_paths: bool,
}

impl Table {
    /// The table of `routes`, in their order.
    pub fn new<'a>(routes: impl IntoIterator<Item = &'a Match>) -> Self {
        let routes: Vec<&Match> = routes.into_iter().collect();
        let (mut exact, mut below, mut any) = (HashMap::new(), HashMap::new(), Vec::new());
        for (route, matches) in routes.iter().enumerate() {
            if matches.hosts.is_empty() {
                any.push(route);
            }
            for host in &matches.hosts {
                let list: &mut Vec<usize> = match host {
                    HostPattern::Any => &mut any,
                    HostPattern::Exact(name) => exact.entry(name.as_str()).or_default(),
                    HostPattern::Below(name) => below.entry(name.as_str()).or_default(),
                };
                if list.last() != Some(&route) {
                    list.push(route);
                }
            }
        }
        // Hosts that have the same routes share them: a thousand names of one site are one.
        let mut paths = Vec::new();
        let mut places: HashMap<Vec<usize>, usize> = HashMap::new();
        let mut shared = |hosts: HashMap<&str, Vec<usize>>| -> HashMap<Box<[u8]>, usize> {
            let places = hosts.into_iter().map(|(name, list)| {
                let place = *places.entry(list).or_insert_with_key(|list| {
                    paths.push(Paths::new(list, &routes));
                    paths.len() - 1
                });
                (name.as_bytes().into(), place)
            });
            places.collect()
        };
        let (exact, below) = (shared(exact), shared(below));
        Self {
            deepest: below.keys().map(|name| labels(name)).max().unwrap_or(0),
            exact,
            below,
            any: Paths::new(&any, &routes),
            compares_paths: routes
                .iter()
                .any(|route| !matches!(route.path, PathMatch::Any)),
            routes: routes.into_iter().map(Conditions::new).collect(),
            paths,
        }
    }

    /// Whether the path matters to any route.
    pub fn compares_paths(&self) -> bool {
        self.compares_paths
    }

    /// The first route that takes a request like `asked`.
    pub fn find(&self, asked: &Asked<'_>) -> Option<Found> {
        let mut search = Search {
            routes: &self.routes,
            asked,
            found: None,
        };
        self.any.search(&mut search);
        if self.paths.is_empty() {
            return search.found;
        }
        let mut lowered = [0; LONGEST_HOST];
        let host = asked
            .host
            .and_then(|host| lower(host.as_bytes(), &mut lowered));
        let Some(host) = host else {
            return search.found;
        };
        let place = |place: &usize| self.paths.get(*place);
        if let Some(paths) = self.exact.get(host).and_then(place) {
            paths.search(&mut search);
        }
        for name in parents(host, self.deepest) {
            if let Some(paths) = self.below.get(name).and_then(place) {
                paths.search(&mut search);
            }
        }
        search.found
    }
}

/// One lookup under way.
struct Search<'a> {
    routes: &'a [Conditions],
    asked: &'a Asked<'a>,
    /// The first route so far.
    found: Option<Found>,
}

impl Search<'_> {
    /// Looks for an earlier route in `candidates`, sorted ones, whose path took `taken` bytes.
    fn first_of(&mut self, candidates: &[usize], taken: usize) {
        for route in candidates {
            if let Some(found) = &mut self.found {
                if found.route == *route {
                    found.taken = found.taken.max(taken);
                }
                if found.route <= *route {
                    return;
                }
            }
            let conditions = self.routes.get(*route);
            if conditions.is_some_and(|conditions| conditions.hold(self.asked)) {
                self.found = Some(Found {
                    route: *route,
                    taken,
                });
                return;
            }
        }
    }
}

/// What a route asks but for host and plain paths.
#[derive(Debug)]
struct Conditions {
    methods: Vec<Method>,
    clients: Networks,
    path: Option<Regex>,
    headers: Vec<(HeaderName, ValuePattern)>,
    query: Vec<(String, ValuePattern)>,
}

impl Conditions {
    fn new(matches: &Match) -> Self {
        Self {
            methods: matches.methods.clone(),
            clients: Networks::new(&matches.clients),
            path: match &matches.path {
                PathMatch::Regex(regex) => Some(regex.clone()),
                _ => None,
            },
            headers: matches.headers.clone(),
            query: matches.query.clone(),
        }
    }

    /// Whether all of it is so; what costs least is looked at first.
    fn hold(&self, asked: &Asked<'_>) -> bool {
        (self.methods.is_empty() || self.methods.contains(asked.method))
            && (self.clients.is_empty() || self.clients.contains(asked.client))
            && self.headers.iter().all(|(name, pattern)| {
                let mut lines = asked.headers.get_all(name).iter();
                lines.any(|line| fits(pattern, line.as_bytes()))
            })
            && self
                .query
                .iter()
                .all(|(name, pattern)| query::has(asked.query, name, pattern))
            && self
                .path
                .as_ref()
                .is_none_or(|regex| regex.is_match(asked.path))
    }
}

fn fits(pattern: &ValuePattern, value: &[u8]) -> bool {
    match pattern {
        ValuePattern::Present => true,
        ValuePattern::Exact(text) => text.as_bytes() == value,
        ValuePattern::Regex(regex) => regex.is_match(value),
    }
}

/// `host` in lower case and without the root's dot, an IPv6 address as it is usually written; `None` if it is too long to
/// be one.
fn lower<'a>(host: &[u8], buffer: &'a mut [u8; LONGEST_HOST]) -> Option<&'a [u8]> {
    if let [b'[', address @ .., b']'] = host
        && let Some(address) = str::from_utf8(address)
            .ok()
            .and_then(|text| text.parse::<Ipv6Addr>().ok())
    {
        let mut rest = buffer.as_mut_slice();
        write!(rest, "[{address}]").ok()?;
        let left = rest.len();
        return buffer.get(..LONGEST_HOST - left);
    }
    let host = host.strip_suffix(b".").unwrap_or(host);
    let buffer = buffer.get_mut(..host.len())?;
    buffer.copy_from_slice(host);
    buffer.make_ascii_lowercase();
    Some(buffer)
}

/// The names that `host` is below, with at most `deepest` labels.
fn parents(host: &[u8], deepest: usize) -> impl Iterator<Item = &[u8]> {
    let dots = host.iter().enumerate().rev();
    dots.filter(|(_, byte)| **byte == b'.')
        .take(deepest)
        .filter_map(|(dot, _)| host.get(dot + 1..))
}

fn labels(name: &[u8]) -> usize {
    name.split(|byte| *byte == b'.').count()
}

#[cfg(test)]
mod tests;
