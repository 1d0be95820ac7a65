use std::net::{IpAddr, Ipv4Addr};

use http::header::CACHE_CONTROL;
use proptest::prelude::*;

use super::*;
use crate::config::model::OnUnavailable;
use crate::persistence::tests::{
    NOW, all_bound, answered, attributes, bound, members, request, response, set_lines,
};

fn settings() -> Settings {
    Settings {
        cookie: "JSESSIONID".into(),
        separator: ".".to_owned(),
        path_parameter: Some("jsessionid".into()),
        query_parameter: Some("sid".into()),
        insert: None,
        on_unavailable: OnUnavailable::Rebalance,
    }
}

fn inserting() -> Settings {
    Settings {
        insert: Some(RouteCookie {
            cookie: "ROUTEID".into(),
            attributes: attributes(),
        }),
        ..settings()
    }
}

/// Servers a and b with the routes r-a and r-b.
fn route(settings: &Settings) -> Route<String> {
    Route::new(settings, &members(&["a", "b"]))
}

fn read(settings: &Settings, target: &str, cookies: &[&str]) -> Lookup<String> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.as_bytes())),
        None => (target, None),
    };
    let view = RequestView {
        headers: &request(cookies),
        path: path.as_bytes(),
        query,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        last_token: None,
    };
    route(settings).read(&view, NOW)
}

fn a() -> Lookup<String> {
    bound("a", NOW, false)
}

fn b() -> Lookup<String> {
    bound("b", NOW, false)
}

#[test]
fn the_cookie_ends_in_the_route() {
    let cookie = |value: &str| read(&settings(), "/", &[&format!("x=1.r-b; JSESSIONID={value}")]);
    assert_eq!(cookie("0A1B.r-a"), a());
    assert_eq!(cookie(".r-a"), a());
    assert_eq!(cookie("\"0A1B.r-a\""), a());
    assert_eq!(cookie("0.A1B.r-a"), a());
    assert_eq!(cookie("0A1B.r-c"), Lookup::Gone);
    assert_eq!(cookie("0A1B.R-A"), Lookup::Gone);
    assert_eq!(cookie("0A1B.r-a "), a());
    assert_eq!(cookie("0A1B.a"), Lookup::Gone, "a name is no route");
    for nothing in ["", "0A1B", ".", "0A1B.", "r-a"] {
        assert_eq!(cookie(nothing), Lookup::Miss, "{nothing}");
    }
    assert_eq!(
        read(&settings(), "/", &["jsessionid=1.r-a; XJSESSIONID=1.r-a"]),
        Lookup::Miss
    );
}

#[test]
fn the_path_and_the_query_may_have_it() {
    let target = |target: &str| read(&settings(), target, &[]);
    assert_eq!(target("/page;jsessionid=0A1B.r-a"), a());
    assert_eq!(target("/page;x=1;jsessionid=0A1B.r-a;y=.r-b?q=1"), a());
    assert_eq!(target("/app;jsessionid=0A1B.r-a/page;v=1"), a());
    assert_eq!(target("/page?x=1&sid=0A1B.r-b"), b());
    for nothing in [
        "/",
        "/jsessionid=1.r-a",
        "/page;JSESSIONID=1.r-a",
        "/page;xjsessionid=1.r-a",
        "/page;jsessionid",
        "/page?jsessionid=1.r-a",
        "/page?x=;sid=1.r-a",
        "/page?xsid=1.r-a",
        "/page;sid=1.r-a",
    ] {
        assert_eq!(target(nothing), Lookup::Miss, "{nothing}");
    }
    assert_eq!(
        target("/;jsessionid=1.r-a?sid=1.r-b"),
        all_bound(&["a", "b"])
    );
    assert_eq!(target("/;jsessionid=1.r-a%2e"), Lookup::Gone);
    let settings = Settings {
        path_parameter: None,
        query_parameter: None,
        ..settings()
    };
    assert_eq!(
        read(&settings, "/;jsessionid=1.r-a?sid=1.r-a", &[]),
        Lookup::Miss
    );
}

#[test]
fn the_first_known_route_counts_ours_first() {
    let cookies = |cookies: &[&str]| read(&inserting(), "/;jsessionid=1.r-b", cookies);
    let both = all_bound(&["a", "b"]);
    assert_eq!(cookies(&["JSESSIONID=1.r-a"]), both);
    assert_eq!(
        cookies(&["JSESSIONID=1.r-a; ROUTEID=.r-b"]),
        all_bound(&["b", "a", "b"])
    );
    assert_eq!(cookies(&["JSESSIONID=1.r-a; ROUTEID=.gone"]), both);
    assert_eq!(cookies(&["JSESSIONID=1.gone", "JSESSIONID=1.r-a"]), both);
    assert_eq!(cookies(&["JSESSIONID=1.gone"]), b());
    assert_eq!(
        read(&inserting(), "/", &["ROUTEID=.gone; JSESSIONID=1"]),
        Lookup::Gone
    );
    assert_eq!(read(&settings(), "/", &["ROUTEID=.r-a"]), Lookup::Miss);
}

