use super::*;

use proptest::prelude::*;
use proptest::sample::select;

/// Slashes are merged and encoded ones refused.
const STRICT: PathForm = PathForm {
    slashes: false,
    encoded_slashes: false,
};

/// Encoded slashes are kept.
const ENCODED: PathForm = PathForm {
    slashes: false,
    encoded_slashes: true,
};

/// Repeated slashes are kept.
const SLASHES: PathForm = PathForm {
    slashes: true,
    encoded_slashes: false,
};

fn a_form() -> impl Strategy<Value = PathForm> {
    select(vec![STRICT, ENCODED, SLASHES, PathForm::ALL])
}

fn normal(path: &str, form: PathForm) -> Result<(String, String), &'static str> {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    normalize(path.as_bytes(), form).map(|path| (text(&path.forwarded), text(&path.compared)))
}

/// What is forwarded and compared where encoded slashes are refused.
fn is(path: &str, forwarded: &str, compared: &str) {
    assert_eq!(
        normal(path, STRICT),
        Ok((forwarded.into(), compared.into())),
        "{path}"
    );
}

#[test]
fn the_usual_path_is_normal_and_not_copied() {
    for path in [
        "/",
        "/index.html",
        "/a/b/",
        "/.well-known/x",
        "/a/..b/...",
        "/~me/x:y@z,(1)!$&'*+=",
        "/a|b^c`{d}\"<e>",
        "*",
    ] {
        let normal = normalize(path.as_bytes(), STRICT).unwrap();
        assert!(matches!(normal.forwarded, Cow::Borrowed(_)), "{path}");
        assert!(matches!(normal.compared, Cow::Borrowed(_)), "{path}");
        assert_eq!(&*normal.compared, path.as_bytes());
    }
    let normal = normalize(b"/a;b=c/d%20e", STRICT).unwrap();
    assert!(matches!(normal.forwarded, Cow::Borrowed(_)));
}

#[test]
fn dot_segments_and_double_slashes_are_resolved() {
    is("", "/", "/");
    is("/.", "/", "/");
    is("/a/.", "/a/", "/a/");
    is("/a/./b", "/a/b", "/a/b");
    is("/a/..", "/", "/");
    is("/a/b/..", "/a/", "/a/");
    is("/a/b/../c", "/a/c", "/a/c");
    is("/a/../b/../c", "/c", "/c");
    is("//a///b//", "/a/b/", "/a/b/");
    is("/a//../b", "/b", "/b");
    is("/a/b/../../c", "/c", "/c");
    is("///", "/", "/");
}

#[test]
fn escapes_are_written_in_one_way() {
    is("/%61%2d%2E%5f%7E", "/a-._~", "/a-._~");
    is("/%c3%a9", "/%C3%A9", "/\\xc3\\xa9");
    is("/a%20b", "/a%20b", "/a b");
    is("/100%25", "/100%25", "/100%");
    is("/a%3Fb%23c", "/a%3Fb%23c", "/a?b#c");
    is("/a%2Bb+c", "/a%2Bb+c", "/a+b+c");
}

#[test]
fn parameters_stay_but_are_not_compared() {
    is("/a;jsessionid=1.t1/b;x", "/a;jsessionid=1.t1/b;x", "/a/b");
    is("/a/;jsessionid=1", "/a/;jsessionid=1", "/a/");
    is("/;x", "/;x", "/");
    is("/a;/../b", "/b", "/b");
    // A server that decodes first sees a parameter here.
    is("/a%3bx/b", "/a%3Bx/b", "/a/b");
}

