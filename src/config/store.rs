//! Where a session table is kept: in memory, or in a Redis or Valkey server that is named by a URL.
//!
//! The URL may hold a password, so nothing here ever repeats any part of it: not in messages, not in
//! `Debug`, not in `Display`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::host_name;
use super::scalar::{HIDDEN, Scalar, scalar};

/// The word for a table in this process alone.
const MEMORY: &str = "memory";

/// `memory`, or the URL of a Redis or Valkey server.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreAddress(String);

impl StoreAddress {
    /// In this process alone.
    pub fn memory() -> Self {
        Self(MEMORY.into())
    }

    /// The URL with its password; `None`: in memory.
    pub fn url(&self) -> Option<&str> {
        (self.0 != MEMORY).then_some(self.0.as_str())
    }
}

impl Scalar for StoreAddress {
    const FORMAT: &'static str = "equipoise-session-store";

    fn parse(text: &str) -> Result<Self, String> {
        if text != MEMORY {
            check_url(text)?;
        }
        Ok(Self(text.to_owned()))
    }

    /// The URL without its password.
    fn written(&self) -> String {
        without_password(&self.0)
    }
}

/// The scheme alone: the rest may be secret.
impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_once(':') {
            Some((scheme, _)) => write!(f, "{scheme}:…"),
            None => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

scalar!(StoreAddress, { "type": "string" });

fn check_url(url: &str) -> Result<(), String> {
    const FORMS: &str = "memory, redis://HOST, rediss://HOST, redis+sentinel://HOST,HOST/MASTER, redis+cluster://HOST,HOST \
                         or unix:///SOCKET";
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("holds blanks, control characters or letters beyond ASCII; write them in percent-encoding".into());
    }
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(format!("is not one of {FORMS}"));
    };
    match scheme {
        "redis" | "rediss" => match rest.strip_prefix("//") {
            // As the client library has it: TLS, whoever's certificate it is.
            Some(rest) if scheme == "rediss" => {
                check_tcp(rest.strip_suffix("#insecure").unwrap_or(rest))
            }
            Some(rest) => check_tcp(rest),
            None => Err(format!("has no `//` after {scheme}:")),
        },
        "redis+sentinel" | "rediss+sentinel" | "redis+cluster" | "rediss+cluster" => {
            let rest = rest
                .strip_prefix("//")
                .ok_or_else(|| format!("has no `//` after {scheme}:"))?;
            let rest = if scheme.starts_with("rediss") {
                rest.strip_suffix("#insecure").unwrap_or(rest)
            } else {
                rest
            };
            check_several(rest, scheme.ends_with("sentinel"))
        }
        "sentinel" | "redis-sentinel" | "rediss-sentinel" | "redis-cluster" | "rediss-cluster" => {
            Err("is to be written redis+sentinel://HOST,HOST/MASTER or redis+cluster://HOST,HOST, with rediss for TLS".into())
        }
        "unix" | "redis+unix" => check_unix(rest),
        "valkey" | "valkeys" => {
            Err("is to be written with redis or rediss: Valkey speaks Redis's protocol".into())
        }
        _ => Err(format!("is not one of {FORMS}")),
    }
}

/// How special characters are written.
const ESCAPED: &str = "in a password write @ : / ? # % as %40 %3A %2F %3F %23 %25";

/// `[[USER]:PASSWORD@]HOST[:PORT],…` and, of Sentinels, `/MASTER[/DATABASE]`.
fn check_several(rest: &str, sentinels: bool) -> Result<(), String> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    for host in hosts.split(',') {
        check_tcp(&format!("{user}{host}"))?;
    }
    if !sentinels {
        return match path {
            "" => Ok(()),
            _ => Err(format!(
                "has a path, and clusters have but one database; {ESCAPED}"
            )),
        };
    }
    let (master, database) = path.split_once('/').unwrap_or((path, ""));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if master.is_empty() || !master.bytes().all(is_name) {
        return Err(format!(
            "names no master of letters, digits and -_. behind its hosts; write redis+sentinel://HOST,HOST/MASTER; {ESCAPED}"
        ));
    }
    check_database(database)
}

