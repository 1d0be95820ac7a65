//! Two HTTP/2 clients: [`H2`] behaves, and [`Frames`] puts on the wire whatever a test wants there.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Method, Request};
use socket2::SockRef;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::client::Response;
use super::tls::Tls;

const TIMEOUT: Duration = Duration::from_secs(20);
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A client on the `h2` crate, over TCP with prior knowledge.
pub struct H2 {
    runtime: Runtime,
    send: SendRequest<Bytes>,
    ended: JoinHandle<Result<(), h2::Error>>,
}

impl H2 {
    #[track_caller]
    pub fn connect(to: SocketAddr) -> Self {
        Self::with(to, &h2::client::Builder::new())
    }

    #[track_caller]
    pub fn with(to: SocketAddr, settings: &h2::client::Builder) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (send, connection) = runtime
            .block_on(async {
                let stream = tokio::net::TcpStream::connect(to).await.unwrap();
                stream.set_nodelay(true).unwrap();
                settings.handshake(stream).await
            })
            .unwrap();
        let ended = runtime.spawn(connection);
        Self {
            runtime,
            send,
            ended,
        }
    }

    /// Over TLS, agreed on by ALPN.
    #[track_caller]
    pub fn over_tls(to: SocketAddr, tls: &Tls) -> Self {
        let ssl = tls.clone().alpn(&["h2"]).ssl().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (send, connection) = runtime
            .block_on(async {
                let stream = tokio::net::TcpStream::connect(to).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut stream = tokio_openssl::SslStream::new(ssl, stream).unwrap();
                std::pin::Pin::new(&mut stream).connect().await.unwrap();
                assert_eq!(stream.ssl().selected_alpn_protocol(), Some(&b"h2"[..]));
                h2::client::handshake(stream).await
            })
            .unwrap();
        let ended = runtime.spawn(connection);
        Self {
            runtime,
            send,
            ended,
        }
    }

    /// GET, with the host `a.test`.
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Response, h2::Error> {
        self.request("GET", path, headers, b"")
    }

    /// A request with a whole body, and its whole response.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, h2::Error> {
        let (response, mut send) = self.open(method, path, headers, body.is_empty())?;
        let body = Bytes::copy_from_slice(body);
        self.runtime.block_on(async move {
            if !body.is_empty() {
                push(&mut send, body, true).await?;
            }
            whole(response).await
        })
    }

    /// Begins a request.
    pub fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("http://a.test{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let send = self.send.clone();
        self.runtime.block_on(async move {
            let mut ready = tokio::time::timeout(TIMEOUT, send.ready())
                .await
                .expect("the connection takes no request")?;
            ready.send_request(request, end)
        })
    }

    /// Runs something on this client's runtime, not for ever.
    #[track_caller]
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime
            .block_on(async { tokio::time::timeout(TIMEOUT, future).await })
            .expect("it took for ever")
    }

    /// Has this client's runtime do something meanwhile.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.spawn(future)
    }

    /// Waits for what was [spawned](Self::spawn), however long it takes.
    #[track_caller]
    pub fn wait<T>(&self, spawned: JoinHandle<T>) -> T {
        self.runtime.block_on(spawned).unwrap()
    }

    /// How the connection ends. Waits for that.
    #[track_caller]
    pub fn wait_end(self) -> Result<(), h2::Error> {
        let Self {
            runtime,
            send,
            ended,
        } = self;
        drop(send);
        runtime
            .block_on(async { tokio::time::timeout(TIMEOUT, ended).await })
            .expect("the connection does not end")
            .unwrap()
    }
}

/// Sends all, as fast as windows allow.
pub async fn push(
    send: &mut SendStream<Bytes>,
    mut data: Bytes,
    end: bool,
) -> Result<(), h2::Error> {
    while !data.is_empty() {
        send.reserve_capacity(data.len().min(1 << 20));
        let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await;
        let Some(room) = room.transpose()? else {
            // Reset meanwhile: the response says more.
            return Ok(());
        };
        let piece = data.split_to(room.min(data.len()));
        send.send_data(piece, end && data.is_empty())?;
    }
    Ok(())
}

