//! SPEC section 8, `routes`: which route takes a request, in which form its path is compared and passed on, and what
//! routes make of requests and answers.

mod changes;
mod corners;
mod matchers;
mod paths;
mod paths_of_peers;
mod reloading;
mod rewriting;
mod scale;
mod splits;

use std::fmt::Write;

use crate::common::h2::{Frames, Outcome};
use crate::common::*;

/// A configuration of one listener with these lines, and a pool for each of the servers, by their names.
pub fn yaml(listener: &str, servers: &[(&str, String)]) -> String {
    let mut yaml = String::from("listeners:\n  web:\n    bind: \"127.0.0.1:0\"\n");
    for line in listener.lines() {
        let _ = writeln!(yaml, "    {line}");
    }
    yaml.push_str("pools:\n");
    // A pool there must be; nothing goes to it.
    let unused = [("unused", "127.0.0.1:1".to_owned())];
    let servers = if servers.is_empty() { &unused } else { servers };
    for (name, address) in servers {
        let _ = writeln!(
            yaml,
            "  {name}:\n    health_check: null\n    servers: [{{address: \"{address}\"}}]"
        );
    }
    yaml
}

pub fn named<'a>(origins: &[&'a Origin]) -> Vec<(&'a str, String)> {
    let named = origins.iter();
    named
        .map(|origin| (origin.name(), origin.address().to_string()))
        .collect()
}

/// A load balancer with these routes before a pool for each of `origins`.
#[track_caller]
pub fn routed(routes: &str, origins: &[&Origin]) -> Equipoise {
    Equipoise::start(&yaml(&format!("routes:\n{routes}"), &named(origins)))
}

/// The status that a request gets, the same over HTTP/1 and HTTP/2.
#[track_caller]
pub fn status(
    lb: &Equipoise,
    method: &str,
    host: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> u16 {
    let mut fields = vec![("Host", host)];
    fields.extend(headers);
    let mut client = lb.client();
    let http1 = client.request(method, target, &fields, b"").unwrap().status;

    let lower: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), *value))
        .collect();
    let mut fields = vec![
        (":method", method),
        (":scheme", "http"),
        (":authority", host),
        (":path", target),
    ];
    fields.extend(lower.iter().map(|(name, value)| (name.as_str(), *value)));
    let mut client = Frames::connect(lb.web());
    client.headers(1, &fields, true).unwrap();
    match client.outcome(1) {
        Outcome::Status(http2) => assert_eq!(http1, http2, "{method} {host}{target} {headers:?}"),
        other => panic!("{other:?} over HTTP/2 for {method} {host}{target}, {http1} over HTTP/1"),
    }
    http1
}
