//! What a release costs while requests wait that have failed on servers already, each on others: on a server that none of them
//! can use, and on one that the first of them gets.

#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic
)]

use std::fmt::Write as _;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use equipoise::balance::Slot;
use equipoise::config::parse_str;
use equipoise::observe::Metrics;
use equipoise::pool::{Lease, Pool, QueueRefusal};

const SERVERS: usize = 16;
const WAITING: [usize; 4] = [1, 100, 1000, 10_000];

type Wait = Pin<Box<dyn Future<Output = Result<Lease, QueueRefusal>>>>;

/// Servers with one place each, and all places taken.
fn full() -> (Arc<Pool>, Vec<Lease>) {
    let mut text = "listeners: {web: {bind: \"127.0.0.1:0\", pool: app}}\npools:\n  app:\n    \
                    health_check: null\n    queue: {size: 1000000, timeout: 1h}\n    servers:\n"
        .to_owned();
    for n in 0..SERVERS {
        writeln!(
            text,
            "    - {{name: s{n}, address: \"127.0.0.1:{}\", max_connections: 1}}",
            8000 + n
        )
        .unwrap();
    }
    let config = parse_str("bench.yaml", &text, &|_| None).unwrap();
    let pool = Pool::new(&config.pools[0], &Metrics::new(SystemTime::UNIX_EPOCH));
    let servers = pool.servers();
    let leases = servers
        .iter()
        .map(|server| pool.acquire_bound(server).unwrap())
        .collect();
    (pool, leases)
}

/// One more who waits, and has failed on the first server and on up to five others.
fn join(pool: &Arc<Pool>, number: usize) -> Wait {
    let servers = pool.servers();
    let mut tried: Vec<Slot> = vec![servers[0].slot()];
    let mut rest = number;
    for _ in 0..4 {
        tried.push(servers[2 + rest % (SERVERS - 2)].slot());
        rest /= SERVERS - 2;
    }
    let pool = Arc::clone(pool);
    let mut wait: Wait = Box::pin(async move { pool.wait(None, None, &tried).await });
    assert!(
        wait.as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    wait
}

fn releases(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let mut group = c.benchmark_group("release");
    for waiting in WAITING {
        let (pool, mut leases) = full();
        let mut waits: std::collections::VecDeque<Wait> =
            (0..waiting).map(|number| join(&pool, number)).collect();
        let servers = pool.servers();
        group.bench_function(BenchmarkId::new("for_nobody", waiting), |b| {
            b.iter(|| {
                drop(leases.swap_remove(0));
                leases.push(black_box(pool.acquire_bound(&servers[0]).unwrap()));
                let last = leases.len() - 1;
                leases.swap(0, last);
            });
        });
        let mut number = waiting;
        group.bench_function(BenchmarkId::new("for_the_first", waiting), |b| {
            b.iter_custom(|times| {
                let mut took = Duration::ZERO;
                for _ in 0..times {
                    let lease = leases.remove(1);
                    let begun = Instant::now();
                    drop(lease);
                    took += begun.elapsed();
                    let mut first = waits.pop_front().unwrap();
                    let Poll::Ready(lease) =
                        first.as_mut().poll(&mut Context::from_waker(Waker::noop()))
                    else {
                        panic!("it waits on");
                    };
                    leases.insert(1, lease.unwrap());
                    waits.push_back(join(&pool, number));
                    number += 1;
                }
                took
            });
        });
    }
    group.finish();
}

criterion_group!(benches, releases);
criterion_main!(benches);
