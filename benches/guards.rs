//! What guards add to a request: a rate limit's place, for few and for many keys, alone and by several threads, under a flood of new
//! keys; and a password that is known already.

#![allow(missing_docs)]

use std::collections::HashMap;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use equipoise::config::model::{BasicAuth, LimitKey, Rate, RateLimit};
use equipoise::headers::Fields;
use equipoise::routing::{Passwords, RateLimiter};
use http::{HeaderName, HeaderValue, header};

const THREADS: [u32; 3] = [1, 2, 4];

fn limiter(key: LimitKey) -> RateLimiter {
    RateLimiter::new(&RateLimit {
        rate: Rate {
            count: 1000,
            period: Duration::from_secs(1),
        },
        burst: 100,
        key,
    })
}

fn client(n: u32) -> IpAddr {
    IpAddr::from(n.to_be_bytes())
}

/// The time that `threads` take for `rounds` of `act` each.
fn timed(threads: u32, rounds: u64, act: impl Fn(u32) + Sync) -> Duration {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let act = &act;
            scope.spawn(move || {
                let mut n = thread;
                for _ in 0..rounds {
                    n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    act(n);
                }
            });
        }
    });
    begin.elapsed()
}

fn take(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rate_limit/take");
    let fields: Fields = [(
        HeaderName::from_static("x-api-key"),
        HeaderValue::from_static("0123456789abcdef0123456789abcdef"),
    )]
    .into_iter()
    .collect();
    let by_field = LimitKey::Header(HeaderName::from_static("x-api-key"));
    for (name, key, clients) in [
        ("route", LimitKey::Route, 1),
        ("header", by_field, 1),
        ("client, of 1000", LimitKey::Client, 1000),
        ("client, of 50000", LimitKey::Client, 50_000),
    ] {
        let limiter = limiter(key);
        for threads in THREADS {
            let id = BenchmarkId::new(name, format!("{threads} threads"));
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|rounds| {
                    timed(threads, rounds, |n| {
                        let now = Instant::now();
                        let _ = black_box(limiter.take(client(n % clients), &fields, now));
                    })
                });
            });
        }
    }
    let flooded = limiter(LimitKey::Client);
    let next = AtomicU32::new(0);
    for threads in THREADS {
        let id = BenchmarkId::new("client, each a new one", format!("{threads} threads"));
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|rounds| {
                timed(threads, rounds, |_| {
                    let client = client(next.fetch_add(1, Relaxed));
                    let _ = black_box(flooded.take(client, &fields, Instant::now()));
                })
            });
        });
    }
}

fn known_password(criterion: &mut Criterion) {
    // ann: open
    let hash = "$2y$04$aJ6P7EJF5IJ7IH9CtAqkeuKNCAsM6L6s8L9KFCgHofg4tgCcJFkMK";
    let users = HashMap::from([("ann".to_owned(), hash.to_owned())]);
    let passwords = Passwords::new(&BasicAuth {
        realm: "staff".to_owned(),
        users: Arc::new(users),
    });
    let fields: Fields = [(
        header::AUTHORIZATION,
        HeaderValue::from_static("Basic YW5uOm9wZW4="),
    )]
    .into_iter()
    .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    println!("{:?}", runtime.block_on(passwords.check(&fields)));
    criterion.bench_function("password/known", |bencher| {
        bencher.iter(|| {
            let mut check = std::pin::pin!(passwords.check(&fields));
            let polled = check.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Ready(_)), "it takes a hash");
        });
    });
}

criterion_group!(benches, take, known_password);
criterion_main!(benches);
