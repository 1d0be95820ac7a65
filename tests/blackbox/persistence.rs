//! SPEC section 5: sessions stay with their server (`cookie_insert`).

use std::time::Duration;

use crate::common::*;

const INSERT: &str = "persistence: {type: cookie_insert}";

fn three() -> [Origin; 3] {
    ["a", "b", "c"].map(Origin::start)
}

/// Begins a session; whose it is, and its cookie pair.
#[track_caller]
fn begin(lb: &Equipoise) -> (String, String) {
    let response = lb.get("/", &[]);
    let cookie = response
        .cookie("SERVERID")
        .unwrap_or_else(|| panic!("no cookie: {response}"));
    (response.origin().to_owned(), format!("SERVERID={cookie}"))
}

/// Begins sessions until one is with `server`.
#[track_caller]
fn begin_with(lb: &Equipoise, server: &str) -> String {
    (0..20)
        .map(|_| begin(lb))
        .find(|(name, _)| name == server)
        .unwrap_or_else(|| panic!("no session with {server}"))
        .1
}

/// How often persistence had that result, once all that was asked is recorded.
#[track_caller]
fn result(lb: &Equipoise, result: &str) -> f64 {
    lb.wait_idle();
    lb.metrics().sum(
        "equipoise_persistence_total",
        &[("pool", "app"), ("result", result)],
    )
}

#[test]
fn a_session_stays_with_its_server() {
    let origins = three();
    let lb = Setup::of(&origins).pool(INSERT).start();
    for _ in 0..3 {
        let (server, cookie) = begin(&lb);
        for _ in 0..7 {
            let response = lb.get("/", &[("Cookie", &cookie)]);
            assert_eq!(response.origin(), server);
            assert_eq!(
                response.set_cookie("SERVERID"),
                None,
                "set again without need"
            );
        }
    }
    assert!(result(&lb, "hit") >= 21.0);
    assert!(result(&lb, "miss") >= 3.0);
    let bound = lb
        .metrics()
        .sum("equipoise_server_picks_total", &[("by", "persistence")]);
    assert!(bound >= 21.0, "{bound}");
}

#[test]
fn the_cookie_has_the_default_attributes() {
    let origins = three();
    let lb = Setup::of(&origins).pool(INSERT).start();
    let response = lb.get("/", &[]);
    let line = response.set_cookie("SERVERID").unwrap();
    let attributes: Vec<_> = line
        .split(';')
        .skip(1)
        .map(|a| a.trim().to_lowercase())
        .collect();
    for wanted in ["path=/", "httponly", "samesite=lax", "max-age=3600"] {
        assert!(
            attributes.iter().any(|a| a == wanted),
            "{wanted} not in {line}"
        );
    }
    assert!(
        !attributes
            .iter()
            .any(|a| a == "secure" || a.starts_with("domain")),
        "{line}"
    );
}

#[test]
fn the_cookie_has_the_configured_attributes() {
    let origins = three();
    let lb = Setup::of(&origins)
        .pool("persistence: {type: cookie_insert, cookie: lb, timeout: 0s, domain: example.com, path: /app, secure: true, http_only: false, same_site: none, partitioned: true}")
        .start();
    let response = lb.get("/", &[]);
    let line = response.set_cookie("lb").unwrap().to_lowercase();
    for wanted in [
        "domain=example.com",
        "path=/app",
        "secure",
        "samesite=none",
        "partitioned",
    ] {
        assert!(
            line.split(';').any(|a| a.trim() == wanted),
            "{wanted} not in {line}"
        );
    }
    for unwanted in ["httponly", "max-age", "expires"] {
        assert!(!line.contains(unwanted), "{unwanted} in {line}");
    }
}

