//! What a server says: when nobody has said anything, by TLS, and to a request.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};
use tokio_openssl::SslStream;

use super::{PATIENCE, Target};
use crate::headers::Fields;
use crate::health::Exchange;
use crate::http::wire::message::RequestHeader;
use crate::tls::certificate::names;
use crate::upstream;
use crate::upstream::{Caller, Raw, Secure};

/// How long a server that closes a connection at once may take to do so.
const MOMENT: Duration = Duration::from_millis(500);

/// Bytes of an answer that are looked at.
const LONGEST: usize = 16 * 1024;

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
    pub method: &'a Method,
    pub path: &'a str,
    pub host: &'a str,
    pub fields: &'a [(HeaderName, HeaderValue)],
}

impl Question<'_> {
    /// It as it is sent. `None`: there is no such host.
    fn request(self, exchange: &Exchange<'_>) -> Option<RequestHeader> {
        let host = HeaderValue::try_from(self.host).ok()?;
        let mut request = exchange.request(self.method.clone(), self.path, Some(&host));
        let agent = HeaderValue::from_static("equipoise-diagnose");
        request.headers.insert(USER_AGENT, agent);
        for (name, value) in self.fields {
            request.headers.append(name.clone(), value.clone());
        }
        Some(request)
    }
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
    let exchange = exchange(target, caller, patience);
    let asked = async {
        let request = question.request(&exchange)?;
        let mut answer = exchange.ask(request, Bytes::new(), http2).await.ok()?;
        answer.head().await.ok()
    };
    let head = timeout(patience, asked).await.ok().flatten();
    head.map(|head| head.status.as_u16())
}

fn exchange<'a>(target: &Target<'a>, caller: &Caller, patience: Duration) -> Exchange<'a> {
    let deadline = Instant::now() + patience;
    Exchange::of(caller.clone(), target.server, None, target.link, deadline)
}

/// What a method of gRPC answered.
pub struct Answer {
    pub status: u16,
    /// The last header section: the trailers, if there are any.
    pub last: Fields,
}

/// Calls a method of gRPC, with an empty message, by the pool's rules.
pub async fn call(target: &Target<'_>, path: &str, patience: Duration) -> Option<Answer> {
    let host = target.server.configured_address().to_string();
    let fields = [
        (CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
        (TE, HeaderValue::from_static("trailers")),
    ];
    let question = Question {
        method: &Method::POST,
        path,
        host: &host,
        fields: &fields,
    };
    let exchange = exchange(target, &target.link.own_caller(None), patience);
    let asked = async {
        let request = question.request(&exchange)?;
        let message = Bytes::from_static(&[0; 5]);
        let mut answer = exchange.ask(request, message, true).await.ok()?;
        let head = answer.head().await.ok()?;
        let trailers = answer.trailers(LONGEST).await.ok()?;
        Some(Answer {
            status: head.status.as_u16(),
            last: trailers.unwrap_or(head.headers),
        })
    };
    timeout(patience, asked).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_shown_without_commands() {
        assert_eq!(line(b"220 ready\x1b[2J\r\nmore"), "220 ready.[2J");
    }
}
