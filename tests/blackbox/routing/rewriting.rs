//! What servers are asked for instead, and what their answers say of it.

use super::{named, routed, yaml};
use crate::common::h2::H2;
use crate::common::peers::Apache;
use crate::common::*;

const API: &str = "- {match: {path_prefix: /api}, pool: a, rewrite: {prefix: /v1, host: api.internal}}\n\
                   - {pool: a}\n";

#[test]
fn a_prefix_is_replaced_and_the_rest_stays() {
    let a = Origin::start("a");
    let lb = routed(API, &[&a]);
    for (target, wanted) in [
        ("/api/x", "/v1/x"),
        ("/api", "/v1"),
        ("/api/", "/v1/"),
        ("/api?x=/api", "/v1?x=/api"),
        ("/api;s=1/x;t", "/v1;s=1/x;t"),
        ("/%61pi/a%20b%25", "/v1/a%20b%25"),
    ] {
        assert_eq!(lb.get(target, &[]).status, 200);
        assert_eq!(a.last_request().target, wanted);
        assert_eq!(a.last_request().headers_of("host"), ["api.internal"]);
    }
    lb.get("/other", &[("Host", "a.test")]);
    assert_eq!(a.last_request().target, "/other");
    assert_eq!(a.last_request().headers_of("host"), ["a.test"]);
}

#[test]
fn over_http_2_it_is_the_same() {
    let a = Origin::with("a", |_| {
        Answer::status(302).header("Location", "http://api.internal/v1/y")
    });
    let lb = routed(API, &[&a]);
    let response = H2::connect(lb.web()).get("/api/x?y", &[]).unwrap();
    assert_eq!(a.last_request().target, "/v1/x?y");
    assert_eq!(a.last_request().headers_of("host"), ["api.internal"]);
    assert_eq!(response.header("location"), Some("http://a.test/api/y"));
}

#[test]
fn the_log_has_what_the_client_asked_for() {
    let a = Origin::start("a");
    let lb = routed(API, &[&a]);
    lb.get("/api/x?y", &[("Host", "a.test")]);
    let line = lb.wait_logged(|line| line["query"] == "y");
    assert_eq!(
        (&line["path"], &line["host"]),
        (&"/api/x".into(), &"a.test".into())
    );
}

#[test]
fn the_root_can_be_taken_away_or_put_before() {
    let a = Origin::start("a");
    let lb = routed(
        "- {match: {path_prefix: /strip}, pool: a, rewrite: {prefix: /}}\n\
         - {match: {path: /start}, pool: a, rewrite: {prefix: /index.html}}\n\
         - {match: {path: /dir/}, pool: a, rewrite: {prefix: /other/}}\n\
         - {match: {path_prefix: /}, pool: a, rewrite: {prefix: /app}}\n",
        &[&a],
    );
    for (target, wanted) in [
        ("/strip", "/"),
        ("/strip/x", "/x"),
        ("/start?q", "/index.html?q"),
        ("/dir/", "/other/"),
        ("/", "/app/"),
        ("/x", "/app/x"),
    ] {
        assert_eq!(lb.get(target, &[]).status, 200);
        assert_eq!(a.last_request().target, wanted, "{target}");
    }
}

#[test]
fn a_regular_expression_replaces_what_it_matches() {
    let a = Origin::start("a");
    let lb = routed(
        "- match: {path_prefix: /item}\n  pool: a\n  \
           rewrite: {regex: '^/item/([a-z]+)/([0-9]+)$', replacement: '/items?kind=$1&id=$2'}\n\
         - match: {path_prefix: /up}\n  pool: a\n  rewrite: {regex: '^/up', replacement: '/..'}\n",
        &[&a],
    );
    for (target, wanted) in [
        ("/item/cup/7", "/items?kind=cup&id=7"),
        ("/item/cup/7?x=1", "/items?kind=cup&id=7&x=1"),
        ("/item/cup", "/item/cup"),
    ] {
        assert_eq!(lb.get(target, &[]).status, 200);
        assert_eq!(a.last_request().target, wanted);
    }
    let served = a.served();
    assert_eq!(lb.get("/up/x", &[]).status, 400, "no target comes out");
    assert_eq!(a.served(), served);
}

