//! Limits of listener, client and process.

use super::*;

#[test]
fn a_client_that_holds_too_many_is_closed_at_accept() {
    let backend = Backend::start("a");
    let lb = before(&[&backend])
        .listener("max_connections_per_client: 2")
        .start();
    let (one, one_server) = pair(&lb, &backend);
    let _two = pair(&lb, &backend);
    is_closed(&connect(&lb));
    assert_eq!(ended_with(&lb, "limit")["protocol"], "TCP");
    assert!(backend.try_accept().is_none());
    let rejected = lb.metrics().value(
        "equipoise_connections_rejected_total",
        &[("reason", "client_limit")],
    );
    assert_eq!(rejected, 1.0);
    // Others don't mind.
    let _other = connect_from("127.0.12.1", &lb);
    let _other_server = backend.accept();
    // And one that ends makes room.
    drop((one, one_server));
    ended_with(&lb, "complete");
    let (client, server) = pair(&lb, &backend);
    say(&client, b"in");
    hears(&server, b"in");
}

#[test]
fn a_trusted_proxy_may_hold_more() {
    let backend = Backend::start("a");
    let lb = before(&[&backend])
        .listener("max_connections_per_client: 1\nclient_address: {trusted_proxies: [127.0.0.1]}")
        .start();
    let held: Vec<_> = (0..3).map(|_| pair(&lb, &backend)).collect();
    assert_eq!(active(&lb, "a"), 3.0);
    drop(held);
}

#[test]
fn beyond_the_listeners_limit_connections_wait() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).listener("max_connections: 2").start();
    let (one, one_server) = pair(&lb, &backend);
    let (two, two_server) = pair(&lb, &backend);
    let waiting = connect(&lb);
    say(&waiting, b"me too");
    holds_for(Duration::from_millis(300), || {
        backend.try_accept().is_none()
    });
    say(&two, b"fine");
    hears(&two_server, b"fine");
    drop((one, one_server));
    hears(&backend.accept(), b"me too");
}

#[test]
fn beyond_the_processs_limit_connections_wait() {
    let backend = Backend::start("a");
    let lb = before(&[&backend])
        .top("server: {max_connections: 1}")
        .start();
    let (one, one_server) = pair(&lb, &backend);
    let _waiting = connect(&lb);
    holds_for(Duration::from_millis(300), || {
        backend.try_accept().is_none()
    });
    drop((one, one_server));
    backend.accept();
}
