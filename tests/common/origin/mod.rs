//! Scripted HTTP/1.1 servers, to stand behind the load balancer and do as a test says.

mod read;
mod serve;

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use socket2::SockRef;

use super::temp::ReservedPort;
use super::wait::{SOON, eventually};

/// Requests to this path are health checks: answered at once with [`Origin::set_health`]'s status,
/// counted apart, not recorded.
pub const HEALTH: &str = "/health";

/// A server on a port of its own that names itself in `X-Origin` and in the body.
pub struct Origin {
    port: ReservedPort,
    shared: Arc<Shared>,
    listener: Mutex<Option<TcpListener>>,
}

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub version: String,
    /// In order, with their case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Which connection of this origin it came on, from 0.
    pub connection: usize,
}

/// What an origin does with a request.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A response.
    Reply(Reply),
    /// Bytes as they are, then close.
    Raw(Vec<u8>),
    /// Close without a word.
    Close,
    /// RST without a word.
    Reset,
    /// Header and this much of a longer body, then RST.
    ResetMidBody(Vec<u8>),
    /// Keep the connection, never answer.
    Never,
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
    /// Wait this long first.
    pub delay: Duration,
    /// Wait for [`Origin::release`] first.
    pub hold: bool,
}

#[derive(Debug, Clone)]
pub enum Body {
    Full(Vec<u8>),
    /// Chunked, each chunk in its own write.
    Chunks(Vec<Vec<u8>>),
    /// Chunked; each chunk after the first waits for [`Origin::release`].
    HeldChunks(Vec<Vec<u8>>),
    /// Without a length: ended by closing.
    UntilClose(Vec<u8>),
}

type Script = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

struct Shared {
    name: String,
    script: Mutex<Script>,
    requests: Mutex<Vec<Request>>,
    record: AtomicBool,
    health: AtomicU16,
    checks: AtomicUsize,
    connections: AtomicUsize,
    served: AtomicUsize,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
    held: AtomicUsize,
    /// How many held answers may still go; `usize::MAX` = all.
    permits: Mutex<usize>,
    permits_changed: Condvar,
    open: Mutex<Vec<(usize, TcpStream)>>,
    stopped: AtomicBool,
}

impl Origin {
    /// Starts one that answers 200 with its name.
    pub fn start(name: &str) -> Self {
        let origin = Self::stopped(name);
        origin.restart();
        origin
    }

    /// As [`Self::start`], with a script.
    pub fn with(name: &str, script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let origin = Self::start(name);
        origin.script(script);
        origin
    }

    /// One whose port refuses until [`Self::restart`].
    pub fn stopped(name: &str) -> Self {
        let shared = Shared {
            name: name.to_owned(),
            script: Mutex::new(Arc::new(|_| Answer::ok())),
            requests: Mutex::new(Vec::new()),
            record: AtomicBool::new(true),
            health: AtomicU16::new(200),
            checks: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            most_in_flight: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            permits: Mutex::new(0),
            permits_changed: Condvar::new(),
            open: Mutex::new(Vec::new()),
            stopped: AtomicBool::new(true),
        };
        Self {
            port: ReservedPort::new(),
            shared: Arc::new(shared),
            listener: Mutex::new(None),
        }
    }

    pub fn name(&self) -> &str {
        &self.shared.name
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Changes what it does from the next request on.
    pub fn script(&self, script: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
        *self.shared.script.lock() = Arc::new(script);
    }

    /// The status that health checks get.
    pub fn set_health(&self, status: u16) {
        self.shared.health.store(status, Ordering::SeqCst);
    }

    /// Stops recording requests, for load.
    pub fn quiet(&self) {
        self.shared.record.store(false, Ordering::SeqCst);
    }

    /// All requests so far, health checks apart.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().clone()
    }

    #[track_caller]
    pub fn last_request(&self) -> Request {
        self.requests()
            .pop()
            .unwrap_or_else(|| panic!("{} got no request", self.name()))
    }

    /// Requests that came in so far.
    pub fn served(&self) -> usize {
        self.shared.served.load(Ordering::SeqCst)
    }

    /// Connections accepted so far, health checks' too.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Health checks (requests to [`HEALTH`]) so far.
    pub fn checks(&self) -> usize {
        self.shared.checks.load(Ordering::SeqCst)
    }

    /// Requests being answered now.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// The most there were at once.
    pub fn most_in_flight(&self) -> usize {
        self.shared.most_in_flight.load(Ordering::SeqCst)
    }

    /// Requests that wait for [`Self::release`] now.
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// Waits until exactly `n` requests are held.
    #[track_caller]
    pub fn wait_held(&self, n: usize) {
        eventually(SOON, || {
            let held = self.held();
            if held == n {
                Ok(())
            } else {
                Err(format!("{} holds {held}, not {n}", self.name()))
            }
        });
    }

    /// Lets `n` held answers (or chunks) go, now or when they come.
    pub fn release(&self, n: usize) {
        let mut permits = self.shared.permits.lock();
        *permits = permits.saturating_add(n);
        self.shared.permits_changed.notify_all();
    }

    /// Lets all go, from now on.
    pub fn release_all(&self) {
        self.release(usize::MAX);
    }

    /// As if the process was killed: the port refuses, connections are closed. The port stays ours.
    pub fn stop(&self) {
        if let Some(listener) = self.listener.lock().take() {
            self.shared.stopped.store(true, Ordering::SeqCst);
            let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
        }
        for (_, stream) in self.shared.open.lock().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.shared.permits_changed.notify_all();
    }

    /// Listens again, on the same port.
    pub fn restart(&self) {
        let mut slot = self.listener.lock();
        if slot.is_some() {
            return;
        }
        let listener = self.port.listen();
        *slot = Some(listener.try_clone().unwrap());
        self.shared.stopped.store(false, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        std::thread::spawn(move || serve::accept(&listener, &shared));
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Answer {
    /// 200 with the origin's name as body.
    pub fn ok() -> Self {
        Self::status(200)
    }

    pub fn status(status: u16) -> Self {
        Self::Reply(Reply {
            status,
            headers: Vec::new(),
            body: Body::Full(Vec::new()),
            delay: Duration::ZERO,
            hold: false,
        })
    }

    pub fn body(body: Body) -> Self {
        let mut answer = Self::ok();
        if let Self::Reply(reply) = &mut answer {
            reply.body = body;
        }
        answer
    }

    /// 200 when [`Origin::release`] says so.
    pub fn held() -> Self {
        let mut answer = Self::ok();
        if let Self::Reply(reply) = &mut answer {
            reply.hold = true;
        }
        answer
    }

    pub fn after(delay: Duration) -> Self {
        let mut answer = Self::ok();
        if let Self::Reply(reply) = &mut answer {
            reply.delay = delay;
        }
        answer
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Reply(reply) = &mut self {
            reply.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

impl Request {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    pub fn headers_of(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
            .collect()
    }
}
