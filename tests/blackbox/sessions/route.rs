//! `route`: the backend marks its session id with its route; we only read.

use super::*;

const ROUTE: &str = "persistence: {type: route}";

/// Asserts who answers and the word for it.
#[track_caller]
fn goes(lb: &Equipoise, target: &str, headers: &[(&str, &str)], server: &str) {
    for _ in 0..3 {
        let (response, word) = ask(lb, target, headers);
        assert_eq!(
            (response.origin(), &*word),
            (server, "hit"),
            "{target} {headers:?}"
        );
    }
}

/// Asserts that the message binds to nobody.
#[track_caller]
fn is_free(lb: &Equipoise, target: &str, headers: &[(&str, &str)]) {
    let (response, word) = ask(lb, target, headers);
    assert_eq!(
        (response.status, &*word),
        (200, "miss"),
        "{target} {headers:?}"
    );
}

#[test]
fn the_cookies_last_part_names_the_server() {
    let origins = three();
    let lb = Setup::of(&origins).pool(ROUTE).start();
    for server in ["b", "c", "a"] {
        goes(
            &lb,
            "/",
            &[("Cookie", &format!("JSESSIONID=0A1B.{server}"))],
            server,
        );
    }
    goes(&lb, "/", &[("Cookie", "JSESSIONID=.b")], "b");
    goes(&lb, "/", &[("Cookie", "JSESSIONID=0A.c.a.b")], "b");
    goes(
        &lb,
        "/",
        &[("Cookie", "x=1.a; JSESSIONID=0A.b; JSESSIONIDX=0.c")],
        "b",
    );
    goes(
        &lb,
        "/",
        &[("Cookie", "x=1"), ("Cookie", "JSESSIONID=0A.c")],
        "c",
    );
    for cookie in [
        "JSESSIONID=0A1B",
        "XJSESSIONID=0A.b",
        "jsessionid=0A.b",
        "JSESSIONID=",
        "JSESSIONID=b",
    ] {
        is_free(&lb, "/", &[("Cookie", cookie)]);
    }
}

#[test]
fn a_servers_route_need_not_be_its_name() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Setup::new()
        .server(&a, "route: jvm-1")
        .server(&b, "route: jvm-2")
        .pool(ROUTE)
        .start();
    goes(&lb, "/", &[("Cookie", "JSESSIONID=0A.jvm-2")], "b");
    goes(&lb, "/", &[("Cookie", "JSESSIONID=0A.jvm-1")], "a");
    for unknown in ["b", "JVM-2", "jvm-22", "jvm-"] {
        let cookie = format!("JSESSIONID=0A.{unknown}");
        assert_ne!(ask(&lb, "/", &[("Cookie", &cookie)]).1, "hit", "{cookie}");
    }
}

#[test]
fn the_cookies_name_and_the_separator_are_configurable() {
    let origins = three();
    let lb = Setup::of(&origins)
        .pool("persistence: {type: route, cookie: PHPSESSID, separator: \"--\"}")
        .start();
    goes(&lb, "/", &[("Cookie", "PHPSESSID=0.A--x--b")], "b");
    goes(&lb, "/", &[("Cookie", "PHPSESSID=0A---c")], "c");
    is_free(&lb, "/", &[("Cookie", "PHPSESSID=0A.b")]);
    is_free(&lb, "/", &[("Cookie", "JSESSIONID=0A--b")]);
}

#[test]
fn a_path_parameter_names_it_too() {
    let origins = three();
    let lb = Setup::of(&origins).pool(ROUTE).start();
    for target in [
        "/page;jsessionid=0A.b",
        "/page;jsessionid=0A.b?x=1;y",
        "/shop/cart;v=1;jsessionid=0A.b;w=2?jsessionid=0A.c",
        "/shop;jsessionid=0A.b/cart/",
        "/;jsessionid=0A.b",
    ] {
        goes(&lb, target, &[], "b");
        let origin = origins.iter().find(|o| o.name() == "b").unwrap();
        assert_eq!(origin.last_request().target, target, "passed on as it came");
    }
    for target in [
        "/page;xjsessionid=0A.b",
        "/page;jsessionidx=0A.b",
        "/page?jsessionid=0A.b",
        "/page?;jsessionid=0A.b",
        "/jsessionid=0A.b",
        "/page;jsessionid",
        "/page;jsessionid=0A",
    ] {
        is_free(&lb, target, &[]);
    }
}

