//! The signed token: what a session cookie says, so that only holders of the secret can read or make it.
//!
//! ```text
//! version (1)  key (1)  masked claims (18)  code (16)        base64url, 48 characters
//!
//! claims = server tag (10)  issued (4)  session started (4)
//! code   = HMAC-SHA256(authentication key, version ‖ key ‖ claims), its first 16 bytes
//! masked = claims ⊕ HMAC-SHA256(masking key, code), its first 18 bytes
//! ```
//!
//! This is the SIV construction of Rogaway and Shrimpton ("A Provable-Security Treatment of the
//! Key-Wrap Problem", 2006): the authentication code of the plain text serves as the nonce of its
//! encryption. It takes no randomness, so there is none that could repeat. The one thing it shows is
//! whether two tokens of one pool are equal in server and both times.
//!
//! A server is named by a keyed tag of its name. The keys are the pool's own, so a token of another
//! pool does not verify. `key` tells which secret signed, so that a check costs the same however many
//! there are.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;

use super::UnixTime;
use super::keyring::{HmacSha256, Secret, keyed};

/// First byte of every token of this form.
const VERSION: u8 = 1;
const TAG: usize = 10;
const CLAIMS: usize = TAG + 4 + 4;
const CODE: usize = 16;
const TOKEN: usize = 1 + 1 + CLAIMS + CODE;

/// Length of a token in characters: 36 bytes make 48 without a bit to spare.
pub(super) const ENCODED: usize = TOKEN / 3 * 4;

/// A server's name under one key.
pub(super) type ServerTag = [u8; TAG];

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claims {
    pub server: ServerTag,
    /// When this token was made.
    pub issued: UnixTime,
    /// When its session was balanced.
    pub session_started: UnixTime,
}

/// Makes and reads the tokens of one pool under one secret.
#[derive(Clone)]
pub(super) struct TokenKey {
    id: u8,
    naming: HmacSha256,
    authentication: HmacSha256,
    masking: HmacSha256,
}

impl TokenKey {
    pub(super) fn new(secret: &Secret, pool: &str) -> Self {
        let [id, ..] = secret.derive("token key id", "");
        Self {
            id,
            naming: keyed(&secret.derive("token server name", pool)),
            authentication: keyed(&secret.derive("token authentication", pool)),
            masking: keyed(&secret.derive("token masking", pool)),
        }
    }

    /// The tag of the server of that name.
    pub(super) fn tag(&self, server: &str) -> ServerTag {
        prf(&self.naming, &[server.as_bytes()])
    }

    /// The token that says `claims`, in base64url. Times beyond 2106 are written as 2106.
    pub(super) fn seal(&self, claims: &Claims) -> [u8; ENCODED] {
        let plain = claims.to_bytes();
        let code: [u8; CODE] = prf(&self.authentication, &[&[VERSION, self.id], &plain]);
        let masked = self.mask(plain, &code);

        let mut token = [0; TOKEN];
        let parts = [VERSION, self.id].into_iter().chain(masked).chain(code);
        for (byte, part) in token.iter_mut().zip(parts) {
            *byte = part;
        }
        let mut encoded = [0; ENCODED];
        // Can't fail, the length is exact; if it did, the token would be one that never verifies.
        let _ = URL_SAFE_NO_PAD.encode_slice(token, &mut encoded);
        encoded
    }

    /// What `token` says if this key made it.
    pub(super) fn open(&self, token: &Token) -> Option<Claims> {
        if token.key != self.id {
            return None;
        }
        let plain = self.mask(token.masked, &token.code);
        let mut mac = self.authentication.clone();
        mac.update(&[VERSION, self.id]);
        mac.update(&plain);
        mac.verify_truncated_left(&token.code).ok()?;
        Claims::from_bytes(&plain)
    }

    /// Masks or unmasks; doing it twice gives back the same.
    fn mask(&self, mut claims: [u8; CLAIMS], code: &[u8; CODE]) -> [u8; CLAIMS] {
        let stream: [u8; CLAIMS] = prf(&self.masking, &[code]);
        for (byte, mask) in claims.iter_mut().zip(stream) {
            *byte ^= mask;
        }
        claims
    }
}

/// A token's parts, not verified.
pub(super) struct Token {
    key: u8,
    masked: [u8; CLAIMS],
    code: [u8; CODE],
}

impl Token {
    /// Takes apart what looks like a token of our version. There is one way only to write a token.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != ENCODED {
            return None;
        }
        let mut bytes = [0; TOKEN];
        URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let ([VERSION, key], rest) = bytes.split_first_chunk::<2>()? else {
            return None;
        };
        let (masked, code) = rest.split_first_chunk::<CLAIMS>()?;
        Some(Self {
            key: *key,
            masked: *masked,
            code: *code.first_chunk()?,
        })
    }
}

impl Claims {
    fn to_bytes(self) -> [u8; CLAIMS] {
        let mut bytes = [0; CLAIMS];
        let times = [self.issued, self.session_started]
            .map(|time| u32::try_from(time.0).unwrap_or(u32::MAX).to_be_bytes());
        let parts = self.server.into_iter().chain(times.into_iter().flatten());
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = part;
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; CLAIMS]) -> Option<Self> {
        let (server, times) = bytes.split_first_chunk::<TAG>()?;
        let (issued, session_started) = times.split_first_chunk::<4>()?;
        let time = |bytes: [u8; 4]| UnixTime(u32::from_be_bytes(bytes).into());
        Some(Self {
            server: *server,
            issued: time(*issued),
            session_started: time(*session_started.first_chunk()?),
        })
    }
}

