//! SPEC section 8: error pages, request ids, and the Server field.

use crate::common::h2::H2;
use crate::common::*;

const TRUSTING: &str = "client_address: {trusted_proxies: [127.0.0.2/32]}";

/// One whose pool has a server that refuses, with pages for 502, 414, 400 and 503.
fn with_pages(more: &str) -> (Origin, Equipoise) {
    let dir = TempDir::new("pages");
    dir.write(
        "down.html",
        "<p>Sorry (${status}), ask for ${request_id}. ${host}",
    );
    dir.write("long.txt", "too long");
    dir.write("bad.json", "{\"sorry\": \"${request_id}\"}");
    let origin = Origin::stopped("a");
    let lb = Setup::of([&origin])
        .listener(&format!(
            "http: {{error_pages: {{502: @DIR@/down.html, 414: @DIR@/long.txt, 400: @DIR@/bad.json}}{more}}}"
        ))
        .start_in(dir);
    (origin, lb)
}

#[test]
fn a_configured_page_stands_in_for_ours_with_its_variables_filled_in() {
    let (_origin, lb) = with_pages("");
    let expected = |id: &str| format!("<p>Sorry (502), ask for {id}. ${{host}}");
    let mut client = lb.client();
    let response = client.get("/", &[("Accept", "text/html")]).unwrap();
    let id = response.header("x-request-id").unwrap().to_owned();
    assert_eq!(response.status, 502);
    assert_eq!(
        response.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.text(), expected(&id));
    assert_eq!(
        lb.wait_logged(|line| line["request_id"] == id)["status"],
        502
    );

    let response = H2::connect(lb.web()).get("/", &[]).unwrap();
    let id = response.header("x-request-id").unwrap();
    assert_eq!(response.text(), expected(id));

    let head = lb.client().request("HEAD", "/", &[], b"").unwrap();
    assert_eq!(head.status, 502);
    let length = expected(&"x".repeat(32)).len().to_string();
    assert_eq!(head.header("content-length"), Some(&*length));

    let mut old = lb.client();
    old.send("GET / HTTP/1.0\r\n\r\n").unwrap();
    let response = old.read_response(false).unwrap();
    assert_eq!(
        response.text(),
        expected(response.header("x-request-id").unwrap())
    );
    assert!(old.is_closed_by_peer());
}

#[test]
fn who_asks_for_json_gets_json() {
    let (_origin, lb) = with_pages("");
    let response = lb.get("/", &[("Accept", "application/json")]);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.json()["status"], 502);
    assert_eq!(
        response.json()["request_id"].as_str(),
        response.header("x-request-id")
    );
    // A page that is JSON itself is for everybody.
    let mut client = lb.client();
    client
        .send("GET / HTTP/1.1\r\nAccept: text/html\r\n\r\n")
        .unwrap();
    let response = client.read_response(false).unwrap();
    assert_eq!(response.status, 400);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(
        response.json()["sorry"].as_str(),
        response.header("x-request-id")
    );
}

