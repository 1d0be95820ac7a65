//! What a pick costs, with the release that belongs to it: by number of servers, by weights, with
//! threads that share the selector, and next to a walk over all servers as nginx does it.

#![allow(missing_docs, clippy::indexing_slicing)]

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use equipoise::balance::{Params, Sample, Selector, Slot, digest};
use equipoise::config::model::Algorithm::{self, WeightedLeastConnections, WeightedRoundRobin};
use parking_lot::Mutex;

const SIZES: [u32; 5] = [2, 10, 100, 1000, 10_000];

const ALGORITHMS: [(&str, Algorithm); 2] = [
    ("round_robin", WeightedRoundRobin),
    ("least_connections", WeightedLeastConnections),
];

/// The weight of the n-th server.
type Weights = fn(u32) -> u32;

const WEIGHTS: [(&str, Weights); 2] = [
    ("4_weights", |n| [6, 3, 2, 1][n as usize % 4]),
    ("1000_weights", |n| 1 + n * 7919 % 1000),
];

fn selector(algorithm: Algorithm, servers: u32, weights: Weights) -> Selector {
    let mut selector = Selector::new(algorithm, 1);
    for position in 0..servers {
        let slot = selector.insert(Params {
            weight: weights(position),
            limit: 0,
            position,
            identity: digest(&position.to_be_bytes()),
        });
        selector.set_eligible(slot, true);
    }
    selector
}

/// A selector with so many requests active that it is in its stride.
fn busy(algorithm: Algorithm, servers: u32, weights: Weights) -> (Selector, VecDeque<Slot>) {
    let mut selector = selector(algorithm, servers, weights);
    let active = (0..3 * servers)
        .filter_map(|_| selector.pick(None, &[]).ok())
        .collect();
    (selector, active)
}

/// Ends one of the active requests, not the oldest each time.
fn end_one(active: &mut VecDeque<Slot>, random: &mut u32) -> Option<Slot> {
    *random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    active.swap_remove_back(*random as usize % active.len())
}

fn by_size(c: &mut Criterion) {
    for (name, algorithm) in ALGORITHMS {
        for (mix, weights) in WEIGHTS {
            let mut group = c.benchmark_group(format!("{name}/{mix}"));
            for servers in SIZES {
                group.bench_function(BenchmarkId::new("busy", servers), |b| {
                    let (mut selector, mut active) = busy(algorithm, servers, weights);
                    let mut random = 1;
                    b.iter(|| {
                        if let Some(slot) = end_one(&mut active, &mut random) {
                            selector.release(slot);
                        }
                        if let Ok(slot) = selector.pick(None, black_box(&[])) {
                            active.push_back(slot);
                        }
                    });
                });
                if algorithm == WeightedLeastConnections {
                    group.bench_function(BenchmarkId::new("idle", servers), |b| {
                        let mut selector = selector(algorithm, servers, weights);
                        b.iter(|| {
                            if let Ok(slot) = selector.pick(None, black_box(&[])) {
                                selector.release(slot);
                            }
                        });
                    });
                }
            }
        }
    }
}

/// Picks that take no turns: by a key, with and without a bound, and by two draws.
fn others(c: &mut Criterion) {
    let mut group = c.benchmark_group("others");
    for (name, algorithm, bound) in [
        ("hash", Algorithm::Hash, None),
        ("hash_bounded", Algorithm::Hash, Some(1.25)),
        ("random_two", Algorithm::RandomTwo, None),
        ("peak_ewma", Algorithm::PeakEwma, None),
    ] {
        for servers in SIZES {
            group.bench_function(BenchmarkId::new(name, servers), |b| {
                let (mut selector, mut active) = busy(algorithm, servers, WEIGHTS[0].1);
                selector.set_bounded_load(bound);
                let sample = Sample {
                    took: Duration::from_millis(5),
                    failed: false,
                };
                for slot in &active {
                    selector.observe(*slot, sample, Duration::from_secs(1));
                }
                let mut random = 1;
                b.iter(|| {
                    if let Some(slot) = end_one(&mut active, &mut random) {
                        selector.release(slot);
                    }
                    let key = u64::from(random).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    if let Ok(slot) = selector.pick(black_box(Some(key)), &[]) {
                        active.push_back(slot);
                    }
                });
            });
        }
    }
}

