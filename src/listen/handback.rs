//! The way back for a connection that whoever served its message lets go of instead of returning it.
//!
//! Pingora drops the session of a request that failed, and the connection with it. But the client has its answer, and
//! where the message ends is known: the next one may follow.

use parking_lot::Mutex;

use super::stream::ClientStream;

/// Where a connection goes that is dropped although it is to be kept ([`ClientStream::keep`]).
#[derive(Default)]
pub struct Handback(Mutex<Option<Box<ClientStream>>>);

impl Handback {
    /// The connection, if one came back.
    pub fn take(&self) -> Option<Box<ClientStream>> {
        self.0.lock().take()
    }

    pub(super) fn put(&self, stream: Box<ClientStream>) {
        *self.0.lock() = Some(stream);
    }
}
