//! What a client still sends of a request that has its whole answer already.
//!
//! `RST_STREAM(NO_ERROR)` may follow such an answer at once (RFC 9113 section 8.1), but clients lose the answer over
//! it: curl before 8.0 reports a broken stream instead of the 413 that explains it. So what is under way is taken and thrown
//! away for a moment first, as with HTTP/1. Most clients end their stream in that time, and no reset is needed.

use std::future::poll_fn;

use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::bodies::Body;
use crate::http::wire::client::LATE_BODY;
use crate::supervise;

/// Takes in the rest of a body that nobody wants, in the background. When the moment is over, `h2` resets the stream.
pub fn linger(mut body: Body) {
    if Handle::try_current().is_err() {
        return;
    }
    supervise::once(async move {
        let rest = async { while let Some(Ok(_)) = poll_fn(|cx| body.poll_data(cx)).await {} };
        drop(timeout(LATE_BODY, rest).await);
    });
}
