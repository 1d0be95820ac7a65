//! From any format to the PEM that every program takes: leaf first, then the chain in order, 64 columns, LF, nothing
//! between the blocks; the key as unencrypted PKCS#8.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

use super::Source;
use super::chain::{self, Placed, is_self_signed};
use super::contents::{Contents, Thing};
use super::examine::{locked, unreadable};
use super::faults::kinds;
use super::file::{CERTIFICATE_LIMIT, Password};
use super::finding::{Fault, Finding, Severity};
use super::mend::Mender;
use super::words::{counted, title};

/// What the summary ends in if there is a key.
const WITH_KEY: &str = ", its key";

/// The result, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The certificates. Empty if there were none, only a key.
    pub certificates: String,
    /// The key, if there was one.
    pub key: Option<String>,
    /// What it is, in words.
    pub summary: String,
    /// What was left out, and why, a sentence each.
    pub left_out: Vec<String>,
}

impl Converted {
    /// The certificates only.
    #[must_use]
    pub fn without_key(self) -> Self {
        Self {
            key: None,
            summary: self.summary.replace(WITH_KEY, ""),
            ..self
        }
    }
}

/// Reads all inputs, and the key if it has a file of its own, and sorts what is in them.
///
/// # Errors
///
/// What can't be read, opened or used; and a key that doesn't fit.
pub fn convert(
    inputs: &[PathBuf],
    key: Option<&Path>,
    password_file: Option<&Path>,
    now: SystemTime,
) -> Result<Converted, Vec<Finding>> {
    let password = match password_file.map(|file| (file, Password::read(file))) {
        Some((file, Err(why))) => return Err(vec![unreadable(file, &why)]),
        Some((_, Ok(password))) => Some(password),
        None => None,
    };
    let source = Source {
        cert: inputs.first().cloned().unwrap_or_default(),
        key: key.map(Path::to_owned),
        password_file: password_file.map(Path::to_owned),
    };
    let mender = Mender::new(&source);
    let mut findings = Vec::new();
    let mut gathered = Gathered::default();
    for (path, is_key) in inputs
        .iter()
        .map(|path| (path.as_path(), false))
        .chain(key.map(|path| (path, true)))
    {
        match Contents::read(path, CERTIFICATE_LIMIT, password.as_ref()) {
            Ok(contents) => gathered.add(&mut findings, mender, contents, is_key),
            Err(why) => findings.push(unreadable(path, &why)),
        }
    }
    if findings.is_empty() {
        gathered.finish(&mut findings, mender, now)
    } else {
        None
    }
    .ok_or(findings)
}

/// Whether a file has a private key in it other than `kept` (PEM). One that stays closed counts as another.
pub fn has_another_key(path: &Path, password_file: Option<&Path>, kept: Option<&str>) -> bool {
    let password = password_file.and_then(|file| Password::read(file).ok());
    let kept = kept.and_then(|pem| PKey::private_key_from_pem(pem.as_bytes()).ok());
    let Ok(contents) = Contents::read(path, CERTIFICATE_LIMIT, password.as_ref()) else {
        return false;
    };
    contents.items.iter().any(|item| match &item.thing {
        Thing::Key(key) => !kept.as_ref().is_some_and(|kept| kept.public_eq(key)),
        Thing::LockedKey(_) | Thing::LockedArchive(_) => true,
        _ => false,
    })
}

#[derive(Default)]
struct Gathered {
    certs: Vec<Placed>,
    keys: Vec<PKey<Private>>,
    key_file: Option<Contents>,
    /// The first input, for what is said about all of them.
    first: Option<Contents>,
}

impl Gathered {
    fn add(
        &mut self,
        findings: &mut Vec<Finding>,
        mender: Mender<'_>,
        contents: Contents,
        is_key: bool,
    ) {
        for damage in &contents.damage {
            findings.push(
                Finding::new(
                    Fault::Damaged,
                    Severity::Fatal,
                    &contents.path,
                    &damage.what,
                )
                .at(Some(damage.line))
                .mend("take the file once more from where it came from"),
            );
        }
        let mut useful = false;
        for item in &contents.items {
            match &item.thing {
                Thing::Certificate(cert) if !is_key => {
                    useful = true;
                    let position = self.certs.len();
                    self.certs.push(Placed {
                        cert: cert.clone(),
                        line: item.line,
                        position,
                    });
                }
                Thing::Key(key) => {
                    useful = true;
                    self.keys.push(key.clone());
                }
                Thing::LockedKey(lock) | Thing::LockedArchive(lock) => {
                    useful = true;
                    let what = match item.thing {
                        Thing::LockedKey(_) => "this key",
                        _ => "this PFX",
                    };
                    findings.push(locked(mender, &contents.path, item.line, lock, what));
                }
                _ => {}
            }
        }
        if !useful && contents.damage.is_empty() {
            if is_key {
                kinds::no_key(findings, mender, &contents, true);
            } else {
                kinds::no_certificate(findings, mender, &contents, None);
            }
        }
        if is_key {
            self.key_file = Some(contents);
        } else if self.first.is_none() {
            self.first = Some(contents);
        }
    }

