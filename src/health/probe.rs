//! The probes: one check of one server.

use async_trait::async_trait;
use http::header;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::{HealthCheck as Check, TcpHealthCheck};

use super::words;
use crate::config::model::{CheckKind, HealthCheck, HttpCheck};
use crate::pool::{Endpoint, Server};
use crate::upstream;

/// A body is searched up to here; a health page is small.
const BODY_LIMIT: usize = 1 << 20;

/// A pool's check, ready to run.
pub struct Probe {
    kind: Kind,
    port: Option<u16>,
}

enum Kind {
    Tcp(Box<TcpHealthCheck>),
    Http {
        check: Box<HttpCheck>,
        connector: Box<Connector>,
    },
}

impl Probe {
    /// Compiles what the configuration says.
    pub fn new(check: &HealthCheck) -> Self {
        let kind = match &check.kind {
            CheckKind::Tcp | CheckKind::Tls | CheckKind::Grpc => {
                let mut tcp = TcpHealthCheck::default();
                // The whole check has its timeout, around this.
                tcp.peer_template.options.connection_timeout = None;
                Kind::Tcp(Box::new(tcp))
            }
            CheckKind::Http(http) => Kind::Http {
                check: http.clone(),
                connector: Box::new(Connector::new(None)),
            },
        };
        Self {
            kind,
            port: check.port,
        }
    }

    /// Checks a server once. Returns what was seen, in words.
    ///
    /// # Errors
    ///
    /// What was seen instead, in words. There is no timeout in here.
    pub async fn run(
        &self,
        server: &Server,
        endpoint: &Endpoint,
    ) -> std::result::Result<String, String> {
        let endpoint = self.checked_endpoint(endpoint);
        let Some(backend) = backend(&endpoint) else {
            return Err(format!("{endpoint} is no valid address"));
        };
        match &self.kind {
            Kind::Tcp(tcp) => match tcp.check(&backend).await {
                Ok(()) => Ok("connected".to_owned()),
                Err(error) => Err(words::of_error(&error, &endpoint)),
            },
            Kind::Http { check, connector } => {
                let exchange = HttpExchange {
                    check,
                    connector,
                    default_host: server.configured_address().to_string(),
                };
                match exchange.check(&backend).await {
                    Ok(()) => Ok("status and body as wanted".to_owned()),
                    Err(error) if *error.etype() == NOT_AS_WANTED => {
                        Err(error.context.as_ref().map_or_else(
                            || "not as wanted".to_owned(),
                            |context| context.as_str().to_owned(),
                        ))
                    }
                    Err(error) => Err(words::of_error(&error, &endpoint)),
                }
            }
        }
    }

    fn checked_endpoint(&self, endpoint: &Endpoint) -> Endpoint {
        match (endpoint, self.port) {
            (Endpoint::Inet(address), Some(port)) => {
                Endpoint::Inet(std::net::SocketAddr::new(address.ip(), port))
            }
            (other, _) => other.clone(),
        }
    }
}

/// The answer came, and is not what the configuration wants.
const NOT_AS_WANTED: ErrorType = ErrorType::Custom("NotAsWanted");

/// One request and its answer, as Pingora's health check.
struct HttpExchange<'a> {
    check: &'a HttpCheck,
    connector: &'a Connector,
    default_host: String,
}

#[async_trait]
impl Check for HttpExchange<'_> {
    async fn check(&self, target: &Backend) -> Result<()> {
        let peer = upstream::peer_at(target.addr.clone());
        let (mut session, _) = self.connector.get_http_session(&peer).await?;
        session
            .write_request_header(Box::new(self.request()?))
            .await?;
        session.finish_request_body().await?;
        session.read_response_header().await?;
        let status = session
            .response_header()
            .ok_or_else(|| Error::new(ErrorType::InvalidHTTPHeader))?
            .status
            .as_u16();
        if !self
            .check
            .expect_status
            .iter()
            .any(|range| range.contains(&status))
        {
            return Error::e_explain(
                NOT_AS_WANTED,
                format!(
                    "status {status}, wanted {}",
                    ranges(&self.check.expect_status)
                ),
            );
        }
        let Some(wanted) = &self.check.expect_body else {
            return Ok(());
        };
        let mut body = Vec::new();
        while let Some(chunk) = session.read_response_body().await? {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_LIMIT {
                break;
            }
        }
        if wanted.is_match(&body) {
            Ok(())
        } else {
            Error::e_explain(
                NOT_AS_WANTED,
                format!("status {status}, but the body does not match {wanted}"),
            )
        }
    }

    fn health_threshold(&self, _success: bool) -> usize {
        // Counting is `Decision`'s.
        1
    }
}

impl HttpExchange<'_> {
    fn request(&self) -> Result<RequestHeader> {
        let mut request =
            RequestHeader::build(self.check.method.clone(), self.check.path.as_bytes(), None)?;
        let host = self.check.host.as_ref().unwrap_or(&self.default_host);
        request.insert_header(header::HOST, host)?;
        request.insert_header(header::USER_AGENT, "equipoise-health-check")?;
        request.insert_header(header::CONNECTION, "close")?;
        for (name, value) in &self.check.headers {
            request.insert_header(name, value)?;
        }
        Ok(request)
    }
}

fn backend(endpoint: &Endpoint) -> Option<Backend> {
    Some(Backend {
        addr: upstream::address(endpoint)?,
        weight: 1,
        ext: http::Extensions::new(),
    })
}

fn ranges(ranges: &[std::ops::RangeInclusive<u16>]) -> String {
    let mut text = String::new();
    for range in ranges {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&range.start().to_string());
        if range.start() != range.end() {
            text.push('-');
            text.push_str(&range.end().to_string());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_ranges_read_as_they_are_configured() {
        assert_eq!(ranges(&[200..=399]), "200-399");
        assert_eq!(ranges(&[200..=299, 301..=301]), "200-299, 301");
    }
}
