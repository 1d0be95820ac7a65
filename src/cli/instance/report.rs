//! The status of an instance as it is read from its API, and as a table.

use std::fmt::Write as _;

use serde::Deserialize;

/// The instance. What another version of it says besides is left alone.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    /// Its version.
    pub version: String,
    /// Seconds that it runs.
    pub uptime: f64,
    /// `running` and so on.
    pub state: String,
    /// The last reload.
    pub reload: Option<Reload>,
    /// Changed files of TLS that it can't use.
    #[serde(default)]
    pub certificates_refused: Vec<RefusedCertificate>,
    /// Its listeners.
    pub listeners: Vec<Listener>,
    /// Its pools.
    pub pools: Vec<Pool>,
}

/// A reload that ended.
#[derive(Debug, Clone, Deserialize)]
pub struct Reload {
    /// `success` or `failure`.
    pub result: String,
    /// When.
    pub at: String,
    /// What was wrong.
    pub problems: Vec<String>,
}

/// A changed file of TLS that can't be used.
#[derive(Debug, Clone, Deserialize)]
pub struct RefusedCertificate {
    /// The listener.
    pub listener: String,
    /// Why.
    pub reason: String,
}

/// A listener.
#[derive(Debug, Clone, Deserialize)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// What it speaks.
    pub protocol: String,
    /// Where.
    pub addresses: Vec<String>,
    /// Connections now.
    pub connections_active: i64,
    /// Requests so far.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that were refused.
    pub refused: u64,
}

/// A pool.
#[derive(Debug, Clone, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// How it balances.
    pub algorithm: String,
    /// Servers that take new work.
    pub available_servers: u64,
    /// Requests that wait.
    pub queue_length: u64,
    /// Requests so far.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Its servers.
    pub servers: Vec<Server>,
    /// How many of them were left out by [`Report::only`].
    #[serde(skip)]
    pub left_out: usize,
}

/// A server.
#[derive(Debug, Clone, Deserialize)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// `up` and so on.
    pub state: String,
    /// Why.
    pub reason: String,
    /// What an operator wants of it: `ready`, `drain`, `maintenance`.
    #[serde(default)]
    pub operator: String,
    /// Its weight.
    pub weight: u32,
    /// What it works on.
    pub active: i64,
    /// The most that it may; 0 = no limit.
    pub max_connections: u32,
    /// Requests so far.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Seconds to the first byte.
    pub latency: Option<f64>,
}

impl Report {
    /// All of it, for people. `rates` gives what a count has grown a second, by pool and server, where that is known.
    pub fn text(&self, rates: &dyn Fn(&str, &str) -> Option<f64>) -> String {
        let mut text = String::new();
        let uptime = time(self.uptime);
        // Memory can be written to.
        let _ = writeln!(
            text,
            "equipoise {}: {} for {uptime}",
            self.version, self.state
        );
        if let Some(reload) = self.reload.as_ref().filter(|last| last.result != "success") {
            let first = reload.problems.first().map_or("", String::as_str);
            let _ = writeln!(
                text,
                "the last reload, at {}, was refused: {first}",
                reload.at
            );
        }
        for refused in &self.certificates_refused {
            let _ = writeln!(
                text,
                "listener {} serves what it did, since a file of its TLS can't be used: {}",
                refused.listener, refused.reason
            );
        }
        let mut listeners = Table::new(&[
            "LISTENER",
            "PROTOCOL",
            "ADDRESS",
            "CONNECTIONS",
            "REQUESTS",
            "ERRORS",
            "REFUSED",
        ]);
        for one in &self.listeners {
            listeners.row(vec![
                one.name.clone(),
                one.protocol.clone(),
                one.addresses.join(" "),
                one.connections_active.to_string(),
                one.requests.to_string(),
                one.errors.to_string(),
                one.refused.to_string(),
            ]);
        }
        let mut pools = Table::new(&[
            "POOL",
            "ALGORITHM",
            "AVAILABLE",
            "WAITING",
            "REQUESTS",
            "ERRORS",
        ]);
        for one in &self.pools {
            pools.row(vec![
                one.name.clone(),
                one.algorithm.clone(),
                format!(
                    "{}/{}",
                    one.available_servers,
                    one.servers.len() + one.left_out
                ),
                one.queue_length.to_string(),
                one.requests.to_string(),
                one.errors.to_string(),
            ]);
        }
        let mut servers = Table::new(&[
            "SERVER", "STATE", "WEIGHT", "ACTIVE", "REQUESTS", "RATE", "ERRORS", "LATENCY",
            "ADDRESS", "REASON",
        ]);
        for pool in &self.pools {
            for one in &pool.servers {
                let limit = match one.max_connections {
                    0 => String::new(),
                    limit => format!("/{limit}"),
                };
                let rate = rates(&pool.name, &one.name);
                servers.row(vec![
                    format!("{}/{}", pool.name, one.name),
                    one.state_words(),
                    one.weight.to_string(),
                    format!("{}{limit}", one.active),
                    one.requests.to_string(),
                    rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}/s")),
                    one.errors.to_string(),
                    one.latency.map_or_else(|| "-".to_owned(), milliseconds),
                    one.address.clone(),
                    one.reason.clone(),
                ]);
            }
        }
        let _ = write!(
            text,
            "\n{}\n{}\n{}",
            listeners.text(),
            pools.text(),
            servers.text()
        );
        text
    }

    /// Only what is of that pool, or of that server of it: `POOL` or `POOL/SERVER`. `None`: there is none.
    pub fn only(mut self, which: &str) -> Option<Self> {
        let (pool, server) = match which.split_once('/') {
            Some((pool, server)) => (pool, Some(server)),
            None => (which, None),
        };
        self.pools.retain(|one| one.name == pool);
        for pool in &mut self.pools {
            let all = pool.servers.len();
            pool.servers
                .retain(|one| server.is_none_or(|server| one.name == server));
            pool.left_out = all - pool.servers.len();
        }
        let is_there = self
            .pools
            .iter()
            .any(|pool| server.is_none() || !pool.servers.is_empty());
        is_there.then_some(self)
    }
}

