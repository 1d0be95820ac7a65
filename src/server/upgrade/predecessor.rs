//! The process before this one, as long as it still serves connections.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::super::instance::Instance;
use super::frame::{Kind, Wire};
use super::heir::with_name;
use super::message::Progress;
use super::transfer::absorb;
use crate::observe::metrics::Totals;
use crate::persistence::table::{Absorber, Follower};
use crate::supervise;

/// How long the old process is to keep what it could go on with.
const PROBATION: Duration = Duration::from_secs(5);
/// How long it may take to let go.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the sender looks up.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// The process that this one has taken over from.
pub struct Predecessor {
    /// Its id.
    pub pid: u32,
    wire: Arc<Wire>,
    released: (Mutex<Released>, Condvar),
    connections: Mutex<Option<usize>>,
    gone: watch::Sender<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Released {
    No,
    Asked,
    Yes,
}

impl Predecessor {
    /// Sees to it until it is gone: `absorbers` take its sessions, `follower` tells it of this process's, and `totals` is
    /// what is known of its counts.
    pub(in super::super) fn accompany(
        instance: &Arc<Instance>,
        pid: u32,
        wire: Arc<Wire>,
        follower: Follower,
        absorbers: Vec<(String, Absorber)>,
        totals: Totals,
    ) {
        let this = Arc::new(Self {
            pid,
            wire,
            released: (Mutex::new(Released::No), Condvar::new()),
            connections: Mutex::default(),
            gone: watch::Sender::new(false),
        });
        *instance.predecessor.lock() = Some(Arc::clone(&this));
        let end = follower.ender();
        let teller = Arc::clone(&this);
        let begun = supervise::thread_once("upgrade", move || teller.tell(follower));
        let hearer = {
            let (this, instance) = (Arc::clone(&this), Arc::downgrade(instance));
            supervise::thread_once("upgrade", move || {
                let mut absorbers = absorbers;
                this.hear(&instance, &mut absorbers, totals);
                end.end();
                this.gone.send_replace(true);
                let (released, told) = &this.released;
                *released.lock() = Released::Yes;
                told.notify_all();
                if let Some(instance) = instance.upgrade() {
                    *instance.predecessor.lock() = None;
                }
                tracing::info!(pid, "the process before this one has ended");
            })
        };
        if let Err(error) = begun.and(hearer) {
            tracing::error!("what the process before this one says is lost: {error}");
            this.gone.send_replace(true);
            *instance.predecessor.lock() = None;
        }
    }

    /// Connections that it still serves, once it has said so.
    pub fn connections(&self) -> Option<usize> {
        *self.connections.lock()
    }

    /// Returns when it is no more.
    pub async fn gone(&self) {
        let mut told = self.gone.subscribe();
        // The sender is in `self`, so it can't be gone.
        drop(told.wait_for(|gone| *gone).await);
    }

    /// Has it let go of the sockets that it kept to go on with if this process had died. Returns when it has. To be called
    /// before one of them is to be closed: whoever connects would be accepted by nobody.
    pub fn release(&self) {
        let (released, told) = &self.released;
        let mut released = released.lock();
        if *released == Released::No {
            *released = Released::Asked;
            if self.wire.send(Kind::Release, b"").is_err() {
                return;
            }
        }
        let deadline = Instant::now() + RELEASE_TIMEOUT;
        while *released != Released::Yes && !told.wait_until(&mut released, deadline).timed_out() {}
    }

    fn tell(&self, mut follower: Follower) {
        let probation = Instant::now() + PROBATION;
        loop {
            let told = follower.tell(
                Instant::now() + TELL_INTERVAL,
                |name, records| -> io::Result<()> {
                    match with_name(name, records) {
                        Some(body) => self.wire.send(Kind::Sessions, &body),
                        None => Ok(()),
                    }
                },
            );
            if !told.unwrap_or(false) {
                return;
            }
            if Instant::now() >= probation {
                self.release();
            }
        }
    }

    fn hear(
        &self,
        instance: &std::sync::Weak<Instance>,
        absorbers: &mut [(String, Absorber)],
        totals: Totals,
    ) {
        let mut before = totals;
        while let Ok(frame) = self.wire.receive(None) {
            match frame.kind {
                Kind::Sessions => absorb(&frame.body, absorbers),
                Kind::Progress => {
                    if let Ok(Progress { connections }) = frame.parse() {
                        *self.connections.lock() = Some(connections);
                    }
                }
                Kind::Released => {
                    let (released, told) = &self.released;
                    *released.lock() = Released::Yes;
                    told.notify_all();
                }
                Kind::Totals => {
                    if let (Ok(totals), Some(instance)) = (frame.parse(), instance.upgrade()) {
                        instance.metrics.inherit(&totals, &before);
                        before = totals;
                    }
                }
                _ => {}
            }
        }
    }
}
