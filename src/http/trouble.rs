//! Pingora's errors as [`Failure`]s.

use http::{Method, header};
use pingora::protocols::http::ServerSession;
use pingora::upstreams::peer::{HttpPeer, Peer as _};
use pingora::{Error, ErrorSource, ErrorType};
use pingora_proxy::Session;

use super::failure::Failure;
use crate::listen::ClientStream;
use crate::shortage;
use crate::upstream;

/// The error type of errors that are ours: what they mean is in the request's context.
pub const OURS: ErrorType = ErrorType::Custom("Equipoise");

/// The error type of a request whose rest isn't read, because the client has its whole answer.
pub const ANSWERED: ErrorType = ErrorType::Custom("Answered");

/// Pingora's error types for a body whose chunks or trailers break the rules. They aren't public there.
const BAD_CHUNKS: [ErrorType; 2] = [
    ErrorType::Custom("InvalidChunk"),
    ErrorType::Custom("InvalidTrailerEnd"),
];

/// The error of a request whose rest isn't wanted.
#[expect(clippy::unnecessary_box_returns, reason = "Pingora's errors are boxed")]
pub fn answered() -> Box<Error> {
    Error::explain(ANSWERED, "the rest of the request is not wanted").into_down()
}

/// Whether the client has been sent a final response that ends with its header (RFC 9112 section 6.3).
pub fn has_bodiless_answer(session: &Session) -> bool {
    session.response_written().is_some_and(|response| {
        let length = response.headers.get(header::CONTENT_LENGTH);
        match response.status.as_u16() {
            ..200 => false,
            204 | 304 => true,
            _ => {
                session.req_header().method == Method::HEAD
                    || length.is_some_and(|length| length == "0")
            }
        }
    })
}

/// What an error means.
pub fn classify(error: &Error, session: &ServerSession) -> Failure {
    match error.esource() {
        ErrorSource::Upstream => match upstream::own_shortage(error, None) {
            Some(shortage) => {
                shortage::tell(shortage, "a connection to a server broke");
                Failure::OwnShortage
            }
            None => of_server(error),
        },
        ErrorSource::Downstream => of_client(error.etype(), session),
        ErrorSource::Internal | ErrorSource::Unset => match error.etype() {
            // What is read and written besides the exchange with the server is the client's: an answer of ours.
            ErrorType::ReadError
            | ErrorType::WriteError
            | ErrorType::ReadTimedout
            | ErrorType::WriteTimedout
            | ErrorType::ConnectionClosed => of_client(error.etype(), session),
            // One half of an exchange misses the other, which has met the client's end.
            ErrorType::InternalError
                if client_stream(session).is_some_and(ClientStream::has_ended) =>
            {
                Failure::ClientGone
            }
            _ => Failure::Internal,
        },
    }
}

/// What an error while connecting to `peer` means.
pub fn of_connect(error: &Error, peer: &HttpPeer) -> Failure {
    if let Some(shortage) = upstream::own_shortage(error, peer.address().as_inet().copied()) {
        shortage::tell(shortage, "a server could not be connected to");
        return Failure::OwnShortage;
    }
    match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Failure::ConnectTimeout,
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | &upstream::TLS_FAILED => {
            Failure::ServerTls
        }
        // A kept connection of HTTP/2 that takes no more requests.
        ErrorType::H2Error => Failure::NotProcessed,
        _ => Failure::Connect,
    }
}

/// An error's cause, if it is HTTP/2's.
pub fn http2_cause(error: &Error) -> Option<&h2::Error> {
    error.root_cause().downcast_ref()
}

/// Whether the server didn't speak HTTP/2 where it should have.
pub fn is_not_http2(error: &Error) -> bool {
    http2_cause(error).is_some_and(|cause| cause.is_go_away() && cause.is_library())
}

/// Whether the server says that it hasn't looked at the request and won't (RFC 9113 section 8.7): it refused the
/// stream, or went away and named an earlier one as the last. The `h2` crate ends exactly those later ones with the
/// GOAWAY as their error.
fn is_not_processed(error: &h2::Error) -> bool {
    error.is_remote()
        && (error.is_go_away()
            || (error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)))
}

fn of_server(error: &Error) -> Failure {
    if http2_cause(error).is_some_and(is_not_processed) {
        return Failure::NotProcessed;
    }
    match error.etype() {
        ErrorType::ReadError | ErrorType::WriteError if is_about_our_certificate(error) => {
            Failure::ServerTls
        }
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::ServerTimeout,
        ErrorType::InvalidHTTPHeader
        | ErrorType::H1Error
        | ErrorType::H2Error
        | ErrorType::InvalidH2
        | ErrorType::H2Downgrade => Failure::ServerInvalid,
        ErrorType::InternalError => Failure::Internal,
        kind if BAD_CHUNKS.contains(kind) => Failure::ServerInvalid,
        _ => Failure::ServerReset,
    }
}

fn of_client(error: &ErrorType, session: &ServerSession) -> Failure {
    if client_stream(session).is_some_and(ClientStream::is_malformed) {
        return Failure::BadRequest;
    }
    if client_stream(session).is_some_and(ClientStream::is_too_slow) {
        return Failure::ClientTimeout;
    }
    match error {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::ClientTimeout,
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error => Failure::BadRequest,
        _ => Failure::ClientGone,
    }
}

/// With TLS 1.3 a server that wants a certificate, or another one, says so when the request is on its way.
fn is_about_our_certificate(error: &Error) -> bool {
    upstream::is_about_our_certificate(&error.root_cause().to_string())
}

/// The client's connection below a session.
pub fn client_stream(session: &ServerSession) -> Option<&ClientStream> {
    let stream = session.stream()?;
    (**stream).as_any().downcast_ref()
}
