//! One certificate, looked after as long as it is configured.
//!
//! A worker looks at what there is and when that is due, sleeps, and looks again. What it does when it is due it does
//! with the certificate's lock, after one more look: of several workers in several processes one obtains, the others
//! find it done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::CertificateIdentifier;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::account;
use super::certificate::{self, Certificate, Id};
use super::challenges::Challenges;
use super::client::Client;
use super::files::Lock;
use super::order::{self, Answering, Unsuccessful};
use super::schedule::{self, FIRST_PAUSE, Window};
use super::store::{Failure, Standing, Store};
use crate::config::model;
use crate::observe::metrics::AcmeMetrics;

/// A file may be deleted, a clock set, another node may renew: nothing is believed for longer.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// How often to look whether the holder of the lock is done.
const BUSY: Duration = Duration::from_secs(1);
/// An order that takes longer has failed; nobody is kept from trying for longer.
const DEADLINE: Duration = Duration::from_secs(600);
/// How often the authority is asked when it wants a renewal, unless it says (RFC 9773 section 4.3).
const ASK_AGAIN: Duration = Duration::from_secs(6 * 3600);
/// How long that may take.
const ASKING: Duration = Duration::from_secs(60);

/// Looks after one certificate.
pub struct Worker {
    pub(super) settings: model::Acme,
    pub(super) store: Store,
    pub(super) challenges: Arc<Challenges>,
    pub(super) orders: AcmeMetrics,
    pub(super) hurry: Arc<Notify>,
    /// The operator wants it anew, however long it is good for.
    pub(super) renew: Arc<AtomicBool>,
    pub(super) stop: CancellationToken,
    state: State,
}

struct State {
    /// Failures from before are others' or another configuration's.
    since: SystemTime,
    failure: Option<Failure>,
    advice: Option<Advice>,
    /// Somebody else obtains, and that was said.
    busy: bool,
    /// Between 0 and 1, new for each certificate.
    chance: f64,
}

/// What the authority said of one certificate.
struct Advice {
    id: Id,
    window: Option<Window>,
    ask_again: SystemTime,
}

