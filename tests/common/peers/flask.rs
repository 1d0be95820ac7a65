//! Flask with Werkzeug's own server and `ProxyFix`, from Python.

use std::path::Path;
use std::process::Command;

use super::process::{Peer, Ready};
use crate::common::temp::{ReservedPort, TempDir};
use crate::common::wait::SOON;

/// Debian's: another one in the path doesn't have the distribution's modules.
const PYTHON: &str = "/usr/bin/python3";

/// The application of `tests/peers/flask_app.py`.
pub struct Flask(Peer);

impl std::ops::Deref for Flask {
    type Target = Peer;
    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl Flask {
    #[track_caller]
    pub fn start() -> Self {
        let dir = TempDir::new("flask");
        let port = ReservedPort::new();
        let mut command = Command::new(PYTHON);
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/flask_app.py"))
            .arg(port.address().to_string());
        Self(Peer::start_when(
            Ready::Answers,
            dir,
            port,
            command,
            SOON * 3,
        ))
    }
}
