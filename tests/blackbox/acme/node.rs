//! A node that obtains a certificate, and the storage that it keeps it in.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::X509;

use crate::common::peers::Pebble;
use crate::common::*;

/// Long enough for an order, on a busy machine.
pub const LONG: Duration = Duration::from_secs(30);

/// A storage, which several nodes may share.
pub struct Storage(TempDir);

/// A node: a listener `web` for http, and some for https. Its server lives as long as this does.
pub struct Node {
    origin: Origin,
    bind: String,
    secure: String,
    web: &'static str,
    listeners: Vec<String>,
}

impl Storage {
    pub fn new() -> Self {
        Self(TempDir::new("storage"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The certificate whose first name is this one, as whoever serves it reads it: with its key.
    pub fn certificate(&self, name: &str) -> Option<X509> {
        let file = self.site(name)?;
        let pem = std::fs::read(file).ok()?;
        let certificate = X509::from_pem(&pem).ok()?;
        let key = openssl::pkey::PKey::private_key_from_pem(&pem).ok()?;
        let of_certificate = certificate.public_key().ok()?;
        assert!(
            of_certificate.public_eq(&key),
            "key and certificate of {name}"
        );
        Some(certificate)
    }

    /// All of [`Self::certificate`] that there are, for different sets of names.
    pub fn sites(&self, name: &str) -> Vec<PathBuf> {
        let start = format!("{name}-");
        let of_name = |path: &PathBuf| {
            let directory = path.parent().and_then(Path::file_name);
            directory.is_some_and(|directory| directory.to_string_lossy().starts_with(&start))
        };
        let files = self.files().into_iter();
        files
            .filter(|path| path.ends_with("site.pem") && of_name(path))
            .collect()
    }

    pub fn site(&self, name: &str) -> Option<PathBuf> {
        self.sites(name).pop()
    }

    /// Every file in it.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut left = vec![self.path().to_owned()];
        while let Some(directory) = left.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    left.push(entry.path());
                } else {
                    found.push(entry.path());
                }
            }
        }
        found
    }

    /// Answers to challenges that are there now.
    pub fn answers(&self) -> Vec<PathBuf> {
        let answers = self.path().join("challenges");
        self.files()
            .into_iter()
            .filter(|path| path.starts_with(&answers))
            .collect()
    }

    pub fn write(&self, name: &str, text: &str) {
        self.0.write(name, text);
    }

    /// Overwrites the file of that name, wherever it is.
    #[track_caller]
    pub fn spoil(&self, name: &str) {
        let files = self.files();
        let file = files.iter().find(|path| path.ends_with(name));
        std::fs::write(
            file.unwrap_or_else(|| panic!("no {name} in {files:?}")),
            "spoiled",
        )
        .unwrap();
    }
}

impl Node {
    /// One whose listener `web` is at this port.
    pub fn at(port: &ReservedPort) -> Self {
        Self::bound(port.address().to_string())
    }

    /// One at a port that nobody knows.
    pub fn aside() -> Self {
        Self::bound("127.0.0.1:0".to_owned())
    }

    fn bound(bind: String) -> Self {
        Self {
            origin: Origin::start("a"),
            bind,
            secure: "127.0.0.1:0".to_owned(),
            web: "pool: app",
            listeners: Vec::new(),
        }
    }

    /// The listener `web` sends everybody to https.
    #[must_use]
    pub fn redirecting(mut self) -> Self {
        self.web = "redirect_https: true";
        self
    }

    /// Binds the listener with TLS that is added next to this port.
    #[must_use]
    pub fn secure_at(mut self, port: &ReservedPort) -> Self {
        self.secure = port.address().to_string();
        self
    }

    /// Adds a listener that obtains its certificate from this authority.
    #[must_use]
    pub fn obtaining(self, names: &[&str], authority: &Pebble, storage: &Storage) -> Self {
        let more = format!(
            "ca: {}, storage: {}",
            authority.ca().display(),
            storage.path().display()
        );
        self.with(names, &authority.directory(), &more)
    }

    /// Adds a listener that obtains its certificate; `more` are further keys of `acme` in flow style.
    #[must_use]
    pub fn with(mut self, names: &[&str], directory: &str, more: &str) -> Self {
        let number = self.listeners.len();
        self.listeners.push(format!(
            "  secure{number}:\n    bind: \"{}\"\n    protocol: https\n    pool: app\n    \
             tls: {{acme: {{directory: \"{directory}\", domains: [{}], {more}}}}}\n",
            self.secure,
            names.join(", ")
        ));
        self
    }

    pub fn yaml(&self) -> String {
        format!(
            "listeners:\n  web: {{bind: \"{}\", {}}}\n{}pools:\n  app:\n    health_check: null\n    \
             servers: [{{name: a, address: \"{}\"}}]\n",
            self.bind,
            self.web,
            self.listeners.concat(),
            self.origin.address()
        )
    }

    #[track_caller]
    pub fn start(&self) -> Equipoise {
        Equipoise::start(&self.yaml())
    }

    #[track_caller]
    pub fn start_in(&self, dir: TempDir) -> Equipoise {
        Equipoise::start_in(dir, &self.yaml())
    }
}

/// The certificate that a client gets who asks for this name; `None` = there is no handshake.
pub fn served(to: SocketAddr, name: &str) -> Option<X509> {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    // Whether it can be verified is another question.
    connector.set_verify(SslVerifyMode::NONE);
    let stream = TcpStream::connect_timeout(&to, SOON).ok()?;
    stream.set_read_timeout(Some(SOON)).unwrap();
    let stream = connector.build().connect(name, stream).ok()?;
    stream.ssl().peer_certificate()
}

/// The names of a certificate, sorted.
pub fn names(certificate: &X509) -> Vec<String> {
    let names = certificate.subject_alt_names().unwrap();
    let mut names: Vec<String> = names
        .iter()
        .map(|name| name.dnsname().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

pub fn serial(certificate: &X509) -> String {
    let serial = certificate.serial_number().to_bn().unwrap();
    serial.to_hex_str().unwrap().to_string()
}