impl Worker {
    /// A worker that has done nothing yet.
    pub fn new(
        settings: model::Acme,
        challenges: Arc<Challenges>,
        orders: AcmeMetrics,
        hurry: Arc<Notify>,
        renew: Arc<AtomicBool>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            store: Store::new(&settings),
            settings,
            challenges,
            orders,
            hurry,
            renew,
            stop,
            state: State {
                since: SystemTime::now(),
                failure: None,
                advice: None,
                busy: false,
                chance: rand::random(),
            },
        }
    }

    /// Works until it is stopped.
    pub async fn run(mut self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        let store = self.store.clone();
        // What fails here fails again, and is told, when there is something to write.
        let _ = tokio::task::spawn_blocking(move || store.prepare(SystemTime::now())).await;
        let hurry = Arc::clone(&self.hurry);
        loop {
            let pause = self.step(SystemTime::now()).await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = hurry.notified() => self.state.hurry(SystemTime::now()),
            }
        }
    }

    /// Does what is due. Returns for how long nothing is.
    async fn step(&mut self, now: SystemTime) -> Duration {
        let standing = self.look().await;
        // Once: if it comes to nothing, that is told, and the operator may ask again.
        let forced = self.renew.swap(false, Ordering::AcqRel);
        if !forced && let Some(left) = self.time_left(&standing, now).await {
            return left.min(LOOK_AGAIN);
        }
        if !forced && let Some(left) = self.state.failure.and_then(|failure| failure.left(now)) {
            return left.min(LOOK_AGAIN);
        }
        let store = self.store.clone();
        let lock = match on_files(move || store.lock()).await {
            Ok(Some(lock)) => lock,
            Ok(None) => {
                self.renew.fetch_or(forced, Ordering::AcqRel);
                if !std::mem::replace(&mut self.state.busy, true) {
                    tracing::info!("ACME: {}: somebody else is obtaining it", self.title());
                }
                return BUSY.mul_f64(1.0 + self.state.chance);
            }
            Err(reason) => return self.failed(&standing, &reason, None, None).await,
        };
        self.state.busy = false;
        // Whoever had the lock before may have done it, or failed.
        let standing = self.look().await;
        if !forced && self.time_left(&standing, now).await.is_some() {
            tracing::info!("ACME: {}: somebody else has obtained it", self.title());
            return Duration::ZERO;
        }
        let store = self.store.clone();
        let others = tokio::task::spawn_blocking(move || store.failure())
            .await
            .ok()
            .flatten();
        if let Some(failure) = others.filter(|_| !forced) {
            let ours = failure.at >= unix(self.state.since);
            if let Some(left) = failure.left(now).filter(|_| ours) {
                self.state.failure = Some(failure);
                return left.min(LOOK_AGAIN);
            }
            let count = self.state.failure.map_or(0, |known| known.failures);
            if ours && failure.failures > count {
                self.state.failure = Some(failure);
            }
        }
        self.attempt(&standing, lock).await
    }

    async fn attempt(&mut self, standing: &Standing, lock: Lock) -> Duration {
        let why = match standing {
            Standing::Missing => String::new(),
            Standing::Unusable(why) => format!(" in place of a file that can't be used ({why})"),
            Standing::OtherNames => ", whose names have changed,".to_owned(),
            Standing::There(_) => " anew".to_owned(),
        };
        let directory = &self.settings.directory;
        tracing::info!(
            "ACME: {}: obtaining the certificate{why} from {directory}",
            self.title()
        );
        let mut asked = None;
        let obtained = timeout(DEADLINE, self.obtain(standing, &mut asked)).await;
        let late = || Err(format!("the authority took more than {}", span(DEADLINE)));
        let reason = match obtained.unwrap_or_else(|_| late()) {
            Ok(file) => {
                let store = self.store.clone();
                let kept = on_files(move || {
                    store.publish(&file, &lock)?;
                    store.note(None, &lock)
                });
                match kept.await {
                    Ok(()) => return self.succeeded().await,
                    Err(reason) => return self.failed(standing, &reason, asked, None).await,
                }
            }
            Err(reason) => reason,
        };
        self.failed(standing, &reason, asked, Some(lock)).await
    }

    /// Obtains a certificate that can be served, as the file that is to be kept.
    async fn obtain(
        &self,
        standing: &Standing,
        asked: &mut Option<Duration>,
    ) -> Result<Vec<u8>, String> {
        let client = self.client().await?;
        let obtained = self.order(standing, &client).await;
        *asked = client.asked_to_wait();
        let (key, chain) = obtained?;
        let now = SystemTime::now();
        certificate::assemble(&key, &chain, self.store.names(), now)
            .map_err(|why| format!("the authority's certificate is not taken: {why}"))
    }

    async fn order(
        &self,
        standing: &Standing,
        client: &Client,
    ) -> Result<(openssl::pkey::PKey<openssl::pkey::Private>, String), String> {
        let answering = Answering {
            challenges: &self.challenges,
            storage: self.store.storage(),
        };
        let challenge = self.settings.challenge;
        let mut replaces = self.replaces(standing);
        let mut lost = false;
        loop {
            let account = account::open(&self.store, &self.settings, client).await?;
            let names = self.store.names();
            match order::obtain(&account, names, challenge, replaces.take(), &answering).await {
                Ok(obtained) => return Ok(obtained),
                Err(Unsuccessful::AccountGone) if !lost => {
                    lost = true;
                    tracing::warn!(
                        "ACME: the authority doesn't know our account any more, making a new one"
                    );
                    account::forget(&self.store, account.id()).await?;
                }
                Err(Unsuccessful::AccountGone) => {
                    return Err(
                        "the authority doesn't know the account it has just made".to_owned()
                    );
                }
                Err(Unsuccessful::Because(reason)) => return Err(reason),
            }
        }
    }

    /// What the new one comes after, if the authority wants to know.
    fn replaces(&self, standing: &Standing) -> Option<CertificateIdentifier<'static>> {
        let Standing::There(Certificate { id: Some(id), .. }) = standing else {
            return None;
        };
        let advice = self.state.advice.as_ref()?;
        (advice.id == *id && advice.window.is_some()).then(|| identifier(id))
    }

    async fn succeeded(&mut self) -> Duration {
        self.state.failure = None;
        self.state.chance = rand::random();
        if let Standing::There(certificate) = self.look().await {
            let until = httpdate::fmt_http_date(certificate.not_after);
            tracing::info!(
                "ACME: {}: new certificate, valid until {until}",
                self.title()
            );
        }
        self.orders.success.inc();
        Duration::ZERO
    }

    async fn failed(
        &mut self,
        standing: &Standing,
        reason: &str,
        asked: Option<Duration>,
        lock: Option<Lock>,
    ) -> Duration {
        let now = SystemTime::now();
        let before = self.state.failure.map_or(0, |failure| failure.failures);
        let failures = before.saturating_add(1);
        let pause = schedule::pause(failures, asked, rand::random());
        let at = unix(now);
        let failure = Failure {
            failures,
            at,
            next: at.saturating_add(millis(pause)),
        };
        self.state.failure = Some(failure);
        if let Some(lock) = lock {
            let store = self.store.clone();
            if let Err(reason) = on_files(move || store.note(Some(failure), &lock)).await {
                tracing::warn!("ACME: {}: {reason}", self.title());
            }
        }
        let (title, again) = (self.title(), span(pause));
        match standing {
            Standing::There(certificate) if certificate.not_after > now => {
                let until = httpdate::fmt_http_date(certificate.not_after);
                tracing::warn!(
                    "ACME: {title}: not renewed: {reason}; the one in use is valid until {until}; trying again in {again}"
                );
            }
            Standing::OtherNames => tracing::warn!(
                "ACME: {title}: no certificate for these names: {reason}; the one for other names stays in use; \
                 trying again in {again}"
            ),
            _ => {
                tracing::error!("ACME: {title}: no certificate: {reason}; trying again in {again}");
            }
        }
        self.orders.failure.inc();
        pause.min(LOOK_AGAIN)
    }

    async fn look(&self) -> Standing {
        let store = self.store.clone();
        let looked = tokio::task::spawn_blocking(move || store.look()).await;
        looked.unwrap_or_else(|error| Standing::Unusable(error.to_string()))
    }

    /// How long what there is will do for sure; `None` = a new one is due.
    async fn time_left(&mut self, standing: &Standing, now: SystemTime) -> Option<Duration> {
        let Standing::There(certificate) = standing else {
            return None;
        };
        let rest = schedule::at_rest_until(certificate).duration_since(now);
        let rest = rest.ok().filter(|rest| !rest.is_zero());
        // As long as it is left alone nobody needs to be asked. An authority that can't be asked later doesn't keep from
        // renewing.
        let window = match rest {
            Some(_) => None,
            None => self.advice(certificate, now).await,
        };
        let due = schedule::due(certificate, window, self.state.chance);
        let left = due
            .duration_since(now)
            .ok()
            .filter(|left| !left.is_zero())?;
        Some(rest.map_or(left, |rest| rest.min(left)))
    }

    async fn advice(&mut self, certificate: &Certificate, now: SystemTime) -> Option<Window> {
        let id = certificate.id.as_ref()?;
        let known = self.state.advice.as_ref().filter(|advice| advice.id == *id);
        let before = known.and_then(|advice| advice.window);
        if known.is_some_and(|advice| now < advice.ask_again) {
            return before;
        }
        let answer = timeout(ASKING, self.ask(id)).await.ok().flatten();
        let (window, again) = match answer {
            Some((window, again)) => (Some(window), again.clamp(FIRST_PAUSE, 4 * ASK_AGAIN)),
            None => (before, ASK_AGAIN),
        };
        self.state.advice = Some(Advice {
            id: id.clone(),
            window,
            ask_again: now.checked_add(again).unwrap_or(now),
        });
        window
    }

    /// Asks the authority when it wants a renewal. `None` = it doesn't say.
    async fn ask(&self, id: &Id) -> Option<(Window, Duration)> {
        let client = self.client().await.ok()?;
        let account = account::known(&self.store, &client).await?;
        let (info, again) = account.renewal_info(&identifier(id)).await.ok()?;
        let window = Window {
            start: info.suggested_window.start.into(),
            end: info.suggested_window.end.into(),
        };
        Some((window, again))
    }

    async fn client(&self) -> Result<Client, String> {
        let ca = self.settings.ca.clone();
        let made = tokio::task::spawn_blocking(move || Client::new(ca.as_deref())).await;
        made.map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())
    }

    fn title(&self) -> String {
        self.settings.domains.join(", ")
    }
}