/// Ways around a protected path, from Orange Tsai's "Breaking Parser Logic" (Black Hat 2018) and the CVEs around it.
#[test]
fn what_servers_understand_differently_is_resolved_or_refused() {
    is("/public/%2e%2e/admin", "/admin", "/admin");
    is("/public/.%2E/admin", "/admin", "/admin");
    is("/%2e/admin", "/admin", "/admin");
    is("/%61dmin", "/admin", "/admin");
    is("//admin", "/admin", "/admin");
    is("/public/..//admin/./", "/admin/", "/admin/");
    // Decoded once, and no more.
    is("/%252e%252e/admin", "/%252e%252e/admin", "/%2e%2e/admin");
    is("/%2561dmin", "/%2561dmin", "/%61dmin");
    // Overlong and full-width forms of dots and slashes are bytes like any.
    is(
        "/x/%c0%ae%c0%ae%c0%afadmin",
        "/x/%C0%AE%C0%AE%C0%AFadmin",
        "/x/\\xc0\\xae\\xc0\\xae\\xc0\\xafadmin",
    );
    is(
        "/%ef%bc%8fadmin",
        "/%EF%BC%8Fadmin",
        "/\\xef\\xbc\\x8fadmin",
    );
    for (path, why) in [
        ("/..", "above the root"),
        ("/a/../../b", "above the root"),
        ("/%2e%2e/a", "above the root"),
        ("/public/..;/admin", ". or .. with parameters"),
        ("/public/..;x=1/admin", ". or .. with parameters"),
        ("/public/%2e%2E;/admin", ". or .. with parameters"),
        ("/public/..%3b/admin", ". or .. with parameters"),
        ("/.;/admin", ". or .. with parameters"),
        ("/public/..;", ". or .. with parameters"),
        ("/;/admin", "nothing but parameters"),
        ("/a/;x/../admin", "nothing but parameters"),
        ("/%3b/admin", "nothing but parameters"),
        ("/public\\..\\admin", "a backslash"),
        ("/public%5c..%5cadmin", "encoded slash or backslash"),
        ("/public%2F..%2fadmin", "encoded slash or backslash"),
        ("/a;x%2fy", "encoded slash or backslash"),
        ("/public%00/../admin", "encoded control character"),
        ("/admin%0a", "encoded control character"),
        ("/admin%7F", "encoded control character"),
        ("/admin%", "two hexadecimal digits"),
        ("/admin%2", "two hexadecimal digits"),
        ("/%u002e", "two hexadecimal digits"),
        ("/%2g", "two hexadecimal digits"),
        ("/%+1", "two hexadecimal digits"),
        ("/public#/../admin", "# or ?"),
        ("/a b", "a blank"),
        ("/a\u{7f}", "a control character"),
        ("admin", "begin with a slash"),
        ("**", "begin with a slash"),
    ] {
        let refused = normal(path, STRICT);
        assert!(
            refused.as_ref().is_err_and(|found| found.contains(why)),
            "{path}: {refused:?}"
        );
    }
}

#[test]
fn kept_encoded_slashes_are_compared_as_slashes() {
    let is = |path, forwarded: &str, compared: &str| {
        assert_eq!(
            normal(path, ENCODED),
            Ok((forwarded.into(), compared.into()))
        );
    };
    is("/a%2fb", "/a%2Fb", "/a/b");
    is("/a%5Cb%2F", "/a%5Cb%2F", "/a/b/");
    is("/a%2Fb/../c", "/c", "/c");
    is("/a%2Fb;x/c", "/a%2Fb;x/c", "/a/b/c");
    is("/a%2F;x", "/a%2F;x", "/a/");
    for (path, why) in [
        ("/%2Fa", "empty segment"),
        ("/a%2F%2Fb", "empty segment"),
        ("/a%2F/b", "empty segment"),
        ("/a%2F%5C", "empty segment"),
        ("/a%2F;x/b", "empty segment"),
        ("/a%2F..%2Fb", ". or .."),
        ("/a%2F%2e", ". or .."),
        ("/..%2Fb", ". or .."),
        ("/a/..%5Cb", ". or .."),
        ("/a%2F..;x", ". or .."),
        ("/a;x%2Fb", "in a parameter"),
        ("/a%3Bx%5Cb", "in a parameter"),
    ] {
        let refused = normal(path, ENCODED);
        assert!(
            refused.as_ref().is_err_and(|found| found.contains(why)),
            "{path}: {refused:?}"
        );
    }
}

