//! The old process's side: hands over what it has, serves its connections to their ends, or takes everything back.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::instance::Instance;
use super::super::listening::Bound;
use super::super::notify::Notifier;
use super::frame::{Kind, MOST_DESCRIPTORS, Wire};
use super::heir::{split_name, with_name};
use super::launcher::Launcher;
use super::message::{Hello, Offer, Offered, PROTOCOL, Progress, Reason, Serving};
use super::spawn::Program;
use crate::config::model::{AdminBind, UPGRADE_SOCKET};
use crate::observe::VERSION;
use crate::persistence::table::{Absorber, Follower, FollowerEnd};
use crate::supervise::{self, Task};
use crate::unix_socket::{self, SocketFile};

/// How long a process that has connected may take to say who it is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to read its files.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(180);
/// How long it may take from there to when it serves.
const SERVE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is told how far the drain is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// How long the end of the conversation is waited for.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// Why nothing is changed while another process is about to take over.
pub const UNDER_WAY: &str = "an upgrade is under way: try again in a moment";

/// Who serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// This process.
    Own,
    /// Another one, of that id.
    Taken(u32),
}

/// How this process is, or was, handed over.
pub struct Handover {
    socket: Mutex<Option<Open>>,
    /// Somebody is being attended to.
    is_busy: AtomicBool,
    stage: watch::Sender<Stage>,
    /// What ends the conversation with the other process.
    farewell: Mutex<Option<FollowerEnd>>,
    is_over: AtomicBool,
    ended: (Mutex<bool>, Condvar),
    program: OnceLock<Program>,
    /// What begins the new process.
    pub(super) launcher: Mutex<Option<Launcher>>,
    notifier: OnceLock<Arc<Notifier>>,
}

/// The upgrade socket.
struct Open {
    path: PathBuf,
    listener: UnixListener,
    file: Arc<SocketFile>,
    stop: CancellationToken,
}

impl Default for Handover {
    fn default() -> Self {
        Self {
            socket: Mutex::default(),
            is_busy: AtomicBool::new(false),
            stage: watch::Sender::new(Stage::Own),
            farewell: Mutex::default(),
            is_over: AtomicBool::new(false),
            ended: (Mutex::new(false), Condvar::new()),
            program: OnceLock::new(),
            launcher: Mutex::default(),
            notifier: OnceLock::new(),
        }
    }
}

/// Listens for upgrades. The usual path's directory is made if it isn't there.
///
/// # Errors
///
/// The system's.
pub fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    if let Some(directory) = path.parent()
        && path == Path::new(UPGRADE_SOCKET)
        && !directory.exists()
    {
        DirBuilder::new().mode(0o755).create(directory)?;
    }
    unix_socket::listen(path, 0o600)
}

/// Why upgrades can't be asked for there, in words.
pub fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another instance listens there".to_owned(),
        _ => error.to_string(),
    }
}

impl Handover {
    /// What another process is begun with, and who is told of it.
    pub fn prepare(&self, program: Option<Program>, notifier: &Arc<Notifier>) {
        if let Some(program) = program {
            // Once, at the start.
            drop(self.program.set(program));
        }
        drop(self.notifier.set(Arc::clone(notifier)));
    }

    pub(super) fn program(&self) -> Option<&Program> {
        self.program.get()
    }

    /// Where upgrades are asked for.
    pub fn path(&self) -> Option<PathBuf> {
        let socket = self.socket.lock();
        socket.as_ref().map(|open| open.path.clone())
    }

    /// Who serves.
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Who serves, for whoever waits for that to change.
    pub fn watch(&self) -> watch::Receiver<Stage> {
        self.stage.subscribe()
    }

    /// Listens no more for upgrades.
    pub fn close(&self) {
        if let Some(open) = self.socket.lock().take() {
            open.stop.cancel();
        }
    }

    /// This process is done: tells the other one, and returns when that is said, or takes too long.
    pub fn finish(&self) {
        self.is_over.store(true, Ordering::Release);
        let Some(end) = self.farewell.lock().take() else {
            return;
        };
        end.end();
        let (ended, told) = &self.ended;
        let mut ended = ended.lock();
        let deadline = Instant::now() + FAREWELL_TIMEOUT;
        while !*ended && !told.wait_until(&mut ended, deadline).timed_out() {}
    }
}

