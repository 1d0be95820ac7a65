//! A listener's TLS: handshakes with what is configured and in the files now.
//!
//! What is served is a snapshot behind an atomic pointer. [`Terminator::refresh`] looks at the files and puts the next
//! one in its place; a file that can't be used leaves what it held before in service.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use openssl::ssl::{ErrorCode, NameType, Ssl, SslContext, SslRef};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio_openssl::SslStream;

use super::certificate::{self, Severity};
use super::client_auth;
use super::context::{self, AlpnChallenges};
use super::established::Established;
use super::loaded::{Loaded, assemble, pipe};
use super::ocsp::Staples;
use super::ticket_keys::TicketKeys;
use super::trouble::Trouble;
use crate::config::model;
use crate::observe::metrics::{Metrics, TlsMetrics};
use crate::observe::{Termination, Topic};
use crate::supervise;

/// How long a client is still listened to whose handshake is at its end: by a failure, or by our stop.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// OpenSSL's word for a handshake whose first message hasn't come.
const NOTHING_YET: &str = "before SSL initialization";

/// OpenSSL's words for some requests of HTTP, by their methods.
const KNOWN_AS_HTTP: [&str; 2] = ["http request", "https proxy request"];

/// Bytes of a first line in which HTTP is looked for.
const FIRST_LINE: u64 = 16 * 1024;

/// What those get who speak HTTP here.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 59\r\nConnection: close\r\n\r\n\
    This port speaks TLS, and you speak plain HTTP: use https.\n";

/// Ends TLS for a listener.
pub struct Terminator {
    listener: Arc<str>,
    serving: ArcSwap<Serving>,
    loaded: Mutex<Loaded>,
    ticket_keys: Arc<TicketKeys>,
    staples: Arc<Staples>,
    challenges: Option<Arc<dyn AlpnChallenges>>,
    counts: TlsMetrics,
    metrics: Arc<Metrics>,
    /// Beside `loaded`, which is held while files are read.
    refused: Mutex<Vec<String>>,
}

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

/// A certificate that is served, for whoever shows it.
#[derive(Debug, Clone)]
pub struct ServedCertificate {
    /// The names that it is for.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// When its validity begins.
    pub not_before: SystemTime,
    /// When it ends.
    pub not_after: SystemTime,
    /// The file that it was read from.
    pub file: PathBuf,
    /// Whether it is obtained by itself.
    pub obtained: bool,
    /// What is wrong with it nevertheless, in words.
    pub findings: Vec<String>,
}

/// What handshakes use.
struct Serving {
    context: SslContext,
    timeout: Duration,
    strict_sni: bool,
    forward_client: bool,
}

impl Serving {
    fn of(
        loaded: &Loaded,
        ticket_keys: Arc<TicketKeys>,
        staples: &Arc<Staples>,
        validations: bool,
    ) -> Result<Self, Trouble> {
        let clients = loaded.settings.client_auth.as_ref();
        Ok(Self {
            context: loaded.context(ticket_keys, staples, validations)?,
            timeout: loaded.settings.handshake_timeout,
            strict_sni: loaded.settings.strict_sni,
            forward_client: clients.is_some_and(|clients| clients.forward),
        })
    }
}

