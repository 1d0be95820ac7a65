//! The pool as a whole: leases, gates, tiers, queue, reconciliation.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::config::model::{
    Algorithm, CheckKind, HealthCheck, InitialState, Keepalive, PoolServer, Queue, Retries,
    ServerAddress, Timeouts,
};

pub(super) fn server(name: &str, weight: u16) -> PoolServer {
    PoolServer {
        name: name.into(),
        route: name.into(),
        address: ServerAddress::Socket("127.0.0.1:1".parse().unwrap()),
        weight,
        max_connections: 0,
        backup: false,
        operator: model::Operator::Ready,
    }
}

pub(super) fn model(servers: Vec<PoolServer>) -> model::Pool {
    model::Pool {
        name: "p".into(),
        tls: None,
        http2: false,
        proxy_protocol: None,
        source: None,
        algorithm: Algorithm::WeightedRoundRobin,
        hash_key: None,
        bounded_load: None,
        discovery: None,
        servers,
        persistence: None,
        health_check: None,
        outlier_detection: None,
        slow_start: Duration::ZERO,
        queue: Queue {
            size: 0,
            timeout: Duration::from_secs(5),
        },
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            send: Duration::from_secs(60),
            receive: Duration::from_secs(60),
            idle: Duration::from_secs(60),
        },
        retries: Retries {
            attempts: 2,
            on_connect_failure: true,
            on_reset_before_response: true,
            on_502: false,
            on_503: false,
            on_504: false,
            budget_percent: 20,
            replay_buffer: 0,
        },
        keepalive: Keepalive { connections: 128 },
    }
}

fn checked(mut model: model::Pool) -> model::Pool {
    model.health_check = Some(HealthCheck {
        kind: CheckKind::Tcp,
        interval: Duration::from_secs(5),
        fast_interval: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
        rise: 2,
        fall: 3,
        initial: InitialState::Unknown,
        port: None,
    });
    model
}

fn pool(model: &model::Pool) -> Arc<Pool> {
    Pool::new(model, &Metrics::new(std::time::SystemTime::UNIX_EPOCH))
}

pub(super) fn named(pool: &Pool, name: &str) -> Arc<Server> {
    pool.servers()
        .iter()
        .find(|server| &**server.name() == name)
        .cloned()
        .unwrap()
}

fn picks(pool: &Arc<Pool>, count: usize) -> HashMap<String, usize> {
    let mut picks = HashMap::new();
    for _ in 0..count {
        let lease = pool.acquire(None, &[]).unwrap();
        *picks.entry(lease.server().name().to_string()).or_insert(0) += 1;
    }
    picks
}

#[test]
fn a_dropped_lease_is_the_release() {
    let pool = pool(&model(vec![server("a", 1)]));
    let a = named(&pool, "a");
    let lease = pool.acquire(None, &[]).unwrap();
    assert_eq!(pool.active(&a), 1);
    let bound = pool.acquire_bound(&a).unwrap();
    assert_eq!(pool.active(&a), 2);
    drop(lease);
    drop(bound);
    assert_eq!(pool.active(&a), 0);
}

#[test]
fn unknown_servers_wait_until_one_is_known_to_be_up() {
    let pool = pool(&checked(model(vec![server("a", 1), server("b", 1)])));
    assert_eq!(picks(&pool, 10).len(), 2, "none is known: all take traffic");
    pool.set_checked(&named(&pool, "a"), Checked::Up, "ok");
    assert_eq!(picks(&pool, 10), HashMap::from([("a".to_owned(), 10)]));
    pool.set_checked(&named(&pool, "b"), Checked::Up, "ok");
    assert_eq!(picks(&pool, 10).len(), 2);
}

#[test]
fn backups_step_in_and_out() {
    let mut backup = server("spare", 1);
    backup.backup = true;
    let pool = pool(&checked(model(vec![server("a", 1), backup])));
    for name in ["a", "spare"] {
        pool.set_checked(&named(&pool, name), Checked::Up, "ok");
    }
    assert_eq!(picks(&pool, 4), HashMap::from([("a".to_owned(), 4)]));
    pool.set_checked(&named(&pool, "a"), Checked::Down, "refused");
    assert_eq!(picks(&pool, 4), HashMap::from([("spare".to_owned(), 4)]));
    pool.set_checked(&named(&pool, "spare"), Checked::Down, "refused");
    assert_eq!(pool.acquire(None, &[]).unwrap_err(), Refusal::NoneAvailable);
    pool.set_checked(&named(&pool, "a"), Checked::Up, "ok");
    assert_eq!(picks(&pool, 4), HashMap::from([("a".to_owned(), 4)]));
}

