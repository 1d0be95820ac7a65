//! By seed: combinations of good requests arrive as they were sent, and mutated ones never as something else.

use std::io::Write;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::good::{mutated, request};
use super::recorder::{Recorder, Seen};
use super::strict::{self, Message, Reading, latin1};
use crate::common::*;

/// Load balancers with a server each would be many processes: one, with a listener and a server for each worker.
struct Workers {
    lb: Equipoise,
    origins: Vec<Recorder>,
}

impl Workers {
    fn start(count: usize) -> Self {
        let origins: Vec<_> = (0..count).map(|_| Recorder::start()).collect();
        let (mut listeners, mut pools) = (String::new(), String::new());
        for (n, origin) in origins.iter().enumerate() {
            let address = origin.address();
            listeners.push_str(&format!(
                "  w{n}:\n    bind: \"127.0.0.1:0\"\n    pool: p{n}\n    http: {{keepalive_requests: 0}}\n"
            ));
            pools.push_str(&format!(
                "  p{n}:\n    health_check: null\n    servers: [{{name: s, address: \"{address}\"}}]\n"
            ));
        }
        let lb = Equipoise::start(&format!("listeners:\n{listeners}pools:\n{pools}"));
        Self { lb, origins }
    }

    /// Runs `job` with seeds, in all workers at once. What it complains of is told with its seed.
    #[track_caller]
    fn run(
        &self,
        seeds: u64,
        job: impl Fn(&mut StdRng, std::net::SocketAddr, &Recorder) -> Result<(), String> + Sync,
    ) {
        let wrong: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .origins
                .iter()
                .enumerate()
                .map(|(n, origin)| {
                    let to = self.lb.address(&format!("w{n}"));
                    let job = &job;
                    let step = self.origins.len();
                    scope.spawn(move || -> Vec<String> {
                        (n as u64..seeds)
                            .step_by(step)
                            .filter_map(|seed| {
                                let mut random = StdRng::seed_from_u64(seed);
                                let error = job(&mut random, to, origin).err()?;
                                Some(format!("seed {seed}: {error}"))
                            })
                            .collect()
                    })
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|t| t.join().unwrap())
                .collect()
        });
        assert!(
            wrong.is_empty(),
            "{} of {seeds}:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(5)].join("\n")
        );
        assert!(
            !self.lb.stderr().contains("panicked"),
            "{}",
            self.lb.stderr()
        );
    }
}

/// The last of a connection.
const LAST: &[u8] = b"GET /last HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// What the bytes are to the strict reader, and whether they end in the middle of a request.
fn understand(wire: &[u8]) -> (Vec<Message>, bool) {
    let (mut messages, mut at) = (Vec::new(), 0);
    loop {
        let mut empty = 0;
        while wire[at..].starts_with(b"\r\n") && empty < 3 {
            at += 2;
            empty += 1;
        }
        match strict::read(&wire[at..]) {
            Reading::Whole(message, length) => {
                at += length;
                let keeps = message.keeps();
                messages.push(message);
                if !keeps {
                    return (messages, false);
                }
            }
            Reading::Part => return (messages, true),
            Reading::Broken(_) => return (messages, false),
        }
    }
}

/// Whether the server got what the client sent, apart from what a proxy changes.
fn agrees(sent: &Message, got: &Message) -> Result<(), String> {
    let all = |message: &Message, name: &str| -> Vec<String> {
        message.all(name).iter().map(|v| (*v).to_owned()).collect()
    };
    let framing = |message: &Message| {
        let chunked = !message.all("transfer-encoding").is_empty();
        (chunked, all(message, "content-length"))
    };
    let same = sent.method() == got.method()
        && origin_form(sent) == got.target()
        && got.line.ends_with(" HTTP/1.1")
        && (hosts(sent) == all(got, "host") || sent.all("host").iter().all(|h| h.is_empty()))
        && framing(sent) == framing(got)
        && sent.body == got.body
        && all(sent, "cookie") == all(got, "cookie");
    let hops = [
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "proxy-connection",
        "http2-settings",
    ];
    let clean = !got.frills && hops.iter().all(|name| got.all(name).is_empty());
    if same && clean {
        Ok(())
    } else {
        Err(format!("sent {sent:?}\ngot  {got:?}"))
    }
}

/// A target in absolute form, without its scheme.
fn absolute(message: &Message) -> Option<&str> {
    let target = message.target();
    let lower = target.to_ascii_lowercase();
    let schemes = ["http://", "https://"];
    let scheme = schemes.iter().find(|s| lower.starts_with(**s))?;
    Some(&target[scheme.len()..])
}

