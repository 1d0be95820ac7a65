//! Content-Length (RFC 9110 section 8.6, RFC 9112 section 6.3).

use super::case::{Case, SMUGGLED, check, forwarded, get, post, refused, unfinished};

const LINE: &str = "POST /x HTTP/1.1";

#[test]
fn a_length_is_one_number_in_digits() {
    let mut cases: Vec<Case> = [
        "",
        " ",
        "+5",
        "-5",
        "--5",
        "+0",
        "-0",
        "0x5",
        "0X5",
        "x5",
        "5x",
        "5h",
        "5.0",
        "5.",
        ".5",
        "5,",
        ",5",
        "5,5",
        "5, 5",
        "5,6",
        "5;5",
        "5; q=1",
        "5 5",
        "5\t5",
        "5 6",
        "\"5\"",
        "'5'",
        "(5)",
        "five",
        "5e0",
        "1e1",
        "5_0",
        "5\0",
        "\x005",
        "5\u{b}",
        "\u{b}5",
        "5\u{c}",
        "5\u{a0}",
        "\u{a0}5",
        "\u{b2}",
        "5\u{b2}",
        "\u{d9}\u{a5}",
        "\u{ef}\u{bc}\u{95}",
        "05",
        "005",
        "00",
        "0005",
        "0b101",
        "0o5",
        "5\rX: y",
        "NaN",
        "Infinity",
        "null",
        "chunked",
        "5 chunked",
        "%35",
        "5/5",
        "5-5",
        "0-5",
        "*",
        "9223372036854775808",
        "9999999999999999999",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551621",
        "99999999999999999999",
        "340282366920938463463374607431768211461",
        "00000000000000000005",
    ]
    .iter()
    .map(|value| {
        let wire = post(&format!("Content-Length: {value}\r\n"), "hello");
        refused(400, &format!("{value:?}"), &wire)
    })
    .collect();
    let long = "5".repeat(1000);
    cases.push(refused(
        400,
        "a thousand digits",
        &post(&format!("Content-Length: {long}\r\n"), "hello"),
    ));
    for (what, fields) in [
        (
            "twice the same",
            "Content-Length: 5\r\nContent-Length: 5\r\n",
        ),
        ("two", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        (
            "0 and then more",
            "Content-Length: 0\r\nContent-Length: 5\r\n",
        ),
        (
            "more and then 0",
            "Content-Length: 5\r\nContent-Length: 0\r\n",
        ),
        ("one empty", "Content-Length: 5\r\nContent-Length:\r\n"),
        (
            "two in two cases",
            "Content-Length: 5\r\ncontent-length: 6\r\n",
        ),
        (
            "two far apart",
            "Content-Length: 5\r\nX: y\r\nZ: z\r\nContent-Length: 6\r\n",
        ),
        (
            "three",
            "Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
        ),
        ("a space before the colon", "Content-Length : 5\r\n"),
        ("a tab before the colon", "Content-Length\t: 5\r\n"),
        ("a space before the name", " Content-Length: 5\r\n"),
        (
            "a space before the name, second",
            "X: y\r\n Content-Length: 5\r\n",
        ),
        ("a space in the name", "Content Length: 5\r\n"),
        ("folded", "Content-Length:\r\n 5\r\n"),
        ("folded digits", "Content-Length: 5\r\n 0\r\n"),
        ("NUL in the name", "Content-Length\0: 5\r\n"),
        ("NUL before the name", "\0Content-Length: 5\r\n"),
        ("a CR before the name", "X: y\rContent-Length: 5\r\n"),
        ("an LF before the name", "X: y\nContent-Length: 5\r\n"),
        (
            "a vertical tab before the colon",
            "Content-Length\u{b}: 5\r\n",
        ),
        ("a high byte in the name", "Content-Length\u{a0}: 5\r\n"),
        ("an LF at its end", "Content-Length: 5\nX: y\r\n"),
        ("a CR at its end", "Content-Length: 5\rX: y\r\n"),
    ] {
        cases.push(refused(400, what, &post(fields, "hello")));
        cases.push(refused(400, &format!("{what}, for GET"), &get(fields)));
    }
    check(&cases);
}

#[test]
fn a_body_is_as_long_as_it_says_and_never_a_request() {
    let mut cases = Vec::new();
    for (what, fields) in [
        ("plain", "Content-Length: 5\r\n"),
        ("no white space", "Content-Length:5\r\n"),
        ("much white space", "Content-Length: \t 5 \t \r\n"),
        ("lower case", "content-length: 5\r\n"),
        ("upper case", "CONTENT-LENGTH: 5\r\n"),
    ] {
        let name = fields.split(':').next().unwrap();
        cases.push(forwarded(
            what,
            &post(fields, "hello"),
            LINE,
            &format!("{name}: 5"),
            "hello",
        ));
    }
    cases.push(forwarded("none", &post("", ""), LINE, "", ""));
    cases.push(forwarded(
        "0",
        &post("Content-Length: 0\r\n", ""),
        LINE,
        "Content-Length: 0",
        "",
    ));
    let smuggled = format!("Content-Length: {}", SMUGGLED.len());
    for method in [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "X",
    ] {
        let line = format!("{method} /x HTTP/1.1");
        let wire = format!("{line}\r\nHost: a.test\r\n{smuggled}\r\n\r\n{SMUGGLED}");
        cases.push(forwarded(
            &format!("a request in a body of {method}"),
            &wire,
            &line,
            &smuggled,
            SMUGGLED,
        ));
        let wire = format!("{line}\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
        cases.push(forwarded(
            &format!("0 for {method}"),
            &wire,
            &line,
            "Content-Length: 0",
            "",
        ));
    }
    for (what, body) in [
        ("empty lines", "\r\n\r\n\r\n\r\n"),
        ("the end of chunks", "0\r\n\r\n"),
        ("NULs", "\0\0\0\0\0"),
        ("every kind of line's end", "\r\n\n\r\r\r\n\n"),
        ("a response", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("high bytes", "\u{ff}\u{fe}\u{80}"),
    ] {
        let length = format!("Content-Length: {}", body.len().min(body.chars().count()));
        cases.push(forwarded(
            what,
            &post(&format!("{length}\r\n"), body),
            LINE,
            &length,
            body,
        ));
    }
    let body = "x".repeat(200_000);
    cases.push(forwarded(
        "a long one",
        &post("Content-Length: 200000\r\n", &body),
        LINE,
        "Content-Length: 200000",
        &body,
    ));
    cases.push(
        forwarded(
            "HTTP/1.0",
            "POST /x HTTP/1.0\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
            LINE,
            "Content-Length: 5",
            "hello",
        )
        .last(),
    );
    cases.push(refused(
        400,
        "TRACE with a body",
        "TRACE /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
    ));
    check(&cases);
}

#[test]
fn a_body_that_is_too_short_is_never_complete() {
    let mut cases = Vec::new();
    for (what, length, body) in [
        ("one byte less", "6", "hello"),
        ("nothing", "5", ""),
        ("2^32 and 5", "4294967301", "hello"),
        ("2^31 and 5", "2147483653", "hello"),
        ("the longest", "9223372036854775807", "hello"),
        ("a request behind", "1000", SMUGGLED),
    ] {
        cases.push(unfinished(
            what,
            &post(&format!("Content-Length: {length}\r\n"), body),
        ));
    }
    check(&cases);
}
