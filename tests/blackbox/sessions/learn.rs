//! `learn`: which server set which value of the backend's cookie.

use super::*;

const LEARN: &str = "persistence: {type: learn, cookie: app}";

/// `/set?LINE` sets a cookie (`_` = a space).
fn on_demand(request: &Request) -> Answer {
    match request.target.split_once("?set=") {
        Some((_, line)) => Answer::ok().header("Set-Cookie", &line.replace('_', " ")),
        None => Answer::ok(),
    }
}

#[test]
fn what_a_server_set_leads_back_to_it() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(LEARN).start();
    let mut seen = Vec::new();
    for n in 0..6 {
        let line = format!("/?set=app=id{n};_Path=/");
        seen.push(lb.get(&line, &[]).origin().to_owned());
    }
    assert_eq!(entries(&lb), 6.0);
    for (n, server) in seen.iter().enumerate() {
        let (response, word) = ask(&lb, "/", &[("Cookie", &format!("x=1; app=id{n}"))]);
        assert_eq!((response.origin(), &*word), (&**server, "hit"));
    }
    for unknown in ["app=id", "app=id66", "xapp=id1", "APP=id1", "app=ID1"] {
        assert_eq!(ask(&lb, "/", &[("Cookie", unknown)]).1, "miss", "{unknown}");
    }
    assert_eq!(ask(&lb, "/", &[]).1, "miss");
}

#[test]
fn neither_message_is_touched() {
    let origins = three_with(|_| {
        Answer::ok()
            .header("Set-Cookie", "x=\"1 2\"")
            .header("Set-Cookie", "app=v;path=/;  httponly")
            .header("Cache-Control", "public")
    });
    let lb = Setup::of(&origins).pool(LEARN).start();
    let response = lb.get("/", &[]);
    assert_eq!(
        set_cookies(&response),
        ["x=\"1 2\"", "app=v;path=/;  httponly"]
    );
    assert_eq!(response.header("cache-control"), Some("public"));
    let origin = origins
        .iter()
        .find(|o| o.name() == response.origin())
        .unwrap();
    let lines = ["x=\"1 2\";app=v;;  y", "z=3"];
    assert_eq!(cookies_at(&lb, origin, &lines), lines);
}

#[test]
fn the_last_server_that_set_it_counts() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(LEARN).start();
    let first = lb.get("/?set=app=same", &[]).origin().to_owned();
    let last = lb.get("/?set=app=same", &[]).origin().to_owned();
    assert_ne!(first, last, "round robin");
    assert_eq!(lb.get("/", &[("Cookie", "app=same")]).origin(), last);
    assert_eq!(entries(&lb), 1.0);
}

#[test]
fn of_several_cookies_the_first_known_one_counts() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(LEARN).start();
    let server = lb.get("/?set=app=known", &[]).origin().to_owned();
    for _ in 0..3 {
        let response = lb.get("/", &[("Cookie", "app=unknown; app=known")]);
        assert_eq!(response.origin(), server);
    }
}

#[test]
fn a_deleted_cookie_is_forgotten() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(LEARN).start();
    for delete in [
        "app=id;_Max-Age=0",
        "app=id;_Expires=Thu,_01_Jan_1970_00:00:00_GMT",
        "app=;_Max-Age=0",
    ] {
        lb.get("/?set=app=id", &[]);
        assert_eq!(ask(&lb, "/", &[("Cookie", "app=id")]).1, "hit");
        // The browser sends it along when the application ends the session.
        lb.get(&format!("/?set={delete}"), &[("Cookie", "app=id")]);
        assert_eq!(
            ask(&lb, "/", &[("Cookie", "app=id")]).1,
            "miss",
            "after {delete}"
        );
        assert_eq!(entries(&lb), 0.0);
    }
}

#[test]
fn an_idle_session_ends_and_an_active_one_stays() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins)
        .pool("persistence: {type: learn, cookie: app, timeout: 2s}")
        .start();
    let active = lb.get("/?set=app=active", &[]).origin().to_owned();
    lb.get("/?set=app=idle", &[]);
    assert_eq!(entries(&lb), 2.0);
    eventually(SOON, || {
        assert_eq!(lb.get("/", &[("Cookie", "app=active")]).origin(), active);
        entries(&lb) == 1.0
    });
    assert_eq!(ask(&lb, "/", &[("Cookie", "app=active")]).1, "hit");
    assert_ne!(ask(&lb, "/", &[("Cookie", "app=idle")]).1, "hit");
    // And with nobody asking, nothing is left.
    eventually(SOON, || entries(&lb) == 0.0);
}

#[test]
fn a_session_ends_at_its_maximal_lifetime_however_active() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins)
        .pool("persistence: {type: learn, cookie: app, timeout: 60s, max_lifetime: 2s}")
        .start();
    lb.get("/?set=app=id", &[]);
    assert_eq!(ask(&lb, "/", &[("Cookie", "app=id")]).1, "hit");
    eventually(SOON, || ask(&lb, "/", &[("Cookie", "app=id")]).1 != "hit");
}

/// A replicated application keeps its session id: the session stays where it was moved to.
#[test]
fn a_moved_session_that_keeps_its_id_stays_where_it_is() {
    let origins = three_with(on_demand);
    let lb = Setup::of(&origins).pool(LEARN).start();
    let server = lb.get("/?set=app=id", &[]).origin().to_owned();
    let origin = origins.iter().find(|o| o.name() == server).unwrap();
    origin.stop();
    let (response, word) = ask(&lb, "/", &[("Cookie", "app=id")]);
    assert_eq!(word, "rebalanced");
    let moved = response.origin().to_owned();
    origin.restart();
    for _ in 0..4 {
        let (response, word) = ask(&lb, "/", &[("Cookie", "app=id")]);
        assert_eq!((response.origin(), &*word), (&*moved, "hit"));
    }
}
