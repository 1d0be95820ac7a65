//! What a running process can't become: everything else a reload changes.

use std::path::PathBuf;

use nix::unistd::Uid;

use super::sources;
use crate::config::model::{Config, Server, Source};
use crate::config::{Loaded, Problems};
use crate::descriptors;

/// Everything that `next` wants and that a process which runs by `now` can't have without a restart, each with its key and
/// both values.
pub fn demands(now: &Config, next: &Loaded) -> Problems {
    let mut demands = Demands {
        next,
        found: Problems::default(),
    };
    demands.server(&now.server, &next.config.server);
    demands.sources();
    demands.found
}

struct Demands<'a> {
    next: &'a Loaded,
    found: Problems,
}

impl Demands<'_> {
    fn refuse(&mut self, path: &[&str], message: impl Into<String>) {
        self.found.push(self.next.problem(path, message));
    }

    /// The value of a key has to stay as it is.
    fn keep<T: PartialEq>(
        &mut self,
        path: &[&str],
        now: &T,
        next: &T,
        show: impl Fn(&T) -> String,
    ) {
        if now != next {
            let (now, next) = (show(now), show(next));
            self.refuse(
                path,
                format!(
                    "can't be changed from {now} to {next} while running: that needs a restart"
                ),
            );
        }
    }

    /// Privileges that were given up don't come back.
    fn sources(&mut self) {
        let pools = &self.next.config.pools;
        let Some(pool) = pools
            .iter()
            .find(|pool| pool.source == Some(Source::Client))
        else {
            return;
        };
        let name = pool.name.to_string();
        if let Some(lack) = sources::lacks_right() {
            self.refuse(&["pools", &name, "source"], lack.to_string());
        }
    }

    fn server(&mut self, now: &Server, next: &Server) {
        // All keys, so that a new one has to be thought about.
        let Server {
            threads,
            max_connections,
            shutdown_timeout: _,
            pid_file: _,
            upgrade_socket: _,
            state_dir,
            user,
            group,
            watch_config: _,
        } = now;
        let count = |count: &usize| count.to_string();
        let path = |path: &PathBuf| path.display().to_string();
        let account = |name: &Option<String>| name.clone().unwrap_or_else(|| "null".to_owned());
        self.keep(&["server", "threads"], threads, &next.threads, count);
        if next.max_connections > *max_connections
            && let Err(most) = descriptors::admit_clients(next.max_connections)
        {
            let (now, next) = (count(max_connections), count(&next.max_connections));
            self.refuse(
                &["server", "max_connections"],
                format!(
                    "can't be changed from {now} to {next} while running: this process's file descriptors are enough for {most} \
                     connections and as many to servers; raise LimitNOFILE or ulimit -Hn, and restart"
                ),
            );
        }
        self.keep(&["server", "state_dir"], state_dir, &next.state_dir, path);
        self.keep(&["server", "user"], user, &next.user, account);
        // Root, which it has remained, may become any group.
        let may_change = user == &next.user && next.group.is_some() && Uid::effective().is_root();
        if !may_change {
            self.keep(&["server", "group"], group, &next.group, account);
        }
    }
}