/// The host that the server gets: the target's, if that names one.
fn hosts(message: &Message) -> Vec<String> {
    match absolute(message) {
        Some(rest) => vec![rest.split(['/', '?']).next().unwrap().to_owned()],
        None => message
            .all("host")
            .iter()
            .map(|host| (*host).to_owned())
            .collect(),
    }
}

/// The target that the server gets.
fn origin_form(message: &Message) -> String {
    let encoded = [('"', "%22"), ('<', "%3C"), ('>', "%3E"), ('`', "%60")];
    encoded
        .iter()
        .fold(path_form(message), |target, (odd, encoded)| {
            target.replace(*odd, encoded)
        })
}

fn path_form(message: &Message) -> String {
    let Some(rest) = absolute(message) else {
        return message.target().to_owned();
    };
    let path = rest.find(['/', '?']).map_or("", |at| &rest[at..]);
    match path {
        "" if message.method() == "OPTIONS" => "*".to_owned(),
        _ if path.starts_with('/') => path.to_owned(),
        _ => format!("/{path}"),
    }
}

/// Whole requests that the server got.
fn requests(seen: Vec<Seen>) -> Result<Vec<Message>, String> {
    seen.into_iter()
        .filter_map(|seen| match seen {
            Seen::Request(message) => Some(Ok(message)),
            Seen::Torn(_) => None,
            Seen::Broken(what) => Some(Err(format!("the server got {what}"))),
        })
        .collect()
}

#[test]
fn good_requests_arrive_as_they_were_sent_however_their_bytes_come() {
    let workers = Workers::start(4);
    workers.run(400, |random, to, origin| {
        let mut wire: Vec<u8> = (0..random.random_range(1..12))
            .flat_map(|_| request(random))
            .collect();
        wire.extend_from_slice(LAST);
        let (sent, part) = understand(&wire);
        assert!(
            !part && sent.last().unwrap().target() == "/last",
            "{}",
            latin1(&wire)
        );
        let mark = origin.mark();
        let mut client = Client::connect(to);
        client.set_timeout(Duration::from_secs(10));
        let reader = std::thread::scope(|scope| {
            let mut pieces = Vec::new();
            let mut rest = &wire[..];
            while !rest.is_empty() {
                let most = *[1, 3, 20, 200, 20_000].choose(random).unwrap();
                let size = random.random_range(1..=rest.len().min(most));
                pieces.push(&rest[..size]);
                rest = &rest[size..];
            }
            let mut writer = client.sender();
            let sender =
                scope.spawn(move || pieces.iter().try_for_each(|piece| writer.write_all(piece)));
            let mut answers = Vec::new();
            for message in &sent {
                answers.push(client.read_response(message.method() == "HEAD"));
            }
            let _ = sender.join().unwrap();
            answers
        });
        for (message, answer) in sent.iter().zip(reader) {
            let answer = answer.map_err(|e| format!("{}: {e}", message.line))?;
            let text = if message.method() == "HEAD" {
                ""
            } else {
                message.target()
            };
            if answer.status != 200 || answer.text() != text {
                return Err(format!("{}: {answer}", message.line));
            }
        }
        let got = requests(origin.since(mark))?;
        if got.len() != sent.len() {
            return Err(format!("{} sent, {} arrived", sent.len(), got.len()));
        }
        sent.iter()
            .zip(&got)
            .try_for_each(|(sent, got)| agrees(sent, got))
    });
}

#[test]
fn a_mutated_request_never_arrives_as_something_else() {
    let workers = Workers::start(4);
    workers.run(4000, |random, to, origin| {
        let mut wire: Vec<u8> = (0..random.random_range(1..4))
            .flat_map(|_| request(random))
            .collect();
        wire = mutated(wire, random);
        wire.extend_from_slice(LAST);
        let (sent, part) = understand(&wire);
        let mark = origin.mark();
        let mut client = Client::connect(to);
        client.set_timeout(Duration::from_secs(10));
        // It may be refused before all of it has been taken.
        let _ = client.send(&wire);
        if part {
            client.finish();
        }
        let answers = client.read_to_end();
        let told = || format!("{:?} (part: {part})", latin1(&wire));
        if let Err(error) = answers
            && error.kind() != std::io::ErrorKind::ConnectionReset
        {
            return Err(format!("the connection stays open: {}", told()));
        }
        let got = requests(origin.since(mark)).map_err(|e| format!("{e}, of {}", told()))?;
        if got.len() > sent.len() {
            return Err(format!(
                "{} are there, {got:?} arrived, of {}",
                sent.len(),
                told()
            ));
        }
        for (sent, got) in sent.iter().zip(&got) {
            agrees(sent, got).map_err(|e| format!("{e}\nof {}", told()))?;
        }
        Ok(())
    });
}
