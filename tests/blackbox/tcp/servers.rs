//! Which server a connection goes to, how it is counted there, and what becomes of it when there is none.

use super::*;

#[test]
fn round_robin_gives_each_its_share() {
    let backends = [
        Backend::start("a"),
        Backend::start("b"),
        Backend::start("c"),
    ];
    let mut setup = before(&[]);
    for (backend, weight) in backends.iter().zip([3, 2, 1]) {
        setup = with(setup, backend, &format!("weight: {weight}"));
    }
    let lb = setup.start();
    let clients: Vec<_> = (0..12).map(|_| connect(&lb)).collect();
    let wanted = [("a", 6.0), ("b", 4.0), ("c", 2.0)];
    eventually(SOON, || {
        let active = wanted.map(|(name, _)| active(&lb, name));
        if active == wanted.map(|(_, n)| n) {
            Ok(())
        } else {
            Err(format!("{active:?}"))
        }
    });
    assert_eq!(
        lb.metrics()
            .sum("equipoise_server_picks_total", &[("by", "balance")]),
        12.0
    );
    drop(clients);
    for backend in &backends {
        eventually(SOON, || {
            backend.came();
            active(&lb, &backend.name) == 0.0
        });
    }
}

/// The connection is the count: a server whose connections last gets fewer.
#[test]
fn least_connections_looks_at_connections() {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let lb = before(&[&a, &b])
        .pool("algorithm: weighted_least_connections\nslow_start: 0s")
        .start();
    let held: Vec<_> = (0..6).map(|_| connect(&lb)).collect();
    eventually(SOON, || active(&lb, "a") + active(&lb, "b") == 6.0);
    assert_eq!((active(&lb, "a"), active(&lb, "b")), (3.0, 3.0));
    let at_a: Vec<_> = (0..3).map(|_| a.accept()).collect();
    // All of a's end, so the next three are a's.
    drop(at_a);
    drop(held);
    lb.wait_idle_servers_of(&b);
    let again: Vec<_> = (0..4).map(|_| connect(&lb)).collect();
    eventually(SOON, || active(&lb, "a") == 2.0 && active(&lb, "b") == 2.0);
    drop(again);
}

#[test]
fn a_full_server_takes_no_more_and_the_queue_waits() {
    let backend = Backend::start("a");
    let lb = with(before(&[]), &backend, "max_connections: 2")
        .pool("queue: {size: 1, timeout: 60s}")
        .start();
    let (one, one_server) = pair(&lb, &backend);
    let (_two, _two_server) = pair(&lb, &backend);
    let third = connect(&lb);
    eventually(SOON, || {
        lb.metrics().sum("equipoise_queue_length", &[]) == 1.0
    });
    // No room in the queue.
    is_turned_away_by_a_reset(try_connect(&lb));
    ended_with(&lb, "queue_full");
    assert!(backend.try_accept().is_none());
    drop((one, one_server));
    let server = backend.accept();
    say(&server, b"at last");
    hears(&third, b"at last");
    assert_eq!(active(&lb, "a"), 2.0);
    assert_eq!(rejected(&lb, "queue"), 1.0);
}

#[test]
fn waiting_in_the_queue_has_an_end() {
    let backend = Backend::start("a");
    let lb = with(before(&[]), &backend, "max_connections: 1")
        .pool("queue: {size: 5, timeout: 500ms}")
        .start();
    let _held = pair(&lb, &backend);
    is_turned_away_by_a_reset(try_connect(&lb));
    ended_with(&lb, "queue_timeout");
}

#[test]
fn nobody_waits_for_a_client_that_has_gone() {
    let backend = Backend::start("a");
    let lb = with(before(&[]), &backend, "max_connections: 1")
        .pool("queue: {size: 5, timeout: 60s}")
        .start();
    let _held = pair(&lb, &backend);
    let waiting = connect(&lb);
    eventually(SOON, || {
        lb.metrics().sum("equipoise_queue_length", &[]) == 1.0
    });
    reset(waiting);
    eventually(SOON, || {
        lb.metrics().sum("equipoise_queue_length", &[]) == 0.0
    });
    ended_with(&lb, "client_aborted");
}

#[test]
fn a_backup_serves_when_the_others_are_down() {
    let (main, spare) = (Backend::start("main"), Backend::start("spare"));
    let setup = with(before(&[]), &main, "");
    let lb = with(setup, &spare, "backup: true")
        .pool("health_check: {interval: 200ms, fast_interval: 50ms, rise: 1, fall: 1}")
        .start();
    lb.wait_state("app", "main", "up");
    lb.wait_state("app", "spare", "up");
    let picks = |server| {
        lb.metrics()
            .sum("equipoise_server_picks_total", &[("server", server)])
    };
    let _client = connect(&lb);
    eventually(SOON, || picks("main") == 1.0);
    drop(main);
    lb.wait_state("app", "main", "down");
    let _client = connect(&lb);
    eventually(SOON, || picks("spare") == 1.0);
}

#[test]
fn a_server_of_weight_0_takes_no_new_connections() {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let setup = |weight| with(with(before(&[]), &a, &format!("weight: {weight}")), &b, "");
    let lb = setup(1).start();
    let (client, server) = pair(&lb, &a);
    lb.rewrite(&setup(0).yaml());
    lb.signal(nix::sys::signal::Signal::SIGHUP);
    lb.wait_state("app", "a", "drain");
    let held: Vec<_> = (0..4).map(|_| pair(&lb, &b)).collect();
    assert_eq!((active(&lb, "a"), active(&lb, "b")), (1.0, 4.0));
    // What it had goes on.
    say(&client, b"still");
    hears(&server, b"still");
    drop(held);
}

