//! `equipoise schema`: the JSON Schema of the configuration, for editors.

use std::io::{self, Write as _};

use crate::config;

/// Prints the schema; the exit status is always 0.
pub fn run() -> u8 {
    // A reader that has seen enough and closes the pipe is no error.
    drop(io::stdout().write_all(config::schema_text().as_bytes()));
    0
}
