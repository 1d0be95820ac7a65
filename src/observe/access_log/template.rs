//! The fields of the access log by name, and templates made of them.

use crate::observe::labels::{Label, labels};

labels! {
    /// A field of a line; the word is its JSON name and what a template calls it.
    Field {
        /// When the request came.
        Time = "time",
        /// The client's address.
        Client = "client",
        /// The address of the connection's other end.
        Peer = "peer",
        /// The request's method.
        Method = "method",
        /// The host asked for.
        Host = "host",
        /// The path as sent.
        Path = "path",
        /// The query as sent.
        Query = "query",
        /// The protocol and its version.
        Protocol = "protocol",
        /// The status sent.
        Status = "status",
        /// Body bytes received.
        BytesIn = "bytes_in",
        /// Body bytes sent.
        BytesOut = "bytes_out",
        /// Seconds in all.
        Duration = "duration",
        /// Seconds until the server's first byte.
        UpstreamDuration = "upstream_duration",
        /// The listener's name.
        Listener = "listener",
        /// The route.
        Route = "route",
        /// The pool's name.
        Pool = "pool",
        /// The server's name.
        Server = "server",
        /// The server's address.
        ServerAddress = "server_address",
        /// How many times a server was tried.
        Attempts = "attempts",
        /// What session persistence made of it.
        Persistence = "persistence",
        /// The request's id.
        RequestId = "request_id",
        /// The trace's id.
        TraceId = "trace_id",
        /// The `Referer` header.
        Referer = "referer",
        /// The `User-Agent` header.
        UserAgent = "user_agent",
        /// The `X-Forwarded-For` header as sent.
        XForwardedFor = "x_forwarded_for",
        /// The TLS version.
        TlsVersion = "tls_version",
        /// The TLS cipher suite.
        TlsCipher = "tls_cipher",
        /// The name in the TLS `ClientHello`.
        Sni = "sni",
        /// Why it ended.
        Termination = "termination",
    }
}

/// The names of all fields, in the order of JSON lines.
pub const FIELDS: &[&str] = &[
    "time",
    "client",
    "peer",
    "method",
    "host",
    "path",
    "query",
    "protocol",
    "status",
    "bytes_in",
    "bytes_out",
    "duration",
    "upstream_duration",
    "listener",
    "route",
    "pool",
    "server",
    "server_address",
    "attempts",
    "persistence",
    "request_id",
    "trace_id",
    "referer",
    "user_agent",
    "x_forwarded_for",
    "tls_version",
    "tls_cipher",
    "sni",
    "termination",
];

/// A compiled template: literal text with `%{field}` names in it and `%%` for a percent sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub(super) parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Literal(String),
    Field(Field),
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A name that is no field.
    #[error("unknown field \"{name}\"{}", suggest(*.suggestion))]
    UnknownField {
        /// What was written.
        name: String,
        /// The field that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// A `%{` without its `}`.
    #[error("\"%{{\" without its \"}}\"")]
    Unterminated,
    /// A percent sign that starts neither a field nor `%%`.
    #[error("\"%\" must be followed by \"{{field}}\", or be doubled to mean itself")]
    StrayPercent,
    /// A line feed, say, which would break one record into two lines.
    #[error("control characters other than tab can't be part of a line")]
    ControlCharacter,
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// It names a field that does not exist, has a stray `%`, or contains a control character.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(TemplateError::ControlCharacter);
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            let name = after.strip_prefix('{').ok_or(TemplateError::StrayPercent)?;
            let (name, after) = name.split_once('}').ok_or(TemplateError::Unterminated)?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Field(field(name)?));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }
}

fn field(name: &str) -> Result<Field, TemplateError> {
    if let Some(field) = Field::ALL.iter().find(|field| field.as_str() == name) {
        return Ok(*field);
    }
    let likeness = |field: &str| strsim::jaro_winkler(field, name);
    let suggestion = FIELDS
        .iter()
        .copied()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .filter(|best| likeness(best) > 0.8);
    Err(TemplateError::UnknownField {
        name: name.to_owned(),
        suggestion,
    })
}

fn suggest(suggestion: Option<&'static str>) -> String {
    suggestion.map_or_else(String::new, |name| format!("; did you mean \"{name}\"?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_fields_in_order() {
        let names: Vec<&str> = Field::ALL.iter().map(|field| field.as_str()).collect();
        assert_eq!(FIELDS, names);
    }

    #[test]
    fn literals_fields_and_percent_signs() {
        let template = Template::parse("100%% %{client}\t%{status}%{path}.").expect("valid");
        assert_eq!(
            template.parts,
            [
                Part::Literal("100% ".into()),
                Part::Field(Field::Client),
                Part::Literal("\t".into()),
                Part::Field(Field::Status),
                Part::Field(Field::Path),
                Part::Literal(".".into()),
            ]
        );
        assert_eq!(Template::parse("").expect("valid").parts, []);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |text| Template::parse(text).expect_err(text).to_string();
        assert_eq!(
            message("%{clinet}"),
            "unknown field \"clinet\"; did you mean \"client\"?"
        );
        assert_eq!(
            message("%{user-agent}"),
            "unknown field \"user-agent\"; did you mean \"user_agent\"?"
        );
        assert_eq!(message("%{}"), "unknown field \"\"");
        assert_eq!(message("%{zzz}"), "unknown field \"zzz\"");
        assert_eq!(
            Template::parse("a %{time"),
            Err(TemplateError::Unterminated)
        );
        assert_eq!(Template::parse("%h %l"), Err(TemplateError::StrayPercent));
        assert_eq!(Template::parse("100%"), Err(TemplateError::StrayPercent));
        assert_eq!(
            Template::parse("%{time}\n%{path}"),
            Err(TemplateError::ControlCharacter)
        );
    }
}
