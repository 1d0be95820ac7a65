//! Where a shared store is, and how to connect to it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_openssl::SslStream;

/// Where systems keep the certificates that they trust: the OpenSSL that is built in does not know.
const TRUSTED: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Commands that wait for their turn to be written.
const BUFFER: usize = 512;

/// A parsed URL.
pub(super) struct Endpoint {
    address: Address,
    tls: Option<Tls>,
    login: RedisConnectionInfo,
}

enum Address {
    Tcp(String, u16),
    Unix(PathBuf),
}

struct Tls {
    /// Believe any certificate: `#insecure`.
    insecure: bool,
    /// Trusted besides what the system trusts.
    authority: Option<PathBuf>,
}

/// A connection, and what moves its bytes; that ends with the connection and must end with it.
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: Driver,
}

/// Ends the task when it is dropped.
pub(super) struct Driver(pub(super) JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Checks the URL of a store: `redis://[[user]:password@]host[:port][/database]`, the same with `rediss` (TLS),
/// `unix:///path/of/socket[?db=1&user=…&pass=…]`.
///
/// # Errors
///
/// What is wrong, in words that hold nothing of the URL, since that may hold a password.
pub fn validate_url(url: &str) -> Result<(), String> {
    Endpoint::parse(url).map(|_| ())
}

impl Endpoint {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let mut url = redis::parse_redis_url(url)
            .ok_or("is not a URL that begins with redis://, rediss://, unix:// or redis+unix://")?;
        let tls = match url.scheme() {
            "rediss" | "valkeys" => {
                let insecure = match url.fragment() {
                    None => false,
                    Some("insecure") => true,
                    Some(_) => return Err("has a # part other than #insecure".into()),
                };
                // The library's own TLS is left out; what comes above it is the same.
                url.set_scheme("redis")
                    .map_err(|()| "has a scheme that can't be used")?;
                Some(Tls {
                    insecure,
                    authority: None,
                })
            }
            _ => None,
        };
        let info = url
            .into_connection_info()
            .map_err(|error| error.to_string().to_lowercase())?;
        let address = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Address::Tcp(host.clone(), *port),
            ConnectionAddr::Unix(path) => Address::Unix(path.clone()),
            _ => return Err("is of a kind that is not supported".into()),
        };
        if info.redis_settings().db() < 0 {
            return Err("has a negative database number".into());
        }
        Ok(Self {
            address,
            tls,
            login: info.redis_settings().clone(),
        })
    }

    /// Trusts certificates of that authority too.
    #[cfg(test)]
    pub(super) fn trust(&mut self, authority: &Path) {
        if let Some(tls) = &mut self.tls {
            tls.authority = Some(authority.to_owned());
        }
    }

    /// Connects, logs in and selects the database. Sets no limit of time.
    pub(super) async fn connect(&self) -> Result<Link, String> {
        match &self.address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(words)?;
                self.log_in(stream).await
            }
            Address::Tcp(host, port) => {
                let stream = TcpStream::connect((&**host, *port)).await.map_err(words)?;
                stream.set_nodelay(true).map_err(words)?;
                match &self.tls {
                    None => self.log_in(stream).await,
                    Some(tls) => self.log_in(tls.connect(host, stream).await?).await,
                }
            }
        }
    }

    async fn log_in<S>(&self, stream: S) -> Result<Link, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_pipeline_buffer_size(BUFFER);
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&self.login, stream, config)
                .await
                .map_err(words)?;
        Ok(Link {
            connection,
            driver: Driver(tokio::spawn(driver)),
        })
    }
}

impl Tls {
    async fn connect(&self, host: &str, stream: TcpStream) -> Result<SslStream<TcpStream>, String> {
        let mut connector = SslConnector::builder(SslMethod::tls_client()).map_err(words)?;
        // SSL_CERT_FILE and SSL_CERT_DIR, which OpenSSL reads itself.
        connector.set_default_verify_paths().map_err(words)?;
        let system = TRUSTED.iter().map(Path::new).find(|path| path.exists());
        if let Some(file) = system {
            connector.set_ca_file(file).map_err(words)?;
        }
        if let Some(file) = &self.authority {
            connector.set_ca_file(file).map_err(words)?;
        }
        if self.insecure {
            connector.set_verify(SslVerifyMode::NONE);
        }
        let mut tls = connector.build().configure().map_err(words)?;
        tls.set_verify_hostname(!self.insecure);
        let tls = tls.into_ssl(host).map_err(words)?;
        let mut stream = SslStream::new(tls, stream).map_err(words)?;
        Pin::new(&mut stream)
            .connect()
            .await
            .map_err(|error| format!("TLS handshake: {error}"))?;
        Ok(stream)
    }
}

/// Without login.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

fn words(error: impl fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_documented() {
        for (url, shown) in [
            ("redis://127.0.0.1", "127.0.0.1:6379"),
            (
                "redis://:secret@redis.internal:7000/3",
                "redis.internal:7000",
            ),
            ("rediss://user:secret@redis.internal", "redis.internal:6379"),
            ("rediss://[::1]:7000#insecure", "[::1]:7000"),
            ("unix:///run/redis.sock?db=2&pass=secret", "/run/redis.sock"),
            ("redis+unix:///run/redis.sock", "/run/redis.sock"),
        ] {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(endpoint.to_string(), shown, "{url}");
        }
        let endpoint = Endpoint::parse("redis://u:p%40ss@h/3").unwrap();
        assert_eq!(endpoint.login.db(), 3);
        assert_eq!(endpoint.login.username(), Some("u"));
        assert_eq!(endpoint.login.password(), Some("p@ss"));
        assert!(Endpoint::parse("rediss://h").unwrap().tls.is_some());
    }

    #[test]
    fn says_what_is_wrong_without_the_password() {
        for url in [
            "memory",
            "http://:geheim@host",
            "redis://:geheim@host/x",
            "redis://:geheim@host/-1",
            "redis://:geheim@",
            "redis://:geheim@host:99999",
            "rediss://:geheim@host#geheim",
            "redis://:geheim%FF@host",
            "unix:///run/redis.sock?db=geheim",
        ] {
            let error = validate_url(url).unwrap_err();
            assert!(
                !error.contains("geheim") && !error.is_empty(),
                "{url}: {error}"
            );
        }
    }
}
