//! Redirects, answers of our own, and header fields with variables.

use super::{named, routed, yaml};
use crate::common::*;

#[test]
fn a_redirect_is_made_of_variables() {
    let lb = routed(
        "- {match: {path: /query}, redirect: {status: 301, to: 'https://${host}/new?${query}&l=${listener}'}}\n\
         - {match: {path_prefix: /uri}, redirect: {status: 308, to: 'https://${host}:8443${uri}'}}\n\
         - {match: {path: /field}, redirect: {to: '/x?${header:X-A}&${method}&${client}'}}\n",
        &[],
    );
    let mut client = lb.client();
    let mut get = |target: &str| {
        let headers = [("Host", "a.test:81"), ("X-A", "1 <2>")];
        let response = client.get(target, &headers).unwrap();
        (
            response.status,
            response.header("location").unwrap_or_default().to_owned(),
        )
    };
    for (target, status, location) in [
        ("/query?a=b", 301, "https://a.test/new?a=b&l=web"),
        ("/uri/%61/../b?c", 308, "https://a.test:8443/uri/b?c"),
        ("/uri", 308, "https://a.test:8443/uri"),
        ("/field", 302, "/x?1%20%3C2%3E&GET&127.0.0.1"),
    ] {
        assert_eq!(get(target), (status, location.to_owned()));
    }
}

#[test]
fn no_path_makes_a_redirect_lead_to_another_host() {
    for match_on in ["", "match: {path_prefix: /}, "] {
        let lb = routed(
            &format!("- {{{match_on}redirect: {{to: '${{uri}}'}}}}\n"),
            &[],
        );
        for target in [
            "//evil.test/x",
            "///evil.test",
            "/a/..//evil.test",
            "/\\evil.test",
        ] {
            let response = lb.client().get(target, &[]).unwrap();
            let location = response.header("location").unwrap_or("/");
            assert!(
                location.starts_with('/') && !location.starts_with("//"),
                "{target}: {location}"
            );
        }
    }
}

#[test]
fn a_route_may_answer_by_itself() {
    let lb = routed(
        "- {match: {path: /text}, respond: {body: \"hello\\n\"}}\n\
         - {match: {path: /json}, respond: {status: 418, body: '{\"tea\": true}', content_type: application/json}}\n\
         - {match: {path: /page}, respond: {status: 403}}\n\
         - {match: {path: /none}, respond: {status: 204}}\n",
        &[],
    );
    let mut client = lb.client();
    let response = client.get("/text", &[]).unwrap();
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "hello\n")
    );
    assert_eq!(
        response.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let response = client.get("/json", &[]).unwrap();
    assert_eq!(
        (response.status, response.json()["tea"].clone()),
        (418, true.into())
    );
    assert_eq!(response.header("content-type"), Some("application/json"));
    let response = client.get("/page", &[]).unwrap();
    assert!(response.status == 403 && response.text().contains("403"));
    let response = client.get("/none", &[]).unwrap();
    assert_eq!((response.status, response.body.len()), (204, 0));
    let response = client.request("HEAD", "/text", &[], b"").unwrap();
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert_eq!(response.header("content-length"), Some("6"));
}

#[test]
fn fields_of_requests_are_removed_set_and_added() {
    let a = Origin::start("a");
    let lb = routed(
        "- name: shop\n  pool: a\n  request_headers:\n    remove: [X-Gone]\n    \
         set: {X-Edge: '${listener}/${route}', X-Was: '${header:X-Gone}', X-Empty: '${header:X-None}', \
               X-All: '${scheme} ${host} ${path} ${query} ${uri} ${method} ${client} ${peer}'}\n    \
         add: {X-List: '${method}', X-Nothing: '${sni}'}\n",
        &[&a],
    );
    let headers = [
        ("Host", "A.test:81"),
        ("X-Gone", "old"),
        ("X-Edge", "of the client"),
        ("X-Edge", "twice"),
        ("X-Empty", "of the client"),
        ("X-List", "one"),
    ];
    assert_eq!(lb.get("/p?q=1", &headers).status, 200);
    let seen = a.last_request();
    assert_eq!(seen.headers_of("x-edge"), ["web/shop"]);
    assert_eq!(seen.headers_of("x-was"), ["old"], "the request as it came");
    assert_eq!(seen.headers_of("x-list"), ["one", "GET"]);
    for gone in ["x-gone", "x-empty", "x-nothing"] {
        assert_eq!(seen.header(gone), None);
    }
    let all = seen.header("x-all").unwrap().to_lowercase();
    assert_eq!(all, "http a.test /p q=1 /p?q=1 get 127.0.0.1 127.0.0.1");
}

#[test]
fn the_request_id_in_a_field_is_that_of_the_log() {
    let a = Origin::start("a");
    let lb = routed(
        "- {pool: a, request_headers: {set: {X-Id: '${request_id}'}}}\n",
        &[&a],
    );
    lb.get("/x", &[]);
    let id = a.last_request().header("x-id").unwrap().to_owned();
    let line = lb.wait_logged(|line| line["path"] == "/x");
    assert_eq!(line["request_id"], id.as_str());
}

#[test]
fn fields_of_responses_are_changed_whoever_answers() {
    let a = Origin::with("a", |_| {
        Answer::ok()
            .header("X-Powered-By", "a")
            .header("Vary", "Accept")
            .header("X-Frame-Options", "SAMEORIGIN")
    });
    let edits = "response_headers: {remove: [X-Powered-By], add: {Vary: X-Canary}, \
                 set: {X-Frame-Options: DENY, X-Path: '${path}'}}";
    let listener = format!(
        "routes:\n- {{match: {{path: /own}}, respond: {{status: 403}}, {edits}}}\n\
         - {{match: {{path: /away}}, redirect: {{to: /x}}, {edits}}}\n- {{pool: a, {edits}}}\n"
    );
    let lb = Equipoise::start(&yaml(&listener, &named(&[&a])));
    for (path, status, vary) in [
        ("/x", 200, &["Accept", "X-Canary"][..]),
        ("/own", 403, &["X-Canary"]),
        ("/away", 302, &["X-Canary"]),
    ] {
        let response = lb.get(path, &[]);
        assert_eq!(response.status, status);
        assert_eq!(response.header("x-powered-by"), None);
        assert_eq!(response.headers_of("x-frame-options"), ["DENY"]);
        assert_eq!(response.headers_of("x-path"), [path]);
        let found = response.headers_of("vary");
        assert!(
            vary.iter().all(|wanted| found.contains(wanted)),
            "{path}: {found:?}"
        );
    }
}
