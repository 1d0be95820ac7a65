//! Transfer-Encoding (RFC 9112 section 6.1), alone and beside a length: CL.TE, TE.CL, TE.TE.

use super::case::{Case, SMUGGLED, check, forwarded, get, post, refused};

const LINE: &str = "POST /x HTTP/1.1";
const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";
const CODING: &str = "Transfer-Encoding: chunked";

/// Spellings and places that one reads as chunked and another doesn't.
const OBFUSCATED: [&str; 67] = [
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunkedx",
    "Transfer-Encoding: chunke",
    "Transfer-Encoding: chunk",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: , chunked ,",
    "Transfer-Encoding: chunked chunked",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked,chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: chunked identity",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: deflate, chunked",
    "Transfer-Encoding: compress, chunked",
    "Transfer-Encoding: x, chunked",
    "Transfer-Encoding: cow",
    "Transfer-Encoding: *",
    "Transfer-Encoding: none",
    "Transfer-Encoding: null",
    "Transfer-Encoding: trailers",
    "Transfer-Encoding:",
    "Transfer-Encoding: \t",
    "Transfer-Encoding: chunked;",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: chunked; x=y",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: 'chunked'",
    "Transfer-Encoding: (chunked)",
    "Transfer-Encoding: chunked(x)",
    "Transfer-Encoding: chunked:",
    "Transfer-Encoding: : chunked",
    "Transfer-Encoding:: chunked",
    "Transfer-Encoding: chunked\0",
    "Transfer-Encoding: \0chunked",
    "Transfer-Encoding: chu\0nked",
    "Transfer-Encoding: \u{b}chunked",
    "Transfer-Encoding: chunked\u{b}",
    "Transfer-Encoding: \u{c}chunked",
    "Transfer-Encoding: chunked\u{7f}",
    "Transfer-Encoding: \u{a0}chunked",
    "Transfer-Encoding: chunked\u{a0}",
    "Transfer-Encoding: \u{ff}chunked",
    "Transfer-Encoding: chun\u{e2}\u{84}\u{aa}ed",
    "Transfer-Encoding: chunked\r",
    "Transfer-Encoding: \rchunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding:\r\n\tchunked",
    "Transfer-Encoding: chunked\r\n ",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    "Transfer-Encoding\u{b}: chunked",
    "Transfer-Encoding\0: chunked",
    " Transfer-Encoding: chunked",
    "\tTransfer-Encoding: chunked",
    "\0Transfer-Encoding: chunked",
    "Transfer-Encoding\r\n : chunked",
    "Transfer Encoding: chunked",
    "X: y\rTransfer-Encoding: chunked",
    "X: y\nTransfer-Encoding: chunked",
    "X: y\r\n\rTransfer-Encoding: chunked",
    "Transfer-Encod\u{ed}ng: chunked",
    "Transfer_Encoding: chunked",
];

