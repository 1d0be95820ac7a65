//! Which certificates a client gets for the name that it asks for (RFC 6066 section 3).

use std::collections::HashMap;
use std::sync::Arc;

use openssl::pkey::Id;

use super::certificate::{self, Loaded};

/// The certificates for one name: at most one a kind of key, of which OpenSSL takes what the client can verify.
pub type Chosen = Arc<[Arc<Loaded>]>;

/// All certificates of a listener by the names that they cover.
pub struct Names {
    exact: HashMap<Box<str>, Chosen>,
    /// By what follows `*.`: a wildcard covers one label (RFC 9525 section 6.3).
    wildcard: HashMap<Box<str>, Chosen>,
    default: Option<Chosen>,
}

impl Names {
    /// In the order of the configuration: of two certificates for the same name and kind of key, the first is taken.
    pub fn new(certificates: &[Arc<Loaded>]) -> Self {
        let mut exact: HashMap<Box<str>, Vec<Arc<Loaded>>> = HashMap::new();
        let mut wildcard: HashMap<Box<str>, Vec<Arc<Loaded>>> = HashMap::new();
        for loaded in certificates {
            for name in certificate::names(&loaded.identity.leaf) {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut wildcard, Box::from(parent)),
                    None => (&mut exact, name.into_boxed_str()),
                };
                let chosen = names.entry(name).or_default();
                if !chosen.iter().any(|other| kind(other) == kind(loaded)) {
                    chosen.push(Arc::clone(loaded));
                }
            }
        }
        let frozen = |names: HashMap<Box<str>, Vec<Arc<Loaded>>>| {
            names
                .into_iter()
                .map(|(name, chosen)| (name, Chosen::from(chosen)))
                .collect()
        };
        let mut names = Self {
            exact: frozen(exact),
            wildcard: frozen(wildcard),
            default: None,
        };
        names.default = certificates.first().map(|first| {
            // With whatever stands beside it for its name.
            certificate::names(&first.identity.leaf)
                .first()
                .and_then(|name| names.written(name).filter(|all| holds(all, first)).cloned())
                .unwrap_or_else(|| Chosen::from([Arc::clone(first)]))
        });
        names
    }

    /// What covers a name; `None` if nothing does.
    pub fn covering(&self, name: &str) -> Option<&Chosen> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.exact.get(name.as_str()).or_else(|| {
            let (label, parent) = name.split_once('.')?;
            (!label.is_empty()).then(|| self.wildcard.get(parent))?
        })
    }

    /// What those get that nothing covers; `None` if there is no certificate at all.
    pub fn default(&self) -> Option<&Chosen> {
        self.default.as_ref()
    }

    /// By a name as it stands in a certificate.
    fn written(&self, name: &str) -> Option<&Chosen> {
        match name.strip_prefix("*.") {
            Some(parent) => self.wildcard.get(parent),
            None => self.exact.get(name),
        }
    }
}

fn holds(chosen: &Chosen, loaded: &Arc<Loaded>) -> bool {
    chosen.iter().any(|one| Arc::ptr_eq(one, loaded))
}

fn kind(loaded: &Loaded) -> Id {
    loaded.identity.key.id()
}
