//! What a server says: when nobody has said anything, by TLS, and to a request.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_openssl::SslStream;

use super::{PATIENCE, Target};
use crate::tls::certificate::names;
use crate::upstream;
use crate::upstream::{Caller, Raw, Secure};

/// How long a server that closes a connection at once may take to do so.
const MOMENT: Duration = Duration::from_millis(500);

/// Bytes of an answer that are looked at.
const LONGEST: usize = 16 * 1024;

/// The `User-Agent` of its requests.
const AGENT: &str = "equipoise-diagnose";

/// Certificate names that are told.
const NAMES_TOLD: usize = 5;

/// What was heard of a server that nobody has asked anything.
pub enum Heard {
    /// Nothing: it waits.
    Silence,
    /// The first line of what it says.
    Words(String),
    /// It has ended the connection, in words.
    End(&'static str),
    /// It could not be connected to any more.
    Broken(String),
}

/// Connects, introduces this machine if the pool does that, and listens for a moment.
pub async fn listen(target: &Target<'_>) -> Heard {
    let mut stream = match raw(target, &target.link.own_caller(None)).await {
        Ok(stream) => stream,
        Err(reason) => return Heard::Broken(reason),
    };
    let mut first = [0; 128];
    match timeout(MOMENT, stream.read(&mut first)).await {
        Err(_) => Heard::Silence,
        Ok(Ok(0)) => Heard::End("closes it"),
        Ok(Err(_)) => Heard::End("resets it"),
        Ok(Ok(count)) => Heard::Words(line(first.get(..count).unwrap_or_default())),
    }
}

/// The first line, without what a terminal would take for a command.
fn line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().next().unwrap_or_default();
    line.chars()
        .map(|sign| if sign.is_control() { '.' } else { sign })
        .collect()
}

async fn raw(target: &Target<'_>, caller: &Caller) -> Result<Raw, String> {
    match timeout(
        target.patience,
        upstream::reach(target.server, None, caller),
    )
    .await
    {
        Ok(Ok((raw, _))) => Ok(raw),
        Ok(Err(unreachable)) => Err(unreachable.to_string()),
        Err(_) => Err(format!(
            "no connection in {}",
            super::short(target.patience)
        )),
    }
}

/// A handshake by the pool's rules: what was agreed, or what is wrong and what to try.
pub async fn handshake(target: &Target<'_>, secure: &Secure) -> Result<String, (String, String)> {
    let look = "look whether the server is restarting".to_owned();
    let stream = raw(target, &target.link.own_caller(None)).await;
    let stream = stream.map_err(|reason| (reason, look))?;
    let name = target.link.name(target.server);
    let handshake = secure.handshake(name.as_ref(), Some(target.link.alpn()), stream);
    let stream = match timeout(target.patience.max(PATIENCE), handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(trouble)) => {
            return Err((
                format!("the handshake failed: {}", trouble.what),
                trouble.advice.to_owned(),
            ));
        }
        Err(_) => {
            return Err((
                "the server says nothing to a handshake".to_owned(),
                "it may speak no TLS at that port: remove tls from the pool, or write the port that speaks it".to_owned(),
            ));
        }
    };
    Ok(agreed(&stream, secure.verify))
}

/// Version, names and end of validity.
fn agreed<S>(stream: &SslStream<S>, verified: bool) -> String {
    let ssl = stream.ssl();
    let mut seen = ssl.version_str().to_owned();
    if let Some(leaf) = ssl.peer_certificate() {
        let names = names(&leaf);
        let more = names.len().saturating_sub(NAMES_TOLD);
        let told: Vec<String> = names.into_iter().take(NAMES_TOLD).collect();
        seen = format!(
            "{seen}, certificate for {}{}, valid until {}",
            told.join(", "),
            if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            },
            leaf.not_after()
        );
    }
    if let Some(chain) = ssl.peer_cert_chain() {
        seen = format!("{seen}, chain of {}", chain.len());
    }
    format!(
        "{seen}, {}",
        if verified { "verified" } else { "not verified" }
    )
}

/// Whether the server speaks TLS, whatever its certificate is.
pub async fn speaks_tls(target: &Target<'_>) -> bool {
    let Ok(secure) = Secure::unverified() else {
        return false;
    };
    let Ok(stream) = raw(target, &Caller::default()).await else {
        return false;
    };
    let handshake = secure.handshake(None, None, stream);
    matches!(timeout(PATIENCE, handshake).await, Ok(Ok(_)))
}

/// A request.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub host: &'a str,
    /// Further fields, each with its line end.
    pub fields: &'a str,
}

/// Asks the server by the pool's rules, or as another caller. Returns the status; `None`: no answer that is HTTP.
pub async fn status(
    target: &Target<'_>,
    caller: &Caller,
    question: Question<'_>,
    patience: Duration,
) -> Option<u16> {
    status_by(target.link.http2(), target, caller, question, patience).await
}

