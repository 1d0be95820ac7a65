//! `cookie_prefix`: the server's token in front of the backend's value, and the backend never sees it.

use super::*;

const PREFIX: &str = "persistence: {type: cookie_prefix, cookie: app}";

/// Begins a session with that server: its token, without what follows.
#[track_caller]
fn token_of(lb: &Equipoise, server: &str) -> String {
    let value = (0..20)
        .map(|_| lb.get("/?set=app=1", &[]))
        .find(|r| r.origin() == server)
        .and_then(|r| r.cookie("app"))
        .unwrap_or_else(|| panic!("no session with {server}"));
    let (token, original) = value
        .split_once('~')
        .unwrap_or_else(|| panic!("no prefix: {value}"));
    assert_eq!(original, "1");
    token.to_owned()
}

#[test]
fn the_value_gets_a_prefix_and_nothing_else_changes() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(PREFIX).start();
    for (line, value, rest) in [
        ("app=value", "value", ""),
        ("app=value; Path=/; HttpOnly", "value", "; Path=/; HttpOnly"),
        (
            "app=a=b~c.d;Path=/x;  secure",
            "a=b~c.d",
            ";Path=/x;  secure",
        ),
    ] {
        let response = lb.get(&format!("/?set={}", target_of(line)), &[]);
        let set = response
            .cookie("app")
            .unwrap_or_else(|| panic!("{line}: {response}"));
        let (token, original) = set.split_once('~').unwrap_or_else(|| panic!("{set}"));
        assert_eq!(original, value);
        assert_eq!(
            set_cookies(&response),
            [format!("app={token}~{value}{rest}")]
        );
        let origin = origins
            .iter()
            .find(|o| o.name() == response.origin())
            .unwrap();
        assert_eq!(
            cookies_at(&lb, origin, &[&format!("app={set}")]),
            [format!("app={value}")]
        );
    }
}

/// A quoted value stays one value on both ways.
#[test]
fn a_quoted_value_comes_back_as_it_was() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(PREFIX).start();
    let response = lb.get("/?set=app=!a_b!;_Path=/", &[]);
    let set = response.cookie("app").unwrap();
    let origin = origins
        .iter()
        .find(|o| o.name() == response.origin())
        .unwrap();
    assert_eq!(
        cookies_at(&lb, origin, &[&format!("app={set}")]),
        ["app=\"a b\""]
    );
}

#[test]
fn the_backend_gets_its_value_back_and_all_else_byte_for_byte() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(PREFIX).start();
    let t = token_of(&lb, "b");
    for (sent, got) in [
        (vec![format!("app={t}~1")], vec!["app=1"]),
        (
            vec![format!("x=1; app={t}~1; y=\"2 3\"")],
            vec!["x=1; app=1; y=\"2 3\""],
        ),
        (vec![format!("x=1;app={t}~1;;  z ")], vec!["x=1;app=1;;  z"]),
        (
            vec!["x=1".into(), format!("app={t}~1"), "y=2".into()],
            vec!["x=1", "app=1", "y=2"],
        ),
        (vec![format!("app={t}~1; app={t}~2")], vec!["app=1; app=2"]),
        (
            vec![format!("app={t}~1"), format!("y=2; app={t}~3")],
            vec!["app=1", "y=2; app=3"],
        ),
        (vec![format!("app={t}~a~b")], vec!["app=a~b"]),
        (vec![format!("app={t}~")], vec!["app="]),
        (
            vec![format!("app={t}~1; apps={t}~2; xapp={t}~3")],
            vec![&*format!("app=1; apps={t}~2; xapp={t}~3").leak()],
        ),
    ] {
        let sent: Vec<_> = sent.iter().map(String::as_str).collect();
        assert_eq!(cookies_at(&lb, &origins[1], &sent), got, "for {sent:?}");
    }
}

/// A value from before we were here, or from another name space, isn't cut.
#[test]
fn a_value_that_is_not_ours_is_passed_as_it_is() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(PREFIX).start();
    for cookie in ["app=plain", "app=with~tilde", "app=~", "app=", "app=b~1"] {
        let (response, word) = ask(&lb, "/", &[("Cookie", cookie)]);
        assert!(["miss", "invalid"].contains(&&*word), "{cookie}: {word}");
        let origin = origins
            .iter()
            .find(|o| o.name() == response.origin())
            .unwrap();
        assert_eq!(origin.last_request().header("cookie"), Some(cookie));
    }
}

