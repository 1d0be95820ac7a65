//! What servers are asked for instead, and what their answers say of it.

use super::{named, routed, yaml};
use crate::common::h2::H2;
use crate::common::peers::{Apache, Flask, run};
use crate::common::*;

const API: &str = "- {match: {path_prefix: /api}, pool: a, rewrite: {prefix: /v1, host: api.internal}}\n\
                   - {pool: a}\n";

#[test]
fn a_prefix_is_replaced_and_the_rest_stays() {
    let a = Origin::start("a");
    let lb = routed(API, &[&a]);
    for (target, wanted) in [
        ("/api/x", "/v1/x"),
        ("/api", "/v1"),
        ("/api/", "/v1/"),
        ("/api?x=/api", "/v1?x=/api"),
        ("/api;s=1/x;t", "/v1;s=1/x;t"),
        ("/%61pi/a%20b%25", "/v1/a%20b%25"),
    ] {
        assert_eq!(lb.get(target, &[]).status, 200);
        assert_eq!(a.last_request().target, wanted);
        assert_eq!(a.last_request().headers_of("host"), ["api.internal"]);
    }
    lb.get("/other", &[("Host", "a.test")]);
    assert_eq!(a.last_request().target, "/other");
    assert_eq!(a.last_request().headers_of("host"), ["a.test"]);
}

#[test]
fn over_http_2_it_is_the_same() {
    let a = Origin::with("a", |_| {
        Answer::status(302).header("Location", "http://api.internal/v1/y")
    });
    let lb = routed(API, &[&a]);
    let response = H2::connect(lb.web()).get("/api/x?y", &[]).unwrap();
    assert_eq!(a.last_request().target, "/v1/x?y");
    assert_eq!(a.last_request().headers_of("host"), ["api.internal"]);
    assert_eq!(response.header("location"), Some("http://a.test/api/y"));
}

#[test]
fn the_log_has_what_the_client_asked_for() {
    let a = Origin::start("a");
    let lb = routed(API, &[&a]);
    lb.get("/api/x?y", &[("Host", "a.test")]);
    let line = lb.wait_logged(|line| line["query"] == "y");
    assert_eq!(
        (&line["path"], &line["host"]),
        (&"/api/x".into(), &"a.test".into())
    );
}

#[test]
fn the_root_can_be_taken_away_or_put_before() {
    let a = Origin::start("a");
    let lb = routed(
        "- {match: {path_prefix: /strip}, pool: a, rewrite: {prefix: /}}\n\
         - {match: {path: /start}, pool: a, rewrite: {prefix: /index.html}}\n\
         - {match: {path: /dir/}, pool: a, rewrite: {prefix: /other/}}\n\
         - {match: {path_prefix: /}, pool: a, rewrite: {prefix: /app}}\n",
        &[&a],
    );
    for (target, wanted) in [
        ("/strip", "/"),
        ("/strip/x", "/x"),
        ("/start?q", "/index.html?q"),
        ("/dir/", "/other/"),
        ("/", "/app/"),
        ("/x", "/app/x"),
    ] {
        assert_eq!(lb.get(target, &[]).status, 200);
        assert_eq!(a.last_request().target, wanted, "{target}");
    }
}

#[test]
fn a_regular_expression_replaces_what_it_matches() {
    let a = Origin::start("a");
    let lb = routed(
        "- match: {path_prefix: /item}\n  pool: a\n  \
           rewrite: {regex: '^/item/([a-z]+)/([0-9]+)$', replacement: '/items?kind=$1&id=$2'}\n\
         - match: {path_prefix: /up}\n  pool: a\n  rewrite: {regex: '^/up', replacement: '/..'}\n",
        &[&a],
    );
    for (target, wanted) in [
        ("/item/cup/7", "/items?kind=cup&id=7"),
        ("/item/cup/7?x=1", "/items?kind=cup&id=7&x=1"),
        ("/item/cup", "/item/cup"),
    ] {
        assert_eq!(lb.get(target, &[]).status, 200);
        assert_eq!(a.last_request().target, wanted);
    }
    let served = a.served();
    assert_eq!(lb.get("/up/x", &[]).status, 400, "no target comes out");
    assert_eq!(a.served(), served);
}

