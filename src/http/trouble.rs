//! Pingora's errors as [`Failure`]s.

use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorSource, ErrorType};

use super::failure::Failure;
use crate::listen::ClientStream;

/// The error type of errors that are ours: what they mean is in the request's context.
pub const OURS: ErrorType = ErrorType::Custom("Equipoise");

/// The error type of a request whose rest isn't read, because the client has its whole answer.
pub const ANSWERED: ErrorType = ErrorType::Custom("Answered");

/// What an error means.
pub fn classify(error: &Error, session: &ServerSession) -> Failure {
    match error.esource() {
        ErrorSource::Upstream => of_server(error.etype()),
        ErrorSource::Downstream => of_client(error.etype(), session),
        ErrorSource::Internal | ErrorSource::Unset => Failure::Internal,
    }
}

/// What an error while connecting means.
pub fn of_connect(error: &Error) -> Failure {
    match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => Failure::ConnectTimeout,
        _ => Failure::Connect,
    }
}

fn of_server(error: &ErrorType) -> Failure {
    match error {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::ServerTimeout,
        ErrorType::InvalidHTTPHeader
        | ErrorType::H1Error
        | ErrorType::H2Error
        | ErrorType::InvalidH2
        | ErrorType::H2Downgrade => Failure::ServerInvalid,
        ErrorType::InternalError => Failure::Internal,
        _ => Failure::ServerReset,
    }
}

fn of_client(error: &ErrorType, session: &ServerSession) -> Failure {
    if client_stream(session).is_some_and(ClientStream::is_malformed) {
        return Failure::BadRequest;
    }
    match error {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => Failure::ClientTimeout,
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error => Failure::BadRequest,
        _ => Failure::ClientGone,
    }
}

/// The client's connection below a session.
pub fn client_stream(session: &ServerSession) -> Option<&ClientStream> {
    let stream = session.stream()?;
    (**stream).as_any().downcast_ref()
}
