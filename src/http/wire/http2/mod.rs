//! What both ends of a request's way have in common where they speak HTTP/2: its frames and header blocks are read before
//! the `h2` crate sees them, so that what is malformed in one message costs no other.

use std::sync::Arc;
use std::time::Duration;

use crate::upstream::{Shared, Stream, Witness};

pub mod fields;
pub mod frames;
pub mod framing;
pub mod hpack;
mod responses;
mod unfit;

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
