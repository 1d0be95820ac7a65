//! `cookie_rewrite`: the backend's cookie carries the server's token instead of its own value.

use std::time::Duration;

use super::*;

const REWRITE: &str = "persistence: {type: cookie_rewrite, cookie: app}";

/// Begins a session with that server: its token.
#[track_caller]
fn token_of(lb: &Equipoise, server: &str) -> String {
    (0..20)
        .map(|_| lb.get("/?set=app=1", &[]))
        .find(|r| r.origin() == server)
        .and_then(|r| r.cookie("app"))
        .unwrap_or_else(|| panic!("no session with {server}"))
}

#[test]
fn the_value_alone_is_replaced() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(REWRITE).start();
    // Quotes are no part of the value (RFC 6265 section 4.1.1), and stay.
    for (line, quote, rest) in [
        ("app=value", "", ""),
        ("app=value; Path=/; HttpOnly", "", "; Path=/; HttpOnly"),
        (
            "app=value;Path=/x;  secure ;EXTRA=\"q;\"",
            "",
            ";Path=/x;  secure ;EXTRA=\"q;\"",
        ),
        ("app=\"a b\"; Max-Age=60", "\"", "; Max-Age=60"),
        ("app=a=b=c; Domain=example.com", "", "; Domain=example.com"),
    ] {
        let response = lb.get(&format!("/?set={}", target_of(line)), &[]);
        let value = response
            .cookie("app")
            .unwrap_or_else(|| panic!("{line}: {response}"));
        let token = value.trim_matches('"');
        assert_eq!(
            set_cookies(&response),
            [format!("app={quote}{token}{quote}{rest}")],
            "for {line}"
        );
        assert!(!token.contains("value") && token.len() >= 32, "{token}");
        for value in [&value, token] {
            let again = lb.get("/", &[("Cookie", &format!("app={value}"))]);
            assert_eq!(again.origin(), response.origin(), "for {line}");
        }
    }
}

#[test]
fn other_cookies_and_their_order_stay() {
    let origins = three_with(|_| {
        Answer::ok()
            .header("Set-Cookie", "first=1;path=/")
            .header("Set-Cookie", "app=2; Path=/")
            .header("X-Between", "y")
            .header("Set-Cookie", "APP=3")
            .header(
                "Set-Cookie",
                "apps=\"4; 5\"; Expires=Thu, 01 Jan 2099 00:00:00 GMT",
            )
            .header("Set-Cookie", "xapp=6")
    });
    let lb = Setup::of(&origins).pool(REWRITE).start();
    let response = lb.get("/", &[]);
    let token = response.cookie("app").unwrap();
    assert_eq!(
        set_cookies(&response),
        [
            "first=1;path=/",
            &format!("app={token}; Path=/"),
            "APP=3",
            "apps=\"4; 5\"; Expires=Thu, 01 Jan 2099 00:00:00 GMT",
            "xapp=6"
        ]
    );
    assert_eq!(response.header("x-between"), Some("y"));
}

/// One for each path, as applications with several contexts do.
#[test]
fn several_of_that_name_are_all_rewritten() {
    let origins = three_with(|_| {
        Answer::ok()
            .header("Set-Cookie", "app=1; Path=/one")
            .header("Set-Cookie", "app=2; Path=/two")
    });
    let lb = Setup::of(&origins).pool(REWRITE).start();
    let response = lb.get("/", &[]);
    let lines = set_cookies(&response);
    assert_eq!(lines.len(), 2);
    for (line, path) in lines.iter().zip(["/one", "/two"]) {
        let (pair, rest) = line.split_once(';').unwrap();
        assert_eq!(rest, format!(" Path={path}"));
        assert_eq!(lb.get("/", &[("Cookie", pair)]).origin(), response.origin());
    }
}

#[test]
fn the_backend_gets_the_request_as_the_client_sent_it() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(REWRITE).start();
    let token = token_of(&lb, "b");
    for lines in [
        vec![format!("x=1; app={token}; y=\"2 3\"")],
        vec![format!("app={token};y=2;; z")],
        vec!["x=1".to_owned(), format!("app={token}"), "y=2".to_owned()],
        vec![format!("app=other; app={token}")],
    ] {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        assert_eq!(cookies_at(&lb, &origins[1], &lines), lines);
    }
}

#[test]
fn a_response_without_that_cookie_is_left_alone() {
    let origins = three_with(|_| Answer::ok().header("Set-Cookie", "other=1"));
    let lb = Setup::of(&origins).pool(REWRITE).start();
    let (response, word) = ask(&lb, "/", &[]);
    assert_eq!(set_cookies(&response), ["other=1"]);
    assert_eq!(response.header("cache-control"), None);
    assert_eq!(word, "miss");
}

#[test]
fn a_cookie_that_is_deleted_is_deleted() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(REWRITE).start();
    for line in [
        "app=; Path=/",
        "app=\"\"; Path=/",
        "app=gone; Max-Age=0; Path=/",
        "app=gone; Max-Age=-1",
        "app=gone; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/",
    ] {
        let response = lb.get(&format!("/?set={}", target_of(line)), &[]);
        assert_eq!(set_cookies(&response), [line]);
    }
}