/// `[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, as IANA's registration of redis has it.
fn check_tcp(rest: &str) -> Result<(), String> {
    if rest.contains(['?', '#']) {
        return Err(format!(
            "has a `?` or `#`, which mean nothing here; {ESCAPED}"
        ));
    }
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, address) = match authority.rsplit_once('@') {
        Some((user, address)) => (user, address),
        None => ("", authority),
    };
    if user.contains('@') || !is_percent_encoded(user) {
        return Err(format!(
            "has a user or password that is not percent-encoded; {ESCAPED}"
        ));
    }
    if address.contains(',') {
        return Err("has several hosts; write redis+sentinel://HOST,HOST/MASTER or redis+cluster://HOST,HOST".into());
    }
    // An IPv6 address has colons of its own, inside its brackets.
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    };
    if host.is_empty() {
        return Err(format!("has no host; {ESCAPED}"));
    }
    let address = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => address.parse::<Ipv6Addr>().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().map(IpAddr::V4),
    };
    if matches!(&address, Ok(address) if address.is_unspecified()) {
        return Err("has the address of all interfaces, which nothing can be reached at".into());
    }
    // A name whose last label is a number would be read as an address (URL Standard section 3.5).
    let is_name = host_name(host).is_ok() && !host.rsplit('.').next().is_some_and(is_number);
    if address.is_err() && !is_name {
        return Err(format!(
            "has a host that is neither a name nor an address; {ESCAPED}"
        ));
    }
    if port.is_some_and(|port| !is_number(port) || port.parse::<u16>().unwrap_or(0) == 0) {
        return Err(format!(
            "has a port that is not one of 1 to 65535; {ESCAPED}"
        ));
    }
    check_database(database)
}

/// `[//]/SOCKET[?db=DATABASE&user=USER&pass=PASSWORD]`.
fn check_unix(rest: &str) -> Result<(), String> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    if rest.contains('#') {
        return Err("has a `#`; write it as %23".into());
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !path.starts_with('/') || path.len() < 2 {
        return Err(
            "names no socket; write unix:///run/redis/redis.sock, with three slashes".into(),
        );
    }
    // What `sockaddr_un` holds (unix(7)).
    if path.len() > 107 {
        return Err("has a path longer than 107 bytes, the most that a socket's may have".into());
    }
    if !is_percent_encoded(path) || !is_percent_encoded(query) {
        return Err("has a `%` that is not percent-encoding; write it as %25".into());
    }
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("db", database)) => check_database(database)?,
            Some(("user" | "pass", _)) => {}
            _ => return Err("has a parameter other than db, user and pass".into()),
        }
    }
    Ok(())
}

fn check_database(database: &str) -> Result<(), String> {
    if database.is_empty() || is_number(database) && database.parse::<i32>().is_ok() {
        Ok(())
    } else {
        Err("has a database that is not a number".into())
    }
}

