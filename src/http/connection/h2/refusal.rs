//! Requests over HTTP/2 that nobody else is to see: how they are answered and recorded.

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, RETRY_AFTER};
use http::{HeaderValue, Method};
use pingora::protocols::http::date;

use super::Driver;
use crate::http::X_REQUEST_ID;
use crate::http::answer;
use crate::http::answer::error_page::allowed;
use crate::http::answer::identity;
use crate::http::connection::{Refused, TOO_MANY, termination_of};
use crate::http::site::Site;
use crate::http::wire::http2::meter::Fault;
use crate::http::wire::http2::request::Refusal;
use crate::http::wire::http2::streams::Handle;
use crate::http::wire::message::RequestHeader;
use crate::observe::Termination;

const PROTOCOL: &str = "HTTP/2.0";

/// How a request is recorded that never came to be.
pub type Unseen = (u16, &'static str, Termination);

pub const SLOW_HEADER: Unseen = (
    408,
    "the request's header took too long to arrive",
    Termination::ClientTimeout,
);

pub const DEFECT: Unseen = (500, "a defect", Termination::Internal);

/// Why a client is sent away, for the log.
pub fn sent_away(fault: Fault) -> Unseen {
    match fault {
        Fault::Block => (431, fault.words(), Termination::Limit),
        _ => (400, fault.words(), Termination::BadRequest),
    }
}

/// The refusal of a request whose client holds or makes too many connections.
pub fn too_many(request: RequestHeader) -> Refusal {
    let host = request.headers.get(HOST);
    Refusal {
        status: 503,
        reason: TOO_MANY,
        host: host.map(|host| Bytes::copy_from_slice(host.as_bytes())),
        target: Some(Bytes::copy_from_slice(request.target())),
        method: Some(request.method),
        headers: request.headers,
    }
}

impl Driver<'_> {
    /// Answers a request that nobody else is to see.
    pub(super) fn refuse(
        &self,
        site: &Site,
        handle: Handle,
        refusal: &Refusal,
        (received, time): (Instant, SystemTime),
    ) {
        let status = refusal.status;
        let (id, page) = self.visit.refuse(
            site,
            &Refused {
                status,
                reason: refusal.reason,
                termination: match status {
                    503 => Termination::Limit,
                    status => termination_of(status),
                },
                protocol: Some(PROTOCOL),
                method: (refusal.method.as_ref()).map(|method| method.as_str().as_bytes()),
                host: refusal.host.as_deref(),
                target: refusal.target.as_deref(),
                headers: Some(&refusal.headers),
                received,
                time,
            },
        );
        let mut response = answer::response(status);
        let headers = &mut response.headers;
        headers.insert(DATE, date::get_cached_date());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(page.body.len()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_REQUEST_ID, id.value());
        if status == 405
            && let Ok(allowed) = HeaderValue::try_from(allowed(b""))
        {
            headers.insert(ALLOW, allowed);
        }
        if let Some(seconds) = page.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        identity::server(headers, site.http.server_header.as_ref());
        let is_head = refusal.method == Some(Method::HEAD);
        let body = if is_head { Bytes::new() } else { page.body };
        handle.refuse(response.status, &response.headers, body);
    }

    /// A request that never came to be is recorded, as in HTTP/1; there is no stream to answer it on.
    pub(super) fn record_unseen(
        &self,
        site: &Site,
        (status, reason, termination): Unseen,
        since: Instant,
    ) {
        self.visit.refuse(
            site,
            &Refused {
                status,
                reason,
                termination,
                protocol: Some(PROTOCOL),
                method: None,
                host: None,
                target: None,
                headers: None,
                received: since,
                time: SystemTime::now()
                    .checked_sub(since.elapsed())
                    .unwrap_or(SystemTime::UNIX_EPOCH),
            },
        );
    }
}
