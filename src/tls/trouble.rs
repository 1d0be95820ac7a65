//! What stands in the way of serving TLS, and where in the configuration it is written.

use std::fmt;

/// Something that a listener's TLS can't work with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Keys and indices below the listener's `tls`.
    pub path: Vec<String>,
    /// What is wrong, in words.
    pub message: String,
}

impl Trouble {
    /// What is wrong at a key.
    pub fn at(path: &[&str], message: impl Into<String>) -> Self {
        Self {
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tls")?;
        for part in &self.path {
            write!(f, ".{part}")?;
        }
        write!(f, ": {}", self.message)
    }
}
