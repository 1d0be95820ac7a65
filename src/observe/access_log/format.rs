//! The three ways to write a record.

use super::escape;
use super::record::{Record, Value};
use super::stamp::Stamp;
use super::template::{Field, Part, Template};
use crate::ascii;
use crate::observe::labels::Label as _;

/// How lines look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// Apache's combined format: `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"`.
    Combined,
    /// A JSON object; absent fields are left out.
    Json,
    /// As the configuration says.
    Template(Template),
}

impl Format {
    /// Appends the record without a line feed.
    pub(super) fn write(&self, out: &mut Vec<u8>, record: &Record<'_>, stamp: &mut Stamp) {
        match self {
            Self::Combined => combined(out, record, stamp),
            Self::Json => json(out, record, stamp),
            Self::Template(template) => from_template(out, template, record, stamp),
        }
    }
}

/// A request that could not be read is `"-"`, a status that was never sent 000 (as nginx writes
/// it), an empty body `-` (as Apache's `%b` does).
fn combined(out: &mut Vec<u8>, record: &Record<'_>, stamp: &mut Stamp) {
    ascii::push_address(out, record.client);
    out.extend_from_slice(b" - - [");
    stamp.common_log(out, record.time);
    out.extend_from_slice(b"] \"");
    if let Some(method) = record.method {
        escape::text(out, method);
        out.push(b' ');
        escape::text(out, record.path.unwrap_or(b"-"));
        if let Some(query) = record.query {
            out.push(b'?');
            escape::text(out, query);
        }
        if let Some(protocol) = record.protocol {
            out.push(b' ');
            escape::text(out, protocol.as_bytes());
        }
    } else {
        out.push(b'-');
    }
    out.extend_from_slice(b"\" ");
    ascii::push_padded(out, record.status.unwrap_or(0).into(), 3);
    out.push(b' ');
    match record.bytes_out {
        0 => out.push(b'-'),
        bytes => ascii::push_number(out, bytes),
    }
    for header in [record.referer, record.user_agent] {
        out.extend_from_slice(b" \"");
        escape::text(out, header.unwrap_or(b"-"));
        out.push(b'"');
    }
}

fn json(out: &mut Vec<u8>, record: &Record<'_>, stamp: &mut Stamp) {
    let mut separator = b'{';
    for field in Field::ALL {
        let value = record.value(*field);
        if matches!(value, Value::Absent) {
            continue;
        }
        out.extend_from_slice(&[separator, b'"']);
        separator = b',';
        out.extend_from_slice(field.as_str().as_bytes());
        out.extend_from_slice(b"\":");
        match value {
            Value::Text(bytes) => escape::json(out, bytes),
            Value::Time(_) | Value::Address(_) => {
                out.push(b'"');
                plain(out, value, stamp);
                out.push(b'"');
            }
            Value::Absent | Value::Number(_) | Value::Seconds(_) => plain(out, value, stamp),
        }
    }
    out.push(b'}');
}

fn from_template(out: &mut Vec<u8>, template: &Template, record: &Record<'_>, stamp: &mut Stamp) {
    for part in &template.parts {
        match part {
            Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Part::Field(field) => plain(out, record.value(*field), stamp),
        }
    }
}

/// A value without quotation marks; absent is `-`.
fn plain(out: &mut Vec<u8>, value: Value<'_>, stamp: &mut Stamp) {
    match value {
        Value::Absent => out.push(b'-'),
        Value::Text(bytes) => escape::text(out, bytes),
        Value::Number(value) => ascii::push_number(out, value),
        Value::Seconds(value) => {
            ascii::push_number(out, value.as_secs());
            out.push(b'.');
            ascii::push_padded(out, value.subsec_micros(), 6);
        }
        Value::Time(time) => stamp.rfc_3339(out, time),
        Value::Address(address) => ascii::push_address(out, address),
    }
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
