//! PROXY headers: a verdict doesn't depend on how they come, what is behind them is left alone, and what was understood is
//! understood again when it is passed on.

use equipoise::proxy_protocol::{Addresses, Facts, Malformed, Version, Writer, kind, read};

/// One input.
pub fn run(data: &[u8]) {
    let whole = read(data);
    for end in 0..data.len() {
        match (read(&data[..end]), &whole) {
            // It was too early to tell.
            (Ok(None), _) => {}
            (Ok(Some((header, length))), whole) => {
                assert!(length <= end);
                assert_eq!(*whole, Ok(Some((header, length))));
            }
            (Err(why), whole) => {
                assert!(whole.is_err(), "{why} before {end}, and then {whole:?}");
            }
        }
    }
    let Ok(Some((header, length))) = whole else {
        return;
    };
    assert!(length <= data.len());
    assert_eq!(read(&data[..length]), Ok(Some((header.clone(), length))));
    assert!(header.tlvs.find(kind::CRC32C).is_none());
    let facts = Facts {
        passed: Some(&header.tlvs),
        ..Facts::default()
    };
    let passed = Writer(Version::V2).header(&header.addresses, &facts);
    let (again, length) = read(&passed).expect("ours is in order").expect("and whole");
    assert_eq!(length, passed.len());
    if header.addresses == Addresses::Local {
        assert_eq!(again.addresses, Addresses::Local);
    } else {
        assert_eq!(again, header);
    }
    let line = Writer(Version::V1).header(&header.addresses, &facts);
    assert_ne!(read(&line), Err(Malformed::Line));
    assert!(line.len() <= 107 && line.ends_with(b"\r\n"));
}