#[test]
fn a_separator_may_be_of_several_characters() {
    let settings = Settings {
        separator: "--".to_owned(),
        ..settings()
    };
    assert_eq!(read(&settings, "/", &["JSESSIONID=1--r-a"]), a());
    assert_eq!(read(&settings, "/", &["JSESSIONID=1-r-a"]), Lookup::Miss);
    assert_eq!(read(&settings, "/", &["JSESSIONID=1---r-a"]), a());
}

/// The lines that the client gets of an answer of `route` to a request with `cookies`.
fn finished(settings: &Settings, route: &str, cookies: &[&str]) -> Vec<String> {
    let request = request(cookies);
    let mut response = response(&["JSESSIONID=1.r-a; Path=/"]);
    let facts = Answered {
        route,
        ..answered("a", &request)
    };
    self::route(settings).finish_response(&mut response, &facts);
    let lines = set_lines(&response);
    assert_eq!(lines[0], "JSESSIONID=1.r-a; Path=/");
    assert_eq!(response.contains_key(CACHE_CONTROL), lines.len() > 1);
    lines[1..].to_vec()
}

#[test]
fn our_cookie_is_set_when_the_route_changed() {
    let set = ["ROUTEID=.r-a; Path=/; HttpOnly; SameSite=Lax"];
    assert_eq!(finished(&inserting(), "r-a", &[]), set);
    assert_eq!(finished(&inserting(), "r-a", &["JSESSIONID=1.r-a"]), set);
    assert_eq!(finished(&inserting(), "r-a", &["ROUTEID=.r-b"]), set);
    assert_eq!(finished(&inserting(), "r-a", &["ROUTEID=.gone"]), set);
    assert_eq!(finished(&inserting(), "r-a", &["ROUTEID=r-a"]), set);
    let none: [&str; 0] = [];
    assert_eq!(finished(&inserting(), "r-a", &["x=1; ROUTEID=.r-a"]), none);
    assert_eq!(
        finished(&inserting(), "r-a", &["ROUTEID=.gone; ROUTEID=.r-a"]),
        none
    );
    assert_eq!(finished(&settings(), "r-a", &[]), none);
}

/// What `route_of` is, in other words.
fn reference<'a>(id: &'a str, separator: &str) -> Option<&'a str> {
    let route = id.rsplit_once(separator)?.1;
    (!route.is_empty()).then_some(route)
}

/// As Tomcat takes parameters out of a path, one by one.
fn reference_parameters(path: &str, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = path;
    while let Some((_, after)) = rest.split_once(';') {
        let end = after.find([';', '/']).unwrap_or(after.len());
        if let Some((key, value)) = after[..end].split_once('=')
            && key == name
        {
            found.push(value.to_owned());
        }
        rest = &after[end..];
    }
    found
}

proptest! {
    #[test]
    fn a_route_is_what_follows_the_last_separator(id in "[a.!-]{0,12}", separator in "[.!-]{1,3}") {
        prop_assert_eq!(
            route_of(id.as_bytes(), separator.as_bytes()),
            reference(&id, &separator).map(str::as_bytes)
        );
    }

    #[test]
    fn path_parameters_are_tomcats(path in "(/|;|=|j|jx|J|;j=|[a-c.%]){0,16}") {
        let found: Vec<_> = path_parameters(path.as_bytes(), b"j").map(<[u8]>::to_vec).collect();
        let expected: Vec<_> = reference_parameters(&path, "j").into_iter().map(String::into_bytes).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn query_parameters_are_those_of_a_form(query in "(&|=|j|jx|J|&j=|[a-c.%;]){0,16}") {
        let found: Vec<_> = query_parameters(query.as_bytes(), b"j").map(<[u8]>::to_vec).collect();
        let expected: Vec<_> = query
            .split('&')
            .filter_map(|parameter| parameter.split_once('='))
            .filter(|(name, _)| *name == "j")
            .map(|(_, value)| value.as_bytes().to_vec())
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_target_can_be_read(path in proptest::collection::vec(any::<u8>(), 0..60), query in proptest::collection::vec(any::<u8>(), 0..60)) {
        let headers = Fields::new();
        let view = RequestView {
            headers: &headers,
            path: &path,
            query: Some(&query),
            client: IpAddr::V4(Ipv4Addr::LOCALHOST), last_token: None,
        };
        let _ = route(&settings()).read(&view, NOW);
    }
}
