//! A public-key infrastructure for tests: root, intermediate, and whatever they sign, as files.
//!
//! ```ignore
//! let pki = Pki::new();
//! let site = pki.leaf(&["lb.example.com", "*.shop.example.com"]);     // ECDSA, 90 days
//! let old = pki.request(&["old.example.com"]).key(Key::Rsa(2048)).days(-30, -1).issue();
//! // site.cert (leaf, then intermediate), site.key: paths; pki.root(): what clients trust
//! ```

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, CrlNumber, ExtendedKeyUsage, KeyUsage,
    SubjectAlternativeName, SubjectKeyIdentifier,
};
use openssl::x509::{
    X509, X509Builder, X509CrlBuilder, X509Extension, X509Name, X509RevokedBuilder,
};

use super::temp::TempDir;

const DAY: i64 = 24 * 60 * 60;

/// A root, an intermediate that it signed, and a directory for the files of all that they sign.
pub struct Pki {
    dir: TempDir,
    pub root: Authority,
    pub intermediate: Authority,
    issued: AtomicU32,
}

/// Who signs.
pub struct Authority {
    pub cert: X509,
    pub key: PKey<Private>,
}

/// The key that a certificate is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// RSA of so many bits. Slow to make.
    Rsa(u32),
    /// ECDSA on P-256.
    Ecdsa,
    /// ECDSA on a curve by OpenSSL's name.
    Curve(&'static str),
    Ed25519,
}

/// A certificate with its key, and their files.
pub struct Issued {
    /// PEM: the leaf, then the intermediate (unless the root signed it).
    pub cert: PathBuf,
    /// PEM, PKCS#8.
    pub key: PathBuf,
    pub leaf: X509,
    /// The leaf, then the intermediate.
    pub chain: Vec<X509>,
    pub private: PKey<Private>,
}

impl Pki {
    pub fn new() -> Self {
        let root = Authority::root("Test Root");
        let intermediate = root.authority("Test Intermediate");
        let pki = Self {
            dir: TempDir::new("pki"),
            root,
            intermediate,
            issued: AtomicU32::new(0),
        };
        pki.write("root.pem", pki.root.pem());
        pki.write("root.key", pki.root.key_pem());
        pki.write("intermediate.pem", pki.intermediate.pem());
        pki.write("intermediate.key", pki.intermediate.key_pem());
        pki
    }

    /// The file with the root (`root.pem`; its key is in `root.key`): what clients trust, or a CA bundle.
    pub fn root(&self) -> PathBuf {
        self.path("root.pem")
    }

    /// As [`Self::root`], its text.
    pub fn root_pem(&self) -> String {
        text(self.root.pem())
    }

    /// The file with the intermediate (`intermediate.pem`; its key is in `intermediate.key`).
    pub fn intermediate(&self) -> PathBuf {
        self.path("intermediate.pem")
    }

    /// A server's certificate for these names (addresses too), ECDSA, valid for 90 days.
    pub fn leaf(&self, names: &[&str]) -> Issued {
        self.request(names).issue()
    }

    /// As [`Self::leaf`] with an RSA key of 2048 bits.
    pub fn rsa_leaf(&self, names: &[&str]) -> Issued {
        self.request(names).key(Key::Rsa(2048)).issue()
    }

    /// As [`Self::leaf`], but it ended yesterday.
    pub fn expired(&self, names: &[&str]) -> Issued {
        self.request(names).days(-90, -1).issue()
    }

    /// A client's certificate with this common name.
    pub fn client(&self, name: &str) -> Issued {
        self.request(&[name]).client().issue()
    }

    /// A certificate to be described further.
    pub fn request(&self, names: &[&str]) -> Request<'_> {
        Request {
            pki: self,
            names: names.iter().map(ToString::to_string).collect(),
            key: Key::Ecdsa,
            private: None,
            days: (-1, 90),
            digest: MessageDigest::sha256(),
            by: By::Intermediate,
            client: false,
            subject_alt_names: true,
            ca_issuers: None,
        }
    }

    /// A file with the lists of both authorities, valid for a week, in which these are revoked.
    pub fn crl(&self, revoked: &[&Issued]) -> PathBuf {
        let pem = [self.intermediate.crl(revoked, 7), self.root.crl(&[], 7)].concat();
        self.write(&format!("crl{}.pem", self.number()), pem)
    }

    /// The directory of the files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where a file of that name is, or will be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Writes a file into the directory; where it is.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    fn number(&self) -> u32 {
        self.issued.fetch_add(1, Ordering::Relaxed) + 1
    }
}

enum By<'a> {
    Intermediate,
    Root,
    Other(&'a Authority),
    Itself,
}

/// A certificate that is wanted. [`Self::issue`] makes it.
pub struct Request<'a> {
    pki: &'a Pki,
    names: Vec<String>,
    key: Key,
    private: Option<PKey<Private>>,
    days: (i64, i64),
    digest: MessageDigest,
    by: By<'a>,
    client: bool,
    subject_alt_names: bool,
    ca_issuers: Option<String>,
}

