//! HAProxy as the oracle of `cookie_insert`, `cookie_rewrite` and `cookie_prefix`: the same requests through both
//! have to come to the same decisions, and each side has to see the same headers, but for the differences below.

use std::net::SocketAddr;

use super::oracle::{Bench, Decision, Outcome, follows};
use crate::common::peers::Haproxy;
use crate::common::{Equipoise, Setup, get};

/// Both, with the same servers behind.
struct Pair {
    bench: Bench,
    haproxy: Haproxy,
    equipoise: Equipoise,
}

impl Pair {
    /// With `cookie …` of HAProxy's manual, and our `persistence`. `token: name` makes the values the same;
    /// what is signed needs no comparison.
    #[track_caller]
    fn new(haproxy: &str, equipoise: &str) -> Self {
        let bench = Bench::new();
        let servers: String = bench
            .origins
            .iter()
            .map(|o| {
                format!(
                    "    server {0} {1} cookie {0} check inter 200 fall 1\n",
                    o.name(),
                    o.address()
                )
            })
            .collect();
        let haproxy = Haproxy::start(&format!(
            "listen web\n    bind @PORT@\n    balance roundrobin\n    retries 1\n    option redispatch 1\n    cookie {haproxy}\n{servers}"
        ));
        let equipoise = Setup::of(&bench.origins)
            .pool(&format!("persistence: {{{equipoise}}}"))
            .start();
        Self {
            bench,
            haproxy,
            equipoise,
        }
    }

    fn insert() -> Self {
        Self::new(
            "SERVERID insert indirect nocache",
            "type: cookie_insert, token: name, timeout: 0, http_only: false, same_site: omit",
        )
    }

    fn rewrite() -> Self {
        Self::new(
            "X rewrite nocache",
            "type: cookie_rewrite, cookie: X, token: name",
        )
    }

    fn prefix() -> Self {
        Self::new(
            "X prefix nocache",
            "type: cookie_prefix, cookie: X, token: name",
        )
    }

    #[track_caller]
    fn theirs(&self, target: &str, cookies: &[&str]) -> Outcome {
        Bench::settle(self.haproxy.address());
        self.bench.ask(self.haproxy.address(), target, cookies)
    }

    #[track_caller]
    fn ours(&self, target: &str, cookies: &[&str]) -> Outcome {
        let to: SocketAddr = self.equipoise.web();
        Bench::settle(to);
        self.bench.ask(to, target, cookies)
    }

    /// Both have to do the same, which is `decision`.
    #[track_caller]
    fn agree(&self, target: &str, cookies: &[&str], decision: Decision) {
        let (mut theirs, mut ours) = (self.theirs(target, cookies), self.ours(target, cookies));
        let sets = ours.set.iter().any(|line| line.contains("=@"));
        assert_eq!(ours.private, sets, "{ours:?}");
        // See `differs_in_what_is_private`.
        (theirs.private, ours.private) = (false, false);
        for outcome in [&mut theirs, &mut ours] {
            for line in &mut outcome.set {
                // Attribute names have no case (RFC 6265 section 5.2): HAProxy writes `path`, we write `Path`.
                *line = line.replace("SERVERID=@; path=/", "SERVERID=@; Path=/");
            }
            // Which of several lines is first means nothing: only the order of the server's own is kept.
            outcome
                .set
                .sort_by_key(|line| line.starts_with("SERVERID="));
        }
        assert_eq!(ours, theirs, "ours and HAProxy's for {target} {cookies:?}");
        assert_eq!(ours.decision, decision, "{target} {cookies:?}");
    }
}

