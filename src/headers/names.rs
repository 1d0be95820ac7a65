//! Names of fields: the frequent ones are there already, and needn't be made anew for each message.

use std::sync::LazyLock;

use http::{HeaderName, header};

use super::{is_token, spelling};

/// Those that browsers, servers and proxies send.
const FREQUENT: [HeaderName; 96] = [
    header::ACCEPT,
    header::ACCEPT_CHARSET,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::ACCEPT_RANGES,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    header::ACCESS_CONTROL_REQUEST_HEADERS,
    header::ACCESS_CONTROL_REQUEST_METHOD,
    header::AGE,
    header::ALLOW,
    header::ALT_SVC,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LENGTH,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::CONTENT_SECURITY_POLICY,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::DATE,
    header::DNT,
    header::ETAG,
    header::EXPECT,
    header::EXPIRES,
    header::FORWARDED,
    header::FROM,
    header::HOST,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::LAST_MODIFIED,
    header::LINK,
    header::LOCATION,
    header::ORIGIN,
    header::PRAGMA,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::RANGE,
    header::REFERER,
    header::REFERRER_POLICY,
    header::RETRY_AFTER,
    header::SEC_WEBSOCKET_ACCEPT,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_VERSION,
    header::SERVER,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::UPGRADE_INSECURE_REQUESTS,
    header::USER_AGENT,
    header::VARY,
    header::VIA,
    header::WARNING,
    header::WWW_AUTHENTICATE,
    header::X_CONTENT_TYPE_OPTIONS,
    header::X_FRAME_OPTIONS,
    header::X_XSS_PROTECTION,
    HeaderName::from_static("device-memory"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("priority"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("save-data"),
    HeaderName::from_static("sec-ch-ua"),
    HeaderName::from_static("sec-ch-ua-mobile"),
    HeaderName::from_static("sec-ch-ua-platform"),
    HeaderName::from_static("sec-fetch-dest"),
    HeaderName::from_static("sec-fetch-mode"),
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-user"),
    HeaderName::from_static("sec-gpc"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-powered-by"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-requested-with"),
];

/// Places in the table of frequent names.
const PLACES: usize = 256;

/// The frequent names by their hashes.
static TABLE: LazyLock<Vec<Vec<Frequent>>> = LazyLock::new(|| {
    let mut table = vec![Vec::new(); PLACES];
    for name in FREQUENT.map(Name::from) {
        if let Some(place) = table.get_mut(usize::from(name.hash)) {
            place.push(Frequent {
                usual: spelling::spelt(&name.name).into_bytes().into(),
                lower: name.name.as_str().as_bytes().into(),
                name,
            });
        }
    }
    table
});

/// A frequent name, and how it is spelt.
#[derive(Debug, Clone)]
struct Frequent {
    name: Name,
    usual: Box<[u8]>,
    lower: Box<[u8]>,
}

impl Frequent {
    fn is(&self, bytes: &[u8]) -> bool {
        // Nearly all names come in one of these two ways, and to compare all bytes at once is quicker.
        *bytes == *self.usual || *bytes == *self.lower || bytes.eq_ignore_ascii_case(&self.lower)
    }
}

/// A name, and what there is to know of it before it is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// As the `http` crate has it, in lower case.
    pub name: HeaderName,
    /// See [`hash`].
    pub hash: u8,
    /// See [`is_plain`].
    pub is_plain: bool,
}

impl From<HeaderName> for Name {
    fn from(name: HeaderName) -> Self {
        Self {
            hash: hash(name.as_str().as_bytes()),
            is_plain: is_plain(&name),
            name,
        }
    }
}

impl Name {
    /// A name from its bytes, in whatever case; `None` if they are none (RFC 9110 section 5.1).
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let place = TABLE.get(usize::from(hash(bytes)));
        let known = place.and_then(|place| place.iter().find(|known| known.is(bytes)));
        match known {
            Some(known) => Some(known.name.clone()),
            None if is_token(bytes) => HeaderName::from_bytes(bytes).ok().map(Self::from),
            None => None,
        }
    }
}

/// A name that the code knows: its hash is made when that is compiled.
#[derive(Debug, Clone)]
pub struct KnownName {
    name: HeaderName,
    hash: u8,
}

