//! What a server is asked for instead of what the client asked for.

use crate::config::model::PathRewrite;

use super::path::forwarded_length;
use super::path::normalize;
use super::path::{NormalPath, PathForm};

/// No rewritten target is longer, in bytes.
const LONGEST: usize = 64 * 1024;

/// The target, path and query, for the server. `taken` is how much of the compared path the route's `path` or
/// `path_prefix` took, `form` what paths keep. `None`: what came out is no target; a server could misunderstand it, or it is too long.
///
/// Both ways work on the path as it is passed on, so that nothing is decoded or encoded on the way, and parameters of
/// segments stay. A `?` in a regular expression's replacement begins a query, which the client's own follows.
pub fn rewritten(
    rewrite: &PathRewrite,
    path: &NormalPath<'_>,
    form: PathForm,
    taken: usize,
    query: Option<&[u8]>,
) -> Option<Vec<u8>> {
    let path = &*path.forwarded;
    let mut target;
    let mut has_query = false;
    match rewrite {
        // `*` isn't a path.
        _ if !path.starts_with(b"/") => target = path.to_vec(),
        PathRewrite::Prefix(prefix) => {
            let rest = path.get(forwarded_length(path, taken)..)?;
            // A segment that is taken away takes its parameters along; what ends with them is the root's then.
            let rest = match rest.iter().position(|byte| *byte == b'/') {
                Some(end) if prefix.is_empty() && begins_parameters(rest) => rest.get(end..)?,
                _ => rest,
            };
            target = Vec::with_capacity(prefix.len() + 1 + rest.len());
            target.extend_from_slice(prefix.as_bytes());
            if prefix.is_empty() && !rest.starts_with(b"/") {
                target.push(b'/');
            }
            // Nothing before an encoded slash would be an empty segment.
            target.extend_from_slice(match rest {
                [b'%', b'2', b'F', rest @ ..] | [b'%', b'5', b'C', rest @ ..]
                    if prefix.is_empty() =>
                {
                    rest
                }
                rest => rest,
            });
        }
        PathRewrite::Regex { regex, replacement } => {
            let replaced = regex.replace(path, replacement.as_bytes());
            let mut parts = replaced.splitn(2, |byte| *byte == b'?');
            target = normalize(parts.next()?, form).ok()?.forwarded.into_owned();
            if let Some(added) = parts.next() {
                if added.iter().any(|byte| !is_of_query(*byte)) {
                    return None;
                }
                target.push(b'?');
                target.extend_from_slice(added);
                has_query = true;
            }
        }
    }
    if let Some(query) = query {
        match target.last() {
            Some(b'?' | b'&') if has_query => {}
            _ => target.push(if has_query { b'&' } else { b'?' }),
        }
        target.extend_from_slice(query);
    }
    (target.len() <= LONGEST).then_some(target)
}

/// Whether a semicolon, encoded or not, is next.
fn begins_parameters(path: &[u8]) -> bool {
    matches!(path, [b';', ..] | [b'%', b'3', b'B', ..])
}

