//! What a store says when it takes no commands, in words.

use redis::{ErrorKind, RedisError};

/// Why a connection is no good, and where a node of a cluster says that the keys are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) words: String,
    pub(super) moved: Option<(String, u16)>,
}

impl Wrong {
    pub(super) fn because(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            moved: None,
        }
    }

    /// What the store answered.
    pub(super) fn of(error: &RedisError) -> Self {
        Self {
            words: complaint(error).map_or_else(|| error.to_string(), str::to_owned),
            moved: error.redirect_node().and_then(|(node, _)| place(node)),
        }
    }
}

/// Whether the store answered with an error, rather than not at all.
pub(super) fn is_answer(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// What somebody is told who takes a cluster for a single server.
pub(super) const ELSEWHERE: &str = "it is a node of a cluster, and the keys are on another: write redis+cluster:// in place of redis://";

/// The state of the store that an error shows in which it takes no commands of ours, whichever they are: the connection
/// is no good while that lasts. `None`: that one command was wrong.
pub(super) fn complaint(error: &RedisError) -> Option<&'static str> {
    let text = error.detail().unwrap_or_default();
    if text.starts_with("The user executing the script") {
        return meaning("NOPERM");
    }
    // Before version 7 the code of an error within a script stands in the text.
    let is_code = |c: char| c.is_ascii_uppercase();
    let words = text.split(|c| !is_code(c)).filter(|word| word.len() > 2);
    error.code().into_iter().chain(words).find_map(meaning)
}

fn meaning(code: &str) -> Option<&'static str> {
    Some(match code {
        "READONLY" => "it is a replica and takes no writes",
        "OOM" => "it is out of memory: raise maxmemory, or set maxmemory-policy volatile-ttl",
        "NOREPLICAS" => "it has fewer replicas than min-replicas-to-write",
        "LOADING" => "it is loading its data",
        "MASTERDOWN" => "it is a replica that has lost its master",
        "BUSY" => "it is busy with somebody's script",
        "MISCONF" => "it can't save its data and takes no writes",
        "NOAUTH" => "it wants a password",
        "WRONGPASS" => "it doesn't know the user and password",
        "NOPERM" => {
            "its user may not do what is needed: the commands EVALSHA, SCRIPT LOAD, GET, SET, PEXPIRE, DEL and TIME on the keys equipoise:*"
        }
        "MOVED" | "ASK" | "TRYAGAIN" | "CROSSSLOT" => ELSEWHERE,
        "CLUSTERDOWN" => "its cluster is down",
        _ => return None,
    })
}

/// `HOST:PORT`; no host: the one that says so.
fn place(node: &str) -> Option<(String, u16)> {
    let (host, port) = node.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_a_host_and_a_port() {
        assert_eq!(place("10.0.0.1:7000"), Some(("10.0.0.1".into(), 7000)));
        assert_eq!(place("fe80::1:7000"), Some(("fe80::1".into(), 7000)));
        assert_eq!(place("[::1]:7000"), Some(("::1".into(), 7000)));
        assert_eq!(place(":7000"), Some((String::new(), 7000)));
        assert_eq!(place("10.0.0.1"), None);
        assert_eq!(place("a:70000"), None);
    }

    fn answered(line: &str) -> Option<&'static str> {
        let redis::Value::ServerError(error) = redis::parse_redis_value(line.as_bytes()).unwrap()
        else {
            panic!("no error: {line}");
        };
        let error = RedisError::from(error);
        assert!(is_answer(&error));
        complaint(&error)
    }

    #[test]
    fn a_state_of_the_store_is_told_from_a_wrong_command() {
        for line in [
            "-READONLY You can't write against a read only replica.\r\n",
            "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
            "-NOREPLICAS Not enough good replicas to write.\r\n",
            "-LOADING Redis is loading the dataset in memory\r\n",
            "-MASTERDOWN Link with MASTER is down\r\n",
            "-BUSY Redis is busy running a script.\r\n",
            "-NOAUTH Authentication required.\r\n",
            "-ERR The user executing the script can't run this command or subcommand script: 6e42, on @user_script:29.\r\n",
            "-MOVED 3999 127.0.0.1:6381\r\n",
            "-CLUSTERDOWN Hash slot not served\r\n",
            "-ERR Error running script (call to f_0): @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica.\r\n",
        ] {
            assert!(answered(line).is_some(), "{line}");
        }
        for line in [
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
            "-ERR unknown command 'EVALSHA'\r\n",
            "-NOSCRIPT No matching script.\r\n",
        ] {
            assert_eq!(answered(line), None, "{line}");
        }
    }
}
