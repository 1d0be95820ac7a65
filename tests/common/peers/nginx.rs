//! nginx, one worker, in the foreground.

use std::process::Command;

use super::process::{Peer, Ready, program};
use crate::common::temp::{ReservedPort, TempDir};
use crate::common::wait::SOON;

pub struct Nginx(Peer);

impl std::ops::Deref for Nginx {
    type Target = Peer;
    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl Nginx {
    /// Starts it with the given content of the `http` block. `@PORT@` in it is its address,
    /// `@DIR@` its directory.
    #[track_caller]
    pub fn start(http: &str) -> Self {
        Self::start_when(Ready::Answers, http)
    }

    /// As [`Self::start`], and waits for no more than that: one with TLS, or HTTP/2 alone, answers nothing else.
    #[track_caller]
    pub fn start_when(ready: Ready, http: &str) -> Self {
        let dir = TempDir::new("nginx");
        let port = ReservedPort::new();
        let here = dir.path().display().to_string();
        let http = http
            .replace("@PORT@", &port.address().to_string())
            .replace("@DIR@", &here);
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("  {kind}_temp_path {here}/{kind};\n"))
            .collect();
        let config = dir.write(
            "nginx.conf",
            &format!(
                "daemon off;\nworker_processes 1;\npid {here}/pid;\nerror_log {here}/error.log;\n\
                 events {{ worker_connections 4096; }}\nhttp {{\n{temp}  access_log off;\n{http}\n}}\n"
            ),
        );
        // As root nginx would switch to www-data, who may not write here.
        let user = if nix::unistd::geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let mut command = Command::new(program("nginx"));
        command
            .arg("-p")
            .arg(dir.path())
            .arg("-c")
            .arg(config)
            .args(["-e", "stderr", "-g", user]);
        Self(Peer::start_when(ready, dir, port, command, SOON))
    }

    /// An origin that answers with its name and logs X-Forwarded-For as nginx's manual says.
    #[track_caller]
    pub fn origin(name: &str) -> Self {
        Self::start(&format!(
            r#"
  log_format main '$remote_addr - $remote_user [$time_local] "$request" '
                  '$status $body_bytes_sent "$http_referer" '
                  '"$http_user_agent" "$http_x_forwarded_for"';
  server {{
    listen @PORT@;
    access_log @DIR@/access.log main;
    location / {{ add_header X-Origin {name} always; return 200 "{name}\n"; }}
  }}"#
        ))
    }
}