/// What was offered, and is given up or kept.
struct Offers {
    listeners: Vec<(Arc<str>, Arc<Bound>)>,
    admin: Option<(AdminBind, crate::admin::Listener)>,
    descriptors: Vec<(Offered, OwnedFd)>,
}

/// What is kept to go on with if the new process dies.
struct Kept {
    listeners: Vec<(Arc<str>, Arc<Bound>)>,
    admin: Option<(AdminBind, crate::admin::Listener)>,
    upgrade: Option<(PathBuf, UnixListener, Arc<SocketFile>)>,
}

impl Instance {
    /// Attends to those who ask for an upgrade at this socket. Must be called within a runtime.
    pub(in super::super) fn serve_upgrades(
        self: &Arc<Self>,
        path: &Path,
        listener: UnixListener,
        file: Arc<SocketFile>,
    ) {
        let stop = CancellationToken::new();
        let clone = match listener.try_clone() {
            Ok(clone) => clone,
            Err(error) => {
                tracing::error!("this instance can't be upgraded: {error}");
                return;
            }
        };
        file.leave(false);
        *self.handover.socket.lock() = Some(Open {
            path: path.to_owned(),
            listener: clone,
            file,
            stop: stop.clone(),
        });
        let weak = Arc::downgrade(self);
        supervise::keep(
            &self.background,
            Task::Upgrade,
            "the upgrade socket",
            move || {
                let listener = listener.try_clone();
                let (weak, stop) = (Weak::clone(&weak), stop.clone());
                async move {
                    tokio::select! {
                        served = attend_to_all(weak, listener?) => served,
                        () = stop.cancelled() => Ok(()),
                    }
                }
            },
        );
    }

    fn attend(self: &Arc<Self>, stream: UnixStream) {
        let wire = Arc::new(Wire::new(stream));
        let Ok(peer) = rustix::net::sockopt::socket_peercred(wire.stream()) else {
            return;
        };
        let (uid, pid) = (peer.uid.as_raw(), peer.pid.as_raw_nonzero().get());
        if uid != 0 && uid != nix::unistd::geteuid().as_raw() {
            tracing::warn!(uid, pid, "somebody else asks for an upgrade, and gets none");
            return;
        }
        let Ok(first) = wire.receive(Some(ANSWER_TIMEOUT)) else {
            return;
        };
        match first.kind {
            Kind::Failed => {
                let reason = first.parse::<Reason>().map(|said| said.reason);
                self.tell_failed_upgrade(pid, &reason.unwrap_or_default());
            }
            Kind::Hello => match first.parse::<Hello>() {
                Ok(hello) => self.hand_over(&wire, &hello),
                Err(error) => tracing::warn!(pid, "an upgrade can't be understood: {error}"),
            },
            _ => {}
        }
    }

    fn tell_failed_upgrade(&self, pid: impl std::fmt::Display, reason: &str) {
        tracing::error!("the upgrade failed, running on as before: process {pid}: {reason}");
        self.tell_instance("upgrade failed");
    }

    fn hand_over(self: &Arc<Self>, wire: &Arc<Wire>, hello: &Hello) {
        let refused = if hello.protocol != PROTOCOL {
            Some("it speaks another version of the upgrade's protocol: restart instead".to_owned())
        } else if self.drain.is_stopping() {
            Some("it is stopping".to_owned())
        } else {
            self.has_nothing_for(hello)
        };
        let is_busy = || self.handover.is_busy.swap(true, Ordering::AcqRel);
        let refused = match refused {
            None if is_busy() => Some("another upgrade is under way".to_owned()),
            refused => refused,
        };
        if let Some(reason) = refused {
            tracing::warn!(pid = hello.pid, "an upgrade is refused: {reason}");
            drop(wire.say(Kind::Refused, &Reason { reason }));
            return;
        }
        tracing::info!(
            pid = hello.pid,
            version = hello.version,
            "upgrading: a new process is about to take over"
        );
        if let Some(notifier) = self.handover.notifier.get() {
            notifier.upgrading();
        }
        let outcome = self.transfer(wire, hello);
        if let Err(why) = outcome {
            self.reloads.go_on();
            self.tell_failed_upgrade(hello.pid, &why);
            self.notify_ready();
        }
        self.handover.is_busy.store(false, Ordering::Release);
    }

