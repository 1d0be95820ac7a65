//! How a value names a server: the token that inserted, rewritten and prefixed cookies share.
//!
//! By default it is signed (see `token`) and says when it was made and when its session was balanced, so that
//! both timeouts are enforced here rather than left to the client. With `token: name` it is the server's
//! name, percent-encoded, and says no time; HAProxy's dates behind a name are understood.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::affinity::Member;
use super::dated_name::DatedName;
use super::token::{Claims, ServerTag, Token, TokenKey};
use super::{Bound, Keyring, LastToken, Lookup, UnixTime};
use crate::config::model::Token as Form;

/// How far another node's clock may be ahead of ours, or ours may have been when a token was made, in seconds: a day, as
/// with HAProxy. A token from the future counts as made now, so that a clock that was put right ends no session; one from
/// further ahead would count for ever.
const CLOCK_SKEW: u64 = 86_400;
/// How many cookies of one name are looked at in one request. A client sends more than one only if
/// they were set for different paths or domains, so this is plenty, and it bounds a hostile one.
pub(super) const MAX_CANDIDATES: usize = 16;

/// How many codecs were made.
static MADE: AtomicU64 = AtomicU64::new(0);

/// Makes and reads the tokens of one pool. `S` is a handle of a server.
#[derive(Clone)]
pub(super) struct Codec<S> {
    /// None other has it, unless it says the same of all tokens.
    id: u64,
    names: Names<S>,
    limits: Limits,
}

/// How long a token counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Since it was made.
    pub timeout: Option<Duration>,
    /// Since its session was balanced.
    pub max_lifetime: Option<Duration>,
}

#[derive(Clone)]
enum Names<S> {
    /// One a secret, the signing one first; at least one.
    Signed(Vec<(TokenKey, HashMap<ServerTag, S>)>),
    /// By the encoded name.
    Plain(HashMap<Vec<u8>, S>),
}

impl<S: Clone> Codec<S> {
    /// For the pool of that name and its servers, which are known by their names alone: their order and
    /// addresses don't matter. `None`: signed tokens need keys.
    pub(super) fn new(
        form: Form,
        limits: Limits,
        keys: Option<&Keyring>,
        pool: &str,
        servers: &[Member<S>],
    ) -> Option<Self> {
        let names = match form {
            Form::Name => {
                let encoded = |server: &Member<S>| encode_name(&server.name);
                Names::Plain(
                    servers
                        .iter()
                        .map(|server| (encoded(server), server.handle.clone()))
                        .collect(),
                )
            }
            Form::Signed => {
                let keyed = keys?.secrets().map(|secret| {
                    let key = TokenKey::new(secret, pool);
                    let by_tag = servers
                        .iter()
                        .map(|server| (key.tag(&server.name), server.handle.clone()))
                        .collect();
                    (key, by_tag)
                });
                Names::Signed(keyed.collect())
            }
        };
        Some(Self {
            id: MADE.fetch_add(1, Ordering::Relaxed),
            names,
            limits,
        })
    }

    /// The token of a session of `server`, made of characters that a cookie's value may have and no `~`.
    ///
    /// `session_started` is `now` for a session that was just balanced, and [`Bound::session_started`] for one
    /// that goes on.
    pub(super) fn token_for(
        &self,
        server: &str,
        session_started: UnixTime,
        now: UnixTime,
    ) -> Vec<u8> {
        match &self.names {
            Names::Plain(_) => encode_name(server),
            Names::Signed(keyed) => keyed.first().map_or_else(Vec::new, |(key, _)| {
                let claims = Claims {
                    server: key.tag(server),
                    issued: now,
                    session_started,
                };
                key.seal(&claims).to_vec()
            }),
        }
    }

