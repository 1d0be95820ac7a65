//! Authorities of URLs: host, and perhaps port (RFC 9110 section 4.2.1).

/// Whether two authorities are one: hosts are compared without case, and a port that isn't written is the scheme's
/// (RFC 9110 section 4.2.3). `https`: which scheme; `None` = one that knows no port.
pub fn is_same(https: Option<bool>, a: &[u8], b: &[u8]) -> bool {
    let known: &[u8] = match https {
        Some(true) => b"443",
        Some(false) => b"80",
        None => b"",
    };
    let port = |authority| match written_port(authority) {
        b"" => known,
        port => port,
    };
    !a.is_empty() && host(a).eq_ignore_ascii_case(host(b)) && port(a) == port(b)
}

/// An authority without its port.
pub fn host(authority: &[u8]) -> &[u8] {
    let colon = authority.iter().rposition(|byte| *byte == b':');
    match colon {
        // Those of an IPv6 address are in brackets.
        Some(colon) if !authority.ends_with(b"]") => authority.get(..colon).unwrap_or(authority),
        _ => authority,
    }
}

/// The port as it is written; nothing if none is.
fn written_port(authority: &[u8]) -> &[u8] {
    let port = authority.get(host(authority).len()..).unwrap_or_default();
    port.strip_prefix(b":").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_the_schemes_port_make_no_difference() {
        for (https, a, b, same) in [
            (Some(false), "m.example", "M.Example", true),
            (Some(false), "m.example:80", "m.example", true),
            (Some(false), "m.example:", "m.example:80", true),
            (Some(false), "m.example:443", "m.example", false),
            (Some(true), "m.example:443", "m.example", true),
            (Some(true), "m.example:80", "m.example", false),
            (None, "m.example:80", "m.example", false),
            (None, "m.example", "m.example", true),
            (Some(false), "[::1]:80", "[::1]", true),
            (Some(false), "[::1]", "[::2]", false),
            (Some(false), "m.example", "m.example.", false),
            (Some(false), "m.example", "n.example", false),
            (Some(false), "", "", false),
        ] {
            assert_eq!(is_same(https, a.as_bytes(), b.as_bytes()), same, "{a} {b}");
        }
    }
}
