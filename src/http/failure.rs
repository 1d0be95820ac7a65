//! What a failure means: the status for the client, the word for the log, and whether to try again.
//!
//! Plain functions over the kind of failure, which the typed errors of either end become once.

use std::time::Duration;

use http::Method;

use crate::config::model::{Fault, Retries};
use crate::dispatch::NoPlace;
use crate::observe::{RetryReason, Termination};

/// What went wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No server takes new work.
    NoServer,
    /// The session's own server can't take it, and the configuration says to refuse.
    BoundServerUnavailable,
    /// All are full, and the queue is too.
    QueueFull,
    /// Waited for a place in vain.
    QueueTimeout,
    /// Could not connect.
    Connect,
    /// Could not connect, or not go on, for want of something of ours; nobody else is to blame.
    OwnShortage,
    /// Connecting took too long.
    ConnectTimeout,
    /// TLS to the server failed; nothing was sent.
    ServerTls,
    /// The server says that it has not looked at the request (HTTP/2).
    NotProcessed,
    /// The same, because it was about to end the connection, without fault of anybody's.
    GoingAway,
    /// The connection to the server ended or broke.
    ServerReset,
    /// The server was too slow to take the request or to answer.
    ServerTimeout,
    /// The server's answer wasn't HTTP.
    ServerInvalid,
    /// The server answered with a status that is to be retried.
    ServerStatus(u16),
    /// The request wants to switch protocols, which its servers can't.
    NoUpgrade,
    /// The client's request is malformed.
    BadRequest,
    /// The path has no normal form, for this reason.
    BadPath(&'static str),
    /// TRACE isn't served here.
    NoTrace,
    /// No route takes it, and there is no pool for the rest.
    NoRoute,
    /// The route isn't for this client's address.
    Forbidden,
    /// The route wants a name and a password, or others.
    Unauthorized,
    /// Too many passwords are being looked at.
    TooManyPasswords,
    /// The client's requests come too fast.
    TooManyRequests,
    /// The route answers with this status.
    Configured(u16),
    /// The request's host isn't the one that TLS was set up for.
    Misdirected,
    /// The client's body is larger than `max_body_size`.
    BodyTooLarge,
    /// The client was too slow.
    ClientTimeout,
    /// The client has gone.
    ClientGone,
    /// A fault of ours.
    Internal,
}

impl Failure {
    /// The status to answer; `None` when nobody is there to read it.
    pub fn status(self) -> Option<u16> {
        Some(match self {
            Self::NoServer
            | Self::BoundServerUnavailable
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::OwnShortage
            | Self::TooManyPasswords => 503,
            Self::Connect
            | Self::ServerTls
            | Self::NotProcessed
            | Self::GoingAway
            | Self::ServerReset
            | Self::ServerInvalid => 502,
            Self::ConnectTimeout | Self::ServerTimeout => 504,
            Self::ServerStatus(status) | Self::Configured(status) => status,
            Self::NoUpgrade => 501,
            Self::BadRequest | Self::BadPath(_) => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NoRoute => 404,
            Self::NoTrace => 405,
            Self::TooManyRequests => 429,
            Self::Misdirected => 421,
            Self::BodyTooLarge => 413,
            Self::ClientTimeout => 408,
            Self::ClientGone => return None,
            Self::Internal => 500,
        })
    }

    /// The word for the access log.
    pub fn termination(self) -> Termination {
        match self {
            Self::NoServer => Termination::NoServer,
            Self::BoundServerUnavailable => Termination::BoundServerUnavailable,
            Self::QueueFull => Termination::QueueFull,
            Self::QueueTimeout => Termination::QueueTimeout,
            Self::Connect => Termination::ServerRefused,
            Self::OwnShortage => Termination::ProxyResources,
            Self::ServerTls => Termination::ServerTls,
            Self::ServerReset | Self::NotProcessed | Self::GoingAway => Termination::ServerReset,
            Self::ConnectTimeout | Self::ServerTimeout => Termination::ServerTimeout,
            Self::ServerInvalid => Termination::ServerInvalid,
            Self::ServerStatus(_) | Self::Configured(_) => Termination::Complete,
            Self::NoUpgrade | Self::NoTrace => Termination::Unsupported,
            Self::BadRequest | Self::BadPath(_) | Self::Misdirected => Termination::BadRequest,
            Self::NoRoute => Termination::NoRoute,
            Self::Forbidden | Self::Unauthorized => Termination::Denied,
            Self::BodyTooLarge | Self::TooManyPasswords => Termination::Limit,
            Self::TooManyRequests => Termination::RateLimited,
            Self::ClientTimeout => Termination::ClientTimeout,
            Self::ClientGone => Termination::ClientAborted,
            Self::Internal => Termination::Internal,
        }
    }

