//! What a session table adds to a request, and what an entry of it costs: getting a known session, binding new ones (in a full table, so that
//! each one evicts), with one thread and several; and the memory that a million entries take.

#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use equipoise::config::model::Store;
use equipoise::persistence::table::{SessionTable, TableMetrics, TableSettings, Waited};
use equipoise::persistence::{Moment, SessionKey};

const NOW: Moment = Moment(1_800_000_000);
const SIZES: [u64; 2] = [1_000, 1_000_000];
const THREADS: [u64; 3] = [1, 2, 4];

fn key(n: u64) -> SessionKey {
    // As digests: spread over all bits.
    let spread = u128::from(n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    SessionKey::from_bytes(spread.to_le_bytes())
}

fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

fn full(size: u64) -> Arc<SessionTable> {
    let settings = TableSettings {
        size: usize::try_from(size).unwrap_or(usize::MAX),
        idle: Duration::from_secs(3600),
        max_lifetime: None,
        store: &Store::Memory,
    };
    let table = SessionTable::new(&settings, "pool", TableMetrics::default());
    let server: Arc<str> = "tomcat1".into();
    for n in 0..size {
        poll_once(table.bind(key(n), &server, NOW, &mut Waited::default()));
    }
    table
}

/// The time that `threads` take for `rounds` of `act` each, which gets numbers that are spread.
fn timed(threads: u64, rounds: u64, act: impl Fn(u64) + Sync) -> Duration {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let act = &act;
            scope.spawn(move || {
                for round in 0..rounds {
                    act((round * threads + thread).wrapping_mul(7919));
                }
            });
        }
    });
    begin.elapsed()
}

fn get(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session_table/get");
    for size in SIZES {
        let table = full(size);
        for threads in THREADS {
            let id = BenchmarkId::new(format!("{size} entries"), format!("{threads} threads"));
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|rounds| {
                    timed(threads, rounds, |n| {
                        let waited = &mut Waited::default();
                        black_box(poll_once(table.get(key(n % size), NOW, waited)));
                    })
                });
            });
        }
    }
}

fn bind(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session_table/bind");
    let server: Arc<str> = "tomcat2".into();
    for size in SIZES {
        let table = full(size);
        let next = AtomicU64::new(size);
        for threads in THREADS {
            let id = BenchmarkId::new(format!("{size} entries"), format!("{threads} threads"));
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|rounds| {
                    timed(threads, rounds, |_| {
                        let key = key(next.fetch_add(1, Relaxed));
                        let waited = &mut Waited::default();
                        black_box(poll_once(table.bind(key, &server, NOW, waited)));
                    })
                });
            });
        }
    }
}

/// Bytes of this process that are in memory.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<u64>()
        .ok()
        .map(|kibibytes| kibibytes * 1024)
}

fn memory(_: &mut Criterion) {
    let before = resident();
    let table = full(1_000_000);
    if let (Some(before), Some(after)) = (before, resident()) {
        let entries = u64::try_from(table.len()).unwrap_or(1).max(1);
        let bytes = after.saturating_sub(before);
        println!(
            "session_table/memory: {entries} entries, {} bytes each",
            bytes / entries
        );
    }
}

criterion_group!(benches, memory, get, bind);
criterion_main!(benches);