/// As [`status`], by HTTP/2 or HTTP/1.1 whatever the pool's rules are.
pub async fn status_by(
    http2: bool,
    target: &Target<'_>,
    caller: &Caller,
    question: Question<'_>,
    patience: Duration,
) -> Option<u16> {
    let asked = async {
        let stream = raw(target, caller).await.ok()?;
        match target.link.secure() {
            None => exchange(http2, stream, question, "http").await,
            Some(secure) => {
                let name = target.link.name(target.server);
                let alpn = Some(target.link.alpn());
                let stream = secure.handshake(name.as_ref(), alpn, stream).await.ok()?;
                exchange(http2, stream, question, "https").await
            }
        }
    };
    timeout(patience, asked).await.ok().flatten()
}

async fn exchange<S>(http2: bool, stream: S, question: Question<'_>, scheme: &str) -> Option<u16>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if http2 {
        let request = by_http2(question, scheme)?;
        let answer = exchange_http2(stream, request, Bytes::new()).await?;
        return Some(answer.status);
    }
    exchange_http1(stream, question).await.ok().flatten()
}

async fn exchange_http1<S>(mut stream: S, question: Question<'_>) -> io::Result<Option<u16>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Question {
        method,
        path,
        host,
        fields,
    } = question;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\nConnection: close\r\n{fields}\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    while answer.len() < LONGEST {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
        if answer.contains(&b'\n') {
            break;
        }
    }
    Ok(status_of(&answer))
}

/// A request as HTTP/2 has it. `None`: a field of it can't be sent.
fn by_http2(question: Question<'_>, scheme: &str) -> Option<Request<()>> {
    let Question {
        method,
        path,
        host,
        fields,
    } = question;
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{scheme}://{host}{path}"))
        .header(http::header::USER_AGENT, AGENT);
    for (name, value) in fields.lines().filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    request.body(()).ok()
}

/// What came back by HTTP/2.
pub struct Answer {
    pub status: u16,
    /// The last header section: the trailers, if there are any.
    pub last: HeaderMap,
}

async fn exchange_http2<S>(stream: S, request: Request<()>, body: Bytes) -> Option<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (sender, connection) = h2::client::handshake(stream).await.ok()?;
    let mut connection = std::pin::pin!(connection);
    let asked = async {
        let mut sender = sender.ready().await.ok()?;
        let (response, mut sending) = sender.send_request(request, body.is_empty()).ok()?;
        if !body.is_empty() {
            sending.send_data(body, true).ok()?;
        }
        whole(response.await.ok()?).await
    };
    tokio::select! {
        biased;
        answer = asked => answer,
        _ = connection.as_mut() => None,
    }
}

/// Reads an answer to its end, or as much of it as is looked at.
async fn whole(response: Response<h2::RecvStream>) -> Option<Answer> {
    let status = response.status().as_u16();
    let (head, mut body) = response.into_parts();
    let mut seen = 0;
    while let Some(data) = body.data().await {
        let count = data.ok()?.len();
        seen += count;
        if seen > LONGEST {
            return Some(Answer {
                status,
                last: head.headers,
            });
        }
        // A window that can't be given back is the connection's end, which is seen with the next data.
        drop(body.flow_control().release_capacity(count));
    }
    let trailers = body.trailers().await.ok().flatten();
    Some(Answer {
        status,
        last: trailers.unwrap_or(head.headers),
    })
}

/// Calls a method of gRPC, with an empty message, by the pool's rules.
pub async fn call(target: &Target<'_>, path: &str, patience: Duration) -> Option<Answer> {
    let host = target.server.configured_address().to_string();
    let question = Question {
        method: "POST",
        path,
        host: &host,
        fields: "content-type: application/grpc\r\nte: trailers\r\n",
    };
    let message = Bytes::from_static(&[0; 5]);
    let asked = async {
        let caller = target.link.own_caller(None);
        let stream = raw(target, &caller).await.ok()?;
        match target.link.secure() {
            None => exchange_http2(stream, by_http2(question, "http")?, message).await,
            Some(secure) => {
                let name = target.link.name(target.server);
                let alpn = Some(target.link.alpn());
                let stream = secure.handshake(name.as_ref(), alpn, stream).await.ok()?;
                exchange_http2(stream, by_http2(question, "https")?, message).await
            }
        }
    };
    timeout(patience, asked).await.ok().flatten()
}

/// The status in the first line of an answer.
fn status_of(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.")?;
    let digits = rest.get(2..5)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_from_the_first_line() {
        assert_eq!(status_of(b"HTTP/1.1 204 No Content\r\n"), Some(204));
        assert_eq!(status_of(b"HTTP/1.0 500\r\n"), Some(500));
        for other in [
            &b""[..],
            b"HTTP/1.1",
            b"HTTP/2 200",
            b"220 mail",
            b"HTTP/1.1 abc\r\n",
        ] {
            assert_eq!(status_of(other), None);
        }
    }

    #[test]
    fn what_a_server_says_is_shown_without_commands() {
        assert_eq!(line(b"220 ready\x1b[2J\r\nmore"), "220 ready.[2J");
    }
}
