//! The reason for a failed check, in the words of somebody who looked.

use std::time::Duration;

use pingora::{Error, ErrorType};

use crate::pool::Endpoint;

/// Nothing came back within the check's timeout.
pub fn no_answer(timeout: Duration) -> String {
    format!("no answer in {}", duration(timeout))
}

/// What an error of Pingora's connectors means, seen from the operator's side.
pub fn of_error(error: &Error, endpoint: &Endpoint) -> String {
    match error.etype() {
        ErrorType::ConnectRefused => {
            format!("connect to {endpoint} refused (nothing listens there)")
        }
        ErrorType::ConnectTimedout => format!("connect to {endpoint} timed out (filtered or down)"),
        ErrorType::ConnectNoRoute => format!("no route to {endpoint}"),
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError => {
            format!("{endpoint} closed the connection without an answer")
        }
        ErrorType::InvalidHTTPHeader | ErrorType::H1Error => {
            format!("{endpoint} answered something that isn't HTTP")
        }
        _ => format!("connect to {endpoint} failed: {}", root_cause(error)),
    }
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
            "connect to 10.1.1.2:80 refused (nothing listens there)"
        );
    }
}
