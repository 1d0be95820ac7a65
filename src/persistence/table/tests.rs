//! The table in memory against a model that is too simple to be wrong, and under threads.

use std::collections::HashSet;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;

const MEMORY: model::Store = model::Store::Memory;

fn settings(size: usize, idle: u64, max_lifetime: Option<u64>) -> TableSettings<'static> {
    TableSettings {
        size,
        idle: Duration::from_secs(idle),
        max_lifetime: max_lifetime.map(Duration::from_secs),
        store: &MEMORY,
    }
}

fn table(size: usize, idle: u64) -> (Arc<SessionTable>, TableMetrics) {
    let metrics = TableMetrics::default();
    let table = SessionTable::new(&settings(size, idle, None), "pool", metrics.clone());
    (table, metrics)
}

fn key(n: u64) -> SessionKey {
    // As digests: spread over all bits.
    let spread = u128::from(n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    SessionKey::from_bytes(spread.to_le_bytes())
}

/// What is in memory never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("a table in memory waits"),
    }
}

fn at(seconds: u64) -> Moment {
    Moment(seconds.try_into().unwrap())
}

fn get(table: &SessionTable, key: SessionKey, now: u64) -> Answer {
    at_once(table.get(key, at(now), &mut Waited::default()))
}

fn bind(table: &SessionTable, key: SessionKey, server: &str, now: u64) -> Binding {
    at_once(table.bind(key, &server.into(), at(now), &mut Waited::default()))
}

fn rebind(table: &SessionTable, key: SessionKey, from: &str, to: &str, now: u64) -> Binding {
    let waited = &mut Waited::default();
    at_once(table.rebind(key, from, &to.into(), at(now), waited))
}

fn binding(server: &str, started: u64) -> Binding {
    Binding {
        server: server.into(),
        started: at(started),
    }
}

#[test]
fn a_binding_stays_until_it_is_idle_for_longer_than_the_timeout() {
    let (table, metrics) = table(4, 60);
    assert_eq!(get(&table, key(1), 100), Answer::Unknown);
    assert_eq!(bind(&table, key(1), "a", 100), binding("a", 100));
    assert_eq!(bind(&table, key(1), "b", 101), binding("a", 100));
    assert_eq!(get(&table, key(1), 161), Answer::Known(binding("a", 100)));
    assert_eq!(get(&table, key(1), 222), Answer::Expired);
    assert_eq!(get(&table, key(1), 222), Answer::Unknown);
    assert_eq!(bind(&table, key(1), "b", 223), binding("b", 223));
    assert_eq!(metrics.entries.get(), 1);
}

#[test]
fn a_session_ends_after_its_lifetime_however_active() {
    let (table, _) = table(4, 60);
    table.reconfigure(&settings(4, 60, Some(100)));
    bind(&table, key(1), "a", 0);
    for now in [50, 100] {
        assert_eq!(get(&table, key(1), now), Answer::Known(binding("a", 0)));
    }
    assert_eq!(get(&table, key(1), 101), Answer::Expired);
}

#[test]
fn rebinding_is_a_comparison_and_a_change_in_one() {
    let (table, _) = table(4, 60);
    bind(&table, key(1), "a", 0);
    assert_eq!(rebind(&table, key(1), "a", "b", 5), binding("b", 5));
    assert_eq!(rebind(&table, key(1), "a", "c", 6), binding("b", 5));
    assert_eq!(rebind(&table, key(2), "a", "c", 6), binding("c", 6));
}

#[test]
fn the_last_put_counts_and_the_same_server_again_goes_on() {
    let (table, _) = table(4, 60);
    for (server, now, then) in [
        ("a", 0, binding("a", 0)),
        ("a", 5, binding("a", 0)),
        ("b", 6, binding("b", 6)),
    ] {
        table.put(key(1), &server.into(), at(now));
        assert_eq!(get(&table, key(1), now), Answer::Known(then));
    }
    table.forget(key(1));
    assert_eq!(get(&table, key(1), 7), Answer::Unknown);
}

#[test]
fn the_gauge_goes_with_the_table() {
    let (table, metrics) = table(10, 60);
    for n in 0..20 {
        bind(&table, key(n), "a", 0);
    }
    assert_eq!((metrics.entries.get(), metrics.evictions.get()), (10, 10));
    drop(table);
    assert_eq!(metrics.entries.get(), 0);
}