#[test]
fn draining_and_weight_zero_keep_the_bound_only() {
    let pool = pool(&model(vec![server("a", 1), server("b", 0)]));
    assert_eq!(picks(&pool, 4), HashMap::from([("a".to_owned(), 4)]));
    assert!(pool.acquire_bound(&named(&pool, "b")).is_ok());
    let a = named(&pool, "a");
    pool.set_operator(&a, Operator::Drain);
    assert_eq!(pool.acquire(None, &[]).unwrap_err(), Refusal::NoneAvailable);
    assert!(pool.acquire_bound(&a).is_ok());
    pool.set_operator(&a, Operator::Maintenance);
    assert_eq!(
        pool.acquire_bound(&a).unwrap_err(),
        BoundRefusal::Unavailable
    );
}

#[test]
fn a_retry_falls_back_to_servers_that_were_not_first_choice() {
    let mut backup = server("spare", 1);
    backup.backup = true;
    let pool = pool(&model(vec![server("a", 1), backup]));
    let tried = [named(&pool, "a").slot()];
    let lease = pool.acquire(None, &tried).unwrap();
    assert_eq!(&**lease.server().name(), "spare");
    let tried = [tried[0], lease.server().slot()];
    assert_eq!(
        pool.acquire(None, &tried).unwrap_err(),
        Refusal::NoneAvailable,
        "waiting would be for servers that failed it"
    );
}

#[tokio::test]
async fn a_freed_place_goes_to_the_first_who_waits() {
    let mut only = server("a", 1);
    only.max_connections = 1;
    let mut model = model(vec![only]);
    model.queue.size = 1;
    let pool = pool(&model);
    let held = pool.acquire(None, &[]).unwrap();
    assert_eq!(pool.acquire(None, &[]).unwrap_err(), Refusal::Full);
    let waiter = {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.wait(None, None, &[]).await })
    };
    while pool.queue_length() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        pool.wait(None, None, &[]).await.unwrap_err(),
        QueueRefusal::Full,
        "one waits already"
    );
    drop(held);
    let lease = waiter.await.unwrap().unwrap();
    assert_eq!(pool.active(lease.server()), 1);
    drop(lease);
    assert_eq!(pool.active(&named(&pool, "a")), 0);
    assert_eq!(pool.queue_length(), 0);
}

#[tokio::test]
async fn a_bound_request_stops_waiting_when_its_server_goes_down() {
    let mut only = server("a", 1);
    only.max_connections = 1;
    let mut model = checked(model(vec![only, server("b", 1)]));
    model.queue.size = 4;
    let pool = pool(&model);
    let a = named(&pool, "a");
    for server in pool.servers().iter() {
        pool.set_checked(server, Checked::Up, "ok");
    }
    let held = pool.acquire_bound(&a).unwrap();
    let waiter = {
        let (pool, a) = (Arc::clone(&pool), Arc::clone(&a));
        tokio::spawn(async move { pool.wait(Some(&a), None, &[]).await })
    };
    while pool.queue_length() == 0 {
        tokio::task::yield_now().await;
    }
    pool.set_checked(&a, Checked::Down, "refused");
    assert_eq!(
        waiter.await.unwrap().unwrap_err(),
        QueueRefusal::Unavailable
    );
    assert_eq!(pool.queue_length(), 0);
    drop(held);
    assert_eq!(pool.active(&a), 0);
}

#[tokio::test]
async fn a_retry_waits_for_a_place_where_it_has_not_failed_yet() {
    let mut busy = server("busy", 1);
    busy.max_connections = 1;
    let mut model = model(vec![server("broken", 1), busy]);
    model.queue.size = 4;
    let pool = pool(&model);
    let held = pool.acquire_bound(&named(&pool, "busy")).unwrap();
    let tried = [named(&pool, "broken").slot()];
    assert_eq!(pool.acquire(None, &tried).unwrap_err(), Refusal::Full);
    let waiter = {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.wait(None, None, &tried).await })
    };
    while pool.queue_length() == 0 {
        tokio::task::yield_now().await;
    }
    drop(held);
    let lease = waiter.await.unwrap().unwrap();
    assert_eq!(&**lease.server().name(), "busy");
}

