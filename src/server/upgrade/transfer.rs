//! The old process's side: hands over what it has, and serves its connections to their ends, or takes everything back.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::frame::{Frame, Kind, MOST_DESCRIPTORS, Wire};
use super::handover::Stage;
use super::heir::{split_name, with_name};
use super::message::{Hello, Offer, Progress, Reason, Serving};
use super::offers::{Kept, Offers};
use crate::observe::VERSION;
use crate::persistence::table::{Absorber, Follower};
use crate::server::instance::Instance;
use crate::supervise;

/// How long the new process may take to read its files.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(180);
/// How long it may take from there to when it serves.
const SERVE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is told how far the drain is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// Why nothing is changed while another process is about to take over.
const UNDER_WAY: &str = "an upgrade is under way: try again in a moment";

impl Instance {
    /// Hands over, and sees to the rest. Returns when this process has nothing more to say, or has taken everything back.
    ///
    /// # Errors
    ///
    /// Why nothing was handed over.
    pub(super) fn transfer(
        self: &Arc<Self>,
        wire: &Arc<Wire>,
        hello: &Hello,
    ) -> Result<(), String> {
        let offers = self.offer(wire)?;
        expect(wire, PREPARE_TIMEOUT, Kind::Prepared)?;
        // What is under way comes to its end, and nothing more is changed.
        self.reloads.hold(UNDER_WAY);
        drop(self.files.lock());
        let (follower, mut absorbers) = self.tell_all(wire)?;
        let serving: Serving = expect(wire, SERVE_TIMEOUT, Kind::Serving)?
            .parse()
            .map_err(|error| error.to_string())?;

        // From here on the other one serves.
        let mut kept = Some(self.give_up(offers, &serving.kept));
        *self.handover.farewell.lock() = Some(follower.ender());
        self.step_back(hello.pid);
        if wire.send(Kind::Taken, b"").is_ok() {
            self.converse(wire, follower, &mut absorbers, &mut kept);
        }
        let is_over = self.handover.is_over.load(Ordering::Acquire) || self.drain.has_begun();
        if let Some(kept) = kept
            && !is_over
        {
            self.take_back(hello.pid, kept);
        }
        let (ended, told) = &self.handover.ended;
        *ended.lock() = true;
        told.notify_all();
        Ok(())
    }

    /// Offers what can be gone on with, with its descriptors.
    fn offer(&self, wire: &Wire) -> Result<Offers, String> {
        let offers = self.offers().map_err(|error| error.to_string())?;
        let described = offers.descriptors.iter().map(|(what, _)| what.clone());
        let offer = Offer {
            version: VERSION.to_owned(),
            pid: std::process::id(),
            descriptors: described.collect(),
        };
        wire.say(Kind::Offer, &offer)
            .map_err(|error| lost(&error))?;
        for some in offers.descriptors.chunks(MOST_DESCRIPTORS) {
            let some: Vec<_> = some
                .iter()
                .map(|(_, descriptor)| descriptor.as_fd())
                .collect();
            wire.hand(&some).map_err(|error| lost(&error))?;
        }
        Ok(offers)
    }

    /// Tells all that this process knows. Returns what follows the sessions that it will yet learn of, and what takes in
    /// those that the other process does.
    fn tell_all(&self, wire: &Wire) -> Result<(Follower, Vec<(String, Absorber)>), String> {
        let pools = self.state.lock().pools.clone();
        let tables = pools.iter().filter_map(|running| {
            let table = running.table.as_ref()?;
            Some((running.pool.name(), table))
        });
        let absorbers = tables
            .clone()
            .map(|(name, table)| (name.to_string(), Absorber::new(table)));
        let absorbers = absorbers.collect();
        let mut follower = Follower::new(tables.map(|(name, table)| (name, &**table)));
        wire.say(Kind::State, &self.known_state())
            .map_err(|error| lost(&error))?;
        let send = |name: &Arc<str>, records: &[u8]| match with_name(name, records) {
            Some(body) => wire.send(Kind::Sessions, &body),
            None => Ok(()),
        };
        follower.dump(send).map_err(|error| lost(&error))?;
        wire.send(Kind::Complete, b"")
            .map_err(|error| lost(&error))?;
        Ok((follower, absorbers))
    }

