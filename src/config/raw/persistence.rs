//! `pools.NAME.persistence` as it is written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::scalar;
use super::super::text::{CookieDomain, CookieName, CookiePath, FilePath};
use super::super::units::Span;

/// How a client's requests stay on one server.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Persistence {
    /// Which kind.
    pub r#type: PersistenceType,
    /// Name of the cookie. The server never sees it.
    #[serde(default = "default_cookie")]
    pub cookie: CookieName,
    /// Idle time after which a session is balanced anew, 1s to 86400s; 0 = the browser's session.
    #[serde(default = "default_persistence_timeout")]
    pub timeout: Span,
    /// Time after which a session is balanced anew, however active; null = never.
    #[serde(default)]
    pub max_lifetime: Option<Span>,
    /// signed: opaque and unforgeable; name: the server's name, readable and forgeable, for those who
    /// migrate.
    #[serde(default)]
    pub token: Token,
    /// File of signing keys, one a line; the first signs, all verify. Null: random at first start and
    /// kept in state_dir. Nodes that share traffic need the same file.
    #[serde(default)]
    pub secret_file: Option<FilePath>,
    /// The cookie's Domain; null = the host alone.
    #[serde(default)]
    pub domain: Option<CookieDomain>,
    /// The cookie's Path.
    #[serde(default = "default_cookie_path")]
    pub path: CookiePath,
    /// The cookie's Secure attribute: auto (on https), true or false. Behind a proxy that ends TLS
    /// write true.
    #[serde(default)]
    pub secure: Secure,
    /// The cookie's `HttpOnly` attribute: scripts can't read it.
    #[serde(default = "yes")]
    pub http_only: bool,
    /// The cookie's `SameSite` attribute; omit leaves it away.
    #[serde(default)]
    pub same_site: SameSite,
    /// What becomes of a session whose server is down: rebalance it, or reject it with 503.
    #[serde(default)]
    pub on_unavailable: OnUnavailable,
}

fn default_cookie() -> CookieName {
    CookieName("SERVERID".into())
}

fn default_persistence_timeout() -> Span {
    Span::secs(3600)
}

fn default_cookie_path() -> CookiePath {
    CookiePath("/".into())
}

fn yes() -> bool {
    true
}

/// Kinds of persistence.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum PersistenceType {
    /// Equipoise sets a cookie of its own.
    CookieInsert,
}

/// What the cookie's value is.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
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
