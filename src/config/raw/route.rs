//! `listeners.NAME.routes` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::address::Network;
use super::super::route_text::{
    FieldName, HostPattern, LimitKey, MethodName, PathPattern, Rate, RouteRegex, ValuePattern,
};
use super::super::template::Template;
use super::super::text::{FieldValue, FilePath, HostField, Name};
use super::super::units::Span;
use super::{EncodedSlashes, Named, OneOrMany, Slashes};

/// What is done with some of the requests. The first route whose match fits is taken.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-stands-in-part" = true))]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// What the access log calls it; null = its place in the list, from 0.
    pub name: Option<Name>,
    /// Which requests; every condition must hold. {} = all.
    pub r#match: Match,
    /// Name of the pool that they go to. One of pool, split, redirect, respond; with none of them the listener's pool.
    pub pool: Option<Name>,
    /// Several pools that they are split between by weight.
    pub split: Vec<Share>,
    /// The client is sent on to another place.
    pub redirect: Option<Redirect>,
    /// They are answered here.
    pub respond: Option<Respond>,
    /// What servers get of repeated slashes; null = as http.slashes says.
    pub slashes: Option<Slashes>,
    /// What becomes of a path with a slash or backslash in percent-encoding; null = as http.encoded_slashes says.
    pub encoded_slashes: Option<EncodedSlashes>,
    /// What servers are asked for instead.
    pub rewrite: Rewrite,
    /// Fields of requests to the servers.
    pub request_headers: HeaderEdits,
    /// Fields of responses to the clients.
    pub response_headers: HeaderEdits,
    /// Requests in a time; 429 beyond.
    pub rate_limit: Option<RateLimit>,
    /// Who may, by name and password; 401 for others.
    pub basic_auth: Option<BasicAuth>,
    /// Networks of the only clients that may; 403 for others. [] = all.
    pub allow: OneOrMany<Network>,
    /// Networks of clients that may not; 403.
    pub deny: OneOrMany<Network>,
    /// Another pool that gets a copy of them.
    pub mirror: Option<Mirror>,
    /// Towards the servers, instead of the pool's.
    pub timeouts: RouteTimeouts,
}

/// Which requests a route is for.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// Hosts, without port; *.example.com is every host below example.com.
    pub host: OneOrMany<HostPattern>,
    /// Whole paths. One of path, path_prefix, path_regex.
    pub path: OneOrMany<PathPattern>,
    /// Beginnings of paths that end where a segment does: /api is for /api and /api/x, not for /apix.
    pub path_prefix: OneOrMany<PathPattern>,
    /// A regular expression that matches somewhere in the path.
    pub path_regex: Option<RouteRegex>,
    /// Methods.
    pub method: OneOrMany<MethodName>,
    /// Fields of the request: exactly this value, ~REGEX, or * = there.
    pub header: Named<ValuePattern>,
    /// Parameters of the query, likewise.
    pub query: Named<ValuePattern>,
    /// Networks of clients.
    pub client: OneOrMany<Network>,
}

/// A pool's share of a split.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Its name.
    pub pool: Name,
    /// Its part of the sum of all weights; 0 = only sessions that are there already.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 65535))]
    pub weight: u16,
}

fn one() -> u16 {
    1
}

/// The client is sent on to another place.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    #[serde(default)]
    pub status: RedirectStatus,
    /// Where to, with ${variables}.
    pub to: Template,
}

/// How a client is sent on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RedirectStatus(pub Option<u16>);

impl Serialize for RedirectStatus {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0.unwrap_or(302))
    }
}

impl<'de> Deserialize<'de> for RedirectStatus {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u16::deserialize(deserializer).map(|status| Self(Some(status)))
    }
}

impl JsonSchema for RedirectStatus {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RedirectStatus".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "enum": [301, 302, 303, 307, 308] })
    }
}

/// They are answered here.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Respond {
    /// The status.
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// The body, as it is; null = an error page for statuses from 400 on, none for others.
    pub body: Option<String>,
    /// What the body is.
    pub content_type: FieldValue,
}

impl Default for Respond {
    fn default() -> Self {
        Self {
            status: 200,
            body: None,
            content_type: FieldValue(http::HeaderValue::from_static("text/plain; charset=utf-8")),
        }
    }
}

/// What servers are asked for instead.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rewrite {
    /// Instead of the beginning of the path that path or path_prefix matched; without them in front of the path.
    pub prefix: Option<PathPattern>,
    /// What is replaced in the path, with replacement.
    pub regex: Option<RouteRegex>,
    /// By what; $1 or $${name} is what a group of regex matched.
    pub replacement: Option<String>,
    /// The Host field.
    pub host: Option<HostField>,
}

/// Fields that are removed, then set, then added.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderEdits {
    /// Fields and their only value, with ${variables}.
    pub set: Named<Template>,
    /// Fields and a further value, with ${variables}.
    pub add: Named<Template>,
    /// Fields that are taken out.
    pub remove: OneOrMany<FieldName>,
}

/// Requests in a time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Such as 100/s, 10/m, 5/h.
    pub rate: Rate,
    /// How many may come at once; null = those of one second, at least 1.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<u32>,
    /// Whose requests are counted together: client, route, or header:NAME.
    #[serde(default = "client")]
    pub key: LimitKey,
}

fn client() -> LimitKey {
    LimitKey::Client
}

/// Who may, by name and password (RFC 7617).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// File of NAME:HASH lines, as `htpasswd -B` writes them (bcrypt).
    pub htpasswd_file: FilePath,
    /// What browsers show.
    #[serde(default = "restricted")]
    pub realm: FieldValue,
}

fn restricted() -> FieldValue {
    FieldValue(http::HeaderValue::from_static("restricted"))
}

/// A pool that gets a copy.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// Its name.
    pub pool: Name,
    /// Of how many of the requests, 0 to 1.
    #[serde(default = "all")]
    pub ratio: f64,
}

fn all() -> f64 {
    1.0
}

/// Towards the servers, instead of the pool's; null = the pool's.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RouteTimeouts {
    /// Until the connection stands.
    pub connect: Option<Span>,
    /// Between two writes.
    pub send: Option<Span>,
    /// Until the response's header, and between two reads of its body.
    pub receive: Option<Span>,
}
