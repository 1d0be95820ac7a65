//! Trying again: what has to be known for it, and what it changes.

use std::time::Instant;

use http::{Method, StatusCode};

use crate::balance::{Sample, Slot};
use crate::dispatch;
use crate::dispatch::PoolSite;
use crate::http::context::Context;
use crate::http::failure::{self, Attempt, Failure, Verdict};
use crate::observe::RetryReason;
use crate::pool::{Others, Outcome};

/// What of a request decides whether it may be sent again.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// The method.
    pub method: &'a Method,
    /// The client has been answered, at least in part.
    pub answered: bool,
    /// Its body, if any, is still at hand in full.
    pub replayable: bool,
}

/// Notes a try that begins. The first one pays into its pool's budget for retries.
pub fn note_try(context: &mut Context, now: Instant) {
    let upstream = &mut context.upstream;
    upstream.attempts += 1;
    upstream.interim = 0;
    if upstream.attempts == 1
        && let Some(target) = context.target()
    {
        let percent = target.pool.settings().retries.budget_percent;
        target.pool.retry_budget().deposit(percent, now);
    }
}

/// Notes a try that failed for the server's part, where picks or passive detection depend on it. A connection that had
/// become stale is no failure, and how a tunnel ends is nobody's business. `answered` is what the client has got.
pub fn note_failure(
    context: &Context,
    failure: Failure,
    verdict: Verdict,
    answered: Option<StatusCode>,
) {
    let upstream = &context.upstream;
    let (Some(target), Some(lease), Some(begun), Some(fault)) = (
        context.target(),
        &upstream.lease,
        upstream.begun,
        failure.fault(),
    ) else {
        return;
    };
    if verdict == Verdict::FreshConnection {
        return;
    }
    let (pool, server) = (&target.pool, lease.server());
    if upstream.first_byte.is_none() {
        let sample = Sample {
            took: begun.elapsed(),
            failed: true,
        };
        pool.note_latency(server, sample);
        pool.note_outcome(server, Outcome::Failed(fault));
    } else if answered != Some(StatusCode::SWITCHING_PROTOCOLS) {
        pool.note_outcome(server, Outcome::BrokenOff(fault));
    }
}

/// Notes that a server's response has come to its proper end.
pub fn note_success(context: &Context) {
    if let (Some(target), Some(lease)) = (context.target(), &context.upstream.lease) {
        target.pool.note_outcome(lease.server(), Outcome::Completed);
    }
}

/// What to do about a failed try, and for another one takes what it costs out of the pool's budget. `reused`: its
/// connection had served before.
pub fn judge(sent: Sent<'_>, context: &Context, failure: Failure, reused: bool) -> Verdict {
    let Some(target) = context.target() else {
        return Verdict::GiveUp;
    };
    let attempt = Attempt {
        method: sent.method,
        tried: context
            .upstream
            .attempts
            .saturating_sub(context.upstream.stale_retries),
        stale_retries: context.upstream.stale_retries,
        reused_connection: reused,
        response_begun: sent.answered,
        body_replayable: sent.replayable,
    };
    let verdict = failure::judge(failure, &attempt, &target.pool.settings().retries);
    let possible = match verdict {
        Verdict::AnotherServer(_) => elsewhere(target, context, failure, verdict),
        Verdict::GiveUp
            if is_unsent(failure)
                && context
                    .binding
                    .may_not_leave(target, &context.upstream.tried) =>
        {
            Verdict::Lost
        }
        verdict => verdict,
    };
    if is_free(possible, failure, &attempt) || target.pool.retry_budget().withdraw(Instant::now()) {
        return possible;
    }
    let metrics = target.pool.metrics();
    metrics.retries.inc(RetryReason::BudgetExhausted);
    tell_exhausted(target);
    Verdict::GiveUp
}

/// Another server, if there is one. If not, and the server of this try could not be connected to, that one after a while.
fn elsewhere(target: &PoolSite, context: &Context, failure: Failure, verdict: Verdict) -> Verdict {
    let upstream = &context.upstream;
    let stays = context.binding.may_not_leave(target, &upstream.tried);
    let others = if context.binding.has_another(&upstream.tried) {
        Others::Free
    } else if stays {
        Others::None
    } else {
        let this = upstream.lease.as_ref().map(|lease| lease.server().slot());
        let tried: Vec<Slot> = upstream.tried.iter().copied().chain(this).collect();
        target.pool.others(&tried)
    };
    let end = if stays {
        Verdict::Lost
    } else {
        Verdict::GiveUp
    };
    match (others, failure) {
        // What a server said is better than to wait for what another one might say.
        (Others::Full | Others::None, Failure::ServerStatus(_)) => Verdict::GiveUp,
        (Others::Free | Others::Full, _) => verdict,
        (Others::None, Failure::Connect) => {
            let limit = context
                .timeouts()
                .map(|timeouts| timeouts.connect)
                .unwrap_or_default();
            let pause = upstream
                .backoff
                .pause(Instant::now(), limit, rand::random());
            pause.map_or(end, Verdict::SameServerAfter)
        }
        // It may be that connection alone which takes no more.
        (Others::None, Failure::NotProcessed) if upstream.stale_retries == 0 => {
            Verdict::FreshConnection
        }
        (Others::None, _) => end,
    }
}