#[test]
fn the_path_parameter_is_configurable() {
    let origins = three();
    let lb = Setup::of(&origins)
        .pool("persistence: {type: route, path_parameter: sid}")
        .start();
    goes(&lb, "/page;sid=0A.c", &[], "c");
    is_free(&lb, "/page;jsessionid=0A.c", &[]);
    let lb = Setup::of(&origins)
        .pool("persistence: {type: route, path_parameter: null}")
        .start();
    is_free(&lb, "/page;jsessionid=0A.c", &[]);
}

#[test]
fn a_query_parameter_names_it_if_configured() {
    let origins = three();
    let lb = Setup::of(&origins)
        .pool("persistence: {type: route, query_parameter: sid}")
        .start();
    for target in [
        "/?sid=0A.b",
        "/p?x=1&sid=0A.b",
        "/p?sid=0A.b&x=.c",
        "/p?a&&sid=0A.b&",
    ] {
        goes(&lb, target, &[], "b");
    }
    for target in [
        "/?xsid=0A.b",
        "/?sidx=0A.b",
        "/?SID=0A.b",
        "/?x=sid=0A.b",
        "/;sid=0A.b",
        "/?sid",
    ] {
        is_free(&lb, target, &[]);
    }
}

/// As Tomcat: who sends a cookie has cookies, and what is in the URL may be somebody else's link.
#[test]
fn the_cookie_comes_before_the_path_and_that_before_the_query() {
    let origins = three();
    let lb = Setup::of(&origins)
        .pool("persistence: {type: route, query_parameter: sid}")
        .start();
    goes(
        &lb,
        "/p;jsessionid=1.b?sid=2.c",
        &[("Cookie", "JSESSIONID=0.a")],
        "a",
    );
    goes(&lb, "/p;jsessionid=1.b?sid=2.c", &[], "b");
    goes(
        &lb,
        "/p;jsessionid=1.b?sid=2.c",
        &[("Cookie", "x=0.a")],
        "b",
    );
}

#[test]
fn of_several_cookies_the_first_valid_one_counts() {
    let origins = three();
    let lb = Setup::of(&origins).pool(ROUTE).start();
    goes(
        &lb,
        "/",
        &[(
            "Cookie",
            "JSESSIONID=1; JSESSIONID=2.nobody; JSESSIONID=3.b; JSESSIONID=4.a",
        )],
        "b",
    );
}

#[test]
fn neither_message_is_touched() {
    let origins = three_with(|_| {
        Answer::ok()
            .header("Set-Cookie", "JSESSIONID=0A.b; Path=/; HttpOnly")
            .header("Set-Cookie", "x=\"1 2\"")
            .header("Cache-Control", "public")
    });
    let lb = Setup::of(&origins).pool(ROUTE).start();
    let lines = ["x=\"1 2\";JSESSIONID=0A.b;;  y", "JSESSIONID=0A.c"];
    assert_eq!(cookies_at(&lb, &origins[1], &lines), lines);
    let response = lb.get("/", &[]);
    assert_eq!(
        set_cookies(&response),
        ["JSESSIONID=0A.b; Path=/; HttpOnly", "x=\"1 2\""]
    );
    assert_eq!(response.header("cache-control"), Some("public"));
}

#[test]
fn an_unknown_route_is_balanced_and_counted() {
    let origins = three();
    let lb = Setup::of(&origins).pool(ROUTE).start();
    let (response, word) = ask(&lb, "/", &[("Cookie", "JSESSIONID=0A.nobody")]);
    assert_eq!((response.status, &*word), (200, "rebalanced"));
    let lb = Setup::of(&origins)
        .pool("persistence: {type: route, on_unavailable: reject}")
        .start();
    let (response, word) = ask(&lb, "/", &[("Cookie", "JSESSIONID=0A.nobody")]);
    assert_eq!((response.status, &*word), (503, "unavailable"));
}

#[test]
fn an_empty_separator_is_refused() {
    let said = refused("{type: route, separator: \"\"}");
    assert!(said.contains("separator"), "{said}");
}
