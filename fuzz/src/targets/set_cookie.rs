//! `Set-Cookie` lines: nothing panics, other cookies and all attributes stay byte for byte, and what a server
//! set comes back to it.

use std::sync::LazyLock;

use super::super::pools::{NOW, Pools, answered, headers, lines, name_and_value, view};
use equipoise::headers::Fields;
use equipoise::persistence::{Affinity, Found, Lookup};
use http::header::{COOKIE, SET_COOKIE};

static POOLS: LazyLock<Pools> = LazyLock::new(Pools::new);

/// One input.
pub fn run(data: &[u8]) {
    let Some(response) = headers(&SET_COOKIE, data) else {
        return;
    };
    let before = lines(&response, &SET_COOKIE);

    let inserted = finished(&POOLS.insert, &response);
    let others: Vec<_> = before
        .iter()
        .copied()
        .filter(|line| !is_ours(line))
        .collect();
    let (own, kept) = split_last(&inserted);
    assert_eq!(kept, others);
    assert!(is_ours(own));

    let routed = finished(&POOLS.route, &response);
    let (own, kept) = split_last(&routed);
    assert_eq!(kept, before);
    assert!(own.starts_with(b"ROUTEID=.b;"));

    assert_eq!(finished(&POOLS.learn, &response), response);

    for pool in [&POOLS.rewrite, &POOLS.prefix, &POOLS.prefix_by_name] {
        let finished = finished(pool, &response);
        let after = lines(&finished, &SET_COOKIE);
        assert_eq!(after.len(), before.len());
        for (before, after) in before.iter().zip(after) {
            if *before == after {
                continue;
            }
            assert!(is_ours(before));
            assert_eq!(attributes(before), attributes(after));
            let request = sent_back(after);
            assert_eq!(
                pool.lookup(&view(&request), NOW),
                Found::Said(Lookup::Bound(
                    equipoise::persistence::Bound {
                        server: "b",
                        session_started: NOW,
                        renew: false,
                    },
                    Vec::new()
                ))
            );
        }
    }
    for pool in [&POOLS.prefix, &POOLS.prefix_by_name] {
        let finished = finished(pool, &response);
        for (before, after) in before.iter().zip(lines(&finished, &SET_COOKIE)) {
            if *before == after {
                continue;
            }
            let mut request = sent_back(after);
            pool.prepare_request(&mut request);
            assert_eq!(request, sent_back(before));
        }
    }
}

fn finished(pool: &Affinity<&'static str>, response: &Fields) -> Fields {
    let mut finished = response.clone();
    pool.finish_response(&mut finished, &answered("b", &Fields::new()));
    finished.remove("cache-control");
    finished
}

fn split_last(map: &Fields) -> (&[u8], Vec<&[u8]>) {
    let mut lines = lines(map, &SET_COOKIE);
    let last = lines.pop().expect("a line");
    (last, lines)
}

fn pair(line: &[u8]) -> &[u8] {
    line.split(|&byte| byte == b';').next().unwrap_or_default()
}

fn attributes(line: &[u8]) -> &[u8] {
    &line[pair(line).len()..]
}

fn is_ours(line: &[u8]) -> bool {
    name_and_value(pair(line)).0 == b"ID"
}

/// What a browser sends back of `line`.
fn sent_back(line: &[u8]) -> Fields {
    let (name, value) = name_and_value(pair(line));
    headers(&COOKIE, &[name, b"=", value].concat()).expect("parts of a line make a line")
}