/// One thing that is done to a table.
#[derive(Debug, Clone)]
enum Step {
    Get(u64),
    Bind(u64, u8),
    Rebind(u64, u8, u8),
    Put(u64, u8),
    Forget(u64),
    Wait(u64),
    Expire(usize),
    Reconfigure(usize, u64, Option<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..12_u64;
    let server = || 0..3_u8;
    prop_oneof![
        4 => key().prop_map(Step::Get),
        4 => (key(), server()).prop_map(|(k, s)| Step::Bind(k, s)),
        2 => (key(), server(), server()).prop_map(|(k, f, t)| Step::Rebind(k, f, t)),
        2 => (key(), server()).prop_map(|(k, s)| Step::Put(k, s)),
        1 => key().prop_map(Step::Forget),
        3 => (0..15_u64).prop_map(Step::Wait),
        2 => (0..5_usize).prop_map(Step::Expire),
        1 => (1..9_usize, 1..30_u64, proptest::option::of(1..60_u64))
            .prop_map(|(size, idle, max)| Step::Reconfigure(size, idle, max)),
    ]
}

/// All entries, the least recently used first.
struct Model {
    entries: Vec<(u64, Binding, u64)>,
    size: usize,
    idle: u64,
    max_lifetime: Option<u64>,
    evictions: u64,
}

impl Model {
    fn idle(&self, used: u64, now: u64) -> bool {
        now - used > self.idle
    }

    fn take(&mut self, key: u64) -> Option<(Binding, u64)> {
        let at = self.entries.iter().position(|(k, ..)| *k == key)?;
        let (_, binding, used) = self.entries.remove(at);
        Some((binding, used))
    }

    fn take_live(&mut self, key: u64, now: u64) -> Option<Binding> {
        let (binding, used) = self.take(key)?;
        let old = self
            .max_lifetime
            .is_some_and(|max| now - u64::from(binding.started.0) > max);
        (!old && !self.idle(used, now)).then_some(binding)
    }

    fn drop_oldest(&mut self, now: u64) {
        let (.., used) = self.entries.remove(0);
        self.evictions += u64::from(!self.idle(used, now));
    }

    fn get(&mut self, key: u64, now: u64) -> Answer {
        let was = self.entries.iter().any(|(k, ..)| *k == key);
        match self.take_live(key, now) {
            Some(binding) => {
                self.entries.push((key, binding.clone(), now));
                Answer::Known(binding)
            }
            None if was => Answer::Expired,
            None => Answer::Unknown,
        }
    }

    fn set(&mut self, key: u64, server: u8, now: u64, keep: impl Fn(&Binding) -> bool) -> Binding {
        if let Some(found) = self.take_live(key, now)
            && keep(&found)
        {
            self.entries.push((key, found.clone(), now));
            return found;
        }
        for _ in 0..2 {
            if self.entries.len() >= self.size {
                self.drop_oldest(now);
            }
        }
        let new = binding(&server.to_string(), now);
        self.entries.push((key, new.clone(), now));
        new
    }

