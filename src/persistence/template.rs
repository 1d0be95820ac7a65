//! The `Set-Cookie` line of a cookie of our own.

use std::time::Duration;

use http::HeaderValue;

use crate::config::model::{CookieAttributes, SameSite, Secure};

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
    /// For the cookie called `name`; without `max_age` it lasts as long as the browser's session.
    pub(super) fn new(name: &str, settings: &CookieAttributes, max_age: Option<Duration>) -> Self {
        let attributes = |secure| attributes(settings, max_age, secure);
        Self {
            head: format!("{name}=").into_bytes(),
            plain: attributes(settings.secure == Secure::Always),
            secure: attributes(settings.secure != Secure::Never),
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

fn attributes(settings: &CookieAttributes, max_age: Option<Duration>, secure: bool) -> Vec<u8> {
    let mut text = format!("; Path={}", attribute_value(&settings.path));
    if let Some(age) = max_age {
        let up = u64::from(age.subsec_nanos() > 0);
        text += "; Max-Age=";
        text += &age.as_secs().saturating_add(up).to_string();
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
    if settings.partitioned && secure {
        text += "; Partitioned";
    }
    text.into_bytes()
}

/// `text` without what would end an attribute's value: `;` and whatever is not visible ASCII or a space.
fn attribute_value(text: &str) -> String {
    text.chars()
        .filter(|&c| (c == ' ' || c.is_ascii_graphic()) && c != ';')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::tests::attributes;

    const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

    fn line(settings: &CookieAttributes, max_age: Option<Duration>, https: bool) -> String {
        let line = Template::new("SERVERID", settings, max_age).line(b"token", https);
        assert!(line.is_sensitive());
        line.to_str().unwrap().to_owned()
    }

    #[test]
    fn every_attribute_is_spelt_as_the_rfc_does() {
        let mut settings = attributes();
        assert_eq!(
            line(&settings, HOUR, false),
            "SERVERID=token; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            line(&settings, HOUR, true),
            "SERVERID=token; Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax"
        );
        settings.domain = Some("example.com".to_owned());
        settings.path = "/shop".to_owned();
        settings.secure = Secure::Always;
        settings.same_site = SameSite::None;
        assert_eq!(
            line(&settings, HOUR, false),
            "SERVERID=token; Path=/shop; Max-Age=3600; Domain=example.com; Secure; HttpOnly; SameSite=None"
        );
        settings.same_site = SameSite::Strict;
        assert!(line(&settings, HOUR, false).ends_with("; SameSite=Strict"));
    }

    #[test]
    fn a_partitioned_cookie_is_secure() {
        let settings = CookieAttributes {
            same_site: SameSite::None,
            partitioned: true,
            ..attributes()
        };
        assert!(
            line(&settings, HOUR, true).ends_with("; Secure; HttpOnly; SameSite=None; Partitioned")
        );
        assert!(line(&settings, HOUR, false).ends_with("; HttpOnly; SameSite=None"));
    }

    #[test]
    fn attributes_can_be_left_away() {
        let mut settings = attributes();
        settings.secure = Secure::Never;
        settings.http_only = false;
        settings.same_site = SameSite::Omit;
        assert_eq!(line(&settings, None, true), "SERVERID=token; Path=/");
    }

    #[test]
    fn max_age_is_never_less_than_the_timeout() {
        let settings = attributes();
        let age = Some(Duration::from_millis(1500));
        assert!(line(&settings, age, false).contains("; Max-Age=2;"));
    }

    #[test]
    fn a_setting_cannot_end_its_attribute() {
        let mut settings = attributes();
        settings.path = "/a; Domain=evil\r\nX: y\u{e9}".to_owned();
        assert!(
            line(&settings, HOUR, false)
                .starts_with("SERVERID=token; Path=/a Domain=evilX: y; Max")
        );
    }
}