    /// The sentence for the error page.
    pub fn detail(self) -> &'static str {
        match self {
            Self::NoServer => "No server is available for this request.",
            Self::BoundServerUnavailable => "The server that holds this session is not available.",
            Self::QueueFull | Self::QueueTimeout => "All servers are busy.",
            Self::Connect | Self::ServerTls => "The server could not be reached.",
            Self::OwnShortage => "Too much is being served at once.",
            Self::ServerReset | Self::NotProcessed | Self::GoingAway => {
                "The server closed the connection without an answer."
            }
            Self::ConnectTimeout | Self::ServerTimeout => "The server did not answer in time.",
            Self::ServerInvalid => "The server's answer was not understood.",
            Self::ServerStatus(_) => "The server could not serve this request.",
            Self::NoUpgrade => "The servers speak HTTP/2, which has no WebSockets here.",
            Self::BadRequest => "The request is malformed.",
            Self::BadPath(reason) => reason,
            Self::NoTrace => "TRACE is not served here.",
            Self::NoRoute => "There is nothing at this address.",
            Self::Forbidden => "This address is not for you.",
            Self::Unauthorized => "A name and a password are wanted.",
            Self::TooManyPasswords => "Too many passwords are being checked.",
            Self::TooManyRequests => "Requests come too fast.",
            Self::Configured(_) => "This is how requests for this address are answered.",
            Self::Misdirected => "This connection was set up for another host.",
            Self::BodyTooLarge => "The request's body is too large.",
            Self::ClientTimeout => "The request took too long to arrive.",
            Self::ClientGone => "The client has gone.",
            Self::Internal => "Something went wrong here; the log says more.",
        }
    }

    /// Whether the client's connection can carry another request after this one has been answered. `ours`: it was found
    /// by a decision of ours, not by reading on.
    pub fn leaves_connection_usable(self, ours: bool) -> bool {
        match self {
            Self::ClientTimeout | Self::ClientGone | Self::Internal => false,
            // Where it ends may be what is wrong with it.
            Self::BadRequest => ours,
            _ => true,
        }
    }

    /// How the server failed, for passive detection; a status is noted where it comes in.
    pub fn fault(self) -> Option<Fault> {
        match self {
            Self::Connect | Self::ConnectTimeout | Self::ServerTls => Some(Fault::ConnectFailure),
            Self::NotProcessed | Self::GoingAway | Self::ServerReset | Self::ServerInvalid => {
                Some(Fault::Reset)
            }
            Self::ServerTimeout => Some(Fault::Timeout),
            _ => None,
        }
    }

    /// Whether it is the server's fault.
    pub fn blames_server(self) -> bool {
        matches!(
            self,
            Self::Connect
                | Self::ConnectTimeout
                | Self::ServerTls
                | Self::NotProcessed
                | Self::GoingAway
                | Self::ServerReset
                | Self::ServerTimeout
                | Self::ServerInvalid
                | Self::ServerStatus(_)
        )
    }
}

impl From<NoPlace> for Failure {
    fn from(refused: NoPlace) -> Self {
        match refused {
            NoPlace::NoServer => Self::NoServer,
            NoPlace::BoundServerUnavailable => Self::BoundServerUnavailable,
            NoPlace::QueueFull => Self::QueueFull,
            NoPlace::QueueTimeout => Self::QueueTimeout,
        }
    }
}

/// What a decision about a retry depends on, besides the failure.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// Servers tried so far, this one included.
    pub tried: u32,
    /// Retries on fresh connections after stale ones, which are not the server's failures.
    pub stale_retries: u32,
    /// The connection had served before.
    pub reused_connection: bool,
    /// Part of a response has been seen by the client, or could have been.
    pub response_begun: bool,
    /// The body, if any, is still at hand in full.
    pub body_replayable: bool,
}

/// What to do about a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Tell the client.
    GiveUp,
    /// Try another server.
    AnotherServer(RetryReason),
    /// The same server on a new connection: the kept-alive one had been closed meanwhile.
    FreshConnection,
    /// Any server, those that could not be connected to as well, after this long: there is no other.
    SameServerAfter(Duration),
    /// No server: the session's own has failed, and it may go to no other.
    Lost,
}

