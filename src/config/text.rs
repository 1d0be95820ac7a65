//! Names, header fields, paths, status ranges and regular expressions.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use http::HeaderValue;

use crate::headers::is_token;

use super::address::{host_name, more_than_a_name};
use super::problem::shown;
use super::scalar::{Scalar, scalar};

/// Declares a newtype of `String` whose constructor is a check.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $format:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(pub String);

        impl Scalar for $name {
            const FORMAT: &'static str = $format;

            fn parse(text: &str) -> Result<Self, String> {
                let check: fn(&str) -> Result<(), String> = $check;
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        scalar!($name, { "type": "string" });
    };
}

pub(super) use checked_text;

checked_text!(
    /// The name of a listener, pool or server: 1 to 64 letters, digits and `. _ - :`.
    Name, "equipoise-name", check_name
);

checked_text!(
    /// A cookie name: a token of RFC 9110 section 5.6.2, as RFC 6265 section 4.1.1 wants.
    CookieName, "equipoise-cookie-name", |text| {
        if text.len() <= 128 && is_token(text.as_bytes()) {
            Ok(())
        } else {
            Err(format!(
                "`{}` is not a cookie name; letters, digits and !#$%&'*+-.^_`|~ may be used",
                shown(text)
            ))
        }
    }
);

checked_text!(
    /// A cookie's `Path`.
    CookiePath, "equipoise-cookie-path", |text| {
        let fits = |byte: u8| (b' '..0x7f).contains(&byte) && byte != b';';
        if text.starts_with('/') && text.len() <= 1024 && text.bytes().all(fits) {
            Ok(())
        } else {
            Err(format!("`{}` is not a cookie path; it begins with / and has no `;`", shown(text)))
        }
    }
);

checked_text!(
    /// A cookie's `Domain`; the leading dot of old is allowed and means nothing (RFC 6265 section 5.2.3).
    CookieDomain, "equipoise-cookie-domain", |text| {
        if let Some(message) = more_than_a_name(text) {
            return Err(message);
        }
        let name = text.strip_prefix('.').unwrap_or(text);
        if name.parse::<std::net::IpAddr>().is_ok() {
            return Err(format!("`{}` is an address, which a cookie's Domain can't be; leave the key away", shown(text)));
        }
        host_name(name)
    }
);

checked_text!(
    /// What is between session id and route: of what a cookie's value may hold (RFC 6265 section 4.1.1).
    Separator, "equipoise-separator", |text| {
        if text.is_empty() {
            Err("is empty; without a separator nobody knows where the route begins".into())
        } else if text.len() <= 16 && text.bytes().all(is_cookie_octet) {
            Ok(())
        } else {
            Err(format!(
                "`{}` can't be in a cookie's value; write one such as \".\" or \"!\"",
                shown(text)
            ))
        }
    }
);

checked_text!(
    /// The name of a path or query parameter, as it stands in a request target.
    ParameterName, "equipoise-parameter-name", |text| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~$!*+@%:".contains(&byte);
        if !text.is_empty() && text.len() <= 128 && text.bytes().all(fits) {
            Ok(())
        } else {
            Err(format!(
                "`{}` is not the name of a parameter; letters, digits and -._~$!*+@%: may be used",
                shown(text)
            ))
        }
    }
);

checked_text!(
    /// A request target in origin form (RFC 9112 section 3.2.1).
    RequestPath, "equipoise-request-path", |text| {
        let fits = |byte: u8| (b'!'..0x7f).contains(&byte) && byte != b'#';
        if !text.starts_with('/') {
            Err(format!("`{0}` does not begin with /; write /{0}", shown(text)))
        } else if text.bytes().all(fits) && text.len() <= 8192 {
            Ok(())
        } else {
            Err(format!("`{}`: write blanks and letters beyond ASCII in percent-encoding", shown(text)))
        }
    }
);

checked_text!(
    /// A `Host` field: a name or address, and perhaps a port.
    HostField, "equipoise-host", |text| {
        let valid = http::uri::Authority::from_str(text).is_ok_and(|host| !host.as_str().contains('@'));
        if valid {
            Ok(())
        } else {
            Err(format!("`{}` is not a host such as www.example.com or www.example.com:8080", shown(text)))
        }
    }
);

checked_text!(
    /// Words that somebody else gives and understands.
    Text, "equipoise-text", |text| {
        if !text.is_empty() && text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(())
        } else {
            Err("is empty, too long, or holds blanks or letters beyond ASCII".into())
        }
    }
);

checked_text!(
    /// A file: any text that isn't empty, holds no NUL and isn't surrounded by blanks, which nobody means.
    FilePath, "equipoise-file", |text| {
        if text.is_empty() {
            Err("is empty; write a path, or null for none".into())
        } else if text.contains('\0') {
            Err("holds a NUL character, which no path may".into())
        } else if text.trim() != text {
            Err(format!("`{}` begins or ends with blanks or a line break", shown(text)))
        } else {
            Ok(())
        }
    }
);

/// A user or group of the system, by name or number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account(pub String);

impl Scalar for Account {
    const FORMAT: &'static str = "equipoise-account";

    fn parse(text: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.$".contains(&byte);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
            Err(format!(
                "`{}` is not the name or number of a user or group",
                shown(text)
            ))
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

scalar!(Account, { "type": ["string", "integer"] });

checked_text!(
    /// A regular expression in the syntax of the regex crate.
    Pattern, "equipoise-regex", |text| {
        regex::bytes::RegexBuilder::new(text)
            .size_limit(1 << 20)
            .build()
            .map(drop)
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => "is too large a regular expression".into(),
                other => {
                    let text = other.to_string();
                    let last = text.lines().last().unwrap_or_default();
                    format!("is not a regular expression: {}", last.trim_start_matches("error: "))
                }
            })
    }
);