    fn finish(
        self,
        findings: &mut Vec<Finding>,
        mender: Mender<'_>,
        now: SystemTime,
    ) -> Option<Converted> {
        let belongs = |key: &&PKey<Private>| {
            let fits =
                |placed: &Placed| placed.cert.public_key().is_ok_and(|of| of.public_eq(*key));
            self.certs.iter().any(fits)
        };
        let key = self.keys.iter().find(belongs).or(self.keys.first());
        if key.is_none() && self.certs.len() > 1 && self.certs.iter().all(is_authority) {
            return bundle(self.certs);
        }
        let written = match chain::sort(self.certs.clone(), key, now) {
            None => Ok(Converted {
                certificates: String::new(),
                key: None,
                summary: "a private key".to_owned(),
                left_out: Vec::new(),
            }),
            Some(chain) => {
                if let Some(key) = key.filter(|key| !belongs(key)) {
                    let file = self.key_file.as_ref().or(self.first.as_ref())?;
                    findings.push(kinds::mismatch(mender, file, &chain.leaf.cert, key));
                    return None;
                }
                in_order(chain, key.is_some())
            }
        };
        let key = key.map(|key| key.private_key_to_pem_pkcs8()).transpose();
        match (written, key) {
            (Ok(converted), Ok(key)) => Some(Converted {
                key: key.map(|pem| String::from_utf8_lossy(&pem).into_owned()),
                ..converted
            }),
            (Err(errors), _) | (_, Err(errors)) => {
                let file = self.first.as_ref().map(|contents| contents.path.as_path());
                let what = format!("can't be written as PEM: {errors}");
                findings.push(
                    Finding::new(
                        Fault::Damaged,
                        Severity::Fatal,
                        file.unwrap_or(Path::new("")),
                        what,
                    )
                    .mend("take the file once more from where it came from"),
                );
                None
            }
        }
    }
}

fn is_authority(placed: &Placed) -> bool {
    is_self_signed(&placed.cert) || chain::is_authority(&placed.cert)
}

/// Without a server's certificate nothing is a chain, and roots are wanted: all stay, where they are.
fn bundle(certs: Vec<Placed>) -> Option<Converted> {
    let mut unique = Vec::<Placed>::new();
    let all = certs.len();
    for placed in certs {
        if !unique.iter().any(|known| *known.cert == *placed.cert) {
            unique.push(placed);
        }
    }
    let mut certificates = String::new();
    for placed in &unique {
        certificates.push_str(&String::from_utf8_lossy(&placed.cert.to_pem().ok()?));
    }
    let left_out = match all.saturating_sub(unique.len()) {
        0 => Vec::new(),
        more => vec![again(more)],
    };
    Some(Converted {
        certificates,
        key: None,
        summary: format!("{} of authorities", counted(unique.len(), "certificate")),
        left_out,
    })
}

fn again(count: usize) -> String {
    format!("{}: there already", counted(count, "certificate"))
}

fn in_order(chain: chain::Chain, with_key: bool) -> Result<Converted, ErrorStack> {
    let mut left_out = Vec::new();
    let mut above: Vec<X509> = chain.above.into_iter().map(|placed| placed.cert).collect();
    if let Some(root) = above.pop_if(|top| is_self_signed(top)) {
        left_out.push(format!(
            "{}: it is the root, which clients have",
            title(&root)
        ));
    }
    for placed in &chain.unrelated {
        left_out.push(format!(
            "{}: it is not part of the chain",
            title(&placed.cert)
        ));
    }
    if !chain.duplicates.is_empty() {
        left_out.push(again(chain.duplicates.len()));
    }
    let mut certificates = String::new();
    for cert in std::iter::once(&chain.leaf.cert).chain(&above) {
        certificates.push_str(&String::from_utf8_lossy(&cert.to_pem()?));
    }
    let summary = format!(
        "the certificate of {}{}{}",
        title(&chain.leaf.cert),
        match above.len() {
            0 => String::new(),
            more => format!(", {}", counted(more, "intermediate")),
        },
        if with_key { WITH_KEY } else { "" },
    );
    Ok(Converted {
        certificates,
        key: None,
        summary,
        left_out,
    })
}
