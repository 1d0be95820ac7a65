//! `route` with `insert`: we set the cookie that names the route, as httpd's manual does with `ROUTEID`.

use super::*;

const INSERT: &str = "persistence: {type: route, insert: {cookie: ROUTEID}}";

/// Begins a session; whose it is and its cookie line.
#[track_caller]
fn begin(lb: &Equipoise) -> (String, String) {
    let response = lb.get("/", &[]);
    let line = response
        .set_cookie("ROUTEID")
        .unwrap_or_else(|| panic!("no cookie: {response}"));
    (response.origin().to_owned(), line.to_owned())
}

#[test]
fn the_cookie_names_the_route_and_is_followed() {
    let origins = three();
    let lb = Setup::of(&origins).pool(INSERT).start();
    for _ in 0..3 {
        let (server, line) = begin(&lb);
        let pair = line.split(';').next().unwrap();
        assert_eq!(pair, format!("ROUTEID=.{server}"));
        for _ in 0..3 {
            let (response, word) = ask(&lb, "/", &[("Cookie", pair)]);
            assert_eq!((response.origin(), &*word), (&*server, "hit"));
            assert_eq!(
                set_cookies(&response),
                Vec::<&str>::new(),
                "the route hasn't changed"
            );
            assert_eq!(response.header("cache-control"), None);
        }
    }
}

#[test]
fn it_has_the_default_attributes() {
    let origins = three();
    let lb = Setup::of(&origins).pool(INSERT).start();
    let (_, line) = begin(&lb);
    let attributes: Vec<_> = line.split("; ").skip(1).map(str::to_lowercase).collect();
    assert!(attributes.contains(&"path=/".to_owned()), "{line}");
    assert!(attributes.contains(&"httponly".to_owned()), "{line}");
    for unwanted in ["max-age", "expires", "domain", "secure"] {
        assert!(
            !attributes.iter().any(|a| a.starts_with(unwanted)),
            "{line}"
        );
    }
}

#[test]
fn what_sets_it_is_private_to_the_client() {
    let origins = three_with(|_| Answer::ok().header("Cache-Control", "public, max-age=60"));
    let lb = Setup::of(&origins).pool(INSERT).start();
    let set = lb.get("/", &[]);
    assert!(set.has_token("cache-control", "private"), "{set}");
    assert!(!set.has_token("cache-control", "public"), "{set}");
    let bound = lb.get("/", &[("Cookie", "ROUTEID=.b")]);
    assert_eq!(bound.header("cache-control"), Some("public, max-age=60"));
}

#[test]
fn it_comes_before_the_applications_own() {
    let origins = three();
    let lb = Setup::of(&origins).pool(INSERT).start();
    let response = lb.get(
        "/p;jsessionid=0.c",
        &[("Cookie", "JSESSIONID=0.a; ROUTEID=.b")],
    );
    assert_eq!(response.origin(), "b");
    assert_eq!(response.set_cookie("ROUTEID"), None);
    // The application's alone is followed too, and gets ours beside it.
    let response = lb.get("/", &[("Cookie", "JSESSIONID=0.c")]);
    assert_eq!(response.origin(), "c");
    assert_eq!(response.cookie("ROUTEID").as_deref(), Some(".c"));
}

#[test]
fn a_route_that_is_not_known_is_replaced() {
    let origins = three();
    let lb = Setup::of(&origins).pool(INSERT).start();
    for cookie in ["ROUTEID=.nobody", "ROUTEID=b", "ROUTEID="] {
        let (response, word) = ask(&lb, "/", &[("Cookie", cookie)]);
        assert_ne!(word, "hit", "{cookie}");
        assert_eq!(
            response.cookie("ROUTEID"),
            Some(format!(".{}", response.origin()))
        );
    }
}

#[test]
fn it_uses_the_servers_route_and_the_separator() {
    let origin = Origin::start("a");
    let lb = Setup::new()
        .server(&origin, "route: jvm1")
        .pool("persistence: {type: route, separator: \"!\", insert: {cookie: ROUTEID}}")
        .start();
    let (_, line) = begin(&lb);
    assert!(line.starts_with("ROUTEID=!jvm1;"), "{line}");
    assert_eq!(ask(&lb, "/", &[("Cookie", "ROUTEID=!jvm1")]).1, "hit");
}

#[test]
fn the_backends_own_cookies_stay_and_the_request_is_untouched() {
    let origins = three_with(|_| {
        Answer::ok()
            .header("Set-Cookie", "JSESSIONID=0A.b; Path=/")
            .header("Set-Cookie", "x=\"1 2\"")
    });
    let lb = Setup::of(&origins).pool(INSERT).start();
    let response = lb.get("/", &[]);
    assert_eq!(
        set_cookies(&response)[..2],
        ["JSESSIONID=0A.b; Path=/", "x=\"1 2\""]
    );
    assert_eq!(set_cookies(&response).len(), 3);
    let lines = ["x=1;ROUTEID=.b;  y=\"2\"", "z=3"];
    assert_eq!(cookies_at(&lb, &origins[1], &lines), lines);
}

#[test]
fn it_has_the_configured_attributes() {
    let origins = three();
    let lb = Setup::of(&origins)
        .pool("persistence: {type: route, insert: {cookie: ROUTEID, path: /shop, domain: example.com, secure: true, http_only: false, same_site: strict}}")
        .start();
    let (_, line) = begin(&lb);
    let mut attributes: Vec<_> = line.split("; ").skip(1).map(str::to_lowercase).collect();
    attributes.sort();
    assert_eq!(
        attributes,
        [
            "domain=example.com",
            "path=/shop",
            "samesite=strict",
            "secure"
        ],
        "{line}"
    );
}
