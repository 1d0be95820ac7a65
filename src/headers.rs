//! Header sections, and what decisions need of them.

use http::HeaderName;

pub mod authority;
mod fields;
pub mod line;
mod list;
pub mod names;
pub mod spelling;
mod text;
mod value;

pub use fields::{Edit, Fields};
pub use text::Text;
pub use value::{NotAsciiError, ValueRef};

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
    TCHARS.get(usize::from(byte)) == Some(&true)
}

/// Whether it is one, for each byte.
#[expect(
    clippy::indexing_slicing,
    reason = "made by the compiler, to which a place outside is an error"
)]
static TCHARS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte as usize] = is_tchar_by_rule(byte);
        byte += 1;
    }
    table
};

const fn is_tchar_by_rule(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
            | b'0'..=b'9'
            | b'A'..=b'Z'
            | b'a'..=b'z'
    )
}

/// Whether a line has a control character other than a tab.
pub fn has_control(line: &[u8]) -> bool {
    // Looks at all of them, because that takes no branches.
    let control =
        |byte: &u8| u8::from(*byte < b' ') & u8::from(*byte != b'\t') | u8::from(*byte == 0x7f);
    line.iter().fold(0, |found, byte| found | control(byte)) != 0
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
    !names::is_plain(name)
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
}
