//! A server that notes what it gets, byte by byte, and holds it against the strict reader.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;

use super::strict::{self, Message, Reading, latin1};

/// What a connection brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A whole, well-formed request.
    Request(Message),
    /// The connection ended within a request.
    Torn(String),
    /// Bytes that no server can be expected to understand.
    Broken(String),
}

/// The server.
pub struct Recorder {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let copy = Arc::clone(&seen);
        // Both end with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&copy);
                std::thread::spawn(move || record(&stream, &seen));
            }
        });
        Self { address, seen }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How much there is by now; for [`Self::since`].
    pub fn mark(&self) -> usize {
        self.seen.lock().len()
    }

    pub fn since(&self, mark: usize) -> Vec<Seen> {
        self.seen.lock()[mark..].to_vec()
    }
}

fn record(mut stream: &TcpStream, seen: &Mutex<Vec<Seen>>) {
    let _ = stream.set_nodelay(true);
    let (mut pending, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    loop {
        match strict::read(&pending) {
            Reading::Whole(message, length) => {
                pending.drain(..length);
                let answer = answer(&message);
                seen.lock().push(Seen::Request(message));
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
                continue;
            }
            Reading::Broken(why) => {
                let bytes = latin1(&pending);
                seen.lock().push(Seen::Broken(format!("{why}: {bytes:?}")));
                return;
            }
            Reading::Part => {}
        }
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => pending.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    if !pending.is_empty() {
        seen.lock().push(Seen::Torn(latin1(&pending)));
    }
}

/// Its target, so that answers can be told apart.
fn answer(message: &Message) -> String {
    let body = message.target();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    if message.method() == "HEAD" {
        head
    } else {
        head + body
    }
}
