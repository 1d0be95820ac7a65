//! The files that a configuration names, looked at as a start would: problems with their places.

use std::time::SystemTime;

use crate::config::{Loaded, Problem, model};
use crate::persistence::Keyring;
use crate::server::preflight::{self, Findings};
use crate::tls;
use crate::tls::certificate::{Finding, Severity};
use crate::upstream::{Link, UnusableFiles};

impl Findings {
    fn note(&mut self, finding: &Finding, problem: Problem) {
        match finding.severity {
            Severity::Fatal | Severity::Error => self.errors.push(problem),
            Severity::Warning | Severity::Mended => self.warnings.push(problem),
        }
    }
}

/// Reads whatever the TLS of the admin listener, of listeners and pools names.
pub fn certificates(loaded: &Loaded, now: SystemTime) -> Findings {
    let mut found = Findings::default();
    for pool in &loaded.config.pools {
        let place = |key, message| loaded.problem(&["pools", &*pool.name, "tls", key], message);
        match Link::load(pool, None) {
            Ok(link) => {
                for finding in link.secure().iter().flat_map(|secure| &secure.findings) {
                    found.note(finding, place("certificate", finding.explained()));
                }
            }
            Err(UnusableFiles(all)) => found.problems.extend(
                all.into_iter()
                    .map(|unusable| place(unusable.key, unusable.message)),
            ),
        }
    }
    let admin = loaded.config.admin.iter().filter_map(|admin| {
        let settings = admin.tls.as_ref()?;
        Some((vec!["admin", "tls"], settings))
    });
    let listeners = loaded.config.listeners.iter().filter_map(|listener| {
        let settings = listener.tls.as_ref()?;
        Some((vec!["listeners", &*listener.name, "tls"], settings))
    });
    for (at, settings) in admin.chain(listeners) {
        let place = |path: &[&str], message: String| {
            let path: Vec<&str> = at.iter().chain(path).copied().collect();
            loaded.problem(&path, message)
        };
        if let Some(acme) = &settings.acme {
            let unusable = preflight::unusable_for_acme(acme).into_iter();
            found
                .errors
                .extend(unusable.map(|(path, message)| place(&path, message)));
        }
        match tls::load(settings, &[], now) {
            Ok(read) => {
                for (source, finding) in read.findings() {
                    let index = settings.certificates.iter().position(|one| one == source);
                    let path = index.map_or_else(Vec::new, |index| settings.place(index));
                    let path: Vec<&str> = path.iter().map(String::as_str).collect();
                    let problem = place(&path, finding.explained());
                    found.note(finding, problem);
                }
                for trouble in read.overdue() {
                    let path: Vec<&str> = trouble.path.iter().map(String::as_str).collect();
                    found.errors.push(place(&path, trouble.message));
                }
            }
            Err(troubles) => {
                for trouble in troubles {
                    let path: Vec<&str> = trouble.path.iter().map(String::as_str).collect();
                    found.problems.push(place(&path, trouble.message));
                }
            }
        }
    }
    found
}

/// Reads the secret files, as a start would.
pub fn secrets(loaded: &Loaded) -> Findings {
    let mut found = Findings::default();
    found.problems.extend(preflight::tokens(loaded));
    for pool in &loaded.config.pools {
        let key = pool
            .persistence
            .as_ref()
            .and_then(model::Persistence::signing_key);
        let Some(Some(path)) = key else {
            continue;
        };
        let at = ["pools", &*pool.name, "persistence", "secret_file"];
        match Keyring::load(path) {
            Ok(keys) => {
                let warnings = keys.warnings.iter().map(ToString::to_string);
                found
                    .warnings
                    .extend(warnings.map(|warning| loaded.problem(&at, warning)));
            }
            Err(error) => found.problems.push(loaded.problem(&at, error.to_string())),
        }
    }
    found
}
