//! What becomes of a server's response on its way to the client: looked at, tried again, or edited.

use http::{StatusCode, Version};

use super::exchange::TryError;
use crate::balance::Sample;
use crate::http::answer::date;
use crate::http::answer::guard;
use crate::http::answer::identity;
use crate::http::context::Context;
use crate::http::failure::{self, Failure, Verdict};
use crate::http::forward::retry::{self, Sent};
use crate::http::request::departure;
use crate::http::wire::client::BodySize;
use crate::http::wire::message::{RequestHeader, ResponseHeader};
use crate::http::wire::{Framing, ServerError};
use crate::pool::Outcome;
use crate::shortage;
use crate::shortage::Shortage;
use crate::upstream::{Trouble, is_about_our_certificate};

/// Looks at the head of a response, interim or final, and takes out what isn't for the client.
///
/// # Errors
///
/// It can't be passed on, or another server is asked instead.
pub fn admit(
    request: &RequestHeader,
    response: &mut ResponseHeader,
    context: &mut Context,
    replayable: bool,
) -> Result<Framing, TryError> {
    // To a client of HTTP/2 they pass whether they are announced or not.
    let passes_trailers = departure::takes_trailers(request)
        && (request.version < Version::HTTP_2 || response.version == Version::HTTP_2);
    let framing =
        guard::admit(request, response, context, passes_trailers).map_err(TryError::Failed)?;
    let status = response.status;
    if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(framing);
    }
    if context.site().via {
        let version = response.version;
        identity::via(&mut response.headers, version);
    }
    let upstream = &mut context.upstream;
    if let (Some(begun), Some(lease)) = (upstream.begun, &upstream.lease) {
        let first_byte = begun.elapsed();
        upstream.first_byte = Some(first_byte);
        lease.server().metrics().responded(first_byte);
        if let Some(target) = &context.target {
            let failed = status.is_server_error();
            let sample = Sample {
                took: first_byte,
                failed,
            };
            let (pool, server) = (&target.site.pool, lease.server());
            pool.note_latency(server, sample);
            pool.note_outcome(server, Outcome::Answered(status.as_u16()));
        }
    }
    let Some(target) = context.target() else {
        return Ok(framing);
    };
    let retries = target.pool.settings().retries;
    if failure::is_retried_status(status.as_u16(), &retries) {
        let failure = Failure::ServerStatus(status.as_u16());
        let sent = Sent {
            method: &request.method,
            answered: false,
            replayable,
        };
        let verdict = retry::judge(sent, context, failure, false);
        // Passed on as it is when it can't be tried again.
        if let Verdict::AnotherServer(_) = verdict {
            return Err(TryError::Judged(failure, verdict));
        }
    }
    Ok(framing)
}

/// Makes it the response that the client gets.
pub fn edit(request: &RequestHeader, response: &mut ResponseHeader, context: &mut Context) {
    date::settle(&mut response.headers);
    if let Some(lease) = &context.upstream.lease
        && let Some(target) = context.target.as_ref().map(|target| &target.site)
    {
        departure::map_back(request, response, context);
        context.binding.finish_response(
            target,
            lease.server(),
            &request.headers,
            &mut response.headers,
            context.https,
        );
    }
    let server = context.site().http.server_header.as_ref();
    identity::server(&mut response.headers, server);
    departure::edit_response(request, response, context);
}

/// How long its body is.
pub fn body_size(
    request: &RequestHeader,
    status: StatusCode,
    framing: Framing,
    ended: bool,
) -> BodySize {
    match framing {
        _ if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => BodySize::None,
        Framing::None if request.method == http::Method::HEAD => BodySize::None,
        Framing::None => BodySize::Exactly(0),
        Framing::Length(length) => BodySize::Exactly(length),
        Framing::UntilClose if ended => BodySize::Exactly(0),
        Framing::Chunked | Framing::UntilClose => BodySize::Unknown,
    }
}

/// What an error of the exchange with a server means. Says what nobody else would.
pub fn of_error(error: &ServerError, context: &Context) -> Failure {
    match error {
        ServerError::GoingAway => Failure::GoingAway,
        ServerError::NotProcessed => Failure::NotProcessed,
        ServerError::Invalid(fault) => {
            guard::tell(context, fault);
            Failure::ServerInvalid
        }
        ServerError::Broken(error) => {
            if let Some(shortage) = Shortage::of(error, None) {
                shortage::tell(shortage, "a connection to a server broke");
                return Failure::OwnShortage;
            }
            // With TLS 1.3 a server that wants a certificate, or another one, says so when the request is on its way.
            let words = error.to_string();
            if is_about_our_certificate(&words) {
                explain(context, Some(&words));
                return Failure::ServerTls;
            }
            Failure::ServerReset
        }
        ServerError::NotHttp2 => {
            if let (Some(target), Some(lease)) = (context.target(), &context.upstream.lease) {
                target.link.tell(lease.server(), &Trouble::not_http2());
            }
            Failure::ServerInvalid
        }
        ServerError::Closed | ServerError::Reset(_) => Failure::ServerReset,
    }
}

/// Has it found out, for the log, why TLS to the server of this try failed.
pub fn explain(context: &Context, clue: Option<&str>) {
    if let (Some(target), Some(lease)) = (context.target(), &context.upstream.lease) {
        target.link.explain(lease.server(), clue);
    }
}
