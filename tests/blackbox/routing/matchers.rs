//! Every condition, alone and together; the first route that fits.

use super::{named, routed, status, yaml};
use crate::common::*;

/// A route that answers with a status by which it is known.
fn marked(condition: &str, mark: u16) -> String {
    format!("- {{match: {{{condition}}}, respond: {{status: {mark}}}}}\n")
}

fn routes(all: &[(&str, u16)]) -> String {
    all.iter()
        .map(|(condition, mark)| marked(condition, *mark))
        .collect()
}

/// No route takes it, and the listener has no pool.
const NOBODY: u16 = 404;

#[test]
fn hosts_are_whole_names_or_all_below_one() {
    let lb = routed(
        &routes(&[
            ("host: one.test", 231),
            ("host: ['*.wild.test', two.test]", 232),
            ("host: '[::1]'", 233),
        ]),
        &[],
    );
    for (host, wanted) in [
        ("one.test", 231),
        ("ONE.Test", 231),
        ("one.test:8080", 231),
        ("one.test.", 231),
        ("a.wild.test", 232),
        ("a.b.wild.test:81", 232),
        ("two.test", 232),
        ("wild.test", NOBODY),
        ("notwild.test", NOBODY),
        ("a.one.test", NOBODY),
        ("[::1]:80", 233),
    ] {
        assert_eq!(status(&lb, "GET", host, "/", &[]), wanted, "{host}");
    }
}

#[test]
fn the_host_of_an_absolute_target_counts_rather_than_the_field() {
    let lb = routed(&routes(&[("host: one.test, path: /x", 231)]), &[]);
    let mut client = lb.client();
    let target = "http://one.test:81/x";
    let response = client.get(target, &[("Host", "one.test:81")]).unwrap();
    assert_eq!(response.status, 231);
    let plain = client.get("/x", &[("Host", "other.test")]).unwrap();
    assert_eq!(plain.status, NOBODY);
}

#[test]
fn paths_are_whole_or_begin_with_whole_segments_or_match() {
    let lb = routed(
        &routes(&[
            ("path: [/exact, /exact/]", 231),
            ("path_prefix: /api", 232),
            ("path_prefix: '/caf%C3%A9/'", 233),
            (r"path_regex: '(?i)\.(jsp|do)$'", 234),
            ("path: /", 235),
        ]),
        &[],
    );
    for (target, wanted) in [
        ("/exact", 231),
        ("/exact/", 231),
        ("/exact?x", 231),
        ("/exact/x", NOBODY),
        ("/exactly", NOBODY),
        ("/api", 232),
        ("/api/", 232),
        ("/api/x/y?z=/exact", 232),
        ("/API", NOBODY),
        ("/apix", NOBODY),
        ("/caf%c3%a9", 233),
        ("/caf%c3%a9/menu", 233),
        ("/a/b.JSP", 234),
        ("/a/b.do;jsessionid=1?x=.php", 234),
        ("/a/b.doc", NOBODY),
        ("/", 235),
        ("/?x", 235),
    ] {
        assert_eq!(
            status(&lb, "GET", "a.test", target, &[]),
            wanted,
            "{target}"
        );
    }
}

