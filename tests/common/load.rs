//! Clients that go on while something is done to the instance, and of which not one request may fail.

mod site;

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::client::{Client, Response};
use super::h2::H2;
use super::wait::{SOON, eventually};

pub use site::Site;

/// Within so long after the last request, the next one on a kept connection has to succeed: no connection is closed that was
/// busy within the last second. Later it may cross the server's close, and is asked once more (RFC 9112 section 9.3.1).
const FRESH: Duration = Duration::from_millis(900);
/// A test machine may stand still for a while.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Clients that go on until they are told to stop.
#[derive(Default)]
pub struct Load {
    stop: Arc<AtomicBool>,
    workers: Vec<Worker>,
    slowest: Arc<Mutex<(Duration, &'static str)>>,
}

struct Worker {
    what: &'static str,
    done: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Load {
    /// `work` is one request, or several, and panics if one fails.
    pub fn add(&mut self, what: &'static str, mut work: impl FnMut() + Send + 'static) {
        let (stop, done) = (Arc::clone(&self.stop), Arc::<AtomicUsize>::default());
        let (count, slowest) = (Arc::clone(&done), Arc::clone(&self.slowest));
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                work();
                count.fetch_add(1, Ordering::Relaxed);
                let mut slowest = slowest.lock();
                *slowest = (*slowest).max((began.elapsed(), what));
            }
        });
        self.workers.push(Worker { what, done, thread });
    }

    /// How often each has done its work.
    pub fn done(&self) -> Vec<(&'static str, usize)> {
        let workers = self.workers.iter();
        workers
            .map(|worker| (worker.what, worker.done.load(Ordering::Relaxed)))
            .collect()
    }

    /// The longest that anything took since this was asked last.
    pub fn slowest(&self) -> (Duration, &'static str) {
        std::mem::take(&mut *self.slowest.lock())
    }

    /// Waits until each has done something more.
    #[track_caller]
    pub fn advance(&self) {
        let before = self.done();
        eventually(6 * SOON, || {
            let now = self.done();
            for (worker, ((what, now), (_, before))) in
                self.workers.iter().zip(now.iter().zip(&before))
            {
                assert!(!worker.thread.is_finished(), "{what} failed");
                if now <= before {
                    return Err(format!("{what} is stuck"));
                }
            }
            Ok(())
        });
    }

    /// Has all of them stop. None may have failed. Returns how often all have done their work.
    #[track_caller]
    pub fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.workers.into_iter().map(|worker| {
            let Worker { what, done, thread } = worker;
            thread.join().unwrap_or_else(|_| panic!("{what} failed"));
            let done = done.load(Ordering::Relaxed);
            assert!(done > 0, "{what} did nothing");
            done
        });
        ended.sum()
    }
}

/// A request, and what its answer has to be. `sent` is called when it is on its way.
fn ask_and(client: &mut Client, method: &str, sent: impl FnOnce()) -> io::Result<Response> {
    let body: &[u8] = if method == "POST" { &[b'x'; 3000] } else { b"" };
    client.set_timeout(TIMEOUT);
    client.send_request(method, "/", &[], body)?;
    sent();
    let response = client.read_response(false)?;
    assert_eq!(response.status, 200, "{response}");
    Ok(response)
}

/// A request, and what its answer has to be.
pub fn ask(client: &mut Client, method: &str) -> io::Result<Response> {
    ask_and(client, method, || {})
}

/// Each request on a connection of its own.
pub fn new(
    method: &'static str,
    connect: impl Fn() -> io::Result<Client> + Send + 'static,
) -> impl FnMut() + Send {
    move || {
        let mut client = connect().expect("no connection");
        ask(&mut client, method).expect("no answer");
    }
}

/// One request after the other on a connection that is kept as long as the server keeps it.
pub fn kept(
    method: &'static str,
    connect: impl Fn() -> io::Result<Client> + Send + 'static,
) -> impl FnMut() + Send {
    let mut kept: Option<(Client, Instant)> = None;
    move || {
        let began = Instant::now();
        let reused = kept.take().and_then(|(mut client, last)| {
            let mut idle = None;
            let answer = ask_and(&mut client, method, || idle = Some(last.elapsed()));
            let is_fresh = idle.unwrap_or_else(|| last.elapsed()) < FRESH;
            match answer {
                Ok(response) => Some((client, response)),
                Err(error) if is_fresh => panic!("no answer on a kept connection: {error}"),
                Err(_) => None,
            }
        });
        let (client, response) = reused.unwrap_or_else(|| {
            let mut client = connect().expect("no connection");
            let response = ask(&mut client, method).expect("no answer");
            (client, response)
        });
        if !response.has_token("connection", "close") {
            kept = Some((client, began));
        }
    }
}

/// One request after the other on an HTTP/2 connection, which is followed by another when it has been told to go.
pub fn http2(method: &'static str, connect: impl Fn() -> H2 + Send + 'static) -> impl FnMut() {
    let mut kept: Option<H2> = None;
    let body: &[u8] = if method == "POST" { &[b'x'; 3000] } else { b"" };
    move || {
        for _ in 0..3 {
            let client = kept.take().unwrap_or_else(&connect);
            let answer = match client.open(method, "/", &[], body.is_empty()) {
                Ok((response, mut send)) => client.run(async move {
                    if !body.is_empty() {
                        super::h2::push(&mut send, body.into(), true).await?;
                    }
                    super::h2::whole(response).await
                }),
                // It had been told before that the connection ends: nothing has been sent.
                Err(_) => continue,
            };
            match answer {
                Ok(response) => {
                    assert_eq!(response.status, 200);
                    kept = Some(client);
                    return;
                }
                // Certainly not processed (RFC 9113 section 8.7).
                Err(error) if error.is_go_away() && error.is_remote() => {}
                Err(error) => panic!("an HTTP/2 request failed: {error:?}"),
            }
        }
        panic!("no HTTP/2 connection takes a request");
    }
}

/// Says something and wants it back.
pub fn echo(stream: &mut (impl io::Read + io::Write)) {
    stream.write_all(b"ping").expect("not taken");
    let mut back = [0; 4];
    stream.read_exact(&mut back).expect("nothing came back");
    assert_eq!(&back, b"ping");
}

/// A connection to whatever listens there.
pub fn plain(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A server that says all bytes back.
pub fn echo_server() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut from, mut to) = (&stream, &stream);
                io::copy(&mut from, &mut to).ok();
            });
        }
    });
    address
}
