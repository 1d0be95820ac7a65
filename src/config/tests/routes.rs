//! Routes that say something else than was meant.

use super::{accepted, assert_problem, refused};

/// Routes of a listener with a pool of its own, before these pools, each with a server `s1`.
fn with(routes: &str, pools: &[(&str, &str)]) -> String {
    let mut text = format!(
        "listeners:\n  web:\n    bind: 127.0.0.1:80\n    pool: app\n    routes:\n{routes}\npools:\n"
    );
    text.push_str("  app: {servers: [{address: 127.0.0.1:1}]}\n");
    for (port, (name, lines)) in pools.iter().enumerate() {
        let port = port + 2;
        text.push_str(&format!(
            "  {name}: {{servers: [{{name: s1, address: \"127.0.0.1:{port}\"}}], persistence: {{{lines}}}}}\n"
        ));
    }
    text
}

fn problems(routes: &str, pools: &[(&str, &str)]) -> Vec<String> {
    let places = refused(&with(routes, pools));
    let rest = places
        .iter()
        .map(|problem| problem.split_once(": ").unwrap().1.to_owned());
    rest.collect()
}

#[test]
fn a_split_of_no_pools_is_no_way_to_the_listeners_pool() {
    assert_problem(
        &problems("    - {split: []}", &[]),
        "listeners.web.routes[0].split: is empty; at least one pool is needed",
    );
}

#[test]
fn a_redirect_to_another_place_names_its_host() {
    let to = |to: &str| format!("    - {{redirect: {{to: \"{to}\"}}}}");
    for wrong in [
        "https://",
        "https:///a",
        "http://${uri}",
        "${scheme}://${path}",
        "https://?a",
    ] {
        assert_problem(
            &problems(&to(wrong), &[]),
            "listeners.web.routes[0].redirect.to: has no host where one belongs",
        );
    }
    for sound in [
        "https://${host}${uri}",
        "${scheme}://a${uri}",
        "/a",
        "${uri}",
        "//a/b",
    ] {
        accepted(&with(&to(sound), &[]));
    }
}

#[test]
fn nobody_allowed_is_not_everybody() {
    assert_problem(
        &problems("    - {allow: []}", &[]),
        "listeners.web.routes[0].allow: is empty, so that nobody could come in",
    );
    accepted(&with("    - {allow: 10.0.0.0/8, deny: []}", &[]));
}

#[test]
fn a_route_is_not_called_by_anothers_place() {
    let named = |name: &str, second: &str| {
        format!(
            "    - {{name: \"{name}\", match: {{path: /a}}}}\n    - {{{second}match: {{path: /b}}}}"
        )
    };
    assert_problem(
        &problems(&named("1", ""), &[]),
        "listeners.web.routes[0].name: is what the route t.yaml:7:7 has for a name",
    );
    for (name, second) in [("0", ""), ("01", ""), ("2", ""), ("1", "name: b, ")] {
        accepted(&with(&named(name, second), &[]));
    }
}

#[test]
fn sessions_that_a_split_could_not_tell_apart_are_refused() {
    const SPLIT: &str = "    - {split: [{pool: a, weight: 1}, {pool: b, weight: 1}]}";
    for lines in [
        "type: cookie_insert, token: name",
        "type: cookie_prefix, cookie: SID, token: name",
        "type: route",
        "type: route, cookie: SID, query_parameter: sid, path_parameter: null",
    ] {
        assert_problem(
            &problems(SPLIT, &[("a", lines), ("b", lines)]),
            "listeners.web.routes[0].split[1].pool: a server ",
        );
    }
    for (a, b) in [
        ("type: cookie_insert", "type: cookie_insert"),
        ("type: cookie_insert, token: name", "type: cookie_insert"),
        (
            "type: cookie_insert, token: name",
            "type: cookie_insert, token: name, cookie: OTHER",
        ),
        ("type: learn, cookie: SID", "type: learn, cookie: SID"),
        (
            "type: route, path_parameter: null",
            "type: route, cookie: SID, path_parameter: null",
        ),
    ] {
        accepted(&with(SPLIT, &[("a", a), ("b", b)]));
    }
    // One and the same server.
    let lines = "type: cookie_insert, token: name";
    let text = with(SPLIT, &[("a", lines), ("b", lines)]).replace("127.0.0.1:3", "127.0.0.1:2");
    accepted(&text);
}

#[test]
fn no_route_is_looked_at_where_everything_is_sent_on_to_https() {
    let text = with("    - {match: {path: /a}}", &[]);
    let to_https = text.replace(
        "    pool: app\n",
        "    redirect_https: true\n    pool: app\n",
    );
    assert_problem(
        &[refused(&to_https)
            .remove(0)
            .split_once(": ")
            .unwrap()
            .1
            .to_owned()],
        "listeners.web.routes: are never looked at beside redirect_https",
    );
    accepted(&text.replace(
        "    pool: app\n",
        "    redirect_https: false\n    pool: app\n",
    ));
}
