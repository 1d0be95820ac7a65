//! Text with `${variables}` of the request: what a route sends clients on to, and what header fields it sets.

use std::fmt;
use std::str::FromStr;

use http::{HeaderName, HeaderValue};

use super::problem::{shown, similar};
use super::scalar::{Scalar, scalar};

/// Longer text is refused; it is put together for each request.
const LONGEST: usize = 8 * 1024;

/// The variables, but for `header:NAME`.
const NAMES: [(&str, Variable); 15] = [
    ("scheme", Variable::Scheme),
    ("host", Variable::Host),
    ("port", Variable::Port),
    ("path", Variable::Path),
    ("query", Variable::Query),
    ("uri", Variable::Uri),
    ("method", Variable::Method),
    ("client", Variable::Client),
    ("peer", Variable::Peer),
    ("request_id", Variable::RequestId),
    ("listener", Variable::Listener),
    ("route", Variable::Route),
    ("tls_version", Variable::TlsVersion),
    ("tls_cipher", Variable::TlsCipher),
    ("sni", Variable::Sni),
];

/// What a variable stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Variable {
    /// `http` or `https`, as the client came.
    Scheme,
    /// The host that was asked, without its port.
    Host,
    /// The port that the client came to.
    Port,
    /// The path in its normal form.
    Path,
    /// The query, without its question mark.
    Query,
    /// The path, and `?` and the query if there is one.
    Uri,
    /// The method.
    Method,
    /// The client's address.
    Client,
    /// The other end of the connection: the client, or a proxy in front.
    Peer,
    /// The request's id.
    RequestId,
    /// The listener's name.
    Listener,
    /// The route's name.
    Route,
    /// Such as `TLSv1.3`; nothing without TLS.
    TlsVersion,
    /// OpenSSL's name of the cipher; nothing without TLS.
    TlsCipher,
    /// The name that the client asked for in its handshake.
    Sni,
    /// The first line of a field of the request.
    Header(HeaderName),
}

/// A part of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it is.
    Text(String),
    /// Filled in for each request.
    Variable(Variable),
    /// Filled in for each request and percent-encoded, all but unreserved characters: a parameter of a URL
    /// (`${uri|url}`).
    Encoded(Variable),
}

/// What stands behind the name of a variable that is to be percent-encoded.
const ENCODED: &str = "|url";

/// Text with `${variables}` of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// One after the other.
    pub pieces: Vec<Piece>,
    /// What it always is, if it has no variables.
    pub constant: Option<HeaderValue>,
}

impl Scalar for Template {
    const FORMAT: &'static str = "equipoise-template";

    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("is longer than {LONGEST} characters"));
        }
        if let Some(wrong) = text
            .chars()
            .find(|c| !c.is_ascii() || (c.is_ascii_control() && *c != '\t'))
        {
            return Err(format!(
                "holds {wrong:?}; control characters and letters beyond ASCII can't be sent in a header"
            ));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or("`${` without `}`")?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(match name.strip_suffix(ENCODED) {
                Some(name) => Piece::Encoded(variable(name)?),
                None => Piece::Variable(variable(name)?),
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        let constant = match pieces.as_slice() {
            [] => Some(HeaderValue::from_static("")),
            [Piece::Text(text)] => HeaderValue::from_str(text).ok(),
            _ => None,
        };
        Ok(Self { pieces, constant })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::Variable(variable) => write!(f, "${{{variable}}}")?,
                Piece::Encoded(variable) => write!(f, "${{{variable}{ENCODED}}}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Header(name) = self {
            return write!(f, "header:{name}");
        }
        let name = NAMES.iter().find(|(_, known)| known == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

scalar!(Template, { "type": ["string", "integer", "boolean"] });

/// Whether `name` is a variable of requests rather than one of the environment.
pub(super) fn is_variable(name: &str) -> bool {
    let name = name.strip_suffix(ENCODED).unwrap_or(name);
    name.starts_with("header:") || NAMES.iter().any(|(known, _)| *known == name)
}

/// What a name could have been where requests have variables, for a message about one that isn't of the environment.
pub(super) fn hint() -> String {
    format!(
        ". Of requests there are {}, header:NAME",
        names().collect::<Vec<_>>().join(", ")
    )
}

fn names() -> impl Iterator<Item = &'static str> + Clone {
    NAMES.iter().map(|(known, _)| *known)
}

fn variable(name: &str) -> Result<Variable, String> {
    if let Some((_, variable)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(variable.clone());
    }
    if let Some(field) = name.strip_prefix("header:") {
        return HeaderName::from_str(field)
            .map(Variable::Header)
            .map_err(|_| format!("`{}` is not the name of a header field", shown(field)));
    }
    if let Some((name, filter)) = name.split_once('|') {
        return Err(format!(
            "`{}` is nothing that is done with a variable; there is `${{{}|url}}`",
            shown(filter),
            shown(name)
        ));
    }
    let meant = similar(name, names())
        .map(|meant| format!("; did you mean `{meant}`?"))
        .unwrap_or_default();
    Err(format!(
        "`{}` is not a variable of requests{meant} There are {} and header:NAME",
        shown(name),
        names().collect::<Vec<_>>().join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_variables_take_turns() {
        let text = "https://${host}${path}?x=$1&${header:X-Y}${uri|url}";
        let template = Template::parse(text).unwrap();
        assert_eq!(
            template.pieces,
            [
                Piece::Text("https://".into()),
                Piece::Variable(Variable::Host),
                Piece::Variable(Variable::Path),
                Piece::Text("?x=$1&".into()),
                Piece::Variable(Variable::Header(HeaderName::from_static("x-y"))),
                Piece::Encoded(Variable::Uri),
            ]
        );
        assert_eq!(
            template.to_string(),
            "https://${host}${path}?x=$1&${header:x-y}${uri|url}"
        );
        assert!(Template::parse("").unwrap().pieces.is_empty());
    }

    #[test]
    fn what_is_no_variable_is_told() {
        for (text, part) in [
            ("${hots}", "did you mean `host`"),
            ("${HOST}", "not a variable"),
            ("${uri|base64}", "there is `${uri|url}`"),
            ("${hots|url}", "did you mean `host`"),
            ("${host", "without `}`"),
            ("${header:a b}", "not the name of a header field"),
            ("a\nb", "control characters"),
            ("é", "beyond ASCII"),
        ] {
            let refused = Template::parse(text);
            assert!(refused.is_err_and(|why| why.contains(part)), "{text}");
        }
    }
}
