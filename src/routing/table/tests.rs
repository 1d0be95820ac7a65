use http::HeaderValue;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::config::model::Match;

fn anything() -> Match {
    Match {
        hosts: Vec::new(),
        path: PathMatch::Any,
        methods: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
        clients: Vec::new(),
    }
}

fn host(text: &str) -> HostPattern {
    text.strip_prefix("*.").map_or_else(
        || HostPattern::Exact(text.to_owned()),
        |name| HostPattern::Below(name.to_owned()),
    )
}

fn hosts(all: &[&str]) -> Match {
    Match {
        hosts: all.iter().map(|text| host(text)).collect(),
        ..anything()
    }
}

fn exact(path: &str) -> PathMatch {
    PathMatch::Exact(vec![path.to_owned()])
}

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(vec![path.trim_end_matches('/').to_owned()])
}

fn at(path: PathMatch) -> Match {
    Match { path, ..anything() }
}

struct Request {
    host: Option<&'static str>,
    path: &'static str,
    query: Option<&'static str>,
    method: Method,
    headers: Fields,
    client: IpAddr,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            host: Some("example.com"),
            path: "/",
            query: None,
            method: Method::GET,
            headers: Fields::new(),
            client: IpAddr::from([192, 0, 2, 1]),
        }
    }
}

impl Request {
    fn asked(&self) -> Asked<'_> {
        Asked {
            host: self.host,
            path: self.path.as_bytes(),
            query: self.query.map(str::as_bytes),
            method: &self.method,
            headers: &self.headers,
            client: self.client,
        }
    }
}

fn found(routes: &[Match], request: &Request) -> Option<usize> {
    let found = Table::new(routes).find(&request.asked());
    found.map(|found| found.route)
}

fn found_by_host(routes: &[Match], host: &'static str) -> Option<usize> {
    let host = Some(host);
    found(
        routes,
        &Request {
            host,
            ..Request::default()
        },
    )
}

fn taken(routes: &[Match], path: &'static str) -> Option<(usize, usize)> {
    let request = Request {
        path,
        ..Request::default()
    };
    let found = Table::new(routes).find(&request.asked());
    found.map(|found| (found.route, found.taken))
}

#[test]
fn a_host_is_found_whole_or_by_the_name_it_is_below() {
    let routes = [
        hosts(&["www.example.com"]),
        hosts(&["*.example.com", "example.org"]),
        hosts(&["*.deep.example.net"]),
        hosts(&["[::1]"]),
    ];
    for (host, wanted) in [
        ("www.example.com", Some(0)),
        ("WWW.Example.COM", Some(0)),
        ("www.example.com.", Some(0)),
        ("a.example.com", Some(1)),
        ("a.b.www.example.com", Some(1)),
        ("example.com", None),
        ("notexample.com", None),
        ("example.org", Some(1)),
        ("a.example.org", None),
        ("x.deep.example.net", Some(2)),
        ("deep.example.net", None),
        ("[::1]", Some(3)),
        ("", None),
        (".", None),
    ] {
        assert_eq!(found_by_host(&routes, host), wanted, "{host}");
    }
}

#[test]
fn an_address_is_one_host_however_it_is_written() {
    let routes = [hosts(&["[2001:db8::1]"])];
    for host in [
        "[2001:db8::1]",
        "[2001:DB8:0::1]",
        "[2001:0db8:0:0:0:0:0:1]",
        "[2001:db8::0.0.0.1]",
    ] {
        assert_eq!(found_by_host(&routes, host), Some(0), "{host}");
    }
    assert_eq!(found_by_host(&routes, "[2001:db8::2]"), None);
}

#[test]
fn a_request_without_a_host_is_for_routes_without_one() {
    let routes = [hosts(&["example.com"]), anything()];
    let request = Request {
        host: None,
        ..Request::default()
    };
    assert_eq!(found(&routes, &request), Some(1));
}

#[test]
fn a_host_that_is_too_long_to_be_one_is_for_routes_without_one() {
    let long: &'static str = Box::leak(format!("{}.example.com", "a".repeat(300)).into());
    assert_eq!(
        found_by_host(&[hosts(&["*.example.com"]), anything()], long),
        Some(1)
    );
}

#[test]
fn the_first_route_is_taken_however_special_another_is() {
    let routes = [
        at(prefix("/a/b")),
        at(prefix("/a")),
        at(exact("/a/b")),
        hosts(&["example.com"]),
        Match {
            path: exact("/z"),
            ..hosts(&["example.com"])
        },
    ];
    assert_eq!(taken(&routes, "/a/b"), Some((0, 4)));
    assert_eq!(taken(&routes, "/a/c"), Some((1, 2)));
    assert_eq!(taken(&routes, "/z"), Some((3, 0)));
    let turned: Vec<_> = routes.into_iter().rev().collect();
    assert_eq!(taken(&turned, "/z"), Some((0, 2)));
    assert_eq!(taken(&turned, "/a/b"), Some((1, 0)));
}

