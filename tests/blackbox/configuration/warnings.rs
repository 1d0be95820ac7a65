//! What is allowed and hardly meant: warnings, with exit status 0.

use super::*;

/// The warnings of `lb.yaml` with this text, which is a good one.
fn warnings(text: &str) -> Vec<String> {
    let outcome = check_with(text, &[], &[]);
    assert_eq!(outcome.status, Some(0), "{text}\n{}", outcome.stderr);
    outcome.stderr.lines().map(str::to_owned).collect()
}

#[test]
fn what_is_hardly_meant_is_a_warning_that_editors_find() {
    let second = "      - {name: b, address: \"127.0.0.1:8081\"}\n";
    for (text, wanted) in [
        (
            format!("{MINIMAL}  spare: {{servers: [{{address: \"a:1\"}}]}}\n"),
            "lb.yaml:10:3: warning: pools.spare: is used by no listener and no route",
        ),
        (
            format!("{MINIMAL}{second}"),
            "lb.yaml:10:28: warning: pools.app.servers[1].address: is the address of `127.0.0.1:8081`, too",
        ),
        (
            pool("health_check: {interval: 2s, timeout: 3s}"),
            "lb.yaml:10:43: warning: pools.app.health_check.timeout: is longer than interval",
        ),
        (
            pool("queue: {size: 10}"),
            "lb.yaml:10:5: warning: pools.app.queue: nothing ever waits",
        ),
        (
            pool("persistence: {type: cookie_insert, same_site: none}"),
            "lb.yaml:10:51: warning: pools.app.persistence.same_site: browsers drop a cookie with SameSite=None that is not Secure, as it is on the listener `web`",
        ),
        (
            pool("persistence: {type: cookie_insert, partitioned: true}"),
            "lb.yaml:10:53: warning: pools.app.persistence.partitioned: is left away on the listener `web`",
        ),
        (
            pool(
                "persistence: {type: route, insert: {cookie: R, same_site: none}, separator: '|'}",
            ),
            "lb.yaml:10:63: warning: pools.app.persistence.insert.same_site: browsers drop a cookie",
        ),
        (
            MINIMAL.replace(
                "- address: 127.0.0.1:8081",
                "- {address: \"a:1\", weight: 0}",
            ),
            "lb.yaml:8:5: warning: pools.app.servers: all have weight 0",
        ),
        (
            MINIMAL.replace(
                "- address: 127.0.0.1:8081",
                "- {address: \"a:1\", backup: true}",
            ),
            "lb.yaml:8:5: warning: pools.app.servers: all are backups",
        ),
    ] {
        let told = warnings(&text);
        assert!(
            told.len() == 1 && told[0].starts_with(wanted),
            "{told:?}\n{wanted}"
        );
    }
}

#[test]
fn a_pool_of_our_own_listener_is_a_loop() {
    for (bind, server) in [
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("0.0.0.0:8080", "127.0.0.5:8080"),
        ("0.0.0.0:8080", "localhost:8080"),
        ("127.0.0.1:8080", "0.0.0.0:8080"),
        ("\"[::]:8080\"", "\"[::1]:8080\""),
    ] {
        let text = MINIMAL
            .replace("127.0.0.1:8080", bind)
            .replace("address: 127.0.0.1:8081", &format!("address: {server}"));
        let told = warnings(&text);
        let wanted = "lb.yaml:9:18: warning: pools.app.servers[0].address: is the listener `web` of this very process; what is sent there comes back";
        assert!(
            told.len() == 1 && told[0].starts_with(wanted),
            "{bind} {server}: {told:?}"
        );
    }
}

#[test]
fn a_route_behind_one_that_takes_all_is_told() {
    let text = MINIMAL.replace(
        "    pool: app\n",
        "    routes:
      - {match: {path_prefix: /api}, pool: app}
      - {match: {path: [/api/v1, /api/v2]}, respond: {status: 404}}
      - {pool: app}
      - {match: {host: a.example}, respond: {status: 403}}
",
    );
    let told = warnings(&text);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("lb.yaml:7:9: warning: listeners.web.routes[1]: is never reached: the route at lb.yaml:6:9 takes all"),
        "{told:?}"
    );
    assert!(
        told[1].starts_with("lb.yaml:9:9: warning: listeners.web.routes[3]: is never reached: the route at lb.yaml:8:9 takes all"),
        "{told:?}"
    );
}
