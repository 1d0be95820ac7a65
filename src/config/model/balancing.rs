//! How a server is picked.

use std::sync::Arc;

use http::HeaderName;

/// How a server is picked. See `balance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Smooth weighted round robin.
    WeightedRoundRobin,
    /// The smallest number of active requests by weight.
    WeightedLeastConnections,
    /// Consistent hashing of the client's address.
    SourceHash,
    /// Consistent hashing of something else of the request.
    Hash,
    /// The smaller number of active requests by weight, of two servers drawn.
    RandomTwo,
    /// The smaller product of latency and active requests by weight, of two servers drawn.
    PeakEwma,
}

impl Algorithm {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::WeightedRoundRobin => "weighted_round_robin",
            Self::WeightedLeastConnections => "weighted_least_connections",
            Self::SourceHash => "source_hash",
            Self::Hash => "hash",
            Self::RandomTwo => "random_two",
            Self::PeakEwma => "peak_ewma",
        }
    }

    /// Whether requests are shared out by a key.
    pub fn is_hash(self) -> bool {
        matches!(self, Self::SourceHash | Self::Hash)
    }
}

/// What requests have in common that are to go to one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The first bits of the client's address, of an IPv4 and of an IPv6 one.
    Source {
        /// 0–32.
        prefix_v4: u8,
        /// 0–128.
        prefix_v6: u8,
    },
    /// The path.
    Path,
    /// The value of this parameter of the query.
    Query(Arc<str>),
    /// The value of this header field.
    Header(HeaderName),
    /// The value of this cookie.
    Cookie(Arc<str>),
}
