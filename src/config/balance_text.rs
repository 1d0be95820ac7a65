//! What of a request is hashed to pick its server, as it is written.

use std::fmt;
use std::str::FromStr as _;

use http::HeaderName;

use super::problem::shown;
use super::scalar::{Scalar, scalar};
use super::text::{CookieName, ParameterName};

/// What of a request is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// The path.
    Path,
    /// The value of a parameter of the query.
    Query(String),
    /// The value of a header field.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie(String),
}

impl Scalar for HashOn {
    const FORMAT: &'static str = "equipoise-hash-on";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{}` is not one of path, query:NAME, header:NAME, cookie:NAME",
                shown(text)
            )
        };
        if text == "path" {
            return Ok(Self::Path);
        }
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        match kind {
            "query" => Ok(Self::Query(ParameterName::parse(name)?.0)),
            "header" => HeaderName::from_str(name)
                .map(Self::Header)
                .map_err(|_| wrong()),
            "cookie" => Ok(Self::Cookie(CookieName::parse(name)?.0)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for HashOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("path"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

scalar!(HashOn, { "type": "string" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_hashed() {
        for text in ["path", "query:id", "header:x-user", "cookie:SID"] {
            let parsed = HashOn::parse(text).map(|parsed| parsed.to_string());
            assert_eq!(parsed.as_deref(), Ok(text));
        }
        let upper = HashOn::parse("header:X-User").map(|parsed| parsed.to_string());
        assert_eq!(upper.as_deref(), Ok("header:x-user"));
        for text in [
            "",
            "Path",
            "uri",
            "header:",
            "header:a b",
            "query:",
            "cookie:a;b",
            "body:x",
        ] {
            assert!(HashOn::parse(text).is_err(), "{text}");
        }
    }
}