#[test]
fn places_and_cookies_of_the_server_are_mapped_back() {
    let a = Origin::with("a", |request| {
        let mut reply = Answer::status(302);
        for (name, value) in &request.headers {
            if let Some(name) = name.strip_prefix("Say-") {
                reply = reply.header(name, value);
            }
        }
        reply
    });
    let lb = routed(API, &[&a]);
    let own = format!("http://{}/v1/x", a.address());
    let own_api = format!("http://{}/api/x", a.address());
    for (name, said, wanted) in [
        ("Location", "/v1/x?y#z", "/api/x?y#z"),
        (
            "Location",
            "http://api.internal/v1/x",
            "http://a.test:81/api/x",
        ),
        ("Location", "//API.internal/v1", "//a.test:81/api"),
        ("Location", &own, "http://a.test:81/api/x"),
        (
            "Location",
            "http://api.internal/other",
            "http://a.test:81/other",
        ),
        (
            "Location",
            "https://elsewhere.test/v1/x",
            "https://elsewhere.test/v1/x",
        ),
        ("Location", "/v1x", "/v1x"),
        ("Location", "x", "x"),
        ("Content-Location", "/v1/x", "/api/x"),
        (
            "Set-Cookie",
            "a=/v1; Path=/v1; HttpOnly",
            "a=/v1; Path=/api; HttpOnly",
        ),
        (
            "Set-Cookie",
            "a=b; Domain=api.internal",
            "a=b; Domain=a.test",
        ),
        ("Set-Cookie", "a=b; Path=/; Secure", "a=b; Path=/; Secure"),
        // It has the client's prefix already.
        ("Location", "/api/x", "/api/x"),
        ("Location", &own_api, "http://a.test:81/api/x"),
        ("Set-Cookie", "a=b; Path=/api", "a=b; Path=/api"),
        // Browsers take such a cookie for the whole host alone.
        (
            "Set-Cookie",
            "__Host-a=b; Path=/v1; Domain=api.internal",
            "__Host-a=b; Path=/v1; Domain=api.internal",
        ),
    ] {
        let say = format!("Say-{name}");
        let response = lb.get("/api/x", &[("Host", "a.test:81"), (&say, said)]);
        assert_eq!(response.headers_of(name), [wanted]);
        let response = lb.get("/x", &[("Host", "a.test:81"), (&say, said)]);
        assert_eq!(response.headers_of(name), [said], "nothing was rewritten");
    }
}

#[test]
fn our_own_session_cookie_is_not_taken_for_the_servers() {
    let a = Origin::start("a");
    let listener = "routes:\n- {match: {path_prefix: /api}, pool: a, rewrite: {prefix: /}}\n";
    let yaml = yaml(listener, &named(&[&a])).replace(
        "    health_check: null\n",
        "    health_check: null\n    persistence: {type: cookie_insert, path: /}\n",
    );
    let lb = Equipoise::start(&yaml);
    let response = lb.get("/api/x", &[]);
    let cookie = response.set_cookie("SERVERID").expect("a cookie");
    assert!(cookie.contains("; Path=/;"), "{cookie}");
}

#[test]
fn httpds_redirect_to_a_directory_leads_back_through_the_load_balancer() {
    let apache = Apache::origin("httpd", "");
    apache.dir.write("htdocs/v1/docs/index.html", "the page\n");
    let routes = "routes:\n- {match: {path_prefix: /api}, pool: a, rewrite: {prefix: /v1}}\n";
    let by_own_name = "routes:\n\
         - {match: {path_prefix: /api}, pool: a, rewrite: {prefix: /v1, host: inside.test}}\n";
    for listener in [routes, by_own_name] {
        let lb = Equipoise::start(&yaml(listener, &[("a", apache.address().to_string())]));
        let response = lb.get("/api/docs", &[]);
        assert_eq!(response.status, 301);
        let location = format!("http://{}/api/docs/", lb.web());
        assert_eq!(response.header("location"), Some(location.as_str()));
        assert_eq!(lb.get("/api/docs/", &[]).text(), "the page\n");
    }
}

