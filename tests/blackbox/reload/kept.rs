//! Clients that keep their connections over a reload, idle or with requests under way: what they ask for next is held to
//! the new configuration, however long ago the last answer was.

use super::reload;
use crate::common::h2::H2;
use crate::common::*;

/// A connection that is kept.
enum Kept {
    Http1(Box<Client>),
    Http2(H2),
}

impl Kept {
    #[track_caller]
    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Response {
        match self {
            Self::Http1(client) => client.request(method, path, &[], body).unwrap(),
            Self::Http2(client) => client.request(method, path, &[], body).unwrap(),
        }
    }

    #[track_caller]
    fn get(&mut self, path: &str) -> Response {
        self.ask("GET", path, b"")
    }
}

/// A listener with TLS and one without, whose requests go the same way.
struct Edge {
    lb: Equipoise,
    certificate: Issued,
    pki: Pki,
}

/// `listener` are lines of both listeners, `pools` those of all pools.
fn yaml(certificate: &Issued, listener: &str, pools: &str) -> String {
    let listener: String = listener.lines().map(|l| format!("    {l}\n")).collect();
    format!(
        "listeners:\n  web:\n    bind: \"127.0.0.1:0\"\n{listener}  \
         secure:\n    bind: \"127.0.0.1:0\"\n    protocol: https\n    \
         tls: {{certificates: [{{cert: {}, key: {}}}]}}\n{listener}pools:\n{pools}",
        certificate.cert.display(),
        certificate.key.display()
    )
}

/// A pool without checks.
fn pool(name: &str, origin: &Origin, more: &str) -> String {
    format!(
        "  {name}: {{health_check: null, {more}servers: [{{name: {}, address: \"{}\"}}]}}\n",
        origin.name(),
        origin.address()
    )
}

impl Edge {
    #[track_caller]
    fn start(listener: &str, pools: &str) -> Self {
        let pki = Pki::new();
        let certificate = pki.leaf(&["a.test"]);
        let lb = Equipoise::start(&yaml(&certificate, listener, pools));
        Self {
            lb,
            certificate,
            pki,
        }
    }

    #[track_caller]
    fn reload(&self, listener: &str, pools: &str) {
        reload(&self.lb, &yaml(&self.certificate, listener, pools));
    }

