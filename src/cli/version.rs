//! `equipoise --version`: what this is, and what it was built from.

use std::io::{self, Write as _};

/// Prints the version, and with `verbose` what a report of a fault wants to know besides. The exit status is always 0.
pub fn run(verbose: bool) -> u8 {
    let mut text = format!("equipoise {}\n", env!("CARGO_PKG_VERSION"));
    if verbose {
        text += &format!(
            "commit    {}\n\
             compiler  rustc {}\n\
             target    {}\n\
             OpenSSL   {}\n\
             Pingora   {}\n",
            env!("EQUIPOISE_COMMIT"),
            env!("EQUIPOISE_RUSTC"),
            env!("EQUIPOISE_TARGET"),
            openssl::version::version().trim_start_matches("OpenSSL "),
            env!("EQUIPOISE_PINGORA"),
        );
    }
    // A reader that has seen enough and closes the pipe is no error.
    drop(io::stdout().write_all(text.as_bytes()));
    0
}
