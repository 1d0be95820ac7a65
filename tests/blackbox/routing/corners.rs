//! What is at the edges of targets, hosts and paths.

use nix::sys::signal::Signal;

use super::{named, routed, yaml};
use crate::common::h2::H2;
use crate::common::*;

#[test]
fn nobody_is_sent_to_a_host_that_the_request_does_not_name() {
    let lb = routed("- {redirect: {to: 'https://${host}${uri}'}}\n", &[]);
    for request in [
        "GET /evil.test/x HTTP/1.0\r\n\r\n",
        "GET /evil.test/x HTTP/1.1\r\nHost:\r\n\r\n",
    ] {
        let mut client = lb.client();
        client.send(request).unwrap();
        let response = client.read_response(false).unwrap();
        assert_eq!(
            (response.status, response.header("location")),
            (400, None),
            "{request:?}"
        );
    }
}

#[test]
fn what_is_a_parameter_of_a_redirect_is_encoded() {
    let lb = routed(
        "- match: {path_prefix: /p}\n  redirect: {to: 'https://login.test/?rd=${scheme|url}%3A%2F%2F${host|url}${uri|url}&x=1'}\n\
         - match: {path_prefix: /q}\n  redirect: {to: 'https://b.test${path}?${query}'}\n\
         - match: {path_prefix: /r}\n  redirect: {to: 'https://b.test/?a=b&${query}'}\n",
        &[],
    );
    let client = H2::connect(lb.web());
    for (target, wanted) in [
        (
            "/p/a%20b?c=d&e=%26f",
            "https://login.test/?rd=http%3A%2F%2Fa.test%2Fp%2Fa%2520b%3Fc%3Dd%26e%3D%2526f&x=1",
        ),
        ("/p", "https://login.test/?rd=http%3A%2F%2Fa.test%2Fp&x=1"),
        ("/q", "https://b.test/q"),
        ("/q?", "https://b.test/q"),
        ("/q?a", "https://b.test/q?a"),
        ("/r", "https://b.test/?a=b"),
        ("/r?c", "https://b.test/?a=b&c"),
    ] {
        let one = lb.get(target, &[("Host", "a.test")]);
        assert_eq!(one.header("location"), Some(wanted), "{target}");
        let two = client.get(target, &[]).unwrap();
        assert_eq!(two.header("location"), Some(wanted), "{target}");
    }
}

#[test]
fn the_asterisk_leads_to_the_root_of_another_host() {
    let lb = routed("- {redirect: {to: 'https://a.test${uri}'}}\n", &[]);
    for target in ["*", "http://b.test"] {
        let response = lb
            .client()
            .request("OPTIONS", target, &[("Host", "b.test")], b"");
        let response = response.unwrap();
        assert_eq!(
            response.header("location"),
            Some("https://a.test/"),
            "{target}"
        );
    }
}

#[test]
fn an_address_is_guarded_however_it_is_written() {
    let origin = Origin::start("a");
    let lb = routed(
        "- {match: {host: ['[2001:DB8::1]', 192.0.2.1]}, respond: {status: 403}}\n- {pool: a}\n",
        &[&origin],
    );
    for (host, status) in [
        ("[2001:db8::1]", 403),
        ("[2001:db8:0:0:0:0:0:1]:80", 403),
        ("[2001:0DB8::0.0.0.1]", 403),
        ("[2001:db8::2]", 200),
        ("192.0.2.1:80", 403),
        ("192.0.2.2", 200),
    ] {
        assert_eq!(super::status(&lb, "GET", host, "/", &[]), status, "{host}");
    }
}

#[test]
fn a_prefix_that_is_taken_away_leaves_no_segment_of_parameters() {
    let origin = Origin::start("a");
    let lb = routed(
        "- {match: {path_prefix: /api}, rewrite: {prefix: /}, pool: a}\n",
        &[&origin],
    );
    let mut client = lb.client();
    for (target, seen) in [
        ("/api;s=1/x;t=2", "/x;t=2"),
        ("/api;s=1", "/;s=1"),
        ("/api%3bs/../api;s/", "/"),
    ] {
        assert_eq!(client.get(target, &[]).unwrap().status, 200);
        assert_eq!(origin.last_request().target, seen, "{target}");
    }
}

#[test]
fn a_split_of_pools_whose_sessions_look_alike_is_refused() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let listener = "routes:\n- {split: [{pool: a, weight: 1}, {pool: b, weight: 1}]}\n";
    let yaml = yaml(listener, &named(&[&a, &b])).replace(
        "    servers: [{",
        "    persistence: {type: cookie_insert, token: name}\n    servers: [{name: s1, ",
    );
    let exit = Equipoise::run_to_exit(&yaml);
    assert_eq!(exit.status.code(), Some(2));
    let problem = "split[1].pool: a server `s1` is in pool `a`, too";
    assert!(exit.stderr.contains(problem), "{}", exit.stderr);
}

#[test]
fn a_reload_gives_nobody_a_turn_twice() {
    let (a, b, shadow) = (
        Origin::start("a"),
        Origin::start("b"),
        Origin::start("shadow"),
    );
    let routes = |more: &str| {
        let routes = format!(
            "routes:\n\
             - {{match: {{path: /split}}, split: [{{pool: a, weight: 1}}, {{pool: b, weight: 1}}]}}\n\
             - {{match: {{path: /copied}}, pool: a, mirror: {{pool: shadow, ratio: 0.5}}}}\n{more}"
        );
        yaml(&routes, &named(&[&a, &b, &shadow]))
    };
    let lb = Equipoise::start(&routes(""));
    let reloads = || lb.metrics().sum("equipoise_config_reloads_total", &[]);
    let mut seen = Vec::new();
    for turn in 0..6 {
        seen.push(lb.get("/split", &[]).origin().to_owned());
        lb.get("/copied", &[]);
        let before = reloads();
        lb.rewrite(&routes(&format!("- {{match: {{path: /{turn}}}}}\n")));
        lb.signal(Signal::SIGHUP);
        eventually(SOON, || reloads() > before);
    }
    assert_eq!(seen, ["a", "b", "a", "b", "a", "b"]);
    eventually(SOON, || shadow.served() == 3);
}
