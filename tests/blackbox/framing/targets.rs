//! Targets (RFC 9112 section 3.2) and the host that they are of (RFC 9110 section 7.2).

use super::case::{Case, check, forwarded, refused};

fn with(line: &str, fields: &str) -> String {
    format!("{line}\r\n{fields}\r\n")
}

#[test]
fn a_server_gets_the_origin_form_and_the_targets_host() {
    let rows = [
        ("/", "GET /"),
        ("/x?y=z", "GET /x?y=z"),
        ("/x?http://b.test/", "GET /x?http://b.test/"),
        ("/x:80", "GET /x:80"),
        ("/x@y", "GET /x@y"),
        ("http://a.test/x?y", "GET /x?y"),
        ("http://a.test/", "GET /"),
        ("http://a.test", "GET /"),
        ("http://a.test?y", "GET /?y"),
        ("http://a.test/?y", "GET /?y"),
        ("HTTP://a.test/x", "GET /x"),
        ("https://a.test/x", "GET /x"),
        ("http://a.test/http://b.test/", "GET /http://b.test/"),
    ];
    let mut cases: Vec<Case> = rows
        .iter()
        .map(|(target, line)| {
            let wire = with(&format!("GET {target} HTTP/1.1"), "Host: a.test\r\n");
            forwarded(target, &wire, &format!("{line} HTTP/1.1"), "", "").has("host", "a.test")
        })
        .collect();
    for (target, line) in [
        ("*", "OPTIONS *"),
        ("/", "OPTIONS /"),
        ("http://a.test", "OPTIONS *"),
        ("http://a.test/", "OPTIONS /"),
        ("http://a.test?y", "OPTIONS /?y"),
    ] {
        let wire = with(&format!("OPTIONS {target} HTTP/1.1"), "Host: a.test\r\n");
        cases.push(
            forwarded(
                &format!("OPTIONS {target}"),
                &wire,
                &format!("{line} HTTP/1.1"),
                "",
                "",
            )
            .has("host", "a.test"),
        );
    }
    cases.push(
        forwarded(
            "a port, twice",
            &with("GET http://a.test:81/x HTTP/1.1", "Host: a.test:81\r\n"),
            "GET /x HTTP/1.1",
            "",
            "",
        )
        .has("host", "a.test:81"),
    );
    cases.push(
        forwarded(
            "HTTP/1.0 with a host in its target",
            &with("GET http://a.test/x HTTP/1.0", ""),
            "GET /x HTTP/1.1",
            "",
            "",
        )
        .has("host", "a.test")
        .last(),
    );
    check(&cases);
}

/// What nginx and HAProxy pass both, in paths and in queries.
#[test]
fn characters_that_clients_send_all_the_same_pass() {
    let mut cases = Vec::new();
    let as_they_are = ["|", "{", "}", "^", "\\", "[", "]", "\u{c3}\u{a9}", "%"];
    let encoded = [("\"", "%22"), ("<", "%3C"), (">", "%3E"), ("`", "%60")];
    let same = as_they_are.map(|odd| (odd, odd));
    for (odd, sent) in same.into_iter().chain(encoded) {
        for target in ["/p{}q", "/p?q={}1", "http://a.test/{}", "http://a.test?{}"] {
            let [got, wanted] = [odd, sent].map(|odd| target.replace("{}", odd));
            let wanted = match wanted.strip_prefix("http://a.test") {
                Some(query) if query.starts_with('?') => format!("/{query}"),
                Some(path) => path.to_owned(),
                None => wanted,
            };
            let wire = with(&format!("GET {got} HTTP/1.1"), "Host: a.test\r\n");
            let line = format!("GET {wanted} HTTP/1.1");
            cases.push(forwarded(&got, &wire, &line, "", "").has("host", "a.test"));
        }
    }
    check(&cases);
}