/// Routes that take `/api` away, and an origin that says what `X-Say` asks for in the field of `X-Field`.
fn stripped(listener: &str) -> (Origin, Equipoise) {
    let a = Origin::with("a", |request| {
        let asked = |name| request.header(name).unwrap_or_default();
        Answer::status(201).header(asked("x-field"), asked("x-say"))
    });
    let listener = format!(
        "{listener}routes:\n- {{match: {{path_prefix: /api}}, pool: a, rewrite: {{prefix: /}}}}\n"
    );
    let lb = Equipoise::start(&yaml(&listener, &named(&[&a])));
    (a, lb)
}

#[test]
fn what_has_the_clients_prefix_gets_it_no_second_time() {
    let (_a, lb) = stripped("");
    let client = H2::connect(lb.web());
    for (field, said, wanted) in [
        ("Location", "/x", "/api/x"),
        ("Location", "/", "/api/"),
        ("Location", "/api/x?y", "/api/x?y"),
        ("Location", "/api", "/api"),
        ("Location", "/%61pi/x", "/%61pi/x"),
        ("Location", "/apix", "/api/apix"),
        ("Content-Location", "/api/x", "/api/x"),
        ("Set-Cookie", "a=b; Path=/api", "a=b; Path=/api"),
        ("Set-Cookie", "a=b; Path=/api/x", "a=b; Path=/api/x"),
        ("Set-Cookie", "a=b; Path=/", "a=b; Path=/api"),
        ("Set-Cookie", "a=b; Path=/x", "a=b; Path=/api/x"),
        ("Set-Cookie", "__Host-a=b; Path=/", "__Host-a=b; Path=/"),
        ("Set-Cookie", "__hOST-a=b; Path=/", "__hOST-a=b; Path=/"),
        (
            "Set-Cookie",
            "__Host-Http-a=b; Path=/",
            "__Host-Http-a=b; Path=/",
        ),
        (
            "Set-Cookie",
            "__Secure-a=b; Path=/",
            "__Secure-a=b; Path=/api",
        ),
    ] {
        let fields = [("x-field", field), ("x-say", said)];
        let one = lb.get("/api/x", &fields);
        let two = client.get("/api/x", &fields).unwrap();
        assert_eq!(one.headers_of(field), [wanted], "{said}");
        assert_eq!(two.headers_of(field), [wanted], "{said}");
    }
}

#[test]
fn the_clients_scheme_is_the_one_that_a_trusted_proxy_says() {
    let listener = "client_address: {trusted_proxies: [127.0.0.2/32]}\n\
         routes:\n\
         - {match: {path: /sent}, redirect: {to: '${scheme}://b.test/'}}\n\
         - match: {path_prefix: /api}\n  pool: a\n  rewrite: {prefix: /v1, host: api.internal}\n  \
           response_headers: {set: {X-Scheme: '${scheme}'}}\n";
    let a = Origin::with("a", |_| {
        Answer::status(201).header("Location", "http://api.internal/v1/x")
    });
    let yaml = yaml(listener, &named(&[&a])).replace(
        "    health_check: null\n",
        "    health_check: null\n    persistence: {type: cookie_insert, secure: auto}\n",
    );
    let lb = Equipoise::start(&yaml);
    for (from, fields, https) in [
        ("127.0.0.2", &[("X-Forwarded-Proto", "https")][..], true),
        (
            "127.0.0.2",
            &[("Forwarded", "for=192.0.2.1;proto=https")],
            true,
        ),
        ("127.0.0.2", &[("X-Forwarded-Proto", "http")], false),
        ("127.0.0.2", &[], false),
        ("127.0.0.3", &[("X-Forwarded-Proto", "https")], false),
        (
            "127.0.0.3",
            &[("Forwarded", "for=192.0.2.1;proto=https")],
            false,
        ),
    ] {
        let mut client = Client::connect_from(from.parse().unwrap(), lb.web());
        let fields = [&[("Host", "a.test")], fields].concat();
        let scheme = if https { "https" } else { "http" };
        let response = client.get("/api/x", &fields).unwrap();
        let location = format!("{scheme}://a.test/api/x");
        assert_eq!(response.header("location"), Some(&*location), "{fields:?}");
        assert_eq!(response.header("x-scheme"), Some(scheme), "{fields:?}");
        let cookie = response.set_cookie("SERVERID").unwrap();
        assert_eq!(cookie.contains("; Secure"), https, "{fields:?}: {cookie}");
        let sent = client.get("/sent", &fields).unwrap();
        let location = format!("{scheme}://b.test/");
        assert_eq!(sent.header("location"), Some(&*location), "{fields:?}");
    }
}

