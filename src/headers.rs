//! What decisions need of a message's header section, without knowing whose type it is.
//!
//! The rules about cookies and client addresses read and change header fields. They work on
//! [`HeadersMut`], so that they run unchanged on a plain [`HeaderMap`], as tests have it, and on the
//! header types of the proxy, which keep the spelling of names beside the map.

use http::{HeaderMap, HeaderName, HeaderValue};

pub mod authority;
pub mod spelling;

/// A header section that can be read and changed.
pub trait HeadersMut {
    /// The fields as they are now.
    fn headers(&self) -> &HeaderMap;

    /// Makes `value` the only value of `name`.
    fn set(&mut self, name: HeaderName, value: HeaderValue);

    /// Adds a line after those that `name` has already.
    fn append(&mut self, name: HeaderName, value: HeaderValue);

    /// Takes out every line of `name`.
    fn remove(&mut self, name: &HeaderName);
}

impl HeadersMut for HeaderMap {
    fn headers(&self) -> &HeaderMap {
        self
    }

    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.insert(name, value);
    }

    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.append(name, value);
    }

    fn remove(&mut self, name: &HeaderName) {
        self.remove(name);
    }
}

/// Replaces all lines of `name` by `lines`, in their order; none at all removes the field.
pub fn replace_lines(
    message: &mut impl HeadersMut,
    name: &HeaderName,
    lines: impl IntoIterator<Item = HeaderValue>,
) {
    message.remove(name);
    for line in lines {
        message.append(name.clone(), line);
    }
}

/// Takes out every field whose name is one of those that `doomed` knows. Nearly always there is none, and then nothing is
/// allocated.
pub fn remove_where(message: &mut impl HeadersMut, doomed: impl Fn(&HeaderName) -> bool) {
    let names = message.headers().keys().filter(|name| doomed(name));
    let names: Vec<HeaderName> = names.cloned().collect();
    for name in &names {
        message.remove(name);
    }
}

/// The members of a comma-separated list, trimmed; empty ones are left out (RFC 9110 section 5.6.1).
///
/// A comma inside a quoted string does not separate (RFC 9110 section 5.6.4). A quoted string that is
/// never closed reaches to the end of the line.
pub fn list_members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    line.split(move |&byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' => return !quoted,
            _ => {}
        }
        false
    })
    .map(trim)
    .filter(|member| !member.is_empty())
}

/// `text` without the spaces and tabs around it (OWS of RFC 9110 section 5.6.3).
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// `tchar` of RFC 9110 section 5.6.2: what names of methods, fields and codings are made of.
pub fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether `text` is a token (RFC 9110 section 5.6.2): one `tchar` or more.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_tchar(*byte))
}

/// Whether servers that hand fields on as CGI's variables (RFC 3875 section 4.1.18), and what descends from CGI (WSGI, PHP,
/// Rack), can take `name` for `known`, which is in lower case: there every character but letters and digits is `_`.
pub fn is_known_as(name: &[u8], known: &[u8]) -> bool {
    let same = |(byte, known): (&u8, &u8)| {
        byte.eq_ignore_ascii_case(known)
            || !(byte.is_ascii_alphanumeric() || known.is_ascii_alphanumeric())
    };
    name.len() == known.len() && name.iter().zip(known).all(same)
}

/// Whether a name has a character that CGI can't tell from a hyphen.
pub fn is_ambiguous(name: &HeaderName) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !name.as_str().bytes().all(plain)
}

/// What is between the quotes if `text` is enclosed in a pair of them, else `text` itself.
pub fn unquote(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inner @ .., b'"'] => inner,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::VIA;

    fn members(line: &str) -> Vec<String> {
        list_members(line.as_bytes())
            .map(|member| String::from_utf8_lossy(member).into_owned())
            .collect()
    }

    #[test]
    fn members_are_trimmed_and_empty_ones_left_out() {
        assert_eq!(members(" a ,, b\t, c=d,"), ["a", "b", "c=d"]);
        assert!(members(" , ,").is_empty());
    }

    #[test]
    fn a_quoted_comma_does_not_separate() {
        assert_eq!(members(r#"private="A, B", x"#), [r#"private="A, B""#, "x"]);
        assert_eq!(members(r#"e="a\",b", x"#), [r#"e="a\",b""#, "x"]);
        assert_eq!(members(r#"a, "b, c"#), ["a", "\"b, c"]);
    }

    #[test]
    fn only_a_pair_of_quotes_is_taken_off() {
        assert_eq!(unquote(b"\"a\""), b"a");
        assert_eq!(unquote(b"\"a"), b"\"a");
        assert_eq!(unquote(b"\""), b"\"");
        assert_eq!(unquote(b"\"\""), b"");
    }

    #[test]
    fn all_but_letters_and_digits_is_one_to_cgi() {
        for name in ["x-real-ip", "X_REAL_IP", "x.real~Ip"] {
            assert!(is_known_as(name.as_bytes(), b"x-real-ip"), "{name}");
        }
        for name in ["xrealip", "x-real-ip2", "x--real-ip", "x-real_i-"] {
            assert!(!is_known_as(name.as_bytes(), b"x-real-ip"), "{name}");
        }
        assert!(is_ambiguous(&HeaderName::from_static("x_a")));
        assert!(!is_ambiguous(&HeaderName::from_static("x-a1")));
    }

    #[test]
    fn all_lines_of_the_doomed_go_and_no_other() {
        let mut map = HeaderMap::new();
        for (name, value) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")] {
            map.append(name, HeaderValue::from_static(value));
        }
        remove_where(&mut map, |name| name == "a" || name == "c");
        assert_eq!(map.keys().collect::<Vec<_>>(), ["b"]);
        remove_where(&mut map, |name| name == "a");
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn replacing_lines_keeps_their_order() {
        let mut map = HeaderMap::new();
        map.append(VIA, HeaderValue::from_static("old"));
        let lines = ["1", "2", "3"].map(HeaderValue::from_static);
        replace_lines(&mut map, &VIA, lines.clone());
        assert_eq!(
            map.get_all(VIA).iter().collect::<Vec<_>>(),
            lines.iter().collect::<Vec<_>>()
        );
        replace_lines(&mut map, &VIA, []);
        assert!(!map.contains_key(VIA));
    }
}
