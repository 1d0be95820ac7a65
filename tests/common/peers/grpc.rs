//! grpcio: gRPC's own server and client, from Python.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::process::{Peer, Ready};
use crate::common::pki::{Issued, Pki};
use crate::common::temp::{ReservedPort, TempDir};
use crate::common::wait::SOON;

/// Debian's: another one in the path doesn't have the distribution's modules.
const PYTHON: &str = "/usr/bin/python3";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/peers")
        .join(name)
}

pub struct GrpcServer(Peer);

impl std::ops::Deref for GrpcServer {
    type Target = Peer;
    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl GrpcServer {
    /// Without TLS, or with it.
    #[track_caller]
    pub fn start(identity: Option<&Issued>) -> Self {
        let dir = TempDir::new("grpc");
        let port = ReservedPort::new();
        let mut command = Command::new(PYTHON);
        command
            .arg(script("grpc_server.py"))
            .arg(port.address().to_string());
        if let Some(identity) = identity {
            command.arg(&identity.cert).arg(&identity.key);
        }
        Self(Peer::start_when(
            Ready::Accepts,
            dir,
            port,
            command,
            SOON * 3,
        ))
    }
}

/// A client in the middle of a scenario.
pub struct GrpcClient {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl GrpcClient {
    /// Begins a scenario of `grpc_client.py`; `root` for TLS to a server that has `localhost`'s certificate.
    pub fn begin(to: SocketAddr, scenario: &str, root: Option<&Pki>) -> Self {
        let mut command = Command::new(PYTHON);
        command
            .arg(script("grpc_client.py"))
            .args([&to.to_string(), scenario]);
        if let Some(pki) = root {
            command.arg(pki.root()).arg("localhost");
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Waits for the next line that it says.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Lets it go on.
    pub fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Waits for its end, which has to be a good one.
    #[track_caller]
    pub fn done(mut self) {
        let said = self.line();
        let output = self.child.wait_with_output().unwrap();
        assert!(
            output.status.success() && said == "ok",
            "{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