#[test]
fn flask_behind_a_prefix_that_it_knows() {
    let flask = Flask::start();
    let listener = "routes:\n- match: {path_prefix: /api}\n  pool: a\n  rewrite: {prefix: /}\n  \
                    request_headers: {set: {X-Forwarded-Prefix: /api}}\n";
    let lb = Equipoise::start(&yaml(listener, &[("a", flask.address().to_string())]));
    assert_eq!(lb.get("/api/login", &[]).text(), "the login page");
    let away = lb.get("/api/away", &[("Host", "a.test")]);
    assert_eq!(away.header("location"), Some("/api/login"), "{away}");
    let outside = lb.get("/api/away/outside", &[("Host", "a.test:81")]);
    assert_eq!(
        outside.header("location"),
        Some("http://a.test:81/api/login")
    );
    let cookies = lb.get("/api/cookie", &[]);
    assert_eq!(cookies.set_cookie("app"), Some("app=1; Path=/api"));
    assert_eq!(
        cookies.set_cookie("__Host-app"),
        Some("__Host-app=1; Path=/; Secure")
    );
}

#[test]
fn webdav_moves_and_copies_behind_another_path_and_host() {
    let httpd = Apache::webdav("dav.internal");
    let listener = "client_address: {trusted_proxies: [127.0.0.0/8]}\nroutes:\n\
         - {match: {path_prefix: /dav}, pool: a, rewrite: {prefix: /files, host: dav.internal}}\n";
    let lb = Equipoise::start(&yaml(listener, &[("a", httpd.address().to_string())]));
    let url = |path: &str| format!("http://{}{path}", lb.web());
    let curl = |method: &str, from: &str, to: &str, more: &[&str]| {
        let (from, to) = (url(from), format!("Destination: {to}"));
        let mut args = vec!["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", method];
        args.extend(["-H", &to, &from]);
        args.extend(more);
        run("curl", &args)
    };
    let mut client = lb.client();
    let put = client.request("PUT", "/dav/one", &[], b"one").unwrap();
    assert_eq!(put.status, 201, "{put}");
    assert_eq!(curl("COPY", "/dav/one", &url("/dav/two"), &[]), "201");
    assert_eq!(curl("MOVE", "/dav/two", &url("/dav/a%20three"), &[]), "201");
    let h2c = "--http2-prior-knowledge";
    assert_eq!(curl("COPY", "/dav/one", &url("/dav/four"), &[h2c]), "201");
    // A proxy in front speaks TLS to the client, so that is what the client calls its places.
    let five = url("/dav/five").replace("http:", "https:");
    assert_eq!(curl("COPY", "/dav/one", &five, &[]), "201");
    for name in ["one", "a three", "four", "five"] {
        let file = httpd.dir.path().join("htdocs/files").join(name);
        assert_eq!(std::fs::read_to_string(file).unwrap(), "one", "{name}");
    }
    assert!(!httpd.dir.path().join("htdocs/files/two").exists());
    // Beside what the route leads to.
    for to in ["/other", "/dav/../other", "/files/six"] {
        let to = url(to);
        assert_eq!(curl("COPY", "/dav/one", &to, &[]), "400", "{to}");
    }
}
