//! The way to the authority: HTTP/1.1 over TLS, with OpenSSL as everywhere else here, and with limits.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{HOST, RETRY_AFTER, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Uri};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use openssl::ssl::{SslConnector, SslMethod, SslVersion};
use openssl::x509::X509VerifyResult;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_openssl::SslStream;

use crate::observe::VERSION;
use crate::supervise;

/// For one address of the authority.
const CONNECT: Duration = Duration::from_secs(10);
/// For a request and its whole answer.
const ANSWER: Duration = Duration::from_secs(60);
/// Certificates and problems are small.
const LARGEST_BODY: usize = 1 << 20;

type Body = BodyWrapper<Bytes>;
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A client of one authority. Keeps its connection from request to request.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    tls: SslConnector,
    kept: tokio::sync::Mutex<Option<(Authority, SendRequest<Body>)>>,
    asked_to_wait: Mutex<Option<Duration>>,
}

/// Why the authority couldn't be asked.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{} can't be read as certificates to verify the authority by: {source}", file.display())]
    Ca {
        file: PathBuf,
        source: openssl::error::ErrorStack,
    },
    #[error("{0} is no https URL")]
    Url(Uri),
    #[error("the name {0} of the authority can't be resolved: {1}")]
    Resolve(String, io::Error),
    #[error("the name {0} of the authority has no address")]
    NoAddress(String),
    #[error("cannot connect to the authority at {0}: {1}")]
    Connect(String, io::Error),
    #[error(
        "the TLS certificate of the authority at {0} is not to be trusted: {1} (if it is a private one: acme.ca)"
    )]
    Untrusted(String, &'static str),
    #[error("TLS with the authority at {0} failed: {1}")]
    Tls(String, openssl::ssl::Error),
    #[error("the authority at {0} did not answer: {1}")]
    Exchange(String, hyper::Error),
    #[error("the authority at {0} did not answer in {seconds} s", seconds = ANSWER.as_secs())]
    Slow(String),
    #[error("the answer of the authority at {0} can't be read: {1}")]
    Answer(String, Failed),
}

impl Client {
    /// A client that verifies authorities by the certificates in `ca`, or by the system's.
    ///
    /// # Errors
    ///
    /// `ca` can't be read, or OpenSSL's.
    pub fn new(ca: Option<&Path>) -> Result<Self, Failed> {
        let mut tls = SslConnector::builder(SslMethod::tls_client())?;
        tls.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        if let Some(file) = ca {
            tls.set_ca_file(file).map_err(|source| Trouble::Ca {
                file: file.to_owned(),
                source,
            })?;
        } else {
            // Ours is built from source and doesn't know where this system keeps them.
            let system = openssl_probe::probe();
            tls.load_verify_locations(system.cert_file.as_deref(), system.cert_dir.as_deref())?;
        }
        Ok(Self(Arc::new(Inner {
            tls: tls.build(),
            kept: tokio::sync::Mutex::new(None),
            asked_to_wait: Mutex::new(None),
        })))
    }

    /// How long the authority asked to wait with its last refusal (RFC 8555 section 6.6).
    pub fn asked_to_wait(&self) -> Option<Duration> {
        *self.0.asked_to_wait.lock()
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<Body>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let name = request.uri().authority().map(Authority::to_string);
            let answered = timeout(ANSWER, inner.exchange(request)).await;
            let slow = || Trouble::Slow(name.unwrap_or_default());
            let response = answered.unwrap_or_else(|_| Err(slow()));
            let (parts, body) = response
                .map_err(|trouble| instant_acme::Error::Other(trouble.into()))?
                .into_parts();
            *inner.asked_to_wait.lock() = wish(parts.status, &parts.headers, SystemTime::now());
            Ok(BytesResponse {
                parts,
                body: Box::new(body),
            })
        })
    }
}