/// The same pick by a walk over all servers, to see what the tree costs and gains.
fn walk(c: &mut Criterion) {
    let mut group = c.benchmark_group("walk_over_all");
    for servers in SIZES {
        let mut peers: Vec<(i64, i64)> = (0..servers)
            .map(|n| (i64::from((WEIGHTS[0].1)(n)), 0))
            .collect();
        group.bench_function(BenchmarkId::new("round_robin", servers), |b| {
            b.iter(|| {
                let (mut best, mut most, mut total) = (0, i64::MIN, 0);
                for (n, (weight, current)) in black_box(&mut peers).iter_mut().enumerate() {
                    *current += *weight;
                    total += *weight;
                    if *current > most {
                        (best, most) = (n, *current);
                    }
                }
                peers[best].1 -= total;
                best
            });
        });
        let mut peers: Vec<(u64, u64, i64)> = (0..servers)
            .map(|n| (u64::from((WEIGHTS[0].1)(n)), 0, 0))
            .collect();
        let mut active = VecDeque::new();
        let mut random = 1_u32;
        group.bench_function(BenchmarkId::new("least_connections", servers), |b| {
            b.iter(|| {
                if active.len() > 3 * servers as usize {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if let Some(n) = active.swap_remove_back(random as usize % active.len()) {
                        let peer: &mut (u64, u64, i64) = &mut peers[n];
                        peer.1 -= 1;
                    }
                }
                let (mut best, mut many) = (0, false);
                for n in 1..peers.len() {
                    let (a, b) = (peers[n].1 * peers[best].0, peers[best].1 * peers[n].0);
                    if a < b {
                        (best, many) = (n, false);
                    } else if a == b {
                        many = true;
                    }
                }
                if many {
                    let (weight, count, _) = peers[best];
                    let (mut most, mut total) = (i64::MIN, 0);
                    for (n, peer) in peers.iter_mut().enumerate().skip(best) {
                        if peer.1 * weight == count * peer.0 {
                            peer.2 += peer.0.cast_signed();
                            total += peer.0.cast_signed();
                            if peer.2 > most {
                                (best, most) = (n, peer.2);
                            }
                        }
                    }
                    peers[best].2 -= total;
                }
                peers[best].1 += 1;
                active.push_back(best);
            });
        });
    }
}

/// Time for one pick and release on each of several threads that share a selector.
fn shared(c: &mut Criterion) {
    for (name, algorithm) in ALGORITHMS {
        let mut group = c.benchmark_group(format!("{name}/shared"));
        for (servers, threads) in [10, 1000]
            .into_iter()
            .flat_map(|n| [(n, 1), (n, 2), (n, 4)])
        {
            let id = BenchmarkId::new(format!("{servers}_servers"), format!("{threads}_threads"));
            group.bench_function(id, |b| {
                let selector = Mutex::new(selector(algorithm, servers, WEIGHTS[0].1));
                b.iter_custom(|iterations| in_parallel(&selector, threads, iterations));
            });
        }
    }
}

/// How long it takes until `threads` threads together have picked and released `iterations` times.
fn in_parallel(selector: &Mutex<Selector>, threads: u64, iterations: u64) -> Duration {
    let start = Barrier::new(usize::try_from(threads).unwrap_or(1) + 1);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..iterations / threads {
                        // Two locks, as for a request that goes on in between.
                        let picked = selector.lock().pick(None, black_box(&[]));
                        if let Ok(slot) = picked {
                            selector.lock().release(slot);
                        }
                    }
                })
            })
            .collect();
        start.wait();
        let began = Instant::now();
        for thread in running {
            // A thread that panicked makes the scope panic.
            drop(thread.join());
        }
        began.elapsed()
    })
}

fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
}

criterion_group! { name = benches; config = quick(); targets = by_size, others, walk, shared }
criterion_main!(benches);
