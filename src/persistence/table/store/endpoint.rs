//! Where a shared store is, and how to connect to it.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use crate::supervise;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_openssl::SslStream;

use super::complaint::Wrong;

/// Where systems keep the certificates that they trust: the OpenSSL that is built in does not know.
const TRUSTED: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Commands that wait for their turn to be written.
const BUFFER: usize = 512;

/// For an attempt to connect to one address.
const CONNECT: Duration = Duration::from_secs(2);
/// How often one attempt follows a cluster's word that the keys are elsewhere.
const REDIRECTIONS: usize = 3;
/// Sentinels' port, if the URL says none.
const SENTINEL: u16 = 26_379;

/// A parsed URL.
pub(super) struct Endpoint {
    place: Place,
    tls: Option<Tls>,
    login: RedisConnectionInfo,
}

/// Where the server is that holds the keys.
enum Place {
    At(Address),
    /// The master of that name, as one of these Sentinels knows.
    Sentinels(Vec<Address>, String),
    /// Where the nodes of the cluster say.
    Cluster(Vec<Address>),
}

#[derive(Clone)]
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

/// Whether a server is the one that is looked for.
pub(super) trait Judge: Sync {
    /// Tries what it is wanted for.
    fn judge(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> impl Future<Output = Result<(), Wrong>> + Send;
}

/// Ends the task when it is dropped.
pub(super) struct Driver(pub(super) JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Checks the URL of a store: `redis://[[user]:password@]host[:port][/database]`, the same with `rediss` (TLS),
/// `redis+sentinel://[[user]:password@]host[:port],…/master[/database]`, `redis+cluster://[[user]:password@]host[:port],…`,
/// both with `rediss` too, `unix:///path/of/socket[?db=1&user=…&pass=…]`.
///
/// # Errors
///
/// What is wrong, in words that hold nothing of the URL, since that may hold a password.
pub fn validate_url(url: &str) -> Result<(), String> {
    Endpoint::parse(url).map(|_| ())
}

impl Endpoint {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let several = url.split_once("://").and_then(|(scheme, rest)| {
            let (scheme, kind) = scheme.split_once('+')?;
            matches!(kind, "sentinel" | "cluster").then_some((scheme, kind, rest))
        });
        let Some((scheme, kind, rest)) = several else {
            let (address, tls, login) = parse_one(url)?;
            let place = Place::At(address);
            return Ok(Self { place, tls, login });
        };
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        let (master, database) = match kind {
            "sentinel" => path.split_once('/').unwrap_or((path, "")),
            _ => ("", path),
        };
        let hash = if fragment.is_empty() { "" } else { "#" };
        let parts = hosts.split(',').map(|host| {
            let port = match kind {
                "sentinel" if !has_port(host) => format!(":{SENTINEL}"),
                _ => String::new(),
            };
            parse_one(&format!(
                "{scheme}://{user}{host}{port}/{database}{hash}{fragment}"
            ))
        });
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let (mut addresses, mut rest) = (Vec::new(), None);
        for (address, tls, login) in parts {
            addresses.push(address);
            rest = Some((tls, login));
        }
        let (tls, login) = rest.ok_or("has no host")?;
        let place = match kind {
            "sentinel" if master.is_empty() => {
                return Err("names no master: write it behind the hosts, as in redis+sentinel://HOST,HOST/MASTER".into());
            }
            "sentinel" => Place::Sentinels(addresses, master.to_owned()),
            _ if login.db() != 0 => return Err("has a database, and clusters have but one".into()),
            _ => Place::Cluster(addresses),
        };
        Ok(Self { place, tls, login })
    }

    /// Whether it is a cluster, which is told where keys are by what stands between braces in them.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.place, Place::Cluster(_))
    }

    /// Trusts certificates of that authority too.
    #[cfg(test)]
    pub(super) fn trust(&mut self, authority: &Path) {
        if let Some(tls) = &mut self.tls {
            tls.authority = Some(authority.to_owned());
        }
    }

    /// Connects, logs in and selects the database, and takes the first server that is the `right` one. Names are looked up, and
    /// Sentinels and clusters asked, anew each time.
    pub(super) async fn connect(&self, right: &impl Judge) -> Result<Link, String> {
        let mut reason = String::new();
        match &self.place {
            Place::At(address) => {
                return self.at(address, right).await.map_err(|wrong| wrong.words);
            }
            Place::Sentinels(sentinels, master) => {
                for sentinel in sentinels {
                    let found = match self.ask_sentinel(sentinel, master).await {
                        Ok(address) => self
                            .at(&address, right)
                            .await
                            .map_err(|wrong| format!("{address}: {}", wrong.words)),
                        Err(reason) => Err(format!("Sentinel {sentinel}: {reason}")),
                    };
                    match found {
                        Ok(link) => return Ok(link),
                        Err(why) => reason = why,
                    }
                }
            }
            Place::Cluster(nodes) => {
                for node in nodes {
                    match self.in_cluster(node, right).await {
                        Ok(link) => return Ok(link),
                        Err(why) => reason = why,
                    }
                }
            }
        }
        Err(reason)
    }

    /// The node that holds the keys, by way of `node`.
    async fn in_cluster(&self, node: &Address, right: &impl Judge) -> Result<Link, String> {
        let mut address = node.clone();
        for _ in 0..REDIRECTIONS {
            let wrong = match self.at(&address, right).await {
                Ok(link) => return Ok(link),
                Err(wrong) => wrong,
            };
            let Some((host, port)) = wrong.moved else {
                return Err(format!("{address}: {}", wrong.words));
            };
            address = match address {
                Address::Tcp(same, _) if host.is_empty() => Address::Tcp(same, port),
                _ => Address::Tcp(host, port),
            };
        }
        Err(format!(
            "{node}: its cluster doesn't agree where the keys are"
        ))
    }

