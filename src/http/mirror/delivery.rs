//! One copy on its way: a place on a server of the shadow pool, the request, and an answer that nobody reads.
//!
//! Counted on the server as any request is, and nowhere else. Each step has a limit of time, by the pool's timeouts;
//! the body alone has none of its own, since it comes as the original's does.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use arc_swap::Guard;
use http::{StatusCode, Uri, Version, header};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use tokio::time::timeout;

use super::Body;
use crate::config::model;
use crate::descriptors;
use crate::dispatch::PoolSite;
use crate::http::failure::Failure;
use crate::http::trouble;
use crate::observe::PickedBy;
use crate::pool::Lease;
use crate::upstream;

/// Interim responses that are taken at most.
const INTERIM: usize = 16;

/// Connections to shadow servers, kept apart from those that clients' requests go on.
static CONNECTOR: LazyLock<Connector> = LazyLock::new(|| {
    let idle = descriptors::shares().map_or(KEPT, |shares| (shares.idle / 8).clamp(1, KEPT));
    Connector::new(Some(ConnectorOptions::new(idle)))
});

/// Of these, idle ones that are kept at most.
const KEPT: usize = 128;

/// A copy to be sent.
pub(super) struct Delivery {
    pub(super) target: Arc<PoolSite>,
    /// As the original's server gets it.
    pub(super) head: RequestHeader,
    pub(super) body: Option<Body>,
}

/// How it ended.
enum Outcome {
    /// The server has said something, which came after this time.
    Answered(StatusCode, Duration),
    /// The original was cut off, or the copy given up: nobody's fault.
    CutOff,
    /// The kept connection was closed before anybody looked at the request.
    Stale,
    Failed,
}

impl Delivery {
    /// Sends it, and notes on the server how that went.
    pub(super) async fn run(mut self) {
        let Ok(lease) = self.target.pool.acquire(&[]) else {
            return;
        };
        let server = Arc::clone(lease.server());
        server.metrics().picks.inc(PickedBy::Balance);
        let settings = Guard::into_inner(self.target.pool.settings());
        let mut outcome = self.send(&lease, &settings, 0).await;
        if matches!(outcome, Outcome::Stale) && self.body.is_none() {
            outcome = self.send(&lease, &settings, 1).await;
        }
        match outcome {
            Outcome::Answered(status, first_byte) => {
                server.metrics().responded(first_byte);
                server.note_request(status.is_server_error(), Some(first_byte));
            }
            Outcome::Failed => server.note_request(true, None),
            Outcome::CutOff | Outcome::Stale => {}
        }
    }

    /// One try. `fresh`: not on a connection that was there before.
    async fn send(&mut self, lease: &Lease, settings: &model::Pool, fresh: u32) -> Outcome {
        let server = lease.server();
        let link = &self.target.link;
        // Nobody gives way to a copy, so it waits for nobody.
        let patience = Duration::ZERO;
        let found = upstream::for_request(server, settings, link, fresh, None, patience);
        let Some(found) = found else {
            return Outcome::Failed;
        };
        let (peer, keeping) = (found.peer, found.keeping);
        let begun = Instant::now();
        let (mut session, reused) = match connect(&peer, settings).await {
            Ok(connected) => connected,
            Err(error) => {
                tracing::debug!(%error, server = &**server.name(), "copy: no connection");
                return match trouble::of_connect(&error, &peer) {
                    Failure::NotProcessed => Outcome::Stale,
                    Failure::OwnShortage => Outcome::CutOff,
                    Failure::ServerTls => {
                        link.explain(server, Some(&error.root_cause().to_string()));
                        Outcome::Failed
                    }
                    _ => Outcome::Failed,
                };
            }
        };
        if let Err(trouble) = upstream::admit(&peer, session.digest()) {
            link.cast_out(server, &trouble);
            return Outcome::Failed;
        }
        let metrics = server.metrics();
        if reused {
            metrics.connections_reused.inc();
        } else {
            metrics.connected(begun.elapsed());
        }
        let keeps = reused || keeping.is_none_or(|keeping| keeping.is_kept());
        let version = if link.http2() {
            Version::HTTP_2
        } else {
            Version::HTTP_11
        };
        let scheme = if peer.is_tls() { "https" } else { "http" };
        let head = self.head.clone();
        let Some(head) = prepare(head, version, scheme, self.body.is_some(), keeps) else {
            release(session, &peer).await;
            return Outcome::CutOff;
        };
        session.set_write_timeout(Some(settings.timeouts.send));
        session.set_read_timeout(None);
        let ended = exchange(&mut session, head, self.body.as_mut(), settings, begun).await;
        let reusable = matches!(ended, Ok((_, true)));
        if !reusable {
            session.shutdown().await;
        }
        // One of HTTP/2 has other requests on it.
        if reusable || link.http2() {
            release(session, &peer).await;
        }
        match ended {
            Ok((outcome, _)) => outcome,
            Err(mut error) => {
                tracing::debug!(%error, server = &**server.name(), "copy: failed");
                error.retry.decide_reuse(reused);
                if reused && error.retry() {
                    Outcome::Stale
                } else {
                    Outcome::Failed
                }
            }
        }
    }
}

