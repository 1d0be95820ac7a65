//! The handshake with a client, and what becomes of one that fails.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use openssl::ssl::{ErrorCode, NameType, Ssl, SslRef};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio_openssl::SslStream;

use super::{Serving, Terminator};
use crate::observe::Termination;
use crate::tls::client_auth;
use crate::tls::context;
use crate::tls::established::Established;

/// How long a client is still listened to whose handshake is at its end: by a failure, or by our stop.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// OpenSSL's word for a handshake whose first message hasn't come.
const NOTHING_YET: &str = "before SSL initialization";

/// OpenSSL's words for some requests of HTTP, by their methods.
const KNOWN_AS_HTTP: [&str; 2] = ["http request", "https proxy request"];

/// Bytes of a first line in which HTTP is looked for.
const FIRST_LINE: u64 = 16 * 1024;

/// The answer to a client that speaks HTTP without TLS.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 59\r\nConnection: close\r\n\r\n\
    This port speaks TLS, and you speak plain HTTP: use https.\n";

/// A handshake that came to nothing, as the access log tells it.
#[derive(Debug)]
pub struct HandshakeFailure {
    /// Why.
    pub termination: Termination,
    /// The status that was sent to a client that speaks HTTP without TLS.
    pub status: Option<u16>,
    /// The name that the client asked for, in lower case, if it came that far.
    pub sni: Option<Box<str>>,
}

impl HandshakeFailure {
    fn of(termination: Termination, ssl: &SslRef) -> Self {
        Self {
            termination,
            status: None,
            sni: server_name(ssl),
        }
    }
}

impl Terminator {
    /// Does the handshake. `hurry` resolves when the process is to end.
    ///
    /// # Errors
    ///
    /// There is nothing more to do with the connection: what there is to tell of it, or nothing if the client came and
    /// went without a word, as health checks do, or was an authority that looked at a challenge.
    pub async fn accept(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        hurry: impl Future<Output = ()>,
    ) -> Result<(SslStream<TcpStream>, Established), Option<HandshakeFailure>> {
        let serving = self.serving.load_full();
        let ssl = Ssl::new(&serving.context).map_err(|_| None)?;
        let mut stream = SslStream::new(ssl, socket).map_err(|_| None)?;
        let (accepted, late) = {
            let mut accept = std::pin::pin!(self.shake_hands(&mut stream));
            let in_time = tokio::time::timeout(serving.timeout, &mut accept);
            tokio::select! {
                biased;
                accepted = in_time => (accepted.ok(), Termination::ClientTimeout),
                // A client in the middle of its handshake may still finish it.
                () = hurry => {
                    let last = tokio::time::timeout(LAST_WORDS, accept).await;
                    (last.ok(), Termination::Shutdown)
                }
            }
        };
        match accepted {
            Some(Ok(())) if context::is_validation(stream.ssl()) => {
                drop(stream.shutdown().await);
                Err(None)
            }
            Some(Ok(())) => match established(stream.ssl(), &serving) {
                Ok(established) => {
                    self.counts
                        .succeeded(established.version, established.resumed);
                    Ok((stream, established))
                }
                Err(reason) => {
                    self.counts.failed.inc();
                    tracing::info!(listener = &*self.listener, %peer, reason, "TLS handshake refused");
                    Err(Some(HandshakeFailure::of(
                        Termination::ClientTls,
                        stream.ssl(),
                    )))
                }
            },
            Some(Err(error)) => Err(self.failed(&error, stream, peer, serving.strict_sni).await),
            None => {
                self.counts.timed_out.inc();
                tracing::debug!(listener = &*self.listener, %peer, "TLS handshake timed out");
                Err(has_begun(stream.ssl()).then(|| HandshakeFailure::of(late, stream.ssl())))
            }
        }
    }