#[test]
fn what_sets_it_is_private_to_the_client() {
    let origins = three_with(|request| {
        let answer = Answer::ok().header("Cache-Control", "public, max-age=60");
        match request.target.as_str() {
            "/set" => answer.header("Set-Cookie", "app=1"),
            _ => answer,
        }
    });
    let lb = Setup::of(&origins).pool(REWRITE).start();
    let set = lb.get("/set", &[]);
    assert!(set.has_token("cache-control", "private"), "{set}");
    assert!(!set.has_token("cache-control", "public"), "{set}");
    assert_eq!(
        lb.get("/", &[]).header("cache-control"),
        Some("public, max-age=60")
    );
}

#[test]
fn what_we_did_not_sign_is_counted_and_passed_on() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(REWRITE).start();
    let mut altered = token_of(&lb, "b").into_bytes();
    altered[20] = if altered[20] == b'A' { b'B' } else { b'A' };
    let altered = format!("app={}", String::from_utf8(altered).unwrap());
    for forged in ["app=b", "app=", "app=JSESSION.b", &altered, "app=%00"] {
        let (response, word) = ask(&lb, "/", &[("Cookie", forged)]);
        assert_eq!(
            (response.status, word.as_str()),
            (200, "invalid"),
            "{forged}"
        );
        let origin = origins
            .iter()
            .find(|o| o.name() == response.origin())
            .unwrap();
        assert_eq!(origin.last_request().header("cookie"), Some(forged));
    }
}

#[test]
fn of_several_the_first_valid_one_counts_and_names_match_whole() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(REWRITE).start();
    let (a, b) = (token_of(&lb, "a"), token_of(&lb, "b"));
    for (cookies, server) in [
        (format!("app=junk; app={b}; app={a}"), "b"),
        (format!("app={a}; app={b}"), "a"),
        (format!("xapp={b}; app={a}; apps={b}; APP={b}"), "a"),
    ] {
        assert_eq!(
            lb.get("/", &[("Cookie", &cookies)]).origin(),
            server,
            "{cookies}"
        );
    }
    assert_eq!(ask(&lb, "/", &[("Cookie", &format!("xapp={b}"))]).1, "miss");
}

/// Nothing is invented: without a new cookie from the backend the session is balanced each time, and counted.
#[test]
fn a_moved_session_without_a_new_cookie_is_balanced_each_time() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(REWRITE).start();
    let cookie = format!("app={}", token_of(&lb, "b"));
    origins[1].stop();
    for _ in 0..3 {
        let (response, word) = ask(&lb, "/", &[("Cookie", &cookie)]);
        assert_eq!(set_cookies(&response), Vec::<&str>::new());
        assert_eq!(word, "rebalanced");
    }
}

#[test]
fn a_restart_and_another_order_rebind_nobody() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(REWRITE).start();
    let tokens = ["a", "b", "c"].map(|server| (server, token_of(&lb, server)));
    let lb = Setup::of(origins.iter().rev())
        .pool(REWRITE)
        .start_in(lb.into_dir());
    for (server, token) in &tokens {
        assert_eq!(
            lb.get("/", &[("Cookie", &format!("app={token}"))]).origin(),
            *server
        );
    }
}

#[test]
fn nodes_with_one_secret_accept_each_others() {
    let origins = three_with(on_demand);
    let dir = TempDir::new("secret");
    let secret = dir.write(
        "keys",
        "correct horse battery staple, and then some more of it\n",
    );
    let setup = Setup::of(&origins).pool(&format!(
        "persistence: {{type: cookie_rewrite, cookie: app, secret_file: {}}}",
        secret.display()
    ));
    let (one, two) = (setup.start(), setup.start());
    for server in ["a", "b", "c"] {
        let cookie = format!("app={}", token_of(&one, server));
        assert_eq!(two.get("/", &[("Cookie", &cookie)]).origin(), server);
    }
}

#[test]
fn a_configured_timeout_ends_it() {
    ends_by("timeout: 1s");
}

#[test]
fn a_configured_max_lifetime_ends_it() {
    ends_by("max_lifetime: 1s");
}

#[track_caller]
fn ends_by(key: &str) {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins)
        .pool(&format!(
            "persistence: {{type: cookie_rewrite, cookie: app, {key}}}"
        ))
        .start();
    let cookie = format!("app={}", token_of(&lb, "b"));
    eventually(SOON, || {
        lb.get("/", &[("Cookie", &cookie)]);
        result(&lb, "expired") >= 1.0
    });
}

/// The cookie's lifetime is the backend's to say.
#[test]
fn by_default_it_never_ends() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(REWRITE).start();
    let cookie = format!("app={}", token_of(&lb, "b"));
    holds_for(Duration::from_millis(2500), || {
        lb.get("/", &[("Cookie", &cookie)]).origin() == "b"
    });
}

#[test]
fn it_needs_to_know_which_cookie() {
    for kind in ["cookie_rewrite", "cookie_prefix", "learn"] {
        let said = refused(&format!("{{type: {kind}}}"));
        assert!(said.contains("cookie"), "{said}");
    }
    // Keys of other types are no keys of this one.
    for key in [
        "separator: x",
        "prefix: {v4: 24}",
        "table: {size: 5}",
        "insert: {cookie: X}",
    ] {
        let said = refused(&format!("{{type: cookie_rewrite, cookie: app, {key}}}"));
        assert!(said.contains(key.split(':').next().unwrap()), "{said}");
    }
}
