//! What routes are written with: hosts, paths, values, rates.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderName;
use regex::bytes::{Regex, RegexBuilder};

use super::address::host_name;
use super::problem::shown;
use super::scalar::{Scalar, scalar};

/// The largest compiled form of a regular expression of a route, in bytes.
const REGEX_SIZE: usize = 1 << 20;

/// A host, or `*.` and a name for all below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// `*`: every host, and none.
    Any,
    /// This host, in lower case.
    Exact(String),
    /// Every host below this name, at any depth.
    Below(String),
}

impl Scalar for HostPattern {
    const FORMAT: &'static str = "equipoise-host-pattern";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.starts_with('[') {
            let address = text
                .strip_prefix('[')
                .and_then(|text| text.strip_suffix(']'));
            return match address.map(str::parse::<std::net::Ipv6Addr>) {
                Some(Ok(address)) => Ok(Self::Exact(format!("[{address}]"))),
                _ => Err(format!(
                    "`{}` is not an IPv6 address in brackets",
                    shown(text)
                )),
            };
        }
        if let Ok(address) = text.parse::<std::net::Ipv4Addr>() {
            return Ok(Self::Exact(address.to_string()));
        }
        if text.contains('/') {
            return Err(format!(
                "`{}` is more than a host, such as www.example.com",
                shown(text)
            ));
        }
        if text.parse::<std::net::Ipv6Addr>().is_ok() {
            return Err(format!(
                "`{0}`: an IPv6 address is written in brackets, as \"[{0}]\"",
                shown(text)
            ));
        }
        if !text.is_ascii() {
            return Err(format!(
                "`{}` has letters beyond ASCII; write it as clients send it, as in xn--bcher-kva.example",
                shown(text)
            ));
        }
        if text.contains(':') {
            return Err(format!(
                "`{}` has a port; the port that clients write is no part of what is compared",
                shown(text)
            ));
        }
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        if name.contains('*') {
            return Err(format!(
                "`{}`: a `*` may stand for the first labels alone, as in *.example.com",
                shown(text)
            ));
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        host_name(name)?;
        let name = name.to_ascii_lowercase();
        Ok(if below {
            Self::Below(name)
        } else {
            Self::Exact(name)
        })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

scalar!(HostPattern, { "type": "string" });

/// A path as it is compared with: nothing in it is percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern(pub String);

impl Scalar for PathPattern {
    const FORMAT: &'static str = "equipoise-path-pattern";

    fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("`{}` is not a path; it begins with /", shown(text)));
        }
        let Some(path) = decode(text) else {
            return Err(format!(
                "`{}` has a `%` that no two hexadecimal digits of text follow",
                shown(text)
            ));
        };
        if text.contains(['?', '#']) {
            return Err(format!(
                "`{}` has a `?` or `#`; for the query there is match.query",
                shown(text)
            ));
        }
        if text.contains('*') {
            return Err(format!(
                "`{}` has a `*`, which stands for nothing but itself; a path_prefix takes all below it, path_regex is for \
                 patterns, and a path that has one is written with %2A",
                shown(text)
            ));
        }
        if path.contains(';') {
            return Err(format!(
                "`{}` has a `;`; parameters of a path are no part of what is compared",
                shown(text)
            ));
        }
        if path.chars().any(char::is_control) {
            return Err(format!(
                "`{}` holds a control character, which no path may",
                shown(text)
            ));
        }
        if path.contains("//")
            || path
                .split('/')
                .any(|segment| segment == "." || segment == "..")
        {
            return Err(format!(
                "`{}` has //, /./ or /../, which no path has any more when it is compared",
                shown(text)
            ));
        }
        Ok(Self(path))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is read back must give the same.
        f.write_str(&self.0.replace('%', "%25").replace('*', "%2A"))
    }
}

scalar!(PathPattern, { "type": "string" });

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let [high, low, after @ ..] = after else {
                return None;
            };
            let digit = |byte: &u8| char::from(*byte).to_digit(16);
            let byte = digit(high)? * 16 + digit(low)?;
            bytes.push(u8::try_from(byte).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

/// What a field or a parameter of the query must be: `*` = there, `~REGEX`, else exactly this.
#[derive(Debug, Clone)]
pub enum ValuePattern {
    /// There, whatever it is.
    Present,
    /// Exactly this.
    Exact(String),
    /// One that this matches somewhere.
    Regex(Regex),
}

impl Scalar for ValuePattern {
    const FORMAT: &'static str = "equipoise-value-pattern";

    fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix('~') {
            _ if text == "*" => Ok(Self::Present),
            Some(pattern) => regex(pattern).map(Self::Regex),
            None => Ok(Self::Exact(text.to_owned())),
        }
    }
}

