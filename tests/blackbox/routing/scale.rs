//! Thousands of hosts and routes.

use std::fmt::Write;

use super::yaml;
use crate::common::*;

const MANY: usize = 4000;

/// A route that answers with its own name.
fn named(condition: &str, name: &str) -> String {
    format!("- {{match: {{{condition}}}, respond: {{body: {name}}}}}\n")
}

#[test]
fn thousands_of_routes_are_loaded_and_each_is_found() {
    let mut routes = String::from("routes:\n");
    for n in 0..MANY {
        routes.push_str(&match n % 4 {
            0 => named(
                &format!("host: h{n}.test, path_prefix: /app"),
                &format!("r{n}"),
            ),
            1 => named(&format!("host: '*.w{n}.test'"), &format!("r{n}")),
            2 => named(&format!("path: /whole/{n}"), &format!("r{n}")),
            _ => named(&format!("path_prefix: /p{n}/x"), &format!("r{n}")),
        });
    }
    let lb = Equipoise::start(&yaml(&routes, &[]));
    let mut client = lb.client();
    for n in (0..MANY).step_by(97).chain(MANY - 4..MANY) {
        let (host, target) = match n % 4 {
            0 => (format!("h{n}.test"), "/app/x".to_owned()),
            1 => (format!("a.b.w{n}.test"), "/x".to_owned()),
            2 => ("a.test".to_owned(), format!("/whole/{n}")),
            _ => ("a.test".to_owned(), format!("/p{n}/x/y")),
        };
        let response = client.get(&target, &[("Host", &host)]).unwrap();
        assert_eq!(response.text(), format!("r{n}"));
    }
    let nobody = client.get("/x", &[("Host", "w5.test")]).unwrap();
    assert_eq!(nobody.status, 404);
}

#[test]
fn a_route_may_have_thousands_of_hosts() {
    let mut hosts = String::new();
    for n in 0..MANY {
        let _ = write!(hosts, "{}h{n}.test", if n == 0 { "" } else { ", " });
    }
    let routes = format!(
        "routes:\n{}{}",
        named(&format!("host: [{hosts}], path_prefix: /a"), "some"),
        named("", "rest")
    );
    let lb = Equipoise::start(&yaml(&routes, &[]));
    let mut client = lb.client();
    for n in (0..MANY).step_by(411) {
        let host = format!("H{n}.test");
        let headers = [("Host", host.as_str())];
        assert_eq!(client.get("/a/b", &headers).unwrap().text(), "some");
        assert_eq!(client.get("/b", &headers).unwrap().text(), "rest");
    }
}