    /// Two instances of one machine may be given the same socket by mistake.
    fn has_nothing_for(&self, hello: &Hello) -> Option<String> {
        let config = Arc::clone(&self.state.lock().written);
        let mut binds = config.listeners.iter().flat_map(|one| &one.bind);
        let shared = binds.any(|bind| hello.binds.contains(bind));
        (!shared).then(|| {
            "it listens nowhere where the new one is to: they are two instances, and need two paths at server.upgrade_socket"
                .to_owned()
        })
    }

    /// Hands over, and sees to the rest. Returns when this process has nothing more to say, or has taken everything back.
    ///
    /// # Errors
    ///
    /// Why nothing was handed over.
    fn transfer(self: &Arc<Self>, wire: &Arc<Wire>, hello: &Hello) -> Result<(), String> {
        let lost = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
                "it ended before it could serve".to_owned()
            }
            io::ErrorKind::TimedOut => "it wasn't ready in time".to_owned(),
            _ => error.to_string(),
        };
        let offers = self.offers().map_err(|error| error.to_string())?;
        let described = offers.descriptors.iter().map(|(what, _)| what.clone());
        let offer = Offer {
            version: VERSION.to_owned(),
            pid: std::process::id(),
            descriptors: described.collect(),
        };
        wire.say(Kind::Offer, &offer).map_err(lost)?;
        for some in offers.descriptors.chunks(MOST_DESCRIPTORS) {
            let some: Vec<_> = some
                .iter()
                .map(|(_, descriptor)| descriptor.as_fd())
                .collect();
            wire.hand(&some).map_err(lost)?;
        }
        let answer = |timeout, wanted| {
            let frame = wire.receive(Some(timeout)).map_err(lost)?;
            match frame.kind {
                Kind::Failed => {
                    let reason = frame.parse::<Reason>().map(|said| said.reason);
                    Err(reason.unwrap_or_default())
                }
                kind if kind == wanted => Ok(frame),
                _ => Err("it says what can't be understood".to_owned()),
            }
        };
        answer(PREPARE_TIMEOUT, Kind::Prepared)?;
        // What is under way comes to its end, and nothing more is changed.
        self.reloads.hold(UNDER_WAY);
        drop(self.files.lock());
        let pools = self.state.lock().pools.clone();
        let tables = || {
            let tables = pools.iter().filter_map(|running| running.table.as_ref());
            let names = pools.iter().filter(|running| running.table.is_some());
            names.map(|running| running.pool.name()).zip(tables)
        };
        let mut absorbers: Vec<_> = tables()
            .map(|(name, table)| (name.to_string(), Absorber::new(table)))
            .collect();
        let mut follower = Follower::new(tables().map(|(name, table)| (name, &**table)));
        wire.say(Kind::State, &self.known_state()).map_err(lost)?;
        let send = |name: &Arc<str>, records: &[u8]| match with_name(name, records) {
            Some(body) => wire.send(Kind::Sessions, &body),
            None => Ok(()),
        };
        follower.dump(send).map_err(lost)?;
        wire.send(Kind::Complete, b"").map_err(lost)?;
        let serving: Serving = answer(SERVE_TIMEOUT, Kind::Serving)?
            .parse()
            .map_err(|error| error.to_string())?;

        // From here on the other one serves.
        let kept = self.give_up(offers, &serving.kept);
        for (_, table) in tables() {
            table.end_keeping();
        }
        *self.handover.farewell.lock() = Some(follower.ender());
        self.handover.stage.send_replace(Stage::Taken(hello.pid));
        let launcher = self.handover.launcher.lock().take();
        if let Some(launcher) = launcher {
            launcher.dismiss();
        }
        if let Some(notifier) = self.handover.notifier.get() {
            notifier.main_is(hello.pid);
        }
        tracing::info!(
            pid = hello.pid,
            "upgraded: the new process serves, finishing what is in flight here"
        );
        let told = wire.send(Kind::Taken, b"");
        let mut kept = Some(kept);
        if told.is_ok() {
            self.converse(wire, follower, &mut absorbers, &mut kept);
        }
        match kept {
            Some(kept)
                if !self.handover.is_over.load(Ordering::Acquire) && !self.drain.has_begun() =>
            {
                self.take_back(hello.pid, kept);
            }
            _ => {}
        }
        let (ended, told) = &self.handover.ended;
        *ended.lock() = true;
        told.notify_all();
        Ok(())
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

    /// Everything that another process can go on with.
    fn offers(&self) -> io::Result<Offers> {
        let mut descriptors = Vec::new();
        let mut listeners = Vec::new();
        for listening in self.listeners.load().iter() {
            for bound in listening.bound() {
                let what = Offered::Listener {
                    name: listening.name.to_string(),
                    address: bound.configured(),
                };
                descriptors.push((what, bound.as_fd().try_clone_to_owned()?));
                listeners.push((Arc::clone(&listening.name), bound));
            }
        }
        let admin = self.admin.listener()?;
        if let Some((bind, listener)) = &admin {
            let address = bind.to_string();
            descriptors.push((
                Offered::Admin { address },
                listener.as_fd().try_clone_to_owned()?,
            ));
        }
        if let Some(open) = self.handover.socket.lock().as_ref() {
            let path = open.path.display().to_string();
            descriptors.push((
                Offered::Upgrade { path },
                open.listener.as_fd().try_clone_to_owned()?,
            ));
        }
        if let Some((path, file)) = self.pid_file.lock().open() {
            let path = path.display().to_string();
            descriptors.push((
                Offered::PidFile { path },
                file.as_fd().try_clone_to_owned()?,
            ));
        }
        Ok(Offers {
            listeners,
            admin,
            descriptors,
        })
    }

    /// Accepts no more, and closes what the other process doesn't go on with.
    fn give_up(&self, offers: Offers, kept: &[usize]) -> Kept {
        let Offers {
            listeners,
            admin,
            descriptors,
        } = offers;
        let is_kept = |is_it: &dyn Fn(&Offered) -> bool| {
            let place = descriptors.iter().position(|(what, _)| is_it(what));
            place.is_some_and(|place| kept.contains(&place))
        };
        let goes_on: Vec<_> = listeners
            .into_iter()
            .enumerate()
            .filter_map(|(index, one)| kept.contains(&index).then_some(one))
            .collect();
        for listening in self.listeners.load().iter() {
            listening.hand_over(|bound| goes_on.iter().any(|(_, kept)| Arc::ptr_eq(kept, bound)));
        }
        self.admin
            .hand_over(is_kept(&|what| matches!(what, Offered::Admin { .. })));
        let upgrade = self.handover.socket.lock().take().map(|open| {
            open.stop.cancel();
            open.file
                .leave(is_kept(&|what| matches!(what, Offered::Upgrade { .. })));
            (open.path, open.listener, open.file)
        });
        self.pid_file
            .lock()
            .leave(is_kept(&|what| matches!(what, Offered::PidFile { .. })));
        self.certificates.look_after(&[]);
        Kept {
            listeners: goes_on,
            admin,
            upgrade,
        }
    }

    /// Goes on serving, since the process that took over is no more.
    fn take_back(self: &Arc<Self>, pid: u32, kept: Kept) {
        tracing::error!(pid, "the new process has ended: serving again");
        let config = Arc::clone(&self.state.lock().written);
        self.drain.resume();
        self.connections.reopen();
        for (name, bound) in &kept.listeners {
            self.accept_again(name, bound);
        }
        if let Some((bind, listener)) = kept.admin {
            self.serve_admin(&bind, listener);
        }
        if let Some((path, listener, file)) = kept.upgrade {
            self.serve_upgrades(&path, listener, file);
        }
        self.own_pid_file();
        super::super::acme::apply(&self.certificates, &config);
        self.keep_sessions(false);
        self.reloads.go_on();
        self.handover.stage.send_replace(Stage::Own);
        if let Some(notifier) = self.handover.notifier.get() {
            notifier.main_is(std::process::id());
            self.store_sockets(notifier);
        }
        self.notify_ready();
        self.tell_instance("running");
    }

    /// The pid file has this process's id from now on.
    pub(super) fn own_pid_file(&self) {
        let mut file = self.pid_file.lock();
        file.leave(false);
        if let Err(error) = file.write_again() {
            tracing::error!("the pid file can't be written: {error}");
        }
    }

    fn notify_ready(&self) {
        if let Some(notifier) = self.handover.notifier.get() {
            notifier.ready(&self.summary());
        }
    }
}

async fn attend_to_all(instance: Weak<Instance>, listener: UnixListener) -> io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let Some(instance) = instance.upgrade() else {
            return Ok(());
        };
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        // It takes as long as a drain; somebody else may ask meanwhile, and is told.
        drop(tokio::task::spawn_blocking(move || instance.attend(stream)));
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
