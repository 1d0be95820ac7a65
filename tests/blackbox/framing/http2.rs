//! The same over HTTP/2, whose frames say where a message ends and whose fields may say otherwise: H2.CL, H2.TE, and
//! requests within names, values and pseudo-fields (RFC 9113 section 8). Malformed single fields are in `http2::malformed`.

use super::case::{SMUGGLED, forwarded};
use super::frames::{Fields, Rig};

/// A request with these fields in place of, or beside, the usual ones.
fn with<'a>(changed: &[(&'a str, &'a str)]) -> Fields<'a> {
    let mut fields = vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a.test"),
        (":path", "/x"),
    ];
    for (name, value) in changed {
        match fields.iter_mut().find(|(n, _)| n == name) {
            Some(field) if name.starts_with(':') => field.1 = value,
            _ => fields.push((name, value)),
        }
    }
    fields
}

#[test]
fn lengths_and_codings_do_not_contradict_the_frames() {
    let mut rig = Rig::start();
    let chunks = format!("0\r\n\r\n{SMUGGLED}");
    for (what, fields) in [
        ("H2.TE", with(&[("transfer-encoding", "chunked")])),
        (
            "H2.TE in another case",
            with(&[("Transfer-Encoding", "chunked")]),
        ),
        (
            "H2.TE of a list",
            with(&[("transfer-encoding", "gzip, chunked")]),
        ),
        (
            "H2.TE with a tab",
            with(&[("transfer-encoding", "\tchunked")]),
        ),
        (
            "H2.TE of identity",
            with(&[("transfer-encoding", "identity")]),
        ),
        (
            "H2.TE through CGI",
            with(&[("transfer_encoding", "chunked")]),
        ),
        (
            "H2.TE through CGI with a dot",
            with(&[("transfer.encoding", "chunked")]),
        ),
        (
            "H2.TE in a name",
            with(&[("x\r\ntransfer-encoding", "chunked")]),
        ),
        (
            "H2.TE in a value",
            with(&[("x", "y\r\ntransfer-encoding: chunked")]),
        ),
        (
            "H2.TE behind a bare LF",
            with(&[("x", "y\ntransfer-encoding: chunked")]),
        ),
        (
            "H2.TE behind a bare CR",
            with(&[("x", "y\rtransfer-encoding: chunked")]),
        ),
        (
            "H2.TE with a space in its name",
            with(&[("transfer-encoding ", "chunked")]),
        ),
        (
            "H2.TE with a space before its name",
            with(&[(" transfer-encoding", "chunked")]),
        ),
        (
            "H2.TE with a colon in its name",
            with(&[("transfer-encoding: chunked\r\nx", "y")]),
        ),
        ("H2.CL of 0", with(&[("content-length", "0")])),
        ("H2.CL, shorter", with(&[("content-length", "5")])),
        ("H2.CL, longer", with(&[("content-length", "500")])),
        (
            "H2.CL, twice",
            with(&[("content-length", "47"), ("content-length", "5")]),
        ),
        ("H2.CL, a list", with(&[("content-length", "47, 47")])),
        ("H2.CL with zeros", with(&[("content-length", "047")])),
        ("H2.CL with a sign", with(&[("content-length", "+47")])),
        ("H2.CL through CGI", with(&[("content_length", "5")])),
        (
            "H2.CL through CGI beside a right one",
            with(&[("content-length", "47"), ("content_length", "5")]),
        ),
        ("H2.CL in a name", with(&[("x\r\ncontent-length", "5")])),
        ("H2.CL in a value", with(&[("x", "y\r\ncontent-length: 5")])),
        (
            "H2.CL with a tab in its name",
            with(&[("content-length\t", "5")]),
        ),
        ("a hop's field", with(&[("connection", "content-length")])),
        (
            "an upgrade",
            with(&[("upgrade", "h2c"), ("connection", "upgrade")]),
        ),
        ("keep-alive", with(&[("keep-alive", "timeout=5")])),
    ] {
        rig.refused(what, &fields, Some(&chunks), &[]);
        rig.refused(
            &format!("{what}, for GET"),
            &{
                let mut fields = fields;
                fields[0].1 = "GET";
                fields
            },
            Some(&chunks),
            &[],
        );
    }
    rig.finish();
}

