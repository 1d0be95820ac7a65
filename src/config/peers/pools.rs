//! Keys and values of pools and their servers.

use super::Table;

/// Keys, by the path of their mapping.
pub const KEYS: Table = &[
    (
        "pools.*",
        &[
            (
                "balance lb_method lbmethod lb method load_balancing loadbalancing \
                 lb_policy policy strategy balancing lb_algorithm scheduler",
                "algorithm",
            ),
            (
                "server members member targets endpoints backends backend nodes hosts \
                 upstreams upstream balancermember balancermembers addresses address",
                "servers",
            ),
            (
                "sticky stick stickysession sticky_session sticky_sessions stick_table \
                 stick_on session_persistence session_affinity affinity cookie session \
                 sessions appsession ip_hash persist",
                "persistence",
            ),
            (
                "check checks healthcheck health_checks healthchecks health httpchk \
                 option_httpchk hcheck hcmethod monitor probe",
                "health_check",
            ),
            (
                "passive_health_check passive_health_checks passive observe on_error error_limit outlier \
                 ejection circuit_breaker circuit_breakers max_fails fail_timeout",
                "outlier_detection",
            ),
            (
                "server_template resolver resolvers resolve dns dns_discovery service_discovery",
                "discovery: {dns: host:port}",
            ),
            ("slowstart", "slow_start"),
            (
                "timeout timeout_server timeout_connect proxy_read_timeout \
                 proxy_connect_timeout",
                "timeouts",
            ),
            (
                "retry redispatch option_redispatch proxy_next_upstream",
                "retries",
            ),
            ("maxqueue timeout_queue", "queue"),
            ("ssl https proxy_ssl", "tls"),
            (
                "maxconn max_conns max_connections weight backup",
                "servers: [{…}], where each has its own",
            ),
            ("h2 http_2 grpc", "http2: true"),
            (
                "least_conn leastconn roundrobin round_robin random",
                "algorithm",
            ),
            (
                "hash consistent_hash hash_key hash_policy hash_type",
                "algorithm: hash, with hash_on",
            ),
            (
                "hash_balance_factor hash_factor balance_factor",
                "bounded_load, such as 1.25",
            ),
            ("keepalive_timeout", "timeouts.idle"),
        ],
    ),
    (
        "pools.*.servers.[]",
        &[
            (
                "host ip url server addr target endpoint backend uri hostname",
                "address",
            ),
            ("port", "address: host:port"),
            ("id label", "name"),
            (
                "maxconn max_conns max_conn limit max conn_limit",
                "max_connections",
            ),
            (
                "check health_check healthcheck inter rise fall",
                "pools.NAME.health_check, for all servers",
            ),
            (
                "down disabled enabled drain state",
                "weight: 0, which takes no new sessions",
            ),
            (
                "max_fails fail_timeout",
                "pools.NAME.outlier_detection, with consecutive_failures and ejection",
            ),
            (
                "slow_start slowstart",
                "pools.NAME.slow_start, for all servers",
            ),
            ("jvm_route jvmroute cookie", "route"),
            ("loadfactor ratio priority", "weight"),
            ("spare standby hot_standby", "backup"),
            ("ssl tls verify", "pools.NAME.tls, for all servers"),
        ],
    ),
    (
        "pools.*.health_check",
        &[
            ("uri url hcuri endpoint", "path"),
            ("inter every period hcinterval", "interval"),
            ("fastinter", "fast_interval"),
            (
                "rises passes successes healthy_threshold hcpasses success_threshold",
                "rise",
            ),
            (
                "fails failures unhealthy_threshold hcfails max_fails failure_threshold \
                 retries",
                "fall",
            ),
            (
                "status expect match codes expected_status http_check_expect \
                 expected_codes statuses",
                "expect_status",
            ),
            ("body hcexpr string rstring expected_body", "expect_body"),
            ("mode protocol kind scheme", "type"),
            ("hostname vhost", "host"),
            ("header", "headers"),
        ],
    ),
    (
        "pools.*.persistence",
        &[
            ("name cookie_name stickysession cookiename", "cookie"),
            (
                "expires expire ttl maxidle max_age idle idle_timeout",
                "timeout",
            ),
            ("maxlife", "max_lifetime"),
            ("samesite", "same_site"),
            ("method mode kind", "type"),
            ("key secret secret_key", "secret_file"),
            ("httponly", "http_only"),
        ],
    ),
    (
        "pools.*.timeouts",
        &[
            (
                "read response server proxy_read_timeout request timeout",
                "receive",
            ),
            ("write proxy_send_timeout", "send"),
            ("proxy_connect_timeout dial", "connect"),
            ("keepalive keep_alive keepalive_timeout", "idle"),
        ],
    ),
    (
        "pools.*.retries",
        &[
            (
                "retries tries count proxy_next_upstream_tries max",
                "attempts",
            ),
            ("retry_on conditions proxy_next_upstream", "on"),
        ],
    ),
    ("pools.*.queue", &[("maxqueue length max limit", "size")]),
    (
        "pools.*.tls",
        &[
            ("sni proxy_ssl_name servername host", "server_name"),
            (
                "ca_file cafile proxy_ssl_trusted_certificate sslproxycacertificatefile",
                "ca",
            ),
            ("insecure skip_verify insecure_skip_verify", "verify: false"),
            ("proxy_ssl_verify sslproxyverify", "verify"),
            (
                "cert crt client_certificate proxy_ssl_certificate",
                "certificate: {cert: …, key: …}",
            ),
        ],
    ),
];

