//! Request lines (RFC 9112 section 3), and what may stand before one (section 2.2).

use super::case::{Case, check, forwarded, refused};

/// A request of which only the first line is of interest.
fn with(line: &str) -> String {
    format!("{line}\r\nHost: a.test\r\n\r\n")
}

#[test]
fn a_line_has_three_parts_with_one_space_between() {
    let rows = [
        ("two spaces before the target", "GET  /x HTTP/1.1"),
        ("two spaces before the version", "GET /x  HTTP/1.1"),
        ("a space at the end", "GET /x HTTP/1.1 "),
        ("a tab at the end", "GET /x HTTP/1.1\t"),
        ("a space at the beginning", " GET /x HTTP/1.1"),
        ("a tab at the beginning", "\tGET /x HTTP/1.1"),
        ("a tab after the method", "GET\t/x HTTP/1.1"),
        ("a tab before the version", "GET /x\tHTTP/1.1"),
        ("a vertical tab for a space", "GET\u{b}/x HTTP/1.1"),
        ("a form feed for a space", "GET\u{c}/x HTTP/1.1"),
        ("a CR for a space", "GET\r/x HTTP/1.1"),
        ("a no-break space for a space", "GET\u{a0}/x HTTP/1.1"),
        ("tab and space", "GET \t/x HTTP/1.1"),
        ("a space in the target", "GET /x y HTTP/1.1"),
        (
            "a request within the target",
            "GET /x HTTP/1.1 GET /y HTTP/1.1",
        ),
        ("two versions", "GET /x HTTP/1.1 HTTP/1.1"),
        ("HTTP/0.9", "GET /x"),
        ("a method alone", "GET"),
        ("no target", "GET HTTP/1.1"),
        ("no target but its spaces", "GET  HTTP/1.1"),
        ("no method", "/x HTTP/1.1"),
        ("an empty method", " /x HTTP/1.1"),
        ("no version", "GET /x "),
        ("a status line", "HTTP/1.1 200 OK"),
        ("a field for a line", "Host: b.test"),
        ("another field for a line", "X: GET /x HTTP/1.1"),
        ("a bare LF at its end", "GET /x HTTP/1.1\nX: y"),
        ("a bare CR at its end", "GET /x HTTP/1.1\rX: y"),
        ("CR CR LF at its end", "GET /x HTTP/1.1\r"),
        ("NUL at its end", "GET /x HTTP/1.1\0"),
        ("NUL at its beginning", "\0GET /x HTTP/1.1"),
        ("a byte order mark", "\u{ef}\u{bb}\u{bf}GET /x HTTP/1.1"),
    ];
    check(&rows.map(|(what, line)| refused(400, what, &with(line))));
}

#[test]
fn versions_are_1_0_and_1_1_and_nothing_like_them() {
    let mut cases: Vec<Case> = [
        "http/1.1",
        "Http/1.1",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/11",
        "HTTP/1.10",
        "HTTP/1.1.1",
        "HTTP/01.1",
        "HTTP/1.01",
        "HTTP/1,1",
        "HTTP-1.1",
        "HTTP/1.1x",
        "xHTTP/1.1",
        "HTTP/+1.1",
        "HTTP/-1.1",
        "HTTP/1.\u{b2}",
        "HTTP/a.b",
        "HTTP/1.x",
        "HTTP//1.1",
        "HTTP\\1.1",
        "HTTP/1.1\0",
        "HTTP",
        "HTTPS/1.1",
        "ICAP/1.0",
        "SIP/2.0",
        "RTSP/1.0",
        "SHTTP/1.3",
        "HTTP/1.1;",
        "\"HTTP/1.1\"",
    ]
    .map(|version| refused(400, version, &with(&format!("GET /x {version}"))))
    .into();
    for version in [
        "HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9", "HTTP/0.0",
    ] {
        cases.push(refused(505, version, &with(&format!("GET /x {version}"))));
    }
    cases.push(
        forwarded(
            "HTTP/1.0",
            &with("GET /x HTTP/1.0"),
            "GET /x HTTP/1.1",
            "",
            "",
        )
        .last(),
    );
    cases.push(forwarded(
        "HTTP/1.0 that stays",
        "GET /x HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n",
        "GET /x HTTP/1.1",
        "",
        "",
    ));
    cases.push(refused(
        505,
        "the preface of HTTP/2, not at the beginning",
        "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ));
    check(&cases);
}

#[test]
fn methods_are_upper_case_tokens() {
    let mut cases: Vec<Case> = [
        "get",
        "Get",
        "gET",
        "post",
        "Head",
        "hEAD",
        "connect",
        "Connect",
        "trace",
        "Options",
        "pUT",
        "GET,",
        "GET:",
        "GET;",
        "(GET)",
        "\"GET\"",
        "<GET>",
        "[GET]",
        "{GET}",
        "GET/",
        "G\u{e9}T",
        "G=T",
        "G@T",
        "G?T",
        "G\\T",
        "G\0T",
        "GET\u{7f}",
        "G\u{8}ET",
        "GE\rT",
        "$GET",
        "GET!",
        "*",
        "`GET`",
        "METHODS-HAVE-AT-MOST-32-CHARACTERS",
    ]
    .map(|method| refused(400, method, &with(&format!("{method} /x HTTP/1.1"))))
    .into();
    for method in [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "PATCH",
        "OPTIONS",
        "PROPFIND",
        "MKCOL",
        "REPORT",
        "PURGE",
        "M-SEARCH",
        "VERSION-CONTROL",
        "BASELINE-CONTROL",
        "RPC_IN_DATA",
        "QUERY",
        "PRI",
        "X",
        "SM",
        "METHOD2",
        "METHODS-HAVE-UP-TO-32-CHARACTERS",
    ] {
        let line = format!("{method} /x HTTP/1.1");
        cases.push(forwarded(method, &with(&line), &line, "", ""));
    }
    check(&cases);
}

#[test]
fn a_few_empty_lines_may_stand_before_a_request_and_nothing_else() {
    let get = with("GET /x HTTP/1.1");
    let mut cases = vec![
        forwarded(
            "an empty line",
            &format!("\r\n{get}"),
            "GET /x HTTP/1.1",
            "",
            "",
        ),
        forwarded(
            "three empty lines",
            &format!("\r\n\r\n\r\n{get}"),
            "GET /x HTTP/1.1",
            "",
            "",
        ),
    ];
    for (what, before) in [
        ("four empty lines", "\r\n\r\n\r\n\r\n"),
        ("a bare LF", "\n"),
        ("two bare LFs", "\n\n"),
        ("LF CR", "\n\r"),
        ("a bare CR", "\r"),
        ("CR CR LF", "\r\r\n"),
        ("an empty line and a bare LF", "\r\n\n"),
        ("a line with a space", " \r\n"),
        ("a line with a tab", "\t\r\n"),
        ("a line with NUL", "\0\r\n"),
        ("the rest of a chunked body", "0\r\n\r\n"),
        ("the rest of a body", "x=y"),
        ("a line that isn't one", "x\r\n"),
        (
            "TLS",
            "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n",
        ),
    ] {
        cases.push(refused(400, what, &format!("{before}{get}")));
    }
    check(&cases);
}
