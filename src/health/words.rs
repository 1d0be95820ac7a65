//! The reason for a failed check, in the words of somebody who looked.

use std::time::Duration;

use super::probe::Failed;
use crate::config::model::ServerAddress;
use crate::http::wire::ServerError;
use crate::shortage::Shortage;
use crate::upstream;
use crate::upstream::{DialError, Trouble, Unreachable};

/// What is wrong with a server that sends interim responses and no final one.
pub const TOO_MANY_INTERIM: &str = "too many interim responses";

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

/// What an error of an answer means, seen from the operator's side.
pub fn of_answer(error: &ServerError, address: &str, http2: bool) -> Failed {
    let broken = match error {
        ServerError::Broken(error) => Some(error),
        _ => None,
    };
    if let Some(shortage) = broken.and_then(|error| Shortage::of(error, None)) {
        return Failed::NotMade(shortage);
    }
    // With TLS 1.3 this comes after the handshake.
    let said = broken.map(ToString::to_string);
    if let Some(said) = said.filter(|said| upstream::is_about_our_certificate(said)) {
        return Failed::Broken(of_tls(&Trouble::of_reason(&said, false).what, address));
    }
    Failed::Broken(match error {
        ServerError::Closed | ServerError::Broken(_) | ServerError::GoingAway => closed(address),
        ServerError::Reset(_) | ServerError::NotProcessed => {
            format!("{address} reset the request's stream without an answer")
        }
        ServerError::Invalid(TOO_MANY_INTERIM) => {
            format!("{address} sends interim responses without end")
        }
        _ if http2 => format!("{address} answered something that isn't HTTP/2"),
        _ => format!("{address} answered something that isn't HTTP"),
    })
}

fn closed(address: &str) -> String {
    format!("{address} closed the connection without an answer")
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