/// Gives a connection back: to be kept, if its last message ended as it should.
async fn release(session: HttpSession, peer: &HttpPeer) {
    CONNECTOR
        .release_http_session(session, peer, peer.options.idle_timeout)
        .await;
}

async fn connect(peer: &HttpPeer, settings: &model::Pool) -> Result<(HttpSession, bool)> {
    timeout(settings.timeouts.connect, CONNECTOR.get_http_session(peer))
        .await
        .unwrap_or_else(|_| Error::e_explain(ErrorType::ConnectTimedout, "for a copy"))
}

/// Sends the request and reads the response. Returns how it ended, and whether the connection may serve another one.
async fn exchange(
    session: &mut HttpSession,
    head: RequestHeader,
    body: Option<&mut Body>,
    settings: &model::Pool,
    begun: Instant,
) -> Result<(Outcome, bool)> {
    let limit = settings.timeouts.send;
    match session {
        HttpSession::H2(http2) => http2.write_request_header(Box::new(head), body.is_none())?,
        _ => in_time(limit, session.write_request_header(Box::new(head))).await?,
    }
    if let Some(body) = body
        && let Some(outcome) = upload(session, body, begun).await?
    {
        return Ok((outcome, false));
    }
    in_time(limit, session.finish_request_body()).await?;
    let mut answered = None;
    let read = timeout(settings.timeouts.receive, async {
        for _ in 0..INTERIM {
            session.read_response_header().await?;
            if let Some(status) = final_status(session)? {
                answered = Some(Outcome::Answered(status, begun.elapsed()));
                while session.read_response_body().await?.is_some() {}
                return Ok(());
            }
        }
        Error::e_explain(ErrorType::InvalidHTTPHeader, "too many interim responses")
    })
    .await;
    match (read, answered) {
        (Ok(Ok(())), Some(outcome)) => Ok((outcome, true)),
        // An answer that has no end, or a broken one, is an answer.
        (_, Some(outcome)) => Ok((outcome, false)),
        (Ok(Err(error)), None) => Err(error),
        (_, None) => Error::e_explain(ErrorType::ReadTimedout, "no answer to a copy"),
    }
}

/// For writes in which Pingora waits without a limit until everything has gone.
async fn in_time<T>(limit: Duration, write: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(limit, write)
        .await
        .unwrap_or_else(|_| Error::e_explain(ErrorType::WriteTimedout, "of a copy"))
}

/// Passes the body on as it comes. Returns how it ended, if that was before the body did.
async fn upload(
    session: &mut HttpSession,
    body: &mut Body,
    begun: Instant,
) -> Result<Option<Outcome>> {
    let mut interim = 0;
    loop {
        tokio::select! {
            biased;
            // First, since a server that has answered may take no more.
            early = session.read_response_header() => {
                early?;
                if let Some(status) = final_status(session)? {
                    return Ok(Some(Outcome::Answered(status, begun.elapsed())));
                }
                interim += 1;
                if interim == INTERIM {
                    return Error::e_explain(
                        ErrorType::InvalidHTTPHeader,
                        "too many interim responses",
                    );
                }
            }
            piece = body.next() => match piece {
                Some(piece) => session.write_request_body(piece.bytes.clone(), false).await?,
                None if body.is_whole() => return Ok(None),
                None => return Ok(Some(Outcome::CutOff)),
            },
        }
    }
}

