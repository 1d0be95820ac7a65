//! A strict reader of requests, written from RFC 9112 and from nothing else: what a server may rely on.

/// One request, as it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Method, target and version.
    pub line: String,
    /// In order, with their case; a character a byte.
    pub fields: Vec<(String, String)>,
    /// Without chunks.
    pub body: Vec<u8>,
    /// It had chunk extensions or trailers.
    pub frills: bool,
}

/// What bytes are.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// A request, and how many of the bytes it is.
    Whole(Message, usize),
    /// Part of one, as far as can be told.
    Part,
    /// None.
    Broken(&'static str),
}

use Reading::{Broken, Part, Whole};

impl Message {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
            .collect()
    }

    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap()
    }

    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }

    /// Whether the connection goes on after it.
    pub fn keeps(&self) -> bool {
        let has = |token: &str| {
            self.all("connection")
                .iter()
                .flat_map(|v| v.split(','))
                .any(|t| t.trim().eq_ignore_ascii_case(token))
        };
        !has("close") && (self.line.ends_with("1.1") || has("keep-alive"))
    }
}

/// What the bytes begin with.
pub fn read(bytes: &[u8]) -> Reading {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Part;
    };
    let head = &bytes[..end];
    let mut lines = split_lines(head);
    let line = lines.remove(0);
    if let Err(why) = check_line(line) {
        return Broken(why);
    }
    let mut fields = Vec::new();
    for line in lines {
        match field(line) {
            Ok(field) => fields.push(field),
            Err(why) => return Broken(why),
        }
    }
    let mut message = Message {
        line: latin1(line),
        fields,
        body: Vec::new(),
        frills: false,
    };
    let hosts = message.all("host").len();
    if hosts > 1 || (hosts == 0 && message.line.ends_with("1.1")) {
        return Broken("not one Host");
    }
    let (lengths, codings) = (
        message.all("content-length"),
        message.all("transfer-encoding"),
    );
    let rest = &bytes[end + 4..];
    let (body, taken, frills) = match (&lengths[..], &codings[..]) {
        ([], []) => (Vec::new(), 0, false),
        ([length], []) => {
            let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
            let Some(length) = length.parse::<usize>().ok().filter(|_| digits) else {
                return Broken("no length");
            };
            let Some(body) = rest.get(..length) else {
                return Part;
            };
            (body.to_vec(), length, false)
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => match chunked(rest) {
            Ok(Some(read)) => read,
            Ok(None) => return Part,
            Err(why) => return Broken(why),
        },
        _ => return Broken("ambiguous framing"),
    };
    message.body = body;
    message.frills = frills;
    Whole(message, end + 4 + taken)
}

fn check_line(line: &[u8]) -> Result<(), &'static str> {
    let parts: Vec<_> = line.split(|b| *b == b' ').collect();
    let [method, target, version] = parts[..] else {
        return Err("a request line has three parts");
    };
    if method.is_empty() || !method.iter().all(|b| is_tchar(*b)) {
        return Err("no method");
    }
    if target.is_empty() || target.iter().any(|b| *b <= b' ' || *b == 0x7f) {
        return Err("no target");
    }
    if version != b"HTTP/1.1" && version != b"HTTP/1.0" {
        return Err("no version");
    }
    Ok(())
}

fn field(line: &[u8]) -> Result<(String, String), &'static str> {
    let colon = line.iter().position(|b| *b == b':').ok_or("no colon")?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|b| is_tchar(*b)) {
        return Err("no field name");
    }
    if value
        .iter()
        .any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f)
    {
        return Err("a control character in a value");
    }
    Ok((
        latin1(name),
        latin1(value).trim_matches([' ', '\t']).to_owned(),
    ))
}

/// The body, how many bytes it takes, and whether there is more to it than chunks.
type Chunked = Option<(Vec<u8>, usize, bool)>;

fn chunked(bytes: &[u8]) -> Result<Chunked, &'static str> {
    let (mut body, mut at, mut frills) = (Vec::new(), 0, false);
    loop {
        let Some(end) = find(&bytes[at..], b"\n") else {
            return Ok(None);
        };
        let line = bytes[at..at + end].strip_suffix(b"\r").ok_or("a bare LF")?;
        at += end + 1;
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        if extension
            .iter()
            .any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f)
        {
            return Err("a control character in a chunk extension");
        }
        // White space may stand before an extension (RFC 9112 section 7.1.1), but not alone.
        let begun = extension.trim_ascii_start();
        if !extension.is_empty() && !begun.starts_with(b";") {
            return Err("no chunk size");
        }
        frills |= !extension.is_empty();
        let size = std::str::from_utf8(size).unwrap();
        let size = usize::from_str_radix(size, 16).map_err(|_| "no chunk size")?;
        if size == 0 {
            break;
        }
        let Some(data) = bytes
            .get(at..)
            .filter(|b| size < b.len() && b.len() - size >= 2)
        else {
            return Ok(None);
        };
        if &data[size..size + 2] != b"\r\n" {
            return Err("a chunk without its end");
        }
        body.extend_from_slice(&data[..size]);
        at += size + 2;
    }
    loop {
        let Some(end) = find(&bytes[at..], b"\n") else {
            return Ok(None);
        };
        let line = bytes[at..at + end].strip_suffix(b"\r").ok_or("a bare LF")?;
        at += end + 1;
        if line.is_empty() {
            return Ok(Some((body, at, frills)));
        }
        field(line)?;
        frills = true;
    }
}

fn split_lines(head: &[u8]) -> Vec<&[u8]> {
    let (mut lines, mut rest) = (Vec::new(), head);
    while let Some(at) = find(rest, b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    lines
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A character a byte.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// A byte a character; none is beyond U+00FF.
pub fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect()
}
