//! `pools.NAME.persistence` as it is written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::route_text::FieldName;
use super::super::scalar;
use super::super::store::StoreAddress;
use super::super::text::{
    CookieDomain, CookieName, CookiePath, FilePath, ParameterName, Separator,
};
use super::super::units::Span;

/// How a client's requests stay on one server. Most keys belong to some types alone, and their
/// defaults may depend on the type; a key of another type is an error.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Persistence {
    /// cookie_insert: Equipoise sets a cookie of its own; cookie_rewrite: it replaces the value of the
    /// server's cookie; cookie_prefix: it puts a token in front of that value; route: the server marks
    /// its session ids (Tomcat's jvmRoute); learn: a table remembers which server set which value of
    /// its cookie, or has which value of a header field;
    /// source_ip: a table remembers which server a client address went to.
    pub r#type: PersistenceType,
    /// Name of the cookie. Of Equipoise's own for cookie_insert (default SERVERID), else of the server's:
    /// default JSESSIONID for route, required for cookie_rewrite and cookie_prefix; learn wants it or header.
    #[serde(default)]
    pub cookie: Option<CookieName>,
    /// learn only, instead of cookie. A header field that clients send and servers may set, such as
    /// Mcp-Session-Id: requests with one value of it go to one server.
    #[serde(default)]
    pub header: Option<FieldName>,
    /// Idle time after which a session is balanced anew, 1s to 86400s. Default 1h for cookie_insert,
    /// learn and source_ip; for cookie_insert 0 = the browser's session. For cookie_rewrite and
    /// cookie_prefix the age of the server's cookie, default none: its lifetime is the server's to say.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// Time after which a session is balanced anew, however active; null = never. Not for route.
    #[serde(default)]
    pub max_lifetime: Option<Span>,
    /// signed: opaque and unforgeable; name: the server's name, readable and forgeable, for those who
    /// migrate. For cookie_insert, cookie_rewrite and cookie_prefix.
    #[serde(default)]
    pub token: Token,
    /// File of signing keys, one a line; the first signs, all verify. Null: random at first start and
    /// kept in state_dir. Nodes that share traffic need the same file. For cookie_insert, cookie_rewrite
    /// and cookie_prefix.
    #[serde(default)]
    pub secret_file: Option<FilePath>,
    /// cookie_insert only. The cookie's Domain; null = the host alone.
    #[serde(default)]
    pub domain: Option<CookieDomain>,
    /// cookie_insert only. The cookie's Path.
    #[serde(default = "default_cookie_path")]
    pub path: CookiePath,
    /// cookie_insert only. The cookie's Secure attribute: auto (on https), true or false. Behind a proxy
    /// that ends TLS write true.
    #[serde(default)]
    pub secure: Secure,
    /// cookie_insert only. The cookie's `HttpOnly` attribute: scripts can't read it.
    #[serde(default = "yes")]
    pub http_only: bool,
    /// cookie_insert only. The cookie's `SameSite` attribute; omit leaves it away.
    #[serde(default)]
    pub same_site: SameSite,
    /// cookie_insert only. The cookie's `Partitioned` attribute (CHIPS): a page that is embedded in other
    /// sites has a cookie of its own in each. Set with Secure only.
    #[serde(default)]
    pub partitioned: bool,
    /// What becomes of a session whose server is down: rebalance it, or reject it with 503.
    #[serde(default)]
    pub on_unavailable: OnUnavailable,
    /// route only. What is between session id and route; what follows the last one names the server.
    #[serde(default = "default_separator")]
    pub separator: Separator,
    /// route only. The path parameter that may carry the session id instead of the cookie:
    /// /page;jsessionid=ABC.tomcat1. Null = not looked at.
    #[serde(default = "default_path_parameter")]
    pub path_parameter: Option<ParameterName>,
    /// route only. The query parameter that may carry the session id instead: /page?sid=ABC.tomcat1.
    /// Null = not looked at.
    #[serde(default)]
    pub query_parameter: Option<ParameterName>,
    /// route only. A cookie of Equipoise's own that names the route, set when it has changed (httpd's
    /// ROUTEID). Null = none.
    #[serde(default)]
    pub insert: Option<RouteCookie>,
    /// source_ip only. How many leading bits of an address make one client.
    #[serde(default)]
    pub prefix: Prefix,
    /// learn and source_ip only. The session table.
    #[serde(default)]
    pub table: Table,
}

