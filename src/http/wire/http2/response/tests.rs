use super::super::hpack::write_literal;
use super::*;

fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        write_literal(name, value, &mut block);
    }
    block
}

fn header(fields: &[(&[u8], &[u8])]) -> Result<ResponseBlock, Unfit> {
    read(&mut Decoder::new(), &block(fields)).unwrap()
}

fn trailers(fields: &[(&[u8], &[u8])]) -> Result<Fields, Unfit> {
    read_trailers(&mut Decoder::new(), &block(fields)).unwrap()
}

#[test]
fn responses_have_a_status_and_nothing_else_that_is_pseudo() {
    let status = |status| header(&[(b":status", status), (b"x", b"y")]);
    for good in [&b"100"[..], b"103", b"200", b"599"] {
        let read = status(good).unwrap().header;
        assert_eq!(read.status.as_str().as_bytes(), good);
        assert_eq!(read.version, Version::HTTP_2);
        assert_eq!(read.headers.get("x").unwrap(), "y");
    }
    for bad in [
        &b""[..],
        b"20",
        b"2000",
        b"099",
        b"600",
        b"101",
        b"2x0",
        b" 200",
        b"+20",
        b"\xff00",
    ] {
        assert_eq!(status(bad).unwrap_err(), Unfit::Status, "{bad:?}");
    }
    for (fields, unfit) in [
        (&[(&b"x"[..], &b"y"[..])][..], Unfit::PseudoMissing),
        (&[], Unfit::PseudoMissing),
        (
            &[(b":status", b"200"), (b":status", b"200")],
            Unfit::PseudoTwice,
        ),
        (&[(b"x", b"y"), (b":status", b"200")], Unfit::PseudoOrder),
        (&[(b":status", b"200"), (b":path", b"/")], Unfit::Pseudo),
        (&[(b":status", b"200"), (b"X", b"y")], Unfit::Name),
        (
            &[(b":status", b"200"), (b"connection", b"close")],
            Unfit::ConnectionField,
        ),
        (&[(b":status", b"200"), (b"x", b"a\nb")], Unfit::Value),
        (&[(b":status", b"200"), (b"x", b"a\n")], Unfit::Value),
        (
            &[(b":status", b"200"), (b"content-length", b"x")],
            Unfit::Length,
        ),
    ] {
        assert_eq!(header(fields).unwrap_err(), unfit);
    }
    let odd = header(&[(b":status", b"200"), (b"content_length", b"1")]);
    assert_eq!(odd.unwrap().length, None);
    let sized = header(&[(b":status", b"200"), (b"content-length", b"17")]);
    assert_eq!(sized.unwrap().length, Some(17));
}

#[test]
fn trailers_have_no_pseudo_fields() {
    let read = trailers(&[(b"grpc-status", b"0")]).unwrap();
    assert_eq!(read.get("grpc-status").unwrap(), "0");
    let unfit = trailers(&[(b":status", b"200")]).unwrap_err();
    assert_eq!(unfit, Unfit::Pseudo);
    assert!(trailers(&[]).unwrap().is_empty());
}

#[test]
fn white_space_around_a_value_goes() {
    let fields: [(&[u8], &[u8]); 4] = [
        (b":status", b"200"),
        (b"x", b"y"),
        (b"grpc-message", b" not here\t"),
        (b"z", b" "),
    ];
    let read = header(&fields).unwrap().header.headers;
    let said: Vec<_> = read.iter().map(|(_, v)| v.as_bytes().to_vec()).collect();
    assert_eq!(said, [&b"y"[..], b"not here", b""]);
    let read = trailers(&fields[1..]).unwrap();
    assert_eq!(read.get("grpc-message").unwrap(), "not here");
}

#[test]
fn there_is_a_limit_of_size_and_number() {
    let long = vec![b'a'; LIMITS.header];
    let large = header(&[(b":status", b"200"), (b"x", &long)]);
    assert_eq!(large.unwrap_err(), Unfit::Large);
    let mut many: Vec<(&[u8], &[u8])> = vec![(b":status", b"200")];
    many.extend((0..=MAX_FIELDS).map(|_| (&b"x"[..], &b"y"[..])));
    assert_eq!(header(&many).unwrap_err(), Unfit::Many);
    many.pop();
    assert!(header(&many).is_ok());
}
