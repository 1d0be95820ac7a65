//! raw -> model: everything that takes more than one value to judge, and all paths and references
//! resolved.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::address::AdminAddress;
use super::hints::hints;
use super::model;
use super::problem::{Problems, shown, similar};
use super::raw;
use super::text::check_name;
use super::tree::{At, Entry, Files, Node, Value};
use super::units::{Size, Span};
use super::validate_algorithm::hashes_connections;
use super::validate_http::http;
use super::validate_names::sni_routes;
use super::validate_pool::pool;
use super::validate_route::{is_empty_list, routes};
use super::validate_split::tell_apart;
use super::validate_tls::{of_admin, tls};

/// Where state is kept when neither the file nor systemd names a directory.
const STATE_DIR: &str = "/var/lib/equipoise";

/// Linux takes no more seconds for `TCP_KEEPIDLE` and `TCP_KEEPINTVL` (tcp(7)).
const LONGEST_KEEPALIVE: u64 = 32_767;

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
    if checks.complete {
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
        files: checks.files.names().map(PathBuf::from).collect(),
        read: std::mem::take(&mut checks.read),
        warnings: Vec::new(),
    };
    // With problems the configuration isn't what was written, so hints about it would mislead.
    if checks.found.is_empty() {
        hints(raw, &config, &root, checks);
    }
    config
}

/// Collects problems; shared by all sections.
pub(super) struct Checks<'a> {
    files: &'a Files,
    /// Whether all that is written could be read.
    complete: bool,
    found: &'a mut Problems,
    warnings: Problems,
    /// Files whose content is part of the configuration.
    pub read: Vec<PathBuf>,
}

impl<'a> Checks<'a> {
    /// Problems are noted in `found`.
    pub fn new(files: &'a Files, complete: bool, found: &'a mut Problems) -> Self {
        Self {
            files,
            complete,
            found,
            warnings: Problems::default(),
            read: Vec::new(),
        }
    }

    /// What is allowed, and hardly meant.
    pub fn into_warnings(self) -> Problems {
        self.warnings
    }

    /// Notes that what is written at `at` is allowed, and hardly meant.
    pub fn warn(&mut self, at: &At<'_>, message: impl Into<String>) {
        self.warnings
            .push(self.files.problem(at.place, at.path(), message));
    }

    /// Notes that something is wrong at `at`.
    pub fn note(&mut self, at: &At<'_>, message: impl Into<String>) {
        self.found
            .push(self.files.problem(at.place, at.path(), message));
    }

    /// Notes it with what was probably meant.
    pub fn note_with(&mut self, at: &At<'_>, message: String, suggestion: Option<&str>) {
        let mut problem = self.files.problem(at.place, at.path(), message);
        problem.suggestion = suggestion.map(str::to_owned);
        self.found.push(problem);
    }

    /// A duration that can't be 0.
    pub fn positive(&mut self, at: &At<'_>, span: Span, instead: &str) -> Duration {
        if span.0.is_zero() {
            self.note(at, format!("can't be 0{instead}"));
        }
        span.0
    }

    /// A path, relative to the file that it is written in.
    pub fn path(&self, at: &At<'_>, path: &str) -> PathBuf {
        let file = Path::new(self.files.name(at.place.file));
        file.parent().unwrap_or(Path::new("")).join(path)
    }

    fn name(&mut self, name: &str, entry: &Entry, at: &At<'_>) {
        if let Err(message) = check_name(name) {
            let problem = self.files.problem(entry.place, at.path(), message);
            self.found.push(problem);
        }
    }

    /// A place for a message.
    pub fn show(&self, at: &At<'_>) -> String {
        self.files.show(at.place)
    }
}