/// A whole response.
pub async fn whole(response: ResponseFuture) -> Result<Response, h2::Error> {
    let (parts, mut body) = response.await?.into_parts();
    let headers = parts
        .headers
        .iter()
        .map(|(n, v)| {
            (
                n.to_string(),
                String::from_utf8_lossy(v.as_bytes()).into_owned(),
            )
        })
        .collect();
    let body = rest(&mut body).await?;
    Ok(Response {
        version: "HTTP/2".to_owned(),
        status: parts.status.as_u16(),
        reason: String::new(),
        headers,
        body,
    })
}

/// What comes of a body.
pub async fn rest(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        all.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(all)
}

/// Frames over TCP, written by hand.
pub struct Frames {
    stream: TcpStream,
    pending: Vec<u8>,
    /// Answer SETTINGS and PING as one must.
    pub polite: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// How a stream or the connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A response of that status.
    Status(u16),
    /// RST_STREAM with that code.
    Reset(u32),
    /// GOAWAY with that code.
    GoAway(u32),
    /// The connection ended without one.
    Closed,
}

impl Frames {
    /// A connection with settings exchanged.
    #[track_caller]
    pub fn connect(to: SocketAddr) -> Self {
        let mut this = Self::bare(to);
        this.write(PREFACE).unwrap();
        this.send(SETTINGS, 0, 0, &[]).unwrap();
        let settings = this.next().unwrap();
        assert_eq!((settings.kind, settings.flags), (SETTINGS, 0));
        this
    }

    /// A connection on which nothing was sent.
    #[track_caller]
    pub fn bare(to: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Self {
            stream,
            pending: Vec::new(),
            polite: true,
        }
    }

    pub fn preface(&mut self) -> io::Result<()> {
        self.write(PREFACE)
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.write(&frame(kind, flags, stream, payload))
    }

    /// A whole header block in one frame.
    pub fn headers(&mut self, stream: u32, fields: &[(&str, &str)], end: bool) -> io::Result<()> {
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        self.send(HEADERS, flags, stream, &block(fields))
    }

    /// GET / of `a.test`.
    pub fn get(&mut self, stream: u32) -> io::Result<()> {
        self.headers(stream, &request("GET", "/"), true)
    }

    /// The next frame that isn't answered by itself.
    pub fn next(&mut self) -> io::Result<Frame> {
        loop {
            let head = self.take(9)?;
            let length =
                usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let frame = Frame {
                kind: head[3],
                flags: head[4],
                stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff,
                payload: self.take(length)?,
            };
            match (frame.kind, frame.flags & ACK) {
                (SETTINGS, 0) => {
                    if self.polite {
                        self.send(SETTINGS, ACK, 0, &[])?;
                    }
                    return Ok(frame);
                }
                (PING, 0) if self.polite => self.send(PING, ACK, 0, &frame.payload)?,
                (SETTINGS | PING, _) => {}
                _ => return Ok(frame),
            }
        }
    }

