//! An origin's side of a connection: do with each request what the script says.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::SockRef;

use super::read::read_request;
use super::{Answer, Body, HEALTH, Reply, Request, Shared};

pub fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        let id = shared.connections.fetch_add(1, Ordering::SeqCst);
        let _ = stream.set_nodelay(true);
        if let Ok(copy) = stream.try_clone() {
            let mut open = shared.open.lock();
            // Stopped meanwhile: nobody would close it.
            if shared.stopped.load(Ordering::SeqCst) {
                continue;
            }
            open.push((id, copy));
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let _ = serve(&stream, id, &shared);
            // The last handle: now it is closed, or reset if it was told to linger for no time.
            forget(id, &shared);
        });
    }
}

/// Whether the connection can go on.
type Goes = bool;

fn serve(stream: &TcpStream, id: usize, shared: &Shared) -> io::Result<()> {
    let mut pending = Vec::new();
    while let Some(request) = read_request(stream, &mut pending, id)? {
        if request.target == HEALTH {
            shared.checks.fetch_add(1, Ordering::SeqCst);
            let answer = Answer::status(shared.health.load(Ordering::SeqCst));
            if !give(stream, &request, answer, shared)? {
                return Ok(());
            }
            continue;
        }
        shared.served.fetch_add(1, Ordering::SeqCst);
        let now = shared.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most_in_flight.fetch_max(now, Ordering::SeqCst);
        let _done = Done(&shared.in_flight);
        if shared.record.load(Ordering::SeqCst) {
            shared.requests.lock().push(request.clone());
        }
        let script = Arc::clone(&shared.script.lock());
        let answer = script(&request);
        if !give(stream, &request, answer, shared)? {
            return Ok(());
        }
    }
    Ok(())
}

fn give(
    mut stream: &TcpStream,
    request: &Request,
    answer: Answer,
    shared: &Shared,
) -> io::Result<Goes> {
    match answer {
        Answer::Reply(reply) => give_reply(stream, request, &reply, shared),
        Answer::Raw(bytes) => stream.write_all(&bytes).map(|()| false),
        Answer::Close => Ok(false),
        Answer::Reset => {
            SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
            Ok(false)
        }
        Answer::ResetMidBody(part) => {
            let head = format!(
                "HTTP/1.1 200 OK\r\nX-Origin: {}\r\nContent-Length: {}\r\n\r\n",
                shared.name,
                part.len() + 1000
            );
            stream.write_all(head.as_bytes())?;
            stream.write_all(&part)?;
            wait_permit(stream, shared);
            SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
            Ok(false)
        }
        Answer::Never => {
            // Until the other side gives up.
            let _ = stream.read(&mut [0]);
            Ok(false)
        }
    }
}

fn give_reply(
    mut stream: &TcpStream,
    request: &Request,
    reply: &Reply,
    shared: &Shared,
) -> io::Result<Goes> {
    if !reply.delay.is_zero() {
        let mut never = shared.permits.lock();
        // A wait that nobody ends early but a stop; time is what this is about.
        let deadline = std::time::Instant::now() + reply.delay;
        while std::time::Instant::now() < deadline && !shared.stopped.load(Ordering::SeqCst) {
            shared.permits_changed.wait_until(&mut never, deadline);
        }
    }
    if reply.hold && !wait_permit(stream, shared) {
        return Ok(false);
    }
    let name = &shared.name;
    let has = |name: &str| {
        reply
            .headers
            .iter()
            .any(|(n, _)| n.eq_ignore_ascii_case(name))
    };
    let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
    head.push_str(&format!("X-Origin: {name}\r\n"));
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let bodiless = request.method == "HEAD" || matches!(reply.status, 204 | 304);
    let close = matches!(reply.body, Body::UntilClose(_))
        || request
            .header("connection")
            .is_some_and(|v| v.eq_ignore_ascii_case("close"))
        || has("connection");
    match &reply.body {
        Body::Full(body) => {
            let body = if body.is_empty() && !bodiless {
                name.as_bytes()
            } else {
                body
            };
            if reply.status != 204 && !has("content-length") {
                head.push_str(&format!("Content-Length: {}\r\n", body.len()));
            }
            let mut all = format!("{head}\r\n").into_bytes();
            if !bodiless {
                all.extend_from_slice(body);
            }
            stream.write_all(&all)?;
        }
        Body::Chunks(chunks) | Body::HeldChunks(chunks) => {
            let held = matches!(reply.body, Body::HeldChunks(_));
            stream.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes())?;
            for (n, chunk) in chunks.iter().enumerate() {
                if held && n > 0 && !wait_permit(stream, shared) {
                    return Ok(false);
                }
                let mut bytes = format!("{:x}\r\n", chunk.len()).into_bytes();
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
                stream.write_all(&bytes)?;
            }
            stream.write_all(b"0\r\n\r\n")?;
        }
        Body::UntilClose(body) => {
            stream.write_all(format!("{head}\r\n").as_bytes())?;
            stream.write_all(body)?;
        }
    }
    Ok(!close)
}

/// Waits for a permit; `false` if the connection ended first.
fn wait_permit(stream: &TcpStream, shared: &Shared) -> bool {
    shared.held.fetch_add(1, Ordering::SeqCst);
    let _done = Done(&shared.held);
    let mut permits = shared.permits.lock();
    while *permits == 0 {
        if shared.stopped.load(Ordering::SeqCst) || gone(stream) {
            return false;
        }
        shared
            .permits_changed
            .wait_for(&mut permits, Duration::from_millis(20));
    }
    if *permits != usize::MAX {
        *permits -= 1;
    }
    true
}

/// Whether the other side has closed.
fn gone(stream: &TcpStream) -> bool {
    let _ = stream.set_nonblocking(true);
    let peeked = stream.peek(&mut [0]);
    let _ = stream.set_nonblocking(false);
    match peeked {
        Ok(n) => n == 0,
        Err(e) => e.kind() != io::ErrorKind::WouldBlock,
    }
}

/// Drops our other handle of the connection.
fn forget(id: usize, shared: &Shared) {
    shared.open.lock().retain(|(open, _)| *open != id);
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        302 => "Found",
        304 => "Not Modified",
        404 => "Not Found",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Whatever",
    }
}

/// Counts down when a scope is left, however.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
