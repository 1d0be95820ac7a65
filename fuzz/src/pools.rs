//! What the fuzz targets share: a pool of each type, whose cookie is `ID`, and a plain reading of cookies to
//! compare with.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use equipoise::config::model::{
    CookieAttributes, CookieInsert, CookieRewrite, Learn, LearnedFrom, OnUnavailable, Persistence,
    RouteCookie, RoutePersistence, SameSite, Secure, Store, Table, Token,
};
use equipoise::headers::{Fields, ValueRef};
use equipoise::persistence::{Affinity, Answered, Keyring, Member, RequestView, UnixTime};
use http::{HeaderName, HeaderValue};

/// When everything happens.
pub const NOW: UnixTime = UnixTime(1_800_000_000);

/// One pool of each type.
pub struct Pools {
    pub insert: Affinity<&'static str>,
    pub rewrite: Affinity<&'static str>,
    pub prefix: Affinity<&'static str>,
    pub prefix_by_name: Affinity<&'static str>,
    pub route: Affinity<&'static str>,
    pub learn: Affinity<&'static str>,
}

impl Pools {
    pub fn new() -> Self {
        let on_unavailable = OnUnavailable::Rebalance;
        let attributes = CookieAttributes {
            domain: None,
            path: "/".to_owned(),
            secure: Secure::Auto,
            http_only: true,
            same_site: SameSite::Lax,
            partitioned: false,
        };
        let rewrite = |token| CookieRewrite {
            cookie: "ID".into(),
            timeout: None,
            max_lifetime: None,
            token,
            secret_file: None,
            on_unavailable,
        };
        Self {
            insert: affinity(&Persistence::CookieInsert(CookieInsert {
                cookie: "ID".into(),
                timeout: None,
                max_lifetime: None,
                token: Token::Signed,
                secret_file: None,
                attributes: attributes.clone(),
                on_unavailable,
            })),
            rewrite: affinity(&Persistence::CookieRewrite(rewrite(Token::Signed))),
            prefix: affinity(&Persistence::CookiePrefix(rewrite(Token::Signed))),
            prefix_by_name: affinity(&Persistence::CookiePrefix(rewrite(Token::Name))),
            route: affinity(&Persistence::Route(RoutePersistence {
                cookie: "ID".into(),
                separator: ".".to_owned(),
                path_parameter: Some("id".into()),
                query_parameter: Some("id".into()),
                insert: Some(RouteCookie {
                    cookie: "ROUTEID".into(),
                    attributes,
                }),
                on_unavailable,
            })),
            learn: affinity(&Persistence::Learn(Learn {
                from: LearnedFrom::Cookie("ID".into()),
                timeout: Duration::from_secs(3600),
                max_lifetime: None,
                table: Table {
                    size: 1000,
                    store: Store::Memory,
                },
                on_unavailable,
            })),
        }
    }

    pub fn all(&self) -> [&Affinity<&'static str>; 6] {
        [
            &self.insert,
            &self.rewrite,
            &self.prefix,
            &self.prefix_by_name,
            &self.route,
            &self.learn,
        ]
    }
}

impl Default for Pools {
    fn default() -> Self {
        Self::new()
    }
}

fn affinity(settings: &Persistence) -> Affinity<&'static str> {
    let keys = Keyring::parse(b"a secret for fuzzing only").expect("a good secret");
    let servers = ["a", "b"].map(|name| Member {
        name: name.into(),
        route: name.into(),
        handle: name,
    });
    Affinity::new(settings, Some(&keys), "pool", servers).expect("keys are there")
}

/// The lines of `data` as lines of the field `name`; what a field's value can't have is refused.
pub fn headers(name: &HeaderName, data: &[u8]) -> Option<Fields> {
    let mut map = Fields::new();
    for line in data.split(|&byte| byte == b'\n') {
        map.append(name.clone(), HeaderValue::from_bytes(line).ok()?);
    }
    Some(map)
}

pub fn lines<'a>(map: &'a Fields, name: &HeaderName) -> Vec<&'a [u8]> {
    map.get_all(name).iter().map(ValueRef::as_bytes).collect()
}

pub fn view(headers: &Fields) -> RequestView<'_> {
    RequestView {
        headers,
        path: b"/",
        query: None,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        last_token: None,
    }
}

pub fn answered<'a>(server: &'a str, request: &'a Fields) -> Answered<'a> {
    Answered {
        server,
        route: server,
        stayed: None,
        asked: None,
        request,
        now: NOW,
        https: false,
    }
}

/// Name and value of a pair, trimmed; one without `=` has no name.
pub fn name_and_value(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|&byte| byte == b'=') {
        Some(at) => (trim(&pair[..at]), trim(&pair[at + 1..])),
        None => (b"", trim(pair)),
    }
}

fn trim(text: &[u8]) -> &[u8] {
    let is_white = |byte: &u8| b" \t".contains(byte);
    let start = text.iter().position(|byte| !is_white(byte));
    let end = text.iter().rposition(|byte| !is_white(byte));
    match (start, end) {
        (Some(start), Some(end)) => &text[start..=end],
        _ => b"",
    }
}
