//! What is in a file, in words and for machines: `cert inspect`.

use std::time::SystemTime;

use openssl::hash::MessageDigest;
use openssl::stack::StackRef;
use openssl::x509::{X509, X509Crl, X509Req};
use serde::Serialize;

use super::chain::{Placed, is_self_signed, sort};
use super::contents::{Contents, Encoding, Item, Thing};
use super::examine::CERTIFICATES;
use super::host::alternative_names;
use super::unlock::Lock;
use super::words::{self, counted, moment, name, shown, span, system_time, title};

/// A file.
#[derive(Debug, Serialize)]
pub struct Description {
    /// As the user named it.
    pub file: String,
    /// `PEM`, `DER`, `P7B`, `PFX`.
    pub format: &'static str,
    /// What is in it, in its order.
    pub contents: Vec<Entry>,
    /// From the server's certificate up, in words; absent if there is no certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// What can't be decoded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<String>,
}

/// One thing in it.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// Such as `certificate`, `private key`.
    pub kind: String,
    /// Where it begins, 1-based, in a text file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Its properties: a word and its value.
    #[serde(flatten)]
    pub properties: Properties,
    /// Whether it is what operators look for, and could be opened.
    #[serde(skip)]
    pub usable: bool,
}

/// Words and values, in the order in which they are shown.
#[derive(Debug, Default)]
pub struct Properties(pub Vec<(&'static str, Value)>);

/// A value.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Words.
    Text(String),
    /// Several.
    List(Vec<String>),
    /// A number.
    Number(i64),
}

impl Serialize for Properties {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl Properties {
    fn text(mut self, word: &'static str, value: impl Into<String>) -> Self {
        self.0.push((word, Value::Text(value.into())));
        self
    }
}

/// Describes it.
pub fn describe(contents: &Contents, now: SystemTime) -> Description {
    Description {
        file: contents.path.display().to_string(),
        format: match contents.encoding {
            Encoding::Pem => "PEM",
            Encoding::Der => "DER",
            Encoding::Pkcs7 => "P7B (PKCS#7)",
            Encoding::Pkcs12 => "PFX (PKCS#12)",
            Encoding::Other => "unknown",
        },
        contents: contents.items.iter().map(|item| entry(item, now)).collect(),
        chain: chain(contents, now),
        damage: contents
            .damage
            .iter()
            .map(|damage| match contents.encoding {
                Encoding::Pem => format!("line {}: {}", damage.line, damage.what),
                _ => damage.what.clone(),
            })
            .collect(),
    }
}

fn entry(item: &Item, now: SystemTime) -> Entry {
    let none = Properties::default;
    let locked = |lock: &Lock| match lock {
        Lock::NoPassword => none().text(
            "closed",
            "encrypted; give its password with --password-file",
        ),
        Lock::WrongPassword => none().text("closed", "encrypted; the password doesn't open it"),
        Lock::Unsupported(reason) => {
            none().text("closed", format!("encrypted; OpenSSL says: {reason}"))
        }
    };
    let (kind, properties, usable) = match &item.thing {
        Thing::Certificate(cert) => ("certificate", certificate(cert, now), true),
        Thing::Key(key) => {
            let digest = words::key_digest(key).unwrap_or_default();
            let properties = none()
                .text("key", words::key(key))
                .text("public_key_sha256", digest);
            ("private key", properties, true)
        }
        Thing::LockedKey(lock) => ("private key", locked(lock), false),
        Thing::LockedArchive(lock) => ("PFX", locked(lock), false),
        Thing::Crl(crl) => ("revocation list (CRL)", revocations(crl, now), true),
        Thing::Request(request) => ("request for a certificate (CSR)", requested(request), true),
        Thing::PublicKey(key) => {
            let digest = words::key_digest(key).unwrap_or_default();
            let properties = none()
                .text("key", words::key(key))
                .text("public_key_sha256", digest);
            ("public key", properties, true)
        }
        Thing::Foreign(foreign) => {
            return Entry {
                kind: foreign.what(),
                line: item.line,
                properties: none().text("advice", foreign.mend().trim_end_matches(':')),
                usable: false,
            };
        }
    };
    Entry {
        kind: kind.to_owned(),
        line: item.line,
        properties,
        usable,
    }
}

fn certificate(cert: &X509, now: SystemTime) -> Properties {
    let serial = cert
        .serial_number()
        .to_bn()
        .map(|serial| words::hex(&serial.to_vec()));
    let digest = cert
        .digest(MessageDigest::sha256())
        .map(|digest| words::hex(&digest));
    let mut all = Properties::default().text("subject", name(cert.subject_name()));
    let names = alternative_names(cert).unwrap_or_default();
    let names = names.iter().map(|name| shown(name)).collect();
    all.0.push(("names", Value::List(names)));
    let issuer = if is_self_signed(cert) {
        "itself (self-signed)".to_owned()
    } else {
        name(cert.issuer_name())
    };
    let from = system_time(cert.not_before());
    let until = system_time(cert.not_after());
    let mut all = all
        .text("issuer", issuer)
        .text("valid_from", moment(from))
        .text("valid_until", moment(until))
        .text("validity", validity(from, until, now));
    all.0
        .push(("days_left", Value::Number(days_left(until, now))));
    if let Ok(key) = cert.public_key() {
        all = all.text("key", words::key(&key)).text(
            "public_key_sha256",
            words::key_digest(&key).unwrap_or_default(),
        );
    }
    all.text("signature", words::signature(cert))
        .text("serial", serial.unwrap_or_default())
        .text("sha256", digest.unwrap_or_default())
}

fn validity(from: SystemTime, until: SystemTime, now: SystemTime) -> String {
    match (from.duration_since(now), until.duration_since(now)) {
        (Ok(early), _) if !early.is_zero() => format!("not yet valid, begins in {}", span(early)),
        (_, Ok(left)) => format!("{} left", span(left)),
        (_, Err(late)) => format!("expired {} ago", span(late.duration())),
    }
}

fn days_left(until: SystemTime, now: SystemTime) -> i64 {
    let days = |span: std::time::Duration| {
        i64::try_from(span.as_secs() / (24 * 60 * 60)).unwrap_or(i64::MAX)
    };
    match until.duration_since(now) {
        Ok(left) => days(left),
        Err(late) => -days(late.duration()) - 1,
    }
}

fn revocations(crl: &X509Crl, now: SystemTime) -> Properties {
    let revoked = crl.get_revoked().map_or(0, StackRef::len);
    let all = Properties::default()
        .text("issuer", name(crl.issuer_name()))
        .text("revoked", counted(revoked, "certificate"))
        .text("issued", moment(system_time(crl.last_update())));
    match crl.next_update().map(system_time) {
        Some(next) if next < now => all.text("next", format!("{}, which is past", moment(next))),
        Some(next) => all.text("next", moment(next)),
        None => all,
    }
}

fn requested(request: &X509Req) -> Properties {
    let mut all = Properties::default().text("subject", name(request.subject_name()));
    if let Ok(key) = request.public_key() {
        all = all.text("key", words::key(&key)).text(
            "public_key_sha256",
            words::key_digest(&key).unwrap_or_default(),
        );
    }
    all.text(
        "advice",
        "a request goes to the issuer, who sends a certificate back",
    )
}

fn chain(contents: &Contents, now: SystemTime) -> Option<String> {
    let certs = contents.items.iter().filter_map(|item| match &item.thing {
        Thing::Certificate(cert) => Some(cert.clone()),
        _ => None,
    });
    // More are a bundle of authorities, with as many chains.
    if certs.clone().count() > CERTIFICATES {
        return None;
    }
    let placed = certs.enumerate().map(|(position, cert)| Placed {
        cert,
        line: None,
        position,
    });
    let key = contents.items.iter().find_map(|item| match &item.thing {
        Thing::Key(key) => Some(key),
        _ => None,
    });
    let chain = sort(placed.collect(), key, now)?;
    let mut text = title(&chain.leaf.cert);
    for placed in &chain.above {
        text.push_str(", signed by ");
        text.push_str(&title(&placed.cert));
    }
    let top = chain.above.last().unwrap_or(&chain.leaf);
    if is_self_signed(&top.cert) {
        text.push_str(", signed by itself");
    } else {
        text.push_str(", signed by ");
        text.push_str(&name(top.cert.issuer_name()));
        text.push_str(" (not in this file)");
    }
    if !chain.unrelated.is_empty() {
        text.push_str(&format!(
            "; {} not part of it",
            counted(chain.unrelated.len(), "certificate")
        ));
    }
    Some(text)
}