    /// What those of `tokens` say that name a server of the pool and have not expired. If there is none, the
    /// answer is about the one that came closest.
    pub(super) fn bound<'a>(
        &self,
        tokens: impl Iterator<Item = &'a [u8]>,
        now: UnixTime,
        last: Option<&LastToken>,
    ) -> Lookup<S> {
        bound(
            tokens
                .take(MAX_CANDIDATES)
                .map(|token| self.judge(token, now, last)),
        )
    }

    /// Whether `text` is written as our tokens are, whoever made it and whenever.
    pub(super) fn is_written_as_ours(&self, text: &[u8]) -> bool {
        match &self.names {
            Names::Signed(_) => Token::parse(text).is_some(),
            Names::Plain(_) => is_encoded_name(text),
        }
    }

    /// Whether nobody but a holder of our keys made `text`, however long ago. A plain name proves nothing.
    pub(super) fn is_proven_ours(&self, text: &[u8]) -> bool {
        match &self.names {
            Names::Signed(keyed) => open(keyed, text).is_some(),
            Names::Plain(_) => false,
        }
    }

    /// What one token says.
    fn judge(&self, token: &[u8], now: UnixTime, last: Option<&LastToken>) -> Lookup<S> {
        match &self.names {
            Names::Signed(keyed) => {
                let known = last.and_then(|last| last.recall(self.id, token));
                let known = known.or_else(|| {
                    let (key, claims) = open(keyed, token)?;
                    if let Some(last) = last {
                        last.note(self.id, token, key, claims);
                    }
                    Some((key, claims))
                });
                known
                    .and_then(|(key, claims)| Some((keyed.get(key)?, claims)))
                    .map_or(Lookup::Invalid, |((_, servers), claims)| {
                        self.judge_claims(servers, claims, now)
                    })
            }
            Names::Plain(servers) => match (servers.get(token), DatedName::parse(token)) {
                (Some(server), _) => Lookup::only(Bound {
                    server: server.clone(),
                    session_started: now,
                    // When it was set isn't known, and to set it with every response would keep all of
                    // them out of caches: the timeout of such a cookie counts from when it was set.
                    renew: false,
                }),
                (None, Some(dated)) => self.judge_dated(servers, &dated, now),
                (None, None) => Lookup::Invalid,
            },
        }
    }

    /// What HAProxy set. Renewed in time it becomes a name without dates.
    fn judge_dated(
        &self,
        servers: &HashMap<Vec<u8>, S>,
        dated: &DatedName<'_>,
        now: UnixTime,
    ) -> Lookup<S> {
        let Some(server) = servers.get(dated.name) else {
            return Lookup::Invalid;
        };
        let (set, started) = (
            dated.set.unwrap_or(now),
            dated.session_started.unwrap_or(now),
        );
        match self.age(set, started, now) {
            Age::Future => Lookup::Invalid,
            Age::Expired => Lookup::Expired,
            Age::Alive { renew } => Lookup::only(Bound {
                server: server.clone(),
                session_started: started,
                renew,
            }),
        }
    }

    /// What a token says that somebody with our keys made.
    fn judge_claims(
        &self,
        servers: &HashMap<ServerTag, S>,
        claims: Claims,
        now: UnixTime,
    ) -> Lookup<S> {
        let renew = match self.age(claims.issued, claims.session_started, now) {
            Age::Future => return Lookup::Invalid,
            Age::Expired => return Lookup::Expired,
            Age::Alive { renew } => renew,
        };
        servers.get(&claims.server).map_or(Lookup::Gone, |server| {
            Lookup::only(Bound {
                server: server.clone(),
                session_started: claims.session_started,
                renew,
            })
        })
    }

    /// How a cookie that was set then, of a session that began then, stands with the limits.
    fn age(&self, set: UnixTime, session_started: UnixTime, now: UnixTime) -> Age {
        if set.max(session_started).seconds_since(now) > CLOCK_SKEW {
            return Age::Future;
        }
        let Limits {
            timeout,
            max_lifetime,
        } = self.limits;
        let idle = Duration::from_secs(now.seconds_since(set));
        let lifetime = Duration::from_secs(now.seconds_since(session_started));
        if timeout.is_some_and(|timeout| idle > timeout)
            || max_lifetime.is_some_and(|max| lifetime > max)
        {
            return Age::Expired;
        }
        Age::Alive {
            renew: timeout.is_some_and(|timeout| idle.saturating_mul(2) >= timeout),
        }
    }
}

/// How old a cookie is.
enum Age {
    /// From further ahead than clocks differ.
    Future,
    /// Idle for too long, or of a session that is too old.
    Expired,
    /// It counts; half of its idle timeout may have passed.
    Alive { renew: bool },
}

/// A key and the servers' tags under it.
type Keyed<S> = (TokenKey, HashMap<ServerTag, S>);

/// Which key made a token, and what it says; `None` if none did.
fn open<S>(keyed: &[Keyed<S>], token: &[u8]) -> Option<(usize, Claims)> {
    let token = Token::parse(token)?;
    let mut keys = keyed.iter().enumerate();
    keys.find_map(|(at, (key, _))| Some((at, key.open(&token)?)))
}

/// Those of `lookups` that are bound, else the first of those that came closest. Allocates only for a second one that is
/// bound.
pub(super) fn bound<S>(lookups: impl Iterator<Item = Lookup<S>>) -> Lookup<S> {
    let mut best = Lookup::Miss;
    for found in lookups {
        match (&mut best, found) {
            (Lookup::Bound(_, others), Lookup::Bound(another, more)) => {
                others.push(another);
                others.extend(more);
            }
            (best, found) if closeness(&found) > closeness(best) => *best = found,
            _ => {}
        }
    }
    best
}

/// How near to a usable session a lookup came.
const fn closeness<S>(found: &Lookup<S>) -> u8 {
    match found {
        Lookup::Miss => 0,
        Lookup::Invalid => 1,
        Lookup::Expired => 2,
        Lookup::Gone => 3,
        Lookup::Bound(..) => 4,
    }
}

