//! The forms of a target (RFC 9112 section 3.2) and the authority that a request names.

use std::io::Write as _;
use std::net::Ipv6Addr;

/// Whether a target has only characters that pass in paths and queries alike. Besides those that a target may have
/// (RFC 3986) these are the ones that clients send all the same, and that nginx and HAProxy let pass: `"`, `<`, `|`, `{`
/// and the like, and raw UTF-8. A fragment is never sent (RFC 9110 section 4.2.5), and blanks and control characters end
/// lines and their parts.
pub fn is_target(target: &[u8]) -> bool {
    let passes = |byte: &u8| !matches!(byte, 0..=b' ' | b'#' | 0x7f);
    target.iter().all(passes) && (target.is_ascii() || str::from_utf8(target).is_ok())
}

/// A target with those characters percent-encoded that nobody's parser takes as they are, as browsers send them; `None`
/// if it has none of them. They mean the same (RFC 3986 section 2.1).
pub fn encoded(target: &[u8]) -> Option<Vec<u8>> {
    let is_odd = |byte: u8| b"\"<>`".contains(&byte);
    if !target.iter().copied().any(is_odd) {
        return None;
    }
    let mut encoded = Vec::with_capacity(target.len() + 16);
    for byte in target {
        if is_odd(*byte) {
            // Writing to memory doesn't fail.
            let _ = write!(encoded, "%{byte:02X}");
        } else {
            encoded.push(*byte);
        }
    }
    Some(encoded)
}

/// Whether a target in absolute form is one of https.
pub fn is_https(target: &[u8]) -> bool {
    const HTTPS: &[u8] = b"https:";
    let scheme = target.get(..HTTPS.len());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(HTTPS))
}

/// The authority of a target in absolute form (RFC 9112 section 3.2.2); `None` for the other forms.
pub fn absolute_authority(target: &[u8]) -> Option<&[u8]> {
    absolute(target).map(|(authority, _)| authority)
}

/// What a server is asked for instead of a target in absolute form, and the authority that it named. Servers must
/// understand that form, but not all that stands behind them does: some take it for a path. `None`: it is in another form.
pub fn origin_form<'a>(method: &[u8], target: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
    let (authority, rest) = absolute(target)?;
    let path = match rest {
        // RFC 9112 section 3.2.4.
        [] if method == b"OPTIONS" => b"*".to_vec(),
        [b'/', ..] => rest.to_vec(),
        _ => [b"/", rest].concat(),
    };
    Some((path, authority))
}

/// Authority, and path with query, of a target in absolute form.
fn absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    if target.first() == Some(&b'/') {
        return None;
    }
    let at = target.iter().position(|byte| *byte == b':')?;
    let (scheme, rest) = target.split_at(at);
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let rest = rest.strip_prefix(b"://")?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    is_authority(authority).then_some((authority, path))
}

/// Host and port (RFC 9110 section 4.2.1), narrower than RFC 3986 has them: a name is made of letters, digits and
/// `-._~`, without empty labels but for the dot at its end; an address in brackets is one of IPv6 without a zone; a port
/// is a port. User information is deprecated (section 4.2.4), and what else the grammar allows (`%2e`, `a,b`) is of no
/// use but to be read in two ways.
pub fn is_authority(text: &[u8]) -> bool {
    if let [b'[', rest @ ..] = text {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else {
            return false;
        };
        let (address, rest) = rest.split_at(end);
        return is_ipv6(address) && is_port_or_nothing(rest.get(1..).unwrap_or_default());
    }
    let end = text.iter().position(|byte| *byte == b':');
    let (name, port) = text.split_at(end.unwrap_or(text.len()));
    is_name(name) && is_port_or_nothing(port)
}

fn is_ipv6(address: &[u8]) -> bool {
    str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

fn is_name(name: &[u8]) -> bool {
    let mut before = b'.';
    for byte in name {
        let known = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        if !known || (*byte == b'.' && before == b'.') {
            return false;
        }
        before = *byte;
    }
    !name.is_empty()
}

fn is_port_or_nothing(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => {
            let number = |sum: u32, digit: &u8| sum * 10 + u32::from(digit.wrapping_sub(b'0'));
            digits.len() <= 5
                && digits.iter().all(u8::is_ascii_digit)
                && u16::try_from(digits.iter().fold(0, number)).is_ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_absolute_form_has_an_origin_form_and_an_authority() {
        let of = |method: &str, target: &'static str| {
            origin_form(method.as_bytes(), target.as_bytes()).map(|(path, authority)| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                (text(&path), text(authority))
            })
        };
        let some = |path: &str, authority: &str| Some((path.to_owned(), authority.to_owned()));
        assert_eq!(of("GET", "http://a/b?c"), some("/b?c", "a"));
        assert_eq!(of("GET", "HTTPS://a:1"), some("/", "a:1"));
        assert_eq!(of("GET", "http://a?b"), some("/?b", "a"));
        assert_eq!(of("OPTIONS", "http://a"), some("*", "a"));
        assert_eq!(of("OPTIONS", "http://a/"), some("/", "a"));
        for target in [
            "/",
            "/http://a/",
            "*",
            "a:80",
            "ftp://a/",
            "http:/a",
            "http://",
            "http://u@a/",
        ] {
            assert_eq!(of("GET", target), None, "{target}");
        }
    }

    #[test]
    fn one_rule_is_for_paths_and_queries() {
        for text in ["/p{}q", "/p?q={}1"] {
            let with = |odd: &str| text.replace("{}", odd).into_bytes();
            for byte in (0..=0x20).chain([0x7f, b'#']) {
                let odd = char::from(byte).to_string();
                assert!(!is_target(&with(&odd)), "{byte:#x}");
            }
            for byte in 0x21..0x7f_u8 {
                let odd = char::from(byte).to_string();
                let target = with(&odd);
                assert_eq!(is_target(&target), byte != b'#', "{odd}");
                let sent = encoded(&target).unwrap_or(target);
                assert!(byte == b'#' || http::Uri::try_from(sent).is_ok(), "{odd}");
            }
            assert!(is_target(&with("é日本😀")));
            assert_eq!(encoded(&with("é|{}^\\")), None);
            assert_eq!(encoded(&with("<\"`>")), Some(with("%3C%22%60%3E")));
        }
        assert!(!is_target(b"/\xe9"));
        assert!(!is_target(b"/\xc0\xae"));
    }

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        for good in [
            "a",
            "a.b",
            "a.",
            "A-b_c~d",
            "1.2.3.4",
            "a:",
            "a:0",
            "a:65535",
            "[::1]",
            "[::1]:80",
            "[::ffff:1.2.3.4]",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":",
            ":80",
            ".",
            ".a",
            "a..b",
            "a:65536",
            "a:x",
            "a:1:2",
            "a b",
            "u@a",
            "a/",
            "a,b",
            "a%2eb",
            "[",
            "[]",
            "[::1",
            "[::1]a",
            "[::1%25lo]",
            "::1",
            "a:000080",
            "\u{e4}",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    proptest! {
        /// What is an authority here is one to everybody else.
        #[test]
        fn every_authority_is_one_for_the_http_crate(text in "[a-z0-9.:\\[\\]%@_~-]{0,12}") {
            if is_authority(text.as_bytes()) {
                prop_assert!(text.parse::<http::uri::Authority>().is_ok(), "{}", text);
            }
        }
    }
}
