use proptest::prelude::*;

use super::*;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Broken> {
    let mut fields = Vec::new();
    decoder.decode(block, |name, value| {
        fields.push((name.into(), value.into()));
    })?;
    Ok(fields)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn check(decoder: &mut Decoder, block: &str, fields: &[(&str, &str)], table: &[(&str, &str)]) {
    let decoded = decode(decoder, &hex(block)).unwrap();
    let expected: Fields = fields
        .iter()
        .map(|(n, v)| ((*n).into(), (*v).into()))
        .collect();
    assert_eq!(decoded, expected);
    let held = decoder.table.fields();
    let held: Vec<_> = held.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(held, table);
}

#[test]
fn requests_of_the_rfc_share_a_table() {
    // RFC 7541 appendix C.3 and, with the Huffman code, C.4.
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    let host = (":authority", "www.example.com");
    let cache = ("cache-control", "no-cache");
    let custom = ("custom-key", "custom-value");
    for blocks in [plain, coded] {
        let mut decoder = Decoder::new();
        let get = (":method", "GET");
        check(
            &mut decoder,
            blocks[0],
            &[get, (":scheme", "http"), (":path", "/"), host],
            &[host],
        );
        check(
            &mut decoder,
            blocks[1],
            &[get, (":scheme", "http"), (":path", "/"), host, cache],
            &[cache, host],
        );
        check(
            &mut decoder,
            blocks[2],
            &[
                get,
                (":scheme", "https"),
                (":path", "/index.html"),
                host,
                custom,
            ],
            &[custom, cache, host],
        );
        assert_eq!(decoder.table.size(), 164);
    }
}

#[test]
fn old_entries_give_way() {
    let mut decoder = Decoder::new();
    // The size becomes 64: room for one of these.
    decode(&mut decoder, &[0x3f, 0x21, 0x40, 1, b'a', 1, b'b']).unwrap();
    assert_eq!(decoder.table.fields(), [("a".into(), "b".into())]);
    decode(&mut decoder, &[0x40, 1, b'c', 1, b'd']).unwrap();
    assert_eq!(decoder.table.fields(), [("c".into(), "d".into())]);
    let mut large = vec![0x40, 1, b'e', 40];
    large.extend([b'f'; 40]);
    decode(&mut decoder, &large).unwrap();
    assert_eq!(decoder.table.fields(), [], "larger than the table");
    assert_eq!(decode(&mut decoder, &[0xbe]), Err(Broken));
}

#[test]
fn a_name_may_be_that_of_an_entry_which_gives_way_to_its_own_field() {
    let mut decoder = Decoder::new();
    decode(&mut decoder, &[0x3f, 0x21, 0x40, 1, b'a', 1, b'b']).unwrap();
    let fields = decode(&mut decoder, &[0x7e, 1, b'c']).unwrap();
    assert_eq!(fields, [(b"a".to_vec(), b"c".to_vec())]);
    assert_eq!(decoder.table.fields(), [("a".into(), "c".into())]);
}

#[test]
fn what_cannot_be_read_is_broken() {
    for (what, block) in [
        ("index 0", &[0x80][..]),
        ("an index beyond the tables", &[0xbe]),
        ("a name beyond the tables", &[0x7f, 0x80, 0x01, 0x00]),
        ("no value", &[0x40, 1, b'a']),
        ("half a name", &[0x40, 5, b'a']),
        ("half an integer", &[0xff]),
        (
            "an endless integer",
            &[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
        ),
        ("a size above what was announced", &[0x3f, 0xe2, 0x1f]),
        ("a size after a field", &[0x82, 0x20]),
        ("a string that ends wrongly", &[0x00, 0x81, 0x00, 0x00]),
    ] {
        assert_eq!(decode(&mut Decoder::new(), block), Err(Broken), "{what}");
    }
    assert_eq!(decode(&mut Decoder::new(), &[0x3f, 0xe1, 0x1f]), Ok(vec![]));
}

#[test]
fn lengths_are_written_as_they_are_read() {
    for length in [0, 1, 126, 127, 128, 254, 255, 256, 16_000, 70_000] {
        let value = vec![b'v'; length];
        let mut block = Vec::new();
        write_literal(b"x", &value, &mut block);
        let fields = decode(&mut Decoder::new(), &block).unwrap();
        assert_eq!(fields, [(b"x".to_vec(), value)]);
    }
}

proptest! {
    #[test]
    fn literals_say_what_was_written(
        fields in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), prop::collection::vec(any::<u8>(), 0..200)), 0..8),
    ) {
        let mut block = Vec::new();
        for (name, value) in &fields {
            write_literal(name, value, &mut block);
        }
        prop_assert_eq!(decode(&mut Decoder::new(), &block), Ok(fields));
    }

    /// Whatever comes: no panic, and the table is as large as it may be at most.
    #[test]
    fn arbitrary_blocks_never_panic(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..6),
    ) {
        let mut decoder = Decoder::new();
        for block in blocks {
            let _ = decode(&mut decoder, &block);
            prop_assert!(decoder.table.size() <= TABLE_SIZE);
        }
    }
}
