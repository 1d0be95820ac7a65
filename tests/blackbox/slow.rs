//! SPEC section 8: clients that are slow on purpose, by the thousand, and what everybody else notices of them: nothing.

mod http1;
mod http2;
mod rate;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::common::served::{Head, Served, pour, swallow};
use crate::common::*;

/// How many attack at once.
const ATTACKERS: usize = 1000;

/// A server of any number of connections: it reads every body, and answers with as many bytes as the path says
/// (`/1000`), otherwise with `ok`.
fn server() -> Served {
    Served::by(|mut stream| async move {
        let mut pending = Vec::new();
        while let Some(head) = Head::read(&mut stream, pending).await? {
            let body = head.length();
            let have = (head.rest.len() as u64).min(body);
            swallow(&mut stream, body - have).await?;
            pending = head.rest[have as usize..].to_vec();
            answer(&mut stream, &head).await?;
        }
        Ok(())
    })
}

async fn answer(stream: &mut tokio::net::TcpStream, head: &Head) -> io::Result<()> {
    use tokio::io::AsyncWriteExt;
    let length: u64 = head.path().trim_matches('/').parse().unwrap_or(2);
    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(text.as_bytes()).await?;
    match (head.method(), length) {
        ("HEAD", _) => Ok(()),
        (_, 2) => stream.write_all(b"ok").await,
        _ => pour(stream, length).await,
    }
}

fn behind(server: &Served, http: &str) -> Equipoise {
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .unwrap()
        .1;
    assert!(
        limit as usize > 3 * ATTACKERS,
        "the hard limit of file descriptors is {limit}: too few for {ATTACKERS} attackers (ulimit -Hn)"
    );
    Setup::new()
        .server_at("a", &server.address().to_string(), "")
        .listener(&format!("http: {{keepalive_requests: 0, {http}}}"))
        .start()
}

/// Runs an attack beside ordinary clients, on connections that last and on new ones, over HTTP/1 and HTTP/2: every one
/// of their requests has to be answered while it lasts, and afterwards nothing may be left of it.
#[track_caller]
fn undisturbed<T: Send>(lb: &Equipoise, attack: impl FnOnce() -> T + Send) -> T {
    let to = lb.web();
    let before = descriptors(lb);
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let until_over = |mut request: Box<dyn FnMut() -> u16 + '_>| {
        while !over.load(Ordering::SeqCst) {
            assert_eq!(request(), 200);
            served.fetch_add(1, Ordering::SeqCst);
        }
    };
    // An attack is five seconds of work for a processor, and while it lasts everybody waits for their turn: with a tenth of a
    // processor that is nearly a minute. One that isn't defended against stops everybody for good.
    let patience = Duration::from_secs(60);
    let came_of_it = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Client::connect(to);
            client.set_timeout(patience);
            until_over(Box::new(move || client.get("/", &[]).unwrap().status));
        });
        scope.spawn(|| {
            until_over(Box::new(|| {
                let mut client = Client::connect(to);
                client.set_timeout(patience);
                let body = vec![b'y'; 10_000];
                let headers = [("Connection", "close")];
                client
                    .request("POST", "/20000", &headers, &body)
                    .unwrap()
                    .status
            }));
        });
        scope.spawn(|| {
            let client = h2::H2::connect(to);
            until_over(Box::new(move || client.get("/", &[]).unwrap().status));
        });
        let _over = Over(&over);
        attack()
    });
    let served = served.load(Ordering::SeqCst);
    // Several of each kind. How many more depends on how fast the machine is, and how soon the attack is over.
    assert!(served > 12, "only {served} ordinary requests beside it");
    lb.wait_idle();
    // What is kept to the servers isn't the attack's.
    eventually(SOON, || {
        let now = descriptors(lb);
        if now < before + 160 {
            Ok(())
        } else {
            Err(format!("{now} open files, {before} before"))
        }
    });
    came_of_it
}

/// Says so even if what it is dropped by is a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Open file descriptors.
fn descriptors(lb: &Equipoise) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", lb.pid()))
        .unwrap()
        .count()
}

/// Waits for that many lines of the access log, or more, with that status and termination.
#[track_caller]
fn wait_logged(lb: &Equipoise, status: u16, termination: &str, wanted: usize) {
    eventually(SOON, || {
        let lines = lb.access_log();
        let is_wanted =
            |line: &&Value| line["status"] == status && line["termination"] == termination;
        let found = lines.iter().filter(is_wanted).count();
        if found >= wanted {
            Ok(())
        } else {
            let others = lines.iter().filter(|line| !is_wanted(line));
            let others: Vec<_> = others
                .map(|line| (&line["status"], &line["termination"]))
                .take(5)
                .collect();
            Err(format!(
                "{found} of {wanted} with {status} {termination}; others: {others:?}"
            ))
        }
    });
}