/// The value of a header field: visible ASCII, blanks and tabs (RFC 9110 section 5.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldValue(pub HeaderValue);

impl Scalar for FieldValue {
    const FORMAT: &'static str = "equipoise-header-value";

    fn parse(text: &str) -> Result<Self, String> {
        HeaderValue::from_str(text)
            .ok()
            .filter(|value| value.to_str().is_ok())
            .map(Self)
            .ok_or_else(|| {
                format!("`{}` can't be a header's value: it holds control characters or letters beyond ASCII", shown(text))
            })
    }
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

scalar!(FieldValue, { "type": ["string", "integer", "boolean"] });

/// Whether http is sent on to https, and to which port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RedirectHttps(pub Option<u16>);

impl Scalar for RedirectHttps {
    const FORMAT: &'static str = "equipoise-redirect-https";
    const MAY_BE_STRING: bool = false;

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "false" => Ok(Self(None)),
            "true" => Ok(Self(Some(443))),
            port => match port.parse() {
                Ok(port @ 1..) => Ok(Self(Some(port))),
                _ => Err(format!(
                    "`{}` is neither true nor false nor a port",
                    shown(text)
                )),
            },
        }
    }
}

impl fmt::Display for RedirectHttps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("false"),
            Some(443) => f.write_str("true"),
            Some(port) => write!(f, "{port}"),
        }
    }
}

scalar!(RedirectHttps, { "type": ["boolean", "integer"] });

/// An inclusive range of status codes: `200-399`, or one code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRange(pub RangeInclusive<u16>);

impl Scalar for StatusRange {
    const FORMAT: &'static str = "equipoise-status-range";

    fn parse(text: &str) -> Result<Self, String> {
        let code = |text: &str| {
            let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>()
                .ok()
                .filter(|code| digits && (100..=599).contains(code))
        };
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        match (code(low.trim()), code(high.trim())) {
            (Some(low), Some(high)) if low <= high => Ok(Self(low..=high)),
            (Some(low), Some(high)) => Err(format!(
                "`{}` is an empty range; write {high}-{low}",
                shown(text)
            )),
            _ => Err(format!(
                "`{}` is not a status or a range of them, such as 200 or 200-399",
                shown(text)
            )),
        }
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.start() == self.0.end() {
            write!(f, "{}", self.0.start())
        } else {
            write!(f, "{}-{}", self.0.start(), self.0.end())
        }
    }
}

scalar!(StatusRange, {
    "type": ["string", "integer"],
    "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$",
    "minimum": 100,
    "maximum": 599
});

/// Names travel in URLs, cookies, labels and `POOL/SERVER`, so `/`, `;`, blanks and quotes are out.
pub(super) fn check_name(text: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:[]".contains(&byte);
    if text.is_empty() {
        Err("a name can't be empty".into())
    } else if text.len() > 64 {
        Err(format!("`{}` is longer than 64 characters", shown(text)))
    } else if text.bytes().all(fits) {
        Ok(())
    } else {
        Err(format!(
            "`{}` is not a name; letters, digits and . _ - : may be used",
            shown(text)
        ))
    }
}

fn is_cookie_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused<T: Scalar>(text: &str, part: &str) {
        match T::parse(text) {
            Ok(_) => panic!("{text} was accepted"),
            Err(why) => assert!(why.contains(part), "{text}: {why}"),
        }
    }

    #[test]
    fn names() {
        assert!(Name::parse("tomcat1.example.com:8080").is_ok());
        refused::<Name>("", "empty");
        refused::<Name>("a/b", "is not a name");
        refused::<Name>(&"x".repeat(65), "longer than 64");
        assert!(CookieName::parse("__Host-lb").is_ok());
        refused::<CookieName>("a b", "is not a cookie name");
        refused::<CookieName>("a=b", "is not a cookie name");
        refused::<CookiePath>("app", "begins with /");
        refused::<CookiePath>("/;x", "no `;`");
        assert!(CookieDomain::parse(".example.com").is_ok());
        refused::<CookieDomain>("a;b", "neither");
        assert!(Separator::parse(".").is_ok() && Separator::parse("--").is_ok());
        refused::<Separator>("", "is empty");
        refused::<Separator>(" ", "can't be in a cookie's value");
        refused::<Separator>(";", "can't be in a cookie's value");
        assert!(ParameterName::parse("jsessionid").is_ok());
        refused::<ParameterName>("", "is not the name");
        refused::<ParameterName>("a=b", "is not the name");
    }

    #[test]
    fn http_parts() {
        assert!(RequestPath::parse("/health?full=1").is_ok());
        refused::<RequestPath>("health", "write /health");
        refused::<RequestPath>("/a b", "percent-encoding");
        assert!(HostField::parse("a.example:80").is_ok());
        refused::<HostField>("a b", "is not a host");
        refused::<HostField>("u@h", "is not a host");
        refused::<FieldValue>("a\r\nb", "control characters");
        refused::<Pattern>("(a", "unclosed group");
        assert!(Pattern::parse("(?i)ok|fine").is_ok());
    }

    #[test]
    fn status_ranges() {
        assert_eq!(StatusRange::parse("200-399"), Ok(StatusRange(200..=399)));
        assert_eq!(StatusRange::parse("301"), Ok(StatusRange(301..=301)));
        refused::<StatusRange>("399-200", "write 200-399");
        refused::<StatusRange>("2xx", "is not a status");
        refused::<StatusRange>("99", "is not a status");
        refused::<StatusRange>("600", "is not a status");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC*") {
            let _ = Name::parse(&text);
            let _ = HostField::parse(&text);
            let _ = StatusRange::parse(&text);
            let _ = Pattern::parse(&text);
            let _ = FieldValue::parse(&text);
        }

    }
}