#[test]
fn places_and_cookies_of_the_server_are_mapped_back() {
    let a = Origin::with("a", |request| {
        let mut reply = Answer::status(302);
        for (name, value) in &request.headers {
            if let Some(name) = name.strip_prefix("Say-") {
                reply = reply.header(name, value);
            }
        }
        reply
    });
    let lb = routed(API, &[&a]);
    let own = format!("http://{}/v1/x", a.address());
    for (name, said, wanted) in [
        ("Location", "/v1/x?y#z", "/api/x?y#z"),
        (
            "Location",
            "http://api.internal/v1/x",
            "http://a.test:81/api/x",
        ),
        ("Location", "//API.internal/v1", "//a.test:81/api"),
        ("Location", &own, "http://a.test:81/api/x"),
        (
            "Location",
            "http://api.internal/other",
            "http://a.test:81/other",
        ),
        (
            "Location",
            "https://elsewhere.test/v1/x",
            "https://elsewhere.test/v1/x",
        ),
        ("Location", "/v1x", "/v1x"),
        ("Location", "x", "x"),
        ("Content-Location", "/v1/x", "/api/x"),
        (
            "Set-Cookie",
            "a=/v1; Path=/v1; HttpOnly",
            "a=/v1; Path=/api; HttpOnly",
        ),
        (
            "Set-Cookie",
            "a=b; Domain=api.internal",
            "a=b; Domain=a.test",
        ),
        ("Set-Cookie", "a=b; Path=/; Secure", "a=b; Path=/; Secure"),
    ] {
        let say = format!("Say-{name}");
        let response = lb.get("/api/x", &[("Host", "a.test:81"), (&say, said)]);
        assert_eq!(response.headers_of(name), [wanted]);
        let response = lb.get("/x", &[("Host", "a.test:81"), (&say, said)]);
        assert_eq!(response.headers_of(name), [said], "nothing was rewritten");
    }
}

#[test]
fn our_own_session_cookie_is_not_taken_for_the_servers() {
    let a = Origin::start("a");
    let listener = "routes:\n- {match: {path_prefix: /api}, pool: a, rewrite: {prefix: /}}\n";
    let yaml = yaml(listener, &named(&[&a])).replace(
        "    health_check: null\n",
        "    health_check: null\n    persistence: {type: cookie_insert, path: /}\n",
    );
    let lb = Equipoise::start(&yaml);
    let response = lb.get("/api/x", &[]);
    let cookie = response.set_cookie("SERVERID").expect("a cookie");
    assert!(cookie.contains("; Path=/;"), "{cookie}");
}

#[test]
fn httpds_redirect_to_a_directory_leads_back_through_the_load_balancer() {
    let apache = Apache::origin("httpd", "");
    apache.dir.write("htdocs/v1/docs/index.html", "the page\n");
    let routes = "routes:\n- {match: {path_prefix: /api}, pool: a, rewrite: {prefix: /v1}}\n";
    let by_own_name = "routes:\n\
         - {match: {path_prefix: /api}, pool: a, rewrite: {prefix: /v1, host: inside.test}}\n";
    for listener in [routes, by_own_name] {
        let lb = Equipoise::start(&yaml(listener, &[("a", apache.address().to_string())]));
        let response = lb.get("/api/docs", &[]);
        assert_eq!(response.status, 301);
        let location = format!("http://{}/api/docs/", lb.web());
        assert_eq!(response.header("location"), Some(location.as_str()));
        assert_eq!(lb.get("/api/docs/", &[]).text(), "the page\n");
    }
}
