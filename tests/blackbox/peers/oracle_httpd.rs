//! Apache httpd's mod_proxy_balancer as the oracle of `route` and of `insert: {cookie: ROUTEID}`: the same requests
//! through both have to come to the same decisions, but for the differences below.

use super::oracle::{Bench, Decision, Outcome, follows};
use crate::common::peers::Apache;
use crate::common::{Equipoise, Setup};

struct Pair {
    bench: Bench,
    httpd: Apache,
    equipoise: Equipoise,
}

impl Pair {
    #[track_caller]
    fn new(httpd: &str, header: &str, equipoise: &str) -> Self {
        let bench = Bench::new();
        let members: String = bench
            .origins
            .iter()
            .map(|o| {
                format!(
                    "  BalancerMember http://{} route=route-{}\n",
                    o.address(),
                    o.name()
                )
            })
            .collect();
        let httpd = Apache::balancer(&format!(
            "{header}\n<Proxy balancer://app>\n{members}  ProxySet {httpd}\n</Proxy>\nProxyPass / balancer://app/\n"
        ));
        let equipoise = bench
            .origins
            .iter()
            .fold(Setup::new(), |setup, o| {
                setup.server(o, &format!("route: route-{}", o.name()))
            })
            .pool(&format!("persistence: {{{equipoise}}}"))
            .start();
        Self {
            bench,
            httpd,
            equipoise,
        }
    }

    /// As the tutorial and httpd's manual have it.
    #[track_caller]
    fn routeid(httpd: &str, equipoise: &str) -> Self {
        Self::new(
            &format!("stickysession=ROUTEID {httpd}"),
            "Header add Set-Cookie \"ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/\" env=BALANCER_ROUTE_CHANGED",
            &format!(
                "type: route, insert: {{cookie: ROUTEID, http_only: false, same_site: omit}}{equipoise}"
            ),
        )
    }

    #[track_caller]
    fn jsessionid() -> Self {
        Self::new(
            "stickysession=JSESSIONID|jsessionid",
            "",
            "type: route, query_parameter: jsessionid",
        )
    }

    #[track_caller]
    fn theirs(&self, target: &str, cookies: &[&str]) -> Outcome {
        Bench::settle(self.httpd.address());
        let mut outcome = self.bench.ask(self.httpd.address(), target, cookies);
        for line in &mut outcome.set {
            *line = line.replace("; path=/", "; Path=/");
        }
        outcome
    }

    #[track_caller]
    fn ours(&self, target: &str, cookies: &[&str]) -> Outcome {
        Bench::settle(self.equipoise.web());
        self.bench.ask(self.equipoise.web(), target, cookies)
    }

    #[track_caller]
    fn agree(&self, target: &str, cookies: &[&str], decision: Decision) {
        let (theirs, mut ours) = (self.theirs(target, cookies), self.ours(target, cookies));
        assert_eq!(ours.private, !ours.set.is_empty(), "{ours:?}");
        // The manual's `Header add` says nothing to caches; we do whenever we set it.
        ours.private = false;
        assert_eq!(ours, theirs, "ours and httpd's for {target} {cookies:?}");
        assert_eq!(ours.decision, decision, "{target} {cookies:?}");
    }
}

#[test]
fn routeid() {
    let pair = Pair::routeid("", "");
    for (cookies, decision) in [
        // No route yet: it is set.
        (&[][..], Decision::Balances),
        (&["x=1"], Decision::Balances),
        // The route it names: followed, not set again, passed on.
        (&["ROUTEID=.route-a"], follows("a")),
        (&["ROUTEID=.route-b"], follows("b")),
        (&["x=1; ROUTEID=.route-b; y=\"2 3\""], follows("b")),
        (&["ROUTEID=.route-b; ROUTEID=.route-a"], follows("b")),
        // None of ours: balanced, and set.
        (&["ROUTEID=.nobody"], Decision::Balances),
        (&["ROUTEID=route-b"], Decision::Balances),
        (&["ROUTEID="], Decision::Balances),
        (&["MYROUTEID=.route-b"], Decision::Balances),
        (&["ROUTEIDS=.route-b"], Decision::Balances),
        // Its server is down: another one, and its route.
        (&["ROUTEID=.route-c"], Decision::Balances),
    ] {
        pair.agree("/", cookies, decision);
    }
}

/// `nofailover=On` is our `on_unavailable: reject`.
#[test]
fn routeid_without_failover() {
    let pair = Pair::routeid("nofailover=On", ", on_unavailable: reject");
    pair.agree("/", &["ROUTEID=.route-c"], Decision::Refuses(503));
    pair.agree("/", &["ROUTEID=.route-b"], follows("b"));
    pair.agree("/", &[], Decision::Balances);
}

