//! Servers that speak HTTP/2: one with a script for whole requests, and one that sends frames as they are.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use openssl::ssl::{AlpnError, Ssl, SslAcceptor, select_next_proto};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};

use super::pki::Issued;
use super::secure_origin::acceptor;

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Taken {
    pub method: String,
    /// The whole URI: scheme, authority, path.
    pub uri: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
    /// Which connection it came on, from 0.
    pub connection: usize,
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    /// Each a DATA frame of its own.
    pub body: Vec<Bytes>,
    pub trailers: Vec<(&'static str, String)>,
    /// Instead of anything else.
    pub reset: Option<Reason>,
    /// Nothing, until the client resets the stream.
    pub never: bool,
}

impl Reply {
    pub fn text(text: &str) -> Self {
        Self {
            status: 200,
            headers: vec![("content-length", text.len().to_string())],
            body: vec![Bytes::copy_from_slice(text.as_bytes())],
            ..Self::default()
        }
    }
}

type Script = Arc<dyn Fn(&Taken) -> Reply + Send + Sync>;

pub struct H2Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

struct Shared {
    script: Script,
    taken: Mutex<Vec<Taken>>,
    resets: Mutex<Vec<Reason>>,
    connections: AtomicUsize,
    ended: AtomicUsize,
    max_streams: Option<u32>,
    most_at_once: AtomicUsize,
    at_once: AtomicUsize,
}

impl H2Origin {
    /// Without TLS: h2c by prior knowledge.
    pub fn start(script: impl Fn(&Taken) -> Reply + Send + Sync + 'static) -> Self {
        Self::build(None, None, script)
    }

    /// With a limit of requests at once on a connection.
    pub fn limited(
        max_streams: u32,
        script: impl Fn(&Taken) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::build(None, Some(max_streams), script)
    }

    /// Over TLS, by ALPN.
    pub fn secure(
        identity: &Issued,
        script: impl Fn(&Taken) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let acceptor = acceptor(identity, |builder| {
            builder.set_alpn_select_callback(|_, offered| {
                select_next_proto(b"\x02h2", offered).ok_or(AlpnError::ALERT_FATAL)
            });
        });
        Self::build(Some(acceptor), None, script)
    }

    fn build(
        acceptor: Option<SslAcceptor>,
        max_streams: Option<u32>,
        script: impl Fn(&Taken) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Arc::new(script),
            taken: Mutex::default(),
            resets: Mutex::default(),
            connections: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            max_streams,
            most_at_once: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (shared, acceptor) = (Arc::clone(&serving), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(shared, stream).await,
                        Some(acceptor) => {
                            let ssl = Ssl::new(acceptor.context()).unwrap();
                            let mut stream = tokio_openssl::SslStream::new(ssl, stream).unwrap();
                            if Pin::new(&mut stream).accept().await.is_ok() {
                                serve(shared, stream).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            shared,
            _runtime: runtime,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests so far.
    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken.lock().clone()
    }

    #[track_caller]
    pub fn last(&self) -> Taken {
        self.taken().pop().expect("a request")
    }

    /// With what the client reset streams.
    pub fn resets(&self) -> Vec<Reason> {
        self.shared.resets.lock().clone()
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections that have ended.
    pub fn ended(&self) -> usize {
        self.shared.ended.load(Ordering::SeqCst)
    }

    /// The most requests there were at once.
    pub fn most_at_once(&self) -> usize {
        self.shared.most_at_once.load(Ordering::SeqCst)
    }
}

async fn serve<S>(shared: Arc<Shared>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = h2::server::Builder::new();
    if let Some(most) = shared.max_streams {
        builder.max_concurrent_streams(most);
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    let number = shared.connections.fetch_add(1, Ordering::SeqCst);
    while let Some(Ok((request, respond))) = connection.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let now = shared.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            shared.most_at_once.fetch_max(now, Ordering::SeqCst);
            answer(&shared, request, respond, number).await;
            shared.at_once.fetch_sub(1, Ordering::SeqCst);
        });
    }
    shared.ended.fetch_add(1, Ordering::SeqCst);
}

async fn answer(
    shared: &Shared,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    connection: usize,
) {
    let (head, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = incoming.data().await {
        incoming
            .flow_control()
            .release_capacity(chunk.len())
            .unwrap();
        body.extend_from_slice(&chunk);
    }
    let trailers = incoming.trailers().await.ok().flatten();
    let taken = Taken {
        method: head.method.to_string(),
        uri: head.uri.to_string(),
        headers: head.headers,
        body,
        trailers,
        connection,
    };
    let reply = (shared.script)(&taken);
    shared.taken.lock().push(taken);
    if let Some(reason) = reply.reset {
        respond.send_reset(reason);
        return;
    }
    if reply.never {
        if let Ok(reason) = poll_fn(|cx| respond.poll_reset(cx)).await {
            shared.resets.lock().push(reason);
        }
        return;
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    let ends = reply.body.is_empty() && reply.trailers.is_empty();
    let Ok(mut stream) = respond.send_response(response.body(()).unwrap(), ends) else {
        return;
    };
    let last = reply.body.len();
    for (index, chunk) in reply.body.into_iter().enumerate() {
        let ends = index + 1 == last && reply.trailers.is_empty();
        drop(stream.send_data(chunk, ends));
    }
    if !reply.trailers.is_empty() {
        let mut trailers = HeaderMap::new();
        for (name, value) in reply.trailers {
            trailers.insert(name, value.parse().unwrap());
        }
        drop(stream.send_trailers(trailers));
    }
}

/// What [`FrameOrigin`] does when a request's header has come.
#[derive(Debug, Clone)]
pub enum Frames {
    /// These bytes; none: nothing for now.
    Send(Vec<u8>),
    /// `200` without a body.
    Ok,
    /// `GOAWAY` with this last stream, then the end.
    GoAway { last: u32 },
    /// `RST_STREAM(REFUSED_STREAM)`.
    Refuse,
    /// The end, without a word.
    Close,
}

/// Answers each request's header with frames, by the number of the connection and of the request on all of them.
pub struct FrameOrigin {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl FrameOrigin {
    /// `script` is told the connection, the request and the stream.
    pub fn start(script: impl Fn(usize, usize, u32) -> Frames + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let (script, counter) = (Arc::new(script), Arc::clone(&requests));
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let (script, counter) = (Arc::clone(&script), Arc::clone(&counter));
                std::thread::spawn(move || {
                    drop(frames(stream, |stream| {
                        script(number, counter.fetch_add(1, Ordering::SeqCst), stream)
                    }));
                });
            }
        });
        Self { address, requests }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests whose header came.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn frames(mut stream: TcpStream, script: impl Fn(u32) -> Frames) -> std::io::Result<()> {
    const SETTINGS: u8 = 4;
    const HEADERS: u8 = 1;
    stream.set_nodelay(true)?;
    stream.read_exact(&mut [0; 24])?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize])?;
        let id = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        match head[3] {
            SETTINGS if head[4] & 1 == 0 => stream.write_all(&frame(SETTINGS, 1, 0, &[]))?,
            HEADERS => match script(id) {
                // Index 8 of HPACK's static table: `:status: 200`.
                Frames::Ok => stream.write_all(&frame(HEADERS, 5, id, &[0x88]))?,
                Frames::GoAway { last } => {
                    let payload = [last.to_be_bytes(), 0u32.to_be_bytes()].concat();
                    stream.write_all(&frame(7, 0, 0, &payload))?;
                    return end(&mut stream);
                }
                Frames::Refuse => stream.write_all(&frame(3, 0, id, &7u32.to_be_bytes()))?,
                Frames::Close => return Ok(()),
                Frames::Send(bytes) => stream.write_all(&bytes)?,
            },
            _ => {}
        }
    }
}

/// Closes without a reset, so that what was written arrives.
fn end(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.shutdown(std::net::Shutdown::Write)?;
    std::io::copy(stream, &mut std::io::sink()).map(drop)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [
        &length[1..],
        &[kind, flags],
        &stream.to_be_bytes()[..],
        payload,
    ]
    .concat()
}
