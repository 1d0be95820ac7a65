//! A small HTTP/1 client over a plain socket: what goes over the wire is exactly what a test wrote.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use openssl::ssl::{SslRef, SslStream};
use socket2::{Domain, SockRef, Socket, Type};

/// How long a read may take before it counts as never.
const TIMEOUT: Duration = Duration::from_secs(20);

/// One connection.
pub struct Client {
    stream: Wire,
    /// Read from the socket, not yet consumed.
    pending: Vec<u8>,
}

enum Wire {
    Plain(TcpStream),
    Tls(SslStream<TcpStream>),
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buf),
            Self::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buf),
            Self::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A response, as it came.
#[derive(Debug, Clone)]
pub struct Response {
    pub version: String,
    pub status: u16,
    pub reason: String,
    /// In order, with their case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// One GET on a connection of its own.
#[track_caller]
pub fn get(to: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Response {
    let mut headers = headers.to_vec();
    headers.push(("Connection", "close"));
    Client::connect(to)
        .request("GET", target, &headers, b"")
        .unwrap()
}

impl Client {
    #[track_caller]
    pub fn connect(to: SocketAddr) -> Self {
        Self::try_connect(to).unwrap_or_else(|e| panic!("connect to {to}: {e}"))
    }

    pub fn try_connect(to: SocketAddr) -> io::Result<Self> {
        Self::from_stream(TcpStream::connect_timeout(&to, Duration::from_secs(5))?)
    }

    /// From another local address (127.0.0.2, say).
    #[track_caller]
    pub fn connect_from(from: IpAddr, to: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket
            .connect_timeout(&to.into(), Duration::from_secs(5))
            .unwrap();
        Self::from_stream(socket.into()).unwrap()
    }

    /// Over TLS, after its handshake.
    pub fn over_tls(stream: SslStream<TcpStream>) -> Self {
        Self {
            stream: Wire::Tls(stream),
            pending: Vec::new(),
        }
    }

    /// What TLS knows of the connection.
    #[track_caller]
    pub fn ssl(&self) -> &SslRef {
        match &self.stream {
            Wire::Tls(stream) => stream.ssl(),
            Wire::Plain(_) => panic!("this connection has no TLS"),
        }
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => stream.get_ref(),
        }
    }

    fn from_stream(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self {
            stream: Wire::Plain(stream),
            pending: Vec::new(),
        })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.socket().local_addr().unwrap()
    }

    /// Another handle to send on, while this one reads. Without TLS.
    pub fn sender(&self) -> TcpStream {
        self.socket().try_clone().unwrap()
    }

    pub fn set_timeout(&self, timeout: Duration) {
        self.socket().set_read_timeout(Some(timeout)).unwrap();
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends a request (Host, which is where it goes, and Content-Length are added unless given) and reads its response.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        self.send_request(method, target, headers, body)?;
        self.read_response(method == "HEAD")
    }

    pub fn get(&mut self, target: &str, headers: &[(&str, &str)]) -> io::Result<Response> {
        self.request("GET", target, headers, b"")
    }

    pub fn send_request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let has = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let mut text = format!("{method} {target} HTTP/1.1\r\n");
        if !has("host") {
            text.push_str(&format!("Host: {}\r\n", self.socket().peer_addr()?));
        }
        if !body.is_empty() && !has("content-length") && !has("transfer-encoding") {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(body);
        self.send(bytes)
    }

    /// Reads one response; `head`: it has no body whatever its header says. 100s are skipped.
    pub fn read_response(&mut self, head: bool) -> io::Result<Response> {
        loop {
            let mut response = self.read_head()?;
            if response.status == 100 {
                continue;
            }
            let bodiless = head || response.status < 200 || matches!(response.status, 204 | 304);
            if !bodiless {
                response.body = if response.has_token("transfer-encoding", "chunked") {
                    self.read_chunked()?
                } else if let Some(length) = response.header("content-length") {
                    let length = length.parse().map_err(|_| bad("bad content-length"))?;
                    self.take(length)?
                } else {
                    self.read_to_end()?
                };
            }
            return Ok(response);
        }
    }

