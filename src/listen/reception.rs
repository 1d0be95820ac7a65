//! How a listener receives connections: from trusted proxies the PROXY header comes first.
//!
//! The socket is looked into before anything is taken out of it, so that not a byte of what follows the header is
//! taken along: it may be TLS, and be read by somebody else.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::drain::Drain;
use super::ends::Ends;
use crate::config::model;
use crate::networks::Networks;
use crate::proxy_protocol::{self, Header, Malformed};

/// Bytes looked at at once: no header without TLVs is longer.
const LOOK: usize = 512;

/// How long a header that is under way is still waited for when the process is to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A listener's rules for connections that have just come.
pub struct Reception {
    /// Who introduces clients; `None` = nobody does.
    proxies: Option<Networks>,
    /// How long a header may take.
    patience: Duration,
}

/// Why it isn't known whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotIntroduced {
    /// It was closed before there was anything to do for it, as by a check that only connects.
    #[error("closed before it was received")]
    Nobody,
    /// It was closed in the middle of the header.
    #[error("closed in the middle of the PROXY header")]
    CutOff,
    /// The header took too long.
    #[error("no whole PROXY header in {0:?}")]
    Late(Duration),
    /// The process is to end.
    #[error("no PROXY header until the process was to end")]
    Stopping,
    /// It is none.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Reception {
    /// Of a listener as configured.
    pub fn new(listener: &model::Listener) -> Self {
        let proxies = &listener.client_address.trusted_proxies;
        Self {
            proxies: listener.proxy_protocol.then(|| Networks::new(proxies)),
            patience: listener.http.header_timeout,
        }
    }

    /// Whether a connection from there has to begin with a PROXY header.
    pub fn expects_header(&self, peer: SocketAddr) -> bool {
        let ip = peer.ip().to_canonical();
        self.proxies
            .as_ref()
            .is_some_and(|proxies| proxies.contains(ip))
    }

    /// Takes the header from the socket and nothing else. `by` is its other end.
    ///
    /// # Errors
    ///
    /// There is none, or not in time.
    pub async fn introduced(
        &self,
        socket: &TcpStream,
        by: SocketAddr,
        drain: &Drain,
    ) -> Result<Ends, NotIntroduced> {
        let mut header = std::pin::pin!(take_header(socket));
        let taken = tokio::select! {
            biased;
            taken = timeout(self.patience, header.as_mut()) => {
                taken.unwrap_or(Err(NotIntroduced::Late(self.patience)))
            }
            () = drain.begun() => {
                let last = timeout(LAST_WORDS, header).await;
                last.unwrap_or(Err(NotIntroduced::Stopping))
            }
        };
        taken.map(|header| Ends::introduced(by, header))
    }
}

async fn take_header(socket: &TcpStream) -> Result<Header, NotIntroduced> {
    let mut taken = Vec::new();
    let mut look = vec![0; LOOK];
    loop {
        let broke = |taken: &Vec<u8>| {
            if taken.is_empty() {
                NotIntroduced::Nobody
            } else {
                NotIntroduced::CutOff
            }
        };
        let seen = socket.peek(&mut look).await.map_err(|_| broke(&taken))?;
        if seen == 0 {
            return Err(broke(&taken));
        }
        let before = taken.len();
        taken.extend_from_slice(look.get(..seen).unwrap_or_default());
        let header = proxy_protocol::read(&taken)?;
        // Without an end of the header all that was seen belongs to it.
        let more = header.as_ref().map_or(seen, |(_, length)| length - before);
        let taken_out = take_out(socket, &mut look, more).await;
        match (header, taken_out) {
            (Some((header, _)), Ok(())) => return Ok(header),
            // A proxy's check resets the connection once it has said its header.
            (Some(_), Err(_)) => return Err(NotIntroduced::Nobody),
            (None, Ok(())) => {}
            (None, Err(_)) => return Err(NotIntroduced::CutOff),
        }
    }
}

/// Takes out what has been seen, of which the first `count` bytes are meant.
async fn take_out(socket: &TcpStream, look: &mut [u8], count: usize) -> io::Result<()> {
    let mut left = count;
    while left > 0 {
        match socket.try_read(look.get_mut(..left).unwrap_or_default()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => left -= read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.readable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