/// The entries of the mapping at a spot.
pub(super) fn entries<'a>(at: &At<'a>) -> &'a [Entry] {
    match at.node.map(|node| &node.value) {
        Some(Value::Mapping(entries)) => entries,
        _ => &[],
    }
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
fn listener(
    name: &str,
    raw: &raw::Listener,
    at: &At<'_>,
    written: &At<'_>,
    pools: &HashMap<&str, Arc<str>>,
    state_dir: &Path,
    checks: &mut Checks<'_>,
) -> model::Listener {
    if raw.bind.0.is_empty() && is_empty_list(&written.key("bind")) {
        checks.note(
            &at.key("bind"),
            "is empty; a listener needs at least one address",
        );
    }
    let is_http = matches!(raw.protocol, raw::Protocol::Http | raw::Protocol::Https);
    let is_unknown = at.is_broken(written, "protocol");
    for (key, fits, protocols) in [
        ("http", is_http, "http and https"),
        (
            "redirect_https",
            raw.protocol == raw::Protocol::Http,
            "http",
        ),
        ("routes", is_http, "http and https"),
        ("tcp", !is_http, "tcp and tls"),
    ] {
        let at = at.key(key);
        let is_off = key == "redirect_https" && raw.redirect_https.0.is_none();
        let has_meaning = fits || is_unknown || is_off;
        if at.is_written() && !has_meaning {
            checks.note(&at, format!("has a meaning for protocol {protocols} alone"));
        }
    }
    if raw.redirect_https.0.is_some() && !raw.routes.is_empty() {
        checks.note(
            &at.key("routes"),
            "are never looked at beside redirect_https, which answers every request; write a last route with redirect instead",
        );
    }
    if raw.pool.is_none()
        && raw.redirect_https.0.is_none()
        && !written.key("routes").is_written()
        && !written.key("tcp").key("sni_routes").is_written()
        && !written.key("pool").is_written()
    {
        checks.note(at, "needs pool, the name of where everything goes");
    }
    let routes = routes(raw, at, written, pools, checks);
    let sni_routes = sni_routes(raw, &at.key("tcp").key("sni_routes"), pools, checks);
    model::Listener {
        name: Arc::from(name),
        bind: raw.bind.0.iter().map(|bind| bind.0).collect(),
        protocol: match raw.protocol {
            raw::Protocol::Http => model::Protocol::Http,
            raw::Protocol::Https => model::Protocol::Https,
            raw::Protocol::Tcp => model::Protocol::Tcp,
            raw::Protocol::Tls => model::Protocol::Tls,
        },
        proxy_protocol: raw.proxy_protocol,
        max_connections: raw.max_connections as usize,
        max_connections_per_client: raw.max_connections_per_client as usize,
        connection_rate_per_client: raw.connection_rate_per_client,
        tcp_keepalive: tcp_keepalive(&raw.tcp_keepalive, &at.key("tcp_keepalive"), checks),
        client_address: client_address(&raw.client_address),
        http: http(&raw.http, &at.key("http"), checks),
        tls: tls(raw, at, written, state_dir, checks),
        redirect_https: raw.redirect_https.0,
        tcp: tcp(&raw.tcp, &at.key("tcp"), checks),
        sni_routes,
        routes,
        pool: raw.pool.as_ref().map(|name| {
            pools
                .get(name.0.as_str())
                .map_or_else(|| Arc::from(name.0.as_str()), Arc::clone)
        }),
    }
}

/// Looks at all written listeners, so that one that isn't sound elsewhere has its reference checked too.
fn unknown_pools(
    listeners: &At<'_>,
    pools: &At<'_>,
    names: &HashMap<&str, Arc<str>>,
    checks: &mut Checks<'_>,
) {
    for entry in entries(listeners) {
        let at = listeners.entry(entry);
        unknown_pool(&at.key("pool"), pools, names, checks);
        let by_name = at.key("tcp");
        let by_name = by_name.key("sni_routes");
        for entry in entries(&by_name) {
            unknown_pool(&by_name.entry(entry), pools, names, checks);
        }
        let routes = at.key("routes");
        for index in 0..items(&routes) {
            let route = routes.item(index);
            unknown_pool(&route.key("pool"), pools, names, checks);
            unknown_pool(&route.key("mirror").key("pool"), pools, names, checks);
            let split = route.key("split");
            for index in 0..items(&split) {
                unknown_pool(&split.item(index).key("pool"), pools, names, checks);
            }
        }
    }
}

fn items(at: &At<'_>) -> usize {
    match at.node.map(|node| &node.value) {
        Some(Value::Sequence(items)) => items.len(),
        _ => 0,
    }
}

fn unknown_pool(
    at: &At<'_>,
    pools: &At<'_>,
    names: &HashMap<&str, Arc<str>>,
    checks: &mut Checks<'_>,
) {
    if let Some(Value::String(name)) = at.node.map(|node| &node.value)
        && check_name(name).is_ok()
        && !names.contains_key(name.as_str())
    {
        let message = format!("there is no pool `{}`", shown(name));
        let meant = if checks.found.is_full() {
            None
        } else {
            similar(name, entries(pools).iter().map(|pool| pool.key.as_str()))
        };
        checks.note_with(at, message, meant);
    }
}

fn tcp_keepalive(
    raw: &raw::TcpKeepalive,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> model::TcpKeepalive {
    for (key, span) in [("idle", raw.idle), ("interval", raw.interval)] {
        let whole = span.0.subsec_nanos() == 0;
        if !whole || !(1..=LONGEST_KEEPALIVE).contains(&span.0.as_secs()) {
            let message =
                format!("must be whole seconds from 1s to {LONGEST_KEEPALIVE}s, found {span}");
            checks.note(&at.key(key), message);
        }
    }
    model::TcpKeepalive {
        idle: raw.idle.0,
        interval: raw.interval.0,
        probes: raw.probes,
    }
}

fn client_address(raw: &raw::ClientAddress) -> model::ClientAddress {
    model::ClientAddress {
        trusted_proxies: raw
            .trusted_proxies
            .iter()
            .map(|network| network.0)
            .collect(),
        x_forwarded_for: match raw.x_forwarded_for {
            raw::XForwardedFor::Append => model::XForwardedFor::Append,
            raw::XForwardedFor::Replace => model::XForwardedFor::Replace,
            raw::XForwardedFor::Off => model::XForwardedFor::Off,
        },
        x_real_ip: raw.x_real_ip,
        x_forwarded_proto: raw.x_forwarded_proto,
        forwarded: raw.forwarded,
        via: raw.via,
    }
}

fn tcp(raw: &raw::Tcp, at: &At<'_>, checks: &mut Checks<'_>) -> model::Tcp {
    let mut positive = |key, span| checks.positive(&at.key(key), span, "");
    model::Tcp {
        idle_timeout: positive("idle_timeout", raw.idle_timeout),
        half_close_timeout: positive("half_close_timeout", raw.half_close_timeout),
    }
}

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
