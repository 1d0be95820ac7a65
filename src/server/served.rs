//! The certificates that are served, and those that are not, for whoever asks.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::instance::Instance;
use crate::admin::control::CertificateStatus;
use crate::admin::status::{RefusedCertificate, timestamp};
use crate::tls::Terminator;

impl Instance {
    /// What listeners and the admin listener serve.
    pub(super) fn served_certificates(&self) -> Vec<CertificateStatus> {
        let now = SystemTime::now();
        let terminators = self.named_terminators().into_iter();
        terminators
            .flat_map(|(listener, terminator)| served(&listener, &terminator, now))
            .collect()
    }

    /// What their files hold by now and can't be used.
    pub(super) fn refused_certificates(&self) -> Vec<RefusedCertificate> {
        let terminators = self.named_terminators().into_iter();
        let refused = terminators.flat_map(|(listener, terminator)| {
            let reasons = terminator.refused().into_iter();
            reasons.map(move |reason| RefusedCertificate {
                listener: listener.clone(),
                reason,
            })
        });
        refused.collect()
    }

    fn named_terminators(&self) -> Vec<(String, Arc<Terminator>)> {
        let listening = self.listeners.load();
        let listeners = listening.iter().filter_map(|listening| {
            let terminator = listening.terminator.as_ref()?;
            Some((listening.name.to_string(), Arc::clone(terminator)))
        });
        let admin = self.admin.tls.load_full();
        let admin = admin.map(|terminator| ("admin".to_owned(), terminator));
        listeners.chain(admin).collect()
    }
}

fn served(listener: &str, terminator: &Terminator, now: SystemTime) -> Vec<CertificateStatus> {
    let served = terminator.certificates().into_iter();
    served
        .map(|one| CertificateStatus {
            listener: listener.to_owned(),
            names: one.names,
            issuer: one.issuer,
            not_before: timestamp(one.not_before),
            not_after: timestamp(one.not_after),
            expires_in_days: days_left(one.not_after, now),
            source: if one.obtained { "acme" } else { "file" },
            file: one.file.display().to_string(),
            findings: one.findings,
        })
        .collect()
}

fn days_left(end: SystemTime, now: SystemTime) -> i64 {
    const DAY: u64 = 24 * 3600;
    let days = |span: Duration| i64::try_from(span.as_secs() / DAY).unwrap_or(i64::MAX);
    match end.duration_since(now) {
        Ok(left) => days(left),
        Err(over) => -1 - days(over.duration()),
    }
}
