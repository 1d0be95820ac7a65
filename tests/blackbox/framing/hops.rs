//! Fields for one hop, and fields that are ours (RFC 9110 sections 7.6, 7.8, 10.1.1).

use super::case::{Case, check, cut, forwarded, get, post, refused};
use crate::common::*;

const LINE: &str = "GET /x HTTP/1.1";
const POST: &str = "POST /x HTTP/1.1";

fn passes(what: &str, fields: &str) -> Case {
    forwarded(what, &get(fields), LINE, "", "")
}

#[test]
fn what_is_for_one_hop_stays_there() {
    // That none of these arrives is looked at in every row of the table.
    let mut cases = Vec::new();
    for fields in [
        "Keep-Alive: timeout=5\r\n",
        "Connection: keep-alive\r\n",
        "Connection: Keep-Alive, X\r\nX: y\r\n",
        "Proxy-Connection: keep-alive\r\n",
        "Proxy-Connection: close\r\n",
        "Proxy-Authorization: Basic eDp5\r\n",
        "Proxy-Authenticate: Basic\r\n",
        "TE: trailers\r\n",
        "TE: gzip, trailers\r\nConnection: TE\r\n",
        "Trailer: X\r\n",
        "Upgrade: h2c\r\n",
        "Upgrade: h2c\r\nConnection: Upgrade\r\n",
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings\r\n",
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nConnection: Upgrade\r\n",
        "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "Upgrade: TLS/1.2\r\nConnection: Upgrade\r\n",
        "Upgrade: h2c, foo/1\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket\r\n",
        "Upgrade: websocket\r\nConnection: keep-alive\r\n",
        "Upgrade: h2c;q=1\r\nConnection: Upgrade\r\n",
        "Upgrade: h2c x\r\nConnection: Upgrade\r\n",
        "Upgrade: \"h2c\"\r\nConnection: Upgrade\r\n",
        "Upgrade: foo, H2C\r\nConnection: Upgrade\r\n",
        "Upgrade: HTTP/2.0\r\nConnection: Upgrade\r\n",
        "Upgrade: foo\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n",
        "Upgrade:\r\nConnection: Upgrade\r\n",
        "Connection: upgrade\r\n",
        "Connection:\r\n",
        "Connection: ,,, ,\r\n",
        "Connection: X, Y\r\nConnection: Z\r\nX: 1\r\nY: 2\r\nZ: 3\r\n",
    ] {
        cases.push(passes(fields, fields).lacks("x").lacks("y").lacks("z"));
    }
    let many: String = (0..30).map(|n| format!("X-{n}, ")).collect();
    let all: String = (0..30).map(|n| format!("X-{n}: y\r\n")).collect();
    let fields = format!("Connection: {many}\r\n{all}");
    cases.push(passes("thirty names", &fields).lacks("x-0").lacks("x-29"));
    cases.push(passes("close", "Connection: close\r\n").last());
    cases.push(
        passes("close, last", "Connection: X, close\r\nX: y\r\n")
            .lacks("x")
            .last(),
    );
    check(&cases);
}