#[test]
fn a_prefix_ends_where_a_segment_does() {
    let routes = [at(prefix("/api"))];
    assert_eq!(taken(&routes, "/api"), Some((0, 4)));
    assert_eq!(taken(&routes, "/api/"), Some((0, 4)));
    assert_eq!(taken(&routes, "/api/x/y"), Some((0, 4)));
    for path in ["/apix", "/ap", "/", "/x/api", "/API"] {
        assert_eq!(taken(&routes, path), None, "{path}");
    }
}

#[test]
fn a_whole_path_is_that_path_alone() {
    let routes = [at(exact("/a")), at(exact("/a/")), at(exact("/"))];
    assert_eq!(taken(&routes, "/a"), Some((0, 2)));
    assert_eq!(taken(&routes, "/a/"), Some((1, 3)));
    assert_eq!(taken(&routes, "/"), Some((2, 1)));
    assert_eq!(taken(&routes, "/a/b"), None);
    assert_eq!(taken(&routes, "*"), None);
}

#[test]
fn the_longest_of_a_routes_prefixes_counts() {
    let prefixes = ["/a", "/a/b/c", "/a/b"].map(str::to_owned);
    let routes = [at(PathMatch::Prefix(prefixes.into()))];
    assert_eq!(taken(&routes, "/a/b/c/d"), Some((0, 6)));
    assert_eq!(taken(&routes, "/a/b/d"), Some((0, 4)));
}

#[test]
fn the_prefix_of_everything_takes_everything() {
    let routes = [at(prefix("/"))];
    for path in ["/", "/a", "/a/b", "*"] {
        assert_eq!(taken(&routes, path), Some((0, 0)));
    }
}

#[test]
fn only_routes_with_a_path_compare_paths() {
    assert!(!Table::new(&[anything(), hosts(&["a.example"])]).compares_paths());
    assert!(Table::new(&[anything(), at(prefix("/"))]).compares_paths());
    let regex = PathMatch::Regex(Regex::new("x").unwrap());
    assert!(Table::new(&[at(regex)]).compares_paths());
}

#[test]
fn every_condition_must_hold() {
    let routes = [Match {
        hosts: vec![host("example.com")],
        path: PathMatch::Regex(Regex::new(r"(?i)\.jsp$").unwrap()),
        methods: vec![Method::GET, Method::POST],
        headers: vec![
            ("x-canary".parse().unwrap(), ValuePattern::Exact("1".into())),
            ("accept".parse().unwrap(), ValuePattern::Present),
        ],
        query: vec![(
            "v".into(),
            ValuePattern::Regex(Regex::new("^[0-9]$").unwrap()),
        )],
        clients: vec!["192.0.2.0/24".parse().unwrap()],
    }];
    let fitting = || {
        let mut headers = Fields::new();
        headers.append(
            http::HeaderName::from_static("x-canary"),
            HeaderValue::from_static("0"),
        );
        headers.append(
            http::HeaderName::from_static("x-canary"),
            HeaderValue::from_static("1"),
        );
        headers.append(
            http::HeaderName::from_static("accept"),
            HeaderValue::from_static(""),
        );
        Request {
            path: "/a/x.JSP",
            query: Some("a=b&v=2"),
            headers,
            ..Request::default()
        }
    };
    assert_eq!(found(&routes, &fitting()), Some(0));
    let mut no_header = fitting();
    no_header.headers.remove("accept");
    let mut other_header = fitting();
    other_header.headers.insert(
        http::HeaderName::from_static("x-canary"),
        HeaderValue::from_static("11"),
    );
    for (what, request) in [
        ("header", no_header),
        ("value", other_header),
        (
            "host",
            Request {
                host: Some("example.org"),
                ..fitting()
            },
        ),
        (
            "path",
            Request {
                path: "/a/x.jspx",
                ..fitting()
            },
        ),
        (
            "method",
            Request {
                method: Method::PUT,
                ..fitting()
            },
        ),
        (
            "query",
            Request {
                query: Some("v=22"),
                ..fitting()
            },
        ),
        (
            "client",
            Request {
                client: IpAddr::from([192, 0, 3, 1]),
                ..fitting()
            },
        ),
    ] {
        assert_eq!(found(&routes, &request), None, "{what}");
    }
}

