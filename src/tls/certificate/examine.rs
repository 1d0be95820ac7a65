//! Reads the files of one certificate and finds all that is wrong with them.

use std::path::Path;
use std::time::SystemTime;

use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

use super::chain::{self, Placed};
use super::contents::{Contents, Thing};
use super::faults;
use super::file::{CERTIFICATE_LIMIT, Password};
use super::finding::{Fault, Finding, Severity};
use super::mend::Mender;
use super::roots::Roots;
use super::unlock::Lock;
use super::{Identity, Source};

/// Certificates of one file. A server's chain has a handful; who has more has named a bundle of authorities.
pub const CERTIFICATES: usize = 100;

/// Who shows the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A server, to any client.
    Server,
    /// A client, to a server that knows who signs for its clients.
    Client,
}

/// What is looked at, and how closely.
#[derive(Debug)]
pub struct Examination<'a> {
    /// The files.
    pub source: &'a Source,
    /// Who shows it.
    pub purpose: Purpose,
    /// Names that it has to cover.
    pub hosts: &'a [String],
    /// Where chains may end.
    pub roots: &'a Roots,
    /// Whether it is a fault that there is no key.
    pub key_wanted: bool,
    /// The time.
    pub now: SystemTime,
}

/// What came of it.
#[derive(Debug)]
pub struct Examined {
    /// The server's certificate and what is above it, without the root, as far as there are such.
    pub chain: Vec<X509>,
    /// With the key. `None` if there is none, or none that fits.
    pub identity: Option<Identity>,
    /// All that is wrong, by file and line.
    pub findings: Vec<Finding>,
}

/// Reads and checks.
pub fn examine(examination: &Examination<'_>) -> Examined {
    let source = examination.source;
    let mut findings = Vec::new();
    let password = match &source.password_file {
        Some(file) => match Password::read(file) {
            Ok(password) => Some(password),
            Err(why) => {
                findings.push(unreadable(file, &why));
                None
            }
        },
        None => None,
    };
    let mut read = |path: &Path| match Contents::read(path, CERTIFICATE_LIMIT, password.as_ref()) {
        Ok(contents) => Some(contents),
        Err(why) => {
            findings.push(unreadable(path, &why));
            None
        }
    };
    let cert_file = read(&source.cert);
    let key_file = source
        .key
        .as_deref()
        .filter(|key| *key != source.cert)
        .and_then(&mut read);

    let mut examined = Examined {
        chain: Vec::new(),
        identity: None,
        findings,
    };
    if let Some(cert_file) = &cert_file {
        examined.look(examination, cert_file, key_file.as_ref());
    } else if let Some(key_file) = &key_file {
        faults::file::check(&mut examined.findings, Mender::new(source), key_file);
    }
    examined.sort();
    examined
}

