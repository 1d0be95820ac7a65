//! Tokens: nothing panics, and whatever binds a session stops to when any byte of it changes.

use std::sync::LazyLock;

use super::super::pools::{NOW, Pools, headers, view};
use equipoise::persistence::{Affinity, Found, Lookup};
use http::header::COOKIE;

static POOLS: LazyLock<Pools> = LazyLock::new(Pools::new);

/// One input.
pub fn run(data: &[u8]) {
    let Some((choice, token)) = data.split_first() else {
        return;
    };
    for (pool, end) in [
        (&POOLS.insert, &b""[..]),
        (&POOLS.rewrite, b""),
        (&POOLS.prefix, b"~v"),
    ] {
        if !binds(pool, &[token, end].concat()) {
            continue;
        }
        let token: &[u8] = match token.iter().position(|&byte| b";~\n".contains(&byte)) {
            Some(end) => &token[..end],
            None => token,
        };
        for (at, byte) in token.iter().enumerate() {
            let to = b'!' + choice % 94;
            if *byte != to && byte.is_ascii_alphanumeric() && !b"\";~".contains(&to) {
                let mut altered = token.to_vec();
                altered[at] = to;
                assert!(!binds(pool, &[&altered, end].concat()), "byte {at}");
            }
        }
    }
}

fn binds(pool: &Affinity<&'static str>, token: &[u8]) -> bool {
    let line = [b"ID=", token].concat();
    headers(&COOKIE, &line).is_some_and(|request| {
        matches!(
            pool.lookup(&view(&request), NOW),
            Found::Said(Lookup::Bound(..))
        )
    })
}
