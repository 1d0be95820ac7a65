//! TCP behaviour (section 9 of the specification), and what sections 3, 4, 5, 10, 11 and 12 say of connections.

mod bytes;
mod ends;
mod life;
mod limits;
mod names;
mod records;
mod redis;
mod servers;
mod sessions;
mod shipped;
mod tls;
mod upstream;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use ::socket2::{Domain, SockRef, Socket, Type};

use crate::common::*;

/// A server of connections, in the hands of the test.
pub struct Backend {
    name: String,
    listener: TcpListener,
}

impl Backend {
    pub fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self {
            name: name.to_owned(),
            listener,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next connection.
    #[track_caller]
    pub fn accept(&self) -> TcpStream {
        eventually(SOON, || {
            self.listener.accept().map(|(stream, _)| patient(stream))
        })
    }

    /// Connections that have come and were not accepted yet; they are accepted and closed by this.
    pub fn came(&self) -> usize {
        std::iter::from_fn(|| self.listener.accept().ok()).count()
    }

    /// A connection, if one has come.
    pub fn try_accept(&self) -> Option<TcpStream> {
        self.listener
            .accept()
            .ok()
            .map(|(stream, _)| patient(stream))
    }
}

/// A listener of protocol tcp in front of these.
pub fn before(backends: &[&Backend]) -> Setup {
    let setup = Setup::new().listener("protocol: tcp");
    backends
        .iter()
        .fold(setup, |setup, backend| with(setup, backend, ""))
}

/// One server more, with further keys.
pub fn with(setup: Setup, backend: &Backend, more: &str) -> Setup {
    setup.server_at(&backend.name, &backend.address().to_string(), more)
}

pub fn connect(lb: &Equipoise) -> TcpStream {
    try_connect(lb).unwrap()
}

pub fn try_connect(lb: &Equipoise) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&lb.web(), SOON).map(patient)
}

/// From another local address.
pub fn connect_from(from: &str, lb: &Equipoise) -> TcpStream {
    try_connect_from(from, lb).unwrap()
}

pub fn try_connect_from(from: &str, lb: &Equipoise) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let from: IpAddr = from.parse().unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&lb.web().into())?;
    Ok(patient(socket.into()))
}

/// A client's connection, and the server's end of it.
#[track_caller]
pub fn pair(lb: &Equipoise, backend: &Backend) -> (TcpStream, TcpStream) {
    let client = connect(lb);
    (client, backend.accept())
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_nonblocking(false).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream
}

#[track_caller]
pub fn say(mut stream: &TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
}

/// The next bytes, as many as expected.
#[track_caller]
pub fn hears(mut stream: &TcpStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&got),
        String::from_utf8_lossy(expected)
    );
}

/// All that comes until the end, which has to be one in order.
#[track_caller]
pub fn hears_to_the_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

#[track_caller]
pub fn ends_orderly(stream: &TcpStream) {
    assert_eq!(hears_to_the_end(stream), b"");
}

#[track_caller]
pub fn is_reset(mut stream: &TcpStream) {
    let mut all = Vec::new();
    let outcome = stream.read_to_end(&mut all);
    let error = outcome.expect_err("a reset, not an end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

/// Closed without a word, one way or the other; that may be so before the client knows that it is connected.
#[track_caller]
pub fn is_turned_away(outcome: io::Result<TcpStream>) {
    match outcome.and_then(|mut stream| stream.read(&mut [0])) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("neither end nor reset: {other:?}"),
    }
}

/// As [`is_turned_away`], and it was no orderly end.
#[track_caller]
pub fn is_turned_away_by_a_reset(outcome: io::Result<TcpStream>) {
    let error = outcome
        .and_then(|mut stream| stream.read(&mut [0]))
        .expect_err("a reset, not an end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

/// Nobody takes what is sent any more. (Who has read an end can't read that there was a reset after it.)
#[track_caller]
pub fn takes_nothing_more(mut stream: &TcpStream) {
    eventually(SOON, || stream.write(b"?").is_err());
}

/// Whether it is still open and silent, for a moment.
#[track_caller]
pub fn stays_open(stream: &TcpStream, span: Duration) {
    stream.set_read_timeout(Some(span)).unwrap();
    let outcome = { stream }.read(&mut [0]);
    let waits =
        |error: &io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    assert!(outcome.as_ref().is_err_and(waits), "{outcome:?}");
    stream.set_read_timeout(Some(SOON)).unwrap();
}

pub fn end(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Ends it with a reset.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
}

/// How many connections a server has, as the metrics say.
pub fn active(lb: &Equipoise, server: &str) -> f64 {
    lb.metrics()
        .value("equipoise_server_active", &[("server", server)])
}

/// The log's line of the only connection so far.
#[track_caller]
pub fn logged(lb: &Equipoise) -> serde_json::Value {
    lb.wait_logged(|_| true)
}

/// Waits for a line with that end.
#[track_caller]
pub fn ended_with(lb: &Equipoise, termination: &str) -> serde_json::Value {
    lb.wait_logged(|line| line["termination"] == termination)
}
