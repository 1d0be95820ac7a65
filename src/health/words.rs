//! The reason for a failed check, in the words of somebody who looked.

use std::io;
use std::time::Duration;

use pingora::{Error, ErrorType};

use super::probe::Failed;
use crate::pool::Endpoint;
use crate::shortage::Shortage;
use crate::upstream;
use crate::upstream::Trouble;

/// Nothing came back within the check's timeout.
pub fn no_answer(timeout: Duration) -> String {
    format!("no answer in {}", duration(timeout))
}

/// The endpoint is none that could be connected to.
pub fn no_address(endpoint: &Endpoint) -> String {
    format!("{endpoint} is no valid address")
}

/// TLS failed, for that reason.
pub fn of_tls(reason: &str, endpoint: &Endpoint) -> String {
    format!("TLS to {endpoint} failed: {reason}")
}

/// The check could not be made at all.
pub fn not_made(shortage: Shortage) -> String {
    format!("could not be made: {shortage}")
}

/// The system's error of a connect.
pub fn of_connect(error: &io::Error, endpoint: &Endpoint) -> Failed {
    if let Some(shortage) = Shortage::of(error, endpoint.inet()) {
        return Failed::NotMade(shortage);
    }
    Failed::Broken(match error.kind() {
        io::ErrorKind::ConnectionRefused => refused(endpoint),
        io::ErrorKind::TimedOut => timed_out(endpoint),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => no_route(endpoint),
        _ => format!("connect to {endpoint} failed: {error}"),
    })
}

fn refused(endpoint: &Endpoint) -> String {
    format!("connect to {endpoint} refused (nothing listens there)")
}

fn timed_out(endpoint: &Endpoint) -> String {
    format!("connect to {endpoint} timed out (filtered or down)")
}

fn no_route(endpoint: &Endpoint) -> String {
    format!("no route to {endpoint}")
}

/// What an error of Pingora's connectors means, seen from the operator's side.
pub fn of_error(error: &Error, endpoint: &Endpoint) -> Failed {
    if let Some(shortage) = upstream::own_shortage(error, endpoint.inet()) {
        return Failed::NotMade(shortage);
    }
    Failed::Broken(match error.etype() {
        ErrorType::ConnectRefused => refused(endpoint),
        ErrorType::ConnectTimedout => timed_out(endpoint),
        ErrorType::ConnectNoRoute => no_route(endpoint),
        &upstream::TLS_FAILED => {
            let reason = error
                .context
                .as_ref()
                .map_or("no reason given", |c| c.as_str());
            of_tls(reason, endpoint)
        }
        ErrorType::ReadError | ErrorType::WriteError
            if upstream::is_about_our_certificate(&error.root_cause().to_string()) =>
        {
            // With TLS 1.3 this comes after the handshake.
            let said = error.root_cause().to_string();
            of_tls(&Trouble::of_reason(&said, false).what, endpoint)
        }
        ErrorType::H2Error | ErrorType::InvalidH2 => {
            format!("{endpoint} answered something that isn't HTTP/2")
        }
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError => {
            format!("{endpoint} closed the connection without an answer")
        }
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error => {
            format!("{endpoint} answered something that isn't HTTP")
        }
        _ => format!("connect to {endpoint} failed: {}", root_cause(error)),
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

    #[test]
    fn a_refused_connect_says_that_nothing_listens() {
        let endpoint = Endpoint::Inet("10.1.1.2:80".parse().unwrap());
        assert_eq!(
            of_error(&Error::new(ErrorType::ConnectRefused), &endpoint),
            Failed::Broken("connect to 10.1.1.2:80 refused (nothing listens there)".to_owned())
        );
    }
}