/// A sound URL with [`HIDDEN`] for its password.
fn without_password(url: &str) -> String {
    let (url, query) = match url.split_once('?') {
        Some((url, query)) => (url, Some(query)),
        None => (url, None),
    };
    let mut out = match url
        .split_once("//")
        .map(|(scheme, rest)| (scheme, rest.rsplit_once('@')))
    {
        Some((scheme, Some((user, rest)))) => match user.split_once(':') {
            Some((user, _)) => format!("{scheme}//{user}:{HIDDEN}@{rest}"),
            None => url.to_owned(),
        },
        _ => url.to_owned(),
    };
    for (index, part) in query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .enumerate()
    {
        out.push(if index == 0 { '?' } else { '&' });
        if part.starts_with("pass=") {
            out.push_str("pass=");
            out.push_str(HIDDEN);
        } else {
            out.push_str(part);
        }
    }
    out
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether every `%` begins two hexadecimal digits (RFC 3986 section 2.1), and what they mean is UTF-8.
fn is_percent_encoded(text: &str) -> bool {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(byte) = byte else {
            return false;
        };
        decoded.push(byte);
        decoded.extend(part.bytes().skip(2));
    }
    String::from_utf8(decoded).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_password_is_hidden_and_nothing_else() {
        for (url, wanted) in [
            ("memory", "memory"),
            ("redis://host:6379/0", "redis://host:6379/0"),
            ("redis://:pw@host/1", "redis://:HIDDEN@host/1"),
            ("rediss://me:p%40w@host", "rediss://me:HIDDEN@host"),
            (
                "unix:///run/r.sock?db=1&user=me&pass=pw",
                "unix:///run/r.sock?db=1&user=me&pass=HIDDEN",
            ),
        ] {
            let address = StoreAddress::parse(url).expect("sound");
            assert_eq!(address.written(), wanted);
            assert!(StoreAddress::parse(wanted).is_ok(), "{wanted}");
        }
    }

    #[test]
    fn takes_memory_and_urls() {
        assert_eq!(
            StoreAddress::parse("memory").map(|store| store.url().is_none()),
            Ok(true)
        );
        for url in [
            "redis://127.0.0.1",
            "redis://redis.internal:6379/0",
            "redis://:p%40ss@[::1]:6380/15",
            "redis://:%C3%A9%25@h",
            "redis://[::1]",
            "rediss://equipoise:geheim@redis.example.com/",
            "redis://a:b:c@h",
            "rediss://:geheim@h/#insecure",
            "unix:///run/redis/redis.sock",
            "unix:/run/redis/redis.sock?db=1&user=a&pass=b%26",
            "redis+unix:///run/redis.sock",
            "redis+sentinel://one,two:26380,[::1]/mymaster",
            "rediss+sentinel://u:p%40ss@one/my-master.1/3#insecure",
            "redis+cluster://:p%40ss@10.0.0.1:7000,10.0.0.2:7000",
        ] {
            let store = StoreAddress::parse(url);
            assert_eq!(store.as_ref().map(StoreAddress::url), Ok(Some(url)));
        }
    }

    #[test]
    fn says_what_is_wrong_without_repeating_it() {
        for (url, part) in [
            ("", "is not one of memory"),
            ("Memory", "is not one of memory"),
            ("localhost:6379", "is not one of memory"),
            ("http://geheim@h", "is not one of memory"),
            ("valkey://:geheim@h", "redis or rediss"),
            ("redis:h", "no `//`"),
            ("redis://", "has no host"),
            ("redis://:geheim@", "has no host"),
            ("redis://:geheim@/1", "has no host"),
            ("redis://:gehe/im@h", "has no host"),
            ("redis://x:gehe/im@h", "port that is not"),
            ("redis://:gehe#im@h", "`?` or `#`"),
            ("redis://:gehe?im@h", "`?` or `#`"),
            ("redis://:geheim@h/#insecure", "`?` or `#`"),
            ("rediss://:geheim@h/#unsafe", "`?` or `#`"),
            ("redis://:geheim@a:1,b:2", "redis+cluster://HOST,HOST"),
            ("redis-sentinel://:geheim@a/m", "redis+sentinel://HOST,HOST"),
            ("redis+sentinel://:geheim@a,b", "names no master"),
            ("redis+sentinel://:geheim@a,b/m/x", "database that is not"),
            ("redis+sentinel://:geheim@a,/m", "has no host"),
            ("redis+cluster://:geheim@a,b/0", "but one database"),
            ("redis+cluster:a", "no `//`"),
            ("redis+geheim://a", "is not one of memory"),
            ("redis://0.0.0.0", "all interfaces"),
            ("redis://[::]:1", "all interfaces"),
            ("redis://:gehe@im@h", "not percent-encoded"),
            ("redis://:100%geheim@h", "not percent-encoded"),
            ("redis://:geheim@h:0", "port that is not"),
            ("redis://:geheim@h:+1", "port that is not"),
            ("redis://:geheim@h:65536", "port that is not"),
            ("redis://:geheim@300.1.1.1", "neither a name nor an address"),
            ("redis://:geheim@[::g]", "neither a name nor an address"),
            ("redis://:geheim%ff@h", "not percent-encoded"),
            ("redis://:geheim@a.1", "neither a name nor an address"),
            ("redis://:geheim@::1", "neither a name nor an address"),
            ("redis://:geheim@h/a", "database that is not a number"),
            ("redis://:geheim@h/0/1", "database that is not a number"),
            ("redis://:gehe im@h", "percent-encoding"),
            ("unix://run/redis.sock", "three slashes"),
            ("unix:///", "names no socket"),
            ("unix:///a?pass=geheim&x=1", "other than db, user and pass"),
            (
                "unix:///a?db=x&pass=geheim",
                "database that is not a number",
            ),
            ("unix:///a?pass=gehe%im", "percent-encoding"),
        ] {
            let refused = StoreAddress::parse(url).expect_err(url);
            assert!(refused.contains(part), "{url}: {refused}");
            assert!(
                !refused.contains("geh") && !refused.contains("im@"),
                "{url}: {refused}"
            );
        }
    }

    #[test]
    fn never_shows_the_password() {
        let store = StoreAddress::parse("redis://u:geheim@h").expect("a store");
        assert_eq!(format!("{store} {store:?}"), "redis:… redis:…");
        assert_eq!(
            serde_json::to_string(&store).expect("JSON"),
            "\"redis://u:HIDDEN@h\""
        );
        assert_eq!(StoreAddress::memory().to_string(), "memory");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC*|(redis|rediss|redis.sentinel|redis.cluster|unix)://[ -~]{0,30}") {
            let _ = StoreAddress::parse(&text);
        }

        #[test]
        fn no_password_is_repeated(password in "[!-~]{12,20}", rest in "(@h|@h:x|@|/|@h/x|@\\[)") {
            if let Err(refused) = StoreAddress::parse(&format!("redis://:{password}{rest}")) {
                prop_assert!(!refused.contains(&password));
            }
        }
    }
}