#[tokio::test]
async fn a_waiter_that_gives_up_leaves_nothing_behind() {
    let mut only = server("a", 1);
    only.max_connections = 1;
    let mut model = model(vec![only]);
    model.queue = Queue {
        size: 4,
        timeout: Duration::from_millis(20),
    };
    let pool = pool(&model);
    let held = pool.acquire(None, &[]).unwrap();
    assert_eq!(
        pool.wait(None, None, &[]).await.unwrap_err(),
        QueueRefusal::TimedOut
    );
    let cancelled = pool.wait(None, None, &[]);
    drop(cancelled);
    drop(held);
    assert_eq!(pool.queue_length(), 0);
    assert_eq!(pool.active(&named(&pool, "a")), 0);
    assert!(pool.acquire(None, &[]).is_ok());
}

#[test]
fn a_reload_keeps_what_is_unchanged() {
    let before = checked(model(vec![server("a", 1), server("b", 1)]));
    let pool = pool(&before);
    let a = named(&pool, "a");
    let lease = pool.acquire_bound(&a).unwrap();
    pool.set_checked(&a, Checked::Down, "refused");

    let mut moved = server("b", 1);
    moved.address = ServerAddress::Socket("127.0.0.1:2".parse().unwrap());
    let after = checked(model(vec![server("c", 1), moved, server("a", 5)]));
    pool.reconcile(&after);
    assert!(Arc::ptr_eq(&a, &named(&pool, "a")), "the same server");
    assert_eq!(a.weight(), 5);
    assert_eq!(pool.active(&a), 1);
    assert_eq!(a.admission(), Admission::Closed, "health is kept");
    assert_eq!(picks(&pool, 10).len(), 2, "b and c take the traffic");
    drop(lease);
    assert_eq!(pool.active(&a), 0);
}

#[test]
fn a_removed_server_with_leases_out_does_no_harm() {
    let pool = pool(&model(vec![server("a", 1), server("b", 1)]));
    let leases: Vec<_> = (0..6).map(|_| pool.acquire(None, &[]).unwrap()).collect();
    pool.reconcile(&model(vec![server("b", 1)]));
    pool.reconcile(&model(vec![server("b", 1), server("c", 1)]));
    drop(leases);
    for server in pool.servers().iter() {
        assert_eq!(pool.active(server), 0);
    }
}

#[test]
fn a_server_that_comes_back_starts_slowly() {
    let mut settings = checked(model(vec![server("a", 10), server("b", 10)]));
    settings.slow_start = Duration::from_secs(10);
    let pool = pool(&settings);
    let (a, b) = (named(&pool, "a"), named(&pool, "b"));
    pool.set_checked(&a, Checked::Up, "ok");
    pool.set_checked(&b, Checked::Up, "ok");
    assert_eq!(a.effective_percent(), 100, "the first check is no return");
    pool.set_checked(&b, Checked::Down, "refused");
    pool.set_checked(&b, Checked::Up, "ok");
    assert_eq!(b.effective_percent(), 10);
    let picked = picks(&pool, 110);
    assert_eq!((picked["a"], picked["b"]), (100, 10));
    pool.advance_slow_start(Instant::now() + Duration::from_secs(20));
    assert_eq!(b.effective_percent(), 100);
    let picked = picks(&pool, 100);
    assert_eq!((picked["a"], picked["b"]), (50, 50));
}