#[test]
fn the_token_is_opaque() {
    let origins = three();
    let lb = Setup::new()
        .server_at("production-eu-1", &origins[0].address().to_string(), "")
        .pool(INSERT)
        .start();
    let (_, cookie) = begin(&lb);
    assert!(!cookie.contains("production"), "{cookie}");
    assert!(
        !cookie.contains(&origins[0].address().port().to_string()),
        "{cookie}"
    );
}

#[test]
fn the_backend_never_sees_the_cookie_and_others_are_untouched() {
    let origins = three();
    let lb = Setup::of(&origins).pool(INSERT).start();
    let cookie = begin_with(&lb, "a");
    let sent = |header: &str| {
        lb.get("/", &[("Cookie", header)]);
        origins[0]
            .last_request()
            .header("cookie")
            .map(str::to_owned)
    };
    assert_eq!(sent(&cookie), None);
    assert_eq!(
        sent(&format!("x=1; {cookie}; y=\"2 3\"")).as_deref(),
        Some("x=1; y=\"2 3\"")
    );
    assert_eq!(sent(&format!("{cookie}; y=2")).as_deref(), Some("y=2"));
    assert_eq!(sent(&format!("x=1; {cookie}")).as_deref(), Some("x=1"));
    assert_eq!(
        sent(&format!("XSERVERID=1; {cookie}; SERVERIDX=2")).as_deref(),
        Some("XSERVERID=1; SERVERIDX=2")
    );
}

#[test]
fn a_backends_cookie_of_the_same_name_is_dropped_and_others_pass() {
    let origin = Origin::with("a", |_| {
        Answer::ok()
            .header("Set-Cookie", "JSESSIONID=1; Path=/")
            .header("Set-Cookie", "SERVERID=fake; Path=/")
            .header("Set-Cookie", "SERVERIDX=2")
    });
    let lb = Setup::of([&origin]).pool(INSERT).start();
    let response = lb.get("/", &[]);
    assert_eq!(
        response.set_cookie("JSESSIONID"),
        Some("JSESSIONID=1; Path=/")
    );
    assert_eq!(response.set_cookie("SERVERIDX"), Some("SERVERIDX=2"));
    let ours: Vec<_> = response
        .headers_of("set-cookie")
        .into_iter()
        .filter(|c| c.starts_with("SERVERID="))
        .collect();
    assert_eq!(ours.len(), 1, "{response}");
    assert!(!ours[0].contains("fake"));
    // Also when ours isn't set: a bound request.
    let cookie = format!("SERVERID={}", response.cookie("SERVERID").unwrap());
    let response = lb.get("/", &[("Cookie", &cookie)]);
    assert_eq!(response.set_cookie("SERVERID"), None, "{response}");
    assert_eq!(response.headers_of("set-cookie").len(), 2);
}

#[test]
fn a_response_that_sets_it_is_private_to_the_client() {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/strict" => Answer::ok().header("Cache-Control", "no-store"),
        "/public" => Answer::ok().header("Cache-Control", "public, max-age=60"),
        _ => Answer::ok(),
    });
    let lb = Setup::of([&origin]).pool(INSERT).start();
    let plain = lb.get("/", &[]);
    assert_eq!(plain.header("cache-control"), Some("private"), "{plain}");
    assert_eq!(
        lb.get("/strict", &[]).headers_of("cache-control"),
        ["no-store"]
    );
    let public = lb.get("/public", &[]);
    assert!(public.has_token("cache-control", "private"), "{public}");
    assert!(!public.has_token("cache-control", "public"), "{public}");
    let cookie = format!("SERVERID={}", plain.cookie("SERVERID").unwrap());
    let bound = lb.get("/public", &[("Cookie", &cookie)]);
    assert_eq!(bound.header("cache-control"), Some("public, max-age=60"));
}

