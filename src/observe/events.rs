//! What has happened of late, for whoever watches: a bounded backlog, and what comes next as it comes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::broadcast;

/// Events that are kept.
const KEPT: usize = 500;
/// Events that a watcher may be behind before it misses some.
const BEHIND: usize = 256;

/// What an event is about: the name of it on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// A server's state has changed.
    Server,
    /// A pool has no available server any more, or one again.
    Pool,
    /// A reload has ended.
    Reload,
    /// The certificates of a listener have changed, or could not be.
    Certificate,
    /// An operator has changed something by the API.
    Operator,
    /// The instance as a whole: drained, taken back, stopping.
    Instance,
}

impl Topic {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Pool => "pool",
            Self::Reload => "reload",
            Self::Certificate => "certificate",
            Self::Operator => "operator",
            Self::Instance => "instance",
        }
    }
}

/// Something that has happened.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its number, from 1.
    pub number: u64,
    /// When.
    pub at: SystemTime,
    /// What it is about.
    pub topic: Topic,
    /// What there is to say of it: a JSON object.
    pub data: Value,
}

/// All events of the process.
pub struct Events {
    kept: Mutex<Kept>,
    tell: broadcast::Sender<Arc<Event>>,
    /// Tells this process's events from those of another one.
    epoch: u64,
}

#[derive(Default)]
struct Kept {
    events: VecDeque<Arc<Event>>,
    last: u64,
}

/// What was kept, and what is to come: nothing is in both, and nothing between.
pub struct Subscription {
    /// In their order.
    pub backlog: Vec<Arc<Event>>,
    /// What comes next.
    pub next: broadcast::Receiver<Arc<Event>>,
}

impl Events {
    /// Of a process that starts at `now`.
    pub fn new(now: SystemTime) -> Self {
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            kept: Mutex::default(),
            tell: broadcast::Sender::new(BEHIND),
            epoch: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Which process's events these are.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Notes that something has happened.
    pub fn publish(&self, topic: Topic, data: Value) {
        let mut kept = self.kept.lock();
        kept.last += 1;
        let event = Arc::new(Event {
            number: kept.last,
            at: SystemTime::now(),
            topic,
            data,
        });
        if kept.events.len() >= KEPT {
            kept.events.pop_front();
        }
        kept.events.push_back(Arc::clone(&event));
        // With the lock held, so that who subscribes misses none. Often nobody listens.
        drop(self.tell.send(event));
    }

    /// Everything after the event of that number, and from now on.
    pub fn subscribe(&self, after: u64) -> Subscription {
        let kept = self.kept.lock();
        Subscription {
            backlog: kept
                .events
                .iter()
                .filter(|event| event.number > after)
                .cloned()
                .collect(),
            next: self.tell.subscribe(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backlog_is_bounded_and_nothing_is_told_twice() {
        let events = Events::new(UNIX_EPOCH);
        for number in 0..KEPT + 3 {
            events.publish(Topic::Reload, number.into());
        }
        let mut subscription = events.subscribe(0);
        assert_eq!(subscription.backlog.len(), KEPT);
        assert_eq!(subscription.backlog[0].number, 4);
        assert!(subscription.next.try_recv().is_err());
        events.publish(Topic::Pool, Value::Null);
        let next = subscription.next.try_recv().expect("told");
        assert_eq!((next.number, next.topic), (KEPT as u64 + 4, Topic::Pool));
        assert_eq!(events.subscribe(next.number - 1).backlog.len(), 1);
    }
}