    /// Reads a response's status line and headers only.
    pub fn read_head(&mut self) -> io::Result<Response> {
        let end = loop {
            if let Some(at) = self.pending.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            self.fill()?;
        };
        let head: Vec<u8> = self.pending.drain(..end + 4).collect();
        let text: String = head[..end].iter().map(|&b| char::from(b)).collect();
        let mut lines = text.split("\r\n");
        let mut status = lines.next().unwrap_or_default().splitn(3, ' ');
        let version = status.next().unwrap_or_default().to_owned();
        let code = status.next().and_then(|s| s.parse().ok());
        let code = code.ok_or_else(|| bad(&format!("bad status line in {text:?}")))?;
        let reason = status.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| {
                let (name, value) = line
                    .split_once(':')
                    .ok_or_else(|| bad(&format!("bad header {line:?}")))?;
                Ok((name.to_owned(), value.trim().to_owned()))
            })
            .collect::<io::Result<_>>()?;
        Ok(Response {
            version,
            status: code,
            reason,
            headers,
            body: Vec::new(),
        })
    }

    /// Exactly `n` bytes.
    pub fn take(&mut self, n: usize) -> io::Result<Vec<u8>> {
        while self.pending.len() < n {
            self.fill()?;
        }
        Ok(self.pending.drain(..n).collect())
    }

    /// Whatever comes until the end of the stream.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut all = std::mem::take(&mut self.pending);
        self.stream.read_to_end(&mut all)?;
        Ok(all)
    }

    /// Some bytes, as soon as there are any.
    pub fn read_some(&mut self) -> io::Result<Vec<u8>> {
        if self.pending.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.pending))
    }

    /// One chunk of a chunked body; empty at its end.
    pub fn read_chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.read_line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| bad("bad chunk size"))?;
        let chunk = self.take(size)?;
        if size == 0 {
            while !self.read_line()?.is_empty() {}
        } else if self.take(2)? != b"\r\n" {
            return Err(bad("chunk without its end"));
        }
        Ok(chunk)
    }

    fn read_chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let chunk = self.read_chunk()?;
            if chunk.is_empty() {
                return Ok(body);
            }
            body.extend_from_slice(&chunk);
        }
    }

    fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.pending.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.pending.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.fill()?;
        }
    }

    /// Whether the peer closes the connection (or resets it) without sending another byte. Waits.
    pub fn is_closed_by_peer(&mut self) -> bool {
        if !self.pending.is_empty() {
            return false;
        }
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => true,
            Ok(_) => {
                self.pending.push(byte[0]);
                false
            }
            Err(e) => e.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Sends our end (FIN), and can still read.
    pub fn finish(&self) {
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// As [`Self::finish`], in TLS's words (close_notify); can still read.
    pub fn finish_tls(&mut self) {
        match &mut self.stream {
            Wire::Tls(stream) => drop(stream.shutdown().unwrap()),
            Wire::Plain(_) => panic!("this connection has no TLS"),
        }
    }

    /// Goes away like a crash: RST.
    pub fn reset(self) {
        let _ = SockRef::from(self.socket()).set_linger(Some(Duration::ZERO));
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "closed; so far {:?}",
                    String::from_utf8_lossy(&self.pending)
                ),
            )),
            n => {
                self.pending.extend_from_slice(&buffer[..n]);
                Ok(())
            }
        }
    }
}

impl Response {
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

    /// Whether a list header has that element, whatever its case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.headers_of(name)
            .iter()
            .flat_map(|v| v.split(','))
            .any(|t| {
                t.split(';')
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .eq_ignore_ascii_case(token)
            })
    }

    /// Which [`Origin`](super::Origin) answered.
    #[track_caller]
    pub fn origin(&self) -> &str {
        self.header("x-origin")
            .unwrap_or_else(|| panic!("no origin answered: {self}"))
    }

    /// The value of the cookie of that name that this response sets.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.set_cookie(name).map(|line| {
            line[name.len() + 1..]
                .split(';')
                .next()
                .unwrap_or_default()
                .to_owned()
        })
    }

    /// The whole `Set-Cookie` value for that name.
    pub fn set_cookie(&self, name: &str) -> Option<&str> {
        let start = format!("{name}=");
        self.headers_of("set-cookie")
            .into_iter()
            .find(|v| v.starts_with(&start))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {self}"))
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} {}", self.version, self.status, self.reason)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", self.text())
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
