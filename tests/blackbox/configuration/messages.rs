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
    for (text, wanted) in [
        (
            MINIMAL.replace(
                "    pool: app",
                "    pool: app\n    connection_rate_per_client: 1",
            ),
            "lb.yaml:6:5: listeners.web.connection_rate_per_client: not supported yet",
        ),
        (
            pool("algorithm: peak_ewma"),
            "lb.yaml:10:16: pools.app.algorithm: peak_ewma is not supported yet",
        ),
        (
            pool("discovery: {dns: x}"),
            "lb.yaml:10:5: pools.app.discovery: not supported yet",
        ),
    ] {
        assert_eq!(problems(&text), [wanted]);
    }
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
