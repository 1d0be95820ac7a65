//! What went wrong with TLS to a server, in words, and what to try.

use openssl::nid::Nid;
use openssl::ssl::{self, ErrorCode};
use openssl::x509::{X509Ref, X509StoreContextRef, X509VerifyResult};

use super::name::ServerName;
use crate::tls::certificate::names;

/// What is wrong, and what to try, where the server wants a certificate and the pool has none.
pub const CERTIFICATE_WANTED: (&str, &str) = (
    "the server asked for a certificate",
    "set tls.certificate of the pool to a certificate and key that the server trusts",
);

/// Names of a certificate that are told; a few say it as well as hundreds.
const NAMES_TOLD: usize = 5;

/// A handshake that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong: `certificate has expired (on …)`.
    pub what: String,
    /// What to try.
    pub advice: &'static str,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl Trouble {
    fn new(what: impl Into<String>, advice: &'static str) -> Self {
        Self {
            what: what.into(),
            advice,
        }
    }

    /// There is no name to verify.
    pub fn nameless() -> Self {
        Self::new(
            "the server's address has no name to verify its certificate by",
            "set tls.server_name to the name in the server's certificate",
        )
    }

    /// TLS works, but HTTP/2 was not agreed to.
    pub fn no_http2() -> Self {
        Self::new(
            "the server did not agree to HTTP/2 (ALPN)",
            "switch HTTP/2 on in the server, or remove http2 from the pool",
        )
    }

    /// A version of TLS that is not used any more (RFC 8996).
    pub fn outdated() -> Self {
        Self::new(
            "the server speaks only an outdated version of TLS",
            "switch TLS 1.2 or 1.3 on in the server",
        )
    }

    /// Something else than HTTP/2 came where it was expected.
    pub fn not_http2() -> Self {
        Self::new(
            "the server answered something that isn't HTTP/2",
            "switch HTTP/2 on in the server (without TLS: h2c by prior knowledge), or remove http2 from the pool",
        )
    }

    /// The certificate is for other names than the one asked for.
    pub fn other_name(asked: &ServerName, names: &[String]) -> Self {
        let mut held = names
            .iter()
            .take(NAMES_TOLD)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        if names.len() > NAMES_TOLD {
            held.push_str(", …");
        }
        if held.is_empty() {
            held.push_str("no name at all");
        }
        Self::new(
            format!("hostname mismatch: asked for {asked}, the certificate is for {held}"),
            "set tls.server_name to a name in the server's certificate",
        )
    }

    /// A handshake's end. `unverified` is what the verification found, if that was it; `has_certificate` says whether
    /// we have one to show.
    pub fn of_handshake(
        error: &ssl::Error,
        unverified: Option<&Unverified>,
        asked: Option<&ServerName>,
        has_certificate: bool,
    ) -> Self {
        if let Some(unverified) = unverified {
            return unverified.trouble(asked);
        }
        let reason = error
            .ssl_error()
            .and_then(|stack| stack.errors().first())
            .and_then(openssl::error::Error::reason);
        match (reason, error.code()) {
            (Some(reason), _) => Self::of_reason(reason, has_certificate),
            (None, ErrorCode::SYSCALL | ErrorCode::ZERO_RETURN) => Self::closed(),
            (None, _) => Self::of_reason(&error.to_string(), has_certificate),
        }
    }

    /// An error of OpenSSL's, by the words in its text.
    pub fn of_reason(reason: &str, has_certificate: bool) -> Self {
        const NOT_TLS: [&str; 6] = [
            "wrong version number",
            "packet length too long",
            "http request",
            "record layer failure",
            "bad record type",
            "unexpected message",
        ];
        let has = |word: &str| reason.contains(word);
        if NOT_TLS.iter().any(|word| has(word)) {
            return Self::new(
                "the server speaks no TLS (its answer was something else)",
                "use the port that has TLS, or remove tls from the pool",
            );
        }
        if has("unexpected eof") {
            return Self::closed();
        }
        if has("no application protocol") {
            return Self::no_http2();
        }
        if has("protocol version") || has("unsupported protocol") {
            return Self::outdated();
        }
        if has("unrecognized name") {
            return Self::new(
                "the server does not know the name it was asked for",
                "set tls.server_name to a name that the server has a certificate for",
            );
        }
        if is_about_our_certificate(reason) {
            return if has_certificate {
                Self::new(
                    format!("the server refused our certificate ({})", alert(reason)),
                    "have the server trust the authority of tls.certificate, or use one that it trusts",
                )
            } else {
                let (what, advice) = CERTIFICATE_WANTED;
                Self::new(what, advice)
            };
        }
        if has("handshake failure") {
            return Self::new(
                "the server refused the handshake",
                "compare TLS versions and ciphers; it may also want a certificate (tls.certificate) or another name \
                 (tls.server_name)",
            );
        }
        Self::new(
            reason.to_owned(),
            "try `openssl s_client -connect HOST:PORT -servername NAME` from this machine",
        )
    }

    fn closed() -> Self {
        Self::new(
            "the server closed the connection in the handshake",
            "see the server's log; it may speak no TLS there, or want another name (tls.server_name)",
        )
    }
}

