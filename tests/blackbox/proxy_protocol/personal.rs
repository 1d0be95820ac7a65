//! A connection whose server knows whose it is serves nobody else.

use super::*;

fn start(server: &Announced, pool: &str) -> Equipoise {
    Setup::new()
        .pool(&format!("proxy_protocol: v2\n{pool}"))
        .server_at("a", &server.address().to_string(), "")
        .start()
}

#[test]
fn a_connection_is_kept_for_its_client_alone() {
    let origin = Origin::start("a");
    let server = Announced::before(origin.address());
    let lb = start(&server, "");
    let mut clients: Vec<_> = (0..4).map(|_| lb.client()).collect();
    for round in 0..3 {
        for client in &mut clients {
            assert_eq!(client.get("/", &[]).unwrap().status, 200, "{round}");
        }
    }
    // One for each client, all requests of one on its own.
    let told = server.wait_used(4);
    let mut sources: Vec<_> = told.iter().map(Told::source).collect();
    let mut expected: Vec<_> = clients.iter().map(Client::local_addr).collect();
    sources.sort();
    expected.sort();
    assert_eq!(sources, expected);
    let requests = origin.requests();
    assert_eq!(requests.len(), 12);
    let metrics = lb.metrics();
    let connections = |reused: &str| {
        metrics.sum(
            "equipoise_upstream_connections_total",
            &[("reused", reused)],
        )
    };
    assert_eq!((connections("false"), connections("true")), (4.0, 8.0));
}

#[test]
fn it_ends_with_its_client() {
    let origin = Origin::start("a");
    let server = Announced::before(origin.address());
    let lb = start(&server, "");
    let before = lb.descriptors().len();
    let mut client = lb.client();
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    drop(client);
    eventually(SOON, || lb.descriptors().len() <= before);
    // The next client gets a connection of its own.
    assert_eq!(lb.get("/", &[]).status, 200);
    server.wait_used(2);
}

#[test]
fn an_idle_one_is_closed_in_time() {
    let origin = Origin::start("a");
    let server = Announced::before(origin.address());
    let lb = start(&server, "timeouts: {idle: 200ms}");
    let mut client = lb.client();
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    eventually(SOON, || {
        lb.metrics()
            .sum("equipoise_descriptors", &[("use", "servers")])
            == 0.0
    });
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    server.wait_used(2);
}

#[test]
fn clients_that_a_proxy_brings_by_header_fields_are_apart() {
    let origin = Origin::start("a");
    let server = Announced::before(origin.address());
    let lb = Setup::new()
        .pool("proxy_protocol: v1")
        .listener("client_address: {trusted_proxies: [127.0.0.1/32]}")
        .server_at("a", &server.address().to_string(), "")
        .start();
    let mut proxy = lb.client();
    for client in ["203.0.113.1", "203.0.113.2", "203.0.113.1"] {
        proxy.get("/", &[("X-Forwarded-For", client)]).unwrap();
    }
    let told: Vec<_> = server
        .wait_used(2)
        .iter()
        .map(|told| told.source().to_string())
        .collect();
    assert_eq!(told, ["203.0.113.1:0", "203.0.113.2:0"]);
}

#[test]
fn http2_to_the_servers_is_shared_by_nobody_else() {
    let origin = H2Origin::start(|_| h2_origin::Reply::text("hello"));
    let server = Announced::before(origin.address());
    let lb = start(&server, "http2: true");
    let mut clients: Vec<_> = (0..3).map(|_| lb.client()).collect();
    for client in &mut clients {
        for _ in 0..3 {
            assert_eq!(client.get("/", &[]).unwrap().status, 200);
        }
    }
    let told = server.wait_used(3);
    for (told, client) in told.iter().zip(&clients) {
        assert_eq!(told.source(), client.local_addr());
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn a_copy_for_a_mirror_is_told_of_as_its_original_is() {
    let (origin, shadow) = (Origin::start("a"), Origin::start("shadow"));
    let server = Announced::before(shadow.address());
    let yaml = format!(
        "listeners:\n  web:\n    bind: \"127.0.0.1:0\"\n    routes: [{{match: {{path_prefix: /}}, pool: app, mirror: {{pool: shadow}}}}]\n\
         pools:\n  app:\n    health_check: null\n    servers: [\"{}\"]\n  shadow:\n    proxy_protocol: v1\n    health_check: null\n    servers: [\"{}\"]\n",
        origin.address(),
        server.address()
    );
    let lb = Equipoise::start(&yaml);
    let mut client = lb.client();
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    for told in server.wait_used(2) {
        assert_eq!(told.source(), client.local_addr());
    }
}
