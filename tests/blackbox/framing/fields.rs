//! Field lines (RFC 9112 section 5).

use super::case::{Case, SMUGGLED, check, forwarded, get, refused, unfinished};

#[test]
fn field_lines_that_can_be_read_in_two_ways_are_refused() {
    let rows = [
        ("a folded line", "X: y\r\n z\r\n"),
        ("a line folded with a tab", "X: y\r\n\tz\r\n"),
        ("a folded field", "X: y\r\n Z: z\r\n"),
        ("a line of white space", "X: y\r\n \r\n"),
        (
            "a line of white space at the end",
            "X: y\r\n \r\n\r\nX: z\r\n",
        ),
        ("a space before the name", " X: y\r\n"),
        ("a space before the colon", "X : y\r\n"),
        ("a tab before the colon", "X\t: y\r\n"),
        ("a space in the name", "X Y: z\r\n"),
        ("no colon", "X\r\n"),
        ("no colon but a value", "X y\r\n"),
        ("an equals sign for a colon", "X=y\r\n"),
        ("a request line", "GET /y HTTP/1.1\r\n"),
        ("an empty name", ": y\r\n"),
        ("a colon alone", ":\r\n"),
        ("a pseudo-field", ":path: /y\r\n"),
        ("another pseudo-field", ":authority: b.test\r\n"),
        ("a bare LF at the end", "X: y\nZ: z\r\n"),
        ("a bare LF at the end of all", "X: y\n"),
        ("a bare CR in a value", "X: y\rZ: z\r\n"),
        ("CR CR LF", "X: y\r\r\n"),
        ("LF CR", "X: y\n\rZ: z\r\n"),
        ("a CR before a name", "\rX: y\r\n"),
        ("CR and white space", "X: y\r \r\n"),
        ("NUL before a name", "\0X: y\r\n"),
        ("a name in quotation marks", "\"X\": y\r\n"),
        ("a name in brackets", "[X]: y\r\n"),
        ("a name with a parameter", "X;q=1: y\r\n"),
        ("a name that isn't ASCII", "X\u{e9}: y\r\n"),
        ("a name that begins with a high byte", "\u{ff}X: y\r\n"),
        (
            "a line feed encoded in UTF-8 with two bytes, and not shortest",
            "X\u{c0}\u{8a}: y\r\n",
        ),
        ("a comment for a name", "#X: y\r\n#: \0\r\n"),
    ];
    let mut cases: Vec<Case> = rows
        .iter()
        .map(|(what, fields)| refused(400, what, &get(fields)))
        .collect();
    for byte in (0..0x20_u8).chain([0x7f]).filter(|b| *b != b'\t') {
        let byte = char::from(byte);
        cases.push(refused(
            400,
            &format!("{byte:?} in a value"),
            &get(&format!("X: y{byte}z\r\n")),
        ));
        cases.push(refused(
            400,
            &format!("{byte:?} at a value's begin"),
            &get(&format!("X: {byte}z\r\n")),
        ));
    }
    for byte in "\0\t\n\r \"(),/;<=>?@[\\]{}\u{7f}\u{80}\u{a0}\u{ff}".chars() {
        cases.push(refused(
            400,
            &format!("{byte:?} in a name"),
            &get(&format!("X{byte}Y: z\r\n")),
        ));
        cases.push(refused(
            400,
            &format!("{byte:?} at a name's end"),
            &get(&format!("X{byte}: z\r\n")),
        ));
    }
    for (what, end) in [
        ("LF LF at the end", "\n\n"),
        ("CR LF LF at the end", "\r\n\n"),
        ("LF CR LF at the end", "\n\r\n"),
        ("CR CR LF CR LF at the end", "\r\r\n\r\n"),
    ] {
        let wire = format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX: y{end}");
        cases.push(refused(400, what, &wire));
    }
    cases.push(refused(
        431,
        "a large field",
        &get(&format!("X: {}\r\n", "y".repeat(70_000))),
    ));
    cases.push(refused(431, "many fields", &get(&"X: y\r\n".repeat(201))));
    check(&cases);
}

#[test]
fn fields_that_are_only_odd_pass_as_they_are() {
    let mut cases = Vec::new();
    for (name, value) in [
        ("X", ""),
        ("X", "y:z"),
        ("X", "\"y, z\""),
        ("X", "caf\u{e9}"),
        ("X", "\u{80}\u{ff}"),
        ("X", "a\tb"),
        ("X", "GET /smuggled HTTP/1.1"),
        ("X-Content-Length", "5"),
        ("Content-Lenght", "5"),
        ("ContentLength", "5"),
        ("X-Transfer-Encoding", "chunked"),
        ("Content-Encoding", "chunked"),
        ("Transfer-Encodings", "chunked"),
        ("X!#$%&'*+-.^_`|~", "y"),
        ("api_key", "z"),
        ("1", "2"),
        ("X-HTTP-Method-Override", "DELETE"),
    ] {
        let wire = get(&format!("{name}: {value}\r\n"));
        cases.push(
            forwarded(
                &format!("{name}: {value}"),
                &wire,
                "GET /x HTTP/1.1",
                "",
                "",
            )
            .has(name, value),
        );
    }
    let wire = get("X:y\r\nZ: \t z \t\r\n");
    cases.push(
        forwarded(
            "white space around values",
            &wire,
            "GET /x HTTP/1.1",
            "",
            "",
        )
        .has("X", "y")
        .has("Z", "z"),
    );
    let many: String = (0..150).map(|n| format!("X-{n}: y\r\n")).collect();
    cases.push(forwarded("many fields", &get(&many), "GET /x HTTP/1.1", "", "").has("X-149", "y"));
    check(&cases);
}

#[test]
fn names_that_some_servers_take_for_framing_are_refused() {
    let mut cases = Vec::new();
    for name in [
        "Content_Length",
        "content_length",
        "CONTENT_LENGTH",
        "Content.Length",
        "Content~Length",
        "Content'Length",
        "Transfer_Encoding",
        "transfer_encoding",
        "Transfer.Encoding",
        "TRANSFER_ENCODING",
        "Transfer+Encoding",
        "Transfer|Encoding",
    ] {
        let value = if name.to_ascii_lowercase().starts_with('c') {
            "46"
        } else {
            "chunked"
        };
        let fields = format!("{name}: {value}\r\n");
        cases.push(refused(400, name, &get(&fields)));
        let with_length =
            format!("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n{fields}\r\nhello");
        cases.push(refused(
            400,
            &format!("{name} beside Content-Length"),
            &with_length,
        ));
    }
    check(&cases);
}

#[test]
fn a_header_that_does_not_end_is_no_request() {
    let mut cases = Vec::new();
    for (what, wire) in [
        ("half a line", "GET /x HT"),
        ("a line", "GET /x HTTP/1.1\r\n"),
        ("a field", "GET /x HTTP/1.1\r\nHost: a.test\r\n"),
        ("a CR", "GET /x HTTP/1.1\r\nHost: a.test\r\n\r"),
        ("half a field", "GET /x HTTP/1.1\r\nHost: a.t"),
    ] {
        cases.push(unfinished(what, wire));
    }
    let wire = format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX: {SMUGGLED}");
    let line = "a request in a field that swallows its line";
    cases.push(refused(400, line, &wire));
    check(&cases);
}
