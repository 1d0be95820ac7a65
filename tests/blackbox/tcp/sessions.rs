//! `source_ip`: a client's connections go to the server of its first one.

use super::*;

const BY_ADDRESS: &str = "persistence: {type: source_ip}";

fn three() -> [Backend; 3] {
    ["a", "b", "c"].map(Backend::start)
}

/// A client's new connection, and which of them it came to.
#[track_caller]
fn arrives<'a>(
    client: &str,
    lb: &Equipoise,
    backends: &'a [Backend],
) -> (TcpStream, TcpStream, &'a Backend) {
    let client = connect_from(client, lb);
    let (server, backend) = eventually(SOON, || {
        backends
            .iter()
            .find_map(|backend| Some((backend.try_accept()?, backend)))
    });
    (client, server, backend)
}

fn result(lb: &Equipoise, result: &str) -> f64 {
    lb.metrics()
        .value("equipoise_persistence_total", &[("result", result)])
}

#[test]
fn a_clients_connections_go_to_one_server() {
    let backends = three();
    let lb = before(&backends.each_ref()).pool(BY_ADDRESS).start();
    let mut used = std::collections::BTreeSet::new();
    for n in 1..=6 {
        let address = format!("127.0.8.{n}");
        let (_, _, first) = arrives(&address, &lb, &backends);
        for _ in 0..3 {
            let (_, _, again) = arrives(&address, &lb, &backends);
            assert_eq!(again.name, first.name);
        }
        used.insert(&first.name);
    }
    assert_eq!(used.len(), 3, "new clients are balanced");
    assert_eq!((result(&lb, "miss"), result(&lb, "hit")), (6.0, 18.0));
    lb.wait_idle();
}

#[test]
fn a_session_whose_server_refuses_moves_on_and_stays_there() {
    let backends = three();
    let lb = before(&backends.each_ref()).pool(BY_ADDRESS).start();
    let (.., first) = arrives("127.0.9.1", &lb, &backends);
    let name = first.name.clone();
    let left: Vec<Backend> = backends
        .into_iter()
        .filter(|backend| backend.name != name)
        .collect();
    let (.., second) = arrives("127.0.9.1", &lb, &left);
    let (.., third) = arrives("127.0.9.1", &lb, &left);
    assert_eq!(second.name, third.name);
    assert_eq!(result(&lb, "rebalanced"), 1.0);
    lb.wait_logged(|line| line["persistence"] == "rebalanced" && line["attempts"] == 2);
}

#[test]
fn a_session_may_be_refused_rather_than_moved() {
    let backends = three();
    let lb = before(&backends.each_ref())
        .pool("persistence: {type: source_ip, on_unavailable: reject}")
        .start();
    let (.., first) = arrives("127.0.10.1", &lb, &backends);
    let name = first.name.clone();
    let left: Vec<Backend> = backends
        .into_iter()
        .filter(|backend| backend.name != name)
        .collect();
    // Tried once, and then it is known to be of no use.
    is_turned_away_by_a_reset(try_connect_from("127.0.10.1", &lb));
    let line = ended_with(&lb, "bound_server_unavailable");
    assert_eq!(line["persistence"], "unavailable");
    assert!(left.iter().all(|backend| backend.came() == 0));
}

#[test]
fn a_session_lasts_as_long_as_a_connection_of_it() {
    let backends = three();
    let lb = before(&backends.each_ref())
        .pool("persistence: {type: source_ip, timeout: 2s}")
        .start();
    let entries = || lb.metrics().sum("equipoise_session_table_entries", &[]);
    let (client, server, first) = arrives("127.0.11.1", &lb, &backends);
    holds_for(Duration::from_millis(3500), || entries() == 1.0);
    let (.., again) = arrives("127.0.11.1", &lb, &backends);
    assert_eq!(again.name, first.name);
    drop((client, server));
    eventually(SOON, || entries() == 0.0);
}
