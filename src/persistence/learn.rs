//! `persistence.type: learn`: which server set which value of its own cookie, or of a header field, is remembered in the
//! session table. No message is changed.
//!
//! What the table is asked, and what is to be remembered, is decided here; the table is asked elsewhere.

use http::HeaderName;

use super::affinity::{Answered, Learned};
use super::cookie;
use super::session_key::{KeyMaker, Kind, SessionKey, SessionKeys};
use super::set_cookie;
use crate::config::model::{Learn as Settings, LearnedFrom};
use crate::headers::{Fields, trim};

/// The learned sessions of one pool.
#[derive(Clone)]
pub(super) struct Learn {
    from: LearnedFrom,
    keys: KeyMaker,
}

impl Learn {
    pub(super) fn new(settings: &Settings, pool: &str) -> Self {
        let kind = match settings.from {
            LearnedFrom::Cookie(_) => Kind::Cookie,
            LearnedFrom::Header(_) => Kind::Header,
        };
        Self {
            from: settings.from.clone(),
            keys: KeyMaker::new(kind, pool),
        }
    }

    /// The sessions that `request` may belong to: those that the table knows count, in this order. An empty value
    /// is none. Quotes around a cookie's value don't count, as some clients take them off.
    pub(super) fn ask(&self, request: &Fields) -> Option<SessionKeys> {
        match &self.from {
            LearnedFrom::Cookie(name) => {
                let values = cookie::values(request, name.as_bytes());
                let values = values.filter(|value| !value.is_empty());
                SessionKeys::collect(values.map(|value| self.keys.of_value(value)))
            }
            LearnedFrom::Header(name) => SessionKeys::collect(self.in_fields(request, name)),
        }
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
        let mut set = |key: SessionKey| {
            goes_on |= facts.asked == Some(key);
            if facts.asked != Some(key) || facts.stayed.is_none() {
                learned.push(Learned::Bind(key));
            }
        };
        match &self.from {
            LearnedFrom::Cookie(name) => {
                for setting in set_cookie::named(response, name.as_bytes()) {
                    if setting.deletes(facts.now) {
                        ends = true;
                    } else {
                        set(self.keys.of_value(setting.value()));
                    }
                }
            }
            LearnedFrom::Header(name) => self.in_fields(response, name).for_each(&mut set),
        }
        if let Some(key) = facts.asked
            && ends
            && !goes_on
        {
            learned.push(Learned::Forget(key));
        }
        learned
    }

    /// The keys of the field's values, each line as a whole.
    fn in_fields<'a>(
        &'a self,
        headers: &'a Fields,
        name: &'a HeaderName,
    ) -> impl Iterator<Item = SessionKey> {
        let values = headers.get_all(name).iter();
        let values = values.map(|value| trim(value.as_bytes()));
        values
            .filter(|value| !value.is_empty())
            .map(|value| self.keys.of_value(value))
    }
}

#[cfg(test)]
mod tests;
