//! The reason for a failed check, in the words of somebody who looked.

use std::time::Duration;

use pingora::{Error, ErrorType};

use super::probe::Failed;
use crate::config::model::ServerAddress;
use crate::shortage::Shortage;
use crate::upstream;
use crate::upstream::{DialError, Trouble, Unreachable};

/// The error type of a server that sends interim responses and no final one.
pub const TOO_MANY_INTERIM: ErrorType = ErrorType::Custom("TooManyInterim");

/// Nothing came back within the check's timeout.
pub fn no_answer(timeout: Duration) -> String {
    format!("no answer in {}", duration(timeout))
}

/// The address is none that could be connected to.
pub fn no_address(address: &ServerAddress) -> String {
    format!("{address} is no valid address")
}

/// TLS failed, for that reason.
pub fn of_tls(reason: &str, address: &str) -> String {
    format!("TLS to {address} failed: {reason}")
}

/// The check could not be made at all.
pub fn not_made(shortage: Shortage) -> String {
    format!("could not be made: {shortage}")
}

/// The server could not be connected to.
pub fn of_unreachable(unreachable: &Unreachable) -> Failed {
    match unreachable.own_shortage() {
        Some(shortage) => Failed::NotMade(shortage),
        None => Failed::Broken(unreachable.to_string()),
    }
}

/// The server could not be connected to for a request.
pub fn of_dial(error: &DialError, address: &str) -> Failed {
    match error {
        DialError::OwnShortage(shortage) => Failed::NotMade(*shortage),
        DialError::Unreachable(unreachable) => of_unreachable(unreachable),
        DialError::Tls(trouble) => Failed::Broken(of_tls(&trouble.what, address)),
        DialError::TimedOut | DialError::Connector(_) => Failed::Broken(error.to_string()),
    }
}

/// What an error of Pingora's connectors means, seen from the operator's side.
pub fn of_error(error: &Error, address: &str) -> Failed {
    if let Some(shortage) = upstream::own_shortage(error, None) {
        return Failed::NotMade(shortage);
    }
    Failed::Broken(match error.etype() {
        ErrorType::ReadError | ErrorType::WriteError
            if upstream::is_about_our_certificate(&error.root_cause().to_string()) =>
        {
            // With TLS 1.3 this comes after the handshake.
            let said = error.root_cause().to_string();
            of_tls(&Trouble::of_reason(&said, false).what, address)
        }
        ErrorType::H2Error | ErrorType::InvalidH2 => {
            format!("{address} answered something that isn't HTTP/2")
        }
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError => {
            format!("{address} closed the connection without an answer")
        }
        &TOO_MANY_INTERIM => format!("{address} sends interim responses without end"),
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error => {
            format!("{address} answered something that isn't HTTP")
        }
        _ => format!("connect to {address} failed: {}", root_cause(error)),
    })
}

fn root_cause(error: &Error) -> String {
    error
        .root_cause()
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// A duration the way the configuration writes it.
fn duration(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_they_are_configured() {
        assert_eq!(no_answer(Duration::from_secs(2)), "no answer in 2s");
        assert_eq!(no_answer(Duration::from_millis(250)), "no answer in 250ms");
    }
}