/// Whether what is to be done puts no load on the servers beyond that of the request itself. A connection that had
/// become stale is nobody's fault, once; one that its server is ending is never.
fn is_free(verdict: Verdict, failure: Failure, attempt: &Attempt<'_>) -> bool {
    match verdict {
        Verdict::GiveUp | Verdict::Lost | Verdict::SameServerAfter(_) => true,
        Verdict::FreshConnection => attempt.stale_retries == 0 || failure == Failure::GoingAway,
        Verdict::AnotherServer(_) => is_unsent(failure),
    }
}

/// Whether nothing of the request was sent to the server.
fn is_unsent(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::Connect | Failure::ConnectTimeout | Failure::ServerTls
    )
}

/// Writes one warning a second and pool at most.
fn tell_exhausted(target: &PoolSite) {
    if target.pool.told().retries.first_at(Instant::now()) {
        let pool = &**target.pool.name();
        tracing::warn!(
            pool,
            "requests that fail are not tried again: the budget for retries is used up"
        );
    }
}

/// Does what a verdict says. False: there is no other try.
pub fn prepare(context: &mut Context, verdict: Verdict) -> bool {
    let failed = context.failure.is_some_and(Failure::blames_server);
    let reason = match verdict {
        Verdict::GiveUp => return false,
        Verdict::Lost => {
            if let Some(target) = context.target().cloned() {
                dispatch::give_up_session(&target, &mut context.binding);
            }
            context.upstream.lease = None;
            context.failure = Some(Failure::BoundServerUnavailable);
            return false;
        }
        Verdict::FreshConnection => {
            context.upstream.stale_retries += 1;
            RetryReason::StaleConnection
        }
        Verdict::AnotherServer(reason) => {
            let refused = matches!(context.failure, Some(Failure::Connect));
            let upstream = &mut context.upstream;
            if let Some(lease) = upstream.lease.take() {
                lease
                    .server()
                    .note_request(failed, upstream.first_byte.take());
                upstream.tried.push(lease.server().slot());
                if refused {
                    upstream.refused.push(lease.server().slot());
                }
            }
            reason
        }
        Verdict::SameServerAfter(pause) => {
            let upstream = &mut context.upstream;
            // Its place is for others meanwhile.
            if let Some(lease) = upstream.lease.take() {
                lease.server().note_request(failed, None);
            }
            let refused = std::mem::take(&mut upstream.refused);
            upstream.tried.retain(|slot| !refused.contains(slot));
            upstream.backoff.note(Instant::now());
            upstream.pause = Some(pause);
            RetryReason::ConnectFailure
        }
    };
    if let Some(target) = context.target() {
        target.pool.metrics().retries.inc(reason);
    }
    true
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::*;

    #[test]
    fn what_puts_no_more_load_on_the_servers_is_free() {
        let attempt = |stale_retries| Attempt {
            method: &Method::GET,
            tried: 1,
            stale_retries,
            reused_connection: true,
            response_begun: false,
            body_replayable: true,
        };
        let another = Verdict::AnotherServer(RetryReason::ConnectFailure);
        for unsent in [
            Failure::Connect,
            Failure::ConnectTimeout,
            Failure::ServerTls,
        ] {
            assert!(is_free(another, unsent, &attempt(0)), "{unsent:?}");
        }
        for sent in [
            Failure::ServerReset,
            Failure::NotProcessed,
            Failure::ServerTimeout,
            Failure::ServerInvalid,
            Failure::ServerStatus(503),
        ] {
            assert!(!is_free(another, sent, &attempt(0)), "{sent:?}");
        }
        let fresh = Verdict::FreshConnection;
        assert!(is_free(fresh, Failure::ServerReset, &attempt(0)));
        assert!(!is_free(fresh, Failure::ServerReset, &attempt(1)));
        assert!(is_free(fresh, Failure::GoingAway, &attempt(1)));
        let later = Verdict::SameServerAfter(Duration::ZERO);
        assert!(is_free(later, Failure::Connect, &attempt(0)));
    }
}