fn default_cookie_path() -> CookiePath {
    CookiePath("/".into())
}

fn default_separator() -> Separator {
    Separator(".".into())
}

#[allow(clippy::unnecessary_wraps)] // serde wants the field's own type
fn default_path_parameter() -> Option<ParameterName> {
    Some(ParameterName("jsessionid".into()))
}

fn yes() -> bool {
    true
}

/// Kinds of persistence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum PersistenceType {
    CookieInsert,
    CookieRewrite,
    CookiePrefix,
    Route,
    Learn,
    SourceIp,
}

/// A cookie of Equipoise's own that names the route: httpd's ROUTEID.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteCookie {
    /// Its name, such as ROUTEID.
    pub cookie: CookieName,
    /// Its Domain; null = the host alone.
    #[serde(default)]
    pub domain: Option<CookieDomain>,
    /// Its Path.
    #[serde(default = "default_cookie_path")]
    pub path: CookiePath,
    /// Its Secure attribute: auto (on https), true or false. Behind a proxy that ends TLS write true.
    #[serde(default)]
    pub secure: Secure,
    /// Its `HttpOnly` attribute: scripts can't read it.
    #[serde(default = "yes")]
    pub http_only: bool,
    /// Its `SameSite` attribute; omit leaves it away.
    #[serde(default)]
    pub same_site: SameSite,
    /// Its `Partitioned` attribute (CHIPS). Set with Secure only.
    #[serde(default)]
    pub partitioned: bool,
}

/// How many leading bits of an address make one client.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Prefix {
    /// Of an IPv4 address. 24 = everybody in a /24 is one client; 0 = everybody is.
    #[schemars(range(min = 0, max = 32))]
    pub v4: u8,
    /// Of an IPv6 address. 64 = one network; a client changes the rest of its address at will.
    #[schemars(range(min = 0, max = 128))]
    pub v6: u8,
}

impl Default for Prefix {
    fn default() -> Self {
        Self { v4: 32, v6: 64 }
    }
}

/// The session table.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Table {
    /// Entries at most; when it is full, the least recently used goes. 1 to 100 million.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub size: u32,
    /// memory: in this process alone. A Redis or Valkey server that several nodes share:
    /// redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// for TLS, unix:///SOCKET[?db=DATABASE]. The
    /// master that Sentinels know: redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT],…/MASTER[/DATABASE]. A
    /// cluster: redis+cluster://[[USER]:PASSWORD@]HOST[:PORT],…. Take the password from the environment.
    pub store: StoreAddress,
    /// With redis, rediss and unix only. How long a request waits for the store at most, 1ms to 1s; then it
    /// goes on with what this node knows.
    pub timeout: Span,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            size: 1_000_000,
            store: StoreAddress::memory(),
            timeout: Span::millis(50),
        }
    }
}

/// What the cookie's value is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Token {
    #[default]
    Signed,
    Name,
}

/// The cookie's Secure attribute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Secure {
    #[default]
    Auto,
    True,
    False,
}

impl Serialize for Secure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::True => serializer.serialize_bool(true),
            Self::False => serializer.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for Secure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match scalar::text(deserializer)?.as_str() {
            "auto" => Ok(Self::Auto),
            "true" => Ok(Self::True),
            "false" => Ok(Self::False),
            _ => Err(serde::de::Error::custom("wanted auto, true or false")),
        }
    }
}

impl JsonSchema for Secure {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secure".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ["auto", true, false] })
    }
}

/// The cookie's `SameSite` attribute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum SameSite {
    #[default]
    Lax,
    Strict,
    None,
    Omit,
}

/// What becomes of a session whose server can't take it.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum OnUnavailable {
    #[default]
    Rebalance,
    Reject,
}
