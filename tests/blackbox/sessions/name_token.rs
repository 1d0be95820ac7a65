//! `token: name`: the server's name itself in the cookie, for those who migrate.

use super::*;

fn sets_app(_: &Request) -> Answer {
    Answer::ok().header("Set-Cookie", "app=own; Path=/")
}

#[test]
fn rewrite_puts_the_name_into_the_cookie_and_follows_it() {
    let origins = three_with(sets_app);
    let lb = Setup::of(&origins)
        .pool("persistence: {type: cookie_rewrite, cookie: app, token: name}")
        .start();
    let response = lb.get("/", &[]);
    assert_eq!(
        set_cookies(&response),
        [format!("app={}; Path=/", response.origin())]
    );
    for name in ["c", "a", "b"] {
        let (response, word) = ask(&lb, "/", &[("Cookie", &format!("app={name}"))]);
        assert_eq!((response.origin(), &*word), (name, "hit"));
    }
    assert_eq!(ask(&lb, "/", &[("Cookie", "app=nobody")]).1, "invalid");
}

#[test]
fn prefix_puts_the_name_in_front_and_follows_it() {
    let origins = three_with(sets_app);
    let lb = Setup::of(&origins)
        .pool("persistence: {type: cookie_prefix, cookie: app, token: name}")
        .start();
    let response = lb.get("/", &[]);
    assert_eq!(
        set_cookies(&response),
        [format!("app={}~own; Path=/", response.origin())]
    );
    for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
        assert_eq!(
            cookies_at(&lb, &origins[n], &[&format!("app={name}~own")]),
            ["app=own"]
        );
    }
}

#[test]
fn a_name_may_be_any_that_a_server_can_have() {
    let name = "eu-1.example.com:8080_b";
    let (origin, other) = (Origin::with("x", sets_app), Origin::with("other", sets_app));
    let lb = Setup::new()
        .server_at(&format!("\"{name}\""), &origin.address().to_string(), "")
        .server(&other, "")
        .pool("persistence: {type: cookie_prefix, cookie: app, token: name}")
        .start();
    let cookie = (0..5)
        .map(|_| lb.get("/", &[]))
        .find(|r| r.origin() == "x")
        .and_then(|r| r.cookie("app"))
        .unwrap();
    for _ in 0..3 {
        assert_eq!(
            cookies_at(&lb, &origin, &[&format!("app={cookie}")]),
            ["app=own"]
        );
    }
}
