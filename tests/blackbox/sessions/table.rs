//! The session table: bounded, least recently used first, and it outlives a reload.

use super::*;

const TRUST: &str = "client_address: {trusted_proxies: [127.0.0.0/8]}";

fn by_address(origins: &[Origin], more: &str) -> Setup {
    Setup::of(origins)
        .listener(TRUST)
        .listener("http: {keepalive_requests: 0}")
        .pool(&format!("persistence: {{type: source_ip{more}}}"))
}

/// The n-th client.
fn client(n: u32) -> String {
    std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string()
}

#[track_caller]
fn get(connection: &mut Client, n: u32) -> String {
    let response = connection
        .get("/", &[("X-Forwarded-For", &client(n))])
        .unwrap();
    assert_eq!(response.status, 200);
    response.origin().to_owned()
}

#[test]
fn it_holds_what_was_configured_and_counts_what_it_drops() {
    let origins = three();
    let lb = by_address(&origins, ", table: {size: 100}").start();
    let mut connection = lb.client();
    let regular = get(&mut connection, 0);
    for n in 1..=300 {
        get(&mut connection, n);
        assert_eq!(
            get(&mut connection, 0),
            regular,
            "who is used isn't dropped"
        );
    }
    let (held, dropped) = (entries(&lb), evictions(&lb));
    assert!(held <= 100.0, "{held}");
    assert!(held >= 50.0, "{held} of 100 places used");
    assert_eq!(held + dropped, 301.0);
    drop(connection);

    let word = |n: u32| ask(&lb, "/", &[("X-Forwarded-For", &client(n))]).1;
    assert_eq!(word(300), "hit", "the last one");
    assert_eq!(word(299), "hit");
    assert_eq!(word(1), "miss", "the oldest went first");
}

#[test]
fn with_one_place_the_last_one_has_it() {
    let origins = three();
    let lb = by_address(&origins, ", table: {size: 1}").start();
    let word = |n: u32| ask(&lb, "/", &[("X-Forwarded-For", &client(n))]).1;
    assert_eq!(
        [word(1), word(1), word(2), word(2), word(1)],
        ["miss", "hit", "miss", "hit", "miss"]
    );
    assert_eq!((entries(&lb), evictions(&lb)), (1.0, 2.0));
}

#[test]
fn a_reload_keeps_it() {
    let origins = three();
    let lb = by_address(&origins, "").start();
    let mut connection = lb.client();
    let before: Vec<_> = (0..30).map(|n| get(&mut connection, n)).collect();
    let other = Setup::of(origins.iter().rev())
        .listener(TRUST)
        .listener("http: {keepalive_requests: 0}")
        .pool("persistence: {type: source_ip, timeout: 2h, table: {size: 5000}}")
        .pool("algorithm: weighted_least_connections\nslow_start: 0");
    reload(&lb, &other);
    assert_eq!(entries(&lb), 30.0);
    let after: Vec<_> = (0..30).map(|n| get(&mut connection, n)).collect();
    assert_eq!(after, before);
    drop(connection);
    assert_eq!(result(&lb, "hit"), 30.0);
}

#[test]
fn a_refused_reload_keeps_it_too() {
    let origins = three();
    let lb = by_address(&origins, "").start();
    let mut connection = lb.client();
    let server = get(&mut connection, 1);
    lb.rewrite("listeners: {nonsense");
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || {
        lb.metrics().sum("equipoise_config_reloads_total", &[]) >= 1.0
    });
    for _ in 0..3 {
        assert_eq!(get(&mut connection, 1), server);
    }
}

#[test]
fn a_smaller_size_drops_the_least_recently_used() {
    let origins = three();
    let lb = by_address(&origins, ", table: {size: 200}").start();
    let mut connection = lb.client();
    for n in 0..100 {
        get(&mut connection, n);
    }
    assert_eq!(entries(&lb), 100.0);
    reload(&lb, &by_address(&origins, ", table: {size: 10}"));
    get(&mut connection, 99);
    eventually(SOON, || entries(&lb) <= 10.0);
    drop(connection);
    assert_eq!(ask(&lb, "/", &[("X-Forwarded-For", &client(99))]).1, "hit");
}

#[test]
fn a_learned_session_survives_a_reload_and_a_restart() {
    let origins = three_with(|request| match request.target.as_str() {
        "/login" => Answer::ok().header("Set-Cookie", "app=id"),
        _ => Answer::ok(),
    });
    let setup = Setup::of(&origins).pool("persistence: {type: learn, cookie: app}");
    let lb = setup.start();
    let server = lb.get("/login", &[]).origin().to_owned();
    reload(&lb, &setup);
    let (response, word) = ask(&lb, "/", &[("Cookie", "app=id")]);
    assert_eq!((response.origin(), &*word), (&*server, "hit"));
    let lb = setup.start_in(lb.into_dir());
    assert_eq!(lb.get("/", &[("Cookie", "app=id")]).origin(), server);
    eventually(SOON, || result(&lb, "hit") == 1.0);
}

/// Two pools, one cookie name, one value: two sessions.
#[test]
fn every_pool_has_its_own() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let pool = |name: &str, origin: &Origin| {
        format!(
            "  {name}:\n    health_check: null\n    persistence: {{type: source_ip}}\n    servers:\n      - {{name: s, address: \"{}\"}}\n",
            origin.address()
        )
    };
    let lb = Equipoise::start(&format!(
        "listeners:\n  web: {{bind: \"127.0.0.1:0\", pool: one}}\n  other: {{bind: \"127.0.0.1:0\", pool: two}}\npools:\n{}{}",
        pool("one", &a),
        pool("two", &b)
    ));
    assert_eq!(lb.get("/", &[]).origin(), "a");
    assert_eq!(get_from(&lb, "other"), "b");
    assert_eq!(get_from(&lb, "other"), "b");
    let entries = |pool: &str| {
        lb.metrics()
            .value("equipoise_session_table_entries", &[("pool", pool)])
    };
    assert_eq!((entries("one"), entries("two")), (1.0, 1.0));
}

#[track_caller]
fn get_from(lb: &Equipoise, listener: &str) -> String {
    crate::common::get(lb.address(listener), "/", &[])
        .origin()
        .to_owned()
}

#[test]
fn a_table_of_nothing_is_refused() {
    for table in [
        "{size: 0}",
        "{size: -5}",
        "{store: elsewhere}",
        "{store: \"http://x\"}",
        "{sise: 5}",
    ] {
        let said = refused(&format!("{{type: source_ip, table: {table}}}"));
        assert!(said.contains("table"), "{said}");
    }
}