#[test]
fn insert() {
    let pair = Pair::insert();
    for (target, cookies, decision) in [
        ("/", &[][..], Decision::Balances),
        ("/", &["x=1"], Decision::Balances),
        ("/", &["SERVERID=a"], follows("a")),
        ("/", &["SERVERID=b"], follows("b")),
        ("/", &["x=1; SERVERID=b; y=\"2 3\""], follows("b")),
        ("/", &["SERVERID=b; y=2"], follows("b")),
        ("/", &["x=1; SERVERID=b"], follows("b")),
        // Names match whole, and with their case.
        ("/", &["MYSERVERID=b"], Decision::Balances),
        ("/", &["SERVERIDS=b"], Decision::Balances),
        ("/", &["serverid=b"], Decision::Balances),
        // What names no server is none, and is cut out all the same.
        ("/", &["SERVERID=nobody; y=1"], Decision::Balances),
        ("/", &["SERVERID="], Decision::Balances),
        // Of several the first valid one counts.
        ("/", &["SERVERID=nobody; SERVERID=b"], follows("b")),
        ("/", &["SERVERID=a; SERVERID=b"], follows("a")),
        ("/", &["x=1; SERVERID=b", "SERVERID=a; z=2"], follows("b")),
        // Its server is down: another one, and its cookie.
        ("/", &["SERVERID=c"], Decision::Balances),
        // A server's own cookie of that name is dropped.
        ("/fake", &[], Decision::Balances),
        ("/fake", &["SERVERID=a"], follows("a")),
        ("/set", &["SERVERID=a"], follows("a")),
    ] {
        pair.agree(target, cookies, decision);
    }
}

/// We keep shared caches off every response that sets the cookie; HAProxy's `nocache` only those that say of themselves
/// that they may be cached. RFC 9111 section 4.2.2 lets a cache store others too, by its own guess.
#[test]
fn differs_in_what_is_private() {
    for pair in [Pair::insert(), Pair::rewrite(), Pair::prefix()] {
        assert!(!pair.theirs("/set", &[]).private);
        assert!(pair.ours("/set", &[]).private);
    }
}

/// With `nocache` HAProxy adds a line `private` below the server's `public`, which contradict each other. We make
/// one consistent statement.
#[test]
fn insert_differs_in_what_becomes_of_public() {
    let pair = Pair::insert();
    let of = |to: SocketAddr| {
        let lines = get(to, "/public", &[]);
        lines.headers_of("cache-control").join(" / ")
    };
    assert_eq!(of(pair.haproxy.address()), "public, max-age=60 / private");
    assert_eq!(of(pair.equipoise.web()), "max-age=60, private");
}

#[test]
fn rewrite() {
    let pair = Pair::rewrite();
    for (target, cookies, decision) in [
        // A response without it is left alone.
        ("/", &[][..], Decision::Balances),
        ("/public", &[], Decision::Balances),
        ("/set", &[], Decision::Balances),
        ("/two", &[], Decision::Balances),
        ("/", &["X=b"], follows("b")),
        ("/set", &["X=b"], follows("b")),
        // The request passes through as the client sent it.
        ("/", &["q=1; X=b; r=\"2 3\""], follows("b")),
        ("/", &["q=1", "X=a; r=2"], follows("a")),
        ("/", &["X=nobody"], Decision::Balances),
        ("/", &["X=nobody; X=a"], follows("a")),
        ("/", &["X2=a; xX=b"], Decision::Balances),
        // Its server is down: another one; with a new cookie if that one sets it.
        ("/set", &["X=c"], Decision::Balances),
        ("/", &["X=c"], Decision::Balances),
    ] {
        pair.agree(target, cookies, decision);
    }
}

/// HAProxy replaces the value with its quotes, and knows no token within quotes again. We replace what is in them, and read
/// both: a quoted value and a bare one are the same cookie to most applications.
#[test]
fn rewrite_differs_in_a_quoted_value() {
    let pair = Pair::rewrite();
    let line = |to: SocketAddr| {
        let response = get(to, "/quoted", &[]);
        let line = response.set_cookie("X").unwrap();
        // `a` is also in `Path`.
        let (value, path) = line.split_once(';').unwrap();
        format!("{};{path}", value.replace(response.origin(), "@"))
    };
    assert_eq!(line(pair.haproxy.address()), "X=@; Path=/");
    assert_eq!(line(pair.equipoise.web()), "X=\"@\"; Path=/");
    let cookies = &["X=\"b\""];
    assert_eq!(pair.theirs("/", cookies).decision, Decision::Balances);
    assert_eq!(pair.ours("/", cookies).decision, follows("b"));
}

