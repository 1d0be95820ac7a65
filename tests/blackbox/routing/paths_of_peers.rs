//! Ways around a guarded path that work on real servers don't work through the load balancer.

use super::yaml;
use crate::common::peers::{Nginx, Tomcat};
use crate::common::*;

/// Ways to write the path of a guarded page: with `P` for it, after "Breaking Parser Logic" and the CVEs around it.
const WAYS: [&str; 38] = [
    "/P",
    "//P",
    "///P",
    "/./P",
    "/x/../P",
    "/x/./../P",
    "/x//../P",
    "/%2e/P",
    "/x/%2e%2e/P",
    "/x/.%2e/P",
    "/x/%2E./P",
    "/x%2f..%2fP",
    "/x/..%2fP",
    "/%2fP",
    "/.%2fP",
    "/x/..;/P",
    "/x;y/../P",
    "/;x/P",
    "/x/..;y=z/P",
    "/x/%2e%2e;/P",
    "/x/..%3b/P",
    "/.;/P",
    "/P;",
    "/P;x=y",
    "/P%3bx",
    "/P/.",
    "/P/",
    "/P//",
    "/P/x/..",
    "/P%00",
    "/P%20",
    "/P%2f",
    "/P?x",
    "/P#x",
    "/x\\..\\P",
    "/x/..%5cP",
    "/x/%252e%252e/P",
    "/x/%c0%ae%c0%ae/P",
];

/// Every way, straight and through the load balancer, whose first route refuses the page.
#[track_caller]
fn no_way_leads_around(
    origin: std::net::SocketAddr,
    page: &str,
    secret: &str,
    at_least: usize,
    slashes: &str,
) {
    let listener = format!(
        "http: {{encoded_slashes: {slashes}}}\nroutes:\n\
         - {{match: {{path_prefix: /{page}}}, respond: {{status: 403}}}}\n- {{pool: a}}\n"
    );
    let lb = Equipoise::start(&yaml(&listener, &[("a", origin.to_string())]));
    assert_eq!(lb.get("/", &[]).status, 200);
    let first = page.as_bytes()[0];
    let encoded = format!("%{first:02x}{}", &page[1..]);
    let mut led = 0;
    for way in WAYS {
        for page in [page, &encoded] {
            let target = way.replace('P', page);
            let shows = |to| {
                let mut client = Client::connect(to);
                let response = client.get(&target, &[]);
                response.is_ok_and(|response| response.text().contains(secret))
            };
            led += usize::from(shows(origin));
            assert!(!shows(lb.web()), "{target} leads around");
        }
    }
    assert!(led >= at_least, "only {led} ways led to the page itself");
}

fn nginx() -> Nginx {
    Nginx::start(
        r#"
  server {
    listen @PORT@;
    location / { return 200 "open\n"; }
    location = /guarded { return 200 "SECRET\n"; }
    location /guarded/ { return 200 "SECRET\n"; }
  }"#,
    )
}

#[test]
fn no_way_leads_around_a_route_to_nginx() {
    no_way_leads_around(nginx().address(), "guarded", "SECRET", 30, "refuse");
}

#[test]
fn no_way_leads_around_a_route_to_nginx_where_encoded_slashes_are_kept() {
    no_way_leads_around(nginx().address(), "guarded", "SECRET", 30, "keep");
}

#[test]
fn no_way_leads_around_a_route_to_tomcat() {
    let tomcat = Tomcat::start("t1");
    tomcat
        .dir
        .write("webapps/ROOT/guarded.jsp", "SECRET <%= 1 + 1 %>\n");
    for slashes in ["refuse", "keep"] {
        no_way_leads_around(tomcat.address(), "guarded.jsp", "SECRET", 20, slashes);
    }
}
