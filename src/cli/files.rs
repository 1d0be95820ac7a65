//! The files that a configuration names, looked at as a start would: problems with their places.

use std::time::SystemTime;

use crate::config::{Loaded, Problem, Problems};
use crate::tls::{self, certificate::Severity};

/// What is wrong with a configuration's certificates.
#[derive(Default)]
pub struct Certificates {
    /// With these nothing can be served.
    pub problems: Problems,
    /// Served, but clients will refuse it.
    pub errors: Vec<Problem>,
    /// What will become a problem, or was sorted out.
    pub warnings: Vec<Problem>,
}

/// Reads whatever the listeners' TLS names.
pub fn certificates(loaded: &Loaded, now: SystemTime) -> Certificates {
    let mut found = Certificates::default();
    for listener in &loaded.config.listeners {
        let Some(settings) = &listener.tls else {
            continue;
        };
        let place = |path: &[&str], message: String| {
            let path: Vec<&str> = ["listeners", &*listener.name, "tls"]
                .into_iter()
                .chain(path.iter().copied())
                .collect();
            loaded.problem(&path, message)
        };
        match tls::load(settings, &[], now) {
            Ok(read) => {
                for (source, finding) in read.findings() {
                    let index = settings.certificates.iter().position(|one| one == source);
                    let index = index.map_or_else(String::new, |index| index.to_string());
                    let problem = place(&["certificates", &index], finding.explained());
                    match finding.severity {
                        Severity::Fatal | Severity::Error => found.errors.push(problem),
                        Severity::Warning | Severity::Mended => found.warnings.push(problem),
                    }
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
