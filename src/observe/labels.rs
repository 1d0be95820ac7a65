//! The closed sets of words that metrics and the access log use, as types.
//!
//! A label that is an enum can't take a value that a client chose, and a typo is a compile error.

/// A closed set of label values.
pub trait Label: Copy + 'static {
    /// Every value, in declaration order.
    const ALL: &'static [Self];
    /// The word written into metrics and logs.
    fn as_str(self) -> &'static str;
    /// Position in [`Self::ALL`].
    fn index(self) -> usize;
}

macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// The word written into metrics and logs.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl $crate::observe::labels::Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];
            fn as_str(self) -> &'static str { self.as_str() }
            fn index(self) -> usize { self as usize }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

pub(super) use labels;

labels! {
    /// Why a client connection was closed without being served.
    RejectReason {
        /// The listener's `max_connections_per_client` is reached.
        ClientLimit = "client_limit",
        /// The client makes more connections than `connection_rate_per_client` allows.
        ClientRate = "client_rate",
        /// A trusted proxy sent no PROXY header, a malformed one, or took too long for it.
        ProxyProtocol = "proxy_protocol",
        /// TCP: the name that the client asked for by TLS leads nowhere, and there is no pool for the rest.
        NoRoute = "no_route",
        /// The process is stopping.
        Stopping = "stopping",
        /// TCP: no server of the pool was available, or not the session's own.
        NoServer = "no_server",
        /// TCP: all servers were full, and so was the queue, or the wait in it too long.
        Queue = "queue",
        /// TCP: no server could be connected to.
        ConnectFailure = "connect_failure",
        /// TCP: this process or its machine had run out of what a connection to a server needs.
        ProxyResources = "proxy_resources",
    }
}

labels! {
    /// Why a client connection had to wait for a place before it was served.
    DelayReason {
        /// `server.max_connections` is reached, or as many as there are file descriptors for.
        ProcessLimit = "process_limit",
        /// The listener's `max_connections` is reached.
        ListenerLimit = "listener_limit",
        /// No file descriptor, or no memory, was left to accept it with.
        ProxyResources = "proxy_resources",
    }
}

labels! {
    /// Why a request was sent again; the words of `retries.on` where there is one.
    RetryReason {
        /// The server could not be connected to.
        ConnectFailure = "connect_failure",
        /// The connection ended before the first byte of a response.
        ResetBeforeResponse = "reset_before_response",
        /// A kept-alive connection turned out to be closed already.
        StaleConnection = "stale_connection",
        /// The server answered 502.
        Status502 = "502",
        /// The server answered 503.
        Status503 = "503",
        /// The server answered 504.
        Status504 = "504",
        /// It was not: the pool's budget for retries was used up.
        BudgetExhausted = "budget_exhausted",
    }
}

labels! {
    /// How a server was chosen.
    PickedBy {
        /// The pool's algorithm.
        Balance = "balance",
        /// The session was bound to it.
        Persistence = "persistence",
        /// Another server failed before.
        Retry = "retry",
    }
}

labels! {
    /// What session persistence made of a request.
    PersistenceResult {
        /// A valid token; its server took the request.
        Hit = "hit",
        /// No token.
        Miss = "miss",
        /// A token that is malformed, forged or signed with another key.
        Invalid = "invalid",
        /// A token past its idle timeout or lifetime.
        Expired = "expired",
        /// The bound server could not take it and `on_unavailable` is `reject`.
        Unavailable = "unavailable",
        /// The bound server could not take it and another one did.
        Rebalanced = "rebalanced",
    }
}

labels! {
    /// What a server is to new work. The operator's word comes before the checks'.
    ServerState {
        /// Takes new work.
        Up = "up",
        /// Failed its checks, was ejected, or its name does not resolve.
        Down = "down",
        /// No check has ended yet.
        Unknown = "unknown",
        /// Keeps its sessions, takes no new ones (by the operator or by weight 0).
        Drain = "drain",
        /// Takes nothing, by the operator.
        Maintenance = "maintenance",
    }
}

impl ServerState {
    /// Whether it takes new work; while nothing is known of a server that is only so where none is known to be up.
    pub fn takes_new(self) -> bool {
        matches!(self, Self::Up | Self::Unknown)
    }
}

labels! {
    /// Why a request or connection counts as an error: it failed for the servers' part or ours. The words are those of
    /// [`Termination`], but for `status`.
    ErrorReason {
        /// It has a whole response whose status is 5xx.
        Status = "status",
        /// No server of the pool was available.
        NoServer = "no_server",
        /// The session's own server was not available.
        BoundServerUnavailable = "bound_server_unavailable",
        /// The queue had no room left.
        QueueFull = "queue_full",
        /// Waited in the queue for `queue.timeout`.
        QueueTimeout = "queue_timeout",
        /// A limit of ours: answered with 503, or the connection is closed.
        Limit = "limit",
        /// What a connection to a server needs was missing here.
        ProxyResources = "proxy_resources",
        /// No server could be connected to.
        ServerRefused = "server_refused",
        /// The server closed or reset the connection before the end of its response.
        ServerReset = "server_reset",
        /// The server did not connect, answer or go on in time.
        ServerTimeout = "server_timeout",
        /// TLS to the server failed.
        ServerTls = "server_tls",
        /// The server's answer was not HTTP, or broke its rules.
        ServerInvalid = "server_invalid",
        /// A fault of Equipoise itself.
        Internal = "internal",
    }
}