#[test]
fn nobody_has_fields_dropped_that_servers_rely_on() {
    let address = "127.0.0.1";
    let mut cases = Vec::new();
    for name in ["X-Forwarded-For", "x-forwarded-for", "X-FORWARDED-FOR"] {
        let fields = format!("Connection: close, {name}\r\n");
        cases.push(
            passes(&fields, &fields)
                .has("x-forwarded-for", address)
                .last(),
        );
    }
    for name in [
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Request-Id",
    ] {
        let fields = format!("Connection: {name}\r\n");
        let value = match name {
            "X-Forwarded-Proto" => "http",
            "X-Forwarded-Host" => "a.test",
            _ => {
                cases.push(passes(&fields, &fields));
                continue;
            }
        };
        cases.push(passes(&fields, &fields).has(name, value));
    }
    for (name, value) in [
        ("Cookie", "a=b"),
        ("Authorization", "Basic eDp5"),
        ("Content-Type", "text/plain"),
        ("Content-Encoding", "gzip"),
        (
            "Traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ] {
        let fields = format!("Connection: keep-alive, {name}\r\n{name}: {value}\r\n");
        cases.push(passes(&fields, &fields).has(name, value));
    }
    cases.push(passes("Host", "Connection: Host\r\n").has("host", "a.test"));
    let fields = "Connection: Content-Length\r\nContent-Length: 5\r\n";
    cases.push(forwarded(
        fields,
        &post(fields, "hello"),
        POST,
        "Content-Length: 5",
        "hello",
    ));
    let fields = "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n";
    let wire = post(fields, "5\r\nhello\r\n0\r\n\r\n");
    cases.push(forwarded(
        fields,
        &wire,
        POST,
        "Transfer-Encoding: chunked",
        "hello",
    ));
    check(&cases);
}

#[test]
fn options_of_a_connection_are_names() {
    let mut cases = Vec::new();
    for options in [
        "\"X-Forwarded-For\"",
        "X-Forwarded-For:",
        ":authority",
        "X Y",
        "X/1",
        "(X)",
        "X;q=1",
        "\u{e9}",
        "close; X",
        "[X]",
        "X=Y",
    ] {
        let fields = format!("Connection: {options}\r\n");
        cases.push(refused(400, options, &get(&fields)));
    }
    let many: String = (0..101).map(|n| format!("X-{n}, ")).collect();
    cases.push(refused(
        400,
        "more than anybody needs",
        &get(&format!("Connection: {many}\r\n")),
    ));
    check(&cases);
}

#[test]
fn a_websocket_is_asked_for_by_get_without_a_body_or_not_at_all() {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let asks = format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{key}");
    let upgrade = |what: &str, fields: &str| {
        passes(what, fields)
            .has("upgrade", "websocket")
            .has("connection", "Upgrade")
            .upgrade()
    };
    let mut cases = vec![
        upgrade("plain", &asks),
        upgrade(
            "in a list",
            &format!("Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n{key}"),
        ),
        upgrade(
            "among others",
            &format!("Connection: upgrade\r\nUpgrade: h2c, websocket\r\n{key}"),
        ),
    ];
    let wire = post(&format!("{asks}Content-Length: 5\r\n"), "hello");
    cases.push(forwarded("POST", &wire, POST, "Content-Length: 5", "hello"));
    let wire = format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{asks}Content-Length: 5\r\n\r\nhello");
    cases.push(forwarded(
        "GET with a body",
        &wire,
        LINE,
        "Content-Length: 5",
        "hello",
    ));
    let wire = format!(
        "GET /x HTTP/1.1\r\nHost: a.test\r\n{asks}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    );
    cases.push(forwarded(
        "GET with chunks",
        &wire,
        LINE,
        "Transfer-Encoding: chunked",
        "",
    ));
    let wire = format!("HEAD /x HTTP/1.1\r\nHost: a.test\r\n{asks}\r\n");
    cases.push(forwarded("HEAD", &wire, "HEAD /x HTTP/1.1", "", ""));
    let wire = format!("GET /x HTTP/1.0\r\nHost: a.test\r\n{asks}\r\n");
    cases.push(forwarded("HTTP/1.0", &wire, LINE, "", "").last());
    check(&cases);
}

#[test]
fn an_expectation_is_100_continue_or_failed() {
    let mut cases = Vec::new();
    for value in [
        "",
        "200-ok",
        "100",
        "continue",
        "100-continue, 100-continue",
        "100-continue,",
        ", 100-continue",
        "y 100-continue",
        "100-continue y",
        "100-continue;q=1",
        "\"100-continue\"",
        "100_continue",
        "100 continue",
        "100-continu\u{e9}",
        "x=y",
        "\u{a0}100-continue",
    ] {
        let fields = format!("Expect: {value}\r\nContent-Length: 5\r\n");
        cases.push(refused(417, &format!("{value:?}"), &post(&fields, "hello")));
        cases.push(refused(
            417,
            &format!("{value:?}, no body"),
            &get(&format!("Expect: {value}\r\n")),
        ));
    }
    let twice = "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 5\r\n";
    cases.push(refused(417, "twice", &post(twice, "hello")));
    let folded = "Expect:\r\n 100-continue\r\nContent-Length: 5\r\n";
    cases.push(refused(400, "folded", &post(folded, "hello")));
    for value in ["100-continue", "100-Continue", "100-CONTINUE"] {
        let fields = format!("Expect: {value}\r\nContent-Length: 5\r\n");
        let wire = post(&fields, "hello");
        cases
            .push(forwarded(value, &wire, POST, "Content-Length: 5", "hello").has("expect", value));
    }
    let chunked = "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n";
    let wire = post(chunked, "5\r\nhello\r\n0\r\n\r\n");
    cases.push(
        forwarded("chunks", &wire, POST, "Transfer-Encoding: chunked", "hello")
            .has("expect", "100-continue"),
    );
    cases.push(cut(
        400,
        "bad chunks",
        &post(chunked, "5\r\nhelloX\r\n0\r\n\r\n"),
    ));
    // Nothing is to be continued (RFC 9110 section 10.1.1).
    cases.push(passes("no body", "Expect: 100-continue\r\n").lacks("expect"));
    let wire = post("Expect: 100-continue\r\nContent-Length: 0\r\n", "");
    cases.push(forwarded("an empty body", &wire, POST, "Content-Length: 0", "").lacks("expect"));
    let wire = "POST /x HTTP/1.0\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello";
    cases.push(
        forwarded("HTTP/1.0", wire, POST, "Content-Length: 5", "hello")
            .lacks("expect")
            .last(),
    );
    check(&cases);
}

#[test]
fn names_that_cgi_takes_for_ours_are_dropped() {
    let mut cases = Vec::new();
    for name in [
        "X_Forwarded_For",
        "x_forwarded-for",
        "X.Forwarded.For",
        "X~Forwarded~For",
        "X_Forwarded_Proto",
        "X_Forwarded_Host",
        "X_Forwarded_Anything",
        "X_Real_IP",
        "X.Real.IP",
        "X_Request_Id",
        "X.Request.ID",
        "X_Client_Cert_Subject",
        "X.Client.Cert.Verify",
        "Proxy",
        "PROXY",
        "X_Forwarded.Port",
    ] {
        let fields = format!("{name}: 1.2.3.4\r\n");
        cases.push(
            passes(&fields, &fields)
                .lacks(name)
                .has("x-forwarded-for", "127.0.0.1"),
        );
    }
    for name in [
        "X_Forwarde",
        "Forward_ed",
        "Proxy_",
        "X_Real_Ips",
        "My_X_Forwarded_For",
        "X_Request_Ids",
    ] {
        let fields = format!("{name}: 1.2.3.4\r\n");
        cases.push(passes(&fields, &fields).has(name, "1.2.3.4"));
    }
    check(&cases);
}

#[test]
fn a_server_that_switches_protocols_unasked_is_not_believed() {
    let origin = Origin::with("a", |_| {
        Answer::Raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nsmuggled".to_vec())
    });
    let lb = Setup::of([&origin]).start();
    for fields in [
        "",
        "Upgrade: h2c\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket\r\n",
        "Upgrade: foo, websocket/1\r\nConnection: Upgrade\r\n",
    ] {
        let mut client = lb.client();
        client.send(get(fields)).unwrap();
        assert_eq!(
            client.read_response(false).unwrap().status,
            502,
            "{fields:?}"
        );
    }
    lb.wait_idle();
}
