//! What nginx, HAProxy, httpd, Envoy and Traefik call things: the name that they have here.

use super::tree::At;

/// Theirs and ours.
type Words = &'static [(&'static [&'static str], &'static str)];

/// Keys, by the path of their mapping (`*` is any name, `[]` any list item).
const KEYS: &[(&str, Words)] = &[
    (
        "",
        &[
            (
                &[
                    "upstream",
                    "upstreams",
                    "backend",
                    "backends",
                    "proxy",
                    "proxies",
                    "balancer",
                    "cluster",
                    "clusters",
                    "services",
                    "service",
                    "targets",
                    "target_group",
                    "server_pool",
                    "server_pools",
                ],
                "pools",
            ),
            (
                &[
                    "frontend",
                    "frontends",
                    "listen",
                    "servers",
                    "entrypoints",
                    "entry_points",
                    "vhosts",
                    "virtualhost",
                    "virtualhosts",
                    "virtual_hosts",
                    "bind",
                    "ports",
                    "listener",
                ],
                "listeners",
            ),
            (
                &[
                    "global",
                    "main",
                    "events",
                    "process",
                    "settings",
                    "worker_processes",
                    "worker_connections",
                    "nbthread",
                    "maxconn",
                ],
                "server, with threads and max_connections",
            ),
            (
                &[
                    "log",
                    "logs",
                    "access_log",
                    "accesslog",
                    "error_log",
                    "errorlog",
                    "log_format",
                ],
                "logging",
            ),
            (
                &[
                    "stats",
                    "metrics",
                    "dashboard",
                    "api",
                    "prometheus",
                    "status",
                    "stub_status",
                ],
                "admin",
            ),
            (
                &["http", "stream", "defaults"],
                "listeners and pools, at the top",
            ),
            (
                &["ssl", "tls", "certificates", "ssl_certificate", "certs"],
                "listeners.NAME.tls",
            ),
            (
                &["routes", "routers", "locations", "location", "rules"],
                "listeners.NAME.routes",
            ),
            (
                &["includes", "includeoptional", "import", "imports"],
                "include",
            ),
        ],
    ),
    (
        "server",
        &[
            (&["listen", "bind", "port"], "listeners.NAME.bind"),
            (
                &["server_name", "servername"],
                "listeners.NAME.routes, with match: {host: …}",
            ),
            (&["location", "locations"], "listeners.NAME.routes"),
            (&["proxy_pass", "proxypass"], "listeners.NAME.pool"),
            (
                &["worker_processes", "nbthread", "nbproc", "workers", "cpus"],
                "threads",
            ),
            (
                &[
                    "worker_connections",
                    "maxconn",
                    "maxconnections",
                    "max_conn",
                    "maxrequestworkers",
                ],
                "max_connections",
            ),
            (&["pid", "pidfile"], "pid_file"),
            (
                &[
                    "grace",
                    "hard_stop_after",
                    "worker_shutdown_timeout",
                    "graceful_timeout",
                    "drain_timeout",
                ],
                "shutdown_timeout",
            ),
            (&["uid"], "user"),
            (&["gid"], "group"),
        ],
    ),
    (
        "logging.access_log",
        &[
            (&["file", "output", "log"], "path"),
            (&["log_format", "logformat"], "format"),
        ],
    ),
    (
        "listeners.*",
        &[
            (
                &[
                    "listen",
                    "address",
                    "addr",
                    "addresses",
                    "port",
                    "ports",
                    "host",
                ],
                "bind",
            ),
            (
                &[
                    "backend",
                    "default_backend",
                    "use_backend",
                    "upstream",
                    "proxy_pass",
                    "proxypass",
                    "target",
                    "to",
                    "service",
                    "pools",
                    "forward_to",
                    "backends",
                    "servers",
                    "default_pool",
                ],
                "pool",
            ),
            (&["mode", "type", "scheme"], "protocol"),
            (
                &[
                    "ssl",
                    "certificate",
                    "certificates",
                    "cert",
                    "crt",
                    "ssl_certificate",
                    "sslcertificatefile",
                    "https",
                ],
                "tls, with certificates: [{cert: …, key: …}]",
            ),
            (
                &[
                    "locations",
                    "location",
                    "rules",
                    "acl",
                    "paths",
                    "path",
                    "rewrite",
                ],
                "routes",
            ),
            (
                &["server_name", "servername", "hosts", "domain", "domains"],
                "routes, with match: {host: …}",
            ),
            (
                &["maxconn", "max_conn", "limit_conn", "connlimit"],
                "max_connections",
            ),
            (
                &[
                    "redirect",
                    "https_redirect",
                    "force_ssl",
                    "return",
                    "redirect_to_https",
                ],
                "redirect_https",
            ),
            (
                &[
                    "forwardfor",
                    "real_ip",
                    "set_real_ip_from",
                    "xff",
                    "trusted_proxies",
                ],
                "client_address",
            ),
            (
                &[
                    "timeout",
                    "timeouts",
                    "client_header_timeout",
                    "keepalive_timeout",
                ],
                "http, with header_timeout and others",
            ),
            (
                &["gzip", "compression", "deflate"],
                "http, with compression",
            ),
            (
                &["client_max_body_size", "max_body_size", "limitrequestbody"],
                "http.max_body_size",
            ),
            (&["http2", "h2"], "http.http2"),
            (
                &["accept_proxy", "send_proxy"],
                "proxy_protocol, which is not supported yet",
            ),
        ],
    ),
    (
        "listeners.*.http",
        &[
            (
                &["client_max_body_size", "limitrequestbody"],
                "max_body_size",
            ),
            (&["gzip", "deflate"], "compression"),
            (
                &[
                    "client_header_timeout",
                    "http_request",
                    "timeout_http_request",
                ],
                "header_timeout",
            ),
            (&["client_body_timeout"], "body_timeout"),
            (
                &[
                    "http_keep_alive",
                    "timeout_http_keep_alive",
                    "keepalivetimeout",
                    "idle_timeout",
                ],
                "keepalive_timeout",
            ),
            (&["maxkeepaliverequests"], "keepalive_requests"),
            (
                &["error_page", "errordocument", "errorfile", "errorfiles"],
                "error_pages",
            ),
            (&["server_tokens", "servertokens"], "server_header"),
            (
                &[
                    "large_client_header_buffers",
                    "client_header_buffer_size",
                    "limitrequestfieldsize",
                ],
                "max_header_size",
            ),
        ],
    ),
    (
        "listeners.*.client_address",
        &[
            (
                &[
                    "set_real_ip_from",
                    "remoteipinternalproxy",
                    "remoteiptrustedproxy",
                    "trusted",
                    "proxies",
                ],
                "trusted_proxies",
            ),
            (
                &[
                    "forwardfor",
                    "xff",
                    "xforwardedfor",
                    "real_ip_header",
                    "remoteipheader",
                ],
                "x_forwarded_for",
            ),
        ],
    ),
    (
        "listeners.*.tls",
        &[
            (
                &[
                    "cert",
                    "certificate",
                    "crt",
                    "pem",
                    "key",
                    "certs",
                    "ssl_certificate",
                    "ssl_certificate_key",
                    "sslcertificatefile",
                    "sslcertificatekeyfile",
                ],
                "certificates: [{cert: …, key: …}]",
            ),
            (
                &[
                    "protocols",
                    "ssl_protocols",
                    "sslprotocol",
                    "ssl_min_ver",
                    "versions",
                ],
                "min_version and max_version",
            ),
            (&["ssl_ciphers", "sslciphersuite", "cipher"], "ciphers"),
            (&["ciphersuites"], "cipher_suites"),
            (&["curves", "ecdhe", "ssl_ecdh_curve"], "groups"),
            (
                &[
                    "verify",
                    "ca",
                    "ca_file",
                    "ssl_verify_client",
                    "ssl_client_certificate",
                    "client_ca",
                ],
                "client_auth",
            ),
            (&["letsencrypt", "lets_encrypt", "certbot", "auto"], "acme"),
            (
                &["ssl_session_ticket_key", "tls_ticket_keys"],
                "session_ticket_key_file",
            ),
        ],
    ),
    (
        "listeners.*.tls.certificates.[]",
        &[
            (
                &[
                    "certificate",
                    "crt",
                    "pem",
                    "file",
                    "chain",
                    "fullchain",
                    "ssl_certificate",
                    "sslcertificatefile",
                    "certificate_file",
                    "cert_file",
                    "certfile",
                ],
                "cert",
            ),
            (
                &[
                    "private_key",
                    "privkey",
                    "ssl_certificate_key",
                    "sslcertificatekeyfile",
                    "key_file",
                    "keyfile",
                ],
                "key",
            ),
            (&["pfx", "p12", "pkcs12"], "bundle"),
            (
                &["password", "passphrase", "ssl_password_file"],
                "password_file",
            ),
        ],
    ),
    (
        "listeners.*.tls.acme",
        &[
            (&["domain", "names", "hosts", "san", "sans"], "domains"),
            (&["contact", "mail"], "email"),
            (&["server", "ca_server", "caserver", "url"], "directory"),
            (&["eab"], "external_account"),
        ],
    ),
    (
        "listeners.*.routes.[]",
        &[
            (
                &[
                    "path",
                    "location",
                    "prefix",
                    "host",
                    "hosts",
                    "when",
                    "if",
                    "rule",
                    "matches",
                    "path_prefix",
                    "path_regex",
                    "method",
                    "header",
                    "query",
                    "url",
                ],
                "match, with host, path, path_prefix, path_regex, …",
            ),
            (
                &[
                    "backend",
                    "use_backend",
                    "upstream",
                    "proxy_pass",
                    "proxypass",
                    "target",
                    "to",
                    "service",
                ],
                "pool",
            ),
            (
                &["return", "deny_all", "status", "response", "answer"],
                "respond",
            ),
            (
                &["weighted", "weights", "pools", "split_clients", "backends"],
                "split",
            ),
            (&["limit_req", "ratelimit", "rate"], "rate_limit"),
            (
                &["auth", "auth_basic", "authbasic", "basicauth"],
                "basic_auth",
            ),
            (
                &["proxy_set_header", "requestheader", "set_header", "headers"],
                "request_headers",
            ),
            (&["add_header", "header_set"], "response_headers"),
            (&["allow_from", "whitelist", "allowlist"], "allow"),
            (&["blacklist", "denylist", "block"], "deny"),
        ],
    ),
    (
        "listeners.*.routes.[].match",
        &[
            (&["paths", "exact", "uri", "url"], "path"),
            (&["prefix", "path_beg", "location"], "path_prefix"),
            (
                &["regex", "path_reg", "pattern", "locationmatch"],
                "path_regex",
            ),
            (
                &["hosts", "domain", "server_name", "hostname", "hdr_host"],
                "host",
            ),
            (&["methods", "verb"], "method"),
            (&["headers", "hdr"], "header"),
            (
                &["src", "source", "source_ip", "remote_addr", "ip", "clients"],
                "client",
            ),
            (&["args", "params", "url_param", "queries"], "query"),
        ],
    ),
    (
        "pools.*",
        &[
            (
                &[
                    "balance",
                    "lb_method",
                    "lbmethod",
                    "lb",
                    "method",
                    "load_balancing",
                    "loadbalancing",
                    "lb_policy",
                    "policy",
                    "strategy",
                    "balancing",
                    "lb_algorithm",
                    "scheduler",
                ],
                "algorithm",
            ),
            (
                &[
                    "server",
                    "members",
                    "member",
                    "targets",
                    "endpoints",
                    "backends",
                    "backend",
                    "nodes",
                    "hosts",
                    "upstreams",
                    "upstream",
                    "balancermember",
                    "balancermembers",
                    "addresses",
                    "address",
                ],
                "servers",
            ),
            (
                &[
                    "sticky",
                    "stick",
                    "stickysession",
                    "sticky_session",
                    "sticky_sessions",
                    "stick_table",
                    "stick_on",
                    "session_persistence",
                    "session_affinity",
                    "affinity",
                    "cookie",
                    "session",
                    "sessions",
                    "appsession",
                    "ip_hash",
                    "persist",
                ],
                "persistence",
            ),
            (
                &[
                    "check",
                    "checks",
                    "healthcheck",
                    "health_checks",
                    "healthchecks",
                    "health",
                    "httpchk",
                    "option_httpchk",
                    "hcheck",
                    "hcmethod",
                    "monitor",
                    "probe",
                ],
                "health_check",
            ),
            (&["slowstart"], "slow_start"),
            (
                &[
                    "timeout",
                    "timeout_server",
                    "timeout_connect",
                    "proxy_read_timeout",
                    "proxy_connect_timeout",
                ],
                "timeouts",
            ),
            (
                &[
                    "retry",
                    "redispatch",
                    "option_redispatch",
                    "proxy_next_upstream",
                ],
                "retries",
            ),
            (&["maxqueue", "timeout_queue"], "queue"),
            (&["ssl", "https", "proxy_ssl"], "tls"),
            (
                &[
                    "maxconn",
                    "max_conns",
                    "max_connections",
                    "weight",
                    "backup",
                ],
                "servers: [{…}], where each has its own",
            ),
            (&["h2", "http_2", "grpc"], "http2: true"),
            (
                &[
                    "least_conn",
                    "leastconn",
                    "roundrobin",
                    "round_robin",
                    "random",
                ],
                "algorithm",
            ),
            (
                &["hash", "consistent_hash"],
                "algorithm: hash, which is not supported yet",
            ),
            (&["keepalive_timeout"], "timeouts.idle"),
        ],
    ),
    (
        "pools.*.servers.[]",
        &[
            (
                &[
                    "host", "ip", "url", "server", "addr", "target", "endpoint", "backend", "uri",
                    "hostname",
                ],
                "address",
            ),
            (&["port"], "address: host:port"),
            (&["id", "label"], "name"),
            (
                &[
                    "maxconn",
                    "max_conns",
                    "max_conn",
                    "limit",
                    "max",
                    "conn_limit",
                ],
                "max_connections",
            ),
            (
                &[
                    "check",
                    "health_check",
                    "healthcheck",
                    "inter",
                    "rise",
                    "fall",
                ],
                "pools.NAME.health_check, for all servers",
            ),
            (
                &["down", "disabled", "enabled", "drain", "state"],
                "weight: 0, which takes no new sessions",
            ),
            (
                &["max_fails", "fail_timeout"],
                "pools.NAME.health_check, with fall and interval",
            ),
            (
                &["slow_start", "slowstart"],
                "pools.NAME.slow_start, for all servers",
            ),
            (&["jvm_route", "jvmroute", "cookie"], "route"),
            (&["loadfactor", "ratio", "priority"], "weight"),
            (&["spare", "standby", "hot_standby"], "backup"),
            (&["ssl", "tls", "verify"], "pools.NAME.tls, for all servers"),
        ],
    ),
    (
        "pools.*.health_check",
        &[
            (&["uri", "url", "hcuri", "endpoint"], "path"),
            (&["inter", "every", "period", "hcinterval"], "interval"),
            (&["fastinter"], "fast_interval"),
            (
                &[
                    "rises",
                    "passes",
                    "successes",
                    "healthy_threshold",
                    "hcpasses",
                    "success_threshold",
                ],
                "rise",
            ),
            (
                &[
                    "fails",
                    "failures",
                    "unhealthy_threshold",
                    "hcfails",
                    "max_fails",
                    "failure_threshold",
                    "retries",
                ],
                "fall",
            ),
            (
                &[
                    "status",
                    "expect",
                    "match",
                    "codes",
                    "expected_status",
                    "http_check_expect",
                    "expected_codes",
                    "statuses",
                ],
                "expect_status",
            ),
            (
                &["body", "hcexpr", "string", "rstring", "expected_body"],
                "expect_body",
            ),
            (&["mode", "protocol", "kind", "scheme"], "type"),
            (&["hostname", "vhost"], "host"),
            (&["header"], "headers"),
        ],
    ),
    (
        "pools.*.persistence",
        &[
            (
                &["name", "cookie_name", "stickysession", "cookiename"],
                "cookie",
            ),
            (
                &[
                    "expires",
                    "expire",
                    "ttl",
                    "maxidle",
                    "max_age",
                    "idle",
                    "idle_timeout",
                ],
                "timeout",
            ),
            (&["maxlife"], "max_lifetime"),
            (&["samesite"], "same_site"),
            (&["method", "mode", "kind"], "type"),
            (&["key", "secret", "secret_key"], "secret_file"),
            (&["httponly"], "http_only"),
        ],
    ),
    (
        "pools.*.timeouts",
        &[
            (
                &[
                    "read",
                    "response",
                    "server",
                    "proxy_read_timeout",
                    "request",
                    "timeout",
                ],
                "receive",
            ),
            (&["write", "proxy_send_timeout"], "send"),
            (&["proxy_connect_timeout", "dial"], "connect"),
            (&["keepalive", "keep_alive", "keepalive_timeout"], "idle"),
        ],
    ),
    (
        "pools.*.retries",
        &[
            (
                &[
                    "retries",
                    "tries",
                    "count",
                    "proxy_next_upstream_tries",
                    "max",
                ],
                "attempts",
            ),
            (&["retry_on", "conditions", "proxy_next_upstream"], "on"),
        ],
    ),
    (
        "pools.*.queue",
        &[(&["maxqueue", "length", "max", "limit"], "size")],
    ),
    (
        "pools.*.tls",
        &[
            (
                &["sni", "proxy_ssl_name", "servername", "host"],
                "server_name",
            ),
            (
                &[
                    "ca_file",
                    "cafile",
                    "proxy_ssl_trusted_certificate",
                    "sslproxycacertificatefile",
                ],
                "ca",
            ),
            (
                &["insecure", "skip_verify", "insecure_skip_verify"],
                "verify: false",
            ),
            (&["proxy_ssl_verify", "sslproxyverify"], "verify"),
            (
                &["cert", "crt", "client_certificate", "proxy_ssl_certificate"],
                "certificate: {cert: …, key: …}",
            ),
        ],
    ),
];

