//! The check of type grpc: `grpc.health.v1.Health/Check` of the server as a whole, over HTTP/2
//! (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).

use bytes::Bytes;
use http::{HeaderValue, Method};

use super::Failed;
use super::exchange::{self, Exchange};
use crate::headers::Fields;
use crate::headers::names::{CONTENT_TYPE, TE};
use crate::http::wire::server::Event;

/// A `HealthCheckRequest` for the service of no name, in gRPC's frame: not compressed, no bytes.
const REQUEST: &[u8] = &[0, 0, 0, 0, 0];

/// A `HealthCheckResponse` is a few bytes.
const LIMIT: usize = 4096;

/// `ServingStatus` of the protocol.
const SERVING: u64 = 1;

/// What came back.
struct Answer {
    status: u16,
    is_grpc: bool,
    /// `grpc-status` and `grpc-message`, of the trailers, or of the header where there is no body.
    code: Option<u16>,
    message: String,
    body: Vec<u8>,
}

/// Asks the server how it is. Returns what was seen, in words.
///
/// # Errors
///
/// What was seen instead.
pub async fn check(exchange: &Exchange<'_>) -> Result<String, Failed> {
    let mut request = exchange.request(Method::POST, "/grpc.health.v1.Health/Check", None);
    for (name, value) in [(CONTENT_TYPE, "application/grpc"), (TE, "trailers")] {
        request
            .headers
            .insert(name, HeaderValue::from_static(value));
    }
    let asked = exchange.ask(request, Bytes::from_static(REQUEST), true);
    let answer = whole(asked.await?).await?;
    judge(&answer).map_err(Failed::Unwanted)
}

/// Reads an answer to its end, or as much of it as is looked at.
async fn whole(mut answer: exchange::Answer<'_>) -> Result<Answer, Failed> {
    let head = answer.head().await?;
    let content_type = head.headers.get(CONTENT_TYPE);
    let mut seen = Answer {
        status: head.status.as_u16(),
        is_grpc: content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")),
        code: None,
        message: String::new(),
        body: Vec::new(),
    };
    seen.note(&head.headers);
    loop {
        match answer.next().await {
            Ok(Event::Data(piece)) if seen.body.len() + piece.len() <= LIMIT => {
                seen.body.extend_from_slice(&piece);
            }
            Ok(Event::End(Some(trailers))) => {
                seen.note(&trailers);
                return Ok(seen);
            }
            Ok(_) => return Ok(seen),
            Err(error) => return Err(answer.broken(&error)),
        }
    }
}

impl Answer {
    fn note(&mut self, fields: &Fields) {
        let text = |name: &str| fields.get(name).and_then(|value| value.to_str().ok());
        if let Some(code) = text("grpc-status").and_then(|code| code.parse().ok()) {
            self.code = Some(code);
            text("grpc-message")
                .unwrap_or_default()
                .clone_into(&mut self.message);
        }
    }
}

fn judge(answer: &Answer) -> Result<String, String> {
    if answer.status != 200 || !answer.is_grpc {
        return Err(format!(
            "status {}, and not gRPC: no gRPC server listens there",
            answer.status
        ));
    }
    match answer.code {
        Some(0) => {}
        Some(12) => {
            return Err(
                "gRPC status UNIMPLEMENTED: the server has no grpc.health.v1.Health service \
                 (add it, or check with type: tcp)"
                    .to_owned(),
            );
        }
        Some(code) => {
            let message = if answer.message.is_empty() {
                String::new()
            } else {
                format!(" ({})", answer.message)
            };
            return Err(format!("gRPC status {}{message}", code_name(code)));
        }
        None => return Err("the gRPC answer ended without a status".to_owned()),
    }
    match serving_status(&answer.body) {
        Some(SERVING) => Ok("SERVING".to_owned()),
        Some(0) => Err("gRPC health UNKNOWN, wanted SERVING".to_owned()),
        Some(2) => Err("gRPC health NOT_SERVING, wanted SERVING".to_owned()),
        Some(3) => Err("gRPC health SERVICE_UNKNOWN, wanted SERVING".to_owned()),
        Some(other) => Err(format!("gRPC health {other}, wanted SERVING")),
        None => Err("the answer is no HealthCheckResponse".to_owned()),
    }
}

/// The names of `grpc-status` (<https://grpc.io/docs/guides/status-codes/>).
fn code_name(code: u16) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES
        .get(usize::from(code))
        .map_or_else(|| code.to_string(), |name| (*name).to_owned())
}

/// Field 1 of a `HealthCheckResponse` in gRPC's frame; 0 where it is left out, as protobuf does with zeros. `None`: it
/// is something else.
fn serving_status(frame: &[u8]) -> Option<u64> {
    let (head, message) = frame.split_at_checked(5)?;
    let (compressed, length) = head.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    if *compressed != 0 || usize::try_from(length).ok()? != message.len() {
        return None;
    }
    let mut rest = message;
    let mut status = 0;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = varint(&mut rest)?,
            (_, 0) => drop(varint(&mut rest)?),
            (_, 1) => rest = rest.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            (_, 5) => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

/// A number of protobuf's, in groups of seven bits, the lowest first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0][..], &length, message].concat()
    }

    fn answer(code: Option<u16>, message: &[u8]) -> Answer {
        Answer {
            status: 200,
            is_grpc: true,
            code,
            message: String::new(),
            body: framed(message),
        }
    }

    #[test]
    fn only_serving_is_up() {
        assert_eq!(judge(&answer(Some(0), &[8, 1])), Ok("SERVING".to_owned()));
        for (message, word) in [
            (&[][..], "UNKNOWN"),
            (&[8, 2], "NOT_SERVING"),
            (&[8, 3], "SERVICE_UNKNOWN"),
        ] {
            let seen = judge(&answer(Some(0), message)).unwrap_err();
            assert_eq!(seen, format!("gRPC health {word}, wanted SERVING"));
        }
    }

    #[test]
    fn a_status_has_its_name() {
        assert!(
            judge(&answer(Some(12), &[]))
                .unwrap_err()
                .contains("no grpc.health.v1.Health service")
        );
        assert_eq!(
            judge(&answer(Some(14), &[])),
            Err("gRPC status UNAVAILABLE".to_owned())
        );
        assert_eq!(
            judge(&answer(Some(99), &[])),
            Err("gRPC status 99".to_owned())
        );
        assert!(judge(&answer(None, &[])).is_err());
    }

    #[test]
    fn fields_that_are_new_to_us_are_skipped() {
        let message = [0x12, 3, b'a', b'b', b'c', 0x18, 0x96, 1, 8, 1];
        assert_eq!(serving_status(&framed(&message)), Some(1));
        assert_eq!(serving_status(&framed(&[8])), None, "cut short");
        assert_eq!(serving_status(b"HTTP/1.1 "), None);
    }

    proptest! {
        #[test]
        fn no_answer_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = serving_status(&bytes);
            let _ = serving_status(&framed(&bytes));
        }
    }
}
