//! ClientHellos: what is found in one doesn't depend on how it comes.

use equipoise::tls::client_hello::Reader;

/// One input; its first byte says how long the pieces are.
pub fn run(data: &[u8]) {
    let Some((piece, data)) = data.split_first() else {
        return;
    };
    let whole = Reader::default().read(data);
    let mut reader = Reader::default();
    let mut end = 0;
    let in_pieces = loop {
        let found = reader.read(&data[..end]);
        if end == data.len() || found != Ok(None) {
            break found;
        }
        end = (end + 1 + usize::from(*piece)).min(data.len());
    };
    assert_eq!(in_pieces, whole);
    let Ok(Some(hello)) = whole else { return };
    if let Some(name) = hello.server_name {
        assert!(!name.is_empty() && name.is_ascii());
        assert_eq!(*name, *name.to_ascii_lowercase());
    }
}
