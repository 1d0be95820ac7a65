//! Asks a running instance through its admin listener.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_openssl::SslStream;

use super::place::Place;
use super::whom::{Found, Token, Whom, WhomError};

/// Most that is read of an answer: the status of many servers is large.
const LARGEST_ANSWER: usize = 256 * 1024 * 1024;

/// How a listener with TLS is known to be the right one.
#[derive(Debug)]
pub enum Trust {
    /// By its name, and these authorities or the system's.
    Authorities(Option<PathBuf>),
    /// By showing one of these certificates.
    Exactly(Vec<X509>),
}

/// An instance that can be asked.
#[derive(Debug)]
pub struct Client {
    found: Found,
    token: Option<String>,
}

/// What it answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A process can't be signalled.
    #[error("process {0} can't be asked: {1}")]
    Signal(i32, nix::Error),
    /// It isn't known whom to ask.
    #[error(transparent)]
    Whom(#[from] WhomError),
    /// The system gives no thread.
    #[error("no worker thread: {0}")]
    Runtime(io::Error),
    /// Nobody is there.
    #[error("cannot connect to {0}: {1}")]
    Connect(Place, io::Error),
    /// No TLS with whoever is there.
    #[error("no TLS with {0}: {1}")]
    Tls(Place, String),
    /// It is somebody else.
    #[error("{0} doesn't answer as an admin listener does: {1}")]
    Exchange(Place, String),
    /// It takes too long.
    #[error("no answer from {0} in {1} s")]
    Late(Place, u64),
    /// It says no, with its words; and what it lists.
    #[error("{1}{more}", more = .2.iter().fold(String::new(), |all, one| all + "\n" + one))]
    Refused(StatusCode, String, Vec<String>),
}

impl ClientError {
    /// The exit status that says it: 2 where it isn't known whom to ask, or what a configuration is refused for.
    pub fn status(&self) -> u8 {
        match self {
            Self::Whom(_) => 2,
            _ => 1,
        }
    }
}

/// A problem document (RFC 9457), as far as it is shown.
#[derive(Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    problems: Vec<String>,
}

impl Client {
    /// Finds out whom to ask.
    ///
    /// # Errors
    /// It isn't known.
    pub fn find(whom: &Whom, token: Option<&Token>) -> Result<Self, ClientError> {
        let found = whom.find()?;
        let token = match token {
            Some(token) => token.read(&found)?,
            None => None,
        };
        Ok(Self { found, token })
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.found.place
    }

