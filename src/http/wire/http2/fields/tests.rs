use super::*;

const LIMITS: HeadLimits = HeadLimits {
    header: 1000,
    uri: 200,
    body: 0,
};

type Lines<'a> = Vec<(&'a [u8], &'a [u8])>;

fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        write_literal(name, value, &mut block);
    }
    block
}

fn unfit_at(place: Place, fields: &[(&[u8], &[u8])]) -> Option<Unfit> {
    let mut written = Vec::new();
    let section = read(
        &mut Decoder::new(),
        &block(fields),
        place,
        &LIMITS,
        false,
        &mut written,
    );
    section.unwrap().unfit
}

#[test]
fn responses_have_a_status_and_nothing_else_that_is_pseudo() {
    let response = Place::Response { ends: false };
    let status = |status| unfit_at(response, &[(b":status", status), (b"x", b"y")]);
    for good in [&b"100"[..], b"103", b"200", b"599"] {
        assert_eq!(status(good), None);
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
        assert_eq!(status(bad), Some(Unfit::Status), "{bad:?}");
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
        assert_eq!(unfit_at(response, fields), Some(unfit));
    }
    assert_eq!(
        unfit_at(response, &[(b":status", b"200"), (b"content_length", b"1")]),
        None
    );
    let ends = Place::Response { ends: true };
    assert_eq!(unfit_at(ends, &[(b":status", b"204")]), None);
    assert_eq!(
        unfit_at(ends, &[(b":status", b"103")]),
        Some(Unfit::Interim)
    );
    let trailers = |ends, fields| unfit_at(Place::Trailers { ends }, fields);
    assert_eq!(trailers(true, &[(b"grpc-status", b"0")]), None);
    assert_eq!(
        trailers(false, &[(b"grpc-status", b"0")]),
        Some(Unfit::OpenEnd)
    );
    assert_eq!(trailers(true, &[(b":status", b"200")]), Some(Unfit::Pseudo));
}

#[test]
fn white_space_around_a_value_of_a_response_goes() {
    let fields: Lines<'_> = vec![
        (b":status", b"200"),
        (b"x", b"y"),
        (b"grpc-message", b" not here\t"),
        (b"z", b" "),
    ];
    let (block, mut written) = (block(&fields), Vec::new());
    let place = Place::Response { ends: false };
    let mut decoder = Decoder::new();
    let section = read(&mut decoder, &block, place, &LIMITS, false, &mut written).unwrap();
    assert_eq!((section.unfit, section.anew), (None, true));
    assert_eq!(section.status, Some(200));
    let mut said = Vec::new();
    let write = |name: &[u8], value: &[u8]| said.push((name.to_vec(), value.to_vec()));
    Decoder::new().decode(section.written(), write).unwrap();
    let said: Vec<_> = said.iter().map(|(n, v)| (&n[..], &v[..])).collect();
    let trimmed: Lines<'_> = vec![
        (b":status", b"200"),
        (b"x", b"y"),
        (b"grpc-message", b"not here"),
        (b"z", b""),
    ];
    assert_eq!(said, trimmed);
}
