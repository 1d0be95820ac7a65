//! `persistence` and `servers[].route`.

use std::time::Duration;

use super::super::model::{
    LearnedFrom, OnUnavailable, Persistence, SameSite, Secure, Store, Token,
};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// A pool of a server named `a`, with these keys of a persistence.
fn with(keys: &str) -> String {
    pool(&format!("persistence: {{{keys}}}")).replace("[{address:", "[{name: a, address:")
}

fn persistence(keys: &str) -> Persistence {
    let config = accepted(&with(keys));
    config.pools[0].persistence.clone().expect("a persistence")
}

/// What is wrong with these keys of a persistence, without place and `pools.app.persistence`.
fn wrong(keys: &str) -> Vec<String> {
    refused(&with(keys))
        .iter()
        .map(|problem| {
            let (_, rest) = problem.split_once(": ").expect("a place");
            rest.replacen("pools.app.persistence.", "", 1)
        })
        .collect()
}

/// Two servers with these further keys, in a pool of this persistence.
fn servers(first: &str, second: &str, persistence: &str) -> String {
    pool(&format!("persistence: {{{persistence}}}")).replace(
        "[{address: 127.0.0.1:8080}]",
        &format!("[{{address: \"a:1\"{first}}}, {{address: \"a:2\"{second}}}]"),
    )
}

#[test]
fn cookie_insert_is_as_written() {
    let Persistence::CookieInsert(insert) =
        persistence("type: cookie_insert, timeout: 0, secret_file: keys/a, secure: true")
    else {
        panic!("another type");
    };
    assert_eq!(&*insert.cookie, "SERVERID");
    assert_eq!((insert.timeout, insert.max_lifetime), (None, None));
    assert_eq!(insert.secret_file.as_deref(), Some(Path::new("keys/a")));
    assert_eq!(insert.attributes.secure, Secure::Always);
    assert_eq!(insert.attributes.same_site, SameSite::Lax);
    assert_eq!(insert.attributes.path, "/");
    assert!(insert.attributes.http_only);
    let Persistence::CookieInsert(insert) = persistence("type: cookie_insert") else {
        panic!("another type");
    };
    assert_eq!(insert.timeout, Some(HOUR));
    assert_eq!(insert.token, Token::Signed);
    assert_eq!(insert.attributes.secure, Secure::Auto);
    assert_eq!(insert.on_unavailable, OnUnavailable::Rebalance);
    persistence("type: cookie_insert, timeout: 1d, same_site: none");
    persistence("type: cookie_insert, timeout: null, cookie: null");
}

#[test]
fn rewrite_and_prefix_time_nothing_unless_told() {
    let Persistence::CookieRewrite(rewrite) = persistence("type: cookie_rewrite, cookie: SESS")
    else {
        panic!("another type");
    };
    assert_eq!(&*rewrite.cookie, "SESS");
    assert_eq!((rewrite.timeout, rewrite.max_lifetime), (None, None));
    assert_eq!(rewrite.token, Token::Signed);
    let keys = "type: cookie_prefix, cookie: S, timeout: 1s, max_lifetime: 1d, secret_file: /k, \
                on_unavailable: reject";
    let Persistence::CookiePrefix(prefix) = persistence(keys) else {
        panic!("another type");
    };
    assert_eq!(prefix.timeout, Some(Duration::from_secs(1)));
    assert_eq!(prefix.max_lifetime, Some(24 * HOUR));
    assert_eq!(prefix.secret_file.as_deref(), Some(Path::new("/k")));
    assert_eq!(prefix.on_unavailable, OnUnavailable::Reject);
    persistence("type: cookie_prefix, cookie: S, token: name");
}