impl<'a> Request<'a> {
    pub fn key(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    /// For a key that there is already.
    pub fn with_key_of(mut self, other: &Issued) -> Self {
        self.private = Some(other.private.clone());
        self
    }

    /// Valid from and until so many days from now.
    pub fn days(mut self, from: i64, until: i64) -> Self {
        self.days = (from, until);
        self
    }

    pub fn signed_with_sha1(mut self) -> Self {
        self.digest = MessageDigest::sha1();
        self
    }

    pub fn by_root(mut self) -> Self {
        self.by = By::Root;
        self
    }

    /// Signed by another; only that one is put into the file along with it.
    pub fn by(mut self, authority: &'a Authority) -> Self {
        self.by = By::Other(authority);
        self
    }

    pub fn self_signed(mut self) -> Self {
        self.by = By::Itself;
        self
    }

    /// A client's, not a server's.
    pub fn client(mut self) -> Self {
        self.client = true;
        self
    }

    /// The first name is the common name only.
    pub fn without_subject_alt_names(mut self) -> Self {
        self.subject_alt_names = false;
        self
    }

    /// Says where its issuer's certificate can be had.
    pub fn ca_issuers(mut self, url: &str) -> Self {
        self.ca_issuers = Some(url.to_owned());
        self
    }

    pub fn issue(self) -> Issued {
        let private = self.private.clone().unwrap_or_else(|| self.key.generate());
        let name = self.names.first().map_or("", String::as_str);
        let subject = name_of(name);
        let mut builder = draft(&subject, &private, self.days);
        let itself = Authority {
            cert: draft_signed(&subject, &private, self.days),
            key: private.clone(),
        };
        let (authority, above) = match self.by {
            By::Intermediate => (&self.pki.intermediate, Some(&self.pki.intermediate)),
            By::Other(authority) => (authority, Some(authority)),
            By::Root => (&self.pki.root, None),
            By::Itself => (&itself, None),
        };
        builder
            .set_issuer_name(authority.cert.subject_name())
            .unwrap();
        extend(
            &mut builder,
            KeyUsage::new()
                .critical()
                .digital_signature()
                .build()
                .unwrap(),
        );
        let mut purpose = ExtendedKeyUsage::new();
        let purpose = if self.client {
            purpose.client_auth()
        } else {
            purpose.server_auth()
        };
        extend(&mut builder, purpose.build().unwrap());
        identify(&mut builder, &authority.cert, matches!(self.by, By::Itself));
        if self.subject_alt_names {
            self.add_names(&mut builder, &authority.cert);
        }
        if let Some(url) = &self.ca_issuers {
            let value = format!("caIssuers;URI:{url}");
            let context = builder.x509v3_context(Some(&authority.cert), None);
            #[allow(
                deprecated,
                reason = "the crate has no other way to write this extension"
            )]
            let extension =
                X509Extension::new_nid(None, Some(&context), Nid::INFO_ACCESS, &value).unwrap();
            extend(&mut builder, extension);
        }
        let digest = match authority.key.id() {
            Id::ED25519 => MessageDigest::null(),
            _ => self.digest,
        };
        builder.sign(&authority.key, digest).unwrap();
        let leaf = builder.build();

        let chain: Vec<X509> = std::iter::once(leaf.clone())
            .chain(above.map(|authority| authority.cert.clone()))
            .collect();
        let stem = format!(
            "{}-{}",
            name.replace(['*', ':', '/', ' '], "_"),
            self.pki.number()
        );
        let pem: Vec<u8> = chain
            .iter()
            .flat_map(|cert| cert.to_pem().unwrap())
            .collect();
        Issued {
            cert: self.pki.write(&format!("{stem}.pem"), pem),
            key: self.pki.write(
                &format!("{stem}.key"),
                private.private_key_to_pem_pkcs8().unwrap(),
            ),
            leaf,
            chain,
            private,
        }
    }

    fn add_names(&self, builder: &mut X509Builder, issuer: &X509) {
        let mut names = SubjectAlternativeName::new();
        for name in &self.names {
            match name.parse::<IpAddr>() {
                Ok(_) => names.ip(name),
                Err(_) => names.dns(name),
            };
        }
        let extension = names
            .build(&builder.x509v3_context(Some(issuer), None))
            .unwrap();
        extend(builder, extension);
    }
}

impl Issued {
    /// The leaf alone, as PEM.
    pub fn leaf_pem(&self) -> String {
        text(self.leaf.to_pem().unwrap())
    }

    /// Leaf and intermediate, as PEM: what [`Self::cert`] holds.
    pub fn chain_pem(&self) -> String {
        self.chain
            .iter()
            .map(|cert| text(cert.to_pem().unwrap()))
            .collect()
    }