    /// How this stream ends: its (final) status, or its reset, or the connection's end. Other streams' frames and
    /// window updates are passed over.
    pub fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            let Ok(frame) = self.next() else {
                return Outcome::Closed;
            };
            match frame.kind {
                GOAWAY if code(&frame, 4) != NO_ERROR => return Outcome::GoAway(code(&frame, 4)),
                RST_STREAM if frame.stream == stream => return Outcome::Reset(code(&frame, 0)),
                HEADERS if frame.stream == stream => {
                    let status = status(&frame.payload);
                    if status >= 200 {
                        return Outcome::Status(status);
                    }
                }
                _ => {}
            }
        }
    }

    /// Waits until a PING of ours is answered, passing over what comes before.
    #[track_caller]
    pub fn pong(&mut self) {
        loop {
            let head = self.take(9).unwrap();
            let length =
                usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let payload = self.take(length).unwrap();
            assert_ne!(head[3], GOAWAY, "{payload:?}");
            if head[3] == PING && head[4] & ACK != 0 {
                return;
            }
        }
    }

    /// The next GOAWAY: its last stream and code. `None`: the connection ends without one.
    pub fn go_away(&mut self) -> Option<(u32, u32)> {
        loop {
            let frame = self.next().ok()?;
            if frame.kind == GOAWAY {
                return Some((code(&frame, 0), code(&frame, 4)));
            }
        }
    }

    /// Waits for a frame of a stream.
    #[track_caller]
    pub fn frame_of(&mut self, stream: u32, kind: u8) -> Frame {
        loop {
            let frame = self
                .next()
                .unwrap_or_else(|e| panic!("no frame {kind} of {stream}: {e}"));
            if frame.stream == stream && frame.kind == kind {
                return frame;
            }
        }
    }

    /// Whether the peer closes. Waits, passing over what comes before.
    pub fn is_closed_by_peer(&mut self) -> bool {
        loop {
            match self.next() {
                Ok(_) => {}
                Err(e) => {
                    return !matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    );
                }
            }
        }
    }

    /// Sends our end (FIN), and can still read.
    pub fn finish(&mut self) {
        self.polite = false;
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Goes away like a crash: RST.
    pub fn reset(self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    pub fn set_timeout(&self, timeout: Duration) {
        self.stream.set_read_timeout(Some(timeout)).unwrap();
    }

    fn take(&mut self, n: usize) -> io::Result<Vec<u8>> {
        let mut buffer = [0; 16 * 1024];
        while self.pending.len() < n {
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.pending.extend_from_slice(&buffer[..read]),
            }
        }
        Ok(self.pending.drain(..n).collect())
    }
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block, every field a literal that is not indexed (RFC 7541 section 6.2.2), as the bytes are.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let bytes: Vec<_> = fields
        .iter()
        .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
        .collect();
    block_of_bytes(&bytes)
}

pub fn block_of_bytes(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let mut length = text.len();
            if length < 127 {
                block.push(length as u8);
            } else {
                block.push(127);
                length -= 127;
                while length >= 128 {
                    block.push((length % 128 + 128) as u8);
                    length /= 128;
                }
                block.push(length as u8);
            }
            block.extend_from_slice(text);
        }
    }
    block
}

/// The pseudo-fields of a request to `a.test`.
pub fn request<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        (":method", method),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", path),
    ]
}

fn code(frame: &Frame, at: usize) -> u32 {
    u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap())
}

/// The `:status` that a response's header block begins with: from the static table (RFC 7541 appendix A), or a literal
/// of three digits, which may be Huffman-coded (appendix B).
fn status(block: &[u8]) -> u16 {
    let at = usize::from(block[0] & 0xe0 == 0x20); // A change of the table's size may come first.
    match block[at] {
        known @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(known - 0x88)],
        0x48 | 0x08 => {
            let length = usize::from(block[at + 1] & 0x7f);
            let value = &block[at + 2..at + 2 + length];
            if block[at + 1] & 0x80 == 0 {
                std::str::from_utf8(value).unwrap().parse().unwrap()
            } else {
                huffman_digits(value)
            }
        }
        other => panic!("no :status first, but {other:#x}"),
    }
}

fn huffman_digits(coded: &[u8]) -> u16 {
    let mut bits = coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |n| u16::from(byte >> n & 1)));
    let mut number = 0;
    for _ in 0..3 {
        let mut code = (0..5).fold(0, |code, _| code << 1 | bits.next().unwrap());
        // 0, 1 and 2 have five bits, the others six.
        if code > 2 {
            code = code << 1 | bits.next().unwrap();
            number = number * 10 + (code - 0b01_1001 + 3);
        } else {
            number = number * 10 + code;
        }
    }
    number
}