    /// One of each kind, each of which has had an answer already; the last has a request under way.
    #[track_caller]
    fn clients(&self, held_by: &Origin) -> (Vec<(&'static str, Kept)>, UnderWay) {
        let tls = Tls::new(&self.pki, "a.test");
        let busy = H2::connect(self.lb.web());
        let mut clients = vec![
            ("HTTP/1", Kept::Http1(Box::new(self.lb.client()))),
            (
                "HTTP/1 over TLS",
                Kept::Http1(Box::new(tls.connect(self.lb.address("secure")))),
            ),
            ("HTTP/2", Kept::Http2(H2::connect(self.lb.web()))),
        ];
        for (kind, client) in &mut clients {
            let first = client.get("/");
            assert_eq!(first.status, 200, "{kind}: {first}");
        }
        let (response, _) = busy.open("GET", "/held", &[], true).unwrap();
        held_by.wait_held(1);
        clients.push(("HTTP/2 with a request under way", Kept::Http2(busy)));
        (clients, UnderWay(response))
    }
}

/// A request that was sent before the reload.
struct UnderWay(::h2::client::ResponseFuture);

impl UnderWay {
    /// It ends as it began.
    #[track_caller]
    fn ends_well(self, origin: &Origin, clients: &[(&str, Kept)]) {
        origin.release_all();
        let Some((_, Kept::Http2(client))) = clients.last() else {
            panic!("the last is the one");
        };
        assert_eq!(client.run(self.0).unwrap().status(), 200);
    }
}

fn origin(name: &str) -> Origin {
    Origin::with(name, |request| match request.target.as_str() {
        "/held" | "/slow" => Answer::held(),
        _ => Answer::ok(),
    })
}

#[test]
fn a_new_deny_counts() {
    let a = origin("a");
    let pools = pool("app", &a, "");
    let edge = Edge::start("pool: app", &pools);
    let (mut clients, under_way) = edge.clients(&a);
    let deny = "pool: app\nroutes: [{match: {path_prefix: /secret}, deny: [127.0.0.0/8]}]";
    edge.reload(deny, &pools);
    for (kind, client) in &mut clients {
        assert_eq!(client.get("/secret/1").status, 403, "{kind}");
        assert_eq!(client.get("/").status, 200, "{kind}");
    }
    edge.reload("pool: app", &pools);
    for (kind, client) in &mut clients {
        assert_eq!(client.get("/secret/2").status, 200, "{kind}");
    }
    under_way.ends_well(&a, &clients);
    assert!(a.requests().iter().all(|seen| seen.target != "/secret/1"));
}

#[test]
fn a_removed_server_is_asked_no_more() {
    let (a, b) = (origin("a"), origin("b"));
    let edge = Edge::start("pool: old", &pool("old", &a, ""));
    let (mut clients, under_way) = edge.clients(&a);
    edge.reload("pool: new", &pool("new", &b, ""));
    for (kind, client) in &mut clients {
        assert_eq!(client.get("/").origin(), "b", "{kind}");
    }
    under_way.ends_well(&a, &clients);
    a.stop();
    for (kind, client) in &mut clients {
        let response = client.get("/");
        assert_eq!((response.status, response.origin()), (200, "b"), "{kind}");
    }
}

#[test]
fn another_server_at_the_same_name_is_asked() {
    let (a, b) = (origin("a"), origin("b"));
    let edge = Edge::start("pool: app", &pool("app", &a, ""));
    let (mut clients, under_way) = edge.clients(&a);
    edge.reload("pool: app", &pool("app", &b, ""));
    for (kind, client) in &mut clients {
        assert_eq!(client.get("/").origin(), "b", "{kind}");
    }
    under_way.ends_well(&a, &clients);
}

#[test]
fn edits_of_fields_count() {
    let a = origin("a");
    let pools = pool("app", &a, "");
    let edge = Edge::start("pool: app", &pools);
    let (mut clients, under_way) = edge.clients(&a);
    let edits = "pool: app\nhttp: {server_header: balance}\n\
                 routes: [{request_headers: {set: {X-New: seen}}, response_headers: {set: {X-Answer: said}}}]";
    edge.reload(edits, &pools);
    for (kind, client) in &mut clients {
        let response = client.get("/edited");
        assert_eq!(response.header("x-answer"), Some("said"), "{kind}");
        assert_eq!(response.header("server"), Some("balance"), "{kind}");
        let seen = a.requests();
        let asked = seen.iter().rfind(|request| request.target == "/edited");
        assert_eq!(asked.unwrap().header("x-new"), Some("seen"), "{kind}");
    }
    under_way.ends_well(&a, &clients);
}

#[test]
fn other_limits_count() {
    let a = origin("a");
    let pools = pool("app", &a, "");
    let edge = Edge::start("pool: app", &pools);
    let (mut clients, under_way) = edge.clients(&a);
    let limits = "pool: app\nhttp: {max_body_size: 10, max_uri_length: 100}";
    edge.reload(limits, &pools);
    let long = format!("/{}", "x".repeat(200));
    for (kind, client) in &mut clients {
        // HTTP/1 closes after what it refuses, so that each gets one of them.
        let refused = match client {
            Kept::Http1(_) => client.ask("POST", "/", &[b'x'; 100]).status,
            Kept::Http2(_) => {
                assert_eq!(client.get(&long).status, 414, "{kind}");
                client.ask("POST", "/", &[b'x'; 100]).status
            }
        };
        assert_eq!(refused, 413, "{kind}");
    }
    let mut fresh = edge.lb.client();
    edge.reload("pool: app", &pools);
    assert_eq!(
        fresh.get(&long, &[]).unwrap().status,
        200,
        "a first request, too"
    );
    under_way.ends_well(&a, &clients);
}

#[test]
fn other_timeouts_count() {
    let a = origin("a");
    let edge = Edge::start("pool: app", &pool("app", &a, ""));
    let (mut clients, under_way) = edge.clients(&a);
    let short = "timeouts: {receive: 200ms}, retries: {attempts: 0}, ";
    edge.reload("pool: app", &pool("app", &a, short));
    for (kind, client) in &mut clients {
        assert_eq!(client.get("/slow").status, 504, "{kind}");
    }
    edge.reload(
        "pool: app\nhttp: {keepalive_requests: 1}",
        &pool("app", &a, ""),
    );
    let mut last = edge.lb.client();
    last.send("GET /half HTTP/1.1\r\n").unwrap();
    edge.reload(
        "pool: app\nhttp: {server_header: late}",
        &pool("app", &a, ""),
    );
    last.send("Host: a\r\n\r\n").unwrap();
    let response = last.read_response(false).unwrap();
    assert_eq!(
        response.header("server"),
        Some("late"),
        "the head came after"
    );
    assert!(!response.has_token("connection", "close"));
    under_way.ends_well(&a, &clients);
}
