//! A look at what a client says first, where its server depends on it. What was read is handed on, whatever it was.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::tls::client_hello::{LONGEST, Reader};

/// What a client has said first.
#[derive(Debug, Default)]
pub struct Preview {
    /// All that was read.
    pub bytes: Vec<u8>,
    /// The name that it asks for by TLS.
    pub name: Option<Box<str>>,
}

/// Reads until it is known which name a client asks for by TLS, or that it asks for none: it speaks something else, has
/// ended its side, or has said nothing to the end for `patience`.
///
/// # Errors
///
/// The connection broke.
pub async fn preview(
    client: &mut (impl AsyncRead + Unpin),
    patience: Duration,
) -> std::io::Result<Preview> {
    let mut bytes = Vec::new();
    let read = async {
        let mut reader = Reader::default();
        loop {
            match reader.read(&bytes) {
                Ok(None) => {}
                Ok(Some(hello)) => return std::io::Result::Ok(hello.server_name),
                Err(_) => return Ok(None),
            }
            // All of it and no more is looked at again, so there is no use in reading far ahead.
            let room = LONGEST - bytes.len();
            bytes.reserve(room.min(4096));
            let mut limited = (&mut *client).take(room as u64);
            if limited.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        }
    };
    let name = match timeout(patience, read).await {
        Ok(name) => name?,
        // It may wait for the server to begin.
        Err(_) => None,
    };
    Ok(Preview { bytes, name })
}
