//! Certificates and keys in words, and file names as a shell takes them.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1StringRef, Asn1Time, Asn1TimeRef};
use openssl::hash::{MessageDigest, hash};
use openssl::nid::Nid;
use openssl::pkey::{HasPublic, Id, PKeyRef};
use openssl::x509::{X509NameRef, X509Ref};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::config::on_one_line;

/// Characters of a name that are shown.
const SHOWN: usize = 100;

const DAY: i64 = 24 * 60 * 60;

/// A certificate's common name, or all of its subject, or its first alternative name.
pub fn title(cert: &X509Ref) -> String {
    if let Some(name) = common_name(cert.subject_name()) {
        return name;
    }
    match super::names(cert).into_iter().next() {
        Some(name) => shown(&name),
        None => name(cert.subject_name()),
    }
}

/// A distinguished name as `CN=lb.example.com, O=Example`, most significant last.
pub fn name(name: &X509NameRef) -> String {
    let parts: Vec<String> = attributes(name)
        .into_iter()
        .map(|(kind, value)| {
            let value = value.to_string();
            let value = value.map_or_else(|_| "?".to_owned(), |value| shown(&value));
            format!("{kind}={value}")
        })
        .collect();
    if parts.is_empty() {
        return "(no name)".to_owned();
    }
    parts.join(", ")
}

/// What a distinguished name consists of, the most particular first (RFC 4514 section 2.1), each with what it is: a
/// short name such as `CN`, or an object identifier.
pub fn attributes(name: &X509NameRef) -> Vec<(String, &Asn1StringRef)> {
    let mut attributes: Vec<_> = name
        .entries()
        .map(|entry| {
            let object = entry.object();
            let kind = match object.nid().short_name() {
                Ok(short) if object.nid() != Nid::UNDEF => short.to_owned(),
                _ => object.to_string(),
            };
            (kind, entry.data())
        })
        .collect();
    attributes.reverse();
    attributes
}

/// The common name, if there is one.
pub fn common_name(name: &X509NameRef) -> Option<String> {
    let entry = name.entries_by_nid(Nid::COMMONNAME).last()?;
    let value = entry.data().to_string().ok()?;
    (!value.is_empty()).then(|| shown(&value))
}

/// A key's kind and size, such as `RSA 2048 bits` or `ECDSA P-256`.
pub fn key<T: HasPublic>(key: &PKeyRef<T>) -> String {
    let bits = key.bits();
    match key.id() {
        Id::RSA => format!("RSA {bits} bits"),
        Id::RSA_PSS => format!("RSA-PSS {bits} bits"),
        Id::EC => {
            let curve = key
                .ec_key()
                .ok()
                .and_then(|key| key.group().curve_name())
                .map_or("an unnamed curve", curve_name);
            format!("ECDSA {curve}")
        }
        Id::ED25519 => "Ed25519".to_owned(),
        Id::ED448 => "Ed448".to_owned(),
        Id::DSA => format!("DSA {bits} bits"),
        _ => format!("another kind, {bits} bits"),
    }
}

/// SHA-256 of a public key (its SubjectPublicKeyInfo): the same for a key and its certificate.
pub fn key_digest<T: HasPublic>(key: &PKeyRef<T>) -> Option<String> {
    let der = key.public_key_to_der().ok()?;
    Some(hex(&hash(MessageDigest::sha256(), &der).ok()?))
}

/// The algorithm of a signature, such as `sha256WithRSAEncryption`.
pub fn signature(cert: &X509Ref) -> String {
    let object = cert.signature_algorithm().object();
    match object.nid().long_name() {
        Ok(name) if object.nid() != Nid::UNDEF => name.to_owned(),
        _ => object.to_string(),
    }
}

/// Bytes as `AB:CD:EF`.
pub fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// A moment as `2026-11-20 21:24:47 UTC`.
pub fn moment(at: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    // Beyond the year 9999 there is no such text, and no need of one.
    let seconds = seconds(at).clamp(-62_135_596_800, 253_402_300_799);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|at| at.format(format).ok())
        .unwrap_or_default()
}

/// A span of time as an operator counts it: `12 days`, `5 hours`.
pub fn span(span: Duration) -> String {
    let hours = span.as_secs() / 3600;
    match (hours / 24, hours) {
        (2.., _) => format!("{} days", hours / 24),
        (_, 2..) => format!("{hours} hours"),
        _ => format!("{} minutes", span.as_secs() / 60),
    }
}

/// An ASN.1 time. What OpenSSL can't read (it read the certificate) is the epoch.
pub fn system_time(time: &Asn1TimeRef) -> SystemTime {
    let difference = Asn1Time::from_unix(0).and_then(|epoch| epoch.diff(time));
    let seconds = difference.map_or(0, |d| i64::from(d.days) * DAY + i64::from(d.secs));
    let span = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        UNIX_EPOCH.checked_sub(span)
    } else {
        UNIX_EPOCH.checked_add(span)
    }
    .unwrap_or(UNIX_EPOCH)
}

/// A path as a shell takes it, quoted if need be.
pub fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    // What begins with a dash would be an option.
    if text.starts_with('-') {
        return quoted_text(&format!("./{text}"));
    }
    quoted_text(&text)
}

/// A word as a shell takes it, quoted if need be.
pub fn quoted_text(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// `text` as it may appear in a message: on one line, not endless, without control characters.
pub fn shown(text: &str) -> String {
    on_one_line(text, SHOWN)
}

/// Names, one after the other.
pub fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| shown(name)).collect();
    names.join(", ")
}

/// `1 line`, `2 lines`.
pub fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn curve_name(nid: Nid) -> &'static str {
    match nid {
        Nid::X9_62_PRIME256V1 => "P-256",
        Nid::SECP384R1 => "P-384",
        Nid::SECP521R1 => "P-521",
        nid => nid.short_name().unwrap_or("an unnamed curve"),
    }
}

fn seconds(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |s| -s),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_and_a_span_are_words() {
        let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(moment(at), "2023-11-14 22:13:20 UTC");
        let at = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(moment(at), "1969-12-31 23:59:59 UTC");
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!(span(hours(49)), "2 days");
        assert_eq!(span(hours(47)), "47 hours");
        assert_eq!(span(Duration::from_secs(200)), "3 minutes");
    }

    #[test]
    fn a_time_comes_back_as_it_was() {
        for seconds in [0, 1_700_000_000, 4_102_444_800] {
            let time = Asn1Time::from_unix(seconds).unwrap();
            let back = system_time(&time).duration_since(UNIX_EPOCH).unwrap();
            assert_eq!(i64::try_from(back.as_secs()).unwrap(), seconds);
        }
        let before = Asn1Time::from_str_x509("19500101000000Z").unwrap();
        assert_eq!(moment(system_time(&before)), "1950-01-01 00:00:00 UTC");
    }

    #[test]
    fn a_shell_gets_one_word() {
        assert_eq!(quoted(Path::new("a/b-c.pem")), "a/b-c.pem");
        assert_eq!(quoted(Path::new("my cert.pem")), "'my cert.pem'");
        assert_eq!(quoted(Path::new("it's")), r"'it'\''s'");
        assert_eq!(quoted(Path::new("-rf")), "./-rf");
        assert_eq!(quoted(Path::new("$(id)")), "'$(id)'");
    }
}