#[test]
fn what_we_did_not_sign_is_treated_as_none_and_counted() {
    let origins = three();
    let lb = Setup::of(&origins).pool(INSERT).start();
    let (_, cookie) = begin(&lb);
    let altered: String = {
        let mut bytes = cookie.clone().into_bytes();
        let at = bytes.len() - 6;
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let long = format!("SERVERID={}", "A".repeat(3000));
    for (n, forged) in [
        altered.as_str(),
        "SERVERID=a",
        "SERVERID=",
        "SERVERID=%00%ff",
        &long,
    ]
    .iter()
    .enumerate()
    {
        let response = lb.get("/", &[("Cookie", forged)]);
        assert_eq!(response.status, 200);
        assert!(
            response.set_cookie("SERVERID").is_some(),
            "a new one for {forged}"
        );
        eventually(SOON, || result(&lb, "invalid") >= (n + 1) as f64);
    }
    // None of it was passed on.
    assert!(
        origins
            .iter()
            .flat_map(Origin::requests)
            .all(|r| r.header("cookie").is_none())
    );
}

#[test]
fn of_several_the_first_valid_one_counts_and_names_match_whole() {
    let origins = three();
    let lb = Setup::of(&origins).pool(INSERT).start();
    let (a, b) = (begin_with(&lb, "a"), begin_with(&lb, "b"));
    assert_eq!(
        lb.get("/", &[("Cookie", &format!("SERVERID=junk; {b}; {a}"))])
            .origin(),
        "b"
    );
    assert_eq!(
        lb.get("/", &[("Cookie", &format!("{a}; {b}"))]).origin(),
        "a"
    );
    assert_eq!(
        lb.get("/", &[("Cookie", "SERVERID=junk"), ("Cookie", &b)])
            .origin(),
        "b"
    );
    let token = b.strip_prefix("SERVERID=").unwrap();
    let response = lb.get("/", &[("Cookie", &format!("XSERVERID={token}"))]);
    assert!(
        response.set_cookie("SERVERID").is_some(),
        "another cookie's value is not ours"
    );
}

#[test]
fn a_restart_rebinds_nobody() {
    let origins = three();
    let setup = Setup::of(&origins).pool(INSERT);
    let lb = setup.start();
    let cookies = ["a", "b", "c"].map(|server| begin_with(&lb, server));
    let lb = setup.start_in(lb.into_dir());
    for (cookie, server) in cookies.iter().zip(["a", "b", "c"]) {
        assert_eq!(lb.get("/", &[("Cookie", cookie)]).origin(), server);
    }
}

#[test]
fn reordering_adding_and_removing_servers_rebinds_nobody_else() {
    let origins = three();
    let lb = Setup::of(&origins).pool(INSERT).start();
    let cookies = ["a", "b", "c"].map(|server| begin_with(&lb, server));
    let new = Origin::start("new");
    let lb = Setup::of([&origins[2], &new, &origins[1]])
        .pool(INSERT)
        .start_in(lb.into_dir());
    for _ in 0..3 {
        assert_eq!(lb.get("/", &[("Cookie", &cookies[2])]).origin(), "c");
        assert_eq!(lb.get("/", &[("Cookie", &cookies[1])]).origin(), "b");
    }
    let moved = lb.get("/", &[("Cookie", &cookies[0])]);
    assert_eq!(moved.status, 200);
    assert!(moved.set_cookie("SERVERID").is_some());
}

#[test]
fn two_nodes_with_one_secret_accept_each_others() {
    let origins = three();
    let dir = TempDir::new("secret");
    let secret = dir.write(
        "keys",
        "correct horse battery staple, and then some more of it\n",
    );
    let pool = format!(
        "persistence: {{type: cookie_insert, secret_file: {}}}",
        secret.display()
    );
    let setup = Setup::of(&origins).pool(&pool);
    let (one, two) = (setup.start(), setup.start());
    for server in ["a", "b", "c"] {
        let cookie = begin_with(&one, server);
        assert_eq!(two.get("/", &[("Cookie", &cookie)]).origin(), server);
    }
    let stranger = Setup::of(&origins).pool(INSERT).start();
    let response = stranger.get("/", &[("Cookie", &begin(&one).1)]);
    assert!(
        response.set_cookie("SERVERID").is_some(),
        "another node's key is another key"
    );
}

#[test]
fn keys_rotate_the_first_signs_and_all_verify() {
    let origins = three();
    let dir = TempDir::new("secret");
    let old = "the key of last year, which is long enough to be one";
    let new = "the key of this year, which is long enough to be one";
    let setup = |keys: &str| {
        let file = dir.write("keys", keys);
        let pool = format!(
            "persistence: {{type: cookie_insert, secret_file: {}}}",
            file.display()
        );
        Setup::of(&origins).pool(&pool).start()
    };
    let before = begin_with(&setup(&format!("{old}\n")), "b");
    let during = setup(&format!("{new}\n{old}\n"));
    assert_eq!(during.get("/", &[("Cookie", &before)]).origin(), "b");
    let after = begin_with(&during, "c");
    let only_new = setup(&format!("{new}\n"));
    assert_eq!(only_new.get("/", &[("Cookie", &after)]).origin(), "c");
    assert!(
        only_new
            .get("/", &[("Cookie", &before)])
            .set_cookie("SERVERID")
            .is_some()
    );
}

#[test]
fn a_name_as_token_for_those_who_migrate() {
    let origins = three();
    let lb = Setup::of(&origins)
        .pool("persistence: {type: cookie_insert, token: name}")
        .start();
    let (server, cookie) = begin(&lb);
    assert_eq!(cookie, format!("SERVERID={server}"));
    for name in ["c", "a", "b"] {
        assert_eq!(
            lb.get("/", &[("Cookie", &format!("SERVERID={name}"))])
                .origin(),
            name
        );
    }
}

#[test]
fn a_session_whose_server_is_down_moves_and_gets_a_new_cookie() {
    let origins = three();
    let lb = Setup::of(&origins)
        .pool(INSERT)
        .pool("health_check: {type: http, path: /health, interval: 200ms, fast_interval: 50ms, fall: 1}")
        .start();
    let cookie = begin_with(&lb, "b");
    origins[1].set_health(500);
    lb.wait_state("app", "b", "down");
    let moved = lb.get("/", &[("Cookie", &cookie)]);
    assert_ne!(moved.origin(), "b");
    let new = format!(
        "SERVERID={}",
        moved.cookie("SERVERID").expect("a new cookie")
    );
    assert_eq!(lb.get("/", &[("Cookie", &new)]).origin(), moved.origin());
    assert!(result(&lb, "rebalanced") + result(&lb, "unavailable") >= 1.0);
    // And the log says why.
    eventually(SOON, || {
        let log = lb.stderr();
        log.lines().any(|line| {
            line.contains("session's server is unavailable") && line.contains("status 500")
        })
    });
}

#[test]
fn a_session_whose_server_refuses_moves_too() {
    let origins = three();
    let lb = Setup::of(&origins).pool(INSERT).start();
    let cookie = begin_with(&lb, "b");
    origins[1].stop();
    let moved = lb.get("/", &[("Cookie", &cookie)]);
    assert_eq!(moved.status, 200);
    assert_ne!(moved.origin(), "b");
    assert!(moved.set_cookie("SERVERID").is_some());
}

#[test]
fn or_is_refused_if_so_configured() {
    let origins = three();
    let lb = Setup::of(&origins)
        .pool("persistence: {type: cookie_insert, on_unavailable: reject}")
        .pool("health_check: {type: http, path: /health, interval: 200ms, fast_interval: 50ms, fall: 1}")
        .start();
    let cookie = begin_with(&lb, "b");
    origins[1].set_health(500);
    lb.wait_state("app", "b", "down");
    assert_eq!(lb.get("/", &[("Cookie", &cookie)]).status, 503);
    assert_eq!(lb.get("/", &[]).status, 200);
    assert!(result(&lb, "unavailable") >= 1.0);
}

#[test]
fn a_server_of_weight_zero_keeps_its_sessions() {
    let origins = three();
    let lb = Setup::of(&origins).pool(INSERT).start();
    let cookie = begin_with(&lb, "b");
    let lb = Setup::new()
        .server(&origins[0], "")
        .server(&origins[1], "weight: 0")
        .pool(INSERT)
        .start_in(lb.into_dir());
    for _ in 0..5 {
        let response = lb.get("/", &[("Cookie", &cookie)]);
        assert_eq!(response.origin(), "b");
        assert_eq!(response.set_cookie("SERVERID"), None);
        assert_eq!(lb.get("/", &[]).origin(), "a");
    }
}

#[test]
fn the_cookie_is_renewed_after_half_its_timeout_and_then_expires() {
    let origins = three();
    let lb = Setup::of(&origins)
        .pool("persistence: {type: cookie_insert, timeout: 4s}")
        .start();
    let old = begin_with(&lb, "b");
    // No renewal in the first half, one in the second, to the same server.
    assert_eq!(
        lb.get("/", &[("Cookie", &old)]).set_cookie("SERVERID"),
        None
    );
    let renewed = eventually(Duration::from_secs(4), || {
        let response = lb.get("/", &[("Cookie", &old)]);
        response
            .cookie("SERVERID")
            .map(|cookie| (response.origin().to_owned(), cookie))
    });
    assert_eq!(renewed.0, "b");
    assert!(result(&lb, "expired") == 0.0, "renewed before it expired");
    // The old one, never replaced, expires in the end.
    eventually(SOON, || {
        lb.get("/", &[("Cookie", &old)]);
        result(&lb, "expired") >= 1.0
    });
}

#[test]
fn a_session_ends_at_its_maximal_lifetime_however_active() {
    let origins = three();
    let lb = Setup::of(&origins)
        .pool("persistence: {type: cookie_insert, timeout: 60s, max_lifetime: 2s}")
        .start();
    let cookie = begin_with(&lb, "b");
    assert_eq!(lb.get("/", &[("Cookie", &cookie)]).origin(), "b");
    eventually(SOON, || {
        lb.get("/", &[("Cookie", &cookie)]);
        result(&lb, "expired") >= 1.0
    });
}

#[test]
fn bound_requests_are_charged_to_their_servers_share() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Setup::of([&a, &b]).pool(INSERT).start();
    let cookie = begin_with(&lb, "a");
    let before = (a.served(), b.served());
    for _ in 0..20 {
        assert_eq!(lb.get("/", &[("Cookie", &cookie)]).origin(), "a");
        lb.get("/", &[]);
    }
    let (to_a, to_b) = (a.served() - before.0, b.served() - before.1);
    assert!(
        to_b >= 19,
        "{to_a} to a, {to_b} to b: the free requests make up for the bound ones"
    );
}

#[test]
fn a_bound_request_waits_for_its_full_server() {
    let origins = three();
    let lb = Setup::new()
        .server(&origins[0], "max_connections: 1")
        .server(&origins[1], "")
        .pool(INSERT)
        .pool("queue: {size: 10, timeout: 10s}")
        .start();
    let cookie = begin_with(&lb, "a");
    lb.wait_idle();
    origins[0].script(|_| Answer::held());
    let mut first = lb.client();
    first
        .send_request("GET", "/", &[("Cookie", &cookie)], b"")
        .unwrap();
    origins[0].wait_held(1);
    let mut second = lb.client();
    second
        .send_request("GET", "/", &[("Cookie", &cookie)], b"")
        .unwrap();
    eventually(SOON, || {
        lb.metrics().sum("equipoise_queue_length", &[]) == 1.0
    });
    origins[0].release_all();
    assert_eq!(first.read_response(false).unwrap().origin(), "a");
    assert_eq!(second.read_response(false).unwrap().origin(), "a");
}
