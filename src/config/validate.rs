//! raw -> model: everything that takes more than one value to judge, and all paths and references
//! resolved.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::address::AdminAddress;
use super::checks::{Checks, entries};
use super::hints::hints;
use super::model;
use super::raw;
use super::tree::{At, Node};
use super::units::Size;
use super::validate_algorithm::hashes_connections;
use super::validate_listener::{listener, unknown_pools};
use super::validate_pool::pool;
use super::validate_split::tell_apart;
use super::validate_tls::of_admin;

/// Where state is kept when neither the file nor systemd names a directory.
const STATE_DIR: &str = "/var/lib/equipoise";

/// Turns a structurally sound configuration into the model; all problems at once.
///
/// `raw` was made from `tree`, which is the sound part of `written`: a pool that is written but not
/// sound still has a name that listeners may use.
///
/// What it gives may be used only if no problem is noted.
pub fn validate(
    raw: &raw::Config,
    tree: &Node,
    written: &Node,
    env: &dyn Fn(&str) -> Option<String>,
    checks: &mut Checks<'_>,
) -> model::Config {
    let root = At::root(tree);
    let server = server(&raw.server, &root.key("server"), env, checks);
    let written = At::root(written);
    let admin = raw.admin.as_ref().map(|admin| {
        let (at, written) = (root.key("admin"), written.key("admin"));
        self::admin(admin, &at, &written, &server.state_dir, checks)
    });
    let logging = logging(&raw.logging, &root.key("logging"), checks);

    let pools_at = root.key("pools");
    let written_pools = written.key("pools");
    let mut pools = Vec::with_capacity(raw.pools.0.len());
    for ((name, raw), entry) in raw.pools.0.iter().zip(entries(&pools_at)) {
        let at = pools_at.entry(entry);
        checks.name(name, entry, &at);
        pools.push(pool(name, raw, &at, &written_pools.key(name), checks));
    }
    let pool_names: HashMap<&str, Arc<str>> = entries(&written_pools)
        .iter()
        .map(|entry| (entry.key.as_str(), Arc::from(entry.key.as_str())))
        .collect();

    let listeners_at = root.key("listeners");
    let written_listeners = written.key("listeners");
    let by_name = pools.iter().map(|pool: &model::Pool| (&*pool.name, pool));
    let by_name = by_name.collect();
    let mut listeners = Vec::with_capacity(raw.listeners.0.len());
    for ((name, raw), entry) in raw.listeners.0.iter().zip(entries(&listeners_at)) {
        let at = listeners_at.entry(entry);
        checks.name(name, entry, &at);
        tell_apart(raw, &at, &by_name, checks);
        hashes_connections(raw, &at, &by_name, checks);
        listeners.push(listener(
            name,
            raw,
            &at,
            &written_listeners.key(name),
            &pool_names,
            &server.state_dir,
            checks,
        ));
    }
    for (at, what) in [(&written_listeners, "listener"), (&written_pools, "pool")] {
        // A missing key has a problem of its own already.
        if at.node.is_some() && entries(at).is_empty() {
            checks.note(at, format!("is empty; at least one {what} is needed"));
        }
    }
    if checks.is_complete() {
        unknown_pools(&written_listeners, &written_pools, &pool_names, checks);
    }
    same_address_twice(raw, &root, checks);
    let config = model::Config {
        server,
        admin,
        logging,
        metrics: model::Metrics {
            server_histograms: raw.metrics.server_histograms,
            server_counters: pools.iter().map(|pool| pool.servers.len()).sum::<usize>()
                <= usize::try_from(raw.metrics.server_counters_up_to).unwrap_or(usize::MAX),
        },
        listeners,
        pools,
        files: checks.files(),
        read: std::mem::take(&mut checks.read),
        warnings: Vec::new(),
    };
    // With problems the configuration isn't what was written, so hints about it would mislead.
    if checks.is_sound() {
        hints(raw, &config, &root, checks);
    }
    config
}

fn server(
    raw: &raw::Server,
    at: &At<'_>,
    env: &dyn Fn(&str) -> Option<String>,
    checks: &mut Checks<'_>,
) -> model::Server {
    let threads = match raw.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads as usize,
    };
    let state_dir = match &raw.state_dir {
        Some(path) => checks.path(&at.key("state_dir"), &path.0),
        // systemd separates several directories by colons; the first is the main one.
        None => env("STATE_DIRECTORY")
            .as_deref()
            .and_then(|list| list.split(':').next())
            .filter(|first| !first.is_empty())
            .map_or_else(|| PathBuf::from(STATE_DIR), PathBuf::from),
    };
    model::Server {
        threads,
        max_connections: raw.max_connections as usize,
        shutdown_timeout: raw.shutdown_timeout.0,
        pid_file: raw
            .pid_file
            .as_ref()
            .map(|path| checks.path(&at.key("pid_file"), &path.0)),
        upgrade_socket: raw
            .upgrade_socket
            .as_ref()
            .map(|path| checks.path(&at.key("upgrade_socket"), &path.0)),
        state_dir,
        user: raw.user.as_ref().map(|user| user.0.clone()),
        group: raw.group.as_ref().map(|group| group.0.clone()),
        watch_config: raw.watch_config,
    }
}

