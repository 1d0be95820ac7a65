//! The first message of a TLS client, read without answering it: the name that it asks for.
//!
//! Source: RFC 8446 sections 4.1.2 and 5.1 (RFC 5246 sections 6.2.1 and 7.4.1.2 for TLS 1.2), RFC 6066 section 3.

/// Bytes on the wire that a client's first message may take, at most; with post-quantum keys and many extensions it has some 17 KB.
pub const LONGEST: usize = 64 * 1024;

/// The record that carries handshakes.
const HANDSHAKE: u8 = 22;
/// Bytes in a record, at most.
const LONGEST_RECORD: usize = 1 << 14;
/// The handshake message that a client begins with.
const CLIENT_HELLO: u8 = 1;
/// The extension that names the server.
const SERVER_NAME: u16 = 0;
/// The only kind of name that there is.
const HOST_NAME: u8 = 0;
/// The longest name of a host (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 255;

/// What a client begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHello {
    /// The name that it asks for, in lower case and without a dot at its end; `None`: it names none, or nothing that is a name.
    pub server_name: Option<Box<str>>,
}

/// It isn't how TLS begins, or it is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what came first is no TLS")]
pub struct NoTls;

/// Reads a ClientHello as it comes, cut into records and pieces however its sender likes.
#[derive(Debug, Default)]
pub struct Reader {
    /// Bytes of records that have been read.
    taken: usize,
    /// What was in them.
    message: Vec<u8>,
}

impl Reader {
    /// Looks at all that has come so far, what was there the last time included. `None`: more has to come.
    ///
    /// # Errors
    ///
    /// It can't become a ClientHello, whatever comes.
    pub fn read(&mut self, all: &[u8]) -> Result<Option<ClientHello>, NoTls> {
        while let Some((record, length)) = record(all.get(self.taken..).unwrap_or_default())? {
            self.message.extend_from_slice(record);
            self.taken += length;
            if let Some(body) = message(&self.message)? {
                let server_name = server_name(body)?;
                return Ok(Some(ClientHello { server_name }));
            }
        }
        if all.len() < LONGEST {
            Ok(None)
        } else {
            Err(NoTls)
        }
    }
}

