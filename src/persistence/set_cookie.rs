//! The `Set-Cookie` lines of servers: finding those of one cookie, dropping them, changing their value.
//!
//! A line is read as browsers do (RFC 6265bis section 5.6): the pair ends at the first `;`, also inside
//! quotes. Whatever isn't named to change stays byte for byte: attributes, their order and spelling, other
//! lines, the order of lines.

use crate::headers::names::SET_COOKIE;

use super::pair::{Value, splice, value_of};
use super::{UnixTime, cookie_date};
use crate::headers::{Fields, ValueRef, trim};

/// A line that sets the cookie that was asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    line: ValueRef<'a>,
    value: Value<'a>,
}

impl<'a> Setting<'a> {
    /// What it is set to, without quotes around it.
    pub(super) fn value(&self) -> &'a [u8] {
        self.value.bytes
    }

    /// Whether it leaves the client without that cookie at `now`, or with an empty one, as servers do to end a
    /// session.
    pub(super) fn deletes(&self, now: UnixTime) -> bool {
        self.value.bytes.is_empty() || has_expired(self.line, now)
    }
}

/// The lines that set the cookie called `name`, in their order.
pub(super) fn named<'a>(
    response: &'a Fields,
    name: &'a [u8],
) -> impl Iterator<Item = Setting<'a>> + use<'a> {
    let lines = response.get_all(SET_COOKIE).iter();
    lines.filter_map(move |line| setting(line, name))
}

/// Drops the lines that set a cookie called `name`; the others stay byte for byte and in their order.
pub(super) fn drop_named(response: &mut Fields, name: &[u8]) {
    if named(response, name).next().is_none() {
        return;
    }
    let lines = response.get_all(SET_COOKIE);
    let kept: Vec<_> = lines
        .iter()
        .filter(|line| setting(*line, name).is_none())
        .map(ValueRef::to_value)
        .collect();
    response.replace_lines(&SET_COOKIE, kept);
}

/// What becomes of a cookie's value.
pub(super) enum Edit {
    /// It stays.
    Keep,
    /// These bytes take its place.
    Replace(Vec<u8>),
    /// These bytes are put in front of it, inside its quotes if it has some.
    Prepend(Vec<u8>),
}

/// Changes the values of the cookies called `name` as `edit` says; those that are deleted stay as they are.
pub(super) fn edit(
    response: &mut Fields,
    name: &[u8],
    now: UnixTime,
    mut edit: impl FnMut(&[u8]) -> Edit,
) {
    if named(response, name).next().is_none() {
        return;
    }
    let mut edited = |line: ValueRef<'_>| {
        let setting = setting(line, name).filter(|setting| !setting.deletes(now))?;
        let Value { at, bytes } = setting.value;
        let mut line = match edit(bytes) {
            Edit::Keep => None,
            Edit::Replace(text) => splice(line, at, bytes.len(), &[&text]),
            Edit::Prepend(text) => splice(line, at, 0, &[&text]),
        }?;
        line.set_sensitive(true);
        Some(line)
    };
    let lines = response.get_all(SET_COOKIE).iter();
    let lines: Vec<_> = lines
        .map(|line| edited(line).unwrap_or_else(|| line.to_value()))
        .collect();
    response.replace_lines(&SET_COOKIE, lines);
}

fn setting<'a>(line: ValueRef<'a>, name: &[u8]) -> Option<Setting<'a>> {
    let (pair, _) = cut(line.as_bytes(), b';');
    let value = value_of(pair, name)?;
    Some(Setting { line, value })
}

/// Whether the attributes say that the cookie has ended by `now`: `Max-Age` if there is one, else `Expires`,
/// the last of each that can be read (RFC 6265bis sections 5.6.1, 5.6.2 and 5.7).
fn has_expired(line: ValueRef<'_>, now: UnixTime) -> bool {
    let attributes = line.as_bytes().split(|&byte| byte == b';').skip(1);
    let mut by_age = None;
    let mut by_date = None;
    for attribute in attributes {
        let (name, value) = cut(attribute, b'=');
        let value = trim(value.unwrap_or_default());
        if trim(name).eq_ignore_ascii_case(b"max-age") {
            by_age = is_no_time(value).or(by_age);
        } else if trim(name).eq_ignore_ascii_case(b"expires") {
            by_date = cookie_date::parse(value).map(|end| end <= now).or(by_date);
        }
    }
    by_age.or(by_date).unwrap_or(false)
}

/// Whether a `Max-Age` is zero or negative; `None` if it is no number.
fn is_no_time(value: &[u8]) -> Option<bool> {
    let (negative, digits) = match value {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| negative || digits.iter().all(|&digit| digit == b'0'))
}

