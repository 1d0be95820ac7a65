//! Chunked coding (RFC 9112 section 7.1): sizes, extensions, ends of lines, trailers. What comes out is chunked anew.

use super::case::{Case, SMUGGLED, check, cut, forwarded, post, unfinished};

const LINE: &str = "POST /x HTTP/1.1";
const CODING: &str = "Transfer-Encoding: chunked";

fn with(body: &str) -> String {
    post(&format!("{CODING}\r\n"), body)
}

fn bad(what: &str, body: &str) -> Case {
    cut(400, what, &with(body))
}

fn good(what: &str, wire: &str, body: &str) -> Case {
    forwarded(what, &with(wire), LINE, CODING, body)
}

#[test]
fn a_size_is_hexadecimal_digits_alone() {
    let mut cases: Vec<Case> = [
        "",
        " ",
        "0x5",
        "0X5",
        "x5",
        "-5",
        "--5",
        "+5",
        " 5",
        "\t5",
        "5 ",
        "5\t",
        "5h",
        "g",
        "5.0",
        "5,",
        "5,5",
        "5_",
        "_5",
        "0_5",
        "5_0",
        "\"5\"",
        "'5'",
        "5\0",
        "\x005",
        "5\u{b}",
        "5\u{c}",
        "5\u{a0}",
        "\u{a0}5",
        "5\u{b2}",
        "\u{ef}\u{bc}\u{95}",
        "\u{ff}",
        "5:",
        "5=",
        "5/",
        "#5",
        "%35",
        "\\5",
        "5\\",
        "h5",
        "5L",
        "5u",
        "00000000000000005",
        "10000000000000005",
        "ffffffffffffffff",
        "fffffffffffffffb",
        "8000000000000005",
        "ffffffffffffffffffffffff",
        "100000000000000005",
    ]
    .iter()
    .map(|size| {
        bad(
            &format!("{size:?}"),
            &format!("{size}\r\nhello\r\n0\r\n\r\n"),
        )
    })
    .collect();
    for size in [
        "0x0",
        "-0",
        "+0",
        " 0",
        "0 ",
        "0\t",
        "0_",
        "0,",
        "0.0",
        "\0",
        "0\0",
        "00000000000000000",
        "0-",
        "o",
        "",
    ] {
        cases.push(bad(
            &format!("{size:?} for the last"),
            &format!("5\r\nhello\r\n{size}\r\n\r\n"),
        ));
    }
    cases.push(bad(
        "a thousand digits",
        &format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(1000)),
    ));
    for (what, wire) in [
        ("plain", "5\r\nhello\r\n0\r\n\r\n"),
        ("zeros before", "0005\r\nhello\r\n000\r\n\r\n"),
        (
            "zeros to sixteen digits",
            "0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n",
        ),
        ("two chunks", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        (
            "a byte a chunk",
            "1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n",
        ),
    ] {
        cases.push(good(what, wire, "hello"));
    }
    cases.push(good(
        "small letters",
        "a\r\n0123456789\r\n0\r\n\r\n",
        "0123456789",
    ));
    cases.push(good(
        "capital letters",
        "A\r\n0123456789\r\n0\r\n\r\n",
        "0123456789",
    ));
    let long = "x".repeat(0x1_2345);
    cases.push(good(
        "a large chunk",
        &format!("12345\r\n{long}\r\n0\r\n\r\n"),
        &long,
    ));
    check(&cases);
}

