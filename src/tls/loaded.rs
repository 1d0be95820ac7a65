//! What the files of a listener's TLS hold, read as a whole: what can be used, and what can't.

use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use openssl::ssl::SslContext;

use super::certificate::{self, Finding};
use super::client_auth::ClientAuthority;
use super::context::{self, Parts};
use super::names::Names;
use super::ocsp::Staples;
use super::ticket_keys::{self, TicketKey, TicketKeys};
use super::trouble::Trouble;
use super::watch::Watched;
use crate::config::model::{self, CertificateSource};

/// What the files of a listener hold: made by [`load`], put in service by a [`Terminator`](super::Terminator).
pub struct Loaded {
    pub(super) settings: model::Tls,
    /// Certificates of whatever obtains them; they may not be there yet.
    pub(super) awaited: Vec<CertificateSource>,
    pub(super) certificates: Vec<(CertificateSource, Arc<certificate::Loaded>)>,
    clients: Option<ClientAuthority>,
    pub(super) ticket_keys: Option<Vec<TicketKey>>,
    pub(super) watched: Watched,
    /// What can't be used now, though there is something older to use instead.
    pub(super) broken: Vec<Trouble>,
}

impl Loaded {
    /// What there is to say of the certificates, each with where that one is configured.
    pub fn findings(&self) -> impl Iterator<Item = (&CertificateSource, &Finding)> {
        self.certificates
            .iter()
            .flat_map(|(source, loaded)| loaded.findings.iter().map(move |found| (source, found)))
    }

    /// The certificates themselves, without their chains.
    pub fn leaves(&self) -> Vec<openssl::x509::X509> {
        let certificates = self.certificates.iter();
        certificates
            .map(|(_, loaded)| loaded.identity.leaf.clone())
            .collect()
    }

    /// What has run out, so that clients are refused.
    pub fn overdue(&self) -> Vec<Trouble> {
        let clients = self.clients.as_ref();
        clients.map(ClientAuthority::overdue).unwrap_or_default()
    }
}

/// Reads everything that a listener's TLS names. `awaited` are certificates that may not be there yet.
///
/// # Errors
///
/// Everything that it can't be served with.
pub fn load(
    settings: &model::Tls,
    awaited: &[CertificateSource],
    now: SystemTime,
) -> Result<Loaded, Vec<Trouble>> {
    if let Some(trouble) = pipe(settings, awaited) {
        return Err(vec![trouble]);
    }
    let loaded = assemble(settings, awaited, None, now);
    if loaded.broken.is_empty() {
        // The rest is OpenSSL's to judge.
        match loaded.context(TicketKeys::random(Instant::now()), &Arc::default(), false) {
            Ok(_) => Ok(loaded),
            Err(trouble) => Err(vec![trouble]),
        }
    } else {
        Err(loaded.broken)
    }
}

/// As [`load`], with what `before` holds in the place of what can't be used.
pub(super) fn assemble(
    settings: &model::Tls,
    awaited: &[CertificateSource],
    mut before: Option<&mut Loaded>,
    now: SystemTime,
) -> Loaded {
    // Before anything is read: what changes meanwhile is a change.
    let watched = Watched::new(files(settings, awaited));
    let mut broken = Vec::new();
    let mut certificates = Vec::new();
    for (index, source) in settings.certificates.iter().chain(awaited).enumerate() {
        let is_awaited = index >= settings.certificates.len();
        if is_awaited && !source.cert.exists() {
            continue;
        }
        let older = before.as_ref().and_then(|before| {
            let (_, older) = before.certificates.iter().find(|(of, _)| of == source)?;
            Some(Arc::clone(older))
        });
        match certificate::load(source, now) {
            Ok(loaded) => certificates.push((source.clone(), Arc::new(loaded))),
            // Whoever obtains it will do so once more.
            Err(findings) if is_awaited && before.is_none() => {
                for found in &findings {
                    tracing::warn!(cert = %source.cert.display(), "{found}");
                }
            }
            Err(findings) => {
                let path = if is_awaited {
                    vec!["acme".to_owned()]
                } else {
                    settings.place(index)
                };
                broken.extend(findings.iter().map(|found| Trouble {
                    path: path.clone(),
                    message: found.to_string(),
                }));
                certificates.extend(older.map(|older| (source.clone(), older)));
            }
        }
    }
    let mut clients = None;
    if let Some(settings) = &settings.client_auth {
        match ClientAuthority::load(settings) {
            Ok(loaded) => clients = Some(loaded),
            Err(trouble) => {
                broken.push(trouble);
                clients = before.as_mut().and_then(|before| before.clients.take());
            }
        }
    }
    let mut keys = None;
    if let Some(path) = &settings.session_ticket_key_file {
        match ticket_keys::read(path) {
            Ok(read) => keys = Some(read),
            Err(wrong) => {
                broken.push(Trouble::at(&["session_ticket_key_file"], wrong));
                keys = before.as_mut().and_then(|before| before.ticket_keys.take());
            }
        }
    }
    Loaded {
        settings: settings.clone(),
        awaited: awaited.to_vec(),
        certificates,
        clients,
        ticket_keys: keys,
        watched,
        broken,
    }
}

/// A file that is none: files are read again and again, and a pipe would keep the reader waiting, perhaps for ever.
pub(super) fn pipe(settings: &model::Tls, awaited: &[CertificateSource]) -> Option<Trouble> {
    let is_pipe = |path: &PathBuf| path.metadata().is_ok_and(|file| file.file_type().is_fifo());
    let path = files(settings, awaited).into_iter().find(is_pipe)?;
    let message = format!("{} is a pipe; a file is wanted", path.display());
    Some(Trouble::at(&[], message))
}

fn files(settings: &model::Tls, awaited: &[CertificateSource]) -> Vec<PathBuf> {
    let mut files = settings.files();
    files.extend(awaited.iter().flat_map(CertificateSource::files));
    files
}

impl Loaded {
    pub(super) fn context(
        &self,
        ticket_keys: Arc<TicketKeys>,
        staples: &Arc<Staples>,
        validations: bool,
    ) -> Result<SslContext, Trouble> {
        let certificates: Vec<_> = self
            .certificates
            .iter()
            .map(|(_, loaded)| Arc::clone(loaded))
            .collect();
        context::build(Parts {
            settings: &self.settings,
            names: Names::new(&certificates),
            clients: self.clients.as_ref(),
            ticket_keys,
            staples: self.settings.ocsp_stapling.then(|| Arc::clone(staples)),
            validations,
        })
    }
}