#[test]
fn what_is_refused_before_it_is_read_gets_its_page_too() {
    let (_origin, lb) = with_pages("");
    let long = format!("/{}", "a".repeat(17 * 1024));
    let one = lb.get(&long, &[]);
    let two = H2::connect(lb.web()).get(&long, &[]).unwrap();
    for response in [one, two] {
        assert_eq!(
            (response.status, response.text().as_str()),
            (414, "too long")
        );
        assert_eq!(
            response.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
    }
    // HTTP/2's refusals know what their clients asked for.
    let json = H2::connect(lb.web())
        .get(&long, &[("accept", "application/json")])
        .unwrap();
    assert_eq!(json.json()["status"], 414);
}

#[test]
fn what_servers_answer_is_never_replaced() {
    let (origin, lb) = with_pages("");
    origin.restart();
    origin.script(|_| Answer::status(502));
    assert_eq!(lb.get("/", &[]).text(), "a");
}

#[test]
fn a_status_without_a_page_has_ours() {
    let (origin, lb) = with_pages(", max_body_size: 10");
    origin.restart();
    let response = lb.client().request("POST", "/", &[], &[b'x'; 100]).unwrap();
    assert_eq!(response.status, 413);
    assert!(
        response.text().contains("413 Payload Too Large"),
        "{response}"
    );
}

#[test]
fn a_reload_takes_up_a_changed_page() {
    let (_origin, lb) = with_pages("");
    std::fs::write(lb.dir().join("down.html"), "later").unwrap();
    assert_ne!(lb.get("/", &[]).text(), "later");
    lb.signal(nix::sys::signal::Signal::SIGHUP);
    eventually(SOON, || lb.get("/", &[]).text() == "later");
}

#[test]
fn the_server_field_is_as_configured_on_every_response() {
    let origin = Origin::with("a", |_| Answer::ok().header("Server", "Tomcat"));
    let fields = |listener: &str, response: fn(&Equipoise) -> Response| {
        let lb = Setup::of([&origin]).listener(listener).start();
        let lines = response(&lb);
        lines.headers_of("server").join("|")
    };
    let passed: fn(&Equipoise) -> Response = |lb| lb.get("/", &[]);
    let passed_h2: fn(&Equipoise) -> Response = |lb| H2::connect(lb.web()).get("/", &[]).unwrap();
    let too_long: fn(&Equipoise) -> Response = |lb| lb.get(&"/a".repeat(10_000), &[]);
    let too_long_h2: fn(&Equipoise) -> Response = |lb| {
        H2::connect(lb.web())
            .get(&"/a".repeat(10_000), &[])
            .unwrap()
    };
    let too_large: fn(&Equipoise) -> Response =
        |lb| lb.client().request("POST", "/", &[], &[0; 20]).unwrap();
    for (server, passed_on, own) in [
        ("", "Tomcat", ""),
        (", server_header: null", "Tomcat", ""),
        (", server_header: edge", "edge", "edge"),
        (", server_header: \"\"", "", ""),
    ] {
        let listener = format!("http: {{max_body_size: 10{server}}}");
        for (response, expected) in [
            (passed, passed_on),
            (passed_h2, passed_on),
            (too_long, own),
            (too_long_h2, own),
            (too_large, own),
        ] {
            assert_eq!(fields(&listener, response), expected, "{server}");
        }
    }
    let lb = Setup::of([&origin])
        .listener("redirect_https: true\nhttp: {server_header: edge}")
        .start();
    let redirect = lb.get("/", &[]);
    assert_eq!(
        (redirect.status, redirect.header("server")),
        (308, Some("edge"))
    );
}

#[test]
fn a_request_id_is_the_same_in_the_log_at_the_server_and_on_the_page() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).listener(TRUSTING).start();
    lb.get("/ours", &[("X-Request-Id", "forged")]);
    let given = origin.last_request().headers_of("x-request-id").join("|");
    assert!(
        given.len() == 32 && given.bytes().all(|b| b.is_ascii_hexdigit()),
        "{given}"
    );
    assert_eq!(
        lb.wait_logged(|line| line["path"] == "/ours")["request_id"],
        given
    );

    let mut proxy = Client::connect_from("127.0.0.2".parse().unwrap(), lb.web());
    proxy
        .get("/theirs", &[("X-Request-Id", "trace-1.2:3")])
        .unwrap();
    assert_eq!(
        origin.last_request().headers_of("x-request-id"),
        ["trace-1.2:3"]
    );
    let line = lb.wait_logged(|line| line["path"] == "/theirs");
    assert_eq!(line["request_id"], "trace-1.2:3");
    // What nobody should write into a log or a page isn't taken over from anybody.
    for odd in ["<script>", "a b", &"x".repeat(200)] {
        proxy.get("/odd", &[("X-Request-Id", odd)]).unwrap();
        let id = origin.last_request().headers_of("x-request-id").join("|");
        assert_eq!(id.len(), 32, "{odd}: {id}");
    }
    origin.stop();
    let page = proxy.get("/page", &[("X-Request-Id", "trace-2")]).unwrap();
    assert_eq!(page.header("x-request-id"), Some("trace-2"));
    assert!(page.text().contains("trace-2"), "{page}");
}