impl Examined {
    fn look(
        &mut self,
        examination: &Examination<'_>,
        cert_file: &Contents,
        key_file: Option<&Contents>,
    ) {
        let source = examination.source;
        let separate = source.key.as_ref().is_some_and(|key| *key != source.cert);
        let keys = keys(if separate { key_file } else { Some(cert_file) });
        let certs = certificates(cert_file);
        if certs.len() > CERTIFICATES {
            self.findings
                .push(faults::kinds::bundle(cert_file, certs.len()));
            return;
        }
        let fitting = keys
            .iter()
            .find(|key| certs.iter().any(|placed| fits(&placed.cert, key)));
        let key = fitting.or(keys.first());
        let chain = chain::sort(certs, key, examination.now);
        let ambiguous = chain
            .as_ref()
            .is_some_and(|chain| !chain.unrelated.is_empty());
        let mender = Mender::new(source).knowing(cert_file, ambiguous);
        faults::file::check(&mut self.findings, mender, cert_file);
        if let Some(key_file) = key_file {
            faults::file::check(&mut self.findings, mender, key_file);
        }
        let Some(chain) = chain else {
            faults::kinds::no_certificate(&mut self.findings, mender, cert_file, key_file);
            if separate && let Some(key_file) = key_file {
                faults::kinds::no_key(&mut self.findings, mender, key_file, true);
            }
            return;
        };
        let fitting = key.is_some_and(|key| fits(&chain.leaf.cert, key));
        if !fitting && chain::is_authority(&chain.leaf.cert) {
            // If something can't be read, that is it, and told.
            if cert_file.damage.is_empty() {
                self.findings
                    .push(faults::kinds::chain_only(mender, cert_file, &chain));
            }
            return;
        }
        faults::kinds::besides(&mut self.findings, cert_file);
        faults::order::check(&mut self.findings, mender, cert_file, &chain);
        faults::trust::check(&mut self.findings, mender, cert_file, &chain, examination);
        faults::validity::check(&mut self.findings, mender, cert_file, &chain, examination);
        if examination.purpose == Purpose::Server {
            faults::profile::check(&mut self.findings, mender, cert_file, &chain);
        }

        let mut above: Vec<X509> = chain.above.into_iter().map(|placed| placed.cert).collect();
        let issuer = above.first().cloned();
        if above.last().is_some_and(|top| chain::is_self_signed(top)) {
            above.pop();
        }
        let leaf = chain.leaf.cert;
        self.chain.push(leaf.clone());
        self.chain.extend(above.iter().cloned());
        match key {
            Some(key) if fits(&leaf, key) => {
                self.identity = Some(Identity {
                    leaf,
                    chain: above,
                    issuer,
                    key: key.clone(),
                });
            }
            Some(key) => {
                let file = key_file.unwrap_or(cert_file);
                self.findings
                    .push(faults::kinds::mismatch(mender, file, &leaf, key));
            }
            None if separate => {
                if let Some(key_file) = key_file {
                    faults::kinds::no_key(&mut self.findings, mender, key_file, true);
                }
            }
            None => {
                let wanted = examination.key_wanted || source.key.is_some();
                faults::kinds::no_key(&mut self.findings, mender, cert_file, wanted);
            }
        }
    }

    /// By file, in the order in which they are read, and line.
    fn sort(&mut self) {
        let mut files: Vec<_> = Vec::new();
        for finding in &self.findings {
            if !files.contains(&finding.file) {
                files.push(finding.file.clone());
            }
        }
        self.findings.sort_by_key(|finding| {
            let file = files.iter().position(|file| *file == finding.file);
            (file, finding.line)
        });
    }
}

/// A file that can't be read.
pub fn unreadable(path: &Path, why: &str) -> Finding {
    Finding::new(Fault::Unreadable, Severity::Fatal, path, why).mend(
        "name another file, or let the user that runs this read it (chgrp, chmod g+r; never o+r for a key):",
    )
    .command(format!("ls -ld {}", super::words::quoted(path)))
}

/// A key or PFX that stays closed.
pub fn locked(
    mender: Mender<'_>,
    file: &Path,
    line: Option<usize>,
    lock: &Lock,
    what: &str,
) -> Finding {
    let (fault, says) = match lock {
        Lock::NoPassword => (
            Fault::KeyEncrypted,
            format!("{what} is encrypted, and no password file is given"),
        ),
        Lock::WrongPassword => (
            Fault::WrongPassword,
            format!(
                "{what} doesn't open with the password in {}",
                mender.password_file()
            ),
        ),
        Lock::Unsupported(reason) => (
            Fault::WrongPassword,
            format!(
                "{what} doesn't open: a wrong password, or encrypted in a way that OpenSSL doesn't know ({reason})"
            ),
        ),
    };
    let mend = match lock {
        Lock::NoPassword => {
            "keep its password in a file that nobody else may read, and name that with --password-file (password_file: \
             in the configuration):"
        }
        _ => "put the right password into the first line of that file:",
    };
    Finding::new(fault, Severity::Fatal, file, says)
        .at(line)
        .mend(mend)
        .command(mender.keep_password(file))
}

fn fits(cert: &X509, key: &PKey<Private>) -> bool {
    cert.public_key().is_ok_and(|public| public.public_eq(key))
}

fn keys(contents: Option<&Contents>) -> Vec<PKey<Private>> {
    let items = contents.into_iter().flat_map(|contents| &contents.items);
    items
        .filter_map(|item| match &item.thing {
            Thing::Key(key) => Some(key.clone()),
            _ => None,
        })
        .collect()
}

fn certificates(contents: &Contents) -> Vec<Placed> {
    let certs = contents.items.iter().filter_map(|item| match &item.thing {
        Thing::Certificate(cert) => Some((cert.clone(), item.line)),
        _ => None,
    });
    certs
        .enumerate()
        .map(|(position, (cert, line))| Placed {
            cert,
            line,
            position,
        })
        .collect()
}
