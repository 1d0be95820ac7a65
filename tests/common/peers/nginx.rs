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

    /// As [`Self::start`] with the content of the `stream` block.
    #[track_caller]
    pub fn stream(stream: &str) -> Self {
        let built_in = "/usr/lib/nginx/modules/ngx_stream_module.so";
        let load = if std::path::Path::new(built_in).exists() {
            format!("load_module {built_in};\n")
        } else {
            String::new()
        };
        let blocks = format!("stream {{\n{stream}\n}}\n");
        Self::launch(Ready::Accepts, &load, &blocks)
    }

    /// As [`Self::start`], and waits for no more than that: one with TLS, or HTTP/2 alone, answers nothing else.
    #[track_caller]
    pub fn start_when(ready: Ready, http: &str) -> Self {
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("  {kind}_temp_path @DIR@/{kind};\n"))
            .collect();
        let blocks = format!("http {{\n{temp}  access_log off;\n{http}\n}}\n");
        Self::launch(ready, "", &blocks)
    }

    #[track_caller]
    fn launch(ready: Ready, first: &str, blocks: &str) -> Self {
        let dir = TempDir::new("nginx");
        let port = ReservedPort::new();
        let here = dir.path().display().to_string();
        let blocks = blocks
            .replace("@PORT@", &port.address().to_string())
            .replace("@DIR@", &here);
        let config = dir.write(
            "nginx.conf",
            &format!(
                "{first}daemon off;\nworker_processes 1;\npid {here}/pid;\nerror_log {here}/error.log;\n\
                 events {{ worker_connections 4096; }}\n{blocks}"
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
