//! The certificate itself: what is asked for, what comes back, what is kept.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::stack::Stack;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder, X509Ref, X509ReqBuilder};

/// A new key, and the request for a certificate of it.
pub struct Request {
    /// The key.
    pub key: PKey<Private>,
    /// The request (RFC 2986), in DER.
    pub csr: Vec<u8>,
}

/// What is known of a certificate that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its names, in lower case, sorted.
    pub names: Vec<String>,
    /// The first second of its validity.
    pub not_before: SystemTime,
    /// The last.
    pub not_after: SystemTime,
    /// Since when it is kept, by this machine's clock.
    pub since: SystemTime,
    /// What the authority calls it (RFC 9773 section 4.1), if it can be told.
    pub id: Option<Id>,
}

/// A certificate's identifier: the contents of authority key identifier and serial number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id {
    /// The key identifier.
    pub authority_key: Vec<u8>,
    /// The serial number as DER has it.
    pub serial: Vec<u8>,
}

impl Request {
    /// A new key (ECDSA P-256), and a request for these names. The subject is empty: names are in the extension
    /// alone (RFC 9525).
    ///
    /// # Errors
    ///
    /// OpenSSL's.
    pub fn new(names: &[Arc<str>]) -> Result<Self, ErrorStack> {
        let key = generate_key()?;
        let mut builder = X509ReqBuilder::new()?;
        builder.set_pubkey(&key)?;
        builder.set_subject_name(&X509NameBuilder::new()?.build())?;
        let mut alternative = SubjectAlternativeName::new();
        for name in names {
            alternative.dns(name);
        }
        let mut extensions = Stack::new()?;
        extensions.push(alternative.build(&builder.x509v3_context(None))?)?;
        builder.add_extensions(&extensions)?;
        builder.sign(&key, MessageDigest::sha256())?;
        let csr = builder.build().to_der()?;
        Ok(Self { key, csr })
    }
}

/// A new key on P-256.
///
/// # Errors
///
/// OpenSSL's.
pub fn generate_key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

/// The file that is kept: the chain as it came, then the key. One file, so that they always belong together.
///
/// # Errors
///
/// The chain can't be served with this key, or not for these names, in words.
pub fn assemble(
    key: &PKey<Private>,
    chain: &str,
    names: &[Arc<str>],
    now: SystemTime,
) -> Result<Vec<u8>, String> {
    let mut file = chain.trim_end().as_bytes().to_vec();
    file.push(b'\n');
    let key = key.private_key_to_pem_pkcs8();
    file.extend(key.map_err(|error| format!("the new key can't be written down: {error}"))?);
    // Read as everybody else will.
    let certificate = read(&file)?;
    if !certificate.is_for(names) {
        return Err(format!(
            "it is for {}, not for what was asked",
            certificate.names.join(", ")
        ));
    }
    if certificate.not_after <= now {
        return Err("it has expired by this machine's clock; is the clock right?".to_owned());
    }
    Ok(file)
}

/// Reads such a file. Who knows since when it is kept says so.
///
/// # Errors
///
/// It can't be served, in words.
pub fn read(file: &[u8]) -> Result<Certificate, String> {
    let chain = X509::stack_from_pem(file).map_err(|_| "holds no certificate that can be read")?;
    let leaf = chain.first().ok_or("holds no certificate")?;
    let key = PKey::private_key_from_pem(file).map_err(|_| "holds no key that can be read")?;
    let of_leaf = leaf
        .public_key()
        .map_err(|_| "has an unknown kind of key")?;
    if !of_leaf.public_eq(&key) {
        return Err("key and certificate don't belong together".to_owned());
    }
    let time = |time: &Asn1TimeRef| system_time(time).ok_or("has a validity beyond all time");
    Ok(Certificate {
        names: names(leaf),
        not_before: time(leaf.not_before())?,
        since: time(leaf.not_before())?,
        not_after: time(leaf.not_after())?,
        id: id(leaf),
    })
}

impl Certificate {
    /// Whether it is for exactly these names.
    pub fn is_for(&self, names: &[Arc<str>]) -> bool {
        self.names.len() == names.len() && names.iter().all(|name| self.covers(name))
    }

