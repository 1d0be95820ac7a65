//! The same request through another proxy and through Equipoise, and what each made of it: for the oracles of
//! session persistence.

use std::net::SocketAddr;

use crate::common::{Answer, Client, Origin, get};

/// Three servers behind both proxies; `c` is down.
pub struct Bench {
    pub origins: [Origin; 3],
}

/// What a proxy made of a request, which it got four times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub decision: Decision,
    /// `Set-Cookie` lines, in order; a cookie's value that names the server which answered reads `@`.
    pub set: Vec<String>,
    /// The `Cookie` lines that the server got.
    pub got: Vec<String>,
    /// Whether shared caches are told to keep off.
    pub private: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// All four went there.
    Follows(String),
    /// They were spread.
    Balances,
    /// They were answered with that status by the proxy itself.
    Refuses(u16),
}

pub fn follows(server: &str) -> Decision {
    Decision::Follows(server.to_owned())
}

impl Bench {
    pub fn new() -> Self {
        let origins = ["a", "b", "c"].map(|name| Origin::with(name, script));
        origins[2].stop();
        Self { origins }
    }

    /// Free requests until they alternate: a proxy that charges bound requests to their server's share (ours) makes up for
    /// them first, and would seem to follow the other server.
    #[track_caller]
    pub fn settle(proxy: SocketAddr) {
        let answered = || {
            let response = get(proxy, "/", &[]);
            response.origin().to_owned()
        };
        let mut last = answered();
        for _ in 0..500 {
            let next = answered();
            if next != last {
                return;
            }
            last = next;
        }
        panic!("all free requests go to {last}");
    }

    /// Sends it four times, each on a connection of its own.
    #[track_caller]
    pub fn ask(&self, proxy: SocketAddr, target: &str, cookies: &[&str]) -> Outcome {
        let each: Vec<_> = (0..4)
            .map(|_| self.ask_once(proxy, target, cookies))
            .collect();
        let (server, mut outcome) = each[0].clone();
        for (_, other) in &each {
            assert_eq!(
                (&other.set, &other.got, other.private),
                (&outcome.set, &outcome.got, outcome.private),
                "one and the same request {target} {cookies:?}"
            );
        }
        let same = each.iter().all(|(s, _)| *s == server);
        outcome.decision = match (server, same) {
            (Ok(server), true) => Decision::Follows(server),
            (Err(status), true) => Decision::Refuses(status),
            _ => Decision::Balances,
        };
        outcome
    }

    #[track_caller]
    fn ask_once(
        &self,
        proxy: SocketAddr,
        target: &str,
        cookies: &[&str],
    ) -> (Result<String, u16>, Outcome) {
        let mut headers: Vec<_> = cookies.iter().map(|line| ("Cookie", *line)).collect();
        headers.push(("Connection", "close"));
        let response = Client::connect(proxy)
            .request("GET", target, &headers, b"")
            .unwrap();
        let Some(server) = response.header("x-origin").map(str::to_owned) else {
            let outcome = Outcome {
                decision: Decision::Balances,
                set: Vec::new(),
                got: Vec::new(),
                private: false,
            };
            return (Err(response.status), outcome);
        };
        let names = |value: &str| {
            [
                server.clone(),
                format!(".{server}"),
                format!(".route-{server}"),
            ]
            .contains(&value.to_owned())
        };
        let set = response.headers_of("set-cookie").into_iter().map(|line| {
            let (pair, rest) = line.split_at(line.find(';').unwrap_or(line.len()));
            let (name, value) = pair.split_once('=').unwrap();
            match value.split_once('~') {
                _ if names(value) => format!("{name}=@{rest}"),
                Some((token, own)) if names(token) => format!("{name}=@~{own}{rest}"),
                _ => line.to_owned(),
            }
        });
        let origin = self.origins.iter().find(|o| o.name() == server).unwrap();
        let got = origin.last_request();
        let outcome = Outcome {
            decision: Decision::Balances,
            set: set.collect(),
            got: got
                .headers_of("cookie")
                .iter()
                .map(|&l| l.to_owned())
                .collect(),
            private: response.has_token("cache-control", "private"),
        };
        (Ok(server), outcome)
    }
}

fn script(request: &crate::common::Request) -> Answer {
    let path = request.target.split(['?', ';']).next().unwrap_or_default();
    match path {
        "/set" => Answer::ok()
            .header("Set-Cookie", "other=1; Path=/x")
            .header("Set-Cookie", "X=val; Path=/; HttpOnly")
            .header("Set-Cookie", "X2=\"9\""),
        "/two" => Answer::ok()
            .header("Set-Cookie", "X=1; Path=/one")
            .header("Set-Cookie", "X=2; Path=/two"),
        "/quoted" => Answer::ok().header("Set-Cookie", "X=\"v 1\"; Path=/"),
        "/delete" => Answer::ok().header("Set-Cookie", "X=; Max-Age=0; Path=/"),
        "/fake" => Answer::ok()
            .header("Set-Cookie", "SERVERID=fake; Path=/")
            .header("Set-Cookie", "y=1"),
        "/public" => Answer::ok().header("Cache-Control", "public, max-age=60"),
        _ => Answer::ok(),
    }
}
