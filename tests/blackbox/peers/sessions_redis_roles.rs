//! SPEC section 13: a store that answers but takes no writes is left and found anew, and who knows where it is: Sentinels, and
//! the nodes of a cluster.

use crate::common::peers::Redis;
use crate::common::*;

fn three() -> [Origin; 3] {
    ["a", "b", "c"].map(Origin::start)
}

fn setup(origins: &[Origin], url: &str) -> Setup {
    Setup::of(origins)
        .listener("client_address: {trusted_proxies: [127.0.0.0/8]}")
        .pool(&format!(
            "persistence: {{type: source_ip, table: {{store: \"{url}\", timeout: 1s}}}}"
        ))
}

/// Who answers the n-th client.
#[track_caller]
fn from(lb: &Equipoise, n: u32) -> String {
    let client = std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string();
    let response = lb.get("/", &[("X-Forwarded-For", &client)]);
    assert_eq!(response.status, 200, "{response}");
    response.origin().to_owned()
}

#[track_caller]
fn wait_up(lb: &Equipoise, up: bool) {
    let labels = [("pool", "app")];
    eventually(SOON, || {
        let value = lb.metrics().value("equipoise_session_store_up", &labels);
        if (value == 1.0) == up {
            Ok(())
        } else {
            Err(lb.stderr())
        }
    });
}

/// How many lines of the program's log have that.
fn lines(lb: &Equipoise, what: &str) -> usize {
    let log = lb.stderr();
    log.lines().filter(|line| line.contains(what)).count()
}

/// Away after `spoil`, with `words`, told once however many clients come; in use again after `mend`, told once.
#[track_caller]
fn is_left_and_found(redis: &Redis, spoil: &[&str], words: &str, mend: &[&str]) {
    let origins = three();
    let lb = setup(&origins, &redis.url(0)).start();
    wait_up(&lb, true);
    let known = from(&lb, 1);
    redis.cli(0, spoil);
    for n in 2..12 {
        from(&lb, n);
    }
    wait_up(&lb, false);
    for n in 12..30 {
        let server = from(&lb, n);
        assert_eq!(from(&lb, n), server, "what is known here is kept here");
    }
    assert_eq!(from(&lb, 1), known);
    assert_eq!(lines(&lb, "is away"), 1, "{}", lb.stderr());
    assert_eq!(lines(&lb, words), 1, "{}", lb.stderr());
    assert_eq!(lines(&lb, "refuses"), 0, "{}", lb.stderr());
    redis.cli(0, mend);
    wait_up(&lb, true);
    eventually(SOON, || lines(&lb, "is in use again") == 1);
    // It is told of all that was decided meanwhile.
    eventually(SOON, || redis.keys(0).len() == 29);
    assert_eq!(lines(&lb, "is away"), 1, "{}", lb.stderr());
}

#[test]
fn a_master_that_has_become_a_replica_is_left_until_it_is_master() {
    let redis = Redis::start();
    let other = Redis::start();
    let port = other.address().port().to_string();
    is_left_and_found(
        &redis,
        &["REPLICAOF", "127.0.0.1", &port],
        "it is a replica and takes no writes",
        &["REPLICAOF", "NO", "ONE"],
    );
}

#[test]
fn a_store_that_is_out_of_memory_is_left_until_it_has_some() {
    is_left_and_found(
        &Redis::start(),
        &["CONFIG", "SET", "maxmemory", "1"],
        "it is out of memory",
        &["CONFIG", "SET", "maxmemory", "0"],
    );
}

#[test]
fn a_store_that_lacks_replicas_is_left_until_it_has_them() {
    is_left_and_found(
        &Redis::start(),
        &["CONFIG", "SET", "min-replicas-to-write", "1"],
        "fewer replicas than min-replicas-to-write",
        &["CONFIG", "SET", "min-replicas-to-write", "0"],
    );
}

#[test]
fn a_user_that_may_not_write_is_told_once() {
    is_left_and_found(
        &Redis::start(),
        &["ACL", "SETUSER", "default", "-set"],
        "its user may not do what is needed",
        &["ACL", "SETUSER", "default", "+set"],
    );
}