impl State {
    /// The operator has reloaded: what failed may work now. A minute after the last failure is soon enough.
    fn hurry(&mut self, now: SystemTime) {
        self.since = now;
        if let Some(failure) = &mut self.failure {
            failure.next = failure
                .next
                .min(failure.at.saturating_add(millis(FIRST_PAUSE)));
        }
    }
}

impl Failure {
    /// How long to wait still; `None` = no longer. Never longer than it was to be, whatever the clock does: what is noted of
    /// a time to come was noted by a clock that has been put right since.
    fn left(&self, now: SystemTime) -> Option<Duration> {
        if self.at > unix(now).saturating_add(millis(FIRST_PAUSE)) {
            return None;
        }
        let left = self.next.saturating_sub(unix(now));
        let all = self.next.saturating_sub(self.at);
        let left = left.min(all);
        (left > 0).then(|| Duration::from_millis(left))
    }
}

/// What the authority calls a certificate (RFC 9773 section 4.1).
fn identifier(id: &Id) -> CertificateIdentifier<'static> {
    CertificateIdentifier {
        authority_key_identifier: BASE64_URL_SAFE_NO_PAD.encode(&id.authority_key).into(),
        serial: BASE64_URL_SAFE_NO_PAD.encode(&id.serial).into(),
    }
}