/// Round robin, by every name that it has.
const ROUND_ROBIN: &[&str] = &[
    "roundrobin",
    "round_robin",
    "rr",
    "static_rr",
    "wrr",
    "weighted_rr",
    "weighted_roundrobin",
    "byrequests",
    "smooth",
    "smooth_wrr",
    "default",
    "roundrobbin",
];

/// Least connections, likewise.
const LEAST_CONNECTIONS: &[&str] = &[
    "leastconn",
    "least_conn",
    "leastconnections",
    "least_connections",
    "least_connection",
    "lc",
    "wlc",
    "weighted_least_conn",
    "bybusyness",
    "least_request",
    "least_requests",
    "leastrequest",
    "least_outstanding_requests",
];

/// Values, by the path of their key.
const VALUES: &[(&str, Words)] = &[
    (
        "pools.*.algorithm",
        &[
            (ROUND_ROBIN, "weighted_round_robin"),
            (LEAST_CONNECTIONS, "weighted_least_connections"),
            (
                &[
                    "least_time",
                    "leasttime",
                    "heartbeat",
                    "bytraffic",
                    "lblbmethod_bytraffic",
                    "response_time",
                    "ewma",
                    "p2c",
                ],
                "weighted_least_connections, which sends less to who is slow",
            ),
            (
                &["first"],
                "weighted_round_robin, with backup: true at those that come last",
            ),
            (
                &["random", "rand", "power_of_two", "random_two_choices"],
                "weighted_least_connections",
            ),
            (
                &[
                    "source",
                    "ip_hash",
                    "iphash",
                    "source_ip",
                    "src",
                    "sourceip",
                    "source_hash",
                    "client_ip",
                ],
                "weighted_round_robin, with persistence: {type: source_ip}",
            ),
            (
                &["sticky", "cookie", "stickysession", "session"],
                "weighted_round_robin, with persistence: {type: cookie_insert}",
            ),
        ],
    ),
    (
        "pools.*.persistence.type",
        &[
            (
                &[
                    "cookie",
                    "insert",
                    "sticky",
                    "sticky_cookie",
                    "cookieinsert",
                    "lb_cookie",
                    "app_cookie",
                    "http_cookie",
                ],
                "cookie_insert",
            ),
            (&["rewrite", "cookierewrite"], "cookie_rewrite"),
            (&["prefix", "cookieprefix"], "cookie_prefix"),
            (
                &[
                    "source",
                    "ip_hash",
                    "iphash",
                    "client_ip",
                    "clientip",
                    "sourceip",
                    "src",
                    "ip",
                    "source_address",
                ],
                "source_ip",
            ),
            (
                &[
                    "appsession",
                    "sticky_learn",
                    "stick_table",
                    "session",
                    "passive",
                    "cookie_passive",
                ],
                "learn",
            ),
            (
                &[
                    "jvmroute",
                    "jvm_route",
                    "stickysession",
                    "jsessionid",
                    "sticky_route",
                    "tomcat",
                ],
                "route",
            ),
        ],
    ),
    (
        "pools.*.health_check.type",
        &[
            (
                &["httpchk", "https", "http1", "http2", "get", "hcheck"],
                "http",
            ),
            (
                &["tcp_check", "connect", "l4", "port", "ping", "icmp"],
                "tcp",
            ),
            (&["ssl", "ssl_hello_chk", "ssl_hello"], "tls"),
        ],
    ),
    (
        "listeners.*.protocol",
        &[
            (&["ssl", "tcp_ssl", "tcps"], "tls"),
            (
                &["h2", "http2", "http/2", "grpcs", "wss"],
                "https, which speaks HTTP/2, too",
            ),
            (
                &["h2c", "grpc", "ws", "http1", "http/1.1"],
                "http, which speaks HTTP/2 by prior knowledge, too",
            ),
            (&["stream", "l4"], "tcp"),
        ],
    ),
    (
        "listeners.*.client_address.x_forwarded_for",
        &[
            (&["true", "on", "yes", "add"], "append"),
            (&["false", "no", "none"], "off"),
            (&["set"], "replace"),
        ],
    ),
    (
        "pools.*.retries.on.[]",
        &[
            (
                &[
                    "error",
                    "timeout",
                    "conn_failure",
                    "connection_failure",
                    "connect",
                    "connect_timeout",
                    "5xx",
                ],
                "connect_failure",
            ),
            (
                &["empty_response", "reset", "junk_response", "gateway_error"],
                "reset_before_response",
            ),
            (&["http_502"], "502"),
            (&["http_503"], "503"),
            (&["http_504"], "504"),
        ],
    ),
    (
        "listeners.*.tls.min_version",
        &[
            (&["tlsv1.2", "tls1.2", "tls12", "tlsv12"], "\"1.2\""),
            (&["tlsv1.3", "tls1.3", "tls13", "tlsv13"], "\"1.3\""),
        ],
    ),
    (
        "listeners.*.tls.max_version",
        &[
            (&["tlsv1.2", "tls1.2", "tls12", "tlsv12"], "\"1.2\""),
            (&["tlsv1.3", "tls1.3", "tls13", "tlsv13"], "\"1.3\""),
        ],
    ),
    (
        "listeners.*.tls.alpn.[]",
        &[
            (&["http2", "http/2"], "h2"),
            (&["http1", "http1.1", "h1"], "http/1.1"),
        ],
    ),
];

