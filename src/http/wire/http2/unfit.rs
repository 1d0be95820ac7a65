//! Why a header section isn't taken, and how a stand-in says so.

use http::HeaderValue;

use crate::http::wire::head;

/// The field of a stand-in that says what it stands for. No client gets it past this module.
pub const STAND_IN: &str = "equipoise-stand-in";
/// Why a header section isn't taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Unfit {
    Pseudo = b'a',
    PseudoOrder,
    PseudoTwice,
    PseudoMissing,
    ConnectWithTarget,
    Method,
    Scheme,
    Authority,
    Path,
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
    /// The connection's requests hold as much as they may.
    Busy,
    Status,
    Interim,
    OpenEnd,
}

impl Unfit {
    pub(super) const ALL: [(Self, u16, &'static str); 26] = [
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
        (Self::Path, 400, "malformed :path"),
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
        (Self::Busy, 503, "the connection's requests hold too much"),
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

/// What of a refused request could be made out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Legible {
    pub method: bool,
    pub target: bool,
    pub host: bool,
}

impl Legible {
    /// All of it.
    pub const ALL: Self = Self {
        method: true,
        target: true,
        host: true,
    };

    pub(super) fn letters(self) -> impl Iterator<Item = u8> {
        [(self.method, b'm'), (self.target, b't'), (self.host, b'h')]
            .into_iter()
            .filter_map(|(is, letter)| is.then_some(letter))
    }
}

/// What a stand-in's field says.
pub fn stands_for(value: &HeaderValue) -> (Unfit, Legible) {
    let said = value.as_bytes();
    let unfit = Unfit::ALL
        .iter()
        .find(|(unfit, ..)| said.first() == Some(&(*unfit as u8)))
        .map_or(Unfit::Pseudo, |(unfit, ..)| *unfit);
    let has = |letter| said.iter().skip(1).any(|byte| *byte == letter);
    (
        unfit,
        Legible {
            method: has(b'm'),
            target: has(b't'),
            host: has(b'h'),
        },
    )
}
