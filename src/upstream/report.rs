//! What is wrong with servers, told once and not once a request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::trouble::Trouble;
use crate::pool::{Address, Server};

/// How soon the same is told of the same server again.
const AGAIN: Duration = Duration::from_secs(60);

/// How soon a server that fails is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What was told of which server, by its name.
#[derive(Default)]
pub struct Report {
    told: Mutex<HashMap<Arc<str>, Told>>,
}

#[derive(Default)]
struct Told {
    last: Option<(String, Instant)>,
    looked: Option<Instant>,
}

impl Report {
    /// Whether it is time to look why a server fails; if so, it counts as looked at.
    pub fn may_look(&self, server: &Server) -> bool {
        let now = Instant::now();
        let mut told = self.told.lock();
        let of_server = told.entry(Arc::clone(server.name())).or_default();
        let due = of_server
            .looked
            .is_none_or(|before| now.duration_since(before) >= LOOK_AGAIN);
        if due {
            of_server.looked = Some(now);
        }
        due
    }

    /// Writes a warning, unless the same was written within a minute.
    pub fn tell(&self, pool: &str, server: &Server, trouble: &Trouble) {
        let now = Instant::now();
        let is_news = {
            let mut told = self.told.lock();
            let of_server = told.entry(Arc::clone(server.name())).or_default();
            let is_news = of_server
                .last
                .as_ref()
                .is_none_or(|(what, at)| *what != trouble.what || now.duration_since(*at) >= AGAIN);
            if is_news {
                of_server.last = Some((trouble.what.clone(), now));
            }
            is_news
        };
        if is_news {
            let address = server.address();
            tracing::warn!(
                pool,
                server = &**server.name(),
                address = address.as_deref().map_or("", Address::as_str),
                reason = trouble.what,
                advice = trouble.advice,
                "cannot speak to a server as configured"
            );
        }
    }
}
