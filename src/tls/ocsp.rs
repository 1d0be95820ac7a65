//! OCSP stapling (RFC 6066 section 8, RFC 6960): what a certificate's issuer says of it now, shown with it.
//!
//! Answers are asked for in the background, of whom the certificate names, and only good ones that the issuer has signed
//! are shown. A responder that is away delays nobody: the last answer is shown until its time is over, and then none.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::uri::Authority;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::ocsp::{
    OcspCertId, OcspCertStatus, OcspFlag, OcspRequest, OcspResponse, OcspResponseStatus,
};
use openssl::sha::sha256;
use openssl::ssl::{SslConnector, SslMethod, SslVersion};
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Ref};
use parking_lot::RwLock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_openssl::SslStream;

use super::certificate::Loaded;
use crate::supervise;

/// For a question and its whole answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers are a few kilobytes.
const LARGEST: usize = 64 * 1024;
/// How often a responder is asked at most, and how soon again after a failure.
const PAUSE: Duration = Duration::from_secs(5 * 60);
/// An answer that doesn't say when the next one comes is asked for again, and shown no longer than twice as long.
const UNKNOWN_LIFE: Duration = Duration::from_secs(3600);
/// Clocks may differ by this much, in seconds.
const SKEW: u32 = 300;

/// A certificate by the SHA-256 of all of it.
type Which = [u8; 32];

/// The answers of a listener's certificates.
#[derive(Default)]
pub struct Staples(RwLock<HashMap<Which, Staple>>);

struct Staple {
    /// As it is shown; nothing before the first.
    answer: Option<Arc<[u8]>>,
    /// Until when.
    ends: SystemTime,
    /// When the responder is asked again.
    again: SystemTime,
}

/// What a responder is asked.
pub struct Question {
    which: Which,
    url: Uri,
    request: Vec<u8>,
    id: OcspCertId,
    issuer: X509,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OcspError {
    /// There is no way to the responder, or it broke off.
    #[error("{0} can't be asked: {1}")]
    Unreachable(Uri, std::io::Error),
    /// It isn't who it should be, or speaks no TLS.
    #[error("TLS with {0} failed: {1}")]
    Tls(Uri, openssl::ssl::Error),
    /// It speaks no HTTP.
    #[error("{0} gave no answer: {1}")]
    Exchange(Uri, Box<dyn std::error::Error + Send + Sync>),
    /// It said something else.
    #[error("{0} answered with status {1}")]
    Status(Uri, StatusCode),
    /// It took too long.
    #[error("{0} did not answer in {seconds} s", seconds = PATIENCE.as_secs())]
    Slow(Uri),
    /// Its answer is of no use.
    #[error("the answer of {0} is not shown: {1}")]
    Useless(Uri, &'static str),
}

impl Staples {
    /// What is shown with a certificate at `now`.
    pub fn of(&self, leaf: &X509Ref, now: SystemTime) -> Option<Arc<[u8]>> {
        let which = which(leaf)?;
        let staples = self.0.read();
        let staple = staples.get(&which)?;
        staple.answer.clone().filter(|_| now < staple.ends)
    }

    /// What is to be asked at `now` about these certificates. Answers about others are forgotten.
    pub fn due(&self, certificates: &[Arc<Loaded>], now: SystemTime) -> Vec<Question> {
        let mut due = Vec::new();
        let mut staples = self.0.write();
        let known: Vec<Which> = certificates
            .iter()
            .filter_map(|loaded| which(&loaded.identity.leaf))
            .collect();
        staples.retain(|which, _| known.contains(which));
        for (loaded, which) in certificates.iter().zip(known) {
            let staple = staples.get(&which);
            // A clock that is set back makes nobody wait for longer.
            let is_due = staple.is_none_or(|staple| {
                now >= staple.again
                    || staple
                        .again
                        .duration_since(now)
                        .is_ok_and(|left| left > Duration::from_secs(14 * 24 * 3600))
            });
            if is_due && let Some(question) = question(loaded, which) {
                let staple = staples.entry(which).or_insert(Staple {
                    answer: None,
                    ends: now,
                    again: now,
                });
                staple.again = now + PAUSE;
                due.push(question);
            }
        }
        due
    }

    /// Shows an answer from now on.
    fn put(&self, which: Which, answer: &[u8], ends: SystemTime, now: SystemTime) {
        let left = ends.duration_since(now).unwrap_or_default();
        // At half its time, so that a responder may be away for a while.
        let again = now + (left / 2).max(PAUSE);
        let staple = Staple {
            answer: Some(answer.into()),
            ends,
            again,
        };
        self.0.write().insert(which, staple);
    }

    /// Asks, and shows what is answered.
    ///
    /// # Errors
    ///
    /// Why there is nothing new to show; what was shown is shown as long as it may.
    pub async fn ask(&self, question: Question) -> Result<(), OcspError> {
        let url = question.url.clone();
        let answered = timeout(PATIENCE, exchange(&url, question.request.clone())).await;
        let answer = answered.map_err(|_| OcspError::Slow(url.clone()))??;
        let now = SystemTime::now();
        let ends = judge(&question, &answer, now).map_err(|why| OcspError::Useless(url, why))?;
        self.put(question.which, &answer, ends, now);
        Ok(())
    }
}

fn which(leaf: &X509Ref) -> Option<Which> {
    Some(sha256(&leaf.to_der().ok()?))
}

/// `None`: nobody is named who could be asked, or the issuer isn't known.
fn question(loaded: &Loaded, which: Which) -> Option<Question> {
    let identity = &loaded.identity;
    let responders = identity.leaf.ocsp_responders().ok()?;
    let url = responders.iter().find_map(|url| {
        url.parse::<Uri>()
            .ok()
            .filter(|url| matches!(url.scheme_str(), Some("http" | "https")))
    })?;
    let issuer = identity.issuer.clone()?;
    let id = || OcspCertId::from_cert(MessageDigest::sha1(), &identity.leaf, &issuer);
    let mut request = OcspRequest::new().ok()?;
    request.add_id(id().ok()?).ok()?;
    Some(Question {
        which,
        url,
        request: request.to_der().ok()?,
        id: id().ok()?,
        issuer,
    })
}

/// Asks whom the URL names. One with `https` is verified by the system's authorities.
async fn exchange(url: &Uri, request: Vec<u8>) -> Result<Bytes, OcspError> {
    let unreachable = |error| OcspError::Unreachable(url.clone(), error);
    let is_secure = url.scheme_str() == Some("https");
    let host = url.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let socket = TcpStream::connect((bare, port))
        .await
        .map_err(unreachable)?;
    if is_secure {
        let stream = secure(bare, socket).await;
        let stream = stream.map_err(|error| OcspError::Tls(url.clone(), error))?;
        converse(url, stream, request).await
    } else {
        converse(url, socket, request).await
    }
}

async fn secure(
    host: &str,
    socket: TcpStream,
) -> Result<SslStream<TcpStream>, openssl::ssl::Error> {
    let mut connector = SslConnector::builder(SslMethod::tls_client())?;
    connector.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    // Ours is built from source and doesn't know where this system keeps them.
    let system = openssl_probe::probe();
    connector.load_verify_locations(system.cert_file.as_deref(), system.cert_dir.as_deref())?;
    let ssl = connector.build().configure()?.into_ssl(host)?;
    let mut stream = SslStream::new(ssl, socket)?;
    Pin::new(&mut stream).connect().await?;
    Ok(stream)
}

/// RFC 6960 appendix A.
async fn converse<S>(url: &Uri, stream: S, request: Vec<u8>) -> Result<Bytes, OcspError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken =
        |error: Box<dyn std::error::Error + Send + Sync>| OcspError::Exchange(url.clone(), error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(error.into()))?;
    supervise::once(async move {
        // Its errors are the exchange's.
        drop(connection.await);
    });
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, url.authority().map_or("", Authority::as_str))
        .header(CONTENT_TYPE, "application/ocsp-request")
        .body(Full::new(Bytes::from(request)))
        .map_err(|error| broken(error.into()))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| broken(error.into()))?;
    if response.status() != StatusCode::OK {
        return Err(OcspError::Status(url.clone(), response.status()));
    }
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    Ok(body.map_err(broken)?.to_bytes())
}

