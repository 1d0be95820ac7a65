//! Paths: the normal form is one, no server can make another path of it than routes compared, and rewriting keeps it so.

use equipoise::config::model::{PathForm, PathRewrite};
use equipoise::routing::{normalize, rewritten};

/// One input.
pub fn run(data: &[u8]) {
    for (slashes, encoded_slashes) in [(false, false), (false, true), (true, false), (true, true)] {
        let form = PathForm {
            slashes,
            encoded_slashes,
        };
        let Ok(normal) = normalize(data, form) else {
            continue;
        };
        let again = normalize(&normal.forwarded, form).expect("it is normal");
        assert_eq!(again, normal);
        if &*normal.forwarded == b"*" {
            continue;
        }
        check(&normal.compared);
        // A server that decodes first, and one that cuts parameters off first.
        let mut decoded_first = cut(&decoded(&normal.forwarded));
        let mut cut_first = cut(&decoded(&cut(&normal.forwarded)));
        if slashes {
            // One that merges slashes last sees what routes compared.
            decoded_first.dedup_by(|a, b| *a == b'/' && *b == b'/');
            cut_first.dedup_by(|a, b| *a == b'/' && *b == b'/');
        }
        assert_eq!(decoded_first, *normal.compared);
        assert_eq!(cut_first, *normal.compared);
        for (prefix, taken) in [("/v1", 0), ("", 0), ("/v1", normal.compared.len())] {
            let rewrite = PathRewrite::Prefix(prefix.to_owned());
            let target = rewritten(&rewrite, &normal, form, taken, None);
            let Some(target) = target else {
                assert!(normal.forwarded.len() > 60_000);
                continue;
            };
            let again = normalize(&target, form).expect("a target in normal form");
            assert_eq!(*again.forwarded, target);
            let mut wanted = [prefix.as_bytes(), &normal.compared[taken..]].concat();
            if wanted.is_empty() {
                wanted.push(b'/');
            }
            assert_eq!(*again.compared, wanted);
        }
    }
}

fn check(compared: &[u8]) {
    let mut segments = compared.split(|byte| *byte == b'/');
    assert_eq!(segments.next(), Some(&b""[..]));
    let segments: Vec<_> = segments.collect();
    for (index, segment) in segments.iter().enumerate() {
        assert!(!matches!(*segment, b"." | b".."));
        assert!(!segment.is_empty() || index + 1 == segments.len());
    }
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(byte) = path.get(at) {
        let byte = if *byte == b'%' {
            let digits = std::str::from_utf8(&path[at + 1..at + 3]).expect("digits");
            at += 2;
            u8::from_str_radix(digits, 16).expect("digits")
        } else {
            *byte
        };
        out.push(if byte == b'\\' { b'/' } else { byte });
        at += 1;
    }
    out
}

fn cut(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/');
    let cut: Vec<&[u8]> = segments
        .map(|segment| {
            segment
                .split(|byte| *byte == b';')
                .next()
                .unwrap_or_default()
        })
        .collect();
    cut.join(&b'/')
}
