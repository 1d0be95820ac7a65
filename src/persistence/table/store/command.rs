//! What the shared store is asked: one script, which runs there as one step.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Script};

use crate::persistence::table::Binding;
use crate::persistence::{SessionKey, UnixTime};

/// Looks a session up, and binds it by a rule. Gives the binding that then holds, or nil. What can't be read, or is too old, is
/// as if it were not there. Runs by EVALSHA; redis-rs loads it where that fails.
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("bind.lua")));

/// A longer name than a configuration can have is not one of ours.
const LONGEST: usize = 1024;

/// One question about one session.
pub(super) struct Question<'a> {
    pub(super) now: UnixTime,
    /// The idle time that is left if this is a use.
    pub(super) idle: Duration,
    /// Seconds; 0 = for ever.
    pub(super) max_lifetime: u32,
    /// What to bind it to if the rule lets.
    pub(super) offer: Option<&'a Binding>,
    pub(super) rule: Rule<'a>,
    /// Whether its idle time begins anew.
    pub(super) uses: bool,
}

/// When a live binding stays.
#[derive(Clone, Copy)]
pub(super) enum Rule<'a> {
    Always,
    /// Unless it is to this server.
    NotTo(&'a str),
    /// Unless it began before the offer.
    NotOlder,
    /// Never.
    Never,
}

/// Where a pool's sessions are.
pub(super) struct Keys(String);

impl Keys {
    pub(super) fn new(pool: &str) -> Self {
        Self(format!("equipoise:{pool}:"))
    }

    fn of(&self, key: SessionKey) -> String {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(self.0.len() + 32);
        text.push_str(&self.0);
        for byte in key.as_bytes() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    pub(super) async fn ask(
        &self,
        connection: &mut MultiplexedConnection,
        key: SessionKey,
        question: &Question<'_>,
    ) -> RedisResult<Option<Binding>> {
        let (rule, from) = match question.rule {
            Rule::Always => ("always", ""),
            Rule::NotTo(from) => ("not to", from),
            Rule::NotOlder => ("not older", ""),
            Rule::Never => ("never", ""),
        };
        let (started, server) = question
            .offer
            .map_or((0, ""), |offer| (offer.started.0, &*offer.server));
        let idle = u64::try_from(question.idle.as_millis()).unwrap_or(u64::MAX);
        let reply: Option<Vec<u8>> = SCRIPT
            .key(self.of(key))
            .arg(question.now.0)
            .arg(idle)
            .arg(question.max_lifetime)
            .arg(started)
            .arg(server)
            .arg(rule)
            .arg(from)
            .arg(u8::from(question.uses))
            .invoke_async(connection)
            .await?;
        Ok(reply.as_deref().and_then(read))
    }

    pub(super) async fn forget(
        &self,
        connection: &mut MultiplexedConnection,
        key: SessionKey,
    ) -> RedisResult<()> {
        redis::cmd("DEL")
            .arg(self.of(key))
            .query_async(connection)
            .await
    }
}

/// `1800000000 tomcat1`.
fn read(value: &[u8]) -> Option<Binding> {
    let (started, server) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    let started = started.parse().ok()?;
    if server.is_empty() || server.len() > LONGEST {
        return None;
    }
    Some(Binding {
        server: Arc::from(server),
        started: UnixTime(started),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_time_and_a_name() {
        let read = |text: &str| {
            read(text.as_bytes()).map(|binding| (binding.started.0, binding.server.to_string()))
        };
        assert_eq!(read("12 a b"), Some((12, "a b".into())));
        for bad in [
            "",
            "12",
            "12 ",
            " a",
            "x a",
            "-1 a",
            "99999999999999999999 a",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        assert_eq!(read(&format!("1 {}", "a".repeat(LONGEST + 1))), None);
    }

    #[test]
    fn a_key_names_its_pool_and_is_hexadecimal() {
        let key = SessionKey::from_bytes(std::array::from_fn(|n| u8::try_from(n * 16).unwrap()));
        assert_eq!(
            Keys::new("tomcats").of(key),
            "equipoise:tomcats:00102030405060708090a0b0c0d0e0f0"
        );
    }
}