#[test]
fn kept_slashes_are_compared_as_one() {
    let is = |path, form, forwarded: &str, compared: &str| {
        assert_eq!(
            normal(path, form),
            Ok((forwarded.into(), compared.into())),
            "{path}"
        );
    };
    for form in [SLASHES, PathForm::ALL] {
        is("//admin", form, "//admin", "/admin");
        is(
            "/300x200/http://a.example//b",
            form,
            "/300x200/http://a.example//b",
            "/300x200/http:/a.example/b",
        );
        is("/a//", form, "/a//", "/a/");
        is("/a/.//b/../c", form, "/a//c", "/a/c");
        is("/a//b/./../%61", form, "/a//a", "/a/a");
        is("//a;x//b", form, "//a;x//b", "/a/b");
    }
    is("/a%2F%2fb", PathForm::ALL, "/a%2F%2Fb", "/a/b");
    is("/%2Fa/%2F/b", PathForm::ALL, "/%2Fa/%2F/b", "/a/b");
    is("/a%2F%5C", PathForm::ALL, "/a%2F%5C", "/a/");
    for (path, why) in [
        ("/x//../admin", "from between two slashes"),
        ("//..", "from between two slashes"),
        ("/a//.././b", "from between two slashes"),
        ("/..//b", "above the root"),
        ("/a%2F%2F..%2Fb", ". or .."),
        ("/a//..;/b", ". or .. with parameters"),
        ("//;x/b", "nothing but parameters"),
        ("/a;x%2F%2Fb", "in a parameter"),
        ("/a\\\\b", "a backslash"),
    ] {
        let refused = normal(path, PathForm::ALL);
        assert!(
            refused.as_ref().is_err_and(|found| found.contains(why)),
            "{path}: {refused:?}"
        );
    }
    assert!(normal("/a%2F%2Fb", SLASHES).is_err());
}

#[test]
fn what_a_route_took_is_found_in_what_is_forwarded() {
    for (path, taken, rest) in [
        ("/api/x", 4, "/x"),
        ("/api", 4, ""),
        ("/api;v=1/x", 4, ";v=1/x"),
        ("/a;v=1/b;w/x", 4, ";w/x"),
        ("/caf%C3%A9/x", 6, "/x"),
        ("/a%2Fb/x", 4, "/x"),
        ("/a%2Fb%2Fx", 4, "%2Fx"),
        ("/a%3Bv/b/x", 4, "/x"),
        ("//api///x", 4, "///x"),
        ("//dir///x", 5, "x"),
        ("/a%2F/b/x", 4, "/x"),
        ("/x", 0, "/x"),
        ("/x", 9, ""),
    ] {
        assert_eq!(
            &path[forwarded_length(path.as_bytes(), taken)..],
            rest,
            "{path}"
        );
    }
}

fn a_path() -> impl Strategy<Value = String> {
    let parts = vec![
        "/", "/", ".", "..", ";", "a", "b", "=", "%2e", "%2E", "%2f", "%5C", "%3b", "%25", "2e",
        "%61", "%c0%af", "%20", "é", "\\", "%", "#", "%00",
    ];
    let parts = proptest::collection::vec(select(parts), 0..12);
    parts.prop_map(|parts| format!("/{}", parts.concat()))
}

/// The usual ingredients only, so that most paths have a normal form.
fn a_tame_path() -> impl Strategy<Value = String> {
    let segments = vec![
        "a", "b;x", "c%2fd", ".", "..", "%2e", "", "e%5C", "f%3b", "%20", "g%25", ";y", "%C3",
        "h%2F;",
    ];
    let segments = proptest::collection::vec(select(segments), 0..8);
    segments.prop_map(|segments| format!("/{}", segments.join("/")))
}

/// What a lenient server does with a path, in some order.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Decode,
    Cut,
    Merge,
    Resolve,
}

fn step(step: Step, path: &[u8]) -> Vec<u8> {
    let segments = || path.split(|byte| *byte == b'/').skip(1);
    let joined = |segments: Vec<&[u8]>| {
        let mut path = Vec::new();
        for segment in segments {
            path.push(b'/');
            path.extend(segment);
        }
        path
    };
    match step {
        Step::Decode => {
            let mut out = Vec::new();
            let mut at = 0;
            while at < path.len() {
                let byte = if path[at] == b'%' {
                    let digits = std::str::from_utf8(&path[at + 1..at + 3]).unwrap();
                    at += 2;
                    u8::from_str_radix(digits, 16).unwrap()
                } else {
                    path[at]
                };
                out.push(if byte == b'\\' { b'/' } else { byte });
                at += 1;
            }
            out
        }
        Step::Cut => joined(
            segments()
                .map(|segment| segment.split(|byte| *byte == b';').next().unwrap())
                .collect(),
        ),
        Step::Merge => {
            let mut merged = path.to_vec();
            merged.dedup_by(|a, b| *a == b'/' && *b == b'/');
            merged
        }
        Step::Resolve => {
            let mut kept: Vec<&[u8]> = Vec::new();
            let count = segments().count();
            for (index, segment) in segments().enumerate() {
                match segment {
                    b"." | b".." => {
                        if segment == b".." {
                            kept.pop();
                        }
                        if index + 1 == count {
                            kept.push(b"");
                        }
                    }
                    _ => kept.push(segment),
                }
            }
            joined(kept)
        }
    }
}

