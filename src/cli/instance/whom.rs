//! Whom a command asks: the instance that `--admin` names, or the one that runs by a configuration.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use openssl::x509::X509;

use super::client::Trust;
use super::place::{Place, place};
use crate::config::{self, model};
use crate::tls;

/// Most that is read of a token file.
const LARGEST: u64 = 64 * 1024;

/// Where the instance is.
#[derive(Debug, Clone, clap::Args)]
pub struct Whom {
    /// The admin listener: http://HOST:PORT, https://HOST:PORT or unix:/PATH. No configuration is read then.
    #[arg(long, value_name = "URL", value_parser = place, conflicts_with = "config")]
    admin: Option<Place>,
    /// The configuration whose admin listener is asked.
    #[arg(short, long, value_name = "FILE", default_value = crate::cli::DEFAULT_CONFIG)]
    config: PathBuf,
    /// The authorities that an https:// listener is verified by. Default: the system's.
    #[arg(long, value_name = "FILE", requires = "admin")]
    ca: Option<PathBuf>,
}

/// What to show besides, to be let change something.
#[derive(Debug, Clone, clap::Args)]
pub struct Token {
    /// The file with the token; its first one counts. Default: admin.token_file of the configuration, where a token is needed.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Somebody who can be asked.
#[derive(Debug)]
pub struct Found {
    /// Where.
    pub place: Place,
    /// How we know that it is the right one, with TLS.
    pub trust: Trust,
    /// What may be shown to it.
    pub token_file: Option<PathBuf>,
}

/// It isn't known whom to ask, or with what.
#[derive(Debug, thiserror::Error)]
pub enum WhomError {
    /// The configuration can't be used.
    #[error("{0}\n--admin URL asks without reading a configuration")]
    Config(config::Problems),
    /// It has no admin listener.
    #[error("{}: no admin listener in it; add `admin: {{}}`, or say where one is with --admin URL", .0.display())]
    NoAdmin(PathBuf),
    /// The certificates of the admin listener can't be read.
    #[error("{0}; --admin URL asks without reading them")]
    Certificates(tls::Trouble),
    /// A file that was named on the command line, or in the configuration.
    #[error("cannot read {path}: {1}", path = .0.display())]
    File(PathBuf, io::Error),
    /// There is no token in it.
    #[error("{}: no token in it", .0.display())]
    NoToken(PathBuf),
}

impl Whom {
    /// Finds out whom.
    ///
    /// # Errors
    /// What has to be read for it can't be.
    pub fn find(&self) -> Result<Found, WhomError> {
        if let Some(place) = &self.admin {
            return Ok(Found {
                place: place.clone(),
                trust: Trust::Authorities(self.ca.clone()),
                token_file: None,
            });
        }
        let config = config::load(&self.config, &config::environment).map_err(WhomError::Config)?;
        let admin = config
            .admin
            .ok_or_else(|| WhomError::NoAdmin(self.config.clone()))?;
        Ok(Found {
            place: Place::of_bind(&admin.bind, admin.tls.is_some()),
            trust: match &admin.tls {
                Some(tls) => Trust::Exactly(served(tls)?),
                None => Trust::Authorities(None),
            },
            token_file: admin.token_file,
        })
    }
}

impl Token {
    /// It, if it was named: for commands that only read, which need none.
    pub fn named(&self) -> Option<&Self> {
        self.token_file.is_some().then_some(self)
    }

    /// The token that is shown.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read(&self, found: &Found) -> Result<Option<String>, WhomError> {
        let path = self.token_file.as_ref().or(found.token_file.as_ref());
        path.map(|path| first_token(path)).transpose()
    }
}

/// What the listener serves by its configuration: whoever has it is the right one, whatever name it is asked by.
fn served(settings: &model::Tls) -> Result<Vec<X509>, WhomError> {
    let loaded = tls::load(settings, &[], SystemTime::now());
    let loaded = loaded.map_err(|troubles| match troubles.into_iter().next() {
        Some(trouble) => WhomError::Certificates(trouble),
        None => WhomError::NoAdmin(PathBuf::new()),
    })?;
    Ok(loaded.leaves())
}

fn first_token(path: &Path) -> Result<String, WhomError> {
    let failed = |error| WhomError::File(path.to_owned(), error);
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LARGEST)
        .read_to_string(&mut text)
        .map_err(failed)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines = text.lines().map(str::trim);
    lines
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .ok_or_else(|| WhomError::NoToken(path.to_owned()))
}