#[test]
fn route_has_tomcats_names_by_default() {
    let Persistence::Route(route) = persistence("type: route") else {
        panic!("another type");
    };
    assert_eq!((&*route.cookie, &*route.separator), ("JSESSIONID", "."));
    assert_eq!(route.path_parameter.as_deref(), Some("jsessionid"));
    assert_eq!(route.query_parameter, None);
    assert!(route.insert.is_none());
    let keys = "type: route, cookie: SID, separator: \"!\", path_parameter: null, \
                query_parameter: sid, insert: {cookie: ROUTEID, path: /app, http_only: false}";
    let Persistence::Route(route) = persistence(keys) else {
        panic!("another type");
    };
    assert_eq!((&*route.cookie, &*route.separator), ("SID", "!"));
    assert_eq!(route.path_parameter, None);
    assert_eq!(route.query_parameter.as_deref(), Some("sid"));
    let insert = route.insert.expect("a cookie");
    assert_eq!(&*insert.cookie, "ROUTEID");
    assert_eq!(insert.attributes.path, "/app");
    assert!(!insert.attributes.http_only);
    assert_eq!(insert.attributes.same_site, SameSite::Lax);
}

#[test]
fn tables_are_in_memory_unless_told() {
    let Persistence::Learn(learn) = persistence("type: learn, cookie: PHPSESSID") else {
        panic!("another type");
    };
    assert_eq!(learn.from, LearnedFrom::Cookie("PHPSESSID".into()));
    assert_eq!(learn.timeout, HOUR);
    assert_eq!(learn.table.size, 1_000_000);
    assert_eq!(learn.table.store, Store::Memory);
    let keys = "type: source_ip, prefix: {v4: 24}, table: {size: 100000000, \
                store: \"redis://:geheim@h/1\", timeout: 20ms}";
    let Persistence::SourceIp(source) = persistence(keys) else {
        panic!("another type");
    };
    assert_eq!((source.prefix_v4, source.prefix_v6), (24, 64));
    assert_eq!(source.timeout, HOUR);
    assert_eq!(source.table.size, 100_000_000);
    assert!(!format!("{source:?}").contains("geheim"));
    let Store::Redis(redis) = source.table.store else {
        panic!("another store");
    };
    assert_eq!(redis.url, "redis://:geheim@h/1");
    assert_eq!(redis.timeout, Duration::from_millis(20));
}

#[test]
fn learn_takes_a_cookie_or_a_header() {
    let Persistence::Learn(learn) = persistence("type: learn, header: Mcp-Session-Id") else {
        panic!("another type");
    };
    let name = http::HeaderName::from_static("mcp-session-id");
    assert_eq!(learn.from, LearnedFrom::Header(name));
    for (keys, beginning) in [
        (
            "type: learn, cookie: a, header: b",
            "header: can't be beside cookie",
        ),
        ("type: learn, header: Cookie", "header: holds all cookies"),
        (
            "type: learn",
            "cookie: is missing; type learn needs the name of the cookie that the servers set, or header",
        ),
        ("type: source_ip, header: b", "header: only for type learn"),
        (
            "type: learn, header: \"a b\"",
            "header: `a b` is not the name",
        ),
    ] {
        assert_problem(&wrong(keys), beginning);
    }
}

