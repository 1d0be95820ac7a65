//! Why a header section isn't taken.

use crate::http::wire::head;

/// Why a header section isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    Pseudo,
    PseudoOrder,
    PseudoTwice,
    PseudoMissing,
    ConnectWithTarget,
    Method,
    Scheme,
    Authority,
    Target,
    Name,
    LikeFraming,
    Value,
    Space,
    ConnectionField,
    Length,
    Lengths,
    LengthWithoutBody,
    LongTarget,
    Large,
    Many,
    /// It depends on itself (RFC 7540 section 5.3.1).
    SelfDependent,
    Status,
    Interim,
    OpenEnd,
}

impl Unfit {
    const ALL: [(Self, u16, &'static str); 24] = [
        (Self::Pseudo, 400, "an unknown pseudo-field"),
        (Self::PseudoOrder, 400, "a pseudo-field after a field"),
        (Self::PseudoTwice, 400, "a pseudo-field twice"),
        (Self::PseudoMissing, 400, "a pseudo-field is missing"),
        (
            Self::ConnectWithTarget,
            400,
            "CONNECT with :scheme or :path",
        ),
        (Self::Method, 400, "malformed method"),
        (Self::Scheme, 400, "a :scheme other than http and https"),
        (Self::Authority, 400, "malformed :authority"),
        (Self::Target, 400, head::NO_TARGET),
        (
            Self::Name,
            400,
            "a field name with a character that names don't have",
        ),
        (Self::LikeFraming, 400, head::LIKE_FRAMING),
        (Self::Value, 400, "a field value with a control character"),
        (
            Self::Space,
            400,
            "a field value begins or ends with white space",
        ),
        (
            Self::ConnectionField,
            400,
            "a field that is a connection's of HTTP/1",
        ),
        (Self::Length, 400, "malformed Content-Length"),
        (Self::Lengths, 400, "more than one Content-Length"),
        (Self::LengthWithoutBody, 400, "a Content-Length and no body"),
        (
            Self::LongTarget,
            414,
            "the URI is longer than max_uri_length",
        ),
        (
            Self::Large,
            431,
            "the header is larger than max_header_size",
        ),
        (Self::Many, 431, "too many header fields"),
        (Self::SelfDependent, 400, "a stream that depends on itself"),
        (Self::Status, 400, "malformed :status"),
        (
            Self::Interim,
            400,
            "an interim response that ends its stream",
        ),
        (Self::OpenEnd, 400, "trailers that don't end their stream"),
    ];

    /// The status to answer a request with, and the reason in words.
    pub fn refusal(self) -> (u16, &'static str) {
        Self::ALL
            .iter()
            .find(|(unfit, ..)| *unfit == self)
            .map_or((400, "malformed"), |(_, status, reason)| (*status, reason))
    }
}
