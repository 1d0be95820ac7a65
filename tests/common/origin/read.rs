//! Reading one request off a connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::Request;

/// The next request; `None` at the end of the connection.
pub fn read_request(
    stream: &TcpStream,
    pending: &mut Vec<u8>,
    connection: usize,
) -> io::Result<Option<Request>> {
    let mut buffer = [0; 16 * 1024];
    let mut fill = |pending: &mut Vec<u8>| -> io::Result<bool> {
        let mut stream = stream;
        let n = stream.read(&mut buffer)?;
        pending.extend_from_slice(&buffer[..n]);
        Ok(n > 0)
    };
    let end = loop {
        if let Some(at) = pending.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if !fill(pending)? {
            return Ok(None);
        }
    };
    let head: Vec<u8> = pending.drain(..end + 4).collect();
    let text: String = head[..end].iter().map(|&b| char::from(b)).collect();
    let mut lines = text.split("\r\n");
    let mut first = lines
        .next()
        .unwrap_or_default()
        .split(' ')
        .map(str::to_owned);
    let mut request = Request {
        method: first.next().unwrap_or_default(),
        target: first.next().unwrap_or_default(),
        version: first.next().unwrap_or_default(),
        headers: lines
            .filter_map(|l| l.split_once(':'))
            .map(|(n, v)| (n.to_owned(), v.trim().to_owned()))
            .collect(),
        body: Vec::new(),
        connection,
    };
    if request.header("expect").is_some() {
        let mut stream = stream;
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let chunked = request
        .header("transfer-encoding")
        .is_some_and(|v| v.eq_ignore_ascii_case("chunked"));
    let length: usize = request
        .header("content-length")
        .and_then(|v| v.parse().ok())
        .unwrap_or_default();
    if chunked {
        loop {
            let line_end = loop {
                if let Some(at) = pending.windows(2).position(|w| w == b"\r\n") {
                    break at;
                }
                if !fill(pending)? {
                    return Ok(None);
                }
            };
            let line: Vec<u8> = pending.drain(..line_end + 2).collect();
            let size = String::from_utf8_lossy(&line[..line_end]).into_owned();
            let size = size.split(';').next().unwrap_or_default().trim().to_owned();
            let size = usize::from_str_radix(&size, 16).map_err(io::Error::other)?;
            while pending.len() < size + 2 {
                if !fill(pending)? {
                    return Ok(None);
                }
            }
            let chunk: Vec<u8> = pending.drain(..size + 2).collect();
            if size == 0 {
                break;
            }
            request.body.extend_from_slice(&chunk[..size]);
        }
    } else {
        while pending.len() < length {
            if !fill(pending)? {
                return Ok(None);
            }
        }
        request.body = pending.drain(..length).collect();
    }
    Ok(Some(request))
}