#[test]
fn methods_fields_parameters_and_clients_are_conditions_too() {
    let lb = Equipoise::start(&yaml(
        &format!(
            "client_address: {{trusted_proxies: [127.0.0.0/8]}}\nroutes:\n{}",
            routes(&[
                ("method: [PUT, DELETE]", 231),
                ("header: {X-Canary: '1'}", 232),
                ("header: {X-Kind: '~^a+$', X-There: '*'}", 233),
                ("query: {v: '2'}", 234),
                ("query: {'a b': '~^c d$', flag: '*'}", 235),
                ("client: [10.0.0.0/8, '2001:db8::/32']", 236),
            ])
        ),
        &[],
    ));
    let none: &[(&str, &str)] = &[];
    for (method, target, headers, wanted) in [
        ("PUT", "/", none, 231),
        ("DELETE", "/", none, 231),
        ("GET", "/", none, NOBODY),
        ("GET", "/", &[("X-Canary", "1")], 232),
        ("GET", "/", &[("X-Canary", "11")], NOBODY),
        ("GET", "/", &[("X-Canary", "0"), ("X-Canary", "1")], 232),
        ("GET", "/", &[("X-Kind", "aaa"), ("X-There", "x")], 233),
        ("GET", "/", &[("X-Kind", "aab"), ("X-There", "x")], NOBODY),
        ("GET", "/", &[("X-Kind", "aaa")], NOBODY),
        ("GET", "/?v=2", none, 234),
        ("GET", "/?w=1&v=%32&x", none, 234),
        ("GET", "/?v=1&v=2", none, 234),
        ("GET", "/?v=22", none, NOBODY),
        ("GET", "/?vv=2", none, NOBODY),
        ("GET", "/?a+b=c%20d&flag", none, 235),
        ("GET", "/?a+b=c%20d", none, NOBODY),
        ("GET", "/", &[("X-Forwarded-For", "10.1.2.3")], 236),
        ("GET", "/", &[("X-Forwarded-For", "2001:db8::7")], 236),
        ("GET", "/", &[("X-Forwarded-For", "11.1.2.3")], NOBODY),
    ] {
        let found = status(&lb, method, "a.test", target, headers);
        assert_eq!(found, wanted, "{method} {target} {headers:?}");
    }
}

#[test]
fn every_condition_of_a_route_must_hold() {
    let lb = routed(
        &routes(&[(
            "host: a.test, path_prefix: /x, method: GET, header: {X-A: '*'}, query: {q: '1'}",
            231,
        )]),
        &[],
    );
    let field: &[(&str, &str)] = &[("X-A", "")];
    assert_eq!(status(&lb, "GET", "a.test", "/x?q=1", field), 231);
    for (method, host, target, headers) in [
        ("POST", "a.test", "/x?q=1", field),
        ("GET", "b.test", "/x?q=1", field),
        ("GET", "a.test", "/y?q=1", field),
        ("GET", "a.test", "/x?q=2", field),
        ("GET", "a.test", "/x?q=1", &[]),
    ] {
        assert_eq!(status(&lb, method, host, target, headers), NOBODY);
    }
}

#[test]
fn the_first_route_that_fits_is_taken_however_special_a_later_one_is() {
    let lb = routed(
        &routes(&[
            ("path_prefix: /a/b", 231),
            ("path_prefix: /a", 232),
            ("path: /a/b/c", 233),
            ("host: a.test", 234),
            ("host: a.test, path: /z", 235),
            ("", 236),
            ("path: /y", 237),
        ]),
        &[],
    );
    for (host, target, wanted) in [
        ("a.test", "/a/b/c", 231),
        ("a.test", "/a/c", 232),
        ("a.test", "/z", 234),
        ("b.test", "/z", 236),
        ("b.test", "/y", 236),
    ] {
        assert_eq!(status(&lb, "GET", host, target, &[]), wanted);
    }
}

#[test]
fn what_no_route_takes_goes_to_the_listeners_pool() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let listener = "pool: b\nroutes:\n- {name: first, match: {path: /a}, pool: a}\n\
                    - {match: {path: /c}}\n";
    let lb = Equipoise::start(&yaml(listener, &named(&[&a, &b])));
    assert_eq!(lb.get("/a", &[]).origin(), "a");
    assert_eq!(lb.get("/c", &[]).origin(), "b");
    assert_eq!(lb.get("/x", &[]).origin(), "b");
    let logged = |path: &str| lb.wait_logged(|line| line["path"] == path);
    assert_eq!(logged("/a")["route"], "first");
    assert_eq!(logged("/c")["route"], "1");
    assert!(matches!(&logged("/x")["route"], value if value.is_null() || value == "-"));
}

#[test]
fn without_a_pool_of_the_listener_they_get_404() {
    let a = Origin::start("a");
    let lb = routed("- {match: {path: /a}, pool: a}", &[&a]);
    let mut client = lb.client();
    assert_eq!(client.get("/x", &[]).unwrap().status, 404);
    assert_eq!(client.get("/a", &[]).unwrap().origin(), "a", "it is kept");
    assert_eq!(a.served(), 1);
}
