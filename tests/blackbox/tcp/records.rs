//! What is counted and logged.

use super::*;

#[test]
fn a_connection_is_one_line_of_the_log() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let (client, server) = pair(&lb, &backend);
    say(&client, b"four");
    hears(&server, b"four");
    say(&server, b"sixsix");
    hears(&client, b"sixsix");
    drop(client);
    ends_orderly(&server);
    assert_eq!(lb.access_log().len(), 0, "not before its end");
    drop(server);
    let line = logged(&lb);
    let fields: Vec<_> = line
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        fields,
        [
            "attempts",
            "bytes_in",
            "bytes_out",
            "client",
            "duration",
            "listener",
            "peer",
            "pool",
            "protocol",
            "server",
            "server_address",
            "termination",
            "time"
        ]
    );
    for (field, value) in [
        ("client", "127.0.0.1"),
        ("peer", "127.0.0.1"),
        ("protocol", "TCP"),
        ("listener", "web"),
        ("pool", "app"),
        ("server", "a"),
        ("termination", "complete"),
    ] {
        assert_eq!(line[field], value, "{field}");
    }
    assert_eq!(line["server_address"], backend.address().to_string());
    assert_eq!(
        (&line["bytes_in"], &line["bytes_out"]),
        (&4.into(), &6.into())
    );
    assert_eq!(line["attempts"], 1);
}

#[test]
fn the_combined_format_has_a_line_for_it_too() {
    let backend = Backend::start("a");
    let lb = before(&[&backend])
        .top("logging: {access_log: {path: \"@DIR@/access.log\", format: combined}}")
        .start();
    let (client, server) = pair(&lb, &backend);
    say(&server, b"sixsix");
    drop(server);
    assert_eq!(hears_to_the_end(&client), b"sixsix");
    drop(client);
    let path = lb.dir().join("access.log");
    let line = eventually(SOON, || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.strip_suffix('\n').map(str::to_owned)
    });
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.ends_with("] \"-\" 000 6 \"-\" \"-\""), "{line}");
}

#[test]
fn bytes_and_connections_are_counted_while_they_last() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let (client, server) = pair(&lb, &backend);
    say(&client, &[1; 1000]);
    hears(&server, &[1; 1000]);
    say(&server, &[2; 500]);
    hears(&client, &[2; 500]);
    let metrics = lb.metrics();
    for (name, labels, value) in [
        (
            "equipoise_connections_total",
            &[("listener", "web")][..],
            1.0,
        ),
        ("equipoise_connections_active", &[("listener", "web")], 1.0),
        ("equipoise_bytes_total", &[("direction", "in")], 1000.0),
        ("equipoise_bytes_total", &[("direction", "out")], 500.0),
        ("equipoise_server_active", &[("server", "a")], 1.0),
        (
            "equipoise_server_picks_total",
            &[("server", "a"), ("by", "balance")],
            1.0,
        ),
        (
            "equipoise_upstream_connections_total",
            &[("server", "a"), ("reused", "false")],
            1.0,
        ),
        (
            "equipoise_upstream_connect_seconds_count",
            &[("pool", "app")],
            1.0,
        ),
    ] {
        assert_eq!(metrics.value(name, labels), value, "{name} {labels:?}");
    }
    let status = lb.status();
    let listener = &status["listeners"][0];
    assert_eq!(
        (&listener["protocol"], &listener["pool"]),
        (&"tcp".into(), &"app".into())
    );
    assert_eq!(
        (
            &listener["connections_active"],
            &listener["connections_total"]
        ),
        (&1.into(), &1.into())
    );
    drop((client, server));
    lb.wait_idle();
    assert_eq!(lb.server("app", "a")["requests"], 1);
    assert_eq!(lb.server("app", "a")["errors"], 0);
}