#[test]
fn a_coding_is_chunked_alone_and_plainly_written() {
    let mut cases: Vec<Case> = OBFUSCATED
        .iter()
        .map(|field| refused(400, field, &post(&format!("{field}\r\n"), CHUNKS)))
        .collect();
    for (what, fields) in [
        (
            "twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "and identity",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        ),
        (
            "after identity",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "and nonsense",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
        ),
        (
            "after nonsense",
            "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
        ),
        (
            "and nothing",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n",
        ),
        (
            "twice in two cases",
            "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        ),
        (
            "after gzip",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        ),
    ] {
        cases.push(refused(400, what, &post(fields, CHUNKS)));
        cases.push(refused(400, &format!("{what}, for GET"), &get(fields)));
    }
    for field in OBFUSCATED.iter().step_by(3) {
        cases.push(refused(
            400,
            &format!("GET with {field}"),
            &get(&format!("{field}\r\n")),
        ));
    }
    let old = format!("POST /x HTTP/1.0\r\nHost: a.test\r\n{CODING}\r\n\r\n{CHUNKS}");
    cases.push(refused(400, "HTTP/1.0", &old));
    let old = format!("POST /x HTTP/1.0\r\nConnection: keep-alive\r\n{CODING}\r\n\r\n{CHUNKS}");
    cases.push(refused(400, "HTTP/1.0 that stays", &old));
    check(&cases);
}

#[test]
fn a_length_and_a_coding_are_never_both() {
    let mut cases = Vec::new();
    let te_cl = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    let cl_te = format!("0\r\n\r\n{SMUGGLED}");
    for (what, length, body) in [
        ("CL.TE", cl_te.len(), &cl_te),
        ("CL.TE, a length of the chunks", 5, &cl_te),
        ("CL.0 and chunks", 0, &cl_te),
        ("TE.CL", 4, &te_cl),
        ("TE.CL, a length of all", te_cl.len(), &te_cl),
    ] {
        let length = format!("Content-Length: {length}");
        for fields in [
            format!("{length}\r\n{CODING}\r\n"),
            format!("{CODING}\r\n{length}\r\n"),
            format!("{length}\r\nX: y\r\nconnection: close\r\n{CODING}\r\n"),
            format!("Connection: Content-Length\r\n{length}\r\n{CODING}\r\n"),
            format!("Connection: Transfer-Encoding\r\n{length}\r\n{CODING}\r\n"),
        ] {
            cases.push(refused(
                400,
                &format!("{what}: {fields:?}"),
                &post(&fields, body),
            ));
        }
    }
    for field in OBFUSCATED {
        let fields = format!("Content-Length: {}\r\n{field}\r\n", cl_te.len());
        cases.push(refused(
            400,
            &format!("a length and {field}"),
            &post(&fields, &cl_te),
        ));
        let fields = format!("{field}\r\nContent-Length: 4\r\n");
        cases.push(refused(
            400,
            &format!("{field} and a length"),
            &post(&fields, &te_cl),
        ));
    }
    let old = format!(
        "POST /x HTTP/1.0\r\nHost: a.test\r\nContent-Length: 5\r\n{CODING}\r\n\r\n{CHUNKS}"
    );
    cases.push(refused(400, "both in HTTP/1.0", &old));
    check(&cases);
}

#[test]
fn chunks_are_for_every_method() {
    let mut cases = Vec::new();
    for (what, field) in [
        ("plain", CODING),
        ("no white space", "Transfer-Encoding:chunked"),
        ("much white space", "Transfer-Encoding: \t chunked \t "),
        ("another case", "transfer-encoding: Chunked"),
        ("upper case", "TRANSFER-ENCODING: CHUNKED"),
    ] {
        cases.push(forwarded(
            what,
            &post(&format!("{field}\r\n"), CHUNKS),
            LINE,
            CODING,
            "hello",
        ));
    }
    for method in [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "X",
    ] {
        let line = format!("{method} /x HTTP/1.1");
        let wire = format!("{line}\r\nHost: a.test\r\n{CODING}\r\n\r\n{CHUNKS}");
        cases.push(forwarded(method, &wire, &line, CODING, "hello"));
        let wire = format!("{line}\r\nHost: a.test\r\n{CODING}\r\n\r\n0\r\n\r\n");
        cases.push(forwarded(
            &format!("{method}, no chunk"),
            &wire,
            &line,
            CODING,
            "",
        ));
        let wire = format!(
            "{line}\r\nHost: a.test\r\n{CODING}\r\n\r\n{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n",
            SMUGGLED.len()
        );
        cases.push(forwarded(
            &format!("{method}, a request in a chunk"),
            &wire,
            &line,
            CODING,
            SMUGGLED,
        ));
    }
    let wire = format!("TRACE /x HTTP/1.1\r\nHost: a.test\r\n{CODING}\r\n\r\n{CHUNKS}");
    cases.push(refused(400, "TRACE", &wire));
    check(&cases);
}