#[test]
fn a_host_and_a_targets_host_are_the_same_however_they_are_written() {
    let mut cases = Vec::new();
    for (target, host, wanted) in [
        ("http://m.example/x", "M.Example", "m.example"),
        ("http://M.example/x", "m.example:80", "M.example"),
        ("http://m.example:80/x", "m.example", "m.example:80"),
        ("http://m.example:/x", "m.example", "m.example:"),
        ("https://m.example/x", "m.example:443", "m.example"),
        ("HTTPS://m.example:443/x", "m.example", "m.example:443"),
        ("http://[::1]:80/x", "[::1]", "[::1]:80"),
    ] {
        let wire = with(
            &format!("GET {target} HTTP/1.1"),
            &format!("X: y\r\nHost:{host}\r\n"),
        );
        let case = forwarded(target, &wire, "GET /x HTTP/1.1", "", "");
        cases.push(case.has("host", wanted).has("x", "y"));
    }
    check(&cases);
}

#[test]
fn other_targets_are_refused() {
    let long = format!("/{}", "x".repeat(17_000));
    let rows = [
        ("relative", "x"),
        ("relative with a directory", "x/y"),
        ("a query alone", "?x"),
        ("a parameter alone", ";x"),
        ("a host and port", "a.test:80"),
        ("a host", "a.test"),
        ("an asterisk", "*"),
        ("more than an asterisk", "*/x"),
        ("two asterisks", "**"),
        ("another scheme", "ftp://a.test/"),
        ("the scheme of WebSocket", "ws://a.test/"),
        ("a file", "file:///etc/passwd"),
        ("a socket", "unix:/run/x|http://a.test/"),
        ("a script", "javascript:x"),
        ("no slashes", "http:a.test/"),
        ("one slash", "http:/a.test/"),
        ("three slashes", "http:///x"),
        ("no host", "http://"),
        ("no host but a port", "http://:80/"),
        ("no scheme", "://a.test/"),
        ("a user", "http://u@a.test/"),
        ("user and password", "http://u:p@a.test/"),
        ("a backslash behind the host", "http://a.test\\@b.test/"),
        ("backslashes", "http:\\\\a.test\\x"),
        ("a space in the scheme", "ht tp://a.test/"),
        ("a port of no digits", "http://a.test:x/"),
        ("two ports", "http://a.test:80:81/"),
        ("another host", "http://b.test/"),
        ("a host with a port that Host lacks", "http://a.test:81/"),
        ("a host with http's port by https", "https://a.test:80/"),
        ("a fragment", "/x#y"),
        ("a fragment alone", "#y"),
        ("a fragment behind a host", "http://a.test/#y"),
        ("a fragment in the place of a path", "http://a.test#y"),
        ("a fragment in the query", "/x?y#z"),
        ("bytes that are no UTF-8", "/x\u{e9}"),
        ("bytes that are no UTF-8 in the query", "/x?\u{e9}"),
        ("overlong UTF-8", "/\u{c0}\u{ae}"),
        ("a target in quotation marks", "\"/x\""),
    ];
    let mut cases: Vec<Case> = rows
        .iter()
        .map(|(what, target)| {
            let wire = with(&format!("GET {target} HTTP/1.1"), "Host: a.test\r\n");
            refused(400, what, &wire)
        })
        .collect();
    cases.push(refused(
        414,
        "a long one",
        &with(&format!("GET {long} HTTP/1.1"), "Host: a.test\r\n"),
    ));
    for byte in (0..=0x20_u8).chain([0x7f]) {
        for target in ["/x{}y", "/x?y={}z"] {
            let target = target.replace("{}", &char::from(byte).to_string());
            let wire = with(&format!("GET {target} HTTP/1.1"), "Host: a.test\r\n");
            cases.push(refused(
                400,
                &format!("byte {byte:#04x} in the target"),
                &wire,
            ));
        }
    }
    for target in [
        "a.test:80",
        "a.test",
        "/",
        "*",
        "http://a.test/",
        "a.test:443",
    ] {
        let wire = with(&format!("CONNECT {target} HTTP/1.1"), "Host: a.test\r\n");
        cases.push(refused(405, &format!("CONNECT {target}"), &wire));
    }
    check(&cases);
}

