//! An application with sessions, and visitors with cookie jars and addresses of their own: so that one test can
//! say what is true of every type of persistence.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::common::*;

/// The types of persistence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Insert,
    InsertName,
    Rewrite,
    Prefix,
    Route,
    RouteCookie,
    Learn,
    SourceIp,
}

impl Type {
    /// The pool's `persistence`, for [`application`]; `more` are further keys in flow style.
    pub fn yaml(self, more: &str) -> String {
        let own = match self {
            Self::Insert => "type: cookie_insert",
            Self::InsertName => "type: cookie_insert, token: name, timeout: 0",
            Self::Rewrite => "type: cookie_rewrite, cookie: app",
            Self::Prefix => "type: cookie_prefix, cookie: app",
            Self::Route => "type: route, cookie: app",
            Self::RouteCookie => "type: route, cookie: none, insert: {cookie: ROUTEID}",
            Self::Learn => "type: learn, cookie: app",
            Self::SourceIp => "type: source_ip",
        };
        let comma = if more.is_empty() { "" } else { ", " };
        format!("persistence: {{{own}{comma}{more}}}")
    }
}

static NEXT_SESSION: AtomicUsize = AtomicUsize::new(0);

/// An application server of that name, as they are: it sets its cookie `app` whenever a request brings none of the
/// sessions that it has. The session id ends in the server's name, like Tomcat's with its `jvmRoute`.
pub fn application(name: &str) -> Origin {
    let origin = Origin::start(name);
    serve_sessions(&origin);
    origin
}

/// Makes an origin such an application, with no session.
pub fn serve_sessions(origin: &Origin) {
    let name = origin.name().to_owned();
    let sessions = Mutex::new(BTreeSet::new());
    origin.script(move |request| {
        let mine = request
            .headers_of("cookie")
            .iter()
            .flat_map(|line| line.split("; "))
            .filter_map(|pair| pair.strip_prefix("app="))
            .any(|id| sessions.lock().contains(id));
        if mine {
            return Answer::ok();
        }
        let id = format!(
            "{:08X}.{name}",
            NEXT_SESSION.fetch_add(1, Ordering::Relaxed)
        );
        sessions.lock().insert(id.clone());
        Answer::ok().header("Set-Cookie", &format!("app={id}; Path=/; HttpOnly"))
    });
}

/// A browser: an address, and a jar of cookies.
#[derive(Clone)]
pub struct Visitor<'a> {
    lb: &'a Equipoise,
    from: IpAddr,
    jar: Vec<(String, String)>,
}

impl<'a> Visitor<'a> {
    /// One that was never here, at a loopback address that no other visitor has.
    pub fn new(lb: &'a Equipoise) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let from = Ipv4Addr::new(127, 1, (n / 250) as u8, (n % 250 + 1) as u8);
        Self {
            lb,
            from: from.into(),
            jar: Vec::new(),
        }
    }

    /// One whose session is with `server`, and settled: a second request went there as well.
    #[track_caller]
    pub fn with(lb: &'a Equipoise, server: &str) -> Self {
        for _ in 0..20 {
            let mut visitor = Self::new(lb);
            if visitor.get("/").origin() == server {
                assert_eq!(
                    visitor.get("/").origin(),
                    server,
                    "the session's second request"
                );
                return visitor;
            }
        }
        panic!("no session with {server}");
    }

    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        let mut client = self.send(target);
        let response = client.read_response(false).unwrap();
        self.keep(&response);
        response
    }

    /// Sends a request; the response is to be read by the caller.
    #[track_caller]
    pub fn send(&self, target: &str) -> Client {
        let mut client = Client::connect_from(self.from, self.lb.web());
        let cookies = self.cookies();
        let mut headers = vec![("Connection", "close")];
        if !cookies.is_empty() {
            headers.push(("Cookie", &cookies));
        }
        client.send_request("GET", target, &headers, b"").unwrap();
        client
    }

    /// The jar as a `Cookie` field has it.
    pub fn cookies(&self) -> String {
        let cookies: Vec<_> = self.jar.iter().map(|(n, v)| format!("{n}={v}")).collect();
        cookies.join("; ")
    }

    /// Puts what a response sets into the jar.
    pub fn keep(&mut self, response: &Response) {
        for line in response.headers_of("set-cookie") {
            let pair = line.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').unwrap();
            self.jar.retain(|(n, _)| n != name);
            self.jar.push((name.to_owned(), value.to_owned()));
        }
    }
}
