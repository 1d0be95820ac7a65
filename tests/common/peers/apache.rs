//! Apache httpd with the event MPM, in the foreground.

use std::process::Command;

use super::process::{Peer, Ready, program};
use crate::common::temp::{ReservedPort, TempDir};
use crate::common::wait::SOON;

pub struct Apache(Peer);

impl std::ops::Deref for Apache {
    type Target = Peer;
    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl Apache {
    /// An origin that answers with its name and logs X-Forwarded-For as httpd's manual says;
    /// `more` is added to its configuration.
    #[track_caller]
    pub fn origin(name: &str, more: &str) -> Self {
        let dir = TempDir::new("apache");
        dir.write("htdocs/index.html", &format!("{name}\n"));
        let here = dir.path().display().to_string();
        let config = format!(
            r#"DocumentRoot "{here}/htdocs"
DirectoryIndex index.html
Header always set X-Origin {name}
LogFormat "%h %l %u %t \"%r\" %>s %b \"%{{Referer}}i\" \"%{{User-Agent}}i\" \"%{{X-Forwarded-For}}i\"" combined
CustomLog "{here}/access.log" combined
<Directory "{here}">
  Require all granted
</Directory>
{more}
"#
        );
        Self::start(
            Ready::Answers,
            dir,
            &["authz_core", "headers", "dir", "mime", "remoteip"],
            &config,
        )
    }

    /// WebDAV below `/files`, by `mod_dav`, for a host of that name alone.
    #[track_caller]
    pub fn webdav(host: &str) -> Self {
        let dir = TempDir::new("webdav");
        std::fs::create_dir_all(dir.path().join("htdocs/files")).unwrap();
        let here = dir.path().display().to_string();
        let config = format!(
            r#"DavLockDB "{here}/locks"
<VirtualHost *:*>
  ServerName other.test
  Redirect 404 /
</VirtualHost>
<VirtualHost *:*>
  ServerName {host}
  DocumentRoot "{here}/htdocs"
  <Directory "{here}/htdocs/files">
    Dav On
    Require all granted
  </Directory>
</VirtualHost>
"#
        );
        let modules = ["authz_core", "alias", "mime", "dav", "dav_fs"];
        Self::start(Ready::Answers, dir, &modules, &config)
    }

    /// A reverse proxy with `mod_proxy_balancer`, as httpd's manual has it. One process, so that there is
    /// one state of the balancer.
    #[track_caller]
    pub fn balancer(config: &str) -> Self {
        let modules = [
            "authz_core",
            "headers",
            "mime",
            "proxy",
            "proxy_http",
            "proxy_balancer",
            "lbmethod_byrequests",
            "slotmem_shm",
        ];
        let config = format!("ProxyRequests Off\n{config}");
        Self::start(Ready::Accepts, TempDir::new("apache"), &modules, &config)
    }

    #[track_caller]
    fn start(ready: Ready, dir: TempDir, modules: &[&str], more: &str) -> Self {
        let port = ReservedPort::new();
        let here = dir.path().display().to_string();
        let modules: String = std::iter::once(&"mpm_event")
            .chain(modules)
            .map(|name| {
                format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
            })
            .collect();
        let config = dir.write(
            "httpd.conf",
            &format!(
                r#"ServerRoot "{here}"
ServerName localhost
Listen {}
PidFile "{here}/pid"
DefaultRuntimeDir "{here}"
ErrorLog "{here}/error.log"
{modules}
TypesConfig /etc/mime.types
StartServers 1
ServerLimit 1
MaxRequestWorkers 25
{more}
"#,
                port.address()
            ),
        );
        let mut command = Command::new(program("apache2"));
        command
            .arg("-DFOREGROUND")
            .arg("-d")
            .arg(dir.path())
            .arg("-f")
            .arg(config);
        Self(Peer::start_when(ready, dir, port, command, SOON))
    }
}
