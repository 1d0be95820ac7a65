//! Tells by its structure what a piece of DER is, before OpenSSL is asked to read it.
//!
//! Only as deep as the kinds differ: the tags of the outermost sequence's first elements.

/// What it is, if it is well-formed as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A certificate, a request or a revocation list: something, an algorithm, a signature.
    Signed,
    /// A private key: PKCS#1, PKCS#8 or SEC1.
    PrivateKey,
    /// An encrypted PKCS#8 key.
    EncryptedKey,
    /// A public key: SubjectPublicKeyInfo.
    PublicKey,
    /// A public key: PKCS#1.
    RsaPublicKey,
    /// PKCS#7, CMS.
    Pkcs7,
    /// PKCS#12.
    Pkcs12,
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// The kind of the element that `input` begins with.
pub fn kind(input: &[u8]) -> Option<Kind> {
    let contents = match input {
        // Of indefinite length (X.690, 8.1.3.6), as some programs write archives.
        [SEQUENCE, 0x80, contents @ ..] => contents,
        _ => match element(input)? {
            (SEQUENCE, contents, _) => contents,
            _ => return None,
        },
    };
    // PKCS#7 and PKCS#12 go on with elements that may be of indefinite length, too.
    let (first, value, rest) = element(contents)?;
    let second = rest.first().copied();
    match (first, value, second) {
        (OBJECT, _, _) => Some(Kind::Pkcs7),
        (INTEGER, [3], Some(SEQUENCE)) => Some(Kind::Pkcs12),
        (INTEGER, [0 | 1], Some(SEQUENCE | OCTET_STRING)) | (INTEGER, [0], Some(INTEGER)) => {
            Some(Kind::PrivateKey)
        }
        (INTEGER, _, Some(INTEGER)) => Some(Kind::RsaPublicKey),
        (SEQUENCE, _, Some(BIT_STRING)) => Some(Kind::PublicKey),
        (SEQUENCE, _, Some(OCTET_STRING)) => Some(Kind::EncryptedKey),
        (SEQUENCE, _, Some(SEQUENCE)) => Some(Kind::Signed),
        _ => None,
    }
}

/// What a certificate's serial number is made of, octet by octet.
pub fn serial(cert: &[u8]) -> Option<&[u8]> {
    match fields(cert)?.next()? {
        (INTEGER, octets) => Some(octets),
        _ => None,
    }
}

/// Whether a certificate's key is on a curve that is spelt out and not named (RFC 5480 section 2.1.1).
pub fn has_explicit_curve(cert: &[u8]) -> Option<bool> {
    const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    // Behind serial number, algorithm, issuer, validity and subject.
    let (_, key) = fields(cert)?.nth(5)?;
    let (_, algorithm, _) = element(key)?;
    let (_, object, parameters) = element(algorithm)?;
    Some(object == EC_PUBLIC_KEY && parameters.first() == Some(&SEQUENCE))
}

/// Whether a certificate says that it may sign others: `CA:TRUE` (RFC 5280 section 4.2.1.9).
pub fn is_marked_as_authority(cert: &[u8]) -> Option<bool> {
    const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
    const EXTENSIONS: u8 = 0xa3;
    let (_, extensions) = fields(cert)?.find(|(tag, _)| *tag == EXTENSIONS)?;
    let (_, extensions, _) = element(extensions)?;
    let found = elements(extensions).find_map(|(_, extension)| {
        let mut parts = elements(extension);
        let (_, object) = parts.next()?;
        // There may be a flag in between.
        let (_, value) = parts.find(|(tag, _)| *tag == OCTET_STRING)?;
        (object == BASIC_CONSTRAINTS).then_some(value)
    });
    let (_, constraints, _) = element(found?)?;
    let first = element(constraints);
    Some(matches!(first, Some((BOOLEAN, [flag], _)) if *flag != 0))
}

/// What is signed of a certificate, from the serial number on (RFC 5280 section 4.1).
fn fields(cert: &[u8]) -> Option<impl Iterator<Item = (u8, &[u8])>> {
    const VERSION: u8 = 0xa0;
    let (_, cert, _) = element(cert)?;
    let (_, signed, _) = element(cert)?;
    Some(elements(signed).skip_while(|(tag, _)| *tag == VERSION))
}

/// Tag and contents of one element after the other.
fn elements(mut input: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, contents, rest) = element(input)?;
        input = rest;
        Some((tag, contents))
    })
}

/// The first element with its header, and what follows it.
pub fn split(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, _, rest) = element(input)?;
    input.split_at_checked(input.len().checked_sub(rest.len())?)
}

/// Tag, contents, and what follows.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = input.split_first_chunk::<2>()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (octets, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
        if octets.is_empty() || octets.len() > 4 {
            return None;
        }
        let length = octets
            .iter()
            .fold(0usize, |length, &octet| length << 8 | usize::from(octet));
        (length, rest)
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_of_a_length_that_is_not_there_is_none() {
        assert_eq!(element(&[0x30, 0x03, 1, 2]), None);
        assert_eq!(element(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 1]), None);
        assert_eq!(element(&[0x30, 0x85, 0, 0, 0, 0, 1, 1]), None);
        assert_eq!(element(&[0x30, 0x80, 1, 2]), None);
        assert_eq!(element(&[0x30]), None);
        assert_eq!(
            element(&[0x30, 0x81, 1, 7, 9]),
            Some((0x30, &[7][..], &[9][..]))
        );
    }

    #[test]
    fn what_is_no_certificate_says_nothing() {
        for input in [
            &b""[..],
            b"text",
            &[0x30, 0],
            &[0x30, 2, 0x30, 0],
            &[0x30, 4, 0x30, 2, 2, 0],
        ] {
            assert!(serial(input).is_none_or(<[u8]>::is_empty));
            assert_eq!(has_explicit_curve(input), None);
            assert_eq!(is_marked_as_authority(input), None);
        }
    }

    #[test]
    fn what_follows_an_element_is_split_off() {
        assert_eq!(split(&[0x30, 1, 7, 9]), Some((&[0x30, 1, 7][..], &[9][..])));
        assert_eq!(split(b"text"), None);
    }

    #[test]
    fn nothing_else_has_a_kind() {
        assert_eq!(kind(b""), None);
        assert_eq!(kind(b"<!DOCTYPE html>"), None);
        assert_eq!(kind(&[0x30, 0]), None);
        assert_eq!(kind(&[0x30, 3, 2, 1, 0]), None);
    }
}
