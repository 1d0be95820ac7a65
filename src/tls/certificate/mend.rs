//! The commands that mend, for a POSIX shell.

use std::path::{Path, PathBuf};

use super::Source;
use super::contents::{Contents, Encoding};
use super::words::{quoted, quoted_text};

/// Writes commands about the files of one certificate.
#[derive(Debug, Clone, Copy)]
pub struct Mender<'a> {
    source: &'a Source,
    key_in_cert: bool,
    ambiguous: bool,
}

impl<'a> Mender<'a> {
    /// For these files.
    pub fn new(source: &'a Source) -> Self {
        Self {
            source,
            key_in_cert: false,
            ambiguous: false,
        }
    }

    /// Once the certificate's file is read. With certificates in it that aren't part of the chain (`ambiguous`) only the
    /// key tells which one is meant.
    pub fn knowing(self, cert_file: &Contents, ambiguous: bool) -> Self {
        Self {
            key_in_cert: cert_file.has_key(),
            ambiguous,
            ..self
        }
    }

    /// Whether there is a password file.
    pub fn has_password(&self) -> bool {
        self.source.password_file.is_some()
    }

    /// The password file's name, for a message.
    pub fn password_file(&self) -> String {
        let file = self.source.password_file.as_deref();
        file.map_or_else(String::new, |file| file.display().to_string())
    }

    /// The key's own file.
    pub fn key_file(&self) -> Option<&Path> {
        self.source.key.as_deref()
    }

    /// Rewrites a file in the form that all programs take; in place, if it is PEM.
    pub fn rewrite(&self, path: &Path, encoding: Encoding) -> String {
        let to = tidy(path, encoding);
        if *path == *self.source.cert {
            self.convert_cert(&quoted(path), &to)
        } else {
            self.convert(&quoted(path), &to)
        }
    }

    /// Adds the certificates of another file.
    pub fn join(&self, other: &str, encoding: Encoding) -> String {
        let cert = &self.source.cert;
        self.convert_cert(&format!("{} {other}", quoted(cert)), &tidy(cert, encoding))
    }

    /// Adds the intermediate that can be had at `url`.
    pub fn fetch_issuer(&self, url: &str, encoding: Encoding) -> String {
        let cert = &self.source.cert;
        let issuer = quoted(&cert.with_extension("issuer"));
        let from = format!("{} {issuer}", quoted(cert));
        format!(
            "curl -sSfL {} -o {issuer} && {}",
            quoted_text(url),
            self.convert_cert(&from, &tidy(cert, encoding))
        )
    }

    /// Makes a request for a new certificate with these names, for the key that is there or for a new one.
    /// Names that can't be one are left out: they would mean something else in a command or to OpenSSL.
    pub fn request(&self, names: &[String], new_key: bool) -> String {
        let cert = &self.source.cert;
        let names: Vec<&String> = names.iter().filter(|name| is_name(name)).collect();
        let key = match (&self.source.key, new_key) {
            (Some(key), false) => format!("-key {}", quoted(key)),
            (None, false) if self.key_in_cert => format!("-key {}", quoted(cert)),
            _ => format!(
                "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {}",
                quoted(&cert.with_extension("new.key"))
            ),
        };
        let password = match &self.source.password_file {
            Some(file) if !new_key => format!(
                " -passin {}",
                quoted_text(&format!("file:{}", file.display()))
            ),
            _ => String::new(),
        };
        let common_name = names.first().filter(|name| name.len() <= 64);
        let subject = match common_name {
            Some(name) => format!("/CN={name}"),
            None => "/".to_owned(),
        };
        let alternatives: Vec<String> = names
            .iter()
            .map(|name| match name.parse::<std::net::IpAddr>() {
                Ok(_) => format!("IP:{name}"),
                Err(_) => format!("DNS:{name}"),
            })
            .collect();
        let extension = if alternatives.is_empty() {
            String::new()
        } else {
            let value = format!("subjectAltName={}", alternatives.join(","));
            format!(" -addext {}", quoted_text(&value))
        };
        format!(
            "openssl req -new {key}{password} -subj {}{extension} -out {}",
            quoted_text(&subject),
            quoted(&cert.with_extension("csr"))
        )
    }

    /// Asks for a password and keeps it in a file for its owner only.
    pub fn keep_password(&self, locked: &Path) -> String {
        let file = match &self.source.password_file {
            Some(file) => file.clone(),
            None => beside(locked, "password"),
        };
        let file = quoted(&file);
        format!(
            "(umask 077; printf 'password: ' >&2; read -r password; printf '%s\\n' \"$password\" > {file})"
        )
    }

    /// Gives a file the name of its format.
    pub fn rename(path: &Path, extension: &str) -> String {
        format!(
            "mv -n {} {}",
            quoted(path),
            quoted(&path.with_extension(extension))
        )
    }

    /// The check again, with certificate and key the other way round.
    pub fn check_swapped(&self, key: &Path) -> String {
        format!(
            "equipoise cert check --cert {} --key {}",
            quoted(key),
            quoted(&self.source.cert)
        )
    }

    fn convert_cert(&self, from: &str, to: &Path) -> String {
        match &self.source.key {
            Some(key) if self.ambiguous && *key != self.source.cert => {
                self.convert(&format!("{from} --key {} --no-key", quoted(key)), to)
            }
            _ => self.convert(from, to),
        }
    }

    fn convert(&self, from: &str, to: &Path) -> String {
        let password = match &self.source.password_file {
            Some(file) => format!(" --password-file {}", quoted(file)),
            None => String::new(),
        };
        format!("equipoise cert convert {from}{password} -o {}", quoted(to))
    }
}

/// `site.key.password` beside `site.key`.
pub fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_*:".contains(c);
    !name.is_empty() && name.chars().all(fits)
}

/// Where the tidy file goes: the same place if it was PEM, else beside it.
fn tidy(path: &Path, encoding: Encoding) -> PathBuf {
    match encoding {
        Encoding::Pem => path.to_owned(),
        _ => path.with_extension("pem"),
    }
}
