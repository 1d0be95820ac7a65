//! HTTP/2 (RFC 9113): the streams of a client's connection ([`streams`]), and what servers say, which is read before the `h2` crate
//! sees it, so that what is malformed in one message costs no other.

use std::sync::Arc;
use std::time::Duration;

use crate::upstream::{Shared, Stream, Witness};

mod fields;
mod flow;
mod frames;
mod framing;
mod hpack;
mod judge;
pub mod meter;
pub mod request;
mod responses;
pub mod streams;
mod unfit;

pub use frames::ErrorCode;

/// Begins to speak HTTP/2 with a server. `moves`: how often its address has changed; `idle`: how long the connection may be
/// without a request.
///
/// # Errors
///
/// The connection's.
pub async fn begin(stream: Stream, moves: u64, idle: Duration) -> Result<Arc<Shared>, h2::Error> {
    let witness = Arc::<Witness>::default();
    let screened = responses::Screened::new(stream, Arc::clone(&witness));
    Shared::begin(screened, witness, moves, idle).await
}