#[test]
fn parameters_of_a_query_are_compared_decoded() {
    let wanted = ValuePattern::Exact("c d".into());
    for (query, fits) in [
        ("a%20b=c+d", true),
        ("a+b=c%20d", true),
        ("x&a+b=no&a+b=c%20d&y", true),
        ("a+b", false),
        ("a+b=c+dd", false),
        ("a+bb=c+d", false),
        ("", false),
    ] {
        assert_eq!(query::has(Some(query.as_bytes()), "a b", &wanted), fits);
    }
    let regex = ValuePattern::Regex(Regex::new("^%zz [é]$").unwrap());
    assert!(query::has(Some("q=%zz+%C3%a9".as_bytes()), "q", &regex));
    assert!(query::has(Some(b"q"), "q", &ValuePattern::Present));
    assert!(query::has(
        Some(b"q="),
        "q",
        &ValuePattern::Exact(String::new())
    ));
    assert!(!query::has(None, "q", &ValuePattern::Present));
    assert!(!query::has(Some(b"&&"), "", &ValuePattern::Present));
}

/// The documented rules, written down plainly.
fn model(routes: &[Match], asked: &Asked<'_>) -> Option<Found> {
    let asked_host = asked.host.map(|host| {
        let host = host.strip_suffix('.').unwrap_or(host);
        host.to_ascii_lowercase()
    });
    let path = std::str::from_utf8(asked.path).unwrap();
    for (route, matches) in routes.iter().enumerate() {
        let host_fits = matches.hosts.is_empty()
            || matches
                .hosts
                .iter()
                .any(|pattern| match (pattern, &asked_host) {
                    (HostPattern::Any, _) => true,
                    (HostPattern::Exact(name), Some(host)) => name == host,
                    (HostPattern::Below(name), Some(host)) => host.ends_with(&format!(".{name}")),
                    (_, None) => false,
                });
        let taken = match &matches.path {
            PathMatch::Any => Some(0),
            PathMatch::Exact(all) => all.iter().find(|p| *p == path).map(String::len),
            PathMatch::Prefix(all) => {
                let fitting = all
                    .iter()
                    .filter(|p| p.is_empty() || path == *p || path.starts_with(&format!("{p}/")));
                fitting.map(String::len).max()
            }
            PathMatch::Regex(regex) => regex.is_match(asked.path).then_some(0),
        };
        let method_fits = matches.methods.is_empty() || matches.methods.contains(asked.method);
        if let (true, true, Some(taken)) = (host_fits, method_fits, taken) {
            return Some(Found { route, taken });
        }
    }
    None
}

fn a_path() -> impl Strategy<Value = String> {
    let segment = select(vec!["a", "b", "ab", ""]);
    let segments = proptest::collection::vec(segment, 0..4);
    segments.prop_map(|segments| {
        let path: String = segments
            .iter()
            .enumerate()
            .filter(|(index, segment)| !segment.is_empty() || index + 1 == segments.len())
            .map(|(_, segment)| format!("/{segment}"))
            .collect();
        if path.is_empty() { "/".into() } else { path }
    })
}

fn a_match() -> impl Strategy<Value = Match> {
    let host = select(vec![
        "a.example",
        "b.a.example",
        "*.a.example",
        "*.example",
        "*.b.a.example",
    ]);
    let hosts = proptest::collection::vec(host, 0..3);
    let paths = || proptest::collection::vec(a_path(), 1..4);
    let path = prop_oneof![
        Just(PathMatch::Any),
        paths().prop_map(PathMatch::Exact),
        paths().prop_map(|all| {
            let all = all.iter().map(|path| path.trim_end_matches('/').to_owned());
            PathMatch::Prefix(all.collect())
        }),
        select(vec!["a$", "^/b", "/$"])
            .prop_map(|regex| PathMatch::Regex(Regex::new(regex).unwrap())),
    ];
    let methods = proptest::collection::vec(select(vec![Method::GET, Method::POST]), 0..2);
    (hosts, path, methods).prop_map(|(names, path, methods)| Match {
        path,
        methods,
        ..hosts_of(&names)
    })
}

fn hosts_of(names: &[&str]) -> Match {
    hosts(names)
}

proptest! {
    #[test]
    fn the_table_finds_what_a_walk_through_the_list_finds(
        routes in proptest::collection::vec(a_match(), 0..12),
        asked in proptest::collection::vec((
            proptest::option::of(select(vec![
                "a.example", "B.a.example", "c.b.a.example", "x.example.", "example", "other",
            ])),
            a_path(),
            select(vec![Method::GET, Method::POST]),
        ), 1..20),
    ) {
        let table = Table::new(&routes);
        let headers = Fields::new();
        for (host, path, method) in &asked {
            let asked = Asked {
                host: *host,
                path: path.as_bytes(),
                query: None,
                method,
                headers: &headers,
                client: IpAddr::from([127, 0, 0, 1]),
            };
            prop_assert_eq!(table.find(&asked), model(&routes, &asked));
        }
    }
}