impl Terminator {
    /// Serves what was loaded.
    ///
    /// # Errors
    ///
    /// What OpenSSL doesn't take.
    pub fn new(
        listener: &Arc<str>,
        loaded: Loaded,
        challenges: Option<Arc<dyn AlpnChallenges>>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Trouble> {
        let now = Instant::now();
        let ticket_keys = match &loaded.ticket_keys {
            Some(keys) => TicketKeys::of(keys.clone()),
            None => TicketKeys::random(now),
        };
        let staples = Arc::default();
        let serving = Serving::of(
            &loaded,
            Arc::clone(&ticket_keys),
            &staples,
            challenges.is_some(),
        )?;
        let terminator = Self {
            listener: Arc::clone(listener),
            serving: ArcSwap::from_pointee(serving),
            ticket_keys,
            staples,
            challenges,
            counts: metrics.tls(listener),
            metrics: Arc::clone(metrics),
            loaded: Mutex::new(loaded),
            refused: Mutex::default(),
        };
        terminator.tell();
        Ok(terminator)
    }

    /// What is served.
    pub fn certificates(&self) -> Vec<ServedCertificate> {
        let loaded = self.loaded.lock();
        let served = loaded.certificates.iter().map(|(source, one)| {
            let leaf = &one.identity.leaf;
            ServedCertificate {
                names: certificate::names(leaf),
                issuer: certificate::words::name(leaf.issuer_name()),
                not_before: certificate::not_before(leaf),
                not_after: certificate::not_after(leaf),
                file: source.cert.clone(),
                obtained: !loaded.settings.certificates.contains(source),
                findings: one.findings.iter().map(ToString::to_string).collect(),
            }
        });
        served.collect()
    }

    /// What can't be used of the files as they are now, in words, so that what they held before is served.
    pub fn refused(&self) -> Vec<String> {
        self.refused.lock().clone()
    }

    /// Whether what is served was configured like this.
    pub fn is_configured_as(&self, settings: &model::Tls) -> bool {
        self.loaded.lock().settings == *settings
    }

    /// Serves what was loaded anew from now on; connections that stand are not touched.
    ///
    /// # Errors
    ///
    /// What OpenSSL doesn't take; nothing is changed then.
    pub fn replace(&self, loaded: Loaded) -> Result<(), Trouble> {
        // Held throughout: a refresh under way would put the settings from before back in service.
        let mut guard = self.loaded.lock();
        let serving = Serving::of(
            &loaded,
            Arc::clone(&self.ticket_keys),
            &self.staples,
            self.challenges.is_some(),
        )?;
        self.ticket_keys
            .replace(loaded.ticket_keys.clone(), Instant::now());
        self.serving.store(Arc::new(serving));
        *guard = loaded;
        drop(guard);
        self.refused.lock().clear();
        self.tell();
        Ok(())
    }

    /// Its keys of session tickets and how old they are, if they are in no file.
    pub fn random_ticket_keys(&self, now: Instant) -> Option<(Vec<Vec<u8>>, Duration)> {
        self.ticket_keys.random_ones(now)
    }

    /// Goes on with another process's keys of session tickets, if they are in no file here.
    pub fn take_random_ticket_keys(&self, keys: &[Vec<u8>], age: Duration, now: Instant) {
        self.ticket_keys.take_random_ones(keys, age, now);
    }

    /// Looks whether files have changed, and serves what they hold now. To be called about once a second, where it may
    /// block.
    pub fn refresh(&self, now: SystemTime) {
        self.ticket_keys.maintain(Instant::now());
        let mut guard = self.loaded.lock();
        if !guard.watched.has_changed() {
            return;
        }
        let (settings, awaited) = (guard.settings.clone(), guard.awaited.clone());
        if let Some(trouble) = pipe(&settings, &awaited) {
            self.refuse(&[trouble]);
            return;
        }
        let mut loaded = assemble(&settings, &awaited, Some(&mut guard), now);
        let serving = Serving::of(
            &loaded,
            Arc::clone(&self.ticket_keys),
            &self.staples,
            self.challenges.is_some(),
        );
        match serving {
            Ok(serving) => {
                self.serving.store(Arc::new(serving));
                self.ticket_keys
                    .replace(loaded.ticket_keys.clone(), Instant::now());
            }
            Err(trouble) => loaded.broken.push(trouble),
        }
        self.refuse(&loaded.broken);
        if loaded.broken.is_empty() {
            self.counts.reloads_succeeded.inc();
            tracing::info!(
                listener = &*self.listener,
                "the files of TLS changed and are in use"
            );
            let data = json!({"listener": &*self.listener, "result": "in use"});
            self.metrics.events().publish(Topic::Certificate, data);
        }
        *guard = loaded;
        drop(guard);
        self.tell();
    }

    /// Has the issuers of certificates asked what they say of them, where it is time and that is to be shown. To be called
    /// now and then, within a runtime.
    pub fn ask_issuers(&self, now: SystemTime) {
        let due = {
            let loaded = self.loaded.lock();
            if !loaded.settings.ocsp_stapling {
                return;
            }
            let served = loaded.certificates.iter();
            let served: Vec<_> = served.map(|(_, loaded)| Arc::clone(loaded)).collect();
            self.staples.due(&served, now)
        };
        for question in due {
            let (staples, listener) = (Arc::clone(&self.staples), Arc::clone(&self.listener));
            supervise::once(async move {
                if let Err(error) = staples.ask(question).await {
                    tracing::warn!(
                        listener = &*listener,
                        "no new OCSP answer to staple: {error}; the last one is shown as long as it counts"
                    );
                }
            });
        }
    }

    /// Tells what can't be used, and goes on telling it to who asks.
    fn refuse(&self, troubles: &[Trouble]) {
        *self.refused.lock() = troubles.iter().map(ToString::to_string).collect();
        for trouble in troubles {
            self.counts.reloads_failed.inc();
            let data = json!({"listener": &*self.listener, "result": "refused", "reason": trouble.to_string()});
            self.metrics.events().publish(Topic::Certificate, data);
            tracing::error!(
                listener = &*self.listener,
                "{trouble}; what was in use before stays in use"
            );
        }
    }

    /// Tells logs and metrics what is served.
    fn tell(&self) {
        let loaded = self.loaded.lock();
        let mut expiries: HashMap<String, SystemTime> = HashMap::new();
        for (source, loaded) in &loaded.certificates {
            for found in &loaded.findings {
                let (listener, cert) = (&*self.listener, source.cert.display());
                match found.severity {
                    Severity::Mended => {
                        tracing::info!(listener, %cert, "{found}; sorted out for serving");
                    }
                    Severity::Warning => tracing::warn!(listener, %cert, "{found}"),
                    Severity::Error | Severity::Fatal => {
                        tracing::error!(listener, %cert, "{found}");
                    }
                }
            }
            let expiry = certificate::not_after(&loaded.identity.leaf);
            for name in certificate::names(&loaded.identity.leaf) {
                let earliest = expiries.entry(name).or_insert(expiry);
                *earliest = expiry.min(*earliest);
            }
        }
        self.tell_overdue(&loaded);
        self.metrics.set_certificates(&self.listener, &expiries);
    }

    fn tell_overdue(&self, loaded: &Loaded) {
        for trouble in loaded.overdue() {
            tracing::error!(listener = &*self.listener, "{trouble}");
        }
    }

    /// Reminds of certificates that end soon, and of what has run out. To be called about once a day.
    pub fn remind(&self, now: SystemTime) {
        const SOON: Duration = Duration::from_secs(30 * 24 * 3600);
        let loaded = self.loaded.lock();
        self.tell_overdue(&loaded);
        for (source, loaded) in &loaded.certificates {
            let left = certificate::not_after(&loaded.identity.leaf)
                .duration_since(now)
                .unwrap_or_default();
            if left < SOON {
                tracing::warn!(
                    listener = &*self.listener,
                    cert = %source.cert.display(),
                    "the certificate expires in {} days: renew it and put the files in its place",
                    left.as_secs() / (24 * 3600),
                );
            }
        }
    }

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
                // Who is in the middle of it may still make it.
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
        alpn: [model::Alpn::H2, model::Alpn::Http11]
            .into_iter()
            .find(|alpn| ssl.selected_alpn_protocol() == Some(alpn.wire())),
        resumed: ssl.session_reused(),
        client: client_auth::shown(ssl)?,
        forward_client: serving.forward_client,
        strict_sni: serving.strict_sni,
    })
}
