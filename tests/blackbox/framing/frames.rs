//! Sends requests over HTTP/2, and looks at what the server got of them.

use super::case::{Case, Want};
use super::recorder::{Recorder, Seen};
use super::strict::bytes;
use crate::common::h2::{
    DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Outcome, PROTOCOL_ERROR, block_of_bytes,
};
use crate::common::*;

/// Names and values, a character a byte.
pub type Fields<'a> = Vec<(&'a str, &'a str)>;

/// A load balancer before a server that records.
pub struct Rig {
    origin: Recorder,
    lb: Equipoise,
    wrong: Vec<String>,
}

impl Rig {
    pub fn start() -> Self {
        let origin = Recorder::start();
        let address = origin.address().to_string();
        let lb = Setup::new().server_at("recorder", &address, "").start();
        Self {
            origin,
            lb,
            wrong: Vec::new(),
        }
    }

    /// Sends a request, and a good one on the same connection. Returns how the first ended and what the server got of it.
    fn send(
        &mut self,
        what: &str,
        fields: &Fields<'_>,
        body: Option<&str>,
        trailers: &[(&str, &str)],
    ) -> (Outcome, Vec<Seen>) {
        let mark = self.origin.mark();
        let mut client = Frames::connect(self.lb.web());
        let end = |last: bool| if last { END_STREAM } else { 0 };
        let block = |fields: &[(&str, &str)]| {
            let fields: Vec<_> = fields.iter().map(|(n, v)| (bytes(n), bytes(v))).collect();
            let fields: Vec<_> = fields.iter().map(|(n, v)| (&n[..], &v[..])).collect();
            block_of_bytes(&fields)
        };
        let flags = END_HEADERS | end(body.is_none());
        // Whoever refuses the header need not read the rest.
        let _ = client.send(HEADERS, flags, 1, &block(fields));
        if let Some(body) = body {
            let _ = client.send(DATA, end(trailers.is_empty()), 1, &bytes(body));
        }
        if !trailers.is_empty() {
            let _ = client.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(trailers));
        }
        let outcome = client.outcome(1);
        if matches!(outcome, Outcome::GoAway(_) | Outcome::Closed) {
            client = Frames::connect(self.lb.web());
        }
        let _ = client.get(3);
        let next = client.outcome(3);
        if next != Outcome::Status(200) {
            self.wrong.push(format!("{what}: then {next:?}"));
        }
        let mut seen = self.origin.since(mark);
        seen.retain(|seen| !matches!(seen, Seen::Torn(_)));
        match seen.pop() {
            Some(Seen::Request(good)) if good.line == "GET / HTTP/1.1" => {}
            other => self
                .wrong
                .push(format!("{what}: the server got {other:?} at last")),
        }
        (outcome, seen)
    }

    pub fn refused(
        &mut self,
        what: &str,
        fields: &Fields<'_>,
        body: Option<&str>,
        trailers: &[(&str, &str)],
    ) {
        let (outcome, seen) = self.send(what, fields, body, trailers);
        let no = matches!(
            outcome,
            Outcome::Status(400 | 405 | 417)
                | Outcome::Reset(PROTOCOL_ERROR)
                | Outcome::GoAway(PROTOCOL_ERROR)
        );
        if !no || !seen.is_empty() {
            self.wrong
                .push(format!("{what}: {outcome:?}, and the server got {seen:?}"));
        }
    }

    pub fn forwarded(
        &mut self,
        case: &Case,
        fields: &Fields<'_>,
        body: Option<&str>,
        trailers: &[(&str, &str)],
    ) {
        let (outcome, seen) = self.send(&case.what, fields, body, trailers);
        let Want::Forwarded(wanted) = &case.want else {
            panic!("{} is not to be forwarded", case.what);
        };
        let checked = match &seen[..] {
            [Seen::Request(message)] => wanted.check(message),
            other => Err(format!("the server got {other:?}")),
        };
        if outcome != Outcome::Status(200) || checked.is_err() {
            self.wrong
                .push(format!("{}: {outcome:?} {checked:?}", case.what));
        }
    }

    #[track_caller]
    pub fn finish(self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        assert!(
            !self.lb.stderr().contains("panicked"),
            "{}",
            self.lb.stderr()
        );
        self.lb.wait_idle_servers();
    }
}
