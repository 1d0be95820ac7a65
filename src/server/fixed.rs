//! What a running process can't become: everything else a reload changes.

use std::path::PathBuf;

use crate::config::model::{Config, Server, Source};
use crate::config::{Loaded, Problems};
use crate::upstream;

/// Everything that `next` wants and that a process which runs by `now` can't have without a restart, each with its key and
/// both values. `clients` is for how many of them descriptors were set aside at the start.
pub fn demands(now: &Config, next: &Loaded, clients: usize) -> Problems {
    let mut demands = Demands {
        next,
        clients,
        found: Problems::default(),
    };
    demands.server(&now.server, &next.config.server);
    demands.sources();
    demands.found
}

struct Demands<'a> {
    next: &'a Loaded,
    clients: usize,
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
        if let Err(reason) = upstream::may_be_transparent() {
            self.refuse(&["pools", &name, "source"], reason);
        }
    }

    fn server(&mut self, now: &Server, next: &Server) {
        // All keys, so that a new one has to be thought about.
        let Server {
            threads,
            max_connections,
            shutdown_timeout: _,
            pid_file,
            state_dir,
            user,
            group,
            watch_config: _,
        } = now;
        let count = |count: &usize| count.to_string();
        let path = |path: &PathBuf| path.display().to_string();
        let optional_path = |path: &Option<PathBuf>| {
            path.as_ref()
                .map_or_else(|| "null".to_owned(), |path| path.display().to_string())
        };
        let account = |name: &Option<String>| name.clone().unwrap_or_else(|| "null".to_owned());
        self.keep(&["server", "threads"], threads, &next.threads, count);
        // The limit itself can be changed, but what was set aside for servers isn't taken from them.
        if next.max_connections > self.clients.max(*max_connections) {
            self.keep(
                &["server", "max_connections"],
                max_connections,
                &next.max_connections,
                count,
            );
        }
        self.keep(
            &["server", "pid_file"],
            pid_file,
            &next.pid_file,
            optional_path,
        );
        self.keep(&["server", "state_dir"], state_dir, &next.state_dir, path);
        self.keep(&["server", "user"], user, &next.user, account);
        self.keep(&["server", "group"], group, &next.group, account);
    }
}
