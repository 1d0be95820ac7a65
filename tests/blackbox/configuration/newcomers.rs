//! The likely mistakes of somebody who comes from nginx, HAProxy or httpd, and what they are told.

use super::*;

/// That there is one problem, which ends in this.
fn assert_told(text: &str, wanted: &str) {
    let told = problems(text);
    assert!(
        told.len() == 1 && told[0].ends_with(wanted),
        "{text}\n{told:#?}\n{wanted}"
    );
}

fn listener(lines: &str) -> String {
    let lines = lines.replace('\n', "\n    ");
    MINIMAL.replace("    pool: app\n", &format!("    pool: app\n    {lines}\n"))
}

fn bind(bind: &str) -> String {
    MINIMAL.replace("127.0.0.1:8080", bind)
}

fn server(server: &str) -> String {
    MINIMAL.replace("- address: 127.0.0.1:8081", &format!("- {server}"))
}

#[test]
fn addresses_to_listen_on() {
    for (written, wanted) in [
        (
            "*:80",
            "lb.yaml:4:11: is not valid YAML: `*:80` has no address, and `*` begins an alias; write 0.0.0.0:80, or \"[::]:80\" for IPv6",
        ),
        (
            "[::]:80",
            "is not valid YAML: `[::]:80` begins a list; write an IPv6 address in quotes: \"[::]:80\"",
        ),
        (
            "[0.0.0.0:80, [::]:80]",
            "is not valid YAML: `[::]:80` begins a list; write an IPv6 address in quotes: \"[::]:80\"",
        ),
        (
            "\":80\"",
            "lb.yaml:4:11: listeners.web.bind: `:80` has no address; write 0.0.0.0:80, or \"[::]:80\" for IPv6",
        ),
        (
            "80",
            "listeners.web.bind: `80` has no address; write 0.0.0.0:80",
        ),
        (
            "localhost:80",
            "`localhost:80` has a name; a listener is bound to an address, such as 127.0.0.1:80",
        ),
        (
            "0.0.0.0:65536",
            "`0.0.0.0:65536` has port 65536, above 65535, the highest that there is",
        ),
        (
            "0.0.0.0:443 ssl crt /etc/site.pem",
            "has more than an address; write 0.0.0.0:443 alone, and `ssl crt /etc/site.pem` by keys of its own, such as protocol: https and tls",
        ),
    ] {
        assert_told(&bind(written), wanted);
    }
}

#[test]
fn addresses_of_servers() {
    for (written, wanted) in [
        (
            "address: 127.0.0.1:65536",
            "lb.yaml:9:18: pools.app.servers[0].address: `127.0.0.1:65536` has port 65536, above 65535, the highest that there is",
        ),
        (
            "address: http://127.0.0.1:8081/",
            "`http://127.0.0.1:8081/` is a URL; write 127.0.0.1:8081 alone",
        ),
        (
            "address: https://app",
            "`https://app` is a URL; write app:443 alone, and tls: {} in the pool",
        ),
        (
            "address: 127.0.0.1:8081/app",
            "has a path, /app; write 127.0.0.1:8081 alone (a route's rewrite changes paths)",
        ),
        (
            "address: 127.0.0.1:8081 weight=5 backup",
            "has more than an address; weight, backup and others are keys of their own: {address: \"host:port\", weight: 5}",
        ),
        ("address: 8081", "`8081` has no host; write 127.0.0.1:8081"),
        (
            "127.0.0.1",
            "pools.app.servers[0]: `127.0.0.1` has no port; write 127.0.0.1:8080",
        ),
        (
            "8081",
            "pools.app.servers[0]: `8081` has no host; write 127.0.0.1:8081",
        ),
        (
            "{server: \"a:1\", address: \"a:1\"}",
            "unknown key; did you mean address?",
        ),
        (
            "{address: \"a:1\", max_conns: 5}",
            "unknown key; did you mean max_connections?",
        ),
        (
            "{address: \"a:1\", max_fails: 3}",
            "unknown key; did you mean pools.NAME.outlier_detection, with consecutive_failures and ejection?",
        ),
        (
            "{address: \"a:1\", down: true}",
            "unknown key; did you mean weight: 0, which takes no new sessions?",
        ),
    ] {
        assert_told(&server(written), wanted);
    }
}