/// Signed with a key that is no longer known: the server still gets its own value and no token.
#[test]
fn a_token_of_ours_that_counts_no_more_is_cut_all_the_same() {
    let origins = three_with(on_demand);
    let cookie = {
        let stranger = Setup::of(&origins).pool(PREFIX).start();
        format!("x=0; app={}~original; y=2", token_of(&stranger, "b"))
    };
    let lb = Setup::of(&origins).pool(PREFIX).start();
    let (response, word) = ask(&lb, "/", &[("Cookie", &cookie)]);
    assert_eq!(word, "invalid");
    let origin = origins
        .iter()
        .find(|o| o.name() == response.origin())
        .unwrap();
    assert_eq!(
        origin.last_request().header("cookie"),
        Some("x=0; app=original; y=2")
    );
}

#[test]
fn the_moved_sessions_value_reaches_its_new_server() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(PREFIX).start();
    let cookie = format!("app={}~original", token_of(&lb, "b"));
    origins[1].stop();
    let (response, word) = ask(&lb, "/?set=app=original", &[("Cookie", &cookie)]);
    assert_eq!(word, "rebalanced");
    let origin = origins
        .iter()
        .find(|o| o.name() == response.origin())
        .unwrap();
    assert_eq!(origin.last_request().header("cookie"), Some("app=original"));
    // The same value with another token in front: the replicated session goes on over there.
    let new = response.cookie("app").unwrap();
    assert!(new.ends_with("~original"), "{new}");
    assert_eq!(
        cookies_at(&lb, origin, &[&format!("app={new}")]),
        ["app=original"]
    );
}

#[test]
fn other_cookies_of_the_response_and_their_order_stay() {
    let origins = three_with(|_| {
        Answer::ok()
            .header("Set-Cookie", "first=1;path=/")
            .header("Set-Cookie", "app=2; Path=/")
            .header("Set-Cookie", "APP=3")
            .header("Set-Cookie", "app=4; Path=/four")
            .header("Set-Cookie", "xapp=\"6; 7\"")
    });
    let lb = Setup::of(&origins).pool(PREFIX).start();
    let response = lb.get("/", &[]);
    let set = response.cookie("app").unwrap();
    let t = set.strip_suffix("~2").unwrap();
    let lines = set_cookies(&response);
    assert_eq!(
        [lines[0], lines[1], lines[2], lines[4]],
        [
            "first=1;path=/",
            &format!("app={t}~2; Path=/"),
            "APP=3",
            "xapp=\"6; 7\""
        ]
    );
    assert!(lines[3].ends_with("~4; Path=/four"), "{}", lines[3]);
    assert!(response.has_token("cache-control", "private"));
}

#[test]
fn a_cookie_that_is_deleted_is_deleted() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(PREFIX).start();
    for line in [
        "app=; Path=/",
        "app=gone; Max-Age=0; Path=/",
        "app=gone; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/",
    ] {
        let response = lb.get(&format!("/?set={}", target_of(line)), &[]);
        assert_eq!(set_cookies(&response), [line]);
    }
}

#[test]
fn a_configured_timeout_ends_it() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins)
        .pool("persistence: {type: cookie_prefix, cookie: app, timeout: 1s}")
        .start();
    let cookie = format!("app={}~1", token_of(&lb, "b"));
    eventually(SOON, || {
        lb.get("/", &[("Cookie", &cookie)]);
        result(&lb, "expired") >= 1.0
    });
    let all = origins.iter().flat_map(Origin::requests);
    assert!(
        all.filter_map(|r| r.header("cookie").map(str::to_owned))
            .all(|c| c == "app=1"),
        "an expired token is cut too"
    );
}

#[test]
fn a_configured_max_lifetime_ends_it() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins)
        .pool("persistence: {type: cookie_prefix, cookie: app, max_lifetime: 1s}")
        .start();
    let cookie = format!("app={}~1", token_of(&lb, "b"));
    eventually(SOON, || {
        lb.get("/", &[("Cookie", &cookie)]);
        result(&lb, "expired") >= 1.0
    });
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
        "persistence: {{type: cookie_prefix, cookie: app, secret_file: {}}}",
        secret.display()
    ));
    let (one, two) = (setup.start(), setup.start());
    for server in ["a", "b", "c"] {
        let cookie = format!("app={}~1", token_of(&one, server));
        assert_eq!(two.get("/", &[("Cookie", &cookie)]).origin(), server);
    }
}
