//! Trying again: Pingora's errors and sessions on one side, the verdicts of [`failure`] on the other.

use http::StatusCode;
use pingora::Error;
use pingora::protocols::http::ServerSession;
use pingora_proxy::Session;

use super::context::Context;
use super::failure::{self, Attempt, Failure, Verdict};
use super::trouble;
use crate::observe::RetryReason;

/// Notes what went wrong. The error only carries it through Pingora.
#[allow(clippy::unnecessary_box_returns)] // Pingora's errors are boxed.
pub fn fail(context: &mut Context, failure: Failure) -> Box<Error> {
    context.failure = Some(failure);
    let mut error = Error::new(trouble::OURS);
    error.set_retry(false);
    error
}

/// What to do about a failed try. `reused`: its connection had served before.
pub fn judge(session: &Session, context: &Context, failure: Failure, reused: bool) -> Verdict {
    let Some(target) = context.target() else {
        return Verdict::GiveUp;
    };
    let downstream = session.as_downstream();
    let attempt = Attempt {
        method: &downstream.req_header().method,
        tried: context.upstream.attempts - context.upstream.stale_retries,
        stale_retries: context.upstream.stale_retries,
        reused_connection: reused,
        response_begun: has_answer(downstream),
        body_replayable: !downstream.retry_buffer_truncated(),
    };
    failure::judge(failure, &attempt, &target.pool.settings().retries)
}

/// Whether the client has been answered, at least in part. An interim response is no answer; a switch to another protocol
/// is one.
pub fn has_answer(session: &ServerSession) -> bool {
    session.response_written().is_some_and(|response| {
        !response.status.is_informational() || response.status == StatusCode::SWITCHING_PROTOCOLS
    })
}

/// Makes Pingora try again, or not, as the verdict says.
pub fn prepare_retry(context: &mut Context, error: &mut Error, verdict: Verdict) {
    error.set_retry(verdict != Verdict::GiveUp);
    let reason = match verdict {
        Verdict::GiveUp => return,
        Verdict::FreshConnection => {
            context.upstream.stale_retries += 1;
            RetryReason::StaleConnection
        }
        Verdict::AnotherServer(reason) => {
            if let Some(lease) = context.upstream.lease.take() {
                context.upstream.tried.push(lease.server().slot());
            }
            reason
        }
    };
    if let Some(target) = context.target() {
        target.pool.metrics().retries.inc(reason);
    }
}