    /// Whether it is for this name, among others perhaps.
    pub fn covers(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}

fn names(leaf: &X509Ref) -> Vec<String> {
    let mut names: Vec<String> = leaf
        .subject_alt_names()
        .into_iter()
        .flatten()
        .filter_map(|name| name.dnsname().map(str::to_ascii_lowercase))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn id(leaf: &X509Ref) -> Option<Id> {
    let authority_key = leaf.authority_key_id()?.as_slice().to_vec();
    let mut serial = leaf.serial_number().to_bn().ok()?.to_vec();
    // DER's integers have a sign.
    if serial.first().is_none_or(|first| *first >= 0x80) {
        serial.insert(0, 0);
    }
    Some(Id {
        authority_key,
        serial,
    })
}

fn system_time(time: &Asn1TimeRef) -> Option<SystemTime> {
    let since = Asn1Time::from_unix(0).ok()?.diff(time).ok()?;
    let seconds = i64::from(since.days) * 86_400 + i64::from(since.secs);
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use openssl::asn1::{Asn1Object, Asn1OctetString};
    use openssl::bn::BigNum;
    use openssl::x509::X509Builder;
    use openssl::x509::{X509Extension, X509Req};

    /// The example of RFC 9773 section 4.1.
    const AUTHORITY_KEY: [u8; 20] = [
        0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0, 0xae,
        0x2c, 0xde, 0x01, 0xc8, 0xd4,
    ];

    pub fn arcs(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    /// A self-signed certificate, in PEM.
    pub fn issue(key: &PKey<Private>, names: &[&str], from: i64, to: i64) -> String {
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        builder.set_pubkey(key).unwrap();
        let serial = BigNum::from_slice(&[0x87, 0x65, 0x43, 0x21]).unwrap();
        builder
            .set_serial_number(&serial.to_asn1_integer().unwrap())
            .unwrap();
        builder
            .set_not_before(&Asn1Time::from_unix(from).unwrap())
            .unwrap();
        builder
            .set_not_after(&Asn1Time::from_unix(to).unwrap())
            .unwrap();
        let mut alternative = SubjectAlternativeName::new();
        for name in names {
            alternative.dns(name);
        }
        let alternative = alternative.build(&builder.x509v3_context(None, None));
        builder.append_extension(alternative.unwrap()).unwrap();
        // AuthorityKeyIdentifier { keyIdentifier [0] }
        let mut value = vec![0x30, 22, 0x80, 20];
        value.extend(AUTHORITY_KEY);
        let authority = X509Extension::new_from_der(
            &Asn1Object::from_str("2.5.29.35").unwrap(),
            false,
            &Asn1OctetString::new_from_bytes(&value).unwrap(),
        );
        builder.append_extension(authority.unwrap()).unwrap();
        builder.sign(key, MessageDigest::sha256()).unwrap();
        String::from_utf8(builder.build().to_pem().unwrap()).unwrap()
    }

    pub fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_request_has_the_names_and_is_signed_by_the_key() {
        let request = Request::new(&arcs(&["a.example.com", "b.example.com"])).unwrap();
        let csr = X509Req::from_der(&request.csr).unwrap();
        assert!(csr.verify(&request.key).unwrap());
        let text = String::from_utf8(csr.to_text().unwrap()).unwrap();
        assert!(
            text.contains("DNS:a.example.com, DNS:b.example.com"),
            "{text}"
        );
    }

    #[test]
    fn what_is_kept_can_be_read_again() {
        let key = generate_key().unwrap();
        let chain = issue(&key, &["b.example.com", "A.example.com"], 1000, 9000);
        let names = arcs(&["a.example.com", "b.example.com"]);
        let file = assemble(&key, &chain, &names, at(2000)).unwrap();
        let certificate = read(&file).unwrap();
        assert_eq!(certificate.names, ["a.example.com", "b.example.com"]);
        assert_eq!(certificate.not_before, at(1000));
        assert_eq!(certificate.not_after, at(9000));
        assert!(certificate.is_for(&names));
        assert!(!certificate.is_for(&arcs(&["a.example.com"])));
        assert!(!certificate.is_for(&arcs(&["a.example.com", "c.example.com"])));
    }

    #[test]
    fn what_can_not_be_served_is_not_kept() {
        let (key, other) = (generate_key().unwrap(), generate_key().unwrap());
        let names = arcs(&["a.example.com"]);
        let chain = issue(&key, &["a.example.com"], 1000, 9000);
        let refused = |key, chain: &str, now| assemble(key, chain, &names, at(now)).unwrap_err();
        assert!(refused(&other, &chain, 2000).contains("don't belong together"));
        assert!(refused(&key, &chain, 9000).contains("clock"));
        assert!(refused(&key, "no PEM", 2000).contains("no certificate"));
        let foreign = issue(&key, &["b.example.com"], 1000, 9000);
        assert!(refused(&key, &foreign, 2000).contains("b.example.com"));
    }

    #[test]
    fn a_serial_number_is_told_as_der_has_it() {
        let key = generate_key().unwrap();
        let pem = issue(&key, &["a.example.com"], 1000, 9000);
        let leaf = X509::from_pem(pem.as_bytes()).unwrap();
        let id = id(&leaf).unwrap();
        assert_eq!(id.serial, [0, 0x87, 0x65, 0x43, 0x21]);
        assert_eq!(id.authority_key, AUTHORITY_KEY);
    }

    #[test]
    fn times_before_1970_and_far_away_are_times() {
        for seconds in [-86_401, -1, 0, 1, 4_102_444_800] {
            let time = system_time(&Asn1Time::from_unix(seconds).unwrap()).unwrap();
            let back = match time.duration_since(UNIX_EPOCH) {
                Ok(since) => i64::try_from(since.as_secs()).unwrap(),
                Err(before) => -i64::try_from(before.duration().as_secs()).unwrap(),
            };
            assert_eq!(back, seconds);
        }
    }
}
