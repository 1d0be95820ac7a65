use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Condvar;

use super::*;

/// A resolver that a test holds back by name, and that counts.
#[derive(Default)]
struct Resolver {
    held: Mutex<bool>,
    released: Condvar,
    running: AtomicUsize,
    most: AtomicUsize,
    asked: AtomicUsize,
}

impl Resolver {
    fn names(self: &Arc<Self>) -> Arc<Names> {
        let this = Arc::clone(self);
        Names::new(Arc::new(move |host| Ok(this.look_up(host))))
    }

    fn look_up(&self, host: &str) -> Vec<SocketAddr> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        if host.starts_with("silent") {
            let mut held = self.held.lock();
            self.released.wait_while(&mut held, |held| *held);
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        vec![SocketAddr::from(([127, 0, 0, 1], 0))]
    }

    fn hold(&self, held: bool) {
        *self.held.lock() = held;
        self.released.notify_all();
    }
}

fn host(text: &str) -> Arc<str> {
    text.into()
}

#[tokio::test]
async fn servers_of_one_name_share_its_look_ups() {
    let resolver = Arc::new(Resolver::default());
    let names = resolver.names();
    let mut followers: Vec<_> = (0..100).map(|_| names.follow(&host("app"))).collect();
    for follower in &mut followers {
        assert_eq!(follower.next().await.unwrap().len(), 1);
    }
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);
    // One who comes late is told what is known.
    assert!(names.follow(&host("app")).next().await.is_ok());
    assert_eq!(resolver.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn look_ups_that_hang_are_few_and_keep_nobody_who_answers_from_his_place() {
    let resolver = Arc::new(Resolver::default());
    resolver.hold(true);
    let names = resolver.names();
    // As many as fit where the slow ones go.
    let silent: Vec<_> = (0..LOOKUPS)
        .map(|n| names.follow(&host(&format!("silent{n}"))))
        .collect();
    let mut well: Vec<_> = (0..100)
        .map(|n| names.follow(&host(&format!("well{n}"))))
        .collect();
    for well in &mut well {
        assert!(well.next().await.is_ok());
    }
    assert!(resolver.most.load(Ordering::SeqCst) <= 2 * LOOKUPS);
    resolver.hold(false);
    for mut silent in silent {
        assert!(silent.next().await.is_ok());
    }
}

#[tokio::test]
async fn more_that_hang_wait_for_each_other() {
    let resolver = Arc::new(Resolver::default());
    resolver.hold(true);
    let names = resolver.names();
    let silent: Vec<_> = (0..10 * LOOKUPS)
        .map(|n| names.follow(&host(&format!("silent{n}"))))
        .collect();
    while resolver.running.load(Ordering::SeqCst) < 2 * LOOKUPS {
        tokio::task::yield_now().await;
    }
    resolver.hold(false);
    for mut silent in silent {
        assert!(silent.next().await.is_ok());
    }
    assert_eq!(resolver.most.load(Ordering::SeqCst), 2 * LOOKUPS);
}

#[tokio::test]
async fn a_name_that_nobody_follows_is_forgotten() {
    let resolver = Arc::new(Resolver::default());
    let names = resolver.names();
    let mut follower = names.follow(&host("app"));
    follower.next().await.unwrap();
    follower.look_again();
    drop(follower);
    while !names.known.lock().is_empty() {
        tokio::task::yield_now().await;
    }
}