#[test]
fn a_refused_request_has_an_id_on_its_page_and_in_the_log() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).start();
    for raw in [
        "GET / HTTP/1.1\r\n\r\n",
        "nonsense\r\n\r\n",
        "GET / HTTP/3.0\r\nHost: a\r\n\r\n",
    ] {
        let mut client = lb.client();
        client.send(raw).unwrap();
        let response = client.read_response(false).unwrap();
        let id = response.header("x-request-id").unwrap().to_owned();
        assert!(response.text().contains(&id), "{response}");
        lb.wait_logged(|line| line["request_id"] == id && line["status"] == response.status);
    }
}

/// Requests that routes refuse, each with a page of its own.
const ROUTES: &str = "routes:
  - {match: {path_prefix: /denied}, deny: [0.0.0.0/0]}
  - {match: {path_prefix: /often}, rate_limit: {rate: 1/h, burst: 1}}
  - {match: {path_prefix: /secret}, basic_auth: {htpasswd_file: @DIR@/htpasswd}}
  - {match: {path_prefix: /here}, respond: {status: 200, body: here}, response_headers: {set: {Server: route}}}
  - {match: {path_prefix: /there}, response_headers: {set: {Server: route}}}
http:
  server_header: edge
  error_pages: {401: @DIR@/page, 403: @DIR@/page, 405: @DIR@/page, 429: @DIR@/page}";

#[test]
fn what_routes_refuse_has_its_page_and_its_word_in_the_log() {
    let dir = TempDir::new("pages");
    dir.write("page", "sorry ${status} ${request_id}");
    dir.write(
        "htpasswd",
        "user:$2y$04$CBYZ4oM1cBcnJVtrDKBTLeXBHNy8M3JTvFZLYWBLzAKdkQR3I8Yli\n",
    );
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).listener(ROUTES).start_in(dir);
    let h2 = H2::connect(lb.web());
    assert_eq!(lb.get("/often", &[]).status, 200);
    for (path, method, status, word) in [
        ("/denied", "GET", 403, "denied"),
        ("/often", "GET", 429, "rate_limited"),
        ("/secret", "GET", 401, "denied"),
        ("/", "TRACE", 405, "unsupported"),
    ] {
        let one = lb.client().request(method, path, &[], b"").unwrap();
        let two = h2.request(method, path, &[], b"").unwrap();
        for response in [one, two] {
            let id = response.header("x-request-id").unwrap();
            assert_eq!(response.status, status, "{path}");
            assert_eq!(response.text(), format!("sorry {status} {id}"), "{path}");
            assert_eq!(response.headers_of("server"), ["edge"], "{path}");
            let line = lb.wait_logged(|line| line["request_id"] == id);
            assert_eq!(
                (&line["status"], &line["termination"]),
                (&status.into(), &word.into()),
                "{line}"
            );
        }
    }
}

#[test]
fn a_routes_own_server_field_comes_before_the_listeners() {
    let dir = TempDir::new("pages");
    dir.write("page", "");
    dir.write(
        "htpasswd",
        "user:$2y$04$CBYZ4oM1cBcnJVtrDKBTLeXBHNy8M3JTvFZLYWBLzAKdkQR3I8Yli\n",
    );
    let origin = Origin::start("a");
    let lb = Setup::of([&origin]).listener(ROUTES).start_in(dir);
    for (path, expected) in [("/here", "route"), ("/there", "route"), ("/", "edge")] {
        assert_eq!(lb.get(path, &[]).headers_of("server"), [expected], "{path}");
    }
}