    /// Of several addresses of a name the first that is right.
    async fn at(&self, address: &Address, right: &impl Judge) -> Result<Link, Wrong> {
        let mut wrong = Wrong::because("its name has no address");
        let login = &self.login;
        match address {
            Address::Unix(path) => {
                in_time(async {
                    let stream = UnixStream::connect(path).await.map_err(because)?;
                    let mut link = log_in(stream, login).await?;
                    right.judge(&mut link.connection).await?;
                    Ok(link)
                })
                .await
            }
            Address::Tcp(host, port) => {
                for socket in look_up(host, *port).await? {
                    let linked = in_time(async {
                        let mut link = self.link_to(host, socket, login).await?;
                        right.judge(&mut link.connection).await?;
                        Ok(link)
                    });
                    match linked.await {
                        Ok(link) => return Ok(link),
                        Err(why) => wrong = why,
                    }
                }
                Err(wrong)
            }
        }
    }

    /// A connection to a server of that name, at that address.
    async fn link_to(
        &self,
        host: &str,
        socket: SocketAddr,
        login: &RedisConnectionInfo,
    ) -> Result<Link, Wrong> {
        let stream = TcpStream::connect(socket).await.map_err(because)?;
        stream.set_nodelay(true).map_err(because)?;
        match &self.tls {
            None => log_in(stream, login).await,
            Some(tls) => {
                let stream = tls.connect(host, stream).await.map_err(Wrong::because)?;
                log_in(stream, login).await
            }
        }
    }

    /// Where a Sentinel says that the master is. It is asked without a login first, and then with that of the server.
    async fn ask_sentinel(&self, sentinel: &Address, master: &str) -> Result<Address, String> {
        let Address::Tcp(host, port) = sentinel else {
            return Err("is no host".into());
        };
        let mut reason = "its name has no address".to_owned();
        let known = self.login.clone().set_db(0);
        for socket in look_up(host, *port).await.map_err(|wrong| wrong.words)? {
            for login in [&RedisConnectionInfo::default(), &known] {
                let asked = in_time(async {
                    let mut link = self.link_to(host, socket, login).await?;
                    let mut command = redis::cmd("SENTINEL");
                    command.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
                    let answer: Option<(String, u16)> = command
                        .query_async(&mut link.connection)
                        .await
                        .map_err(|error| Wrong::of(&error))?;
                    answer.ok_or_else(|| Wrong::because("it knows no master of that name"))
                });
                match asked.await {
                    Ok((host, port)) => return Ok(Address::Tcp(host, port)),
                    Err(wrong) => reason = wrong.words,
                }
            }
        }
        Err(reason)
    }
}

/// The addresses of a name, as the system's resolver has them now.
async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, Wrong> {
    in_time(async {
        let found = tokio::net::lookup_host((host, port))
            .await
            .map_err(because)?;
        Ok(found.collect())
    })
    .await
}

async fn in_time<T>(work: impl Future<Output = Result<T, Wrong>>) -> Result<T, Wrong> {
    let done = timeout(CONNECT, work).await;
    done.unwrap_or_else(|_| Err(Wrong::because(format!("no connection within {CONNECT:?}"))))
}

async fn log_in<S>(stream: S, login: &RedisConnectionInfo) -> Result<Link, Wrong>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_pipeline_buffer_size(BUFFER);
    let (connection, driver) = MultiplexedConnection::new_with_config(login, stream, config)
        .await
        .map_err(|error| Wrong::of(&error))?;
    Ok(Link {
        connection,
        driver: Driver(supervise::once(driver)),
    })
}

/// One server's address, how it is spoken to, and the login.
fn parse_one(url: &str) -> Result<(Address, Option<Tls>, RedisConnectionInfo), String> {
    let mut url = redis::parse_redis_url(url).ok_or(
        "is not a URL that begins with redis://, rediss://, redis+sentinel://, redis+cluster:// or unix://",
    )?;
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
    Ok((address, tls, info.redis_settings().clone()))
}

/// An IPv6 address has colons of its own, inside its brackets.
fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']'))
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
        match &self.place {
            Place::At(address) => write!(f, "{address}"),
            Place::Sentinels(addresses, master) => {
                write!(f, "{master} of Sentinel {}", List(addresses))
            }
            Place::Cluster(addresses) => write!(f, "cluster {}", List(addresses)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

struct List<'a>(&'a [Address]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{address}")?;
        }
        Ok(())
    }
}

fn because(error: impl fmt::Display) -> Wrong {
    Wrong::because(error.to_string())
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
            (
                "redis+sentinel://u:secret@one,[::1],three:7000/mymaster/2",
                "mymaster of Sentinel one:26379,[::1]:26379,three:7000",
            ),
            (
                "rediss+cluster://:secret@one,two:7001#insecure",
                "cluster one:6379,two:7001",
            ),
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
            "redis+sentinel://:geheim@a,b",
            "redis+sentinel://:geheim@a,/m",
            "redis+cluster://:geheim@a/1",
            "redis+geheim://a",
        ] {
            let error = validate_url(url).unwrap_err();
            assert!(
                !error.contains("geheim") && !error.is_empty(),
                "{url}: {error}"
            );
        }
    }
}
