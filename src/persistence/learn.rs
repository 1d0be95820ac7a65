//! `persistence.type: learn`: which server set which value of its own cookie is remembered in the session
//! table. No message is changed.
//!
//! What the table is asked, and what is to be remembered, is decided here; the table is asked elsewhere.

use std::sync::Arc;

use super::affinity::{Answered, Learned};
use super::cookie;
use super::session_key::{KeyMaker, Kind, SessionKeys};
use super::set_cookie;
use crate::config::model::Learn as Settings;
use crate::headers::Fields;

/// The learned cookie of one pool.
#[derive(Clone)]
pub(super) struct Learn {
    name: Arc<str>,
    keys: KeyMaker,
}

impl Learn {
    pub(super) fn new(settings: &Settings, pool: &str) -> Self {
        Self {
            name: settings.cookie.clone(),
            keys: KeyMaker::new(Kind::Cookie, pool),
        }
    }

    /// The sessions that `request` may belong to: those that the table knows count, in this order. An empty value
    /// is none. Quotes around a value don't count, as some clients take them off.
    pub(super) fn ask(&self, request: &Fields) -> Option<SessionKeys> {
        let values = cookie::values(request, self.name.as_bytes());
        let values = values.filter(|value| !value.is_empty());
        SessionKeys::collect(values.map(|value| self.keys.of_cookie(value)))
    }

    /// What `response` says about sessions, in its order.
    ///
    /// A value that is set binds its session to the server that set it; nothing needs to be remembered if the
    /// request came with that very session and stayed on its server. A cookie that is deleted ends the
    /// request's session, unless the same response sets it anew (for another path, say).
    pub(super) fn learn(&self, response: &Fields, facts: &Answered<'_>) -> Vec<Learned> {
        let mut learned = Vec::new();
        let mut ends = false;
        let mut goes_on = false;
        for setting in set_cookie::named(response, self.name.as_bytes()) {
            if setting.deletes(facts.now) {
                ends = true;
                continue;
            }
            let key = self.keys.of_cookie(setting.value());
            if facts.asked == Some(key) {
                goes_on = true;
                if facts.stayed.is_some() {
                    continue;
                }
            }
            learned.push(Learned::Bind(key));
        }
        if let Some(key) = facts.asked
            && ends
            && !goes_on
        {
            learned.push(Learned::Forget(key));
        }
        learned
    }
}

#[cfg(test)]
mod tests;