impl fmt::Display for ValuePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str("*"),
            Self::Exact(text) => f.write_str(text),
            Self::Regex(regex) => write!(f, "~{regex}"),
        }
    }
}

scalar!(ValuePattern, { "type": ["string", "integer", "boolean"] });

/// A regular expression that is matched against something of every request.
#[derive(Debug, Clone)]
pub struct RouteRegex(pub Regex);

impl Scalar for RouteRegex {
    const FORMAT: &'static str = "equipoise-route-regex";

    fn parse(text: &str) -> Result<Self, String> {
        regex(text).map(Self)
    }
}

impl fmt::Display for RouteRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

scalar!(RouteRegex, { "type": "string" });

fn regex(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .size_limit(REGEX_SIZE)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "is too large a regular expression".into(),
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                format!(
                    "is not a regular expression: {}",
                    last.trim_start_matches("error: ")
                )
            }
        })
}

/// A method (RFC 9110 section 9.1). They know upper and lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodName(pub http::Method);

impl Scalar for MethodName {
    const FORMAT: &'static str = "equipoise-method";

    fn parse(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        if text != upper && http::Method::from_str(text).is_ok() {
            return Err(format!(
                "`{}` is to be written {}; methods know upper and lower case, and others are not served",
                shown(text),
                shown(&upper)
            ));
        }
        http::Method::from_str(text)
            .ok()
            .filter(|_| text.len() <= 32)
            .map(Self)
            .ok_or_else(|| format!("`{}` is not a method", shown(text)))
    }
}

impl fmt::Display for MethodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

scalar!(MethodName, { "type": "string" });

/// The name of a header field (RFC 9110 section 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldName(pub HeaderName);

impl Scalar for FieldName {
    const FORMAT: &'static str = "equipoise-header-name";

