//! What went wrong once with sessions: each test failed before the fault was mended.

use super::*;

/// Answers an upgrade with a switch that sets cookies.
fn switching(request: &Request) -> Answer {
    match request.header("upgrade") {
        Some(_) => Answer::Raw(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Set-Cookie: app=v1; Path=/\r\n\r\n"
                .to_vec(),
        ),
        None => Answer::ok(),
    }
}

/// The cookies that come with the switch to another protocol, through that persistence.
fn cookies_of_a_switch(persistence: &str) -> (Equipoise, [Origin; 3], Vec<String>) {
    let origins = three_with(switching);
    let lb = Setup::of(&origins).pool(persistence).start();
    let mut client = lb.client();
    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap();
    let head = client.read_head().unwrap();
    assert_eq!(head.status, 101, "{head}");
    let lines = head.headers_of("set-cookie");
    let lines = lines.iter().map(ToString::to_string).collect();
    (lb, origins, lines)
}

/// A browser heeds the cookies of a 101 as it does those of any final response.
#[test]
fn the_cookies_of_a_protocol_switch_are_not_passed_over() {
    let (_lb, _origins, lines) =
        cookies_of_a_switch("persistence: {type: cookie_prefix, cookie: app, token: name}");
    assert_eq!(lines, ["app=a~v1; Path=/"]);

    let (_lb, _origins, lines) =
        cookies_of_a_switch("persistence: {type: cookie_rewrite, cookie: app, token: name}");
    assert_eq!(lines, ["app=a; Path=/"]);

    let (_lb, _origins, lines) =
        cookies_of_a_switch("persistence: {type: cookie_insert, cookie: app, token: name}");
    assert_eq!(lines.len(), 1, "the server's own is dropped: {lines:?}");
    assert!(lines[0].starts_with("app=a; Path=/; "), "{lines:?}");

    let (_lb, _origins, lines) =
        cookies_of_a_switch("persistence: {type: route, insert: {cookie: ROUTEID}}");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("ROUTEID=.a; "), "{lines:?}");

    let (lb, _origins, lines) = cookies_of_a_switch("persistence: {type: learn, cookie: app}");
    assert_eq!(lines, ["app=v1; Path=/"]);
    for _ in 0..3 {
        let response = lb.get("/", &[("Cookie", "app=v1")]);
        assert_eq!(response.origin(), "a", "{response}");
    }
}

/// A table that gets a shared store, or loses it, keeps what it knows.
#[test]
fn a_reload_that_changes_the_store_keeps_the_table() {
    let origins = three();
    // Nobody is there, so that only the memory can know.
    let nobody = ReservedPort::new();
    let shared = format!("store: \"redis://{}\"", nobody.address());
    let with = |store: &str| {
        Setup::of(&origins)
            .listener("client_address: {trusted_proxies: [127.0.0.0/8]}")
            .pool(&format!(
                "persistence: {{type: source_ip, table: {{{store}}}}}"
            ))
    };
    let lb = with("store: memory").start();
    let ask_all = || -> Vec<String> {
        (1..=7)
            .map(|n| {
                let client = format!("203.0.113.{n}");
                lb.get("/", &[("X-Forwarded-For", &client)])
                    .origin()
                    .to_owned()
            })
            .collect()
    };
    let before = ask_all();
    for store in [&*shared, "store: memory", &shared] {
        reload(&lb, &with(store));
        assert_eq!(ask_all(), before, "{store}");
        assert_eq!(entries(&lb), 7.0, "{store}");
    }
    assert_eq!(result(&lb, "miss"), 7.0);
}

/// While no server can be reached, nobody's session goes anywhere.
#[test]
fn an_outage_of_all_servers_moves_no_session() {
    for persistence in ["{type: source_ip}", "{type: learn, cookie: app}"] {
        let origins = three_with(|request| match request.header("cookie") {
            None => {
                let client = request.header("x-forwarded-for").unwrap_or_default();
                let client = client.split(',').next().unwrap_or_default();
                Answer::ok().header("Set-Cookie", &format!("app={client}"))
            }
            Some(_) => Answer::ok(),
        });
        let lb = Setup::of(&origins)
            .listener("client_address: {trusted_proxies: [127.0.0.0/8]}")
            .pool(&format!("persistence: {persistence}"))
            .start();
        let clients: Vec<_> = (1..=7).map(|n| format!("203.0.113.{n}")).collect();
        let from = |client: &str, more: &[(&str, &str)]| {
            lb.get("/", &[&[("X-Forwarded-For", client)], more].concat())
        };
        let before: Vec<_> = clients
            .iter()
            .map(|client| from(client, &[]).origin().to_owned())
            .collect();
        origins.iter().for_each(Origin::stop);
        for client in &clients {
            let response = from(client, &[("Cookie", &format!("app={client}"))]);
            assert!(matches!(response.status, 502 | 503), "{response}");
        }
        origins.iter().for_each(Origin::restart);
        for name in ["a", "b", "c"] {
            lb.wait_state("app", name, "up");
        }
        for (client, server) in clients.iter().zip(&before) {
            let response = from(client, &[("Cookie", &format!("app={client}"))]);
            assert_eq!(response.origin(), server, "{persistence} {client}");
        }
    }
}
