//! What session persistence adds to a request: finding the cookie, checking its token, cutting it out;
//! and to the responses that set it: making the token and its line.

#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use equipoise::config::model::{self, OnUnavailable, SameSite, Secure, Token};
use equipoise::persistence::{CookieInsert, Keyring, UnixTime};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

const NOW: UnixTime = UnixTime(1_800_000_000);

/// A pool of ten servers whose secret is the last of `secrets`.
fn insert(token: Token, secrets: usize) -> Option<CookieInsert<Arc<str>>> {
    let settings = model::CookieInsert {
        cookie: "SERVERID".into(),
        timeout: Some(Duration::from_secs(3600)),
        max_lifetime: None,
        token,
        secret_file: None,
        domain: None,
        path: "/".to_owned(),
        secure: Secure::Auto,
        http_only: true,
        same_site: SameSite::Lax,
        on_unavailable: OnUnavailable::Rebalance,
    };
    let lines: Vec<_> = (1..=secrets)
        .rev()
        .map(|n| format!("a secret for benchmarks, number {n}"))
        .collect();
    let keys = Keyring::parse(lines.join("\n").as_bytes()).ok()?;
    let servers = (0..10).map(|n| {
        let name: Arc<str> = format!("tomcat{n}").into();
        (name.clone(), name)
    });
    Some(CookieInsert::new(&settings, &keys, "tomcats", servers))
}

/// A request that carries `cookies` of other applications and then `ours`.
fn request(cookies: usize, ours: &str) -> HeaderMap {
    let mut line = String::new();
    for n in 0..cookies {
        line += "_analytics";
        line += &n.to_string();
        line += "=GA1.2.1234567890.1800000000; ";
    }
    line += ours;
    let mut request = HeaderMap::new();
    if let Ok(line) = HeaderValue::from_str(&line) {
        request.insert(COOKIE, line);
    }
    request
}

/// The cookie that a client would send back.
fn cookie(insert: &CookieInsert<Arc<str>>) -> String {
    let set = insert.cookie_for("tomcat7", NOW, NOW, true);
    let pair = set.to_str().ok().and_then(|line| line.split(';').next());
    pair.unwrap_or_default().to_owned()
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    let (Some(signed), Some(rotated), Some(named)) = (
        insert(Token::Signed, 1),
        insert(Token::Signed, 8),
        insert(Token::Name, 1),
    ) else {
        return;
    };
    let ours = cookie(&signed);
    let mut forged = ours.clone();
    forged.replace_range(forged.len() - 1.., "A");
    let cases = [
        ("no_cookie", &signed, HeaderMap::new()),
        ("signed", &signed, request(0, &ours)),
        ("signed_after_20_others", &signed, request(20, &ours)),
        ("signed_by_oldest_of_8", &rotated, request(0, &ours)),
        ("forged", &signed, request(0, &forged)),
        ("name", &named, request(0, "SERVERID=tomcat7")),
    ];
    for (name, insert, request) in &cases {
        group.bench_function(*name, |bencher| {
            bencher.iter(|| insert.read(black_box(request), NOW));
        });
    }
    let hostile = request(0, &format!("{forged}; ").repeat(1000));
    group.bench_function("1000_forged_in_one_request", |bencher| {
        bencher.iter(|| signed.read(black_box(&hostile), NOW));
    });
    group.finish();
}

fn write(criterion: &mut Criterion) {
    let Some(signed) = insert(Token::Signed, 1) else {
        return;
    };
    criterion.bench_function("cookie_for", |bencher| {
        bencher.iter(|| signed.cookie_for(black_box("tomcat7"), NOW, NOW, true));
    });
    for (name, others) in [("strip/alone", 0), ("strip/after_20_others", 20)] {
        let request = request(others, &cookie(&signed));
        criterion.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || request.clone(),
                |request| signed.strip_request(request),
                criterion::BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, read, write);
criterion_main!(benches);