    /// Leaves to the process that serves now what only one of the two may do, and says who that is.
    fn step_back(&self, pid: u32) {
        let pools = self.state.lock().pools.clone();
        for table in pools.iter().filter_map(|running| running.table.as_ref()) {
            table.end_keeping();
        }
        self.handover.stage.send_replace(Stage::Taken(pid));
        let launcher = self.handover.launcher.lock().take();
        if let Some(launcher) = launcher {
            launcher.dismiss();
        }
        if let Some(notifier) = self.handover.notifier.get() {
            notifier.main_is(pid);
        }
        tracing::info!(
            pid,
            "upgraded: the new process serves, finishing what is in flight here"
        );
    }

    /// Speaks with the process that serves, until one of the two is no more. What is kept goes when that one wants it.
    fn converse(
        self: &Arc<Self>,
        wire: &Arc<Wire>,
        mut follower: Follower,
        absorbers: &mut [(String, Absorber)],
        kept: &mut Option<Kept>,
    ) {
        let (instance, sender) = (Arc::clone(self), Arc::clone(wire));
        let mut tell = move || -> io::Result<()> {
            loop {
                let more = follower.tell(Instant::now() + PROGRESS_INTERVAL, |name, records| {
                    with_name(name, records)
                        .map_or(Ok(()), |body| sender.send(Kind::Sessions, &body))
                })?;
                if !more {
                    sender.say(Kind::Totals, &instance.metrics.totals())?;
                    return sender.stream().shutdown(std::net::Shutdown::Both);
                }
                let connections = instance.connections.len();
                sender.say(Kind::Progress, &Progress { connections })?;
            }
        };
        // An error means that nobody listens, which the other direction shows, too.
        let teller = supervise::thread_once("upgrade", move || drop(tell()));
        if let Err(error) = &teller {
            tracing::error!("sessions can't be told to the new process: {error}");
        }
        while let Ok(frame) = wire.receive(None) {
            match frame.kind {
                Kind::Sessions => absorb(&frame.body, absorbers),
                Kind::Release => {
                    *kept = None;
                    drop(wire.send(Kind::Released, b""));
                }
                _ => {}
            }
        }
        if let Some(end) = self.handover.farewell.lock().take() {
            end.end();
        }
        if let Ok(teller) = teller {
            // What it panicked with has been told.
            drop(teller.join());
        }
    }
}

/// Waits for the other process's next word, which is to be that one.
fn expect(wire: &Wire, timeout: Duration, wanted: Kind) -> Result<Frame, String> {
    let frame = wire.receive(Some(timeout)).map_err(|error| lost(&error))?;
    match frame.kind {
        Kind::Failed => {
            let reason = frame.parse::<Reason>().map(|said| said.reason);
            Err(reason.unwrap_or_default())
        }
        kind if kind == wanted => Ok(frame),
        _ => Err("it says what can't be understood".to_owned()),
    }
}

/// Why the other process can't be spoken with, in words.
fn lost(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
            "it ended before it could serve".to_owned()
        }
        io::ErrorKind::TimedOut => "it wasn't ready in time".to_owned(),
        _ => error.to_string(),
    }
}

/// Takes over sessions that the other process knows.
pub fn absorb(body: &[u8], absorbers: &mut [(String, Absorber)]) {
    let Some((name, records)) = split_name(body) else {
        return;
    };
    let found = absorbers.iter_mut().find(|(pool, _)| *pool == name);
    if let Some((_, absorber)) = found
        && let Err(error) = absorber.apply(&records)
    {
        tracing::error!(
            pool = name,
            "sessions of the other process are lost: {error}"
        );
    }
}