#[test]
fn a_server_may_be_its_address_alone() {
    for servers in [
        "[\"127.0.0.1:8081\", \"app:80\", {address: \"unix:/run/app.sock\", weight: 2}]",
        "[127.0.0.1:8081, 127.0.0.1:8082, 127.0.0.1:8083]",
    ] {
        let text = MINIMAL.replace(
            "servers:\n      - address: 127.0.0.1:8081",
            &format!("servers: {servers}"),
        );
        let outcome = check_with(&text, &[], &[]);
        assert_eq!(
            outcome.stdout, "lb.yaml: ok, 1 listener, 1 pool, 3 servers\n",
            "{}",
            outcome.stderr
        );
        assert_eq!(outcome.stderr, "");
    }
    let twice = server("127.0.0.1:8081\n      - 127.0.0.1:8081");
    assert!(
        problems(&twice)[0].starts_with(
            "lb.yaml:10:9: pools.app.servers[1].name: two servers are named `127.0.0.1:8081`"
        ),
        "{:?}",
        problems(&twice)
    );
}

#[test]
fn words_of_others_get_their_name_here() {
    for (word, wanted) in [
        ("roundrobin", "weighted_round_robin"),
        ("round_robin", "weighted_round_robin"),
        ("round-robin", "weighted_round_robin"),
        ("byrequests", "weighted_round_robin"),
        ("leastconn", "weighted_least_connections"),
        ("least_conn", "weighted_least_connections"),
        ("bybusyness", "weighted_least_connections"),
        (
            "ip_hash",
            "source_hash, or persistence: {type: source_ip}, which no change of servers moves",
        ),
        (
            "source",
            "source_hash, or persistence: {type: source_ip}, which no change of servers moves",
        ),
        (
            "sticky",
            "weighted_round_robin, with persistence: {type: cookie_insert}",
        ),
        ("bytraffic", "peak_ewma, which sends less to who is slow"),
        (
            "first",
            "weighted_round_robin, with backup: true at those that come last",
        ),
    ] {
        assert_told(
            &pool(&format!("algorithm: {word}")),
            &format!(
                "pools.app.algorithm: `{word}` is unknown; it can be one of weighted_round_robin, weighted_least_connections, source_hash, hash, random_two, peak_ewma; did you mean {wanted}?"
            ),
        );
    }
    for (key, wanted) in [
        ("balance: x", "algorithm"),
        ("lbmethod: x", "algorithm"),
        ("sticky: {}", "persistence"),
        ("stick-table: {}", "persistence"),
        ("cookie: SERVERID", "persistence"),
        ("healthcheck: {}", "health_check"),
        ("check: true", "health_check"),
        ("slowstart: 5s", "slow_start"),
        ("members: []", "servers"),
        ("ip_hash: true", "persistence"),
        ("maxconn: 5", "servers: [{…}], where each has its own"),
    ] {
        assert_told(&pool(key), &format!("unknown key; did you mean {wanted}?"));
    }
    for (key, wanted) in [
        ("proxy_pass: app", "pool"),
        ("default_backend: app", "pool"),
        ("listen: 80", "bind"),
        ("mode: http", "protocol"),
        ("ssl: true", "tls, with certificates: [{cert: …, key: …}]"),
        ("server_name: a", "routes, with match: {host: …}"),
        ("location: {}", "routes"),
    ] {
        assert_told(
            &listener(key),
            &format!("unknown key; did you mean {wanted}?"),
        );
    }
    for (key, wanted) in [
        ("upstream", "pools"),
        ("backends", "pools"),
        ("frontend", "listeners"),
        ("global", "server, with threads and max_connections"),
        ("stats", "admin"),
        ("http", "listeners and pools, at the top"),
    ] {
        assert_told(
            &format!("{MINIMAL}{key}: {{}}\n"),
            &format!("lb.yaml:10:1: {key}: unknown key; did you mean {wanted}?"),
        );
    }
    assert_told(
        &pool("persistence: {type: cookie}"),
        "did you mean cookie_insert?",
    );
    assert_told(
        &format!("server: {{listen: 80}}\n{MINIMAL}"),
        "server.listen: unknown key; did you mean listeners.NAME.bind?",
    );
}