fn is_of_query(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && byte != b'#'
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;
    use proptest::sample::select;
    use regex::bytes::Regex;

    /// Encoded slashes are kept.
    const ENCODED: PathForm = PathForm {
        slashes: false,
        encoded_slashes: true,
    };

    fn prefix(by: &str, path: &str, taken: usize) -> Option<String> {
        let path = normalize(path.as_bytes(), ENCODED).unwrap();
        rewritten(&PathRewrite::Prefix(by.into()), &path, ENCODED, taken, None)
            .map(|target| String::from_utf8(target).unwrap())
    }

    fn by_regex(regex: &str, replacement: &str, target: &str) -> Option<String> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.as_bytes())),
            None => (target, None),
        };
        let rewrite = PathRewrite::Regex {
            regex: Regex::new(regex).unwrap(),
            replacement: replacement.into(),
        };
        let path = normalize(path.as_bytes(), ENCODED).unwrap();
        rewritten(&rewrite, &path, ENCODED, 0, query)
            .map(|target| String::from_utf8(target).unwrap())
    }

    #[test]
    fn a_prefix_stands_instead_of_what_was_taken() {
        for (by, path, taken, wanted) in [
            ("/v1", "/api/x", 4, "/v1/x"),
            ("/v1", "/api", 4, "/v1"),
            ("/v1", "/api/", 4, "/v1/"),
            ("/v1", "/x", 0, "/v1/x"),
            ("/v1", "/", 0, "/v1/"),
            ("", "/api/x", 4, "/x"),
            ("", "/api", 4, "/"),
            ("", "/api/", 4, "/"),
            ("/v1", "/api;s=1/x;t", 4, "/v1;s=1/x;t"),
            ("", "/api;s=1", 4, "/;s=1"),
            ("", "/api;s=1/x;t", 4, "/x;t"),
            ("", "/api;s=1/", 4, "/"),
            ("", "/api%3bs/x", 4, "/x"),
            ("/v1", "/caf%c3%a9/x", 6, "/v1/x"),
            ("/v1", "/api/a%20b%25", 4, "/v1/a%20b%25"),
            ("/v1", "/api%2fx", 4, "/v1%2Fx"),
            ("", "/api%2fx", 4, "/x"),
            ("/new/", "/old/", 5, "/new/"),
            ("/new", "*", 0, "*"),
        ] {
            assert_eq!(
                prefix(by, path, taken).as_deref(),
                Some(wanted),
                "{by} {path}"
            );
        }
    }

    #[test]
    fn the_query_goes_along() {
        let path = normalize(b"/api/x", ENCODED).unwrap();
        let rewrite = PathRewrite::Prefix("/v1".into());
        let target = rewritten(&rewrite, &path, ENCODED, 4, Some(b"a=/api/&b"));
        assert_eq!(target.unwrap(), b"/v1/x?a=/api/&b");
    }

    #[test]
    fn a_regular_expression_replaces_its_first_match() {
        for (regex, replacement, target, wanted) in [
            (
                "^/item/([0-9]+)$",
                "/items/$1.html",
                "/item/7",
                "/items/7.html",
            ),
            ("^/item/([0-9]+)$", "/items/$1.html", "/other/7", "/other/7"),
            ("/a", "/b", "/a/a", "/b/a"),
            ("^/old", "", "/old/x", "/x"),
            ("^/old", "", "/old", "/"),
            (
                "^/item/(?<id>.*)$",
                "/i?id=${id}",
                "/item/a%20b",
                "/i?id=a%20b",
            ),
            ("^/item/(.*)$", "/i?id=$1", "/item/7?x=1", "/i?id=7&x=1"),
            ("^/item/(.*)$", "/i?", "/item/7?x=1", "/i?x=1"),
            ("$", "?y", "/item?x=1?2", "/item?y&x=1?2"),
        ] {
            assert_eq!(
                by_regex(regex, replacement, target).as_deref(),
                Some(wanted)
            );
        }
    }

    #[test]
    fn what_comes_out_is_normal_or_nothing() {
        assert_eq!(by_regex("x", "..", "/a/x/b").as_deref(), Some("/b"));
        assert_eq!(
            by_regex("^/x", "//evil.example", "/x/y").as_deref(),
            Some("/evil.example/y")
        );
        assert_eq!(by_regex("^/", "", "/x"), None);
        assert_eq!(by_regex("x", "..", "/x/b"), None);
        assert_eq!(by_regex("x", "..;", "/a/x/b"), None);
        assert_eq!(by_regex("%", "", "/a%20b").as_deref(), Some("/a20b"));
        assert_eq!(by_regex("20", "", "/a%20b"), None);
        assert_eq!(
            by_regex("^(.*)$", &"$1".repeat(9), &format!("/{}", "x".repeat(8000))),
            None
        );
    }

    proptest! {
        #[test]
        fn what_a_prefix_makes_is_as_normal_as_what_came(
            by in select(vec!["", "/v1", "/a/b%20c"]),
            segments in proptest::collection::vec(
                select(vec!["a", "b;x", "c%2fd", "%20", "e%5C", "..", "", "g%25"]), 0..6,
            ),
        ) {
            let path = format!("/p/{}", segments.join("/"));
            if let Ok(path) = normalize(path.as_bytes(), ENCODED)
                && path.compared.starts_with(b"/p/")
            {
                let rewrite = PathRewrite::Prefix(by.to_owned());
                let target = rewritten(&rewrite, &path, ENCODED, 2, None).unwrap();
                let again = normalize(&target, ENCODED).unwrap();
                prop_assert_eq!(&*again.forwarded, &target[..]);
                let decoded_prefix = by.replace("%20", " ");
                let wanted = [decoded_prefix.as_bytes(), &path.compared[2..]].concat();
                prop_assert_eq!(&*again.compared, &wanted[..]);
            }
        }
    }
}
