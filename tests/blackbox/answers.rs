//! SPEC section 8: what servers answer, hostile servers as well, and what becomes of requests that they fail.

mod budget;
mod cases;
mod connections;
mod fields;
mod frames;
mod hostile;
mod retries;
mod switching;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;

use crate::common::*;

/// What a [`Scripted`] server does with one request.
#[derive(Debug, Clone)]
pub struct Script {
    pub bytes: Vec<u8>,
    pub then: Then,
}

/// What it does with the connection afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Keep,
    Close,
    Reset,
}

/// A server that answers each request with the bytes that a test gives, on connections that it keeps.
pub struct Scripted {
    address: SocketAddr,
    shared: Arc<Shared>,
}

type Answering = Box<dyn Fn(&str) -> Script + Send + Sync>;

struct Shared {
    answer: Answering,
    /// Method and target, and the connection they came on.
    requests: Mutex<Vec<(String, usize)>>,
    connections: AtomicUsize,
    ended: Mutex<Vec<usize>>,
    stopped: AtomicBool,
}

impl Scripted {
    /// `answer` says what a request gets, by its method and target: `GET /a`.
    pub fn new(answer: impl Fn(&str) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            requests: Mutex::new(Vec::new()),
            connections: AtomicUsize::new(0),
            ended: Mutex::new(Vec::new()),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let number = accepting.connections.fetch_add(1, Ordering::SeqCst);
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || {
                    serve(stream, number, &shared);
                    shared.ended.lock().push(number);
                });
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests so far: method and target, and the number of the connection.
    pub fn requests(&self) -> Vec<(String, usize)> {
        self.shared.requests.lock().clone()
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Whether a connection is at its end, whoever ended it.
    pub fn has_ended(&self, connection: usize) -> bool {
        self.shared.ended.lock().contains(&connection)
    }

    /// The connection that a request came on last.
    #[track_caller]
    pub fn connection_of(&self, request: &str) -> usize {
        let requests = self.requests();
        let found = requests.iter().rev().find(|(seen, _)| seen == request);
        found.unwrap_or_else(|| panic!("no {request}")).1
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect_timeout(
            &self.address,
            Duration::from_secs(1),
        ));
    }
}

fn serve(mut stream: TcpStream, number: usize, shared: &Shared) {
    stream.set_nodelay(true).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let end = loop {
            if let Some(at) = seen.windows(4).position(|part| part == b"\r\n\r\n") {
                break at;
            }
            match stream.read(&mut buffer) {
                Ok(read) if read > 0 => seen.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        };
        let head: Vec<u8> = seen.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let (line, fields) = head.split_once("\r\n").unwrap();
        let mut words = line.split(' ');
        let request = format!("{} {}", words.next().unwrap(), words.next().unwrap());
        assert_eq!(words.next(), Some("HTTP/1.1"), "{head:?}");
        let length = fields
            .lines()
            .find_map(|field| field.strip_prefix("Content-Length: "))
            .map_or(0, |length| length.parse().unwrap());
        while seen.len() < length {
            match stream.read(&mut buffer) {
                Ok(read) if read > 0 => seen.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        }
        seen.drain(..length);
        shared.requests.lock().push((request.clone(), number));
        let script = (shared.answer)(&request);
        let written = stream.write_all(&script.bytes);
        match script.then {
            Then::Keep if written.is_ok() => {}
            Then::Reset => {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return;
            }
            _ => {
                let _ = stream.shutdown(Shutdown::Write);
                // A close with bytes unread would be a reset.
                while matches!(stream.read(&mut buffer), Ok(read) if read > 0) {}
                return;
            }
        }
    }
}

impl Script {
    pub fn new(bytes: impl AsRef<[u8]>, then: Then) -> Self {
        Self {
            bytes: bytes.as_ref().to_vec(),
            then,
        }
    }

    /// A good answer with this body.
    pub fn fine(body: &str) -> Self {
        let length = body.len();
        Self::new(
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"),
            Then::Keep,
        )
    }
}

/// A load balancer before one server, which tries nothing twice.
#[track_caller]
pub fn before(origin: &Scripted) -> Equipoise {
    before_with(origin, "retries: {attempts: 0}")
}

#[track_caller]
pub fn before_with(origin: &Scripted, pool: &str) -> Equipoise {
    Setup::new()
        .server_at("raw", &origin.address().to_string(), "")
        .listener("http: {keepalive_requests: 0}")
        .pool(pool)
        .start()
}