    pub fn key_pem(&self) -> String {
        text(self.private.private_key_to_pem_pkcs8().unwrap())
    }
}

impl Authority {
    /// A root of its own.
    pub fn root(name: &str) -> Self {
        let key = Key::Ecdsa.generate();
        let subject = name_of(name);
        let mut builder = draft(&subject, &key, (-30, 3650));
        builder.set_issuer_name(&subject).unwrap();
        may_sign(&mut builder);
        let extension = SubjectKeyIdentifier::new()
            .build(&builder.x509v3_context(None, None))
            .unwrap();
        extend(&mut builder, extension);
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let cert = builder.build();
        Self { cert, key }
    }

    /// Another authority, signed by this one.
    pub fn authority(&self, name: &str) -> Self {
        let key = Key::Ecdsa.generate();
        let mut builder = draft(&name_of(name), &key, (-30, 1825));
        builder.set_issuer_name(self.cert.subject_name()).unwrap();
        may_sign(&mut builder);
        identify(&mut builder, &self.cert, false);
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        let cert = builder.build();
        Self { cert, key }
    }

    pub fn pem(&self) -> Vec<u8> {
        self.cert.to_pem().unwrap()
    }

    pub fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }

    /// A list of what is revoked, as PEM, valid for so many days (negative: it ended).
    pub fn crl(&self, revoked: &[&Issued], days: i64) -> Vec<u8> {
        let mut builder = X509CrlBuilder::new().unwrap();
        builder.set_issuer_name(self.cert.subject_name()).unwrap();
        builder.set_last_update(&in_days(days.min(0) - 1)).unwrap();
        builder.set_next_update(&in_days(days)).unwrap();
        let scratch = X509::builder().unwrap();
        let key_id = AuthorityKeyIdentifier::new()
            .keyid(true)
            .build(&scratch.x509v3_context(Some(&self.cert), None))
            .unwrap();
        builder.append_extension(key_id).unwrap();
        let number = CrlNumber::new(BigNum::from_u32(1).unwrap()).unwrap();
        builder.append_extension(number.build().unwrap()).unwrap();
        for issued in revoked {
            let mut entry = X509RevokedBuilder::new().unwrap();
            entry
                .set_serial_number(issued.leaf.serial_number())
                .unwrap();
            entry.set_revocation_date(&in_days(-1)).unwrap();
            builder.add_revoked(entry.build()).unwrap();
        }
        builder.sort().unwrap();
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        builder.build().unwrap().to_pem().unwrap()
    }
}

impl Key {
    pub fn generate(self) -> PKey<Private> {
        match self {
            Self::Rsa(bits) => PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap(),
            Self::Ecdsa => PKey::ec_gen("prime256v1").unwrap(),
            Self::Curve(name) => PKey::ec_gen(name).unwrap(),
            Self::Ed25519 => PKey::generate_ed25519().unwrap(),
        }
    }
}

fn draft(subject: &X509Name, key: &PKey<Private>, days: (i64, i64)) -> X509Builder {
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial
        .rand(120, openssl::bn::MsbOption::ONE, false)
        .unwrap();
    let serial = serial.to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(subject).unwrap();
    builder.set_not_before(&in_days(days.0)).unwrap();
    builder.set_not_after(&in_days(days.1)).unwrap();
    builder.set_pubkey(key).unwrap();
    builder
}

/// Who signs itself must be known as its own issuer before its extensions are written.
fn draft_signed(subject: &X509Name, key: &PKey<Private>, days: (i64, i64)) -> X509 {
    let mut builder = draft(subject, key, days);
    builder.set_issuer_name(subject).unwrap();
    builder.build()
}

fn may_sign(builder: &mut X509Builder) {
    extend(
        builder,
        BasicConstraints::new().critical().ca().build().unwrap(),
    );
    let usage = KeyUsage::new()
        .critical()
        .key_cert_sign()
        .crl_sign()
        .build();
    extend(builder, usage.unwrap());
}

fn identify(builder: &mut X509Builder, issuer: &X509, by_itself: bool) {
    let own = SubjectKeyIdentifier::new()
        .build(&builder.x509v3_context(Some(issuer), None))
        .unwrap();
    extend(builder, own);
    if !by_itself {
        let issuers = AuthorityKeyIdentifier::new()
            .keyid(true)
            .build(&builder.x509v3_context(Some(issuer), None))
            .unwrap();
        extend(builder, issuers);
    }
}

fn extend(builder: &mut X509Builder, extension: X509Extension) {
    builder.append_extension(extension).unwrap();
}

fn name_of(common_name: &str) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, common_name)
        .unwrap();
    name.build()
}

/// An hour off, so that a test never runs on the very edge of a day.
fn in_days(days: i64) -> Asn1Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    Asn1Time::from_unix(now + days * DAY + 3600).unwrap()
}

fn text(pem: Vec<u8>) -> String {
    String::from_utf8(pem).unwrap()
}
