//! `equipoise healthcheck`: is a running instance ready for traffic? For containers, which have no shell and no curl.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::config;
use crate::config::model::AdminBind;

/// Most that is read of an answer; a reason is a line.
const LONGEST_ANSWER: usize = 4096;

/// What `healthcheck` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The admin listener: http://HOST:PORT or unix:/PATH. No configuration is read then.
    #[arg(long, value_name = "URL", value_parser = place, conflicts_with = "config")]
    admin: Option<Place>,
    /// The configuration whose admin listener is asked.
    #[arg(short, long, value_name = "FILE", default_value = super::DEFAULT_CONFIG)]
    config: PathBuf,
    /// How many seconds it may take to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// Where an admin listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// `host:port`.
    Tcp(String),
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => f.write_str(authority),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<AdminBind> for Place {
    fn from(bind: AdminBind) -> Self {
        match bind {
            AdminBind::Tcp(address) => {
                // What listens on all addresses listens on loopback.
                let ip = match address.ip() {
                    IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                    ip => ip,
                };
                Self::Tcp(SocketAddr::new(ip, address.port()).to_string())
            }
            AdminBind::Unix(path) => Self::Unix(path),
        }
    }
}

/// Parses `http://HOST:PORT`, `HOST:PORT`, or `unix:/PATH`.
///
/// # Errors
/// It is neither; the error says so in words.
fn place(text: &str) -> Result<Place, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return match path.strip_prefix("//").unwrap_or(path) {
            "" => Err("the path of the socket is missing".to_owned()),
            path => Ok(Place::Unix(path.into())),
        };
    }
    let authority = match text.split_once("://") {
        Some(("http", rest)) => rest.trim_end_matches('/'),
        Some((scheme, _)) => return Err(format!("{scheme}:// is not http:// or unix:")),
        None => text,
    };
    let with_port = authority
        .parse::<http::uri::Authority>()
        .ok()
        .filter(|parsed| parsed.port_u16().is_some() && !authority.contains('@'));
    match with_port {
        Some(_) => Ok(Place::Tcp(authority.to_owned())),
        None => Err("not http://HOST:PORT or unix:/PATH".to_owned()),
    }
}

/// Why the answer isn't yes.
#[derive(Debug, thiserror::Error)]
enum HealthcheckError {
    #[error("{0}\nequipoise healthcheck: --admin URL asks without reading a configuration")]
    Config(config::Problems),
    #[error("{}: no admin listener in it; add `admin: {{}}`, or say where one is with --admin URL", .0.display())]
    NoAdmin(PathBuf),
    #[error("no worker thread: {0}")]
    Runtime(io::Error),
    #[error("cannot connect to {0}: {1}")]
    Connect(Place, io::Error),
    #[error("{0} doesn't answer as an admin listener does: {1}")]
    Exchange(Place, hyper::Error),
    #[error("no answer from {0} in {1} s")]
    Late(Place, u64),
    #[error("{0}: {1}: {2}")]
    NotReady(Place, StatusCode, String),
}

impl HealthcheckError {
    fn status(&self) -> u8 {
        match self {
            Self::Config(_) | Self::NoAdmin(_) => 2,
            _ => 1,
        }
    }
}

/// Asks, says the answer, and gives the exit status: 0 ready, 1 not ready or not there, 2 if it isn't known whom to ask.
pub fn run(args: &Args) -> u8 {
    match healthcheck(args) {
        Ok(()) => {
            // Nobody is left to tell when stdout is closed, and the status still says it.
            drop(writeln!(io::stdout(), "ready"));
            0
        }
        Err(error) => {
            drop(writeln!(io::stderr(), "equipoise healthcheck: {error}"));
            error.status()
        }
    }
}

fn healthcheck(args: &Args) -> Result<(), HealthcheckError> {
    let place = match &args.admin {
        Some(place) => place.clone(),
        None => config::load(&args.config, &config::environment)
            .map_err(HealthcheckError::Config)?
            .admin
            .ok_or_else(|| HealthcheckError::NoAdmin(args.config.clone()))?
            .bind
            .into(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(HealthcheckError::Runtime)?;
    runtime.block_on(async {
        let limit = Duration::from_secs(args.timeout);
        match tokio::time::timeout(limit, ask(&place)).await {
            Ok(answer) => answer,
            Err(_) => Err(HealthcheckError::Late(place, args.timeout)),
        }
    })
}

async fn ask(place: &Place) -> Result<(), HealthcheckError> {
    let failed = |error| HealthcheckError::Connect(place.clone(), error);
    match place {
        Place::Tcp(authority) => {
            let stream = TcpStream::connect(authority).await.map_err(failed)?;
            exchange(place, authority, stream).await
        }
        Place::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(failed)?;
            exchange(place, "localhost", stream).await
        }
    }
}

async fn exchange(
    place: &Place,
    host: &str,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<(), HealthcheckError> {
    let failed = |error| HealthcheckError::Exchange(place.clone(), error);
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
        .await
        .map_err(failed)?;
    let asked = async {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = http::Uri::from_static("/readyz");
        if let Ok(host) = HeaderValue::from_str(host) {
            request.headers_mut().insert(header::HOST, host);
        }
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(());
        }
        let body = Limited::new(response.into_body(), LONGEST_ANSWER)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let said = config::on_one_line(String::from_utf8_lossy(&body).trim(), LONGEST_ANSWER);
        Err(HealthcheckError::NotReady(place.clone(), status, said))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_as_they_are_written() {
        let tcp = |text: &str| Ok(Place::Tcp(text.to_owned()));
        assert_eq!(place("http://127.0.0.1:9900"), tcp("127.0.0.1:9900"));
        assert_eq!(place("http://127.0.0.1:9900/"), tcp("127.0.0.1:9900"));
        assert_eq!(place("localhost:9900"), tcp("localhost:9900"));
        assert_eq!(place("http://[::1]:9900"), tcp("[::1]:9900"));
        for text in ["unix:/run/admin.sock", "unix:///run/admin.sock"] {
            assert_eq!(place(text), Ok(Place::Unix("/run/admin.sock".into())));
        }
        for text in [
            "",
            "9900",
            "127.0.0.1",
            "https://a:1",
            "http://",
            "unix:",
            "http://u@h:1",
            "h:1/path",
        ] {
            assert!(place(text).is_err(), "{text}");
        }
    }

    #[test]
    fn all_addresses_are_asked_at_loopback() {
        for (bound, asked) in [
            ("0.0.0.0:9900", "127.0.0.1:9900"),
            ("[::]:9900", "[::1]:9900"),
            ("10.0.0.1:9900", "10.0.0.1:9900"),
        ] {
            let place = Place::from(AdminBind::Tcp(bound.parse().unwrap()));
            assert_eq!(place, Place::Tcp(asked.to_owned()));
        }
    }
}