/// Values, by the path of their key.
pub const VALUES: Table = &[
    (
        "pools.*.algorithm",
        &[
            (
                "roundrobin round_robin rr static_rr wrr weighted_rr weighted_roundrobin \
                 byrequests smooth smooth_wrr default roundrobbin",
                "weighted_round_robin",
            ),
            (
                "leastconn least_conn leastconnections least_connections least_connection \
                 lc wlc weighted_least_conn bybusyness least_request least_requests \
                 leastrequest least_outstanding_requests",
                "weighted_least_connections",
            ),
            (
                "least_time leasttime heartbeat bytraffic lblbmethod_bytraffic \
                 response_time ewma p2c_ewma least_latency",
                "peak_ewma, which sends less to who is slow",
            ),
            (
                "first",
                "weighted_round_robin, with backup: true at those that come last",
            ),
            (
                "random rand power_of_two random_two_choices p2c two_random_choices",
                "random_two",
            ),
            (
                "source ip_hash iphash source_ip src sourceip client_ip",
                "source_hash, or persistence: {type: source_ip}, which no change of servers moves",
            ),
            ("uri uri_path", "hash, with hash_on: path"),
            ("url_param urlp", "hash, with hash_on: query:NAME"),
            ("hdr header_hash", "hash, with hash_on: header:NAME"),
            (
                "consistent_hash ring_hash ketama maglev consistent ring rendezvous",
                "hash, with hash_on",
            ),
            (
                "sticky cookie stickysession session",
                "weighted_round_robin, with persistence: {type: cookie_insert}",
            ),
        ],
    ),
    (
        "pools.*.persistence.type",
        &[
            (
                "cookie insert sticky sticky_cookie cookieinsert lb_cookie app_cookie \
                 http_cookie",
                "cookie_insert",
            ),
            ("rewrite cookierewrite", "cookie_rewrite"),
            ("prefix cookieprefix", "cookie_prefix"),
            (
                "source ip_hash iphash client_ip clientip sourceip src ip source_address",
                "source_ip",
            ),
            (
                "appsession sticky_learn stick_table session passive cookie_passive",
                "learn",
            ),
            (
                "jvmroute jvm_route stickysession jsessionid sticky_route tomcat",
                "route",
            ),
        ],
    ),
    (
        "pools.*.health_check.type",
        &[
            ("httpchk https http1 http2 get hcheck", "http"),
            ("tcp_check connect l4 port ping icmp", "tcp"),
            ("ssl ssl_hello_chk ssl_hello", "tls"),
        ],
    ),
    (
        "pools.*.retries.on.[]",
        &[
            (
                "error timeout conn_failure connection_failure connect connect_timeout \
                 5xx",
                "connect_failure",
            ),
            (
                "empty_response reset junk_response gateway_error",
                "reset_before_response",
            ),
            ("http_502", "502"),
            ("http_503", "503"),
            ("http_504", "504"),
        ],
    ),
];