#[test]
fn a_refused_connection_is_tried_on_another_server() {
    let dead = ReservedPort::new();
    let alive = Backend::start("alive");
    let lb = with(
        before(&[]).server_at("dead", &dead.address().to_string(), ""),
        &alive,
        "",
    )
    .start();
    let (client, server) = pair(&lb, &alive);
    say(&client, b"hello");
    hears(&server, b"hello");
    drop((client, server));
    let line = ended_with(&lb, "complete");
    assert_eq!(
        (&line["server"], &line["attempts"]),
        (&"alive".into(), &2.into())
    );
    let metrics = lb.metrics();
    assert_eq!(
        metrics.value("equipoise_retries_total", &[("reason", "connect_failure")]),
        1.0
    );
    assert_eq!(
        metrics.value(
            "equipoise_server_picks_total",
            &[("server", "alive"), ("by", "retry")]
        ),
        1.0
    );
    let log = lb.stderr();
    assert!(
        log.contains(&format!(
            "connect to {} refused (nothing listens there)",
            dead.address()
        )),
        "{log}"
    );
    lb.wait_idle();
}

#[test]
fn as_many_servers_are_tried_as_configured() {
    let dead: Vec<_> = (0..4).map(|_| ReservedPort::new()).collect();
    let mut setup = before(&[]).pool("retries: {attempts: 2}");
    for (n, port) in dead.iter().enumerate() {
        setup = setup.server_at(&format!("dead{n}"), &port.address().to_string(), "");
    }
    let lb = setup.start();
    is_turned_away_by_a_reset(try_connect(&lb));
    let line = ended_with(&lb, "server_refused");
    assert_eq!(line["attempts"], 3);
    assert_eq!(rejected(&lb, "connect_failure"), 1.0);
    lb.wait_idle();
}

#[test]
fn retries_may_be_switched_off() {
    let dead = ReservedPort::new();
    let alive = Backend::start("alive");
    let setup = before(&[]).server_at("dead", &dead.address().to_string(), "");
    let lb = with(setup, &alive, "").pool("retries: {on: []}").start();
    is_turned_away_by_a_reset(try_connect(&lb));
    let line = ended_with(&lb, "server_refused");
    assert_eq!(
        (&line["server"], &line["attempts"]),
        (&"dead".into(), &1.into())
    );
    assert_eq!(alive.came(), 0);
}

/// A server whose backlog is full doesn't answer at all.
#[test]
fn connecting_has_an_end() {
    let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    silent
        .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
        .unwrap();
    silent.listen(0).unwrap();
    let address = silent.local_addr().unwrap().as_socket().unwrap();
    let fill: Vec<_> =
        std::iter::repeat_with(|| TcpStream::connect_timeout(&address, Duration::from_millis(300)))
            .take_while(Result::is_ok)
            .collect();
    let lb = before(&[])
        .server_at("silent", &address.to_string(), "")
        .pool("timeouts: {connect: 500ms}\nretries: {attempts: 0}")
        .start();
    is_turned_away_by_a_reset(try_connect(&lb));
    let line = ended_with(&lb, "server_timeout");
    let duration = line["duration"].as_f64().unwrap();
    assert!((0.5..3.0).contains(&duration), "{duration}");
    let log = lb.stderr();
    assert!(
        log.contains(&format!("connect to {address} timed out after 500ms")),
        "{log}"
    );
    drop(fill);
}

/// A server that vanished without a word is found out by the kernel.
#[test]
fn silent_connections_to_servers_are_probed() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let _pair = pair(&lb, &backend);
    // proc_net_tcp.rst of the kernel's documentation: addresses in hexadecimal, state 01 for established, then timer 02 for
    // keep-alive. Another test may have had the port before; what is left of its connections doesn't count.
    let port = format!(":{:04X}", backend.address().port());
    // While what was sent last isn't acknowledged, another timer runs.
    eventually(SOON, || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .find(|fields| fields[2].ends_with(&port) && fields[3] == "01")
            .expect("the connection to the server")[5]
            .starts_with("02:")
    });
}

#[test]
fn with_no_server_available_a_connection_is_reset() {
    let backend = Backend::start("a");
    let lb = with(before(&[]), &backend, "weight: 0").start();
    is_turned_away_by_a_reset(try_connect(&lb));
    let line = ended_with(&lb, "no_server");
    assert_eq!(
        (&line["server"], &line["attempts"]),
        (&serde_json::Value::Null, &0.into())
    );
    assert_eq!(rejected(&lb, "no_server"), 1.0);
    assert_eq!(backend.came(), 0);
    lb.wait_idle();
}

fn rejected(lb: &Equipoise, reason: &str) -> f64 {
    lb.metrics().value(
        "equipoise_connections_rejected_total",
        &[("reason", reason)],
    )
}

trait WaitIdle {
    fn wait_idle_servers_of(&self, backend: &Backend);
}

impl WaitIdle for Equipoise {
    /// Until nothing is active; the connections that have come to `backend` are closed.
    fn wait_idle_servers_of(&self, backend: &Backend) {
        eventually(SOON, || {
            backend.came();
            self.metrics().sum("equipoise_server_active", &[]) == 0.0
        });
    }
}
