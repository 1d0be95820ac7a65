//! A row of the table, and what is done with it.

use std::net::SocketAddr;
use std::time::Duration;

use super::recorder::{Recorder, Seen};
use super::strict::{Message, bytes};
use crate::common::*;

/// What a request is to come to.
#[derive(Debug, Clone)]
pub enum Want {
    /// Answered with that status and the connection closed. The server has seen nothing of it, nor of what came behind.
    Refused(u16),
    /// The same; but if what is wrong with its body comes later than its header, the server may have seen its beginning,
    /// never its end.
    Cut(u16),
    /// It is never complete, and so never is for the server.
    Unfinished,
    /// The server gets this, and the connection goes on.
    Forwarded(Wanted),
}

/// What the server is to see.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    line: String,
    /// Content-Length and Transfer-Encoding, all of them.
    framing: Vec<String>,
    body: Vec<u8>,
    /// Fields with exactly these values.
    has: Vec<(String, String)>,
    /// Fields that are not there, beside those of [`HOPS`].
    lacks: Vec<String>,
    /// The client's connection ends after it.
    last: bool,
    /// It is a handshake of WebSocket.
    upgrade: bool,
}

#[derive(Debug, Clone)]
pub struct Case {
    pub what: String,
    pub wire: Vec<u8>,
    pub want: Want,
}

/// Fields of one hop that no server may ever see.
const HOPS: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
];

/// The request that comes before and behind.
const GOOD: &str = "GET /good HTTP/1.1\r\nHost: good.test\r\n\r\n";

pub fn refused(status: u16, what: &str, wire: &str) -> Case {
    case(what, wire, Want::Refused(status))
}

pub fn cut(status: u16, what: &str, wire: &str) -> Case {
    case(what, wire, Want::Cut(status))
}

pub fn unfinished(what: &str, wire: &str) -> Case {
    case(what, wire, Want::Unfinished)
}

/// `framing`: empty, or the one field as the server sees it.
pub fn forwarded(what: &str, wire: &str, line: &str, framing: &str, body: &str) -> Case {
    let wanted = Wanted {
        line: line.to_owned(),
        framing: (!framing.is_empty())
            .then(|| framing.to_owned())
            .into_iter()
            .collect(),
        body: bytes(body),
        ..Wanted::default()
    };
    case(what, wire, Want::Forwarded(wanted))
}

fn case(what: &str, wire: &str, want: Want) -> Case {
    Case {
        what: what.to_owned(),
        wire: bytes(wire),
        want,
    }
}

impl Case {
    fn wanted(mut self, change: impl FnOnce(&mut Wanted)) -> Self {
        match &mut self.want {
            Want::Forwarded(wanted) => change(wanted),
            other => panic!("{}: {other:?} sees nothing", self.what),
        }
        self
    }

    /// The server sees these fields and no others of the name.
    pub fn has(self, name: &str, value: &str) -> Self {
        self.wanted(|it| it.has.push((name.to_owned(), value.to_owned())))
    }

    /// The server sees no such field.
    pub fn lacks(self, name: &str) -> Self {
        self.wanted(|it| it.lacks.push(name.to_owned()))
    }

    /// The client's connection ends with the answer.
    pub fn last(self) -> Self {
        self.wanted(|it| it.last = true)
    }

    /// The server sees a handshake of WebSocket.
    pub fn upgrade(self) -> Self {
        self.wanted(|it| it.upgrade = true)
    }

    /// Whether its fault can come to light only when its header has been handed on.
    fn is_late(&self) -> bool {
        const READ_AT_ONCE: usize = 8 * 1024;
        match self.want {
            Want::Unfinished => true,
            Want::Cut(_) => self.wire.len() > READ_AT_ONCE,
            Want::Refused(_) | Want::Forwarded(_) => false,
        }
    }

    fn is_head(&self) -> bool {
        let start = self.wire.iter().position(u8::is_ascii_graphic);
        start.is_some_and(|at| self.wire[at..].starts_with(b"HEAD "))
    }
}

impl Wanted {
    pub fn check(&self, message: &Message) -> Result<(), String> {
        if message.line != self.line {
            return Err(format!("the server got the line {:?}", message.line));
        }
        let framing: Vec<String> = message
            .fields
            .iter()
            .filter(|(name, _)| {
                ["content-length", "transfer-encoding"].contains(&&*name.to_ascii_lowercase())
            })
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        if framing != self.framing {
            return Err(format!("the server got {framing:?}"));
        }
        if message.body != self.body {
            let body = message.body.escape_ascii();
            return Err(format!("the server got the body {body}"));
        }
        if message.frills {
            return Err("the server got chunk extensions or trailers".to_owned());
        }
        for (name, value) in &self.has {
            if message.all(name) != [value.as_str()] {
                return Err(format!("{name} is {:?}", message.all(name)));
            }
        }
        let hops = HOPS
            .iter()
            .copied()
            .filter(|name| !(self.upgrade && ["connection", "upgrade"].contains(name)));
        for name in hops.chain(self.lacks.iter().map(String::as_str)) {
            if !message.all(name).is_empty() {
                return Err(format!("the server got {name}: {:?}", message.all(name)));
            }
        }
        Ok(())
    }
}

