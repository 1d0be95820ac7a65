//! What a reload changes, in words for the log.

use std::fmt::{Debug, Write as _};

use crate::config::model::{Config, Listener, Pool, PoolServer};

/// Names that are told one by one; of more there is a count.
const NAMED: usize = 10;

/// What is different in `after`: "pool app: server c added; logging changed".
pub fn words(before: &Config, after: &Config) -> String {
    let mut told = Vec::new();
    let same_process = same(&before.server, &after.server);
    let same_admin = same(&before.admin, &after.admin);
    let same_logging = before.logging == after.logging;
    for (same, section) in [
        (same_process, "server"),
        (same_admin, "admin"),
        (same_logging, "logging"),
    ] {
        if !same {
            told.push(format!("{section} changed"));
        }
    }
    let listeners = Difference::of(&before.listeners, &after.listeners, |l| &l.name);
    listeners.tell("listener", &mut told);
    let pools = Difference::of(&before.pools, &after.pools, |p| &p.name);
    pools.tell("pool", &mut told);
    for (before, after) in pools.kept {
        let changes = of_pool(before, after);
        if !changes.is_empty() {
            told.push(format!("pool {}: {}", after.name, changes.join(", ")));
        }
    }
    for (before, after) in listeners.kept {
        if !same::<Listener>(before, after) {
            told.push(format!("listener {}: changed", after.name));
        }
    }
    if told.is_empty() {
        return "nothing is different".to_owned();
    }
    told.join("; ")
}

fn of_pool(before: &Pool, after: &Pool) -> Vec<String> {
    let mut told = Vec::new();
    let servers = Difference::of(&before.servers, &after.servers, |s| &s.name);
    servers.tell("server", &mut told);
    let changed: Vec<String> = servers
        .kept
        .iter()
        .filter_map(|(before, after)| of_server(before, after))
        .collect();
    list("server", "", &changed, &mut told);
    let settings = |pool: &Pool| Pool {
        servers: Vec::new(),
        ..pool.clone()
    };
    if !same(&settings(before), &settings(after)) {
        told.push("settings changed".to_owned());
    }
    told
}

fn of_server(before: &PoolServer, after: &PoolServer) -> Option<String> {
    if before == after {
        return None;
    }
    let mut text = after.name.to_string();
    // Memory can be written to.
    if before.address != after.address {
        let _ = write!(text, " moved from {} to {}", before.address, after.address);
    }
    if before.weight != after.weight {
        let (before, after) = (before.weight, after.weight);
        let _ = write!(text, " has weight {after} instead of {before}");
    }
    if text.len() == after.name.len() {
        text.push_str(" changed");
    }
    Some(text)
}

/// What two lists of things with names don't have in common, and what they do.
struct Difference<'a, T> {
    added: Vec<String>,
    removed: Vec<String>,
    kept: Vec<(&'a T, &'a T)>,
}

impl<'a, T> Difference<'a, T> {
    fn of(before: &'a [T], after: &'a [T], name: impl Fn(&T) -> &str) -> Self {
        let known: std::collections::HashMap<&str, &T> =
            before.iter().map(|item| (name(item), item)).collect();
        let mut gone = known.clone();
        let (mut added, mut kept) = (Vec::new(), Vec::new());
        for item in after {
            gone.remove(name(item));
            match known.get(name(item)) {
                Some(before) => kept.push((*before, item)),
                None => added.push(name(item).to_owned()),
            }
        }
        let removed = before.iter().map(|item| name(item).to_owned());
        let removed = removed.filter(|name| gone.contains_key(&**name)).collect();
        Self {
            added,
            removed,
            kept,
        }
    }

    fn tell(&self, what: &str, told: &mut Vec<String>) {
        list(what, " added", &self.added, told);
        list(what, " removed", &self.removed, told);
    }
}

/// "server c added", "servers c, d added", "20 servers added".
fn list(what: &str, verb: &str, names: &[String], told: &mut Vec<String>) {
    match names {
        [] => {}
        [name] => told.push(format!("{what} {name}{verb}")),
        names if names.len() <= NAMED => {
            told.push(format!("{what}s {}{verb}", names.join(", ")));
        }
        names => {
            let verb = if verb.is_empty() { " changed" } else { verb };
            told.push(format!("{} {what}s{verb}", names.len()));
        }
    }
}

/// Whether two parts of a configuration would be printed alike: most of its types have no equality of their own.
fn same<T: Debug>(one: &T, other: &T) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_str;

    const SERVERS: &str = r#"{name: a, address: "127.0.0.1:1"}, {name: b, address: "127.0.0.1:2"}"#;

    fn config(servers: &str, more: &str) -> Config {
        let yaml = format!(
            r#"
listeners: {{web: {{bind: "127.0.0.1:80", pool: app}}}}
pools: {{app: {{servers: [{servers}]{more}}}}}
"#
        );
        parse_str("test.yaml", &yaml, &|_| None).expect("a configuration")
    }

    fn changed(servers: &str, more: &str) -> String {
        words(&config(SERVERS, ""), &config(servers, more))
    }

    #[test]
    fn a_reload_without_changes_says_so() {
        assert_eq!(changed(SERVERS, ""), "nothing is different");
    }

    #[test]
    fn servers_come_go_and_change() {
        let (a, b) = SERVERS.split_once(", {").expect("two");
        assert_eq!(changed(a, ""), "pool app: server b removed");
        let c = format!("{SERVERS}, {{name: c, address: \"127.0.0.1:3\"}}");
        assert_eq!(changed(&c, ""), "pool app: server c added");
        let heavy = format!("{a}, {{weight: 3, {b}");
        assert_eq!(
            changed(&heavy, ""),
            "pool app: server b has weight 3 instead of 1"
        );
        let moved = SERVERS.replace("127.0.0.1:2", "127.0.0.1:3");
        assert_eq!(
            changed(&moved, ""),
            "pool app: server b moved from 127.0.0.1:2 to 127.0.0.1:3"
        );
        let backup = format!("{a}, {{backup: true, {b}");
        assert_eq!(changed(&backup, ""), "pool app: server b changed");
    }

    #[test]
    fn settings_and_pools_are_told_and_many_names_are_counted() {
        assert_eq!(
            changed(SERVERS, ", slow_start: 10s"),
            "pool app: settings changed"
        );
        let other = ", slow_start: 0s}, other: {servers: [{name: x, address: \"127.0.0.1:9\"}]";
        assert_eq!(changed(SERVERS, other), "pool other added");
        let many: String = (0..20)
            .map(|n| format!(", {{name: s{n}, address: \"127.0.0.1:{}\"}}", 100 + n))
            .collect();
        assert_eq!(
            changed(&format!("{SERVERS}{many}"), ""),
            "pool app: 20 servers added"
        );
    }
}