proptest! {
    /// Whatever happens in whatever order, when all leases are gone every count is 0.
    #[test]
    fn counts_return_to_zero(steps in prop::collection::vec((0u8..7, 0usize..4), 1..200)) {
        let mut backup = server("d", 1);
        backup.backup = true;
        let mut limited = server("c", 3);
        limited.max_connections = 2;
        let pool = pool(&checked(model(vec![server("a", 1), server("b", 2), limited, backup])));
        let servers = pool.servers();
        let mut leases = Vec::new();
        for (step, which) in steps {
            let server = &servers[which];
            match step {
                0 | 1 => leases.extend(pool.acquire(None, &[]).ok()),
                2 => leases.extend(pool.acquire_bound(server).ok()),
                3 => leases.extend(pool.acquire(None, &[server.slot()]).ok()),
                4 => { if !leases.is_empty() { leases.swap_remove(which % leases.len()); } }
                5 => pool.set_checked(server, Checked::Down, "refused"),
                _ => pool.set_checked(server, Checked::Up, "ok"),
            }
            let held = |server: &Arc<Server>| leases.iter()
                .filter(|lease| Arc::ptr_eq(lease.server(), server)).count();
            for server in servers.iter() {
                prop_assert_eq!(pool.active(server) as usize, held(server));
            }
        }
        leases.clear();
        for server in servers.iter() {
            prop_assert_eq!(pool.active(server), 0);
        }
    }
}

/// A least-connections pool that starts servers slowly.
fn slow(mut model: model::Pool) -> model::Pool {
    model.algorithm = Algorithm::WeightedLeastConnections;
    model.slow_start = Duration::from_secs(30);
    model
}

fn by_name(name: &str) -> PoolServer {
    let mut server = server(name, 1);
    server.address = ServerAddress::Name("app.example".into(), 80);
    server
}

fn endpoint() -> std::net::SocketAddr {
    "127.0.0.1:1".parse().unwrap()
}

#[test]
fn servers_that_the_start_finds_up_do_not_start_slowly() {
    let pool = pool(&slow(checked(model(vec![server("a", 1), by_name("b")]))));
    pool.set_resolved(&named(&pool, "b"), Ok(&[endpoint()]));
    pool.end_startup();
    for name in ["a", "b"] {
        pool.set_checked(&named(&pool, name), Checked::Up, "ok");
        assert_eq!(named(&pool, name).effective_percent(), 100, "{name}");
    }
}

#[test]
fn servers_that_the_start_finds_down_start_slowly_when_they_come() {
    let pool = pool(&slow(checked(model(vec![server("a", 1), server("b", 1)]))));
    pool.set_checked(&named(&pool, "a"), Checked::Up, "ok");
    pool.set_checked(&named(&pool, "b"), Checked::Down, "refused");
    pool.set_checked(&named(&pool, "b"), Checked::Up, "ok");
    assert_eq!(named(&pool, "b").effective_percent(), 10);
    let leases: Vec<_> = (0..22).map(|_| pool.acquire(None, &[]).unwrap()).collect();
    assert_eq!(pool.active(&named(&pool, "b")), 2);
    drop(leases);
}

#[test]
fn servers_whose_names_resolve_late_start_slowly() {
    let servers = vec![server("a", 1), by_name("b"), by_name("c")];
    for model in [slow(model(servers.clone())), slow(checked(model(servers)))] {
        let pool = pool(&model);
        pool.set_resolved(&named(&pool, "b"), Err("no such name".into()));
        pool.set_resolved(&named(&pool, "b"), Ok(&[endpoint()]));
        pool.end_startup();
        pool.set_resolved(&named(&pool, "c"), Ok(&[endpoint()]));
        for name in ["b", "c"] {
            pool.set_checked(&named(&pool, name), Checked::Up, "ok");
            assert_eq!(named(&pool, name).effective_percent(), 10, "{name}");
        }
    }
}

#[test]
fn an_added_server_starts_slowly_when_it_is_available_and_not_before() {
    let before = slow(checked(model(vec![server("a", 1)])));
    let pool = pool(&before);
    pool.set_checked(&named(&pool, "a"), Checked::Up, "ok");
    let mut after = before.clone();
    after.servers.push(server("b", 1));
    pool.reconcile(&after);
    // It isn't listening yet, for longer than slow start takes.
    pool.set_checked(&named(&pool, "b"), Checked::Down, "refused");
    pool.advance_slow_start(Instant::now() + Duration::from_secs(60));
    pool.set_checked(&named(&pool, "b"), Checked::Up, "ok");
    assert_eq!(named(&pool, "b").effective_percent(), 10);
    pool.advance_slow_start(Instant::now() + Duration::from_secs(60));
    assert_eq!(named(&pool, "b").effective_percent(), 100);
    // Without checks an added server is available at once.
    let mut unchecked = after.clone();
    unchecked.health_check = None;
    unchecked.servers.push(server("c", 1));
    pool.reconcile(&unchecked);
    assert_eq!(named(&pool, "c").effective_percent(), 10);
    assert_eq!(
        named(&pool, "b").effective_percent(),
        100,
        "it was up before"
    );
}

