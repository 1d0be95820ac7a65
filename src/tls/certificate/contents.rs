//! What is in a file, whatever its name is: PEM, DER, P7B or PFX.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::pkcs7::Pkcs7;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private, Public};
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509Crl, X509Req};

use super::der::{self, Kind};
use super::file::{self, Password};
use super::finding::Fault;
use super::foreign::Foreign;
use super::pem::{self, Block, Damage, Untidy};
use super::unlock::{self, Lock};

/// Elements of a file of DER. One has one; some programs take several behind each other.
const ELEMENTS: usize = 1000;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// PEM, or what may be meant as such.
    Pem,
    /// DER: one certificate, key, …
    Der,
    /// PKCS#7 in DER.
    Pkcs7,
    /// PKCS#12.
    Pkcs12,
    /// None of these.
    Other,
}

/// One thing in a file.
pub struct Item {
    /// Where its block begins, 1-based; `None` in a binary file.
    pub line: Option<usize>,
    /// What it is.
    pub thing: Thing,
}

/// What can be in a file.
pub enum Thing {
    /// A certificate.
    Certificate(X509),
    /// A private key.
    Key(PKey<Private>),
    /// A private key that stays closed.
    LockedKey(Lock),
    /// A PFX that stays closed.
    LockedArchive(Lock),
    /// A revocation list.
    Crl(X509Crl),
    /// A request for a certificate.
    Request(X509Req),
    /// A public key.
    PublicKey(PKey<Public>),
    /// Something else.
    Foreign(Foreign),
}

/// All that is in a file.
pub struct Contents {
    /// The file as the user named it.
    pub path: PathBuf,
    /// How it is written.
    pub encoding: Encoding,
    /// What is in it, in its order.
    pub items: Vec<Item>,
    /// What is untidy.
    pub untidy: Vec<Untidy>,
    /// What can't be decoded.
    pub damage: Vec<Damage>,
}

impl Contents {
    /// Reads the file, of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// Why it can't be read, in words. What is in it is never an error.
    pub fn read(path: &Path, limit: u64, password: Option<&Password>) -> Result<Self, String> {
        let bytes = file::read(path, limit)?;
        Ok(Self::parse(path, &bytes, password))
    }

    /// Tells what these bytes are.
    pub fn parse(path: &Path, bytes: &[u8], password: Option<&Password>) -> Self {
        let mut contents = Self {
            path: path.to_owned(),
            encoding: Encoding::Other,
            items: Vec::new(),
            untidy: Vec::new(),
            damage: Vec::new(),
        };
        if der::kind(bytes).is_some() {
            contents.binary(bytes, password);
        } else {
            contents.text(bytes, password);
        }
        if contents.items.is_empty() && contents.damage.is_empty() {
            contents.add(None, Thing::Foreign(Foreign::recognise(bytes)));
        }
        contents
    }

    fn binary(&mut self, bytes: &[u8], password: Option<&Password>) {
        self.encoding = match der::kind(bytes) {
            Some(Kind::Pkcs7) => Encoding::Pkcs7,
            Some(Kind::Pkcs12) => Encoding::Pkcs12,
            _ => Encoding::Der,
        };
        let mut rest = bytes;
        for _ in 0..ELEMENTS {
            let (element, after) = der::split(rest).unwrap_or((rest, &[]));
            match things(element, password) {
                Some(things) => things.into_iter().for_each(|thing| self.add(None, thing)),
                None => self.damaged(1, "this DER is cut off or altered: it can't be decoded"),
            }
            if der::kind(after).is_none() {
                break;
            }
            rest = after;
        }
    }

    fn text(&mut self, bytes: &[u8], password: Option<&Password>) {
        let (text, marked) = without_byte_order_mark(bytes);
        if pem::looks_like_pem(&text) {
            self.encoding = Encoding::Pem;
            let scan = pem::scan(&text);
            self.untidy = scan.untidy;
            self.damage = scan.damage;
            for block in scan.blocks {
                self.block(&block, password);
            }
        } else if let Some(der) = bare_base64(&text)
            && let Some(things) = things(&der, password)
        {
            self.encoding = Encoding::Pem;
            self.untidy(Fault::NoMarkers);
            for thing in things {
                self.add(Some(1), thing);
            }
        }
        if marked && self.encoding == Encoding::Pem {
            self.untidy(Fault::ByteOrderMark);
        }
    }

