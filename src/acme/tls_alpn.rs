//! The certificate that answers a tls-alpn-01 challenge (RFC 8737 section 3).

use openssl::asn1::{Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509Extension, X509NameBuilder};

use super::certificate::generate_key;

/// id-pe-acmeIdentifier (RFC 8737 section 6.1).
const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";

/// Bytes of a SHA-256 digest.
pub const DIGEST: usize = 32;

/// A self-signed certificate for one name that shows the digest of the key authorization.
///
/// # Errors
///
/// OpenSSL's.
pub fn certificate(name: &str, digest: &[u8; DIGEST]) -> Result<(X509, PKey<Private>), ErrorStack> {
    let key = generate_key()?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let serial = serial.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    let empty = X509NameBuilder::new()?.build();
    builder.set_subject_name(&empty)?;
    builder.set_issuer_name(&empty)?;
    // The authority looks at neither; a clock that is wrong doesn't matter.
    let (from, to) = (Asn1Time::from_unix(0)?, Asn1Time::days_from_now(7)?);
    builder.set_not_before(&from)?;
    builder.set_not_after(&to)?;
    builder.set_pubkey(&key)?;
    let alternative = SubjectAlternativeName::new()
        .critical()
        .dns(name)
        .build(&builder.x509v3_context(None, None))?;
    builder.append_extension(alternative)?;
    // An OCTET STRING within the extension's own.
    let mut value = vec![0x04, 0x20];
    value.extend_from_slice(digest);
    let identifier = X509Extension::new_from_der(
        &*Asn1Object::from_str(ACME_IDENTIFIER)?,
        true,
        &*Asn1OctetString::new_from_bytes(&value)?,
    )?;
    builder.append_extension(identifier)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok((builder.build(), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_one_host_and_shows_the_digest_in_a_critical_extension() {
        let (certificate, key) = certificate("a.example.com", &[0xab; DIGEST]).unwrap();
        assert!(certificate.public_key().unwrap().public_eq(&key));
        let names = certificate.subject_alt_names().unwrap();
        assert_eq!(names.len(), 1);
        assert_eq!(names[0].dnsname(), Some("a.example.com"));
        let der = certificate.to_der().unwrap();
        // SEQUENCE { OID 1.3.6.1.5.5.7.1.31, BOOLEAN TRUE, OCTET STRING { OCTET STRING digest } }
        let mut wanted = vec![
            0x06, 8, 0x2b, 6, 1, 5, 5, 7, 1, 31, 0x01, 1, 0xff, 0x04, 34, 0x04, 32,
        ];
        wanted.extend([0xab; DIGEST]);
        assert!(der.windows(wanted.len()).any(|part| part == wanted));
    }
}
