//! The same attacks over HTTP/2, and the one that only it has: a window that stays shut.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{ATTACKERS, behind, server, undisturbed, wait_logged};
use crate::common::h2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, block,
    frame, request,
};
use crate::common::served::runtime;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Between two bytes of a slow client.
const MOMENT: Duration = Duration::from_millis(500);
/// An attack ends when all are stopped, or after this.
const LONGEST: Duration = Duration::from_secs(80);

/// What each attacker does: its first bytes, and what it sends every moment from then on.
#[derive(Clone)]
struct Attack {
    first: Vec<u8>,
    then: Vec<u8>,
    /// A response's header isn't what it waits for.
    waits_for_body: bool,
}

/// How an attacker is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    /// By a response: the 408.
    Answered,
    Reset,
    /// With its connection.
    SentAway,
    Never,
}

impl Attack {
    fn new(settings: &[u8], frames: &[Vec<u8>], then: Vec<u8>) -> Self {
        let mut first = [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat();
        frames.iter().for_each(|frame| first.extend(frame));
        Self {
            first,
            then,
            waits_for_body: false,
        }
    }

    /// Makes it from [`ATTACKERS`] connections, for at most [`LONGEST`]. How each of them was stopped.
    fn run(&self, to: SocketAddr) -> Vec<Stopped> {
        let runtime = runtime();
        runtime.block_on(async {
            let until = Instant::now() + LONGEST;
            let attackers: Vec<_> = (0..ATTACKERS)
                .map(|_| tokio::spawn(self.clone().one(to, until)))
                .collect();
            let mut stopped = Vec::new();
            for attacker in attackers {
                // A connection that breaks is one that was ended.
                stopped.push(attacker.await.unwrap().unwrap_or(Stopped::SentAway));
            }
            stopped
        })
    }

    async fn one(self, to: SocketAddr, until: Instant) -> io::Result<Stopped> {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(&self.first).await?;
        let mut come = Vec::new();
        while Instant::now() < until {
            match timeout(MOMENT, stream.read_buf(&mut come)).await {
                Ok(Ok(1..)) => {
                    if let Some(stopped) = self.stopped_by(&mut come) {
                        return Ok(stopped);
                    }
                }
                Ok(_) => return Ok(Stopped::SentAway),
                Err(_) => stream.write_all(&self.then).await?,
            }
        }
        Ok(Stopped::Never)
    }

    /// What the whole frames that have come mean; takes them out.
    fn stopped_by(&self, come: &mut Vec<u8>) -> Option<Stopped> {
        while let Some(head) = come.get(..9) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags, whole) = (head[3], head[4], 9 + length);
            if come.len() < whole {
                return None;
            }
            come.drain(..whole);
            match kind {
                GOAWAY => return Some(Stopped::SentAway),
                RST_STREAM => return Some(Stopped::Reset),
                HEADERS if !self.waits_for_body && flags & END_STREAM == 0 => {
                    return Some(Stopped::Answered);
                }
                _ => {}
            }
        }
        None
    }
}

#[track_caller]
fn all(stopped: &[Stopped], how: Stopped) {
    let others: Vec<_> = stopped.iter().filter(|s| **s != how).collect();
    assert!(
        others.is_empty(),
        "not {how:?}: {} {:?}",
        others.len(),
        others.first()
    );
}

#[test]
fn header_blocks_that_trickle_in_disturb_nobody() {
    let (server, fields) = (server(), block(&request("GET", "/")));
    let lb = behind(&server, "header_timeout: 2s");
    let attack = Attack::new(
        &[],
        &[frame(HEADERS, END_STREAM, 1, &fields)],
        // A literal field of one byte each, never the last.
        frame(CONTINUATION, 0, 1, &block(&[("x", "y")])),
    );
    let stopped = undisturbed(&lb, || attack.run(lb.web()));
    all(&stopped, Stopped::SentAway);
    wait_logged(&lb, 408, "client_timeout", ATTACKERS);
}

fn upload() -> Vec<u8> {
    let mut fields = request("POST", "/");
    fields.push(("content-length", "8192"));
    frame(HEADERS, END_HEADERS, 1, &block(&fields))
}

#[test]
fn bodies_that_stop_coming_disturb_nobody() {
    let server = server();
    let lb = behind(&server, "body_timeout: 2s");
    let attack = Attack::new(&[], &[upload(), frame(DATA, 0, 1, b"half")], Vec::new());
    let stopped = undisturbed(&lb, || attack.run(lb.web()));
    all(&stopped, Stopped::Answered);
    wait_logged(&lb, 408, "client_timeout", ATTACKERS);
}

#[test]
fn bodies_that_trickle_in_disturb_nobody() {
    let server = server();
    let lb = behind(&server, "body_timeout: 10s, min_receive_rate: 1KiB");
    let attack = Attack::new(&[], &[upload()], frame(DATA, 0, 1, b"x"));
    let stopped = undisturbed(&lb, || attack.run(lb.web()));
    all(&stopped, Stopped::Answered);
    wait_logged(&lb, 408, "client_timeout", ATTACKERS);
}

#[test]
fn windows_that_stay_shut_disturb_nobody() {
    let server = server();
    let lb = behind(&server, "send_timeout: 2s");
    let get = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &block(&request("GET", "/1000000")),
    );
    // SETTINGS_INITIAL_WINDOW_SIZE = 0
    let attack = Attack::new(&[0, 4, 0, 0, 0, 0], &[get], Vec::new());
    let attack = Attack {
        waits_for_body: true,
        ..attack
    };
    let stopped = undisturbed(&lb, || attack.run(lb.web()));
    all(&stopped, Stopped::Reset);
    wait_logged(&lb, 200, "client_timeout", ATTACKERS);
}