#[test]
fn the_master_that_sentinels_know_is_followed_when_it_changes() {
    let (origins, master) = (three(), Redis::start());
    let replica = Redis::configured(&format!("replicaof 127.0.0.1 {}", master.address().port()));
    let sentinel = Redis::sentinel(&master);
    eventually(4 * SOON, || {
        sentinel
            .cli(0, &["SENTINEL", "REPLICAS", "mymaster"])
            .contains(&replica.address().port().to_string())
    });
    // The first one is not there.
    let nobody = ReservedPort::new();
    let url = format!(
        "redis+sentinel://{},{}/mymaster/2",
        nobody.address(),
        sentinel.address()
    );
    let nodes = [setup(&origins, &url).start(), setup(&origins, &url).start()];
    for node in &nodes {
        wait_up(node, true);
    }
    for n in 0..6 {
        assert_eq!(from(&nodes[0], n), from(&nodes[1], n));
    }
    assert_eq!(master.keys(2).len(), 6);
    let mut offset = String::new();
    eventually(SOON, || {
        offset = replica.cli(2, &["DBSIZE"]);
        offset == "6"
    });
    eventually(4 * SOON, || {
        sentinel.cli(0, &["SENTINEL", "FAILOVER", "mymaster"]) == "OK"
    });
    let port = replica.address().port().to_string();
    // It looks at its replicas every ten seconds.
    eventually(4 * SOON, || {
        sentinel
            .cli(0, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"])
            .contains(&port)
    });
    // A session that begins now is in the new master, and both follow it.
    let mut n = 100;
    eventually(4 * SOON, || {
        n += 2;
        let server = from(&nodes[0], n);
        let pair = (from(&nodes[1], n), from(&nodes[1], n + 1));
        pair.0 == server && replica.keys(2).len() > 7 && from(&nodes[0], n + 1) == pair.1
    });
}

#[test]
fn a_cluster_keeps_the_sessions_of_a_pool_together() {
    let (origins, cluster) = (three(), Redis::cluster());
    let hosts = cluster.each_ref().map(|node| node.address().to_string());
    let url = format!("redis+cluster://{}", hosts.join(","));
    let nodes = [setup(&origins, &url).start(), setup(&origins, &url).start()];
    for node in &nodes {
        wait_up(node, true);
    }
    for n in 0..9 {
        let server = from(&nodes[n as usize % 2], n);
        assert_eq!(from(&nodes[(n as usize + 1) % 2], n), server, "client {n}");
    }
    let counts = cluster.each_ref().map(|node| node.keys(0).len());
    let mut sorted = counts;
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 0, 9]);
    // One of the others, as if it were a server of its own.
    let wrong = counts.iter().position(|&count| count == 0).unwrap();
    let lb = setup(&origins, &cluster[wrong].url(0)).start();
    let word = "write redis+cluster:// in place of redis://";
    let mut n = 0;
    eventually(SOON, || {
        // Some keys may belong to this node all the same.
        n += 1;
        from(&lb, n);
        lines(&lb, word) >= 1
    });
}

#[test]
fn sessions_go_on_when_their_keys_move_to_another_node_of_the_cluster() {
    let (origins, cluster) = (three(), Redis::cluster());
    let hosts = cluster.each_ref().map(|node| node.address().to_string());
    let url = format!("redis+cluster://{}", hosts.join(","));
    let lb = setup(&origins, &url).start();
    wait_up(&lb, true);
    let before: Vec<String> = (0..3).map(|n| from(&lb, n)).collect();
    let owner = eventually(SOON, || {
        cluster.iter().position(|node| node.keys(0).len() == 3)
    });
    let (old, new) = (&cluster[owner], &cluster[(owner + 1) % 3]);
    let keys = old.keys(0);
    let slot = old.cli(0, &["CLUSTER", "KEYSLOT", &keys[0]]);
    let (slot, port) = (slot.trim(), new.address().port().to_string());
    let [old_id, new_id] = [old, new].map(|node| node.cli(0, &["CLUSTER", "MYID"]));
    let (old_id, new_id) = (old_id.trim(), new_id.trim());
    new.cli(0, &["CLUSTER", "SETSLOT", slot, "IMPORTING", old_id]);
    old.cli(0, &["CLUSTER", "SETSLOT", slot, "MIGRATING", new_id]);
    let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
    migrate.extend(keys.iter().map(String::as_str));
    old.cli(0, &migrate);
    for node in [new, old] {
        node.cli(0, &["CLUSTER", "SETSLOT", slot, "NODE", new_id]);
    }
    // Who is new has the store asked.
    let mut n = 3;
    eventually(SOON, || {
        n += 1;
        from(&lb, n);
        lines(&lb, "the keys are on another node of the cluster now") == 1
            && lines(&lb, "is in use again") == 1
    });
    let other = setup(&origins, &url).start();
    wait_up(&other, true);
    for (n, server) in (0..).zip(before) {
        assert_eq!(from(&lb, n), server);
        assert_eq!(from(&other, n), server);
    }
}
