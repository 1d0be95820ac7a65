//! What went wrong, for a tired operator. What the authority writes is quoted, never trusted to be one line.

use instant_acme::{Error, Identifier, Problem};

use crate::config::model::Challenge;

/// More than this of what the authority writes isn't shown.
const LONGEST: usize = 600;
/// What the types of RFC 8555 section 6.7 begin with.
const NAMESPACE: &str = "urn:ietf:params:acme:error:";

/// The account isn't there any more (RFC 8555 section 6.7).
pub fn is_account_gone(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if kind(problem) == "accountDoesNotExist")
}

/// What the authority, or the way to it, said.
pub fn error(error: &Error) -> String {
    match error {
        Error::Api(told) => problem(told),
        Error::Timeout(_) => "the authority takes too long".to_owned(),
        Error::Json(error) => format!("the authority's answer is not what ACME says: {error}"),
        Error::KeyRejected => "the account's key can't be used".to_owned(),
        // Ours already says all.
        Error::Other(error) => shown(&error.to_string()),
        other => format!(
            "the authority's answer is not what ACME says: {}",
            shown(&other.to_string())
        ),
    }
}

/// A refusal (RFC 8555 section 6.7).
pub fn problem(problem: &Problem) -> String {
    let meaning = match kind(problem) {
        "accountDoesNotExist" => "the authority doesn't know our account",
        "badSignatureAlgorithm" => "the authority doesn't take the account's kind of key",
        "caa" => "a CAA record in the DNS forbids this authority to issue",
        "connection" => "the authority could not connect to us",
        "dns" => "the authority could not resolve a name",
        "externalAccountRequired" => {
            "the authority wants an account that it knows: set acme.external_account"
        }
        "incorrectResponse" => "the authority got another answer than ours",
        "invalidContact" | "unsupportedContact" => "the authority does not take acme.email",
        "rateLimited" => "the authority's limit is reached",
        "rejectedIdentifier" => "the authority does not issue for a name",
        "serverInternal" => "the authority has trouble of its own",
        "tls" => "the authority could not do TLS with us",
        "unauthorized" => "the authority found us not to be entitled",
        "userActionRequired" => "the authority wants you to do something first",
        _ => "the authority refused",
    };
    let mut text = meaning.to_owned();
    if let Some(detail) = problem
        .detail
        .as_deref()
        .filter(|detail| !detail.is_empty())
    {
        text.push_str(": ");
        text.push_str(detail);
    }
    for part in &problem.subproblems {
        let name = match &part.identifier {
            Some(Identifier::Dns(name)) => name,
            _ => "",
        };
        let detail = part.detail.as_deref().unwrap_or_default();
        text.push_str(&format!("; {name}: {detail}"));
    }
    if meaning == "the authority refused"
        && let Some(kind) = &problem.r#type
    {
        text.push_str(&format!(" ({kind})"));
    }
    shown(&text)
}

/// The authority refused an answer for a name: what it looked for, and what it found.
pub fn refused_answer(name: &str, challenge: Challenge, told: &Problem) -> String {
    let looked_for = match challenge {
        Challenge::Http01 => format!("http://{name}/.well-known/acme-challenge/… (port 80)"),
        Challenge::TlsAlpn01 => format!("{name}:443 by TLS with ALPN acme-tls/1"),
    };
    shown(&format!("{looked_for}: {}", problem(told)))
}

fn kind(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.strip_prefix(NAMESPACE).unwrap_or(kind)
}

/// One line of bounded length.
fn shown(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(LONGEST)
        .collect();
    if line.len() < text.len() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> Problem {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_refusal_says_what_it_means_and_what_the_authority_wrote() {
        let limited = told(
            r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many certificates"}"#,
        );
        assert_eq!(
            problem(&limited),
            "the authority's limit is reached: too many certificates"
        );
        let unknown = told(r#"{"type": "urn:ietf:params:acme:error:malformed", "detail": "no"}"#);
        assert_eq!(
            problem(&unknown),
            "the authority refused: no (urn:ietf:params:acme:error:malformed)"
        );
        assert_eq!(problem(&told("{}")), "the authority refused");
    }

    #[test]
    fn each_name_that_was_refused_is_told() {
        let several = told(
            r#"{"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "some", "subproblems": [
                {"detail": "policy", "identifier": {"type": "dns", "value": "a.example.com"}}]}"#,
        );
        let text = problem(&several);
        assert!(text.contains("a.example.com: policy"), "{text}");
    }

    #[test]
    fn a_failed_validation_names_what_was_asked_for() {
        let refused = told(
            r#"{"type": "urn:ietf:params:acme:error:connection", "detail": "connection refused"}"#,
        );
        let text = refused_answer("www.example.com", Challenge::Http01, &refused);
        assert_eq!(
            text,
            "http://www.example.com/.well-known/acme-challenge/… (port 80): \
             the authority could not connect to us: connection refused"
        );
    }

    #[test]
    fn what_the_authority_writes_stays_on_one_line_and_ends() {
        let detail = format!("one\\ntwo{}", "x".repeat(5000));
        let text = problem(&told(&format!(r#"{{"detail": "{detail}"}}"#)));
        assert!(!text.contains('\n') && text.contains("one two"), "{text}");
        assert!(text.chars().count() <= LONGEST + 1);
    }
}
