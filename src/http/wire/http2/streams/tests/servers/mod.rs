//! Connections to servers.

use super::*;
use crate::http::wire::http2::frames::{PREFACE, PUSH_PROMISE};
use crate::http::wire::http2::request_line::RequestLine;

mod endings;
mod limits;
mod messages;
mod properties;

/// What a server may send ahead on a stream.
const STREAM: u32 = 64 * 1024;

/// A server's end of a connection.
struct Origin {
    streams: Arc<Streams>,
    wakers: Vec<Waker>,
    inbox: BytesMut,
    decoder: Decoder,
}

impl Origin {
    /// Of a connection that has begun.
    fn new() -> Self {
        let mut origin = Self::fresh();
        origin.say(&frame(SETTINGS, 0, 0, b"")).unwrap();
        origin.hear();
        origin
    }

    /// Of one whose server has said nothing yet, and heard the preface.
    fn fresh() -> Self {
        let mut origin = Self {
            streams: Streams::with_server(Instant::now()),
            wakers: Vec::new(),
            inbox: BytesMut::new(),
            decoder: Decoder::new(),
        };
        let said = origin.hear_bytes();
        assert!(said.starts_with(PREFACE));
        let kinds: Vec<_> = frames_of(&said[PREFACE.len()..]);
        let kinds: Vec<_> = kinds.iter().map(|it| it.kind).collect();
        assert_eq!(kinds, [SETTINGS, WINDOW_UPDATE]);
        origin
    }

    fn try_ask(&self, method: &Method, ends: bool) -> Result<ServerStream, UnsentError> {
        let line = RequestLine {
            method,
            scheme: "http",
            authority: b"a.test",
            path: b"/",
        };
        self.streams.request(&line, &Fields::new(), ends)
    }

    fn ask(&self) -> ServerStream {
        self.try_ask(&Method::GET, true).unwrap()
    }

    fn say(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.inbox.extend_from_slice(bytes);
        let now = Instant::now();
        (self.streams).receive_from_server(&mut self.inbox, now, &mut self.wakers)
    }

    fn hear_bytes(&mut self) -> Vec<u8> {
        let mut output = Vec::new();
        self.streams.take_output(&mut output, &mut self.wakers);
        self.streams.note_written(output.len(), &mut self.wakers);
        output
    }

    fn hear(&mut self) -> Vec<Got> {
        frames_of(&self.hear_bytes())
    }
}

/// A header block each field of which goes into the table.
fn indexed(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        let at = block.len();
        write_literal(name.as_bytes(), value.as_bytes(), &mut block);
        block[at] = 0x40;
    }
    block
}

fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &indexed(fields))
}

fn ok(stream: u32, flags: u8) -> Vec<u8> {
    headers(stream, flags, &[(":status", "200")])
}

fn status(stream: &ServerStream) -> Result<u16, Loss> {
    match stream.poll_header(&waits()) {
        Poll::Ready(header) => header.map(|header| header.status.as_u16()),
        Poll::Pending => panic!("no header has come"),
    }
}

/// The body as far as it has come, and what is behind it: trailers, or none.
fn body(stream: &mut ServerStream) -> (Vec<u8>, Poll<Result<Option<String>, Loss>>) {
    let mut bytes = Vec::new();
    loop {
        match stream.poll_body(&waits()) {
            Poll::Ready(Ok(Chunk::Data(piece, _))) => bytes.extend(piece),
            Poll::Ready(Ok(Chunk::End(trailers))) => {
                let text = |fields: Fields| {
                    let lines = fields.iter();
                    let lines =
                        lines.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
                    lines.collect::<Vec<_>>().join(", ")
                };
                return (bytes, Poll::Ready(Ok(trailers.map(text))));
            }
            Poll::Ready(Err(loss)) => return (bytes, Poll::Ready(Err(loss))),
            Poll::Pending => return (bytes, Poll::Pending),
        }
    }
}