impl Server {
    /// Its state, with what an operator wants where that doesn't show: a server that is down is drained when it is back.
    pub fn state_words(&self) -> String {
        if self.operator == "drain" && self.state != "drain" {
            format!("{} (drain)", self.state)
        } else {
            self.state.clone()
        }
    }
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.1}ms", seconds * 1000.0)
}

/// A time in its two largest units.
fn time(seconds: f64) -> String {
    let seconds = std::time::Duration::try_from_secs_f64(seconds)
        .unwrap_or_default()
        .as_secs();
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

/// Columns as wide as what is in them; the last one isn't filled up.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(head: &[&str]) -> Self {
        Self {
            rows: vec![head.iter().map(ToString::to_string).collect()],
        }
    }

    fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn text(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, "{cell:width$}  ");
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        serde_json::from_value(serde_json::json!({
            "version": "1.2.3", "uptime": 3725.0, "state": "running", "reload": null, "new": 1,
            "listeners": [{"name": "web", "protocol": "http", "addresses": ["0.0.0.0:80"],
                "connections_active": 1, "requests": 3, "errors": 0, "refused": 0}],
            "pools": [{"name": "app", "algorithm": "x", "available_servers": 1, "queue_length": 0, "requests": 3, "errors": 0, "servers": [
                {"name": "a", "address": "10.0.0.1:80", "state": "up", "reason": "", "weight": 1, "active": 2,
                    "max_connections": 5, "requests": 3, "errors": 0, "latency": 0.0125},
                {"name": "long", "address": "10.0.0.2:80", "state": "down", "reason": "refused", "weight": 10,
                    "active": 0, "max_connections": 0, "requests": 0, "errors": 0, "latency": null},
            ]}],
        }))
        .expect("a report")
    }

    #[test]
    fn columns_stand_below_each_other() {
        let text = report().text(&|_, server| (server == "a").then_some(2.0));
        assert!(
            text.starts_with("equipoise 1.2.3: running for 1h 2m\n"),
            "{text}"
        );
        let servers: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("app/"))
            .collect();
        assert_eq!(servers.len(), 2, "{text}");
        assert_eq!(servers[0].find("10.0.0.1"), servers[1].find("10.0.0.2"));
        for part in ["2/5", "2.0/s", "12.5ms"] {
            assert!(servers[0].contains(part), "{part}: {text}");
        }
        assert!(servers[1].ends_with("refused"), "{text}");
    }

    #[test]
    fn one_pool_or_server_can_be_asked_for() {
        assert_eq!(
            report().only("app").expect("there").pools[0].servers.len(),
            2
        );
        assert_eq!(
            report().only("app/long").expect("there").pools[0]
                .servers
                .len(),
            1
        );
        assert!(report().only("app/x").is_none());
        assert!(report().only("x").is_none());
    }
}
