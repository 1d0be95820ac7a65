//! A listener's TLS: handshakes with what is configured and in the files now.
//!
//! What is served is a snapshot behind an atomic pointer. [`Terminator::refresh`] looks at the files and puts the next
//! one in its place; a file that can't be used leaves what it held before in service.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use openssl::ssl::SslContext;
use parking_lot::Mutex;
use serde_json::json;

use super::certificate::{self, Severity};
use super::context::AlpnChallenges;
use super::loaded::{Loaded, assemble, pipe};
use super::ocsp::Staples;
use super::ticket_keys::TicketKeys;
use super::trouble::Trouble;
use crate::config::model;
use crate::observe::Topic;
use crate::observe::metrics::{Metrics, TlsMetrics};
use crate::supervise;

mod handshake;

pub use handshake::HandshakeFailure;

/// Ends TLS for a listener.
pub struct Terminator {
    listener: Arc<str>,
    serving: ArcSwap<Serving>,
    loaded: Mutex<Loaded>,
    ticket_keys: Arc<TicketKeys>,
    staples: Arc<Staples>,
    challenges: Option<Arc<dyn AlpnChallenges>>,
    counts: TlsMetrics,
    metrics: Arc<Metrics>,
    /// Beside `loaded`, which is held while files are read.
    refused: Mutex<Vec<String>>,
}

/// A certificate that is served, for whoever shows it.
#[derive(Debug, Clone)]
pub struct ServedCertificate {
    /// The names that it is for.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// When its validity begins.
    pub not_before: SystemTime,
    /// When it ends.
    pub not_after: SystemTime,
    /// The file that it was read from.
    pub file: PathBuf,
    /// Whether it is obtained by itself.
    pub obtained: bool,
    /// What is wrong with it nevertheless, in words.
    pub findings: Vec<String>,
}

/// What handshakes use.
struct Serving {
    context: SslContext,
    timeout: Duration,
    strict_sni: bool,
    forward_client: bool,
    /// What may be agreed on above TLS.
    alpn: Vec<model::Alpn>,
}

impl Serving {
    fn of(
        loaded: &Loaded,
        ticket_keys: Arc<TicketKeys>,
        staples: &Arc<Staples>,
        validations: bool,
    ) -> Result<Self, Trouble> {
        let clients = loaded.settings.client_auth.as_ref();
        Ok(Self {
            context: loaded.context(ticket_keys, staples, validations)?,
            timeout: loaded.settings.handshake_timeout,
            strict_sni: loaded.settings.strict_sni,
            forward_client: clients.is_some_and(|clients| clients.forward),
            alpn: loaded.settings.alpn.clone(),
        })
    }
}