#[test]
fn a_request_within_a_field_stays_there_or_is_refused() {
    let mut rig = Rig::start();
    let whole = format!("y\r\n\r\n{SMUGGLED}");
    let in_path = "/x HTTP/1.1\r\nHost: b.test\r\n\r\nGET /smuggled";
    for (what, fields) in [
        ("in a value", with(&[("x", &whole)])),
        ("in a cookie", with(&[("cookie", &whole)])),
        (
            "in a second crumb",
            with(&[("cookie", "a=b"), ("cookie", &whole)]),
        ),
        ("in a name", with(&[("x: y\r\nz", "1")])),
        (
            "in a name, after its end",
            with(&[("x\r\n\r\nget /smuggled http/1.1\r\nhost", "a.test")]),
        ),
        ("in :path", with(&[(":path", in_path)])),
        (
            "in :path, with a space alone",
            with(&[(":path", "/x HTTP/1.1")]),
        ),
        ("in :path, with a tab", with(&[(":path", "/x\tHTTP/1.1")])),
        ("in :path, with an LF", with(&[(":path", "/x\nX: y")])),
        ("in :path, with a CR", with(&[(":path", "/x\rX: y")])),
        ("in :path, with NUL", with(&[(":path", "/x\0/y")])),
        (
            "in :method",
            with(&[(":method", "GET /smuggled HTTP/1.1\r\nX: y\r\n\r\nGET")]),
        ),
        (
            "in :method, with a space",
            with(&[(":method", "GET /smuggled HTTP/1.1")]),
        ),
        ("in :method, with a tab", with(&[(":method", "GET\t/y")])),
        ("in :authority", with(&[(":authority", "a.test\r\nX: y")])),
        (
            "in :authority, with an LF",
            with(&[(":authority", "a.test\nX: y")]),
        ),
        (
            "in :authority, with a path",
            with(&[(":authority", "a.test/y")]),
        ),
        (
            "in :authority, with a query",
            with(&[(":authority", "a.test?y")]),
        ),
        (
            "in :authority, with a fragment",
            with(&[(":authority", "a.test#y")]),
        ),
        (
            "in :authority, with a user",
            with(&[(":authority", "a.test@b.test")]),
        ),
        (
            "in :authority, with two ports",
            with(&[(":authority", "a.test:80:81")]),
        ),
        (
            "in :authority, with a port of no digits",
            with(&[(":authority", "a.test:8x")]),
        ),
        (
            "in :authority, with a comma",
            with(&[(":authority", "a.test,b.test")]),
        ),
        (
            "in :authority, encoded",
            with(&[(":authority", "a%2etest")]),
        ),
        ("in :scheme", with(&[(":scheme", "http://b.test/y?")])),
        (
            "in :scheme, with CR LF",
            with(&[(":scheme", "http\r\nX: y")]),
        ),
        ("another scheme", with(&[(":scheme", "gopher")])),
        ("a Host with a path", with(&[("host", "a.test/y")])),
        ("another Host", with(&[("host", "b.test")])),
        ("two Hosts", with(&[("host", "a.test"), ("host", "a.test")])),
        ("a relative :path", with(&[(":path", "x")])),
        ("an absolute :path", with(&[(":path", "http://b.test/x")])),
        (":path with a scheme alone", with(&[(":path", "http:x")])),
        (":path is a query", with(&[(":path", "?x")])),
        (":path is a host and port", with(&[(":path", "b.test:80")])),
        (":path is *", with(&[(":path", "*")])),
        ("an empty :path", with(&[(":path", "")])),
        ("a lower-case method", with(&[(":method", "post")])),
        ("a method in mixed case", with(&[(":method", "Post")])),
        ("a method with a sign", with(&[(":method", "POST!")])),
        (
            "an upgrade of RFC 8441",
            with(&[(":method", "CONNECT"), (":protocol", "websocket")]),
        ),
        (
            ":protocol without CONNECT",
            with(&[(":protocol", "websocket")]),
        ),
        ("another expectation", with(&[("expect", "200-ok")])),
        (
            "two expectations",
            with(&[("expect", "100-continue"), ("expect", "100-continue")]),
        ),
    ] {
        rig.refused(what, &fields, None, &[]);
    }
    for name in [":method", ":scheme", ":authority", ":path"] {
        let mut fields = with(&[]);
        fields.insert(4, (name, "/y"));
        rig.refused(&format!("two {name}"), &fields, None, &[]);
        let mut fields = with(&[("x", "y")]);
        let at = fields.iter().position(|(n, _)| *n == name).unwrap();
        let late = fields.remove(at);
        fields.push(late);
        rig.refused(&format!("{name} behind a field"), &fields, None, &[]);
    }
    for byte in (0..0x20_u8).chain([0x7f]).filter(|byte| *byte != b'\t') {
        let value = format!("y{}z", char::from(byte));
        rig.refused(
            &format!("byte {byte:#04x} in a value"),
            &with(&[("x", &value)]),
            None,
            &[],
        );
    }
    for byte in (0..=0x20_u8)
        .chain(*b"\"(),/:;<=>?@[\\]{}\x7f")
        .chain([0x80, 0xff])
    {
        let name = format!("x{}y", char::from(byte));
        rig.refused(
            &format!("byte {byte:#04x} in a name"),
            &with(&[(&name, "z")]),
            None,
            &[],
        );
    }
    for trailer in [
        ("x\r\ny", "z"),
        ("x", "y\r\nz: z"),
        ("X", "y"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
    ] {
        rig.refused(
            &format!("a trailer {trailer:?}"),
            &with(&[]),
            Some("hello"),
            &[trailer],
        );
    }
    rig.finish();
}

#[test]
fn what_passes_is_framed_anew() {
    let mut rig = Rig::start();
    let line = "POST /x HTTP/1.1";
    let coding = "Transfer-Encoding: chunked";
    let chunked = |what: &str, body: &str| forwarded(what, "", line, coding, body);
    let chunks = format!("0\r\n\r\n{SMUGGLED}");
    let length = chunks.len().to_string();
    rig.forwarded(
        &chunked("the end of chunks in the body", &chunks),
        &with(&[]),
        Some(&chunks),
        &[],
    );
    rig.forwarded(
        &chunked("a request in the body", SMUGGLED),
        &with(&[]),
        Some(SMUGGLED),
        &[],
    );
    let framing = format!("Content-Length: {length}");
    let with_length = forwarded("the same with a length", "", line, &framing, &chunks);
    rig.forwarded(
        &with_length,
        &with(&[("content-length", &length)]),
        Some(&chunks),
        &[],
    );
    for trailer in [
        ("x", "y"),
        ("content-length", "5"),
        ("host", "b.test"),
        ("x-forwarded-for", "1.2.3.4"),
    ] {
        let case = chunked(&format!("a trailer {trailer:?}"), "hello")
            .lacks("x")
            .has("x-forwarded-for", "127.0.0.1");
        rig.forwarded(&case, &with(&[]), Some("hello"), &[trailer]);
    }
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "X"] {
        let case = forwarded(
            method,
            "",
            &format!("{method} /x HTTP/1.1"),
            coding,
            SMUGGLED,
        );
        rig.forwarded(&case, &with(&[(":method", method)]), Some(SMUGGLED), &[]);
    }
    let get = |what: &str| forwarded(what, "", "GET /x HTTP/1.1", "", "");
    for (name, value) in [
        ("te", "trailers"),
        ("trailer", "x"),
        ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ("proxy-authorization", "Basic eDp5"),
        ("proxy", "b.test"),
        ("x_forwarded_for", "1.2.3.4"),
        ("x.real.ip", "1.2.3.4"),
        ("x_request_id", "x"),
        ("x_client_cert_verify", "SUCCESS"),
        ("expect", "100-continue"),
    ] {
        let case = get(name).lacks(name).has("host", "a.test");
        rig.forwarded(
            &case,
            &with(&[(":method", "GET"), (name, value)]),
            None,
            &[],
        );
    }
    for (name, value) in [
        ("x", "GET /smuggled HTTP/1.1"),
        ("x", "a\tb"),
        ("x", "\u{e9}"),
        ("x", ""),
        ("api_key", "y"),
        ("x-content-length", "5"),
    ] {
        let case = get(&format!("{name}: {value}")).has(name, value);
        rig.forwarded(
            &case,
            &with(&[(":method", "GET"), (name, value)]),
            None,
            &[],
        );
    }
    let star = forwarded("OPTIONS *", "", "OPTIONS * HTTP/1.1", "", "");
    rig.forwarded(
        &star,
        &with(&[(":method", "OPTIONS"), (":path", "*")]),
        None,
        &[],
    );
    let expects = chunked("an expectation with a body", "hello").has("expect", "100-continue");
    rig.forwarded(
        &expects,
        &with(&[("expect", "100-continue")]),
        Some("hello"),
        &[],
    );
    rig.finish();
}
