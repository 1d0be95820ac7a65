//! Keys and values of listeners and their routes.

use super::Table;

/// Keys, by the path of their mapping.
pub const KEYS: Table = &[
    (
        "listeners.*",
        &[
            ("listen address addr addresses port ports host", "bind"),
            (
                "backend default_backend use_backend upstream proxy_pass proxypass target \
                 to service pools forward_to backends servers default_pool",
                "pool",
            ),
            ("mode type scheme", "protocol"),
            (
                "ssl certificate certificates cert crt ssl_certificate sslcertificatefile \
                 https",
                "tls, with certificates: [{cert: …, key: …}]",
            ),
            ("locations location rules acl paths path rewrite", "routes"),
            (
                "server_name servername hosts domain domains",
                "routes, with match: {host: …}",
            ),
            ("maxconn max_conn limit_conn connlimit", "max_connections"),
            (
                "redirect https_redirect force_ssl return redirect_to_https",
                "redirect_https",
            ),
            (
                "forwardfor real_ip set_real_ip_from xff trusted_proxies",
                "client_address",
            ),
            (
                "timeout timeouts client_header_timeout keepalive_timeout",
                "http, with header_timeout and others",
            ),
            ("gzip compression deflate", "http, with compression"),
            (
                "client_max_body_size max_body_size limitrequestbody",
                "http.max_body_size",
            ),
            ("http2 h2", "http.http2"),
            (
                "accept_proxy send_proxy proxy proxyprotocol",
                "proxy_protocol, with the proxies in client_address.trusted_proxies",
            ),
        ],
    ),
    (
        "listeners.*.http",
        &[
            ("client_max_body_size limitrequestbody", "max_body_size"),
            ("gzip deflate", "compression"),
            (
                "client_header_timeout http_request timeout_http_request",
                "header_timeout",
            ),
            ("client_body_timeout", "body_timeout"),
            (
                "http_keep_alive timeout_http_keep_alive keepalivetimeout idle_timeout",
                "keepalive_timeout",
            ),
            ("maxkeepaliverequests", "keepalive_requests"),
            (
                "error_page errordocument errorfile errorfiles",
                "error_pages",
            ),
            ("server_tokens servertokens", "server_header"),
            (
                "large_client_header_buffers client_header_buffer_size \
                 limitrequestfieldsize",
                "max_header_size",
            ),
        ],
    ),
    (
        "listeners.*.client_address",
        &[
            (
                "set_real_ip_from remoteipinternalproxy remoteiptrustedproxy trusted \
                 proxies",
                "trusted_proxies",
            ),
            (
                "forwardfor xff xforwardedfor real_ip_header remoteipheader",
                "x_forwarded_for",
            ),
        ],
    ),
    (
        "listeners.*.tls",
        &[
            (
                "cert certificate crt pem key certs ssl_certificate ssl_certificate_key \
                 sslcertificatefile sslcertificatekeyfile",
                "certificates: [{cert: …, key: …}]",
            ),
            (
                "protocols ssl_protocols sslprotocol ssl_min_ver versions",
                "min_version and max_version",
            ),
            ("ssl_ciphers sslciphersuite cipher", "ciphers"),
            ("ciphersuites", "cipher_suites"),
            ("curves ecdhe ssl_ecdh_curve", "groups"),
            (
                "verify ca ca_file ssl_verify_client ssl_client_certificate client_ca",
                "client_auth",
            ),
            ("letsencrypt lets_encrypt certbot auto", "acme"),
            (
                "ssl_session_ticket_key tls_ticket_keys",
                "session_ticket_key_file",
            ),
        ],
    ),
    (
        "listeners.*.tls.certificates.[]",
        &[
            (
                "certificate crt pem file chain fullchain ssl_certificate \
                 sslcertificatefile certificate_file cert_file certfile",
                "cert",
            ),
            (
                "private_key privkey ssl_certificate_key sslcertificatekeyfile key_file \
                 keyfile",
                "key",
            ),
            ("pfx p12 pkcs12", "bundle"),
            ("password passphrase ssl_password_file", "password_file"),
        ],
    ),
    (
        "listeners.*.tls.acme",
        &[
            ("domain names hosts san sans", "domains"),
            ("contact mail", "email"),
            ("server ca_server caserver url", "directory"),
            ("eab", "external_account"),
        ],
    ),
    (
        "listeners.*.routes.[]",
        &[
            (
                "path location prefix host hosts when if rule matches path_prefix \
                 path_regex method header query url",
                "match, with host, path, path_prefix, path_regex, …",
            ),
            (
                "backend use_backend upstream proxy_pass proxypass target to service",
                "pool",
            ),
            ("return deny_all status response answer", "respond"),
            ("weighted weights pools split_clients backends", "split"),
            ("limit_req ratelimit rate", "rate_limit"),
            ("auth auth_basic authbasic basicauth", "basic_auth"),
            (
                "proxy_set_header requestheader set_header headers",
                "request_headers",
            ),
            ("add_header header_set", "response_headers"),
            ("allow_from whitelist allowlist", "allow"),
            ("blacklist denylist block", "deny"),
        ],
    ),
    (
        "listeners.*.routes.[].match",
        &[
            ("paths exact uri url", "path"),
            ("prefix path_beg location", "path_prefix"),
            ("regex path_reg pattern locationmatch", "path_regex"),
            ("hosts domain server_name hostname hdr_host", "host"),
            ("methods verb", "method"),
            ("headers hdr", "header"),
            ("src source source_ip remote_addr ip clients", "client"),
            ("args params url_param queries", "query"),
        ],
    ),
];

/// Values, by the path of their key.
pub const VALUES: Table = &[
    (
        "listeners.*.protocol",
        &[
            ("ssl tcp_ssl tcps", "tls"),
            (
                "h2 http2 http/2 grpcs wss",
                "https, which speaks HTTP/2, too",
            ),
            (
                "h2c grpc ws http1 http/1.1",
                "http, which speaks HTTP/2 by prior knowledge, too",
            ),
            ("stream l4", "tcp"),
        ],
    ),
    (
        "listeners.*.client_address.x_forwarded_for",
        &[
            ("true on yes add", "append"),
            ("false no none", "off"),
            ("set", "replace"),
        ],
    ),
    (
        "listeners.*.tls.min_version",
        &[
            ("tlsv1.2 tls1.2 tls12 tlsv12", "\"1.2\""),
            ("tlsv1.3 tls1.3 tls13 tlsv13", "\"1.3\""),
        ],
    ),
    (
        "listeners.*.tls.max_version",
        &[
            ("tlsv1.2 tls1.2 tls12 tlsv12", "\"1.2\""),
            ("tlsv1.3 tls1.3 tls13 tlsv13", "\"1.3\""),
        ],
    ),
    (
        "listeners.*.tls.alpn.[]",
        &[("http2 http/2", "h2"), ("http1 http1.1 h1", "http/1.1")],
    ),
];