impl ErrorReason {
    /// Whether what ended so is an error, and why.
    pub fn of(termination: Termination, status: Option<u16>) -> Option<Self> {
        let is_5xx = status.is_some_and(|status| status >= 500);
        Some(match termination {
            Termination::NoServer => Self::NoServer,
            Termination::BoundServerUnavailable => Self::BoundServerUnavailable,
            Termination::QueueFull => Self::QueueFull,
            Termination::QueueTimeout => Self::QueueTimeout,
            Termination::ProxyResources => Self::ProxyResources,
            Termination::ServerRefused => Self::ServerRefused,
            Termination::ServerReset => Self::ServerReset,
            Termination::ServerTimeout => Self::ServerTimeout,
            Termination::ServerTls => Self::ServerTls,
            Termination::ServerInvalid => Self::ServerInvalid,
            Termination::Internal => Self::Internal,
            // Where there are no statuses it is a connection too many.
            Termination::Limit if is_5xx || status.is_none() => Self::Limit,
            // A client that goes away while it gets an error page has got an error.
            _ if is_5xx => Self::Status,
            _ => return None,
        })
    }
}

labels! {
    /// Why a request or connection ended: one word for each line of the access log, in the spirit
    /// of `HAProxy`'s termination state.
    Termination {
        /// The whole response went to the client.
        Complete = "complete",
        /// The client closed or reset the connection before the end.
        ClientAborted = "client_aborted",
        /// The client was too slow to send its request or to take the response.
        ClientTimeout = "client_timeout",
        /// The TLS handshake with the client failed, or the client spoke no TLS.
        ClientTls = "client_tls",
        /// A trusted proxy did not say by a PROXY header whose connection it brings, or not in time.
        ProxyProtocol = "proxy_protocol",
        /// No server could be connected to: refused, unreachable, or its name did not resolve.
        ServerRefused = "server_refused",
        /// The server closed or reset the connection before the end of its response.
        ServerReset = "server_reset",
        /// The server did not connect, answer or go on in time.
        ServerTimeout = "server_timeout",
        /// TLS to the server failed: its certificate was not accepted, or there was no handshake.
        ServerTls = "server_tls",
        /// The server's answer was not HTTP, or broke its rules.
        ServerInvalid = "server_invalid",
        /// No server of the pool was available.
        NoServer = "no_server",
        /// The session's own server was not available and `on_unavailable` is `reject`.
        BoundServerUnavailable = "bound_server_unavailable",
        /// Waited in the queue for `queue.timeout`.
        QueueTimeout = "queue_timeout",
        /// The queue had no room left.
        QueueFull = "queue_full",
        /// This process or its machine had no file descriptor, port or memory left to reach a server with.
        ProxyResources = "proxy_resources",
        /// The request was malformed, ambiguous or of an unknown version.
        BadRequest = "bad_request",
        /// The request wants what the pool's servers can't be asked for, such as a WebSocket over HTTP/2.
        Unsupported = "unsupported",
        /// A limit: header, URI or body size, connections or requests a client.
        Limit = "limit",
        /// The request came faster than its route's `rate_limit` allows.
        RateLimited = "rate_limited",
        /// The route is not for this client: its address, its name or its password.
        Denied = "denied",
        /// No route took the request, and the listener has no pool.
        NoRoute = "no_route",
        /// TCP: nothing was sent in either direction for `tcp.idle_timeout`.
        IdleTimeout = "idle_timeout",
        /// TCP: one direction was closed, and nothing was sent in the other for `tcp.half_close_timeout`.
        HalfCloseTimeout = "half_close_timeout",
        /// Equipoise was stopping.
        Shutdown = "shutdown",
        /// A fault of Equipoise itself; the program's log says more.
        Internal = "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_are_distinct_and_indexed<L: Label>() {
        for (position, label) in L::ALL.iter().enumerate() {
            assert_eq!(label.index(), position);
            let same = L::ALL
                .iter()
                .filter(|other| other.as_str() == label.as_str());
            assert_eq!(same.count(), 1, "{} twice", label.as_str());
        }
    }

    #[test]
    fn every_set_is_sound() {
        words_are_distinct_and_indexed::<RejectReason>();
        words_are_distinct_and_indexed::<DelayReason>();
        words_are_distinct_and_indexed::<RetryReason>();
        words_are_distinct_and_indexed::<PickedBy>();
        words_are_distinct_and_indexed::<PersistenceResult>();
        words_are_distinct_and_indexed::<ServerState>();
        words_are_distinct_and_indexed::<Termination>();
        words_are_distinct_and_indexed::<ErrorReason>();
    }

    #[test]
    fn an_error_is_what_servers_or_we_are_to_blame_for() {
        let of = ErrorReason::of;
        for (termination, status, expected) in [
            (Termination::Complete, Some(200), None),
            (Termination::Complete, Some(404), None),
            (Termination::Complete, Some(500), Some(ErrorReason::Status)),
            (Termination::ClientAborted, Some(499), None),
            (
                Termination::ClientAborted,
                Some(503),
                Some(ErrorReason::Status),
            ),
            (Termination::ClientTimeout, Some(408), None),
            (
                Termination::ServerReset,
                Some(200),
                Some(ErrorReason::ServerReset),
            ),
            (Termination::NoServer, None, Some(ErrorReason::NoServer)),
            (Termination::Limit, Some(431), None),
            (Termination::Limit, Some(503), Some(ErrorReason::Limit)),
            (Termination::Limit, None, Some(ErrorReason::Limit)),
            (Termination::Denied, Some(403), None),
            (Termination::Shutdown, None, None),
        ] {
            assert_eq!(
                of(termination, status),
                expected,
                "{termination} {status:?}"
            );
        }
    }
}
