//! nghttpd, nghttp2's server: HTTP/2 over TLS.

use std::process::Command;

use super::process::{Peer, Ready, program};
use crate::common::pki::Issued;
use crate::common::temp::{ReservedPort, TempDir};
use crate::common::wait::SOON;

pub struct Nghttpd(Peer);

impl std::ops::Deref for Nghttpd {
    type Target = Peer;
    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl Nghttpd {
    /// Serves `/hello.txt`.
    #[track_caller]
    pub fn start(identity: &Issued) -> Self {
        let dir = TempDir::new("nghttpd");
        let port = ReservedPort::new();
        dir.write("hello.txt", "hello from nghttpd");
        let mut command = Command::new(program("nghttpd"));
        command
            .arg("-d")
            .arg(dir.path())
            .args(["-a", &port.address().ip().to_string()])
            .arg(port.address().port().to_string())
            .arg(&identity.key)
            .arg(&identity.cert);
        Self(Peer::start_when(Ready::Accepts, dir, port, command, SOON))
    }
}