#[test]
fn a_server_that_came_back_while_it_drained_starts_slowly_when_it_is_undrained() {
    let before = slow(checked(model(vec![server("a", 1), server("b", 1)])));
    let pool = pool(&before);
    let b = named(&pool, "b");
    pool.set_checked(&b, Checked::Up, "ok");
    let mut drained = before.clone();
    drained.servers[1].weight = 0;
    pool.reconcile(&drained);
    pool.reconcile(&before);
    assert_eq!(b.effective_percent(), 100, "it was up all the time");
    pool.reconcile(&drained);
    pool.set_checked(&b, Checked::Down, "refused");
    pool.set_checked(&b, Checked::Up, "ok");
    pool.reconcile(&before);
    assert_eq!(b.effective_percent(), 10);
}

/// A wait that goes on.
type Wait = std::pin::Pin<Box<dyn Future<Output = Result<Lease, QueueRefusal>>>>;

/// What a waiter of the queue's test wants.
#[derive(Clone, Debug)]
enum Want {
    Server(usize),
    AnyBut(Vec<usize>),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, a place goes to the first who can use it, and nobody who can have one waits.
    #[test]
    fn nobody_overtakes_in_the_queue(steps in prop::collection::vec(
        prop_oneof![
            2 => (0..4_usize).prop_map(|i| Err(Want::Server(i))),
            3 => prop::collection::vec(0..4_usize, 0..5).prop_map(|tried| Err(Want::AnyBut(tried))),
            4 => any::<prop::sample::Index>().prop_map(Ok),
        ],
        1..80,
    )) {
        let mut servers = vec![server("a", 3), server("b", 1), server("c", 1), server("d", 2)];
        for (limit, server) in (1..).zip(&mut servers) {
            server.max_connections = limit;
        }
        let mut model = model(servers);
        model.queue.size = 1000;
        let pool = pool(&model);
        let all = pool.servers();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let mut waiting: Vec<(Want, Wait)> = Vec::new();
        let mut held: Vec<Lease> = Vec::new();
        let may_use = |want: &Want, server: &Server| match want {
            Want::Server(i) => all[*i].name() == server.name(),
            Want::AnyBut(tried) => tried.iter().all(|i| all[*i].name() != server.name()),
        };
        for step in steps {
            match step {
                Ok(index) if !held.is_empty() => drop(held.swap_remove(index.index(held.len()))),
                Ok(_) => {}
                Err(want) => {
                    let pool = Arc::clone(&pool);
                    let all = Arc::clone(&all);
                    let wanted = want.clone();
                    waiting.push((want, Box::pin(async move {
                        match wanted {
                            Want::Server(i) => pool.wait(Some(&all[i]), None, &[]).await,
                            Want::AnyBut(tried) => {
                                let tried: Vec<_> = tried.iter().map(|i| all[*i].slot()).collect();
                                pool.wait(None, None, &tried).await
                            }
                        }
                    })));
                }
            }
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let mut still: Vec<(Want, _)> = Vec::new();
            for (want, mut future) in waiting.drain(..) {
                match future.as_mut().poll(&mut context) {
                    std::task::Poll::Ready(lease) => {
                        let lease = lease.unwrap();
                        prop_assert!(may_use(&want, lease.server()));
                        for (older, _) in &still {
                            prop_assert!(!may_use(older, lease.server()), "{want:?} went before {older:?}");
                        }
                        held.push(lease);
                    }
                    std::task::Poll::Pending => still.push((want, future)),
                }
            }
            waiting = still;
            prop_assert_eq!(pool.queue_length(), waiting.len());
            for (want, _) in &waiting {
                for server in all.iter().filter(|server| may_use(want, server)) {
                    prop_assert_eq!(pool.active(server), server.limit(), "{:?} waits beside a free place", want);
                }
            }
        }
        drop(waiting);
        prop_assert_eq!(pool.queue_length(), 0);
        let state = pool.state.lock();
        prop_assert!(state.waiting.is_clear());
    }
}
