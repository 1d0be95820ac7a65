//! Configurations of the usual shape: one listener `web`, one pool `app`.

use std::fmt::Write;

use super::equipoise::Equipoise;
use super::origin::Origin;
use super::temp::TempDir;

/// Builds a configuration text; every part is YAML as a user would write it.
///
/// Unless a test says otherwise servers are not checked and count as up, so that what it sees doesn't
/// depend on when a check was done.
#[derive(Default, Clone)]
pub struct Setup {
    top: String,
    listener: String,
    pool: String,
    servers: String,
}

impl Setup {
    pub fn new() -> Self {
        Self::default()
    }

    /// A pool of these, with nothing else said.
    pub fn of<'a>(origins: impl IntoIterator<Item = &'a Origin>) -> Self {
        origins
            .into_iter()
            .fold(Self::new(), |setup, origin| setup.server(origin, ""))
    }

    /// Adds a server; `more` are further keys of it in flow style: `weight: 3, backup: true`.
    #[must_use]
    pub fn server(self, origin: &Origin, more: &str) -> Self {
        self.server_at(origin.name(), &origin.address().to_string(), more)
    }

    #[must_use]
    pub fn server_at(mut self, name: &str, address: &str, more: &str) -> Self {
        let comma = if more.is_empty() { "" } else { ", " };
        let _ = writeln!(
            self.servers,
            "      - {{name: {name}, address: \"{address}\"{comma}{more}}}"
        );
        self
    }

    /// Adds lines to the pool.
    #[must_use]
    pub fn pool(mut self, yaml: &str) -> Self {
        indent(&mut self.pool, 4, yaml);
        self
    }

    /// Adds lines to the listener.
    #[must_use]
    pub fn listener(mut self, yaml: &str) -> Self {
        indent(&mut self.listener, 4, yaml);
        self
    }

    /// Adds lines at the top level.
    #[must_use]
    pub fn top(mut self, yaml: &str) -> Self {
        indent(&mut self.top, 0, yaml);
        self
    }

    pub fn yaml(&self) -> String {
        let Self {
            top,
            listener,
            pool,
            servers,
        } = self;
        let bind = if listener.contains("bind:") {
            ""
        } else {
            "    bind: \"127.0.0.1:0\"\n"
        };
        let check = if pool.contains("health_check:") {
            ""
        } else {
            "    health_check: null\n"
        };
        format!(
            "{top}listeners:\n  web:\n{bind}    pool: app\n{listener}\
             pools:\n  app:\n{pool}{check}    servers:\n{servers}"
        )
    }

    #[track_caller]
    pub fn start(&self) -> Equipoise {
        Equipoise::start(&self.yaml())
    }

    /// As [`Self::start`], with an `/etc/hosts` of its own (see [`Equipoise::set_hosts`]).
    #[track_caller]
    pub fn start_with_hosts(&self, hosts: &str) -> Equipoise {
        let dir = TempDir::new("hosts");
        dir.write("hosts", hosts);
        self.start_in(dir)
    }

    #[track_caller]
    pub fn start_in(&self, dir: TempDir) -> Equipoise {
        Equipoise::start_in(dir, &self.yaml())
    }
}

fn indent(to: &mut String, by: usize, yaml: &str) {
    for line in yaml.lines() {
        let _ = writeln!(to, "{:by$}{line}", "");
    }
}