impl Inner {
    async fn exchange(&self, mut request: Request<Body>) -> Result<Response<Bytes>, Trouble> {
        let uri = request.uri().clone();
        let authority = match (uri.scheme_str(), uri.authority()) {
            (Some("https"), Some(authority)) => authority.clone(),
            _ => return Err(Trouble::Url(uri)),
        };
        prepare(&mut request, &authority)?;
        let name = || authority.to_string();
        // One request after the other: an order is a sequence.
        let mut kept = self.kept.lock().await;
        let mut known = kept.take().filter(|(known, _)| *known == authority);
        if let Some((_, sender)) = &mut known
            && sender.ready().await.is_err()
        {
            known = None;
        }
        let mut sender = match known {
            Some((_, sender)) => sender,
            None => self.connect(&authority).await?,
        };
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => {
                let Some(request) = error.take_message() else {
                    return Err(Trouble::Exchange(name(), error.into_error()));
                };
                // The kept connection was closed before anything was sent on it.
                sender = self.connect(&authority).await?;
                let sent = sender.send_request(request).await;
                sent.map_err(|error| Trouble::Exchange(name(), error))?
            }
        };
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, LARGEST_BODY).collect().await;
        let body = body.map_err(|error| Trouble::Answer(name(), error))?;
        *kept = Some((authority, sender));
        Ok(Response::from_parts(parts, body.to_bytes()))
    }

    async fn connect(&self, authority: &Authority) -> Result<SendRequest<Body>, Trouble> {
        let name = || authority.to_string();
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let tcp = dial(authority, host).await?;
        let tls = |error: openssl::error::ErrorStack| Trouble::Tls(name(), error.into());
        let ssl = self
            .tls
            .configure()
            .and_then(|tls| tls.into_ssl(host))
            .map_err(tls)?;
        let mut stream = SslStream::new(ssl, tcp).map_err(tls)?;
        if let Err(error) = Pin::new(&mut stream).connect().await {
            return Err(match stream.ssl().verify_result() {
                X509VerifyResult::OK => Trouble::Tls(name(), error),
                refused => Trouble::Untrusted(name(), refused.error_string()),
            });
        }
        let io = TokioIo::new(stream);
        let made = hyper::client::conn::http1::handshake(io).await;
        let (sender, connection) = made.map_err(|error| Trouble::Exchange(name(), error))?;
        // Ends with its sender. What it fails of, the request fails of.
        supervise::once(connection);
        Ok(sender)
    }
}

/// The first address that accepts.
async fn dial(authority: &Authority, host: &str) -> Result<TcpStream, Trouble> {
    let port = authority.port_u16().unwrap_or(443);
    let addresses = tokio::net::lookup_host((host, port)).await;
    let addresses = addresses.map_err(|error| Trouble::Resolve(host.to_owned(), error))?;
    let mut trouble = Trouble::NoAddress(host.to_owned());
    for address in addresses {
        let connected = timeout(CONNECT, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                // A hint, no more.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => trouble = Trouble::Connect(address.to_string(), error),
        }
    }
    Err(trouble)
}

/// The form that goes to an origin server, with our name in it (RFC 8555 section 6.1).
fn prepare(request: &mut Request<Body>, authority: &Authority) -> Result<(), Trouble> {
    let malformed = |uri: &Uri| Trouble::Url(uri.clone());
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| malformed(request.uri()))?;
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", PathAndQuery::as_str);
    let target: Uri = target.parse().map_err(|_| malformed(request.uri()))?;
    *request.uri_mut() = target;
    let library = request
        .headers()
        .get(USER_AGENT)
        .and_then(|name| name.to_str().ok());
    let agent = format!("equipoise/{VERSION} {}", library.unwrap_or_default());
    if let Ok(agent) = HeaderValue::from_str(agent.trim_end()) {
        request.headers_mut().insert(USER_AGENT, agent);
    }
    request.headers_mut().insert(HOST, host);
    Ok(())
}

/// `Retry-After` of a refusal: seconds or a date (RFC 9110 section 10.2.3).
fn wish(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if status.is_success() {
        return None;
    }
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(value)
        .ok()?
        .duration_since(now)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_may_ask_for_patience_in_seconds_or_with_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let wish = |status, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            wish(status, &headers, now)
        };
        let refused = StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(wish(refused, "120"), Some(Duration::from_secs(120)));
        let date = "Sun, 06 Nov 1994 08:50:37 GMT";
        assert_eq!(wish(refused, date), Some(Duration::from_secs(60)));
        assert_eq!(wish(refused, "Sun, 06 Nov 1994 08:00:00 GMT"), None);
        assert_eq!(wish(refused, "soon"), None);
        assert_eq!(wish(StatusCode::OK, "120"), None);
    }

    #[test]
    fn a_request_goes_out_in_origin_form_with_our_name() {
        let mut request = Request::get("https://acme.example.org:14000/dir?x=1")
            .header(USER_AGENT, "library/1")
            .body(Body::default())
            .unwrap();
        let authority = Authority::from_static("acme.example.org:14000");
        prepare(&mut request, &authority).unwrap();
        assert_eq!(request.uri(), "/dir?x=1");
        assert_eq!(request.headers()[HOST], "acme.example.org:14000");
        let agent = request.headers()[USER_AGENT].to_str().unwrap();
        assert!(agent.starts_with("equipoise/") && agent.ends_with(" library/1"));
    }

    #[test]
    fn a_ca_file_that_is_none_is_named() {
        let error = Client::new(Some(Path::new("/nowhere/ca.pem")))
            .err()
            .unwrap();
        assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    }
}
