//! What is said about mistakes.

use super::*;

#[test]
fn wrong_types_say_what_is_wanted() {
    for (lines, wanted) in [
        (
            "queue: {size: \"5\"}",
            "pools.app.queue.size: must be a whole number, found a string",
        ),
        (
            "queue: 5",
            "pools.app.queue: must be a mapping, found a number",
        ),
        (
            "queue:",
            "pools.app.queue: must be a mapping, found nothing; write {} or leave the key away",
        ),
        (
            "retries: {on: connect_failure}",
            "pools.app.retries.on: must be a list, found a string",
        ),
        (
            "keepalive: {connections: 1.5}",
            "pools.app.keepalive.connections: must be a whole number",
        ),
        (
            "slow_start: [1s]",
            "pools.app.slow_start: must be a string or a whole number, found a list",
        ),
    ] {
        let told = problems(&pool(lines));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(wanted), "{}\n{wanted}", told[0]);
    }
}

#[test]
fn what_is_planned_is_not_supported_yet() {
    let text = pool("algorithm: adaptive");
    let wanted = "lb.yaml:10:16: pools.app.algorithm: adaptive is not supported yet";
    assert_eq!(problems(&text), [wanted]);
    let text = MINIMAL.replace("- address:", "- max_connections: auto\n        address:");
    let told = problems(&text);
    assert_eq!(told.len(), 1, "{told:?}");
    let wanted = "pools.app.servers[0].max_connections: auto is not supported yet";
    assert!(told[0].ends_with(wanted), "{}", told[0]);
}

#[test]
fn a_key_of_another_algorithm_says_which_it_belongs_to() {
    for (lines, wanted) in [
        (
            "algorithm: hash",
            "lb.yaml:7:3: pools.app.hash_on: is missing; algorithm hash needs it: path, query:NAME, header:NAME or \
             cookie:NAME",
        ),
        (
            "algorithm: hash\nhash_on: uri",
            "pools.app.hash_on: `uri` is not one of path, query:NAME, header:NAME, cookie:NAME",
        ),
        (
            "hash_on: path",
            "pools.app.hash_on: has a meaning for algorithm: hash alone",
        ),
        (
            "algorithm: hash\nhash_on: path\nsource_prefix: {v4: 24}",
            "pools.app.source_prefix: has a meaning for algorithm: source_hash alone",
        ),
        (
            "algorithm: random_two\nbounded_load: 1.25",
            "pools.app.bounded_load: has a meaning for algorithm: hash and algorithm: source_hash alone",
        ),
        (
            "algorithm: source_hash\nbounded_load: 1",
            "pools.app.bounded_load: must be from 1.01 to 100, found 1",
        ),
        (
            "algorithm: source_hash\nsource_prefix: {v4: 33}",
            "pools.app.source_prefix.v4: ",
        ),
    ] {
        let told = problems(&pool(lines));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(wanted), "{}\n{wanted}", told[0]);
    }
}

#[test]
fn passive_detection_says_what_is_wrong() {
    for (keys, wanted) in [
        (
            "failure_rate: 101%",
            "outlier_detection.failure_rate: must be from 0% to 100%, found 101%",
        ),
        (
            "max_ejected: 0%",
            "outlier_detection.max_ejected: must be from 1% to 100%, found 0%",
        ),
        (
            "window: 500ms",
            "outlier_detection.window: must be from 1s to 10m, found 500ms",
        ),
        (
            "ejection: 0s",
            "outlier_detection.ejection: must be from 100ms to 1h, found 0",
        ),
        ("on: [reset, 200]", "outlier_detection.on[1]: "),
        ("on: []", "outlier_detection.on: "),
        ("minimum: 0", "outlier_detection.minimum: "),
        (
            "consecutive_failures: 0, failure_rate: 0%",
            "outlier_detection: ejects nobody",
        ),
        (
            "consecutive_errors: 5",
            "outlier_detection.consecutive_errors: unknown key",
        ),
    ] {
        let told = problems(&pool(&format!("outlier_detection: {{{keys}}}")));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(wanted), "{}\n{wanted}", told[0]);
    }
}

#[test]
fn discovery_says_what_is_wrong() {
    let with = |keys: &str| {
        let servers = MINIMAL.find("    servers:").expect("servers");
        format!("{}    {keys}\n", &MINIMAL[..servers])
    };
    let fine = check_with(&with("discovery: {dns: \"app.test:80\"}"), &[], &[]);
    assert_eq!(fine.status, Some(0), "{}", fine.stderr);
    for (keys, wanted) in [
        (
            "algorithm: random_two",
            "pools.app.servers: is missing; a pool has servers, or discovery",
        ),
        (
            "discovery: {dns: app.test}",
            "discovery.dns: `app.test` has no port",
        ),
        (
            "discovery: {dns: \"10.0.0.1:80\"}",
            "discovery.dns: `10.0.0.1:80` is no name",
        ),
        ("discovery: {}", "pools.app.discovery.dns: is missing"),
        (
            "discovery: {dns: \"a:80\", interval: 10ms}",
            "discovery.interval: must be from 100ms to 1h",
        ),
        ("discovery: {dns: \"a:80\", min: 0}", "discovery.min: "),
        (
            "discovery: {dns: \"a:80\", resolvers: [system, 10.0.0.1]}",
            "discovery.resolvers: has addresses beside system",
        ),
        (
            "discovery: {dns: _a._tcp.b}\n    tls: {}",
            "pools.app.tls: needs server_name: _a._tcp.b names services",
        ),
    ] {
        let told = problems(&with(keys));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(wanted), "{}\n{wanted}", told[0]);
    }
    let both = problems(&pool("discovery: {dns: \"a:80\"}"));
    assert_eq!(both.len(), 1, "{both:?}");
    assert!(
        both[0].contains("pools.app.discovery: can't be beside servers"),
        "{}",
        both[0]
    );
}

#[test]
fn a_pool_that_hashes_requests_takes_no_connections() {
    let text = pool("algorithm: hash\nhash_on: path")
        .replace("    pool: app", "    protocol: tcp\n    pool: app");
    let told = problems(&text);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("listeners.web.pool: pool `app` has algorithm: hash, which looks at requests, and a connection has none"),
        "{}",
        told[0]
    );
}

#[test]
fn a_mistake_in_a_route_is_the_only_one_told() {
    let routes = "listeners:\n  web:\n    bind: 127.0.0.1:0\n    routes:\n      \
                  - {match: {path: x}, respond: {status: 200}}\n\
                  pools: {app: {servers: [{address: \"127.0.0.1:1\"}]}}\n";
    assert_eq!(
        problems(routes),
        ["lb.yaml:5:24: listeners.web.routes[0].match.path: `x` is not a path; it begins with /"]
    );
    // In routes variables are the request's, and it is told which there are.
    let told = problems(&routes.replace("path: x", "path: \"/${hots}\""));
    assert_eq!(told.len(), 1);
    assert!(
        told[0].contains("environment variable hots is not set")
            && told[0].contains("request_id, listener"),
        "{told:?}"
    );
}
