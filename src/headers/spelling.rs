//! How the fields that we write are spelt on the wire: as everybody spells them, for servers and logs that look closer
//! than they should (names are case-insensitive, RFC 9110 section 5.1).

use http::HeaderName;

/// The spelling of the frequent names, and of those that [`capitalised`] doesn't know.
pub fn spelling(name: &HeaderName) -> Option<&'static str> {
    Some(match name.as_str() {
        "cookie" => "Cookie",
        "set-cookie" => "Set-Cookie",
        "cache-control" => "Cache-Control",
        "connection" => "Connection",
        "upgrade" => "Upgrade",
        "forwarded" => "Forwarded",
        "via" => "Via",
        "vary" => "Vary",
        "server" => "Server",
        "etag" => "ETag",
        "dnt" => "DNT",
        "soapaction" => "SOAPAction",
        "www-authenticate" => "WWW-Authenticate",
        "x-forwarded-for" => "X-Forwarded-For",
        "x-forwarded-proto" => "X-Forwarded-Proto",
        "x-forwarded-host" => "X-Forwarded-Host",
        "x-forwarded-port" => "X-Forwarded-Port",
        "x-real-ip" => "X-Real-IP",
        "x-client-cert-subject" => "X-Client-Cert-Subject",
        "x-client-cert-serial" => "X-Client-Cert-Serial",
        "x-client-cert-fingerprint" => "X-Client-Cert-Fingerprint",
        "x-client-cert-verify" => "X-Client-Cert-Verify",
        _ => return None,
    })
}

/// A name with its words capitalised: `X-Robots-Tag`.
pub fn capitalised(name: &HeaderName) -> String {
    let mut begins = true;
    let capital = |c: char| {
        let spelt = if begins { c.to_ascii_uppercase() } else { c };
        begins = c == '-';
        spelt
    };
    name.as_str().chars().map(capital).collect()
}

/// Either of both.
pub fn spelt(name: &HeaderName) -> String {
    spelling(name).map_or_else(|| capitalised(name), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelt_as_everybody_spells_them() {
        for (name, wanted) in [
            ("user-agent", "User-Agent"),
            ("x-my-probe", "X-My-Probe"),
            ("x-real-ip", "X-Real-IP"),
            ("dnt", "DNT"),
            ("host", "Host"),
        ] {
            assert_eq!(spelt(&HeaderName::from_static(name)), wanted);
        }
    }
}
