//! Commands for a running instance, which is asked through its admin API.

pub mod client;
pub mod place;
pub mod reload;
mod report;
pub mod servers;
pub mod sessions;
pub mod status;
pub mod top;
pub mod whom;

use std::io::{self, Write as _};
use std::time::Duration;

use client::ClientError;

/// How long an answer may take that needs no work.
const LIMIT: Duration = Duration::from_secs(10);

/// Prints the outcome of a command, and gives its exit status.
fn finish(command: &str, outcome: Result<String, ClientError>) -> u8 {
    match outcome {
        Ok(text) => {
            // Nobody is left to tell when stdout is closed, and the status still says it.
            drop(io::stdout().write_all(text.as_bytes()));
            0
        }
        Err(error) => {
            drop(writeln!(io::stderr(), "equipoise {command}: {error}"));
            error.status()
        }
    }
}

/// A part of a path as it is sent: what would end it there, or is no plain character, is escaped.
fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Memory can be written to.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A duration as the configuration writes it.
fn duration(text: &str) -> Result<Duration, String> {
    crate::config::duration(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_one_whatever_is_in_it() {
        assert_eq!(segment("10.0.0.1:80"), "10.0.0.1:80");
        assert_eq!(
            segment("a/b?c=d&e#f %é"),
            "a%2Fb%3Fc%3Dd%26e%23f%20%25%C3%A9"
        );
    }
}