/// The status of the response that was read, unless it is an interim one.
fn final_status(session: &HttpSession) -> Result<Option<StatusCode>> {
    let status = session.response_header().map(|response| response.status);
    match status {
        Some(StatusCode::SWITCHING_PROTOCOLS) => {
            Error::e_explain(ErrorType::InvalidHTTPHeader, "101 that nobody asked for")
        }
        Some(status) if status.is_informational() => Ok(None),
        status => Ok(status),
    }
}

/// The original's header, for a server that may speak another version than the original's. `None`: it can't be said in
/// that version.
fn prepare(
    mut head: RequestHeader,
    version: Version,
    scheme: &str,
    has_body: bool,
    keeps: bool,
) -> Option<RequestHeader> {
    // For one hop only (RFC 9110 section 7.6.1), and nobody waits for a go-ahead.
    for name in [
        header::CONNECTION,
        header::EXPECT,
        header::UPGRADE,
        header::PROXY_AUTHORIZATION,
        header::TRANSFER_ENCODING,
        header::HeaderName::from_static("keep-alive"),
        header::HeaderName::from_static("proxy-connection"),
    ] {
        head.remove_header(&name);
    }
    let length = head.headers.get(header::CONTENT_LENGTH);
    let has_length = length.is_some();
    if !has_body && length.is_some_and(|length| length != "0") {
        head.remove_header(&header::CONTENT_LENGTH);
    }
    head.set_version(version);
    if version != Version::HTTP_2 {
        head.remove_header(&header::TE);
        if has_body && !has_length {
            head.insert_header(header::TRANSFER_ENCODING, "chunked")
                .ok()?;
        }
        if !keeps {
            head.insert_header(header::CONNECTION, "close").ok()?;
        }
        return Some(head);
    }
    if !head.raw_path_is_utf8() {
        return None;
    }
    let host = head.remove_header(&header::HOST);
    let authority = match &host {
        Some(host) => host.as_bytes(),
        None => head.uri.authority()?.as_str().as_bytes(),
    };
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(path)
        .build();
    head.set_uri(uri.ok()?);
    Some(head)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn head(fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build(Method::POST, b"/a?b=c", None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    fn lines(head: &RequestHeader) -> Vec<String> {
        let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        let mut lines: Vec<_> = head.headers.iter().map(line).collect();
        lines.sort();
        lines
    }

    #[test]
    fn nothing_for_one_hop_goes_along() {
        let original = head(&[
            ("Host", "a.example"),
            ("Connection", "close"),
            ("Expect", "100-continue"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "close"),
            ("TE", "trailers"),
            ("Transfer-Encoding", "chunked"),
            ("X-Mine", "1"),
        ]);
        let plain = prepare(original.clone(), Version::HTTP_11, "http", true, true).unwrap();
        assert_eq!(
            lines(&plain),
            ["host: a.example", "transfer-encoding: chunked", "x-mine: 1"]
        );
        assert_eq!(plain.version, Version::HTTP_11);
        let http2 = prepare(original.clone(), Version::HTTP_2, "http", true, true).unwrap();
        assert_eq!(lines(&http2), ["te: trailers", "x-mine: 1"]);
        assert_eq!(http2.uri, "http://a.example/a?b=c");
        let secure = prepare(original.clone(), Version::HTTP_2, "https", true, true).unwrap();
        assert_eq!(secure.uri, "https://a.example/a?b=c");
        let last = prepare(original, Version::HTTP_11, "http", true, false).unwrap();
        assert!(lines(&last).contains(&"connection: close".to_owned()));
    }

    #[test]
    fn the_bodys_length_is_said_as_it_is() {
        let of = |length: &[(&'static str, &str)], has_body| {
            lines(&prepare(head(length), Version::HTTP_11, "http", has_body, true).unwrap())
        };
        assert_eq!(of(&[("Content-Length", "5")], true), ["content-length: 5"]);
        assert_eq!(of(&[("Content-Length", "0")], false), ["content-length: 0"]);
        assert!(of(&[("Content-Length", "5")], false).is_empty());
        assert_eq!(of(&[], true), ["transfer-encoding: chunked"]);
        assert!(of(&[], false).is_empty());
    }

    #[test]
    fn what_http2_cant_say_is_not_said() {
        let nameless = head(&[]);
        assert!(prepare(nameless, Version::HTTP_2, "http", false, true).is_none());
        let odd = head(&[("Host", "a b")]);
        assert!(prepare(odd, Version::HTTP_2, "http", false, true).is_none());
    }
}