/// What is before the first `separator`, and what is after it if there is one.
fn cut(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let mut parts = text.splitn(2, |&byte| byte == separator);
    (parts.next().unwrap_or_default(), parts.next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn response(lines: &[&str]) -> Fields {
        let mut map = Fields::new();
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

    fn edited(lines: &[&str], how: impl Fn() -> Edit) -> Vec<String> {
        let mut map = response(lines);
        edit(&mut map, b"ID", NOW, |_| how());
        let lines = map.get_all(SET_COOKIE).iter();
        lines
            .map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
            .collect()
    }

    #[test]
    fn a_value_is_changed_and_nothing_else() {
        let lines = [
            "a=1; Path=/",
            "ID=v;path=/ ;  HttpOnly;;x=\"y;ID=3\"",
            "ID=\"q\" ; Expires=Thu, 01 Jan 2099 00:00:00 GMT",
            "\tID = w\u{e9} ;secure",
            "IDX=v; ID=v",
            "ID",
        ];
        assert_eq!(
            edited(&lines, || Edit::Replace(b"T".to_vec())),
            [
                "a=1; Path=/",
                "ID=T;path=/ ;  HttpOnly;;x=\"y;ID=3\"",
                "ID=\"T\" ; Expires=Thu, 01 Jan 2099 00:00:00 GMT",
                "\tID = T ;secure",
                "IDX=v; ID=v",
                "ID",
            ]
        );
        assert_eq!(
            edited(&lines, || Edit::Prepend(b"T~".to_vec())),
            [
                "a=1; Path=/",
                "ID=T~v;path=/ ;  HttpOnly;;x=\"y;ID=3\"",
                "ID=\"T~q\" ; Expires=Thu, 01 Jan 2099 00:00:00 GMT",
                "\tID = T~w\u{e9} ;secure",
                "IDX=v; ID=v",
                "ID",
            ]
        );
        assert_eq!(edited(&lines, || Edit::Keep), lines);
    }

    #[test]
    fn a_quote_does_not_hold_a_semicolon() {
        assert_eq!(
            edited(&["ID=\"a;b\"; Path=/"], || Edit::Prepend(b"T~".to_vec())),
            ["ID=T~\"a;b\"; Path=/"]
        );
    }

    #[test]
    fn what_is_deleted_stays_as_it_is() {
        for line in [
            "ID=",
            "ID=\"\"; Path=/",
            "ID=; Max-Age=60",
            "ID=deleted; Max-Age=0",
            "ID=x; max-age = -1 ; Expires=Thu, 01 Jan 2099 00:00:00 GMT",
            "ID=x; Expires=Thu, 01-Jan-1970 00:00:10 GMT; Path=/",
            "ID=x; expires=Fri, 15 Jan 2027 08:00:00 GMT",
            "ID=x; Max-Age=9; Max-Age=00",
            "ID=x; Max-Age=0; Max-Age=soon",
        ] {
            assert_eq!(edited(&[line], || Edit::Replace(b"T".to_vec())), [line]);
        }
    }

    #[test]
    fn what_only_looks_deleted_is_changed() {
        for attributes in [
            "",
            "; Max-Age=1",
            "; Max-Age=0; Max-Age=10",
            "; Max-Age=",
            "; Max-Age",
            "; Max-Age=-",
            "; Max-Age=0x0",
            "; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "; Expires=Fri, 15 Jan 2027 08:00:01 GMT",
            "; Expires=never",
            "; X-Max-Age=0",
            "; Path=/Max-Age=0",
        ] {
            let line = format!("ID=x{attributes}");
            assert_eq!(
                edited(&[&line], || Edit::Replace(b"T".to_vec())),
                [format!("ID=T{attributes}")]
            );
        }
    }

    #[test]
    fn a_changed_line_is_sensitive() {
        let mut map = response(&["a=1", "ID=x"]);
        edit(&mut map, b"ID", NOW, |_| Edit::Replace(b"T".to_vec()));
        let sensitive: Vec<_> = map
            .get_all(SET_COOKIE)
            .iter()
            .map(ValueRef::is_sensitive)
            .collect();
        assert_eq!(sensitive, [false, true]);
    }

    proptest! {
        #[test]
        fn other_lines_stay_and_so_do_attributes(
            lines in proptest::collection::vec(
                ("[ \t]{0,1}(ID|IDX|id|a)", "[a-z\"~=\u{e9}]{0,5}", "(;[ a-zA-Z=\"0-]{0,9}){0,3}"), 0..5),
        ) {
            let written: Vec<_> = lines.iter().map(|(name, value, rest)| format!("{name}={value}{rest}")).collect();
            let written: Vec<_> = written.iter().map(String::as_str).collect();
            let after = edited(&written, || Edit::Replace(b"T".to_vec()));
            prop_assert_eq!(after.len(), lines.len());
            for ((name, value, rest), after) in lines.iter().zip(&after) {
                let same = format!("{name}={value}{rest}");
                if name.trim() != "ID" {
                    prop_assert_eq!(after, &same);
                } else if *after != same {
                    let quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
                    let value = if quoted { "\"T\"" } else { "T" };
                    prop_assert_eq!(after, &format!("{name}={value}{rest}"));
                }
            }
        }
    }
}