    fn block(&mut self, block: &Block, password: Option<&Password>) {
        let label = block.label.as_str();
        let traditional = block
            .headers
            .iter()
            .any(|header| header.contains("ENCRYPTED"));
        // Parameters stand before a key and say nothing that the key doesn't.
        if label.ends_with("PARAMETERS") {
            return;
        }
        if traditional && label.ends_with("PRIVATE KEY") {
            let thing = match unlock::pem_key(&rebuilt(block), password) {
                Ok(key) => Thing::Key(key),
                Err(lock) => Thing::LockedKey(lock),
            };
            return self.add(Some(block.line), thing);
        }
        let known = ["CERTIFICATE", "PRIVATE KEY", "PUBLIC KEY", "REQUEST", "CRL"]
            .iter()
            .any(|end| label.ends_with(end))
            || label.starts_with("PKCS")
            || label == "CMS";
        let foreign = Foreign::of_label(label);
        if !known || !matches!(foreign, Foreign::Block(_)) {
            return self.add(Some(block.line), Thing::Foreign(foreign));
        }
        match things(&block.body, password) {
            Some(things) => {
                for thing in things {
                    self.add(Some(block.line), thing);
                }
            }
            None => self.damaged(
                block.line,
                &format!("this {label} is cut off or altered: its base64 is good, what it stands for is not"),
            ),
        }
    }

    fn add(&mut self, line: Option<usize>, thing: Thing) {
        self.items.push(Item { line, thing });
    }

    fn untidy(&mut self, fault: Fault) {
        self.untidy.push(Untidy {
            fault,
            line: 1,
            count: 1,
        });
    }

    fn damaged(&mut self, line: usize, what: &str) {
        self.damage.push(Damage {
            line,
            what: what.to_owned(),
        });
    }
}

/// What one element of DER holds; `None` if it can't be decoded.
fn things(der: &[u8], password: Option<&Password>) -> Option<Vec<Thing>> {
    let thing = match der::kind(der)? {
        Kind::Signed => signed(der)?,
        Kind::PrivateKey => Thing::Key(PKey::private_key_from_der(der).ok()?),
        Kind::EncryptedKey => match unlock::der_key(der, password) {
            Ok(key) => Thing::Key(key),
            Err(lock) => Thing::LockedKey(lock),
        },
        Kind::PublicKey => Thing::PublicKey(PKey::public_key_from_der(der).ok()?),
        Kind::RsaPublicKey => {
            let key = Rsa::public_key_from_der_pkcs1(der).ok()?;
            Thing::PublicKey(PKey::from_rsa(key).ok()?)
        }
        Kind::Pkcs7 => {
            let message = Pkcs7::from_der(der).ok()?;
            // Without any, for example if it holds revocation lists alone, it is sound nevertheless.
            let certificates = message.signed()?.certificates().into_iter().flatten();
            let owned = certificates.map(ToOwned::to_owned);
            return Some(owned.map(Thing::Certificate).collect());
        }
        Kind::Pkcs12 => {
            let archive = Pkcs12::from_der(der).ok()?;
            return Some(match unlock::archive(&archive, password) {
                Ok(opened) => opened
                    .cert
                    .into_iter()
                    .chain(opened.ca.into_iter().flatten())
                    .map(Thing::Certificate)
                    .chain(opened.pkey.map(Thing::Key))
                    .collect(),
                Err(lock) => vec![Thing::LockedArchive(lock)],
            });
        }
    };
    Some(vec![thing])
}

fn signed(der: &[u8]) -> Option<Thing> {
    X509::from_der(der)
        .map(Thing::Certificate)
        .or_else(|_| X509Req::from_der(der).map(Thing::Request))
        .or_else(|_| X509Crl::from_der(der).map(Thing::Crl))
        .ok()
}

/// The block as OpenSSL likes it.
fn rebuilt(block: &Block) -> Vec<u8> {
    let mut pem = format!("-----BEGIN {}-----\n", block.label);
    for header in &block.headers {
        pem.push_str(header);
        pem.push('\n');
    }
    pem.push('\n');
    let base64 = STANDARD.encode(&block.body);
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str(&format!("-----END {}-----\n", block.label));
    pem.into_bytes()
}

/// The text without byte order mark, and whether there was one. What Windows calls Unicode becomes UTF-8.
fn without_byte_order_mark(bytes: &[u8]) -> (std::borrow::Cow<'_, [u8]>, bool) {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, _) = bytes.as_chunks::<2>();
        let units = pairs.iter().map(|&pair| unit(pair));
        let text: String = char::decode_utf16(units)
            .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect();
        (text.into_bytes().into(), true)
    };
    match bytes {
        [0xef, 0xbb, 0xbf, text @ ..] => (text.into(), true),
        [0xff, 0xfe, text @ ..] => wide(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => wide(text, u16::from_be_bytes),
        text => (text.into(), false),
    }
}

fn bare_base64(text: &[u8]) -> Option<Vec<u8>> {
    let base64: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    STANDARD.decode(base64).ok()
}
