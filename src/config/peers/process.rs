//! Keys at the top, and of the process and its logs.

use super::Table;

/// Keys, by the path of their mapping.
pub const KEYS: Table = &[
    (
        "",
        &[
            (
                "upstream upstreams backend backends proxy proxies balancer cluster \
                 clusters services service targets target_group server_pool server_pools",
                "pools",
            ),
            (
                "frontend frontends listen servers entrypoints entry_points vhosts \
                 virtualhost virtualhosts virtual_hosts bind ports listener",
                "listeners",
            ),
            (
                "global main events process settings worker_processes worker_connections \
                 nbthread maxconn",
                "server, with threads and max_connections",
            ),
            (
                "log logs access_log accesslog error_log errorlog log_format",
                "logging",
            ),
            (
                "stats metrics dashboard api prometheus status stub_status",
                "admin",
            ),
            ("http stream defaults", "listeners and pools, at the top"),
            (
                "ssl tls certificates ssl_certificate certs",
                "listeners.NAME.tls",
            ),
            (
                "routes routers locations location rules",
                "listeners.NAME.routes",
            ),
            ("includes includeoptional import imports", "include"),
        ],
    ),
    (
        "server",
        &[
            ("listen bind port", "listeners.NAME.bind"),
            (
                "server_name servername",
                "listeners.NAME.routes, with match: {host: …}",
            ),
            ("location locations", "listeners.NAME.routes"),
            ("proxy_pass proxypass", "listeners.NAME.pool"),
            ("worker_processes nbthread nbproc workers cpus", "threads"),
            (
                "worker_connections maxconn maxconnections max_conn maxrequestworkers",
                "max_connections",
            ),
            ("pid pidfile", "pid_file"),
            (
                "grace hard_stop_after worker_shutdown_timeout graceful_timeout \
                 drain_timeout",
                "shutdown_timeout",
            ),
            ("uid", "user"),
            ("gid", "group"),
        ],
    ),
    (
        "logging.access_log",
        &[
            ("file output log", "path"),
            ("log_format logformat", "format"),
        ],
    ),
];