/// Kept-alive connections that turn out to be stale, one after the other, before it isn't that any more.
const MAX_STALE: u32 = 3;

/// The same for connections of HTTP/2 whose servers say that they end them. A server that allows few requests on each turns away
/// all that come at once beyond them, again and again.
const MAX_GOING_AWAY: u32 = 16;

/// Whether a failed attempt may be followed by another one: nothing of the request was processed, or
/// its method is idempotent (RFC 9110 section 9.2.2) and no byte of a response has gone to the client.
pub fn judge(failure: Failure, attempt: &Attempt<'_>, retries: &Retries) -> Verdict {
    if attempt.response_begun || !attempt.body_replayable {
        return Verdict::GiveUp;
    }
    if failure == Failure::ServerReset
        && attempt.reused_connection
        && attempt.method.is_idempotent()
        && attempt.stale_retries < MAX_STALE
    {
        return Verdict::FreshConnection;
    }
    if failure == Failure::GoingAway && attempt.stale_retries < MAX_GOING_AWAY {
        return Verdict::FreshConnection;
    }
    // As stale, whatever the method: the connection was closing when the request came.
    if failure == Failure::NotProcessed
        && attempt.reused_connection
        && attempt.stale_retries < MAX_STALE
    {
        return Verdict::FreshConnection;
    }
    if attempt.tried > retries.attempts {
        return Verdict::GiveUp;
    }
    // Nothing was sent yet: safe for every method.
    if matches!(
        failure,
        Failure::Connect | Failure::ConnectTimeout | Failure::ServerTls
    ) {
        return if retries.on_connect_failure {
            Verdict::AnotherServer(RetryReason::ConnectFailure)
        } else {
            Verdict::GiveUp
        };
    }
    let is_unseen = matches!(failure, Failure::NotProcessed | Failure::GoingAway);
    if !attempt.method.is_idempotent() && !is_unseen {
        return Verdict::GiveUp;
    }
    match failure {
        Failure::ServerReset | Failure::NotProcessed | Failure::GoingAway
            if retries.on_reset_before_response =>
        {
            Verdict::AnotherServer(RetryReason::ResetBeforeResponse)
        }
        Failure::ServerInvalid | Failure::ServerStatus(502) if retries.on_502 => {
            Verdict::AnotherServer(RetryReason::Status502)
        }
        Failure::ServerStatus(503) if retries.on_503 => {
            Verdict::AnotherServer(RetryReason::Status503)
        }
        Failure::ServerTimeout | Failure::ServerStatus(504) if retries.on_504 => {
            Verdict::AnotherServer(RetryReason::Status504)
        }
        _ => Verdict::GiveUp,
    }
}