/// HAProxy writes its token into a cookie that is being deleted, too. The browser deletes it either way; we leave
/// alone what carries no session.
#[test]
fn rewrite_differs_in_a_cookie_that_is_deleted() {
    let pair = Pair::rewrite();
    assert_eq!(pair.theirs("/delete", &[]).set, ["X=@; Max-Age=0; Path=/"]);
    assert_eq!(pair.ours("/delete", &[]).set, ["X=; Max-Age=0; Path=/"]);
}

#[test]
fn prefix() {
    let pair = Pair::prefix();
    for (target, cookies, decision) in [
        ("/", &[][..], Decision::Balances),
        ("/public", &[], Decision::Balances),
        ("/set", &[], Decision::Balances),
        ("/two", &[], Decision::Balances),
        ("/", &["X=b~val"], follows("b")),
        ("/set", &["X=b~val"], follows("b")),
        ("/", &["q=1; X=b~val; r=\"2 3\""], follows("b")),
        ("/", &["q=1", "X=a~val; r=2"], follows("a")),
        ("/", &["X=b~1; X=a~2"], follows("b")),
        // The server's value may have the separator, too.
        ("/", &["X=b~a~2"], follows("b")),
        // A value from before we were there.
        ("/", &["X=plain"], Decision::Balances),
        ("/", &["X2=a~1; xX=b~1"], Decision::Balances),
        // Its server is down: the next one gets its value, and its own token.
        ("/", &["X=c~val"], Decision::Balances),
        ("/set", &["X=c~val"], Decision::Balances),
    ] {
        pair.agree(target, cookies, decision);
    }
}

/// As for rewrite.
#[test]
fn prefix_differs_in_a_cookie_that_is_deleted() {
    let pair = Pair::prefix();
    assert_eq!(pair.theirs("/delete", &[]).set, ["X=@~; Max-Age=0; Path=/"]);
    assert_eq!(pair.ours("/delete", &[]).set, ["X=; Max-Age=0; Path=/"]);
}

/// Should a client put the whole value within quotes, HAProxy cuts the opening one off with its token, and follows nothing. The
/// server gets from us what it had set, within quotes.
#[test]
fn prefix_differs_in_a_quoted_value() {
    let pair = Pair::prefix();
    assert_eq!(pair.theirs("/", &["X=\"b~v\""]).got, ["X=v\""]);
    let ours = pair.ours("/", &["X=\"b~v\""]);
    assert_eq!(
        (ours.decision, ours.got),
        (follows("b"), vec!["X=\"v\"".to_owned()])
    );
}

/// HAProxy cuts what is before a `~` off any value, a server's name or not. We cut what is ours only: a value that the
/// server's own scripts have written reaches it whole.
#[test]
fn prefix_differs_in_a_value_that_only_looks_prefixed() {
    let pair = Pair::prefix();
    for value in ["no one~val", "~val", "{\"k\": 1}~val"] {
        let cookie = format!("X={value}");
        assert_eq!(pair.theirs("/", &[&cookie]).got, ["X=val"]);
        assert_eq!(pair.ours("/", &[&cookie]).got, [cookie]);
    }
}

/// A quoted value names the same server to us; to HAProxy the quotes are part of the name.
#[test]
fn insert_differs_in_a_quoted_value() {
    let pair = Pair::insert();
    assert_eq!(
        pair.theirs("/", &["SERVERID=\"b\""]).decision,
        Decision::Balances
    );
    assert_eq!(pair.ours("/", &["SERVERID=\"b\""]).decision, follows("b"));
}

/// With `token: name` all that could be a name is one, of a server that was there before: it is cut.
#[test]
fn prefix_of_an_unknown_name() {
    let pair = Pair::prefix();
    for (cookies, decision) in [
        (&["X=nobody~val"][..], Decision::Balances),
        (&["X=nobody~1; X=a~2"], follows("a")),
        (&["X=b~"], follows("b")),
    ] {
        pair.agree("/", cookies, decision);
    }
}
