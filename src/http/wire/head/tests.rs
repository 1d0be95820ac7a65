use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    header: 64 * 1024,
    uri: 16 * 1024,
    body: 0,
};

fn look(text: &str) -> Result<Option<Head>, u16> {
    inspect(text.as_bytes(), 0, &LIMITS).map_err(|refusal| refusal.status)
}

fn passes(text: &str) -> Framing {
    look(text)
        .unwrap_or_else(|status| panic!("{status} for {text:?}"))
        .expect("complete")
        .framing
}

#[test]
fn ordinary_requests_pass() {
    assert_eq!(passes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Framing::None);
    assert_eq!(passes("GET / HTTP/1.0\r\n\r\n"), Framing::None);
    assert_eq!(
        passes("POST /p?q HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 12\r\n\r\n"),
        Framing::Length(12)
    );
    assert_eq!(
        passes("PUT /p HTTP/1.1\r\nhost:a\r\ntransfer-encoding:\tChunked \r\n\r\n"),
        Framing::Chunked
    );
    passes("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    passes("GET http://a.example:80/x HTTP/1.1\r\nHost: a.example:80\r\n\r\n");
    passes("GET /a|b{c}?d|e^f HTTP/1.1\r\nHost: a\r\n\r\n");
    passes("PROPFIND /x HTTP/1.1\r\nHost: a\r\nX: caf\u{e9}\r\n\r\n");
}

#[test]
fn the_length_is_the_head_alone() {
    let text = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next";
    let head = look(text).unwrap().unwrap();
    assert_eq!(head.leading, 2);
    assert_eq!(&text[head.leading + head.length..], "GET /next");
}

#[test]
fn odd_characters_are_encoded() {
    for (text, wanted) in [
        (
            "GET /<x>?y=\"`z\" HTTP/1.1\r\nHost: a\r\n\r\n",
            Some("/%3Cx%3E?y=%22%60z%22"),
        ),
        (
            "\r\nGET http://A.b:80/< HTTP/1.1\r\nX: y\r\nhOst: \t a.B \r\n\r\n",
            Some("http://A.b:80/%3C"),
        ),
        ("GET https://a:443 HTTP/1.1\r\nHost:a\r\n\r\n", None),
        ("GET /é|{}^\\ HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ("GET / HTTP/1.0\r\nHost:\r\n\r\n", None),
    ] {
        let encoded = look(text).unwrap().unwrap().encoded;
        assert_eq!(encoded.as_deref(), wanted.map(str::as_bytes), "{text}");
    }
}

#[test]
fn the_parts_are_where_they_are() {
    let text = "\r\nGET /a?b HTTP/1.0\r\nX-A:  b c\t\r\nhOst:\r\n\r\n";
    let head = look(text).unwrap().unwrap();
    assert!(head.is_version_10);
    assert_eq!(&text[head.line.method.clone()], "GET");
    assert_eq!(&text[head.line.target.clone()], "/a?b");
    let mut fields = head.fields;
    fields.set_received(text.into());
    let fields: Vec<_> = fields
        .spelt()
        .map(|(name, value, spelt)| {
            let spelt = spelt.map(String::from_utf8_lossy).unwrap_or_default();
            (name.as_str(), spelt, value.to_str().unwrap())
        })
        .collect();
    assert_eq!(
        fields,
        [("x-a", "X-A".into(), "b c"), ("host", "hOst".into(), "")]
    );
}

#[test]
fn an_incomplete_head_is_waited_for() {
    for text in [
        "",
        "G",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r",
    ] {
        assert_eq!(look(text), Ok(None), "{text:?}");
    }
}

#[test]
fn ambiguous_requests_are_refused() {
    for (text, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET relative HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET https://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: \t\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("\r\n\r\n\r\n\r\n\r\n", 400),
    ] {
        assert_eq!(look(text), Err(status), "{text:?}");
    }
}

#[test]
fn ambiguous_framing_is_refused() {
    let with = |fields: &str| look(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 \u{b}\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
    ] {
        assert_eq!(with(fields), Err(400), "{fields:?}");
    }
    assert_eq!(
        look("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Err(400)
    );
}

#[test]
fn lengths_that_are_read_in_two_ways_are_refused() {
    for (digits, length) in [
        ("0", Some(0)),
        ("7", Some(7)),
        ("9223372036854775807", Some(9_223_372_036_854_775_807)),
        ("9223372036854775808", None),
        ("99999999999999999999", None),
        ("00", None),
        ("07", None),
        ("", None),
        ("+7", None),
        ("7 ", None),
    ] {
        assert_eq!(content_length(digits.as_bytes()), length, "{digits:?}");
    }
}

#[test]
fn what_servers_may_take_for_framing_is_refused() {
    let with = |fields: &str| look(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    for fields in [
        "Content_Length: 5\r\n",
        "transfer_encoding: chunked\r\n",
        "Content.Length: 5\r\n",
    ] {
        assert_eq!(with(fields), Err(400), "{fields:?}");
    }
    assert!(with("Content_Lengths: 5\r\n").is_ok());
    for fields in [
        "Connection: a b\r\n",
        "Connection: \"x\"\r\n",
        "Connection: x:\r\n",
    ] {
        assert_eq!(with(fields), Err(400), "{fields:?}");
    }
    assert!(with("Connection: close, ,x\r\nConnection:\r\n").is_ok());
    let many = "x, ".repeat(MAX_OPTIONS + 1);
    assert_eq!(with(&format!("Connection: {many}\r\n")), Err(400));
}

#[test]
fn an_expectation_is_100_continue_once() {
    let with = |fields: &str| look(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    assert!(with("Expect: 100-Continue\r\n").is_ok());
    for fields in [
        "Expect: x\r\n",
        "Expect:\r\n",
        "Expect: 100-continue\r\nExpect: 100-continue\r\n",
    ] {
        assert_eq!(with(fields), Err(417), "{fields:?}");
    }
}

#[test]
fn a_body_that_is_wrong_at_once_is_refused_with_its_header() {
    let with = |body: &str| {
        look(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ))
    };
    for body in ["", "5", "5\r\nhello\r\n", "0\r\n\r\nGET \0"] {
        assert!(with(body).is_ok(), "{body:?}");
    }
    for body in ["x", "5\n", "5\r\nhello0"] {
        assert_eq!(with(body), Err(400), "{body:?}");
    }
    assert_eq!(
        look("TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"),
        Err(400)
    );
}

#[test]
fn limits_have_their_statuses() {
    let limits = HeadLimits {
        header: 200,
        uri: 100,
        body: 10,
    };
    let status = |text: &str| inspect(text.as_bytes(), 0, &limits).unwrap_err().status;
    let long = "x".repeat(150);
    assert_eq!(status(&format!("GET /{long} HTTP/1.1\r\n")), 414);
    assert_eq!(status(&format!("GET /{long}")), 414, "before the line ends");
    let field = "x".repeat(300);
    assert_eq!(status(&format!("GET / HTTP/1.1\r\nX: {field}")), 431);
    assert_eq!(
        status("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n"),
        413
    );
    let many = "X: y\r\n".repeat(MAX_FIELDS + 1);
    assert_eq!(look(&format!("GET / HTTP/1.1\r\n{many}\r\n")), Err(431));
}

#[test]
fn what_could_be_made_out_of_the_line_is_told() {
    let text = b"GET /path HTTP/1.1\r\n\r\n";
    let line = inspect(text, 0, &LIMITS).unwrap_err().line.unwrap();
    assert_eq!(&text[line.method], b"GET");
    assert_eq!(&text[line.target], b"/path");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(inspect(&data, 0, &LIMITS));
    }

    /// What passes here can be made a header of: there is no page and no line in the log for what can't.
    #[test]
    fn what_passes_is_parsable(target in prop::collection::vec(0x21u8..=0xff, 0..20), method in "[A-Z0-9_!-~-]{1,8}") {
        let mut text = format!("{method} /").into_bytes();
        text.extend_from_slice(&target);
        text.extend_from_slice(b" HTTP/1.1\r\nHost: a\r\n\r\n");
        if inspect(&text, 0, &LIMITS).is_ok() {
            let mut target = target;
            target.insert(0, b'/');
            let target = encoded(&target).unwrap_or(target);
            let built = pingora::http::RequestHeader::build(method.as_str(), &target, None);
            prop_assert!(built.is_ok(), "{} {}", method, target.escape_ascii());
        }
    }

    /// However the bytes arrive, the verdict is the same.
    #[test]
    fn the_verdict_does_not_depend_on_the_reads(
        text in "(GET|POST) /[a-z]{0,5} HTTP/1.1\r\n(Host: a\r\n)?(X: [a-z]{0,5}\r\n){0,3}\r\n[a-z]{0,9}",
        cuts in prop::collection::vec(1usize..9, 1..30),
    ) {
        let bytes = text.as_bytes();
        let whole = inspect(bytes, 0, &LIMITS);
        let (mut at, mut cuts) = (0, cuts.iter().cycle());
        let piecewise = loop {
            let scanned = at;
            at = (at + cuts.next().unwrap()).min(bytes.len());
            match inspect(&bytes[..at], scanned, &LIMITS) {
                Ok(None) if at < bytes.len() => {}
                verdict => break verdict,
            }
        };
        prop_assert_eq!(piecewise, whole);
    }
}
