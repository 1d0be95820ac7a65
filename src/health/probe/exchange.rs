//! One request to a server and its answer, in the protocol of its pool.

use std::sync::Arc;

use http::{Method, Uri};
use pingora::Result;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::{Error, ErrorType};
use tokio::time::Instant;

use super::Failed;
use crate::config::model::ServerAddress;
use crate::health::words;
use crate::pool::Server;
use crate::upstream;
use crate::upstream::{Dialer, Link};

/// Who is asked, and how.
pub struct Exchange<'a> {
    pub connector: &'a Connector,
    pub server: &'a Server,
    pub link: &'a Arc<Link>,
    /// When the check ends: what has come by then is judged.
    pub deadline: Instant,
    dialer: Arc<Dialer>,
}

impl<'a> Exchange<'a> {
    /// An exchange with that server, at that port if one is given.
    pub fn new(
        connector: &'a Connector,
        server: &'a Arc<Server>,
        port: Option<u16>,
        link: &'a Arc<Link>,
        deadline: Instant,
    ) -> Self {
        Self {
            connector,
            server,
            link,
            deadline,
            dialer: Arc::new(Dialer::new(server, port, link, link.own_caller(port))),
        }
    }

    /// Where the server was reached, as text.
    pub fn address(&self) -> &str {
        self.dialer
            .reached()
            .map_or("the server", |address| address.as_str())
    }

    /// What an error of Pingora's means.
    pub fn broken(&self, error: &Error) -> Failed {
        match self.dialer.failed() {
            Some(failed) => words::of_dial(&failed, self.address()),
            None => words::of_error(error, self.address()),
        }
    }

    /// A connection of its own, that is closed with the session.
    pub async fn session(&self, http2: bool) -> Result<HttpSession, Failed> {
        let mut peer = upstream::peer(self.server, &self.dialer)
            .ok_or_else(|| Failed::Unwanted(words::no_address(self.server.configured_address())))?;
        if http2 {
            upstream::check_http2(&mut peer);
        }
        let (session, _) = self
            .connector
            .get_http_session(&peer)
            .await
            .map_err(|error| self.broken(&error))?;
        Ok(session)
    }

    /// A request for that host, as the protocol wants it.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        host: Option<&str>,
        http2: bool,
    ) -> Result<RequestHeader> {
        let configured;
        let host = if let Some(host) = host {
            host
        } else {
            configured = match self.server.configured_address() {
                // The path of a socket is no host name.
                ServerAddress::Unix(_) => "localhost".to_owned(),
                address => address.to_string(),
            };
            &configured
        };
        let mut request = RequestHeader::build(method, path.as_bytes(), None)?;
        if http2 {
            let scheme = if self.link.secure().is_some() {
                "https"
            } else {
                "http"
            };
            let uri = Uri::builder()
                .scheme(scheme)
                .authority(host)
                .path_and_query(path)
                .build()
                .map_err(|cause| {
                    Error::because(ErrorType::InvalidHTTPHeader, "no host of HTTP/2", cause)
                })?;
            request.set_version(http::Version::HTTP_2);
            request.set_uri(uri);
        } else {
            request.insert_header("Host", host)?;
            request.insert_header("Connection", "close")?;
        }
        request.insert_header("User-Agent", "equipoise-health-check")?;
        Ok(request)
    }
}