/// Whether an error's text is a server's alert about the certificate that we showed, or didn't.
///
/// With TLS 1.3 it comes after the handshake, when the request is on its way: the server hasn't looked at any of it.
pub fn is_about_our_certificate(text: &str) -> bool {
    const ALERTS: [&str; 7] = [
        "alert certificate required",
        "alert bad certificate",
        "alert unsupported certificate",
        "alert certificate revoked",
        "alert certificate expired",
        "alert certificate unknown",
        "alert unknown ca",
    ];
    ALERTS.iter().any(|alert| text.contains(alert))
}

/// `unknown ca` of `tlsv1 alert unknown ca`.
fn alert(reason: &str) -> &str {
    reason
        .split_once("alert ")
        .map_or(reason, |(_, alert)| alert)
}

/// What the verification of a certificate found, noted while OpenSSL had it at hand.
#[derive(Debug, Clone)]
pub struct Unverified {
    result: X509VerifyResult,
    /// Of the certificate in question: 0 is the server's own.
    depth: u32,
    names: Vec<String>,
    subject: String,
    issuer: String,
    not_before: String,
    not_after: String,
}

impl Unverified {
    /// The state of a verification that has just failed.
    pub fn of(context: &X509StoreContextRef) -> Self {
        let cert = context.current_cert();
        let told = |what: fn(&X509Ref) -> String| cert.map(what).unwrap_or_default();
        Self {
            result: context.error(),
            depth: context.error_depth(),
            names: cert.map(names).unwrap_or_default(),
            subject: told(|cert| common_name(cert.subject_name())),
            issuer: told(|cert| common_name(cert.issuer_name())),
            not_before: told(|cert| cert.not_before().to_string()),
            not_after: told(|cert| cert.not_after().to_string()),
        }
    }

    fn trouble(&self, asked: Option<&ServerName>) -> Trouble {
        const NOT_YET_VALID: i32 = 9;
        const EXPIRED: i32 = 10;
        const SELF_SIGNED: i32 = 18;
        const SELF_SIGNED_IN_CHAIN: i32 = 19;
        const NO_ISSUER: [i32; 3] = [2, 20, 21];
        const OTHER_NAME: [i32; 2] = [62, 64];
        let said = self.result.error_string();
        match (self.result.as_raw(), asked) {
            (code, Some(asked)) if OTHER_NAME.contains(&code) => {
                Trouble::other_name(asked, &self.names)
            }
            (EXPIRED, _) if self.depth == 0 => Trouble::new(
                format!("{said} (on {})", self.not_after),
                "renew the server's certificate",
            ),
            (EXPIRED, _) => Trouble::new(
                format!(
                    "{said} (of the authority {}, on {})",
                    self.subject, self.not_after
                ),
                "have the server send its authority's current certificate",
            ),
            (NOT_YET_VALID, _) => Trouble::new(
                format!("{said} (before {})", self.not_before),
                "compare the clocks of both machines",
            ),
            (SELF_SIGNED, _) => Trouble::new(
                said,
                "set tls.ca to the server's certificate, to trust exactly that",
            ),
            (SELF_SIGNED_IN_CHAIN, _) => Trouble::new(
                format!("{said} ({})", self.subject),
                "set tls.ca to the file of the authority's root, if it is yours",
            ),
            (code, _) if NO_ISSUER.contains(&code) => Trouble::new(
                format!("{said} (of {}, issued by {})", self.subject, self.issuer),
                "set tls.ca to the file of the authority's root; or the server doesn't send its intermediate",
            ),
            _ => Trouble::new(
                said,
                "look at the server's certificate: equipoise cert inspect",
            ),
        }
    }
}

fn common_name(name: &openssl::x509::X509NameRef) -> String {
    name.entries_by_nid(Nid::COMMONNAME)
        .next()
        .or_else(|| name.entries().next())
        .map(|entry| String::from_utf8_lossy(entry.data().as_slice()).into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_about_certificates_say_who_wants_what() {
        let reason = "tlsv13 alert certificate required";
        assert_eq!(
            Trouble::of_reason(reason, false).what,
            "the server asked for a certificate"
        );
        assert_eq!(
            Trouble::of_reason("tlsv1 alert unknown ca", true).what,
            "the server refused our certificate (unknown ca)"
        );
    }

    #[test]
    fn a_server_without_tls_is_told_from_one_that_refuses() {
        assert!(
            Trouble::of_reason("wrong version number", false)
                .what
                .contains("speaks no TLS")
        );
        assert!(
            Trouble::of_reason("ssl/tls alert handshake failure", false)
                .what
                .contains("refused the handshake")
        );
    }

    #[test]
    fn a_few_names_are_told_of_many() {
        let names: Vec<String> = (0..20).map(|n| format!("n{n}.example")).collect();
        let asked = ServerName::new("app.internal").unwrap();
        assert_eq!(
            Trouble::other_name(&asked, &names).what,
            "hostname mismatch: asked for app.internal, the certificate is for \
             n0.example, n1.example, n2.example, n3.example, n4.example, …"
        );
    }
}