impl Terminator {
    /// Serves what was loaded.
    ///
    /// # Errors
    ///
    /// What OpenSSL doesn't take.
    pub fn new(
        listener: &Arc<str>,
        loaded: Loaded,
        challenges: Option<Arc<dyn AlpnChallenges>>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Trouble> {
        let now = Instant::now();
        let ticket_keys = match &loaded.ticket_keys {
            Some(keys) => TicketKeys::of(keys.clone()),
            None => TicketKeys::random(now),
        };
        let staples = Arc::default();
        let serving = Serving::of(
            &loaded,
            Arc::clone(&ticket_keys),
            &staples,
            challenges.is_some(),
        )?;
        let terminator = Self {
            listener: Arc::clone(listener),
            serving: ArcSwap::from_pointee(serving),
            ticket_keys,
            staples,
            challenges,
            counts: metrics.tls(listener),
            metrics: Arc::clone(metrics),
            loaded: Mutex::new(loaded),
            refused: Mutex::default(),
        };
        terminator.tell();
        Ok(terminator)
    }

    /// What is served.
    pub fn certificates(&self) -> Vec<ServedCertificate> {
        let loaded = self.loaded.lock();
        let served = loaded.certificates.iter().map(|(source, one)| {
            let leaf = &one.identity.leaf;
            ServedCertificate {
                names: certificate::names(leaf),
                issuer: certificate::words::name(leaf.issuer_name()),
                not_before: certificate::not_before(leaf),
                not_after: certificate::not_after(leaf),
                file: source.cert.clone(),
                obtained: !loaded.settings.certificates.contains(source),
                findings: one.findings.iter().map(ToString::to_string).collect(),
            }
        });
        served.collect()
    }

    /// What can't be used of the files as they are now, in words, so that what they held before is served.
    pub fn refused(&self) -> Vec<String> {
        self.refused.lock().clone()
    }

    /// Whether what is served was configured like this.
    pub fn is_configured_as(&self, settings: &model::Tls) -> bool {
        self.loaded.lock().settings == *settings
    }

    /// Serves what was loaded anew from now on; connections that stand are not touched.
    ///
    /// # Errors
    ///
    /// What OpenSSL doesn't take; nothing is changed then.
    pub fn replace(&self, loaded: Loaded) -> Result<(), Trouble> {
        // Held throughout: a refresh under way would put the settings from before back in service.
        let mut guard = self.loaded.lock();
        let serving = Serving::of(
            &loaded,
            Arc::clone(&self.ticket_keys),
            &self.staples,
            self.challenges.is_some(),
        )?;
        self.ticket_keys
            .replace(loaded.ticket_keys.clone(), Instant::now());
        self.serving.store(Arc::new(serving));
        *guard = loaded;
        drop(guard);
        self.refused.lock().clear();
        self.tell();
        Ok(())
    }

    /// Its keys of session tickets and how old they are, if they are in no file.
    pub fn random_ticket_keys(&self, now: Instant) -> Option<(Vec<Vec<u8>>, Duration)> {
        self.ticket_keys.random_ones(now)
    }

    /// Goes on with another process's keys of session tickets, if they are in no file here.
    pub fn take_random_ticket_keys(&self, keys: &[Vec<u8>], age: Duration, now: Instant) {
        self.ticket_keys.take_random_ones(keys, age, now);
    }

    /// Looks whether files have changed, and serves what they hold now. To be called about once a second, where it may
    /// block.
    pub fn refresh(&self, now: SystemTime) {
        self.ticket_keys.maintain(Instant::now());
        let mut guard = self.loaded.lock();
        if !guard.watched.has_changed() {
            return;
        }
        let (settings, awaited) = (guard.settings.clone(), guard.awaited.clone());
        if let Some(trouble) = pipe(&settings, &awaited) {
            self.refuse(&[trouble]);
            return;
        }
        let mut loaded = assemble(&settings, &awaited, Some(&mut guard), now);
        let serving = Serving::of(
            &loaded,
            Arc::clone(&self.ticket_keys),
            &self.staples,
            self.challenges.is_some(),
        );
        match serving {
            Ok(serving) => {
                self.serving.store(Arc::new(serving));
                self.ticket_keys
                    .replace(loaded.ticket_keys.clone(), Instant::now());
            }
            Err(trouble) => loaded.broken.push(trouble),
        }
        self.refuse(&loaded.broken);
        if loaded.broken.is_empty() {
            self.counts.reloads_succeeded.inc();
            tracing::info!(
                listener = &*self.listener,
                "the files of TLS changed and are in use"
            );
            let data = json!({"listener": &*self.listener, "result": "in use"});
            self.metrics.events().publish(Topic::Certificate, data);
        }
        *guard = loaded;
        drop(guard);
        self.tell();
    }

    /// Has the issuers of certificates asked what they say of them, where it is time and that is to be shown. To be called
    /// now and then, within a runtime.
    pub fn ask_issuers(&self, now: SystemTime) {
        let due = {
            let loaded = self.loaded.lock();
            if !loaded.settings.ocsp_stapling {
                return;
            }
            let served = loaded.certificates.iter();
            let served: Vec<_> = served.map(|(_, loaded)| Arc::clone(loaded)).collect();
            self.staples.due(&served, now)
        };
        for question in due {
            let (staples, listener) = (Arc::clone(&self.staples), Arc::clone(&self.listener));
            supervise::once(async move {
                if let Err(error) = staples.ask(question).await {
                    tracing::warn!(
                        listener = &*listener,
                        "no new OCSP answer to staple: {error}; the last one is shown as long as it counts"
                    );
                }
            });
        }
    }

    /// Tells what can't be used, and goes on telling it to who asks.
    fn refuse(&self, troubles: &[Trouble]) {
        *self.refused.lock() = troubles.iter().map(ToString::to_string).collect();
        for trouble in troubles {
            self.counts.reloads_failed.inc();
            let data = json!({"listener": &*self.listener, "result": "refused", "reason": trouble.to_string()});
            self.metrics.events().publish(Topic::Certificate, data);
            tracing::error!(
                listener = &*self.listener,
                "{trouble}; what was in use before stays in use"
            );
        }
    }

    /// Tells logs and metrics what is served.
    fn tell(&self) {
        let loaded = self.loaded.lock();
        let mut expiries: HashMap<String, SystemTime> = HashMap::new();
        for (source, loaded) in &loaded.certificates {
            for found in &loaded.findings {
                let (listener, cert) = (&*self.listener, source.cert.display());
                match found.severity {
                    Severity::Mended => {
                        tracing::info!(listener, %cert, "{found}; sorted out for serving");
                    }
                    Severity::Warning => tracing::warn!(listener, %cert, "{found}"),
                    Severity::Error | Severity::Fatal => {
                        tracing::error!(listener, %cert, "{found}");
                    }
                }
            }
            let expiry = certificate::not_after(&loaded.identity.leaf);
            for name in certificate::names(&loaded.identity.leaf) {
                let earliest = expiries.entry(name).or_insert(expiry);
                *earliest = expiry.min(*earliest);
            }
        }
        self.tell_overdue(&loaded);
        self.metrics.set_certificates(&self.listener, &expiries);
    }

    fn tell_overdue(&self, loaded: &Loaded) {
        for trouble in loaded.overdue() {
            tracing::error!(listener = &*self.listener, "{trouble}");
        }
    }

    /// Reminds of certificates that end soon, and of what has run out. To be called about once a day.
    pub fn remind(&self, now: SystemTime) {
        const SOON: Duration = Duration::from_secs(30 * 24 * 3600);
        let loaded = self.loaded.lock();
        self.tell_overdue(&loaded);
        for (source, loaded) in &loaded.certificates {
            let left = certificate::not_after(&loaded.identity.leaf)
                .duration_since(now)
                .unwrap_or_default();
            if left < SOON {
                tracing::warn!(
                    listener = &*self.listener,
                    cert = %source.cert.display(),
                    "the certificate expires in {} days: renew it and put the files in its place",
                    left.as_secs() / (24 * 3600),
                );
            }
        }
    }
}
