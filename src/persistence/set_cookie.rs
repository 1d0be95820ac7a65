//! The response's `Set-Cookie` field: writing our own line, and dropping a server's of the same name.

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::config::model::{CookieInsert as Settings, SameSite, Secure};
use crate::headers::{HeadersMut, replace_lines, trim};

/// Everything of our `Set-Cookie` line but the value (RFC 6265bis section 4.1).
#[derive(Debug, Clone)]
pub(super) struct Template {
    /// `NAME=`
    head: Vec<u8>,
    /// The attributes, when the client came by http.
    plain: Vec<u8>,
    /// The attributes, when the client came by https.
    secure: Vec<u8>,
}

impl Template {
    pub(super) fn new(settings: &Settings) -> Self {
        let mut head = settings.cookie.as_bytes().to_vec();
        head.push(b'=');
        Self {
            head,
            plain: attributes(settings, settings.secure == Secure::Always),
            secure: attributes(settings, settings.secure != Secure::Never),
        }
    }

    /// The line that sets `value`, which is made of characters that a cookie's value may have.
    pub(super) fn line(&self, value: &[u8], https: bool) -> HeaderValue {
        let attributes = if https { &self.secure } else { &self.plain };
        let line = [&self.head, value, attributes].concat();
        // The parts are visible characters and spaces; were they not, no cookie beats a wrong one.
        let mut line = HeaderValue::try_from(line).unwrap_or_else(|_| HeaderValue::from_static(""));
        line.set_sensitive(true);
        line
    }
}

fn attributes(settings: &Settings, secure: bool) -> Vec<u8> {
    let mut text = format!("; Path={}", attribute_value(&settings.path));
    if let Some(timeout) = settings.timeout {
        let up = u64::from(timeout.subsec_nanos() > 0);
        text += "; Max-Age=";
        text += &timeout.as_secs().saturating_add(up).to_string();
    }
    if let Some(domain) = &settings.domain {
        text += "; Domain=";
        text += &attribute_value(domain);
    }
    if secure {
        text += "; Secure";
    }
    if settings.http_only {
        text += "; HttpOnly";
    }
    text += match settings.same_site {
        SameSite::Lax => "; SameSite=Lax",
        SameSite::Strict => "; SameSite=Strict",
        SameSite::None => "; SameSite=None",
        SameSite::Omit => "",
    };
    text.into_bytes()
}

/// `text` without what would end an attribute's value: `;` and whatever is not visible ASCII or a space.
fn attribute_value(text: &str) -> String {
    text.chars()
        .filter(|&c| (c == ' ' || c.is_ascii_graphic()) && c != ';')
        .collect()
}

/// Drops the lines that set a cookie called `name`; the others stay byte for byte and in their order.
pub(super) fn drop_named(response: &mut impl HeadersMut, name: &[u8]) {
    if !sets(response.headers(), name) {
        return;
    }
    let lines = response.headers().get_all(SET_COOKIE);
    let kept: Vec<_> = lines
        .iter()
        .filter(|line| !is_named(line, name))
        .cloned()
        .collect();
    replace_lines(response, &SET_COOKIE, kept);
}

fn sets(response: &HeaderMap, name: &[u8]) -> bool {
    response
        .get_all(SET_COOKIE)
        .iter()
        .any(|line| is_named(line, name))
}

/// Whether a client would store the line's cookie as `name` (RFC 6265bis section 5.6).
fn is_named(line: &HeaderValue, name: &[u8]) -> bool {
    let pair = line
        .as_bytes()
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default();
    trim(pair)
        .strip_prefix(name)
        .is_some_and(|rest| trim(rest).starts_with(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::cookie_insert::tests::settings;
    use std::time::Duration;

    fn line(settings: &Settings, https: bool) -> String {
        let line = Template::new(settings).line(b"token", https);
        assert!(line.is_sensitive());
        line.to_str().unwrap().to_owned()
    }

    #[test]
    fn every_attribute_is_spelt_as_the_rfc_does() {
        let mut settings = settings();
        assert_eq!(
            line(&settings, false),
            "SERVERID=token; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            line(&settings, true),
            "SERVERID=token; Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax"
        );
        settings.domain = Some("example.com".to_owned());
        settings.path = "/shop".to_owned();
        settings.secure = Secure::Always;
        settings.same_site = SameSite::None;
        assert_eq!(
            line(&settings, false),
            "SERVERID=token; Path=/shop; Max-Age=3600; Domain=example.com; Secure; HttpOnly; SameSite=None"
        );
        settings.same_site = SameSite::Strict;
        assert!(line(&settings, false).ends_with("; SameSite=Strict"));
    }

    #[test]
    fn attributes_can_be_left_away() {
        let mut settings = settings();
        settings.timeout = None;
        settings.secure = Secure::Never;
        settings.http_only = false;
        settings.same_site = SameSite::Omit;
        assert_eq!(line(&settings, true), "SERVERID=token; Path=/");
    }

    #[test]
    fn max_age_is_never_less_than_the_timeout() {
        let mut settings = settings();
        settings.timeout = Some(Duration::from_millis(1500));
        assert!(line(&settings, false).contains("; Max-Age=2;"));
    }

    #[test]
    fn a_setting_cannot_end_its_attribute() {
        let mut settings = settings();
        settings.path = "/a; Domain=evil\r\nX: y\u{e9}".to_owned();
        assert!(line(&settings, false).starts_with("SERVERID=token; Path=/a Domain=evilX: y; Max"));
    }

    fn response(lines: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for line in lines {
            map.append(
                SET_COOKIE,
                HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            );
        }
        map
    }

    #[test]
    fn only_that_very_name_is_dropped() {
        let others = [
            "SERVERIDX=1",
            "XSERVERID=1",
            "a=SERVERID=1",
            "SERVERID",
            "serverid=1; Path=/; SERVERID=2",
            "a=\u{e9}",
        ];
        let mut lines = others.to_vec();
        lines.insert(0, "SERVERID=x; Path=/");
        lines.insert(3, " SERVERID =x");
        lines.push("SERVERID=");
        let mut map = response(&lines);
        drop_named(&mut map, b"SERVERID");
        assert_eq!(map, response(&others));
        drop_named(&mut map, b"SERVERID");
        assert_eq!(map, response(&others));
    }
}
