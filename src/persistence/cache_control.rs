//! Keeping a response that sets our cookie out of shared caches.
//!
//! A shared cache that stored it would hand one client's session to all. RFC 9111 section 3 forbids
//! shared caches to store a response with `private` (without field names) or `no-store`; nothing else
//! does:
//! `no-cache` only makes a cache ask before each use, and `private="Set-Cookie"` lets it store the
//! rest. So `private` is added unless one of the two is there. `public` and `s-maxage` speak to
//! shared caches in the opposite sense and go; what speaks to the client's own cache (`max-age`,
//! `no-cache`, …) stays.
//!
//! `CDN-Cache-Control` (RFC 9213) overrules `Cache-Control` where it is understood, so it is treated
//! alike if the server sent it.

use crate::headers::names::{CACHE_CONTROL, KnownName};
use http::HeaderValue;

use crate::headers::{Fields, list_members, trim};

const CDN_CACHE_CONTROL: KnownName = KnownName::new("cdn-cache-control");

/// Forbids shared caches to store `response`.
pub(super) fn forbid_shared(response: &mut Fields) {
    restrict(response, &CACHE_CONTROL);
    if response.contains_key(CDN_CACHE_CONTROL) {
        restrict(response, &CDN_CACHE_CONTROL);
    }
}

fn restrict(response: &mut Fields, name: &KnownName) {
    let private = || HeaderValue::from_static("private");
    if !response.contains_key(name) {
        response.insert(name.clone(), private());
        return;
    }
    let strict = directives(response, name).any(forbids_sharing);
    let lax = directives(response, name).any(must_go);
    if strict && !lax {
        return;
    }
    let added: &[&[u8]] = if strict { &[] } else { &[b"private"] };
    let kept = directives(response, name).filter(|directive| !must_go(directive));
    let line = kept
        .chain(added.iter().copied())
        .collect::<Vec<_>>()
        .join(&b", "[..]);
    // The directives are parts of valid values; if that did not hold, `private` alone is safe.
    let line = HeaderValue::try_from(line).unwrap_or_else(|_| private());
    response.replace_lines(name, [line]);
}

/// The directives of all lines of `name`.
fn directives<'a>(response: &'a Fields, name: &KnownName) -> impl Iterator<Item = &'a [u8]> {
    response
        .get_all(name)
        .iter()
        .flat_map(|line| list_members(line.as_bytes()))
}

fn forbids_sharing(directive: &[u8]) -> bool {
    directive.eq_ignore_ascii_case(b"private") || directive.eq_ignore_ascii_case(b"no-store")
}

/// A quoted string that is never closed goes as well: it would swallow what follows it.
fn must_go(directive: &[u8]) -> bool {
    allows_sharing(directive) || leaves_quote_open(directive)
}

/// Whether `directive` asks shared caches to store the response, or parts of it.
fn allows_sharing(directive: &[u8]) -> bool {
    let mut parts = directive.splitn(2, |&byte| byte == b'=');
    let name = trim(parts.next().unwrap_or_default());
    name.eq_ignore_ascii_case(b"public")
        || name.eq_ignore_ascii_case(b"s-maxage")
        || (name.eq_ignore_ascii_case(b"private") && parts.next().is_some())
}

fn leaves_quote_open(directive: &[u8]) -> bool {
    let (open, _) = directive
        .iter()
        .fold((false, false), |(open, escaped), byte| match byte {
            _ if escaped => (open, false),
            b'\\' if open => (open, true),
            b'"' => (!open, false),
            _ => (open, false),
        });
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn restricted(lines: &[&str]) -> Vec<String> {
        let mut map = Fields::new();
        for line in lines {
            map.append(
                CACHE_CONTROL,
                HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            );
        }
        forbid_shared(&mut map);
        let lines = map.get_all(CACHE_CONTROL).iter();
        lines
            .map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned())
            .collect()
    }

    #[test]
    fn private_is_added_where_nothing_stricter_is() {
        assert_eq!(restricted(&[]), ["private"]);
        assert_eq!(restricted(&[""]), ["private"]);
        assert_eq!(restricted(&["max-age=60"]), ["max-age=60, private"]);
        assert_eq!(
            restricted(&["no-cache", "must-revalidate"]),
            ["no-cache, must-revalidate, private"]
        );
    }

    #[test]
    fn what_forbids_sharing_stays_as_it_is() {
        for line in [
            "private",
            "Private,max-age=5",
            "no-store",
            "no-cache,  no-store",
        ] {
            assert_eq!(restricted(&[line]), [line]);
        }
        assert_eq!(
            restricted(&["max-age=1", "no-store"]),
            ["max-age=1", "no-store"]
        );
    }

    #[test]
    fn what_asks_shared_caches_to_store_goes() {
        assert_eq!(restricted(&["public, max-age=60"]), ["max-age=60, private"]);
        assert_eq!(restricted(&["S-MaxAge = 9"]), ["private"]);
        assert_eq!(restricted(&["private, s-maxage=9"]), ["private"]);
        assert_eq!(restricted(&["no-store", "public"]), ["no-store"]);
        assert_eq!(
            restricted(&["private=\"Set-Cookie, X\", max-age=1"]),
            ["max-age=1, private"]
        );
    }

    #[test]
    fn a_word_inside_an_extension_is_no_directive() {
        assert_eq!(
            restricted(&["x=\"private, no-store\""]),
            ["x=\"private, no-store\", private"]
        );
        assert_eq!(restricted(&["x-private"]), ["x-private, private"]);
    }

    #[test]
    fn a_quote_left_open_swallows_nothing() {
        assert_eq!(restricted(&["max-age=1, x=\"y"]), ["max-age=1, private"]);
        assert_eq!(restricted(&["x=\"y\\\"", "private"]), ["private"]);
    }

    #[test]
    fn cdns_are_told_as_well() {
        let mut map = Fields::new();
        map.insert(
            CDN_CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=600"),
        );
        forbid_shared(&mut map);
        assert_eq!(map.get(CDN_CACHE_CONTROL).unwrap(), "max-age=600, private");
        assert_eq!(map.get(CACHE_CONTROL).unwrap(), "private");
    }

    proptest! {
        #[test]
        fn whatever_came_no_shared_cache_may_store(
            lines in proptest::collection::vec(
                "((public|private|no-store|s-maxage|max-age|no-cache|\"|=|,| |;|x){1,2}){0,8}", 0..3),
        ) {
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            let after = restricted(&lines);
            // As RFC 9110 section 5.3 lets a recipient combine the lines.
            let after = after.join(", ");
            let after = list_members(after.as_bytes()).collect::<Vec<_>>();
            prop_assert!(after.iter().any(|directive| forbids_sharing(directive)));
            prop_assert!(!after.iter().any(|directive| allows_sharing(directive)));
        }
    }
}