/// Until when an answer may be shown.
///
/// # Errors
///
/// Why it may not, in words.
fn judge(question: &Question, answer: &[u8], now: SystemTime) -> Result<SystemTime, &'static str> {
    let answer = OcspResponse::from_der(answer).map_err(|_| "it is no OCSP response")?;
    if answer.status() != OcspResponseStatus::SUCCESSFUL {
        return Err("the responder refuses");
    }
    let basic = answer.basic().map_err(|_| "it is of an unknown kind")?;
    let trusted = issuer_alone(&question.issuer).map_err(|_| "OpenSSL fails")?;
    let mut certificates = Stack::new().map_err(|_| "OpenSSL fails")?;
    certificates
        .push(question.issuer.clone())
        .map_err(|_| "OpenSSL fails")?;
    basic
        .verify(&certificates, &trusted, OcspFlag::empty())
        .map_err(|_| "it is not signed by the certificate's issuer, or in its name")?;
    let status = basic
        .find_status(&question.id)
        .ok_or("it is about another certificate")?;
    if status.status == OcspCertStatus::REVOKED {
        return Err("the certificate is revoked: clients are going to refuse it, replace it now");
    }
    if status.status != OcspCertStatus::GOOD {
        return Err("the responder doesn't know the certificate");
    }
    status
        .check_validity(SKEW, None)
        .map_err(|_| "its time is over, or hasn't come")?;
    match status.next_update() {
        Some(next) => moment(&next.to_string()).ok_or("it has no date that could be read"),
        None => Ok(now + UNKNOWN_LIFE * 2),
    }
}

fn issuer_alone(issuer: &X509) -> Result<X509Store, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    // An intermediate is as good as a root here: what it has signed is what it says.
    store.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    store.add_cert(issuer.clone())?;
    Ok(store.build())
}

/// A time as OpenSSL prints it: `Nov 29 19:00:00 2026 GMT`.
fn moment(text: &str) -> Option<SystemTime> {
    let mut parts = text.split_ascii_whitespace();
    let (month, day, time, year) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // HTTP's form of it has the day of the week, too, and only the right one is taken.
    ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
        .iter()
        .find_map(|weekday| {
            let date = format!("{weekday}, {day:0>2} {month} {year} {time} GMT");
            httpdate::parse_http_date(&date).ok()
        })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn openssls_words_for_a_moment_are_read() {
        let second = |text| {
            let at = moment(text)?;
            Some(at.duration_since(UNIX_EPOCH).unwrap().as_secs())
        };
        assert_eq!(second("Nov 29 19:00:00 2026 GMT"), Some(1_795_978_800));
        assert_eq!(second("Jan  2 03:04:05 1970 GMT"), Some(97_445));
        assert_eq!(second("Bad time value"), None);
    }
}