    /// Asks, and gives whatever is answered within that time.
    ///
    /// # Errors
    /// There is no answer.
    pub fn ask(
        &self,
        method: Method,
        target: &str,
        body: Option<&serde_json::Value>,
        limit: Duration,
    ) -> Result<Answer, ClientError> {
        let request = self.request(method, target, body)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ClientError::Runtime)?;
        runtime.block_on(async {
            match tokio::time::timeout(limit, self.connect(request)).await {
                Ok(answer) => answer,
                Err(_) => Err(ClientError::Late(self.found.place.clone(), limit.as_secs())),
            }
        })
    }

    /// Asks, and gives the answer if it is a success.
    ///
    /// # Errors
    /// There is no answer, or it is no.
    pub fn obtain(
        &self,
        method: Method,
        target: &str,
        body: Option<&serde_json::Value>,
        limit: Duration,
    ) -> Result<Bytes, ClientError> {
        let answer = self.ask(method, target, body, limit)?;
        if answer.status.is_success() {
            return Ok(answer.body);
        }
        Err(match serde_json::from_slice::<Problem>(&answer.body) {
            Ok(problem) => ClientError::Refused(answer.status, problem.detail, problem.problems),
            Err(_) => self.nonsense(format!("status {}", answer.status)),
        })
    }

    /// It isn't what it should be.
    pub fn nonsense(&self, why: String) -> ClientError {
        ClientError::Exchange(self.found.place.clone(), why)
    }

    fn request(
        &self,
        method: Method,
        target: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let host = match &self.found.place {
            Place::Tcp(authority) | Place::Tls(authority) => authority,
            Place::Unix(_) => "localhost",
        };
        let bytes = body.map(ToString::to_string).unwrap_or_default();
        let mut request = Request::new(Full::new(Bytes::from(bytes)));
        *request.method_mut() = method;
        *request.uri_mut() = target
            .parse::<Uri>()
            .map_err(|error| self.nonsense(error.to_string()))?;
        let fields = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(host) {
            fields.insert(header::HOST, host);
        }
        if body.is_some() {
            let json = HeaderValue::from_static("application/json");
            fields.insert(header::CONTENT_TYPE, json);
        }
        if let Some(token) = &self.token
            && let Ok(mut token) = HeaderValue::from_str(&format!("Bearer {token}"))
        {
            token.set_sensitive(true);
            fields.insert(header::AUTHORIZATION, token);
        }
        Ok(request)
    }

    async fn connect(&self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        let place = &self.found.place;
        let failed = |error| ClientError::Connect(place.clone(), error);
        match place {
            Place::Tcp(authority) => {
                let stream = TcpStream::connect(authority).await.map_err(failed)?;
                self.exchange(stream, request).await
            }
            Place::Tls(authority) => {
                let stream = TcpStream::connect(authority).await.map_err(failed)?;
                let stream = self.secure(authority, stream).await?;
                self.exchange(stream, request).await
            }
            Place::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(failed)?;
                self.exchange(stream, request).await
            }
        }
    }

    async fn secure(
        &self,
        authority: &str,
        stream: TcpStream,
    ) -> Result<SslStream<TcpStream>, ClientError> {
        let failed = |why: String| ClientError::Tls(self.found.place.clone(), why);
        let refused = |error: ErrorStack| failed(error.to_string());
        let connector = self.connector().map_err(refused)?;
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        let host = host.trim_matches(['[', ']']);
        let by_name = matches!(self.found.trust, Trust::Authorities(_));
        let ssl = connector
            .configure()
            .and_then(|ssl| ssl.verify_hostname(by_name).into_ssl(host))
            .map_err(refused)?;
        let mut stream = SslStream::new(ssl, stream).map_err(refused)?;
        if let Err(error) = std::pin::Pin::new(&mut stream).connect().await {
            let verified = stream.ssl().verify_result();
            let why = match error.ssl_error() {
                Some(_) if verified != openssl::x509::X509VerifyResult::OK => {
                    format!(
                        "{} (--ca FILE names other authorities)",
                        verified.error_string()
                    )
                }
                _ => error.to_string(),
            };
            return Err(failed(why));
        }
        if let Trust::Exactly(known) = &self.found.trust {
            let shown = stream.ssl().peer_certificate();
            if !shown.is_some_and(|shown| known.contains(&shown)) {
                return Err(failed(
                    "it shows a certificate that isn't the configuration's".to_owned(),
                ));
            }
        }
        Ok(stream)
    }

    fn connector(&self) -> Result<SslConnector, ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        match &self.found.trust {
            Trust::Exactly(_) => builder.set_verify(SslVerifyMode::NONE),
            Trust::Authorities(Some(file)) => builder.set_ca_file(file)?,
            Trust::Authorities(None) => {
                let system = openssl_probe::probe();
                let (file, directory) = (system.cert_file.as_deref(), system.cert_dir.as_deref());
                if file.is_some() || directory.is_some() {
                    builder.load_verify_locations(file, directory)?;
                }
            }
        }
        Ok(builder.build())
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, ClientError> {
        let failed = |error: hyper::Error| self.nonsense(error.to_string());
        let io = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
            .await
            .map_err(failed)?;
        let asked = async {
            let response = sender.send_request(request).await.map_err(failed)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), LARGEST_ANSWER)
                .collect()
                .await
                .map_err(|error| self.nonsense(error.to_string()))?;
            Ok(Answer {
                status,
                body: body.to_bytes(),
            })
        };
        let driven = async {
            // What the connection fails of, the request fails of.
            drop(connection.await);
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            answer = asked => answer,
            never = driven => match never {},
        }
    }
}