#[test]
fn a_request_has_one_host_that_is_one() {
    let line = "GET /x HTTP/1.1";
    let mut cases = Vec::new();
    for (what, fields) in [
        ("none", ""),
        ("two", "Host: a.test\r\nHost: b.test\r\n"),
        ("the same twice", "Host: a.test\r\nHost: a.test\r\n"),
        (
            "the same in another case",
            "Host: a.test\r\nhost: a.test\r\n",
        ),
        ("one and an empty one", "Host: a.test\r\nHost:\r\n"),
        ("an empty one and one", "Host:\r\nHost: a.test\r\n"),
        (
            "a second one far behind",
            "Host: a.test\r\nX: y\r\nZ: z\r\nHOST: b.test\r\n",
        ),
        ("one in a folded line", "Host: a.test\r\n Host: b.test\r\n"),
        ("a folded one", "Host:\r\n a.test\r\n"),
        ("one with a space before", " Host: a.test\r\n"),
        ("one with a tab before", "\tHost: a.test\r\n"),
        ("a space before the colon", "Host : a.test\r\n"),
        ("a tab before the colon", "Host\t: a.test\r\n"),
        (
            "one behind a bare CR",
            "Host: a.test\r\nX: y\rHost: b.test\r\n",
        ),
        ("one behind a bare LF", "Host: a.test\nHost: b.test\r\n"),
    ] {
        cases.push(refused(400, what, &with(line, fields)));
    }
    for host in [
        "a test",
        "a\ttest",
        "u@a.test",
        "u:p@a.test",
        "a.test/",
        "a.test/x",
        "a.test?x",
        "a.test#x",
        "a.test\\x",
        "a.test,b.test",
        "a.test, b.test",
        "a.test;b",
        "a=b",
        "(a)",
        "a!b",
        "$a",
        "a&b",
        "'a'",
        "a*b",
        "a+b",
        "\"a.test\"",
        "<a>",
        "a|b",
        "{a}",
        "a^b",
        "`a`",
        "a.test:x",
        "a.test:80:81",
        ":80",
        ":",
        "a.test:99999",
        "a.test:123456",
        "a.test:-1",
        "a.test:+80",
        "a.test: 80",
        "a.test :80",
        "a.test:80x",
        "a.test:0x50",
        "[::1",
        "::1]",
        "::1",
        "[::1]x",
        "[::1]80",
        "[zz]",
        "[]",
        "[1.2.3.4]",
        "[::1%25eth0]",
        "[v1.x]",
        "[[::1]]",
        "a..test",
        ".a.test",
        "..",
        ".",
        "a%00",
        "a%2etest",
        "a%",
        "http://a.test",
        "//a.test",
        "*",
        "a\u{e9}.test",
        "a.test\u{a0}",
        "\u{ff}",
        "a\0",
        "a.test\u{7f}",
    ] {
        cases.push(refused(
            400,
            &format!("Host {host:?}"),
            &with(line, &format!("Host: {host}\r\n")),
        ));
    }
    for (what, fields) in [("nothing", "Host:\r\n"), ("white space", "Host: \t \r\n")] {
        cases.push(refused(400, what, &with(line, fields)));
        let old = with("GET /x HTTP/1.0", fields);
        cases.push(forwarded(what, &old, line, "", "").last());
    }
    for host in [
        "a",
        "a.test",
        "a.test.",
        "a.test:80",
        "a.test:",
        "A.Test",
        "a_b.test",
        "a-b.test",
        "127.0.0.1",
        "127.0.0.1:80",
        "[::1]",
        "[::1]:80",
        "[::ffff:1.2.3.4]",
        "xn--bcher-kva.test",
        "0",
        "a.test:0080",
        "a~b.test",
    ] {
        let wire = with(line, &format!("Host: {host}\r\n"));
        cases.push(forwarded(&format!("Host {host:?}"), &wire, line, "", "").has("host", host));
    }
    for (what, field) in [
        ("no white space", "Host:a.test\r\n"),
        ("much white space", "Host: \t a.test \t \r\n"),
        ("lower case", "host: a.test\r\n"),
        ("upper case", "HOST: a.test\r\n"),
    ] {
        cases.push(forwarded(what, &with(line, field), line, "", "").has("host", "a.test"));
    }
    check(&cases);
}