#[test]
fn a_file_of_another_program_is_recognized() {
    for (text, wanted) in [
        ("upstream app {\n  server 127.0.0.1:8081;\n}\n", "nginx"),
        ("# mine\nhttp {\n  server { listen 80; }\n}\n", "nginx"),
        (
            "frontend web\n  bind :80\n  default_backend app\n",
            "HAProxy",
        ),
        (
            "<VirtualHost *:80>\n  ProxyPass / http://a/\n</VirtualHost>\n",
            "httpd",
        ),
    ] {
        let told = problems(text);
        let wanted = format!("looks like {wanted}'s configuration; Equipoise's is written in YAML");
        assert!(
            told.len() == 1 && told[0].contains(&wanted),
            "{text}{told:?}"
        );
    }
}

#[test]
fn quotes_and_blanks() {
    assert_told(
        &listener("routes: [{match: {path_regex: \"\\.php$\"}, pool: app}]"),
        "is not valid YAML: in double quotes a backslash begins an escape; write it in single quotes: '\\.php$'",
    );
    assert_told(
        &listener("routes: [{match: {host: *.example.com}, pool: app}]"),
        "is not valid YAML: `*` begins an alias; write it in quotes: \"*.example.com\"",
    );
    assert_told(
        &MINIMAL.replace("bind: 127", "bind:127"),
        "is not valid YAML: a blank is missing after the colon in line 4",
    );
}

#[test]
fn names_that_are_more_than_names() {
    let cookie = |domain: &str| {
        pool(&format!(
            "persistence: {{type: cookie_insert, domain: \"{domain}\"}}"
        ))
    };
    assert_told(
        &cookie("example.com:80"),
        "`example.com:80` has a port; write example.com",
    );
    assert_told(
        &cookie("https://example.com/"),
        "`https://example.com/` is a URL; write example.com",
    );
    let acme = |lines: &str| {
        let tls = format!("protocol: https\n    tls: {{acme: {{{lines}}}}}\n    pool: app");
        MINIMAL.replace("pool: app", &tls)
    };
    for (lines, wanted) in [
        (
            "domains: [a.example], email: \"mailto:me@a.example\"",
            "`mailto:me@a.example` is a URL; write me@a.example, without mailto:",
        ),
        (
            "domains: [\"a.example.\"]",
            "`a.example.` ends in a dot, which no name in a certificate has; write a.example",
        ),
        (
            "domains: [\"a_b.example\"]",
            "`a_b.example` has an underscore, which no authority puts into a certificate",
        ),
        (
            "domains: [\"192.0.2.1\"]",
            "`192.0.2.1` is an address; certificates by ACME are for names",
        ),
        (
            "domains: [\"https://a.example/\"]",
            "`https://a.example/` is a URL; write a.example",
        ),
        (
            "domains: [\"a.example:443\"]",
            "`a.example:443` has a port; write a.example",
        ),
        (
            "domains: [\"a*.example.com\"]",
            "`a*.example.com`: a `*` may stand for the whole first label alone, as in *.example.com",
        ),
    ] {
        assert_told(&acme(lines), wanted);
    }
}

#[test]
fn what_a_secret_brings_along_is_told_as_such() {
    for (text, value) in [
        (
            MINIMAL.replace("127.0.0.1:8081", "${VALUE}"),
            "127.0.0.1:8081\n",
        ),
        (pool("algorithm: ${VALUE}"), "weighted_round_robin\n"),
        (pool("queue: \n  size: ${VALUE}"), "5\n"),
        (pool("slow_start: ${VALUE}"), "5s\r\n"),
        (listener("http: \n  server_header: ${VALUE}"), "x\n"),
    ] {
        let outcome = check_with(&text, &[], &[("VALUE", value)]);
        assert_eq!(outcome.status, Some(2), "{text}");
        let told: Vec<&str> = outcome.stderr.lines().collect();
        assert!(
            told.len() == 1
                && told[0].contains("ends in a line break; is it from a file or a secret"),
            "{told:?}"
        );
    }
    let outcome = check_with(
        &MINIMAL.replace("127.0.0.1:8081", "${VALUE}"),
        &[],
        &[("VALUE", " 127.0.0.1:8081 ")],
    );
    assert!(
        outcome
            .stderr
            .ends_with("address: ` 127.0.0.1:8081 ` begins or ends with blanks\n"),
        "{}",
        outcome.stderr
    );
    let outcome = check_with(
        &format!("server: {{pid_file: \"${{VALUE}}\"}}\n{MINIMAL}"),
        &[],
        &[("VALUE", "/run/lb.pid\n")],
    );
    assert_eq!(outcome.status, Some(2));
}
