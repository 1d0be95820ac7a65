//! What Pingora writes of its own accord into a response's header section of HTTP/1, put right as it passes.
//!
//! It gives every response the date of now, also one that has a date of its server's (RFC 9110 section 6.6.1), and a
//! `Connection` that says nothing but whether it lasts, although an `Upgrade` has to be announced there (section 7.8).

use http::HeaderValue;

const DATE: &[u8] = b"\r\nDate: ";
const CONNECTION: &[u8] = b"\r\nConnection: ";

/// What is put right in one header section.
#[derive(Debug, Clone, Default)]
pub struct Amendment {
    /// The server's own date, in the form that is written.
    pub date: Option<HeaderValue>,
    /// The response has an `Upgrade`.
    pub upgrade: bool,
}

impl Amendment {
    /// The header section as it is to be.
    pub fn apply(&self, head: &[u8]) -> Vec<u8> {
        let mut amended = head.to_vec();
        if let Some(date) = &self.date
            && let Some(at) = behind(&amended, DATE)
        {
            let length = line_length(&amended, at);
            amended.splice(at..at + length, date.as_bytes().iter().copied());
        }
        if self.upgrade
            && let Some(at) = behind(&amended, CONNECTION)
        {
            amended.splice(at..at, b"upgrade, ".iter().copied());
        }
        amended
    }
}

/// Where the value of a field begins.
fn behind(head: &[u8], name: &[u8]) -> Option<usize> {
    let at = head.windows(name.len()).position(|window| window == name)?;
    Some(at + name.len())
}

/// How long the rest of a line is.
fn line_length(head: &[u8], at: usize) -> usize {
    let rest = head.get(at..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b'\r');
    end.unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nX: Date: \r\nDate: Fri, 15 May 2015 15:34:21 GMT\r\n\
                        Connection: keep-alive\r\n\r\n";

    fn amended(head: &str, date: Option<&'static str>, upgrade: bool) -> String {
        let date = date.map(HeaderValue::from_static);
        let head = Amendment { date, upgrade }.apply(head.as_bytes());
        String::from_utf8(head).unwrap()
    }

    #[test]
    fn a_date_is_put_in_place_of_the_other() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let wanted = HEAD.replace("Fri, 15 May 2015 15:34:21 GMT", date);
        assert_eq!(amended(HEAD, Some(date), false), wanted);
    }

    #[test]
    fn an_upgrade_is_announced() {
        let wanted = HEAD.replace("keep-alive", "upgrade, keep-alive");
        assert_eq!(amended(HEAD, None, true), wanted);
    }

    #[test]
    fn nothing_else_is_touched() {
        assert_eq!(amended(HEAD, None, false), HEAD);
        for head in ["HTTP/1.1 200 OK\r\n\r\n", ""] {
            assert_eq!(amended(head, Some("x"), true), head);
        }
    }
}