/// Whether a response of this status is to be retried rather than passed on, if the rest allows it.
pub fn is_retried_status(status: u16, retries: &Retries) -> bool {
    match status {
        502 => retries.on_502,
        503 => retries.on_503,
        504 => retries.on_504,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RETRIES: Retries = Retries {
        attempts: 2,
        on_connect_failure: true,
        on_reset_before_response: true,
        on_502: false,
        on_503: false,
        on_504: false,
        budget_percent: 20,
        replay_buffer: 0,
    };

    fn attempt(method: &Method) -> Attempt<'_> {
        Attempt {
            method,
            tried: 1,
            stale_retries: 0,
            reused_connection: false,
            response_begun: false,
            body_replayable: true,
        }
    }

    #[test]
    fn a_post_is_tried_again_only_if_nothing_was_sent() {
        let post = attempt(&Method::POST);
        assert_eq!(
            judge(Failure::Connect, &post, &RETRIES),
            Verdict::AnotherServer(RetryReason::ConnectFailure)
        );
        for failure in [
            Failure::ServerReset,
            Failure::ServerTimeout,
            Failure::ServerInvalid,
        ] {
            assert_eq!(judge(failure, &post, &RETRIES), Verdict::GiveUp);
            let stale = Attempt {
                reused_connection: true,
                ..post
            };
            assert_eq!(judge(failure, &stale, &RETRIES), Verdict::GiveUp);
        }
    }

    #[test]
    fn attempts_are_tries_after_the_first() {
        let get = attempt(&Method::GET);
        for tried in 1..=2 {
            let verdict = judge(Failure::Connect, &Attempt { tried, ..get }, &RETRIES);
            assert_ne!(verdict, Verdict::GiveUp);
        }
        let third = Attempt { tried: 3, ..get };
        assert_eq!(judge(Failure::Connect, &third, &RETRIES), Verdict::GiveUp);
    }

    #[test]
    fn what_we_have_run_out_of_is_nobody_elses_fault_and_missing_everywhere() {
        let get = attempt(&Method::GET);
        assert_eq!(judge(Failure::OwnShortage, &get, &RETRIES), Verdict::GiveUp);
        assert!(!Failure::OwnShortage.blames_server());
        assert_eq!(Failure::OwnShortage.status(), Some(503));
    }

    #[test]
    fn a_stale_connection_is_no_failure_of_its_server() {
        let stale = Attempt {
            reused_connection: true,
            ..attempt(&Method::GET)
        };
        assert_eq!(
            judge(Failure::ServerReset, &stale, &RETRIES),
            Verdict::FreshConnection
        );
        let again = Attempt {
            stale_retries: MAX_STALE,
            ..stale
        };
        assert_eq!(
            judge(Failure::ServerReset, &again, &RETRIES),
            Verdict::AnotherServer(RetryReason::ResetBeforeResponse)
        );
    }

    #[test]
    fn what_the_server_did_not_look_at_is_sent_again_whatever_the_method() {
        let post = attempt(&Method::POST);
        let reused = Attempt {
            reused_connection: true,
            ..post
        };
        assert_eq!(
            judge(Failure::NotProcessed, &reused, &RETRIES),
            Verdict::FreshConnection
        );
        let turned_away = |stale_retries| Attempt {
            stale_retries,
            ..post
        };
        let verdict = |stale| judge(Failure::GoingAway, &turned_away(stale), &RETRIES);
        assert_eq!(verdict(MAX_GOING_AWAY - 1), Verdict::FreshConnection);
        let another = Verdict::AnotherServer(RetryReason::ResetBeforeResponse);
        assert_eq!(verdict(MAX_GOING_AWAY), another);
        for failure in [Failure::NotProcessed, Failure::ServerTls] {
            let verdict = judge(failure, &post, &RETRIES);
            assert!(
                matches!(verdict, Verdict::AnotherServer(_)),
                "{failure:?}: {verdict:?}"
            );
        }
    }

    #[test]
    fn statuses_are_retried_only_where_listed() {
        let get = attempt(&Method::GET);
        let listed = Retries {
            on_503: true,
            ..RETRIES
        };
        assert_eq!(
            judge(Failure::ServerStatus(503), &get, &RETRIES),
            Verdict::GiveUp
        );
        assert_eq!(
            judge(Failure::ServerStatus(503), &get, &listed),
            Verdict::AnotherServer(RetryReason::Status503)
        );
        assert_eq!(
            judge(Failure::ServerTimeout, &get, &listed),
            Verdict::GiveUp
        );
    }

    proptest! {
        /// After a byte of response, or without the body, nothing is ever sent again; and a method that
        /// is not idempotent is never sent again once it may have been processed.
        #[test]
        fn unsafe_retries_never_happen(
            which in 0usize..9, tried in 0u32..5, stale in 0u32..5, reused: bool, begun: bool,
            replayable: bool, idempotent: bool,
        ) {
            let failure = [Failure::Connect, Failure::ConnectTimeout, Failure::ServerReset,
                Failure::ServerTimeout, Failure::ServerInvalid, Failure::ServerStatus(503),
                Failure::ServerTls, Failure::NotProcessed, Failure::GoingAway][which];
            let method = if idempotent { Method::PUT } else { Method::PATCH };
            let all = Retries { attempts: 3, on_connect_failure: true, on_reset_before_response: true,
                on_502: true, on_503: true, on_504: true, budget_percent: 20, replay_buffer: 0 };
            let verdict = judge(failure, &Attempt { method: &method, tried, stale_retries: stale,
                reused_connection: reused, response_begun: begun, body_replayable: replayable }, &all);
            let sent = !matches!(failure, Failure::Connect | Failure::ConnectTimeout
                | Failure::ServerTls | Failure::NotProcessed | Failure::GoingAway);
            if begun || !replayable || (sent && !idempotent) {
                prop_assert_eq!(verdict, Verdict::GiveUp);
            }
        }
    }
}