/// What somebody else's `key` of the mapping at `at` is called here.
pub fn key(at: &At<'_>, key: &str) -> Option<&'static str> {
    listed(KEYS, at, key)
}

/// What somebody else's `value` at `at` is called here.
pub fn value(at: &At<'_>, value: &str) -> Option<&'static str> {
    listed(VALUES, at, value)
}

fn listed(table: &[(&str, Words)], at: &At<'_>, word: &str) -> Option<&'static str> {
    let word: String = word
        .chars()
        .take(64)
        .map(|c| match c {
            '-' | ' ' => '_',
            other => other.to_ascii_lowercase(),
        })
        .collect();
    table
        .iter()
        .filter(|(path, _)| at.matches(path))
        .flat_map(|(_, words)| *words)
        .find(|(theirs, _)| theirs.contains(&word.as_str()))
        .map(|(_, ours)| *ours)
}

/// Whose configuration a text seems to be, by its first word.
pub fn whose(text: &str) -> Option<&'static str> {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let first = line.split([' ', '\t', '{']).next()?;
    match first {
        "upstream" | "server" | "http" | "events" | "worker_processes" | "stream" | "user"
        | "load_module" | "location"
            if line.ends_with(['{', ';', '}']) =>
        {
            Some("nginx")
        }
        "global" | "defaults" | "frontend" | "backend" | "listen" | "resolvers"
            if !line.contains(':') =>
        {
            Some("HAProxy")
        }
        _ if line.starts_with("<VirtualHost") || line.starts_with("<Proxy") => Some("httpd"),
        "ProxyPass" | "Listen" | "LoadModule" | "ServerName" | "ServerRoot" => Some("httpd"),
        _ if line.starts_with('[') && line.ends_with(']') && !line.contains(',') => {
            Some("a TOML or INI file")
        }
        _ => None,
    }
}