/// `name` as a cookie's value: what is not a cookie-octet (RFC 6265bis section 4.1.1) is percent-encoded, and
/// so are `%` and the `~` that ends a prefix.
fn encode_name(name: &str) -> Vec<u8> {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if is_plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            let digits = [byte >> 4, byte & 15].into_iter();
            let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
            encoded.extend(digits.map(|digit| digit.to_ascii_uppercase()));
        }
    }
    encoded.into_bytes()
}

/// Whether [`encode_name`] could have written `text`, for a name that isn't empty.
fn is_encoded_name(text: &[u8]) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return !text.is_empty(),
            [b'%', high, low, rest @ ..] if is_digit(high) && is_digit(low) => rest,
            [byte, rest @ ..] if is_plain(*byte) => rest,
            _ => return false,
        };
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\%~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn codec(form: Form) -> Codec<String> {
        let keys = Keyring::parse(b"a secret for tests only").unwrap();
        let servers = ["a", "b~c"].map(|name| Member {
            name: name.into(),
            route: name.into(),
            handle: name.to_owned(),
        });
        let limits = Limits {
            timeout: None,
            max_lifetime: None,
        };
        Codec::new(form, limits, Some(&keys), "pool", &servers).unwrap()
    }

    const NOW: UnixTime = UnixTime(1_800_000_000);

    #[test]
    fn signed_tokens_need_keys_and_names_do_not() {
        let limits = Limits {
            timeout: None,
            max_lifetime: None,
        };
        let none: &[Member<()>] = &[];
        assert!(Codec::new(Form::Signed, limits, None, "pool", none).is_none());
        assert!(Codec::new(Form::Name, limits, None, "pool", none).is_some());
    }

    #[test]
    fn a_token_is_known_as_ours_after_its_server_and_its_key_are_gone() {
        let signed = codec(Form::Signed);
        let token = signed.token_for("gone", NOW, NOW);
        assert!(signed.is_written_as_ours(&token));
        assert!(signed.is_proven_ours(&token));
        let mut forged = token.clone();
        forged[20] = if forged[20] == b'A' { b'B' } else { b'A' };
        assert!(signed.is_written_as_ours(&forged));
        assert!(!signed.is_proven_ours(&forged));
        for other in ["", "a", "AQ", "b%7Ec"] {
            assert!(!signed.is_written_as_ours(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn what_a_connection_remembers_holds_for_that_codec_and_token_alone() {
        let (one, other) = (codec(Form::Signed), codec(Form::Signed));
        let last = LastToken::default();
        let said = |codec: &Codec<String>, token: &[u8]| {
            let remembered = codec.bound([token].into_iter(), NOW, Some(&last));
            assert_eq!(codec.bound([token].into_iter(), NOW, None), remembered);
            remembered
        };
        let [a, b] = ["a", "b~c"].map(|server| one.token_for(server, NOW, NOW));
        for _ in 0..2 {
            assert_ne!(said(&one, &a), said(&one, &b));
            assert_eq!(said(&other, &b), said(&one, &b));
            let mut forged = b.clone();
            forged[40] = if forged[40] == b'A' { b'B' } else { b'A' };
            assert_eq!(said(&one, &forged), Lookup::Invalid);
            assert_eq!(said(&one, b""), Lookup::Invalid);
        }
        // It expires whether it is remembered or not.
        let limits = Limits {
            timeout: Some(Duration::from_secs(60)),
            max_lifetime: None,
        };
        let brief = Codec {
            limits,
            id: 77,
            ..one
        };
        let later = UnixTime(NOW.0 + 61);
        let at = |now| brief.bound([&a[..]].into_iter(), now, Some(&last));
        assert!(matches!(at(NOW), Lookup::Bound(..)));
        assert_eq!(at(later), Lookup::Expired);
    }

    #[test]
    fn a_name_is_written_in_one_way_only() {
        let plain = codec(Form::Name);
        assert_eq!(plain.token_for("b~c", NOW, NOW), b"b%7Ec");
        for ours in ["a", "tomcat1.example.com:8080", "b%7Ec", "%C3%A9"] {
            assert!(plain.is_written_as_ours(ours.as_bytes()), "{ours}");
            assert!(!plain.is_proven_ours(ours.as_bytes()), "{ours}");
        }
        for other in ["", "a b", "a%", "a%7", "a%7e", "a\"", "a,b", "a~", "\u{e9}"] {
            assert!(!plain.is_written_as_ours(other.as_bytes()), "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_token_is_a_value_without_a_tilde(name in ".{1,20}", signed: bool) {
            let codec = codec(if signed { Form::Signed } else { Form::Name });
            let token = codec.token_for(&name, NOW, NOW);
            prop_assert!(codec.is_written_as_ours(&token));
            prop_assert!(token.iter().all(|byte| byte.is_ascii_graphic() && !b"\",;\\~".contains(byte)));
        }

        #[test]
        fn names_stay_apart(one in ".{0,6}", two in ".{0,6}") {
            prop_assert_eq!(one == two, encode_name(&one) == encode_name(&two));
        }
    }
}