    async fn shake_hands(
        &self,
        stream: &mut SslStream<TcpStream>,
    ) -> Result<(), openssl::ssl::Error> {
        loop {
            let accepted = Pin::new(&mut *stream).accept().await;
            match &accepted {
                Err(held_up) if held_up.code() == ErrorCode::WANT_CLIENT_HELLO_CB => {}
                _ => return accepted,
            }
            let name = context::validated_name(stream.ssl()).map(str::to_owned);
            let proof = match (name, self.challenges.clone()) {
                (Some(name), Some(challenges)) => {
                    let looked = spawn_blocking(move || challenges.certificate(&name)).await;
                    looked.ok().flatten()
                }
                _ => None,
            };
            context::prove(stream.ssl(), proof);
        }
    }

    /// Counts and tells a failed handshake, and gives what the access log is to say of it.
    async fn failed(
        &self,
        error: &openssl::ssl::Error,
        mut stream: SslStream<TcpStream>,
        peer: SocketAddr,
        strict_sni: bool,
    ) -> Option<HandshakeFailure> {
        let reason = reason(error).map(|words| match words {
            // Ours, which looks for the certificate.
            "callback failed" if strict_sni => "strict_sni, and no certificate covers the name",
            "callback failed" => "there is no certificate for the name now",
            words => words,
        });
        if reason.is_none() && !has_begun(stream.ssl()) {
            return None;
        }
        self.counts.failed.inc();
        let words = reason.unwrap_or("the client closed the connection");
        tracing::debug!(listener = &*self.listener, %peer, reason = words, "TLS handshake failed");
        if reason.is_none() {
            let gone = HandshakeFailure::of(Termination::ClientAborted, stream.ssl());
            return Some(gone);
        }
        let mut failure = HandshakeFailure::of(Termination::ClientTls, stream.ssl());
        let socket = stream.get_mut();
        let told = async {
            if KNOWN_AS_HTTP.contains(&words) || is_http(socket).await? {
                socket.write_all(SPEAK_TLS).await?;
                failure.status = Some(400);
            }
            socket.shutdown().await?;
            // Closing with something unread in it would take the answer, or OpenSSL's alert, back.
            let mut void = [0; 4096];
            while socket.read(&mut void).await? > 0 {}
            io::Result::Ok(())
        };
        drop(tokio::time::timeout(LAST_WORDS, told).await);
        Some(failure)
    }
}

/// Whether the rest of a first line that has come, behind what OpenSSL has read of it, is that of a request of HTTP: of any
/// method (RFC 9110 section 9.1), and HTTP/2's preface.
async fn is_http(socket: &mut TcpStream) -> io::Result<bool> {
    let mut line = Vec::new();
    BufReader::new(socket)
        .take(FIRST_LINE)
        .read_until(b'\n', &mut line)
        .await?;
    // Of "X / HTTP/1.1" OpenSSL has taken the H, too.
    Ok(matches!(
        line.trim_ascii_end(),
        [.., b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']
    ))
}

/// Whether a first message has come.
fn has_begun(ssl: &SslRef) -> bool {
    ssl.state_string_long() != NOTHING_YET
}

/// The name that the client asked for, in lower case.
fn server_name(ssl: &SslRef) -> Option<Box<str>> {
    let name = ssl.servername(NameType::HOST_NAME)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    Some(name.to_ascii_lowercase().into_boxed_str())
}

/// OpenSSL's words for a failed handshake; `None` if the connection ended.
fn reason(error: &openssl::ssl::Error) -> Option<&'static str> {
    error
        .ssl_error()
        .and_then(|stack| stack.errors().first())
        .and_then(openssl::error::Error::reason)
}

fn established(ssl: &SslRef, serving: &Serving) -> Result<Established, &'static str> {
    Ok(Established {
        version: ssl.version_str(),
        cipher: ssl.current_cipher().map_or("", |cipher| cipher.name()),
        sni: server_name(ssl),
        alpn: ssl.selected_alpn_protocol().and_then(|agreed| {
            let mut offered = serving.alpn.iter();
            offered.find(|alpn| alpn.wire() == agreed).cloned()
        }),
        resumed: ssl.session_reused(),
        client: client_auth::shown(ssl)?,
        forward_client: serving.forward_client,
        strict_sni: serving.strict_sni,
    })
}