fn orders() -> Vec<[Step; 4]> {
    let all = [Step::Decode, Step::Cut, Step::Merge, Step::Resolve];
    let mut orders = Vec::new();
    for a in all {
        for b in all {
            for c in all {
                for d in all {
                    if all.iter().all(|step| [a, b, c, d].contains(step)) {
                        orders.push([a, b, c, d]);
                    }
                }
            }
        }
    }
    orders
}

#[test]
fn a_lenient_server_does_its_steps_in_any_order() {
    use Step::{Cut, Decode, Merge, Resolve};
    assert_eq!(orders().len(), 24);
    let served = |order: [Step; 4], path: &str| {
        let path = order
            .into_iter()
            .fold(path.as_bytes().to_vec(), |path, at| step(at, &path));
        String::from_utf8(path).unwrap()
    };
    let path = "/a/..%2f;/b//c";
    assert_eq!(served([Decode, Cut, Merge, Resolve], path), "/b/c");
    assert_eq!(served([Merge, Resolve, Cut, Decode], path), "/a/..//b/c");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_server_takes_what_is_forwarded_for_what_is_compared(
        path in prop_oneof![a_path(), a_tame_path()],
        form in a_form(),
    ) {
        if let Ok(normal) = normalize(path.as_bytes(), form) {
            for order in orders() {
                let served = order
                    .into_iter()
                    .fold(normal.forwarded.to_vec(), |path, at| step(at, &path));
                // An encoded semicolon begins a parameter to those alone that decode first.
                let served = step(Step::Cut, &served);
                // What is kept on purpose is compared as what a server makes of it that merges slashes last.
                let served = if form.slashes { step(Step::Merge, &served) } else { served };
                prop_assert_eq!(
                    served.escape_ascii().to_string(),
                    normal.compared.escape_ascii().to_string(),
                    "{:?}", order
                );
            }
        }
    }

    /// So a route can be found before it is known what it keeps.
    #[test]
    fn what_is_kept_makes_no_difference_to_what_is_compared(
        path in prop_oneof![a_path(), a_tame_path()],
        (one, other) in (a_form(), a_form()),
    ) {
        let compared = |form| normalize(path.as_bytes(), form).map(|normal| normal.compared);
        if let (Ok(one), Ok(other)) = (compared(one), compared(other)) {
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn the_normal_form_of_the_normal_form_is_itself(
        path in prop_oneof![a_path(), a_tame_path()],
        form in a_form(),
    ) {
        if let Ok(normal) = normalize(path.as_bytes(), form) {
            let again = normalize(&normal.forwarded, form);
            prop_assert_eq!(again, Ok(NormalPath {
                forwarded: Cow::Borrowed(&normal.forwarded),
                compared: Cow::Borrowed(&normal.compared),
            }));
        }
    }

    #[test]
    fn no_compared_path_has_dot_segments_or_double_slashes(
        path in prop_oneof![a_path(), a_tame_path()],
        form in a_form(),
    ) {
        if let Ok(normal) = normalize(path.as_bytes(), form) {
            let mut segments = normal.compared.split(|byte| *byte == b'/');
            prop_assert_eq!(segments.next(), Some(&b""[..]));
            let segments: Vec<_> = segments.collect();
            let (_, inner) = segments.split_last().unwrap();
            prop_assert!(inner.iter().all(|segment| !segment.is_empty()));
            prop_assert!(segments.iter().all(|segment| !matches!(*segment, b"." | b"..")));
        }
    }

    #[test]
    fn all_of_a_path_taken_is_all_but_its_last_parameters(path in a_tame_path()) {
        if let Ok(normal) = normalize(path.as_bytes(), ENCODED) {
            let end = forwarded_length(&normal.forwarded, normal.compared.len());
            let rest = &normal.forwarded[end..];
            prop_assert!(rest.is_empty() || rest.starts_with(b";") || rest.starts_with(b"%3B"));
        }
    }

    #[test]
    fn nothing_panics_whatever_the_bytes(path in any::<Vec<u8>>(), form in a_form()) {
        let _ = normalize(&path, form);
        let _ = normalize(&[b"/", &path[..]].concat(), form);
    }
}