/// What is in the first record, and how long that is with its header. `None`: it isn't there whole.
fn record(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, NoTls> {
    let begins_well = match bytes {
        [] => true,
        [kind] => *kind == HANDSHAKE,
        [kind, major, ..] => *kind == HANDSHAKE && *major == 3,
    };
    if !begins_well {
        return Err(NoTls);
    }
    let Some(([_, _, _, high, low], rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length == 0 || length > LONGEST_RECORD {
        return Err(NoTls);
    }
    Ok(rest.get(..length).map(|record| (record, 5 + length)))
}

/// The body of the message, once it is there whole.
fn message(bytes: &[u8]) -> Result<Option<&[u8]>, NoTls> {
    if bytes.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
        return Err(NoTls);
    }
    let Some(([_, high, middle, low], rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, *high, *middle, *low]);
    let length = usize::try_from(length).map_err(|_| NoTls)?;
    if length > LONGEST {
        return Err(NoTls);
    }
    Ok(rest.get(..length))
}

/// The name in a message's body.
fn server_name(body: &[u8]) -> Result<Option<Box<str>>, NoTls> {
    let mut extensions = extensions(body).ok_or(NoTls)?;
    while !extensions.is_empty() {
        let (kind, content, rest) = extension(extensions).ok_or(NoTls)?;
        if kind == SERVER_NAME {
            return Ok(host_name(content));
        }
        extensions = rest;
    }
    Ok(None)
}

/// The extensions in a message's body; `None` if it isn't in order.
fn extensions(body: &[u8]) -> Option<&[u8]> {
    let (_version_and_random, rest) = body.split_at_checked(2 + 32)?;
    let (_session, rest) = short_vector(rest)?;
    let (_ciphers, rest) = vector(rest)?;
    let (_compressions, rest) = short_vector(rest)?;
    if rest.is_empty() {
        // They may be left out up to TLS 1.2.
        return Some(rest);
    }
    let (extensions, behind) = vector(rest)?;
    behind.is_empty().then_some(extensions)
}

/// The type and content of the first one, and what is behind it.
fn extension(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let ([high, low], rest) = bytes.split_first_chunk()?;
    let (content, rest) = vector(rest)?;
    Some((u16::from_be_bytes([*high, *low]), content, rest))
}

/// The name of a host in the extension that names the server, in lower case and without a dot at its end.
pub(super) fn host_name(extension: &[u8]) -> Option<Box<str>> {
    let (mut names, _) = vector(extension)?;
    loop {
        let (kind, rest) = names.split_first()?;
        let (name, rest) = vector(rest)?;
        if *kind == HOST_NAME {
            let name = name.strip_suffix(b".").unwrap_or(name);
            let is_name = !name.is_empty()
                && name.len() <= LONGEST_NAME
                && name.iter().all(u8::is_ascii_graphic);
            let name = std::str::from_utf8(name).ok().filter(|_| is_name)?;
            return Some(name.to_ascii_lowercase().into());
        }
        names = rest;
    }
}

/// A list that has its length in one byte, and what is behind it.
fn short_vector(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// A list that has its length in two bytes, and what is behind it.
fn vector(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let ([high, low], rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
}

#[cfg(test)]
mod tests {
    use openssl::ssl::{Ssl, SslContext, SslMethod, SslVersion};
    use proptest::prelude::*;

    use super::*;

    /// What OpenSSL's client says first.
    fn hello(name: Option<&str>, version: SslVersion, padding: usize) -> Vec<u8> {
        let mut context = SslContext::builder(SslMethod::tls_client()).unwrap();
        context.set_max_proto_version(Some(version)).unwrap();
        if padding > 0 {
            let protocols = b"\x08protocol".repeat(padding / 9);
            context.set_alpn_protos(&protocols).unwrap();
        }
        let mut ssl = Ssl::new(&context.build()).unwrap();
        if let Some(name) = name {
            ssl.set_hostname(name).unwrap();
        }
        let mut stream = openssl::ssl::SslStream::new(ssl, Said(Vec::new())).unwrap();
        stream.connect().unwrap_err();
        std::mem::take(&mut stream.get_mut().0)
    }

    /// Takes what is said, and has nothing to say.
    struct Said(Vec<u8>);

    impl std::io::Read for Said {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::WouldBlock.into())
        }
    }

    impl std::io::Write for Said {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn name_in(bytes: &[u8]) -> Result<Option<ClientHello>, NoTls> {
        Reader::default().read(bytes)
    }

    fn asking(name: Option<&str>) -> ClientHello {
        let server_name = name.map(Box::from);
        ClientHello { server_name }
    }

    /// The same handshake in records of so many bytes.
    fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
        let mut message = Vec::new();
        let mut rest = hello;
        while let Some((content, length)) = record(rest).unwrap() {
            message.extend_from_slice(content);
            rest = &rest[length..];
        }
        let records = message.chunks(size).map(|chunk| {
            let length = u16::try_from(chunk.len()).unwrap().to_be_bytes();
            [&[22, 3, 1][..], &length, chunk].concat()
        });
        records.collect::<Vec<_>>().concat()
    }

    #[test]
    fn names_are_found_in_what_openssl_says() {
        for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            for padding in [0, 300, 17_000, 40_000] {
                let found = name_in(&hello(Some("DB.Example.com"), version, padding));
                assert_eq!(found, Ok(Some(asking(Some("db.example.com")))));
                let found = name_in(&hello(None, version, padding));
                assert_eq!(found, Ok(Some(asking(None))));
            }
        }
    }

    #[test]
    fn what_is_something_else_is_told_at_once() {
        for other in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x80\x2e\x01\0\x02",
            b"\x16\x02\0\0\x05",
            b"\x15\x03\x01\0\x02\x01\0",
            b"\x16\x03\x01\0\0",
            b"\x16\x03\x01\xff\xff",
            b"\x16\x03\x01\0\x04\x02\0\0\0",
            b"\x16\x03\x01\0\x04\x01\xff\xff\xff",
            b"\x16\x03\x01\0\x06\x01\0\0\x02\x03\x03",
        ] {
            assert_eq!(name_in(other), Err(NoTls), "{other:?}");
        }
        assert_eq!(name_in(b""), Ok(None));
        assert_eq!(name_in(b"\x16\x03"), Ok(None));
    }

    proptest! {
        /// However it is cut into records and pieces.
        #[test]
        fn pieces_mean_what_the_whole_means(
            size in 1usize..600, piece in 1usize..700, padding in 0usize..2000,
        ) {
            let hello = in_records(&hello(Some("db.example.com"), SslVersion::TLS1_3, padding), size);
            let mut reader = Reader::default();
            let mut end = 0;
            let found = loop {
                end = (end + piece).min(hello.len());
                if let Some(found) = reader.read(&hello[..end]).unwrap() {
                    break found;
                }
                prop_assert!(end < hello.len());
            };
            prop_assert_eq!(found.server_name.as_deref(), Some("db.example.com"));
            prop_assert_eq!(end, hello.len());
        }

        /// Whatever comes: it ends.
        #[test]
        fn anything_is_borne(mut bytes in prop::collection::vec(any::<u8>(), 0..600), whole: bool) {
            if whole && bytes.len() > 9 {
                let length = u16::try_from(bytes.len() - 5).unwrap().to_be_bytes();
                bytes[..5].copy_from_slice(&[22, 3, 1, length[0], length[1]]);
                let length = u16::try_from(bytes.len() - 9).unwrap().to_be_bytes();
                bytes[5..9].copy_from_slice(&[1, 0, length[0], length[1]]);
            }
            drop(name_in(&bytes));
        }
    }
}