    fn parse(text: &str) -> Result<Self, String> {
        HeaderName::from_str(text)
            .map(Self)
            .map_err(|_| format!("`{}` is not the name of a header field", shown(text)))
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

scalar!(FieldName, { "type": "string" });

/// So many in a time: `100/s`, `10/m`, `5/h`, `1/d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many, at least 1.
    pub count: u32,
    /// In what time.
    pub period: Duration,
}

impl Scalar for Rate {
    const FORMAT: &'static str = "equipoise-rate";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{}` is not a rate such as 100/s, 10/m, 5/h or 1/d",
                shown(text)
            )
        };
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let seconds = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        let count: u32 = count.trim().parse().map_err(|_| wrong())?;
        if !(1..=1_000_000).contains(&count) {
            return Err("a rate is from 1 to 1000000; to refuse everybody write deny".into());
        }
        Ok(Self {
            count,
            period: Duration::from_secs(seconds),
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.period.as_secs() {
            1 => "s",
            60 => "m",
            3600 => "h",
            _ => "d",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

scalar!(Rate, { "type": "string" });

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitKey {
    /// Those of one client address.
    Client,
    /// All of the route.
    Route,
    /// Those with one value of this field; of one client, where it is absent.
    Header(HeaderName),
}

impl Scalar for LimitKey {
    const FORMAT: &'static str = "equipoise-limit-key";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "client" => Ok(Self::Client),
            "route" => Ok(Self::Route),
            _ => match text.strip_prefix("header:").map(HeaderName::from_str) {
                Some(Ok(name)) => Ok(Self::Header(name)),
                _ => Err(format!(
                    "`{}` is not one of client, route, header:NAME",
                    shown(text)
                )),
            },
        }
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("client"),
            Self::Route => f.write_str("route"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

scalar!(LimitKey, { "type": "string" });

/// A share in whole percent: `20%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub u32);

impl Scalar for Percent {
    const FORMAT: &'static str = "equipoise-percent";

    fn parse(text: &str) -> Result<Self, String> {
        text.strip_suffix('%')
            .and_then(|number| number.trim().parse().ok())
            .filter(|percent| *percent <= 1000)
            .map(Self)
            .ok_or_else(|| format!("`{}` is not a share such as 20%", shown(text)))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

scalar!(Percent, { "type": "string" });

/// A media type: `text/html`, or `text/*` for all of a kind (RFC 9110 section 8.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType(pub String);

impl Scalar for MediaType {
    const FORMAT: &'static str = "equipoise-media-type";

    fn parse(text: &str) -> Result<Self, String> {
        let token = |text: &str| HeaderName::from_str(text).is_ok();
        match text.split_once('/') {
            Some((kind, sub))
                if token(kind)
                    && !kind.contains('*')
                    && (sub == "*" || (token(sub) && !sub.contains('*'))) =>
            {
                Ok(Self(text.to_ascii_lowercase()))
            }
            _ => Err(format!(
                "`{}` is not a media type such as text/html or text/*",
                shown(text)
            )),
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

scalar!(MediaType, { "type": "string" });

#[cfg(test)]
mod tests {
    use super::*;

    fn round<T: Scalar + fmt::Display>(text: &str) -> Result<String, String> {
        T::parse(text).map(|value| value.to_string())
    }

    #[test]
    fn hosts_know_no_case_and_no_port() {
        assert_eq!(
            HostPattern::parse("A.Example"),
            Ok(HostPattern::Exact("a.example".into()))
        );
        assert_eq!(
            HostPattern::parse("*.Example."),
            Ok(HostPattern::Below("example".into()))
        );
        assert_eq!(
            HostPattern::parse("[::1]"),
            Ok(HostPattern::Exact("[::1]".into()))
        );
        assert_eq!(
            HostPattern::parse("192.0.2.1"),
            Ok(HostPattern::Exact("192.0.2.1".into()))
        );
        assert_eq!(HostPattern::parse("*"), Ok(HostPattern::Any));
        for wrong in [
            "a.example:80",
            "a.*.example",
            "*a.example",
            "",
            "*.",
            "[1]",
            "a b",
            "*.192.0.2.1",
            "192.0.2",
        ] {
            assert!(HostPattern::parse(wrong).is_err(), "{wrong}");
        }
        let long = HostPattern::parse("[2001:DB8:0:0::1]");
        assert_eq!(long, Ok(HostPattern::Exact("[2001:db8::1]".into())));
        for (wrong, part) in [
            ("http://a.example", "more than a host"),
            ("a.example/x", "more than a host"),
            ("2001:db8::1", "in brackets"),
            ("bücher.example", "beyond ASCII"),
            ("a.example:80", "has a port"),
        ] {
            assert!(
                HostPattern::parse(wrong).is_err_and(|why| why.contains(part)),
                "{wrong}"
            );
        }
    }

    #[test]
    fn paths_are_decoded_and_in_normal_form() {
        for (text, path) in [
            ("/a%20b", "/a b"),
            ("/%C3%A4", "/ä"),
            ("/ä", "/ä"),
            ("/a/", "/a/"),
            ("/100%25", "/100%"),
            ("/%2a", "/*"),
        ] {
            assert_eq!(PathPattern::parse(text), Ok(PathPattern(path.into())));
            let again = round::<PathPattern>(text).unwrap();
            assert_eq!(PathPattern::parse(&again), Ok(PathPattern(path.into())));
        }
        for wrong in [
            "a", "", "/a//b", "/a/../b", "/%", "/%zz", "/%ff", "/a?b", "/a;b", "/%00", "/./a",
            "/a/..", "/a/*",
        ] {
            assert!(PathPattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_keys_shares_and_types() {
        for text in ["100/s", "1/m", "5/h", "7/d"] {
            assert_eq!(round::<Rate>(text).as_deref(), Ok(text));
        }
        for wrong in ["100", "0/s", "-1/s", "1/w", "1/", "/s", "2000000/s"] {
            assert!(Rate::parse(wrong).is_err(), "{wrong}");
        }
        for text in ["client", "route", "header:x-key"] {
            assert_eq!(round::<LimitKey>(text).as_deref(), Ok(text));
        }
        assert!(LimitKey::parse("header:").is_err() && LimitKey::parse("ip").is_err());
        assert_eq!(Percent::parse("20%"), Ok(Percent(20)));
        assert!(Percent::parse("20").is_err() && Percent::parse("-1%").is_err());
        assert!(MediaType::parse("text/*").is_ok() && MediaType::parse("image/svg+xml").is_ok());
        assert!(MediaType::parse("text").is_err() && MediaType::parse("*/*").is_err());
    }

    #[test]
    fn values_are_there_exact_or_patterns() {
        for text in ["*", "1", "~^a", ""] {
            assert_eq!(round::<ValuePattern>(text).as_deref(), Ok(text));
        }
        assert!(ValuePattern::parse("~(").is_err());
        assert!(MethodName::parse("get").is_err_and(|why| why.contains("GET")));
        assert!(MethodName::parse("PropFind").is_err_and(|why| why.contains("PROPFIND")));
        assert!(MethodName::parse("PROPFIND").is_ok() && MethodName::parse("a b").is_err());
    }
}