/// The first `N` (at most 32) bytes of the code of `parts`, one after the other.
fn prf<const N: usize>(key: &HmacSha256, parts: &[&[u8]]) -> [u8; N] {
    let mut mac = key.clone();
    for part in parts {
        mac.update(part);
    }
    let mut out = [0; N];
    for (byte, code) in out.iter_mut().zip(mac.finalize().into_bytes()) {
        *byte = code;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persistence::Keyring;
    use proptest::prelude::*;

    fn key(secret: &str, pool: &str) -> TokenKey {
        let keyring = Keyring::parse(secret.as_bytes()).unwrap();
        TokenKey::new(keyring.secrets().next().unwrap(), pool)
    }

    fn claims(key: &TokenKey, server: &str, issued: u32, started: u32) -> Claims {
        Claims {
            server: key.tag(server),
            issued: UnixTime(issued.into()),
            session_started: UnixTime(started.into()),
        }
    }

    fn open(key: &TokenKey, text: &[u8]) -> Option<Claims> {
        key.open(&Token::parse(text)?)
    }

    const SECRET: &str = "a secret for tests only";

    /// Computed with Python's `hmac`, `hashlib` and `base64` from the description above: a change of
    /// the form would rebind every session at an update.
    #[test]
    fn the_form_is_what_it_was() {
        let key = key(SECRET, "tomcats");
        let token = key.seal(&claims(&key, "tomcat1", 1_800_000_000, 1_799_999_000));
        assert_eq!(
            std::str::from_utf8(&token).unwrap(),
            "AQ-BxvJHEvEf43uwFuZy8_ch5cBl4MBKFuzDq2rM_QqQyTXV"
        );
    }

    #[test]
    fn nothing_of_it_can_be_read() {
        let key = key(SECRET, "tomcats");
        let first = key.seal(&claims(&key, "tomcat1", 1_800_000_000, 1_800_000_000));
        let second = key.seal(&claims(&key, "tomcat1", 1_800_000_001, 1_800_000_000));
        let bytes = |text: &[u8]| URL_SAFE_NO_PAD.decode(text).unwrap();
        let (first, second) = (bytes(&first), bytes(&second));
        let equal = first
            .iter()
            .zip(&second)
            .skip(2)
            .filter(|(a, b)| a == b)
            .count();
        assert!(
            equal < 8,
            "{equal} of 34 bytes are equal in tokens of one session"
        );
        assert!(
            !first
                .windows(4)
                .any(|bytes| bytes == 1_800_000_000_u32.to_be_bytes())
        );
        assert!(!first.windows(TAG).any(|bytes| bytes == key.tag("tomcat1")));
    }

    #[test]
    fn times_past_2106_are_cut() {
        let key = key(SECRET, "p");
        let far = UnixTime(u64::MAX);
        let token = key.seal(&Claims {
            server: key.tag("a"),
            issued: far,
            session_started: far,
        });
        assert_eq!(
            open(&key, &token).unwrap().issued,
            UnixTime(u32::MAX.into())
        );
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(secret in "[a-z ]{16,80}", pool in ".*", server in ".*",
                issued: u32, started: u32) {
            prop_assume!(!secret.starts_with('#') && secret.trim().len() >= 16);
            let key = key(&secret, &pool);
            let claims = claims(&key, &server, issued, started);
            prop_assert_eq!(open(&key, &key.seal(&claims)), Some(claims));
        }

        #[test]
        fn an_altered_token_does_not_verify(issued: u32, at in 0..ENCODED, to: u8) {
            let key = key(SECRET, "pool");
            let mut token = key.seal(&claims(&key, "a", issued, issued));
            prop_assume!(token[at] != to);
            token[at] = to;
            prop_assert_eq!(open(&key, &token), None);
        }

        #[test]
        fn every_flipped_bit_is_noticed(issued: u32) {
            let key = key(SECRET, "pool");
            let token = URL_SAFE_NO_PAD.decode(key.seal(&claims(&key, "a", issued, issued))).unwrap();
            for bit in 0..TOKEN * 8 {
                let mut altered = token.clone();
                altered[bit / 8] ^= 1 << (bit % 8);
                prop_assert_eq!(open(&key, URL_SAFE_NO_PAD.encode(altered).as_bytes()), None);
            }
        }

        #[test]
        fn halves_of_two_tokens_make_none(one: u32, two: u32, at in 1..ENCODED) {
            prop_assume!(one != two);
            let key = key(SECRET, "pool");
            let first = key.seal(&claims(&key, "a", one, one));
            let second = key.seal(&claims(&key, "a", two, two));
            let mixed = [&first[..at], &second[at..]].concat();
            prop_assume!(mixed != first && mixed != second);
            prop_assert_eq!(open(&key, &mixed), None);
        }

        #[test]
        fn another_secret_or_pool_does_not_open_it(issued: u32) {
            let mine = key(SECRET, "pool");
            let token = mine.seal(&claims(&mine, "a", issued, issued));
            prop_assert_eq!(open(&key("another secret for tests", "pool"), &token), None);
            prop_assert_eq!(open(&key(SECRET, "other"), &token), None);
        }

        #[test]
        fn anything_else_is_none(text in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(open(&key(SECRET, "pool"), &text), None);
        }

        #[test]
        fn anything_in_the_alphabet_is_none(text in "[A-Za-z0-9_-]{48}") {
            let key = key(SECRET, "pool");
            prop_assert_eq!(open(&key, text.as_bytes()), None);
            let mut bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
            bytes[0] = VERSION;
            bytes[1] = key.id;
            prop_assert_eq!(open(&key, URL_SAFE_NO_PAD.encode(bytes).as_bytes()), None);
        }
    }
}
