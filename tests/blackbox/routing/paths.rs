//! What is matched is what is forwarded, or it is refused.

use super::{named, routed, status, yaml};
use crate::common::*;

/// `/admin` is refused, the rest goes to the server.
const GUARDED: &str = "- {match: {path_prefix: /admin}, respond: {status: 403}}\n- {pool: a}\n";

#[test]
fn servers_get_the_form_that_was_compared() {
    let a = Origin::start("a");
    let lb = routed(GUARDED, &[&a]);
    for (target, forwarded) in [
        ("/x", "/x"),
        ("/x?y=%2e%2E/../z", "/x?y=%2e%2E/../z"),
        ("/a/./b//c/../d", "/a/b/d"),
        ("/%7euser/%41%2d", "/~user/A-"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a;jsessionid=1.t1/b;c", "/a;jsessionid=1.t1/b;c"),
        ("/%252e%252e/admin", "/%252e%252e/admin"),
        ("/x/..?q", "/?q"),
    ] {
        assert_eq!(status(&lb, "GET", "a.test", target, &[]), 200, "{target}");
        assert_eq!(a.last_request().target, forwarded);
    }
}

#[test]
fn what_leads_to_a_guarded_path_in_any_writing_is_guarded() {
    let a = Origin::start("a");
    let lb = routed(GUARDED, &[&a]);
    for target in [
        "/admin",
        "/admin/",
        "/admin/x",
        "/admin;x/y",
        "/admin;x",
        "/admin%3bx",
        "//admin",
        "/./admin",
        "/%2e/admin",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x/.%2E/admin",
        "/x/y/../../admin",
        "/%61dmin",
        "/%61%64%6D%69%6e/x",
        "/x//../admin",
        "/admin/x/..",
        "/admin/.",
    ] {
        assert_eq!(status(&lb, "GET", "a.test", target, &[]), 403, "{target}");
    }
    assert_eq!(a.served(), 0);
}

#[test]
fn what_servers_could_understand_differently_is_refused() {
    let a = Origin::start("a");
    let lb = routed(GUARDED, &[&a]);
    for target in [
        "/..",
        "/x/../../admin",
        "/%2e%2e/admin",
        "/x/..;/admin",
        "/x/..;a=b/admin",
        "/x/%2e%2e;/admin",
        "/x/..%3b/admin",
        "/.;/admin",
        "/;/admin",
        "/x/;/../admin",
        "/x%2f..%2fadmin",
        "/x/..%2fadmin",
        "/x%5c..%5cadmin",
        "/%2fadmin",
        "/admin%00",
        "/x%0a",
        "/x%7f",
        "/x%",
        "/x%2",
        "/x%zz",
        "/%u002e%u002e/admin",
    ] {
        assert_eq!(status(&lb, "GET", "a.test", target, &[]), 400, "{target}");
    }
    for target in ["/x\\..\\admin", "/x/..\\admin", "/x#/../admin"] {
        let response = lb.client().get(target, &[]).unwrap();
        assert_eq!(response.status, 400, "{target}");
    }
    assert_eq!(a.served(), 0);
}

#[test]
fn encoded_slashes_can_be_kept_and_are_compared_as_slashes() {
    let a = Origin::start("a");
    let listener = format!("http: {{encoded_slashes: keep}}\nroutes:\n{GUARDED}");
    let lb = Equipoise::start(&yaml(&listener, &named(&[&a])));
    for (target, wanted) in [
        ("/x%2fy", 200),
        ("/admin%2Fx", 403),
        ("/admin%5Cx", 403),
        ("/x%2f..%2fadmin", 400),
        ("/%2fadmin", 400),
        ("/x/..%5cadmin", 400),
    ] {
        assert_eq!(
            status(&lb, "GET", "a.test", target, &[]),
            wanted,
            "{target}"
        );
    }
    assert_eq!(a.last_request().target, "/x%2Fy");
    assert_eq!(a.served(), 2);
}

#[test]
fn slashes_can_be_kept_and_are_compared_as_one() {
    let a = Origin::start("a");
    let listener = format!("http: {{slashes: keep, encoded_slashes: keep}}\nroutes:\n{GUARDED}");
    let lb = Equipoise::start(&yaml(&listener, &named(&[&a])));
    let target = "/unsafe/300x200/http://cdn.example//a.jpg?b=//c";
    for (target, forwarded) in [
        (target, target),
        ("//x//", "//x//"),
        ("/job/a%2F%2fb", "/job/a%2F%2Fb"),
        ("/x//./y//z/../%61", "/x//y//a"),
        ("/x%2F/y", "/x%2F/y"),
    ] {
        assert_eq!(status(&lb, "GET", "a.test", target, &[]), 200, "{target}");
        assert_eq!(a.last_request().target, forwarded);
    }
    let served = a.served();
    for (target, wanted) in [
        ("//admin", 403),
        ("///admin//x", 403),
        ("/%2Fadmin", 403),
        ("/%2f/%5cadmin", 403),
        ("/x/../admin", 403),
        ("//admin;x//y", 403),
        ("/x//../admin", 400),
        ("/x//%2e%2e/admin", 400),
        ("/x/%2F../admin", 400),
        ("/x%2F%2F..%2Fadmin", 400),
        ("/x//..;/admin", 400),
        ("//;/admin", 400),
        ("/x//..%5cadmin", 400),
    ] {
        assert_eq!(
            status(&lb, "GET", "a.test", target, &[]),
            wanted,
            "{target}"
        );
    }
    assert_eq!(a.served(), served);
}

#[test]
fn a_route_says_for_itself_what_paths_keep() {
    let a = Origin::with("a", |_| Answer::ok().header("Location", "/back"));
    let lb = routed(
        "- {match: {path_prefix: /admin}, respond: {status: 403}}\n\
         - {match: {path_prefix: /img}, pool: a, slashes: keep, encoded_slashes: keep, rewrite: {prefix: /}}\n\
         - {match: {path_prefix: /job}, pool: a, encoded_slashes: keep}\n\
         - {match: {path_prefix: /old}, slashes: keep, redirect: {to: 'https://b.test${uri}'}}\n\
         - {pool: a}\n",
        &[&a],
    );
    for (target, forwarded) in [
        ("/img/a//b%2F%2Fc", "/a//b%2F%2Fc"),
        ("//img//a", "//a"),
        ("/job//a%2Fb", "/job/a%2Fb"),
        ("/x//y", "/x/y"),
        ("/x//../y", "/y"),
    ] {
        assert_eq!(status(&lb, "GET", "a.test", target, &[]), 200, "{target}");
        assert_eq!(a.last_request().target, forwarded, "{target}");
    }
    for (target, wanted) in [
        ("/x%2Fy", 400),
        ("/job/a%2F%2Fb", 400),
        ("/img//../x", 200),
        ("/img/a//../b", 400),
        ("//admin", 403),
        ("/img/..//admin", 403),
        ("/img%2F..%2Fadmin", 400),
        ("/admin%2F%2Fx", 400),
    ] {
        assert_eq!(
            status(&lb, "GET", "a.test", target, &[]),
            wanted,
            "{target}"
        );
    }
    let sent = lb.get("/old/http://a.test//b?c", &[]);
    assert_eq!(
        sent.header("location"),
        Some("https://b.test/old/http://a.test//b?c")
    );
    // No path of a client's becomes a host.
    let back = lb.get("//img//x", &[]);
    assert_eq!(back.header("location"), Some("/img/back"));
}

#[test]
fn a_listener_whose_routes_ask_for_no_path_passes_targets_on_as_they_came() {
    let a = Origin::start("a");
    let lb = routed("- {match: {host: a.test}, pool: a}", &[&a]);
    for target in ["/a/../b//c", "/x%2f..%2fy", "/%61;..;/", "/x%zz"] {
        assert_eq!(status(&lb, "GET", "a.test", target, &[]), 200, "{target}");
        assert_eq!(a.last_request().target, target);
    }
}

#[test]
fn the_asterisk_is_no_path_and_is_taken_by_the_route_of_everything() {
    let a = Origin::start("a");
    let lb = routed(GUARDED, &[&a]);
    let response = lb.client().request("OPTIONS", "*", &[], b"").unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(a.last_request().target, "*");
}

#[test]
fn an_absolute_target_is_compared_by_its_path() {
    let a = Origin::start("a");
    let lb = routed(GUARDED, &[&a]);
    let get = |target: &str| {
        let headers = [("Host", "a.test")];
        lb.client().get(target, &headers).unwrap().status
    };
    assert_eq!(get("http://a.test/x/../admin?y"), 403);
    assert_eq!(get("http://a.test/%61/../b?y"), 200);
    assert_eq!(a.last_request().target, "/b?y");
    assert_eq!(a.last_request().headers_of("host"), ["a.test"]);
}