/// `at` is in the sound part of the tree, `written` in all of it.
fn admin(
    raw: &raw::Admin,
    at: &At<'_>,
    written: &At<'_>,
    state_dir: &Path,
    checks: &mut Checks<'_>,
) -> model::Admin {
    let (bind_at, tls_at) = (at.key("bind"), at.key("tls"));
    let bind = match &raw.bind {
        AdminAddress::Socket(address) => {
            let is_reached_from_elsewhere = !address.ip().to_canonical().is_loopback();
            if is_reached_from_elsewhere && !written.key("token_file").is_written() {
                checks.note(
                    &bind_at,
                    format!(
                        "{address} is not a loopback address; such a bind requires a token: set admin.token_file, or \
                         bind to 127.0.0.1 or unix:/path"
                    ),
                );
            } else if is_reached_from_elsewhere && !written.key("tls").is_written() {
                checks.warn(
                    &bind_at,
                    "other machines send their tokens here without encryption; admin.tls protects them",
                );
            }
            model::AdminBind::Tcp(*address)
        }
        AdminAddress::Unix(path) => {
            if raw.tls.is_some() {
                checks.note(&tls_at, "has no meaning for a Unix socket");
            }
            model::AdminBind::Unix(checks.path(&bind_at, path))
        }
    };
    model::Admin {
        tls: match (&raw.tls, &bind) {
            (Some(tls), model::AdminBind::Tcp(_)) => {
                let written = written.key("tls");
                Some(of_admin(tls, &tls_at, &written, state_dir, checks))
            }
            _ => None,
        },
        token_file: raw
            .token_file
            .as_ref()
            .map(|path| checks.path(&at.key("token_file"), &path.0)),
        bind,
    }
}

fn logging(raw: &raw::Logging, at: &At<'_>, checks: &mut Checks<'_>) -> model::Logging {
    let at = at.key("access_log");
    let buffer_at = at.key("buffer");
    if raw.access_log.buffer > Size::kib(64 * 1024) {
        checks.note(&buffer_at, "can't be more than 64MiB");
    }
    let path = match raw.access_log.path.0.as_str() {
        "off" => model::AccessLogPath::Off,
        "stdout" => model::AccessLogPath::Stdout,
        "stderr" => model::AccessLogPath::Stderr,
        path => model::AccessLogPath::File(checks.path(&at.key("path"), path)),
    };
    let format = match raw.access_log.format.0.as_str() {
        "combined" => model::AccessLogFormat::Combined,
        "json" => model::AccessLogFormat::Json,
        template => model::AccessLogFormat::Template(template.to_owned()),
    };
    model::Logging {
        level: raw.level.0.clone(),
        format: match raw.format {
            raw::LogFormat::Text => model::LogFormat::Text,
            raw::LogFormat::Json => model::LogFormat::Json,
        },
        access_log: model::AccessLog {
            path,
            format,
            buffer: raw.access_log.buffer.bytes(),
        },
    }
}

/// `at` is in the sound part of the tree, `written` in all of it.
/// An address can be listened on once; the wildcard covers all addresses of its family (IPv6 sockets
/// take IPv6 alone). Port 0 is any free port.
fn same_address_twice(raw: &raw::Config, root: &At<'_>, checks: &mut Checks<'_>) {
    let mut taken: HashMap<(bool, u16), Vec<(SocketAddr, String)>> = HashMap::new();
    let mut take = |address: SocketAddr, at: &At<'_>, checks: &mut Checks<'_>| {
        if address.port() == 0 {
            return;
        }
        let same_port = taken
            .entry((address.is_ipv4(), address.port()))
            .or_default();
        let clash = same_port.iter().find(|(other, _)| {
            *other == address || other.ip().is_unspecified() || address.ip().is_unspecified()
        });
        if let Some((other, place)) = clash {
            let message = if *other == address {
                format!("{address} is bound twice; first at {place}")
            } else {
                format!("{address} can't be bound besides {other}, which is bound at {place}")
            };
            checks.note(at, message);
        } else {
            let place = checks.show(at);
            same_port.push((address, place));
        }
    };
    let admin_at = root.key("admin");
    if let Some(raw::Admin {
        bind: AdminAddress::Socket(address),
        ..
    }) = &raw.admin
    {
        take(*address, &admin_at.key("bind"), checks);
    }
    let listeners_at = root.key("listeners");
    for ((_, listener), entry) in raw.listeners.0.iter().zip(entries(&listeners_at)) {
        let at = listeners_at.entry(entry);
        let bind_at = at.key("bind");
        for (index, bind) in listener.bind.0.iter().enumerate() {
            take(bind.0, &bind_at.item(index), checks);
        }
    }
}
