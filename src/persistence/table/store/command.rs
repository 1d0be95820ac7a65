//! What the shared store is asked: one script, which runs there as one step.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Script};

use crate::persistence::table::Binding;
use crate::persistence::{Moment, SessionKey};

/// Looks a session up, and binds it by a rule. Gives the binding that then holds, or nil. What can't be read, or is too old, is
/// as if it were not there. Runs by EVALSHA; redis-rs loads it where that fails.
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("bind.lua")));

/// Does what a request would have done, to a key that nothing else uses.
static PROBE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("probe.lua")));

/// A longer name than a configuration can have is not one of ours.
const LONGEST: usize = 1024;

/// The store's clock beside this process's: nodes compare when sessions began, and what they have in common is the
/// store, not their own clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoreClock(pub(super) i64);

impl StoreClock {
    /// From what the two clocks show at once, in milliseconds since 1970 and of the monotonic clock. `before`: what was known
    /// until now. It stays if it is hardly wrong, so that one session's times don't differ from one question to the next.
    pub(super) fn new(store: u64, here: u64, before: Option<Self>) -> Self {
        let ahead = store.cast_signed().saturating_sub(here.cast_signed());
        let is_right = |clock: &Self| ahead.abs_diff(clock.0.saturating_mul(1000)) <= 1500;
        before
            .filter(is_right)
            .unwrap_or_else(|| Self(ahead.saturating_add(500).div_euclid(1000)))
    }

    fn to_store(self, moment: Moment) -> u64 {
        let shown = self.0.saturating_add(i64::from(moment.0));
        u64::try_from(shown).unwrap_or(0)
    }

    fn to_moment(self, shown: u64) -> Moment {
        let moment = shown.cast_signed().saturating_sub(self.0).max(0);
        Moment(u32::try_from(moment).unwrap_or(u32::MAX))
    }
}

/// One question about one session.
pub(super) struct Question<'a> {
    pub(super) now: Moment,
    /// Turns moments into what the store's clock shows.
    pub(super) clock: StoreClock,
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
    /// All of one pool are on one node of a cluster, which keeps together what stands between braces.
    pub(super) fn new(pool: &str, cluster: bool) -> Self {
        Self(if cluster {
            format!("equipoise:{{{pool}}}:")
        } else {
            format!("equipoise:{pool}:")
        })
    }

    /// Makes the scripts known, so that each later question is one round trip.
    pub(super) async fn load(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        for script in [&SCRIPT, &PROBE] {
            script.load_async(connection).await?;
        }
        Ok(())
    }

    /// Writes and reads as a request does; gives the store's time in seconds and microseconds.
    pub(super) async fn probe(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<(u64, u64)> {
        PROBE
            .key(format!("{}probe", self.0))
            .invoke_async(connection)
            .await
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
        let (started, server) = question.offer.map_or((0, ""), |offer| {
            (question.clock.to_store(offer.started), &*offer.server)
        });
        let idle = u64::try_from(question.idle.as_millis()).unwrap_or(u64::MAX);
        let reply: Option<Vec<u8>> = SCRIPT
            .key(self.of(key))
            .arg(question.clock.to_store(question.now))
            .arg(idle)
            .arg(question.max_lifetime)
            .arg(started)
            .arg(server)
            .arg(rule)
            .arg(from)
            .arg(u8::from(question.uses))
            .invoke_async(connection)
            .await?;
        Ok(reply
            .as_deref()
            .and_then(|value| read(value, question.clock)))
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
fn read(value: &[u8], clock: StoreClock) -> Option<Binding> {
    let (started, server) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    let started = started.parse().ok()?;
    if server.is_empty() || server.len() > LONGEST {
        return None;
    }
    Some(Binding {
        server: Arc::from(server),
        started: clock.to_moment(started),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_time_and_a_name() {
        let read = |text: &str| {
            read(text.as_bytes(), StoreClock(0))
                .map(|binding| (binding.started.0, binding.server.to_string()))
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
    fn the_stores_clock_is_known_to_the_second_and_followed_when_it_jumps() {
        let clock = StoreClock::new(1_800_000_000_400, 5_000, None);
        assert_eq!(clock, StoreClock(1_799_999_995));
        assert_eq!(clock.to_store(Moment(7)), 1_800_000_002);
        assert_eq!(clock.to_moment(1_800_000_002), Moment(7));
        assert_eq!(clock.to_moment(0), Moment(0));
        // What is a moment's delay is no other clock.
        let later = StoreClock::new(1_800_000_010_900, 15_000, Some(clock));
        assert_eq!(later, clock);
        let jumped = StoreClock::new(1_800_086_410_900, 14_300, Some(clock));
        assert_eq!(jumped, StoreClock(1_800_086_397));
    }

    #[test]
    fn a_key_names_its_pool_and_is_hexadecimal() {
        let key = SessionKey::from_bytes(std::array::from_fn(|n| u8::try_from(n * 16).unwrap()));
        assert_eq!(
            Keys::new("tomcats", false).of(key),
            "equipoise:tomcats:00102030405060708090a0b0c0d0e0f0"
        );
        assert_eq!(
            Keys::new("tomcats", true).of(key),
            "equipoise:{tomcats}:00102030405060708090a0b0c0d0e0f0"
        );
    }
}