#[test]
fn jsessionid() {
    let pair = Pair::jsessionid();
    for (target, cookies, decision) in [
        ("/p", &["JSESSIONID=0A.route-b"][..], follows("b")),
        ("/p", &["x=\"1\"; JSESSIONID=0A.route-a"], follows("a")),
        ("/p", &["JSESSIONID=0A"], Decision::Balances),
        ("/p", &["JSESSIONID=0A.route-c"], Decision::Balances),
        ("/p", &["XJSESSIONID=0A.route-b"], Decision::Balances),
        ("/p;jsessionid=0A.route-b", &[], follows("b")),
        ("/p;jsessionid=0A.route-b?x=1", &[], follows("b")),
        ("/p;v=1;jsessionid=0A.route-a", &[], follows("a")),
        ("/p?jsessionid=0A.route-b", &[], follows("b")),
        ("/p?x=1&jsessionid=0A.route-b&y=2", &[], follows("b")),
        ("/p;jsessionid=0A.nobody", &[], Decision::Balances),
    ] {
        pair.agree(target, cookies, decision);
    }
}

/// A cookie is followed before the URL, as Tomcat does it (a session id in a cookie overrides the URL's), or a link
/// that somebody else has sent would tear a visitor from the server that has the session. httpd looks at the URL first.
#[test]
fn jsessionid_differs_in_what_comes_first() {
    let pair = Pair::jsessionid();
    let (target, cookies) = ("/p;jsessionid=0A.route-a", &["JSESSIONID=1B.route-b"]);
    assert_eq!(pair.theirs(target, cookies).decision, follows("a"));
    assert_eq!(pair.ours(target, cookies).decision, follows("b"));
}

/// What follows the last separator is the route; httpd takes what follows the first. An id that has the separator in it
/// is followed by us only; a route that has it, by httpd only (`check` could not know which one was meant).
#[test]
fn jsessionid_differs_in_an_id_with_several_separators() {
    let pair = Pair::jsessionid();
    assert_eq!(
        pair.theirs("/", &["JSESSIONID=0A.1B.route-b"]).decision,
        Decision::Balances
    );
    assert_eq!(
        pair.ours("/", &["JSESSIONID=0A.1B.route-b"]).decision,
        follows("b")
    );
}

/// httpd finds the parameter's name anywhere in the URL, also as the end of another name. We match it whole.
#[test]
fn jsessionid_differs_in_a_name_that_only_ends_like_it() {
    let pair = Pair::jsessionid();
    let target = "/p;xjsessionid=0A.route-b";
    assert_eq!(pair.theirs(target, &[]).decision, follows("b"));
    assert_eq!(pair.ours(target, &[]).decision, Decision::Balances);
}

/// Parameters of an inner segment count (RFC 3986 section 3.3 gives every segment its own); httpd takes all that
/// follows, slashes and all, for the route.
#[test]
fn jsessionid_differs_in_a_parameter_of_an_inner_segment() {
    let pair = Pair::jsessionid();
    let target = "/p;jsessionid=0A.route-b/q";
    assert_eq!(pair.theirs(target, &[]).decision, Decision::Balances);
    assert_eq!(pair.ours(target, &[]).decision, follows("b"));
}

/// httpd tries a `ROUTEID` whose last part alone names a route as an unknown one: as above.
#[test]
fn routeid_differs_in_a_value_with_several_separators() {
    let pair = Pair::routeid("", "");
    assert_eq!(
        pair.theirs("/", &["ROUTEID=.x.route-b"]).decision,
        Decision::Balances
    );
    assert_eq!(
        pair.ours("/", &["ROUTEID=.x.route-b"]).decision,
        follows("b")
    );
}

/// Of several the first valid one counts; httpd looks at the first one only.
#[test]
fn routeid_differs_in_a_valid_one_after_another() {
    let pair = Pair::routeid("", "");
    let cookies = &["ROUTEID=.nobody; ROUTEID=.route-b"];
    assert_eq!(pair.theirs("/", cookies).decision, Decision::Balances);
    let ours = pair.ours("/", cookies);
    assert_eq!((ours.decision, ours.set.len()), (follows("b"), 0));
}

/// httpd joins several Cookie lines by commas, which no server splits again (RFC 6265 section 5.4 allows one line
/// only, HTTP/2 sends several). We pass them on as they came.
#[test]
fn routeid_differs_in_several_cookie_lines() {
    let pair = Pair::routeid("", "");
    let cookies = &["x=1", "ROUTEID=.route-b"];
    let (theirs, ours) = (pair.theirs("/", cookies), pair.ours("/", cookies));
    assert_eq!(ours.decision, follows("b"));
    assert_eq!(theirs.got, ["x=1, ROUTEID=.route-b"]);
    assert_eq!(ours.got, ["x=1", "ROUTEID=.route-b"]);
}