#[test]
fn lines_end_in_cr_lf_alone() {
    let mut cases = Vec::new();
    for (what, wire) in [
        ("a bare LF after the size", "5\nhello\r\n0\r\n\r\n"),
        ("a bare CR after the size", "5\rhello\r\n0\r\n\r\n"),
        ("CR CR LF after the size", "5\r\r\nhello\r\n0\r\n\r\n"),
        ("LF CR after the size", "5\n\rhello\r\n0\r\n\r\n"),
        (
            "CR and another byte after the size",
            "5\rX\nhello\r\n0\r\n\r\n",
        ),
        ("a bare LF after the data", "5\r\nhello\n0\r\n\r\n"),
        ("a bare CR after the data", "5\r\nhello\r0\r\n\r\n"),
        ("CR CR LF after the data", "5\r\nhello\r\r\n0\r\n\r\n"),
        ("nothing after the data", "5\r\nhello0\r\n\r\n"),
        ("two spaces after the data", "5\r\nhello  0\r\n\r\n"),
        ("any two bytes after the data", "5\r\nhelloXX0\r\n\r\n"),
        ("one byte more", "5\r\nhello!\r\n0\r\n\r\n"),
        ("one byte less", "6\r\nhello\r\n0\r\n\r\n"),
        (
            "an empty line after the data",
            "5\r\nhello\r\n\r\n0\r\n\r\n",
        ),
        (
            "an empty line before the size",
            "\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        ("a bare LF after the last size", "5\r\nhello\r\n0\n\r\n"),
        ("bare LFs at the end", "5\r\nhello\r\n0\n\n"),
        ("a bare LF at the end", "5\r\nhello\r\n0\r\n\n"),
        ("CR CR LF at the end", "5\r\nhello\r\n0\r\n\r\r\n"),
        ("CR and another byte at the end", "5\r\nhello\r\n0\r\n\rX"),
        ("NUL before the end", "5\r\nhello\r\n0\r\n\0\r\n"),
        ("a space before the end", "5\r\nhello\r\n0\r\n \r\n"),
        (
            "TERM.EXT: a bare LF in an extension",
            "5;x\nhello\r\n0\r\n\r\n",
        ),
        (
            "TERM.EXT with a request",
            "2;\nxx\r\n4c\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
        ),
        ("a bare CR in an extension", "5;x\ry\r\nhello\r\n0\r\n\r\n"),
        ("CR CR LF after an extension", "5;x\r\r\nhello\r\n0\r\n\r\n"),
        (
            "a bare LF in an extension of the last",
            "5\r\nhello\r\n0;x\n\r\n",
        ),
        ("EXT.TERM", "5;\nhello\r\n0\r\n\r\n"),
        (
            "TERM.SPILL: a bare LF after one byte more",
            "5\r\nhelloX\n0\r\n\r\n",
        ),
        ("SPILL.TERM", "5\r\nhello\r\nX0\r\n\r\n"),
    ] {
        cases.push(bad(what, wire));
    }
    check(&cases);
}

#[test]
fn extensions_are_left_out_and_bounded() {
    let mut cases = Vec::new();
    for (what, wire) in [
        ("a name", "5;x\r\nhello\r\n0\r\n\r\n"),
        ("a name and a value", "5;x=y\r\nhello\r\n0\r\n\r\n"),
        (
            "a value in quotation marks",
            "5;x=\"y;z\"\r\nhello\r\n0\r\n\r\n",
        ),
        ("white space", "5; x = y ; z\r\nhello\r\n0\r\n\r\n"),
        ("white space before it", "5 \t;x\r\nhello\r\n0 ;y\r\n\r\n"),
        ("several", "5;x=1;y=2;z\r\nhello\r\n0\r\n\r\n"),
        ("of the last chunk", "5\r\nhello\r\n0;x=y\r\n\r\n"),
        ("high bytes", "5;x=\u{e9}\r\nhello\r\n0\r\n\r\n"),
        ("a size in one", "5;6\r\nhello\r\n0\r\n\r\n"),
        (
            "a quotation mark that stays open",
            "5;x=\"\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        cases.push(good(what, wire, "hello"));
    }
    for byte in (0..0x20_u8).chain([0x7f]).filter(|b| *b != b'\t') {
        let byte = char::from(byte);
        cases.push(bad(
            &format!("{byte:?} in one"),
            &format!("5;x{byte}y\r\nhello\r\n0\r\n\r\n"),
        ));
    }
    let long = "x".repeat(20_000);
    cases.push(bad(
        "a long one",
        &format!("5;{long}\r\nhello\r\n0\r\n\r\n"),
    ));
    cases.push(bad(
        "a long one of the last",
        &format!("5\r\nhello\r\n0;{long}\r\n\r\n"),
    ));
    let some = format!("1;{}\r\nx\r\n", "y".repeat(4000)).repeat(50);
    cases.push(bad("many for little data", &format!("{some}0\r\n\r\n")));
    let few = "1;a=b\r\nx\r\n".repeat(500);
    cases.push(good(
        "short ones, many",
        &format!("{few}0\r\n\r\n"),
        &"x".repeat(500),
    ));
    check(&cases);
}

#[test]
fn trailers_are_fields_and_left_out() {
    let mut cases = Vec::new();
    for (what, trailers) in [
        ("one", "X: y\r\n"),
        ("several", "X: y\r\nZ: z\r\nX: z\r\n"),
        ("an empty one", "X:\r\n"),
        ("a length", "Content-Length: 50\r\n"),
        ("a coding", "Transfer-Encoding: chunked\r\n"),
        ("a host", "Host: b.test\r\n"),
        ("an address", "X-Forwarded-For: 1.2.3.4\r\n"),
        ("a request in one", "X: GET /smuggled HTTP/1.1\r\n"),
        ("high bytes", "X: \u{e9}\r\n"),
    ] {
        let wire = format!("5\r\nhello\r\n0\r\n{trailers}\r\n");
        cases.push(
            good(what, &wire, "hello")
                .lacks("x")
                .lacks("x-y")
                .has("host", "a.test"),
        );
    }
    for (what, trailers) in [
        (
            "a request line",
            "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n",
        ),
        ("no colon", "X\r\n"),
        ("no name", ": y\r\n"),
        ("a space before the name", " X: y\r\n"),
        ("a tab before the name", "\tX: y\r\n"),
        ("a space before the colon", "X : y\r\n"),
        ("a tab before the colon", "X\t: y\r\n"),
        ("a folded one", "X: y\r\n z\r\n"),
        ("a space in the name", "X Y: z\r\n"),
        ("a bare LF", "X: y\n"),
        ("a bare LF within", "X: y\nZ: z\r\n"),
        ("a bare CR within", "X: y\rZ: z\r\n"),
        ("CR CR LF", "X: y\r\r\n"),
        ("NUL in the value", "X: \0\r\n"),
        ("NUL in the name", "X\0: y\r\n"),
        ("DEL in the value", "X: \u{7f}\r\n"),
        ("a high byte in the name", "X\u{e9}: y\r\n"),
        ("a name in brackets", "[X]: y\r\n"),
        ("another chunk", "5\r\nhello\r\n0\r\n"),
    ] {
        cases.push(bad(what, &format!("5\r\nhello\r\n0\r\n{trailers}\r\n")));
    }
    let many = "X: y\r\n".repeat(5_000);
    cases.push(bad("too many", &format!("5\r\nhello\r\n0\r\n{many}\r\n")));
    cases.push(bad(
        "a long one",
        &format!("5\r\nhello\r\n0\r\nX: {}\r\n\r\n", "y".repeat(20_000)),
    ));
    check(&cases);
}

#[test]
fn chunks_that_do_not_end_are_never_complete() {
    let mut cases = Vec::new();
    for (what, wire) in [
        ("nothing", String::new()),
        ("half a size", "5".to_owned()),
        ("a size", "5\r\n".to_owned()),
        ("half the data", "5\r\nhel".to_owned()),
        ("the data", "5\r\nhello\r\n".to_owned()),
        ("a CR of the last chunk", "5\r\nhello\r\n0\r".to_owned()),
        ("no empty line", "5\r\nhello\r\n0\r\n".to_owned()),
        ("half an empty line", "5\r\nhello\r\n0\r\n\r".to_owned()),
        (
            "trailers without an end",
            "5\r\nhello\r\n0\r\nX: y\r\n".to_owned(),
        ),
        ("2^32 and 5", "100000005\r\nhello\r\n0\r\n\r\n".to_owned()),
        (
            "a large chunk with a request in it",
            format!("fffffff\r\n{SMUGGLED}"),
        ),
        ("an extension without an end", "5;x".to_owned()),
    ] {
        cases.push(unfinished(what, &with(&wire)));
    }
    check(&cases);
}