/// Work on files, away from the threads that serve.
async fn on_files<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| error.to_string())?
        .map_err(|error| format!("acme.storage can't be used: {error}"))
}

/// A time in words: the largest unit that fits.
fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Milliseconds since 1970. A reload may come within a second of a failure.
fn unix(time: SystemTime) -> u64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::certificate::tests::at;
    use super::*;

    #[test]
    fn a_failure_is_waited_out_and_no_clock_makes_it_longer() {
        let failure = Failure {
            failures: 2,
            at: 1_000_000,
            next: 1_120_000,
        };
        let left = |now| failure.left(at(now)).map(|left| left.as_secs());
        assert_eq!(left(1000), Some(120));
        assert_eq!(left(1119), Some(1));
        assert_eq!(left(1120), None);
        assert_eq!(left(950), Some(120));
        // Noted by a clock that was an hour ahead.
        assert_eq!(left(0), None);
    }

    #[test]
    fn a_reload_tries_again_but_not_within_a_minute() {
        let mut state = State {
            since: at(0),
            failure: Some(Failure {
                failures: 9,
                at: 1_000_000,
                next: 50_000_000,
            }),
            advice: None,
            busy: false,
            chance: 0.0,
        };
        state.hurry(at(1010));
        assert_eq!(
            state.failure.and_then(|failure| failure.left(at(1010))),
            Some(Duration::from_secs(50))
        );
        assert_eq!(
            state.failure.and_then(|failure| failure.left(at(1070))),
            None
        );
        assert_eq!(state.since, at(1010));
    }

    #[test]
    fn a_certificate_is_called_as_the_authority_calls_it() {
        // The example of RFC 9773 section 4.1.
        let id = Id {
            authority_key: vec![
                0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0,
                0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4,
            ],
            serial: vec![0, 0x87, 0x65, 0x43, 0x21],
        };
        assert_eq!(
            identifier(&id).to_string(),
            "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
        );
    }

    #[test]
    fn times_are_told_in_words() {
        let told = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(
            [told(60), told(600), told(7300), told(200_000)],
            ["60 s", "10 min", "2 h", "2 days"]
        );
    }
}