#[test]
fn times_that_make_no_sense_are_refused() {
    for (keys, beginning) in [
        (
            "type: cookie_insert, timeout: 86401s",
            "timeout: must be from 1s to 86400s, or 0 for the browser's session, found 86401s",
        ),
        (
            "type: cookie_insert, timeout: 999ms",
            "timeout: must be from 1s to 86400s",
        ),
        (
            "type: cookie_rewrite, cookie: S, timeout: 0",
            "timeout: must be from 1s to 86400s; for none leave the key away, found 0",
        ),
        (
            "type: learn, cookie: S, timeout: 0",
            "timeout: must be from 1s to 86400s, found 0",
        ),
        (
            "type: source_ip, timeout: 2d",
            "timeout: must be from 1s to 86400s, found 2d",
        ),
        (
            "type: cookie_insert, max_lifetime: 0",
            "max_lifetime: must be at least 1s",
        ),
        (
            "type: cookie_insert, token: name, max_lifetime: 1h",
            "max_lifetime: can't be enforced with token: name",
        ),
        (
            "type: cookie_prefix, cookie: S, token: name, timeout: 1h",
            "timeout: can't be enforced with token: name",
        ),
    ] {
        assert_problem(&wrong(keys), beginning);
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (keys, beginning) in [
        (
            "type: cookie_insert, same_site: none, secure: false",
            "same_site: browsers drop",
        ),
        (
            "type: cookie_insert, cookie: __Host-a, path: /a",
            "cookie: browsers take a __Host- cookie only",
        ),
        (
            "type: route, insert: {cookie: __Secure-a, secure: false}",
            "insert.cookie: browsers take a cookie of this name only with secure: true",
        ),
        (
            "type: route, insert: {cookie: R, same_site: none, secure: false}",
            "insert.same_site: browsers drop",
        ),
        (
            "type: cookie_insert, partitioned: true, secure: false",
            "partitioned: browsers drop",
        ),
        ("type: route, insert: {}", "insert.cookie: is missing"),
        (
            "type: route, insert: ROUTEID",
            "insert: must be a mapping, found a string",
        ),
        ("type: route, separator: \"\"", "separator: is empty"),
        (
            "type: route, path_parameter: \"a b\"",
            "path_parameter: `a b` is not the name of a parameter",
        ),
        (
            "type: cookie_rewrite",
            "cookie: is missing; type cookie_rewrite needs the name of the cookie",
        ),
        (
            "type: cookie_prefix, cookie: null",
            "cookie: is missing; type cookie_prefix",
        ),
        ("type: learn", "cookie: is missing; type learn"),
        (
            "type: learn, cookie: \"a b\"",
            "cookie: `a b` is not a cookie name",
        ),
        (
            "type: source_ip, prefix: {v4: 33}",
            "prefix.v4: must be from 0 to 32, found 33",
        ),
        (
            "type: source_ip, prefix: {v6: 129}",
            "prefix.v6: must be from 0 to 128",
        ),
        (
            "type: source_ip, table: {size: 0}",
            "table.size: must be from 1 to 100000000, found 0",
        ),
        (
            "type: source_ip, table: {size: 100000001}",
            "table.size: must be from 1",
        ),
        (
            "type: source_ip, table: {timeout: 50ms}",
            "table.timeout: only for a store other than memory",
        ),
        (
            "type: source_ip, table: {store: \"redis://h\", timeout: 0}",
            "table.timeout: must be from 1ms to 1s, found 0",
        ),
        (
            "type: source_ip, table: {store: \"redis://h\", timeout: 2s}",
            "table.timeout: must be from 1ms to 1s, found 2s",
        ),
        (
            "type: source_ip, table: {store: redis}",
            "table.store: is not one of memory, redis://HOST",
        ),
        ("type: sticky", "type: `sticky` is unknown"),
    ] {
        assert_problem(&wrong(keys), beginning);
    }
}

#[test]
fn a_key_of_another_type_says_which_type_it_belongs_to() {
    const INSERT: &str = "cookie_insert";
    const SIGNED: &str = "cookie_insert, cookie_rewrite, cookie_prefix";
    const TIMED: &str = "cookie_insert, cookie_rewrite, cookie_prefix, learn, source_ip";
    let types = [
        ("cookie_insert", ""),
        ("cookie_rewrite", ", cookie: S"),
        ("cookie_prefix", ", cookie: S"),
        ("route", ""),
        ("learn", ", cookie: S"),
        ("source_ip", ""),
    ];
    for (key, value, owners) in [
        (
            "cookie",
            "S",
            "cookie_insert, cookie_rewrite, cookie_prefix, route, learn",
        ),
        ("timeout", "1h", TIMED),
        ("max_lifetime", "1h", TIMED),
        ("token", "signed", SIGNED),
        ("secret_file", "k", SIGNED),
        ("domain", "example.com", INSERT),
        ("path", "/", INSERT),
        ("secure", "auto", INSERT),
        ("http_only", "true", INSERT),
        ("same_site", "lax", INSERT),
        ("partitioned", "false", INSERT),
        ("separator", "\".\"", "route"),
        ("path_parameter", "p", "route"),
        ("query_parameter", "p", "route"),
        ("insert", "{cookie: R}", "route"),
        ("prefix", "{}", "source_ip"),
        ("table", "{}", "learn, source_ip"),
    ] {
        let owners: Vec<&str> = owners.split(", ").collect();
        for (kind, needs) in types {
            let needs = if key == "cookie" { "" } else { needs };
            let keys = format!("type: {kind}{needs}, {key}: {value}");
            if owners.contains(&kind) {
                persistence(&keys);
                continue;
            }
            let problems = wrong(&keys);
            let beginning = match owners.split_last() {
                Some((last, [])) => format!("{key}: only for type {last}"),
                Some((last, others)) => {
                    format!("{key}: only for types {} and {last}", others.join(", "))
                }
                None => unreachable!("every key has an owner"),
            };
            assert_problem(&problems, &beginning);
            let is_attribute = owners == [INSERT];
            assert_eq!(
                problems[0].ends_with("inside insert"),
                is_attribute && kind == "route",
                "{problems:?}"
            );
        }
    }
    persistence("type: source_ip, cookie: null, insert: null");
}

#[test]
fn a_route_is_the_name_unless_it_is_written() {
    let config = accepted(&servers(
        ", name: a, route: tomcat1",
        ", name: b",
        "type: route",
    ));
    let routes: Vec<&str> = config.pools[0].servers.iter().map(|s| &*s.route).collect();
    assert_eq!(routes, ["tomcat1", "b"]);
    // Without type route nobody reads it, and a name is as good as another.
    accepted(&MINIMAL.replace("8080}", "8080, route: x.y}"));
}

#[test]
fn a_route_names_one_server() {
    let both = refused(&servers(
        ", name: a, route: t",
        ", name: b, route: t",
        "type: route",
    ));
    assert_problem(
        &both,
        "t.yaml:8:85: pools.app.servers[1].route: servers `a` and `b` both have the route `t`",
    );
    assert!(!both[0].contains("for one"), "{both:?}");
    let by_name = refused(&servers(", name: a, route: b", ", name: b", "type: route"));
    assert_problem(
        &by_name,
        "t.yaml:8:52: pools.app.servers[1].route: servers `a` and `b` both have the route `b` (a server without",
    );
    let twice = refused(&servers(", name: a", ", name: a", "type: route"));
    assert_problem(
        &twice,
        "t.yaml:8:65: pools.app.servers[1].name: two servers are named `a`",
    );
}

#[test]
fn a_route_that_no_session_id_can_name_is_refused() {
    let by_name = "has its name for a route, which holds the separator";
    for (first, separator, part) in [
        ("", ":", format!("server `a:1` {by_name} `:`")),
        (
            ", name: t.example",
            ".",
            format!("server `t.example` {by_name} `.`"),
        ),
        (
            ", name: t, route: x--1",
            "--",
            "`x--1` holds the separator `--`".to_owned(),
        ),
    ] {
        let keys = format!("type: route, separator: \"{separator}\"");
        let problems = refused(&servers(first, ", name: b", &keys));
        assert!(
            problems.len() == 1 && problems[0].contains(&format!("servers[0].route: {part}")),
            "{problems:?}"
        );
    }
    accepted(&servers(
        ", name: t.example",
        ", name: b",
        "type: learn, cookie: S",
    ));
}

#[test]
fn a_stores_password_is_in_no_message() {
    for url in [
        "redis://:geheim@",
        "redis://:gehe/im@h",
        "http://:geheim@h",
        "redis://:geheim@h:x",
    ] {
        let keys = format!("type: source_ip, table: {{store: \"{url}\"}}");
        let problems = wrong(&keys);
        assert_problem(&problems, "table.store: ");
        assert!(!problems[0].contains("geh"), "{problems:?}");
    }
    let env = |name: &str| (name == "PASSWORD").then(|| "geheim".to_owned());
    let stored = |store: &str| with(&format!("type: source_ip, table: {{store: \"{store}\"}}"));
    let config = parse_str("t.yaml", &stored("redis://:${PASSWORD}@h"), &env).expect("accepted");
    assert!(!format!("{config:?}").contains("geheim"));
    let problems =
        parse_str("t.yaml", &stored("redis://:${PASSWORD}@h:x"), &env).expect_err("refused");
    assert!(!problems.to_string().contains("geheim"), "{problems}");
}

#[test]
fn our_own_route_cookie_does_not_take_the_place_of_the_session_id() {
    assert_problem(
        &wrong("type: route, insert: {cookie: JSESSIONID}"),
        "insert.cookie: `JSESSIONID` is the servers' own cookie",
    );
    // httpd's way, in which no other cookie says the route.
    persistence("type: route, cookie: ROUTEID, insert: {cookie: ROUTEID}");
}