/// Sends every row in every way. Rows that aren't as wanted are told all together.
#[track_caller]
pub fn check(cases: &[Case]) {
    let origin = Recorder::start();
    let lb = Setup::new()
        .server_at("recorder", &origin.address().to_string(), "")
        .start();
    let mut wrong = Vec::new();
    for way in Way::ALL {
        for (n, case) in cases.iter().enumerate() {
            if way != Way::InPieces && case.is_late() {
                continue;
            }
            let mark = origin.mark();
            let came = way.send(case, n, lb.web());
            // What is answered was handed on before, or never is.
            let result =
                came.and_then(|()| way.compare(case, &way.of_interest(origin.since(mark))));
            if let Err(why) = result {
                wrong.push(format!("{}, {way:?}: {why}", case.what));
            }
            // And nothing of it is left in a connection to the server.
            let mark = origin.mark();
            let next = good(&mut Client::connect(lb.web()), true);
            let rest = way.of_interest(origin.since(mark));
            if next.is_err() || !matches!(&rest[..], [Seen::Request(m)] if is_good(m)) {
                wrong.push(format!("{}, {way:?}: then {next:?} {rest:?}", case.what));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} rows:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    assert!(!lb.stderr().contains("panicked"), "{}", lb.stderr());
    lb.wait_idle();
}

/// How a row is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Alone,
    /// With a good one behind, in one write.
    Before,
    /// With a good one before and behind, in one write.
    Between,
    /// In two writes, and a good one behind. The last of all: see [`Way::of_interest`].
    InPieces,
}

impl Way {
    const ALL: [Self; 4] = [Self::Alone, Self::Before, Self::Between, Self::InPieces];

    /// What of that counts. A request whose body goes wrong later may have begun to arrive; it never ends, and nobody
    /// knows when its server notices.
    fn of_interest(self, mut seen: Vec<Seen>) -> Vec<Seen> {
        seen.retain(|seen| self != Self::InPieces || !matches!(seen, Seen::Torn(_)));
        seen
    }

    /// Sends, and looks at what comes back.
    fn send(self, case: &Case, n: usize, to: SocketAddr) -> Result<(), String> {
        let mut client = Client::connect(to);
        client.set_timeout(Duration::from_secs(5));
        let good_before = self == Self::Between;
        let good_behind = self != Self::Alone;
        let mut wire = Vec::new();
        if good_before {
            wire.extend_from_slice(GOOD.as_bytes());
        }
        wire.extend_from_slice(&case.wire);
        if good_behind && !matches!(case.want, Want::Unfinished) {
            wire.extend_from_slice(GOOD.as_bytes());
        }
        let at = if self == Self::InPieces {
            1 + n * 7 % (case.wire.len() - 1)
        } else {
            wire.len()
        };
        let sent = client
            .send(&wire[..at])
            .and_then(|()| client.send(&wire[at..]));
        sent.map_err(|e| format!("not taken: {e}"))?;
        if good_before {
            good(&mut client, false).map_err(|e| format!("the one before: {e}"))?;
        }
        match &case.want {
            Want::Refused(status) | Want::Cut(status) => {
                let response = client
                    .read_response(case.is_head())
                    .map_err(|e| format!("no answer: {e}"))?;
                if response.status != *status {
                    return Err(format!("answered {}", response.status));
                }
                if response.header("x-request-id").is_none() {
                    return Err(format!("not our page: {response}"));
                }
                if !client.is_closed_by_peer() {
                    return Err("not closed".to_owned());
                }
            }
            Want::Unfinished => {
                client.finish();
                // An answer, if there is one, says no.
                let rest = client.read_to_end().map_err(|e| format!("open: {e}"))?;
                if rest.starts_with(b"HTTP/1.1 200") {
                    return Err("answered 200".to_owned());
                }
            }
            Want::Forwarded(wanted) => {
                let response = client
                    .read_response(case.is_head())
                    .map_err(|e| format!("no answer: {e}"))?;
                if response.status != 200 {
                    return Err(format!("answered {}", response.status));
                }
                if wanted.last {
                    if !client.is_closed_by_peer() {
                        return Err("not closed".to_owned());
                    }
                } else if good_behind {
                    good(&mut client, false).map_err(|e| format!("the one behind: {e}"))?;
                }
            }
        }
        Ok(())
    }

    /// Looks at what the server has seen.
    fn compare(self, case: &Case, seen: &[Seen]) -> Result<(), String> {
        let mut rest = seen;
        if self == Self::Between {
            let [Seen::Request(first), others @ ..] = rest else {
                return Err(format!("the server got {rest:?}"));
            };
            if !is_good(first) {
                return Err(format!("the server got {first:?} first"));
            }
            rest = others;
        }
        match &case.want {
            Want::Refused(_) | Want::Cut(_) | Want::Unfinished if rest.is_empty() => Ok(()),
            Want::Forwarded(wanted) => {
                let good_behind = self != Self::Alone && !wanted.last;
                match rest {
                    [Seen::Request(message)] if !good_behind => wanted.check(message),
                    [Seen::Request(message), Seen::Request(good)]
                        if good_behind && is_good(good) =>
                    {
                        wanted.check(message)
                    }
                    _ => Err(format!("the server got {rest:?}")),
                }
            }
            _ => Err(format!("the server got {rest:?}")),
        }
    }
}

fn is_good(message: &Message) -> bool {
    message.line == "GET /good HTTP/1.1" && message.all("host") == ["good.test"]
}

/// The answer to the good one, which is sent before if it hasn't been.
fn good(client: &mut Client, send: bool) -> Result<(), String> {
    if send {
        client.send(GOOD).map_err(|e| e.to_string())?;
    }
    let response = client.read_response(false).map_err(|e| e.to_string())?;
    if response.status == 200 && response.text() == "/good" {
        Ok(())
    } else {
        Err(format!("{} {}", response.status, response.text()))
    }
}

/// A request with these fields beside Host; they end in CRLF each.
pub fn get(fields: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n")
}

/// The same with a body.
pub fn post(fields: &str, body: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n{body}")
}

/// What is to be smuggled.
pub const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