    fn expire(&mut self, now: u64, budget: usize) {
        for _ in 0..budget {
            match self.entries.first() {
                Some((.., used)) if self.idle(*used, now) || self.entries.len() > self.size => {
                    self.drop_oldest(now);
                }
                _ => return,
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn behaves_as_the_model(size in 1..9_usize, steps in prop::collection::vec(step(), 1..120)) {
        let (table, metrics) = table(size, 20);
        let mut model = Model { entries: Vec::new(), size, idle: 20, max_lifetime: None, evictions: 0 };
        let mut now = 1000;
        for step in steps {
            match step.clone() {
                Step::Get(k) => prop_assert_eq!(get(&table, key(k), now), model.get(k, now)),
                Step::Bind(k, s) => prop_assert_eq!(
                    bind(&table, key(k), &s.to_string(), now),
                    model.set(k, s, now, |_| true)
                ),
                Step::Rebind(k, from, to) => prop_assert_eq!(
                    rebind(&table, key(k), &from.to_string(), &to.to_string(), now),
                    model.set(k, to, now, |found| *found.server != *from.to_string())
                ),
                Step::Put(k, s) => {
                    table.put(key(k), &s.to_string().into(), at(now));
                    model.set(k, s, now, |found| *found.server == *s.to_string());
                }
                Step::Forget(k) => {
                    table.forget(key(k));
                    model.take(k);
                }
                Step::Wait(seconds) => now += seconds,
                Step::Expire(budget) => {
                    table.expire(at(now), budget);
                    model.expire(now, budget);
                }
                Step::Reconfigure(size, idle, max) => {
                    table.reconfigure(&settings(size, idle, max));
                    (model.size, model.idle, model.max_lifetime) = (size, idle, max);
                }
            }
            prop_assert_eq!(table.len(), model.entries.len(), "after {:?}", step);
            prop_assert_eq!(metrics.entries.get(), i64::try_from(table.len()).unwrap());
            prop_assert_eq!(metrics.evictions.get(), model.evictions);
        }
    }
}

#[test]
fn of_threads_that_bind_one_session_one_wins_and_all_follow() {
    const THREADS: usize = 4;
    const SESSIONS: u64 = 2000;
    let (table, _) = table(100_000, 60);
    let barrier = Barrier::new(THREADS);
    let results: Vec<Vec<Binding>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (table, barrier) = (&table, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let name = thread.to_string();
                    (0..SESSIONS)
                        .map(|n| bind(table, key(n), &name, 100))
                        .collect()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(table.len(), 2000);
}

#[test]
fn a_binding_is_never_made_twice_while_the_shards_change() {
    // Between one shard and many; sizes that hold everything, so that nothing has to go.
    const SESSIONS: u64 = 6000;
    let (table, metrics) = table(7000, 60);
    let barrier = Barrier::new(3);
    std::thread::scope(|scope| {
        let binders: Vec<_> = ["x", "y"]
            .into_iter()
            .map(|name| {
                let (table, barrier) = (&table, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    (0..SESSIONS)
                        .map(|n| bind(table, key(n), name, 100))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        barrier.wait();
        let mut size = 200_000;
        while binders.iter().any(|binder| !binder.is_finished()) {
            table.reconfigure(&settings(size, 60, None));
            for _ in 0..20 {
                table.expire(Moment(100), 100);
            }
            size = if size == 200_000 { 100_000 } else { 200_000 };
        }
        let bound: Vec<_> = binders
            .into_iter()
            .map(|binder| binder.join().unwrap())
            .collect();
        assert!(bound[0] == bound[1], "a session was bound twice");
    });
    assert_eq!((table.len(), metrics.evictions.get()), (6000, 0));
}

#[test]
fn a_large_table_shrinks_and_grows_by_and_by_and_keeps_the_most_recently_used() {
    let (table, metrics) = table(1_000_000, 60);
    for n in 0..20_000 {
        bind(&table, key(n), "a", 0);
    }
    table.reconfigure(&settings(1000, 60, None));
    for _ in 0..400 {
        table.expire(Moment(0), 100);
    }
    assert_eq!((table.len(), metrics.entries.get()), (1000, 1000));
    assert_eq!(metrics.evictions.get(), 19_000);
    let kept = |n: u64| matches!(get(&table, key(n), 1), Answer::Known(_));
    let recent = (19_000..20_000).filter(|&n| kept(n)).count();
    // All were used within the same second, so among the parts of the table it is a matter of luck; a blind
    // choice would keep 50.
    assert!(recent > 500, "{recent} of the thousand that were used last");
    table.reconfigure(&settings(1_000_000, 60, None));
    for n in 20_000..40_000 {
        bind(&table, key(n), "a", 1);
        table.expire(Moment(1), 1);
    }
    assert_eq!(table.len(), 21_000);
}

#[test]
fn a_million_sessions_are_bounded_and_expire() {
    const SIZE: u32 = 1_000_000;
    let (table, metrics) = table(SIZE as usize, 60);
    for n in 0..1_100_000 {
        bind(&table, key(n), "a", 0);
        assert!(table.len() <= SIZE as usize);
    }
    // Shards fill unevenly, but not by much.
    assert!(table.len() > 990_000);
    let bytes = table.local.memory() / table.len();
    assert!((40..=56).contains(&bytes), "{bytes} bytes an entry");
    assert_eq!(table.len() as u64 + metrics.evictions.get(), 1_100_000);
    let evictions = metrics.evictions.get();
    table.expire(Moment(61), 1000);
    assert_eq!(table.len() as u64 + evictions + 1000, 1_100_000);
    while !table.is_empty() {
        table.expire(Moment(61), 10_000);
    }
    assert_eq!(
        (metrics.entries.get(), metrics.evictions.get()),
        (0, evictions)
    );
}

#[test]
fn keys_spread_over_the_shards() {
    let distinct: HashSet<_> = (0..1000).map(key).collect();
    assert_eq!(distinct.len(), 1000);
    let (table, metrics) = table(262_144, 60);
    for n in 0..200_000 {
        bind(&table, key(n), "a", 0);
    }
    assert_eq!(metrics.evictions.get(), 0);
}
