//! `Cookie` lines: nothing panics, other cookies stay byte for byte, no server gets a token.

use std::sync::LazyLock;

use super::super::pools::{NOW, Pools, headers, lines, name_and_value, view};
use equipoise::headers::Fields;
use http::header::COOKIE;

static POOLS: LazyLock<Pools> = LazyLock::new(Pools::new);

/// One input.
pub fn run(data: &[u8]) {
    let Some(request) = headers(&COOKIE, data) else {
        return;
    };
    for pool in POOLS.all() {
        let _ = pool.lookup(&view(&request), NOW);
    }
    for pool in [&POOLS.rewrite, &POOLS.route, &POOLS.learn] {
        assert_eq!(prepared(pool, &request), request);
    }

    let stripped = prepared(&POOLS.insert, &request);
    let is_other = |pair: &&[u8]| name_and_value(pair).0 != b"ID" && !is_blank(pair);
    let others = |map| -> Vec<Vec<u8>> {
        let pairs = pairs(map);
        let pairs = pairs.iter().map(Vec::as_slice).filter(is_other);
        pairs.map(|pair| pair.trim_ascii_start().to_vec()).collect()
    };
    assert_eq!(others(&stripped), others(&request));
    assert!(
        pairs(&stripped)
            .iter()
            .all(|pair| name_and_value(pair).0 != b"ID")
    );

    for pool in [&POOLS.prefix, &POOLS.prefix_by_name] {
        let restored = prepared(pool, &request);
        let (before, after) = (pairs(&request), pairs(&restored));
        assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            if before == after {
                continue;
            }
            // What is gone begins the value and ends in its first `~`.
            let (name, value) = name_and_value(before);
            assert_eq!(name, b"ID");
            let tilde = value
                .iter()
                .position(|&byte| byte == b'~')
                .expect("a prefix");
            let quote: &[u8] = if value.starts_with(b"\"") { b"\"" } else { b"" };
            let rest = [quote, &value[tilde + 1..]].concat();
            assert_eq!(
                name_and_value(after).1,
                name_and_value(&[b"=", &rest[..]].concat()).1
            );
        }
    }
}

fn prepared(pool: &equipoise::persistence::Affinity<&'static str>, request: &Fields) -> Fields {
    let mut prepared = request.clone();
    pool.prepare_request(&mut prepared);
    prepared
}

fn pairs(map: &Fields) -> Vec<Vec<u8>> {
    let lines = lines(map, &COOKIE);
    let pairs = lines
        .iter()
        .flat_map(|line| line.split(|&byte| byte == b';'));
    pairs.map(<[u8]>::to_vec).collect()
}

fn is_blank(pair: &[u8]) -> bool {
    pair.iter().all(|byte| b" \t".contains(byte))
}