impl KnownName {
    /// A name in lower case, of letters, digits and hyphens.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name: HeaderName::from_static(name),
            hash: hash(name.as_bytes()),
        }
    }

    /// It as the `http` crate has it.
    pub const fn name(&self) -> &HeaderName {
        &self.name
    }

    /// See [`hash`].
    pub const fn hash(&self) -> u8 {
        self.hash
    }
}

impl From<KnownName> for Name {
    fn from(known: KnownName) -> Self {
        Self {
            name: known.name,
            hash: known.hash,
            is_plain: true,
        }
    }
}

impl From<KnownName> for HeaderName {
    fn from(known: KnownName) -> Self {
        known.name
    }
}

impl PartialEq<KnownName> for HeaderName {
    fn eq(&self, known: &KnownName) -> bool {
        *self == known.name
    }
}

macro_rules! known {
    ($($constant:ident = $name:literal,)*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $constant: KnownName = KnownName::new($name);
        )*
        #[cfg(test)]
        fn all_known() -> Vec<KnownName> {
            vec![$($constant,)*]
        }
    };
}

known! {
    ACCEPT_ENCODING = "accept-encoding",
    ACCEPT_RANGES = "accept-ranges",
    ALLOW = "allow",
    CACHE_CONTROL = "cache-control",
    CONNECTION = "connection",
    CONTENT_ENCODING = "content-encoding",
    CONTENT_LENGTH = "content-length",
    CONTENT_LOCATION = "content-location",
    CONTENT_RANGE = "content-range",
    CONTENT_TYPE = "content-type",
    COOKIE = "cookie",
    DATE = "date",
    ETAG = "etag",
    EXPECT = "expect",
    EXPIRES = "expires",
    FORWARDED = "forwarded",
    HOST = "host",
    IF_NONE_MATCH = "if-none-match",
    LOCATION = "location",
    PROXY_AUTHENTICATE = "proxy-authenticate",
    PROXY_AUTHORIZATION = "proxy-authorization",
    REFERER = "referer",
    RETRY_AFTER = "retry-after",
    SERVER = "server",
    SET_COOKIE = "set-cookie",
    TE = "te",
    TRAILER = "trailer",
    TRANSFER_ENCODING = "transfer-encoding",
    UPGRADE = "upgrade",
    USER_AGENT = "user-agent",
    VARY = "vary",
    VIA = "via",
    WWW_AUTHENTICATE = "www-authenticate",
}

/// Whether a name has none but letters, digits and hyphens.
pub fn is_plain(name: &HeaderName) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    name.as_str().bytes().all(plain)
}

/// A few bytes of a name and its length, whatever its case.
pub const fn hash(name: &[u8]) -> u8 {
    let [length, ..] = name.len().to_le_bytes();
    let (_, second_half) = name.split_at(name.len() / 2);
    let ends = lower(name.first())
        .wrapping_mul(7)
        .wrapping_add(lower(name.last()).wrapping_mul(31));
    let sum = ends
        .wrapping_add(lower(second_half.first()).wrapping_mul(13))
        .wrapping_add((length & 0x7f).wrapping_mul(41));
    sum ^ sum >> 4
}

const fn lower(byte: Option<&u8>) -> u8 {
    match byte {
        Some(byte) => *byte | 0x20,
        None => 0x20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_whether_they_are_frequent_or_not() {
        for name in FREQUENT
            .iter()
            .map(HeaderName::as_str)
            .chain(["x-mine", "a"])
        {
            for spelt in [name.to_owned(), name.to_ascii_uppercase()] {
                let parsed = Name::parse(spelt.as_bytes()).unwrap();
                let plainly = HeaderName::from_bytes(name.as_bytes()).unwrap();
                assert_eq!(parsed, Name::from(plainly));
            }
        }
        assert_eq!(Name::parse(b""), None);
        assert_eq!(Name::parse(b"a b"), None);
    }

    #[test]
    fn what_is_known_of_a_name_is_what_would_be_found_out() {
        for known in all_known() {
            assert_eq!(Name::from(known.clone()), Name::from(known.name));
        }
    }

    #[test]
    fn frequent_names_share_few_places() {
        assert!(TABLE.iter().all(|place| place.len() <= 4));
    }
}
