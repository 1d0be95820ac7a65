//! Apache httpd with the event MPM, in the foreground.

use std::process::Command;

use super::process::{Peer, program};
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
        let port = ReservedPort::new();
        let here = dir.path().display().to_string();
        dir.write("htdocs/index.html", &format!("{name}\n"));
        let modules: String = [
            ("mpm_event", "mod_mpm_event.so"),
            ("authz_core", "mod_authz_core.so"),
            ("headers", "mod_headers.so"),
            ("dir", "mod_dir.so"),
            ("mime", "mod_mime.so"),
            ("remoteip", "mod_remoteip.so"),
        ]
        .iter()
        .map(|(name, file)| format!("LoadModule {name}_module /usr/lib/apache2/modules/{file}\n"))
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
DocumentRoot "{here}/htdocs"
DirectoryIndex index.html
StartServers 1
Header always set X-Origin {name}
LogFormat "%h %l %u %t \"%r\" %>s %b \"%{{Referer}}i\" \"%{{User-Agent}}i\" \"%{{X-Forwarded-For}}i\"" combined
CustomLog "{here}/access.log" combined
<Directory "{here}">
  Require all granted
</Directory>
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
        Self(Peer::start(dir, port, command, SOON))
    }
}
