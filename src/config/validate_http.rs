//! raw -> model for `listeners.NAME.http`.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::checks::Checks;
use super::model;
use super::problem::shown;
use super::raw;
use super::tree::At;
use super::units::Size;
use super::validate_passwords::read;

/// Larger error pages are refused: they are kept in memory.
const LARGEST_PAGE: u64 = 1024 * 1024;

/// HTTP towards the clients of a listener.
pub(super) fn http(raw: &raw::Http, at: &At<'_>, checks: &mut Checks<'_>) -> model::Http {
    let header_at = at.key("max_header_size");
    if !(Size::kib(1)..=Size::kib(1024)).contains(&raw.max_header_size) {
        checks.note(&header_at, "must be from 1KiB to 1MiB");
    }
    let uri_at = at.key("max_uri_length");
    if raw.max_uri_length.0 == 0 {
        checks.note(&uri_at, "can't be 0; every request has a target");
    } else if uri_at.is_written() && raw.max_uri_length > raw.max_header_size {
        let message = format!(
            "{} is more than max_header_size ({}), which counts the target too",
            raw.max_uri_length, raw.max_header_size
        );
        checks.note(&uri_at, message);
    }
    let compression = compression(&raw.compression, &at.key("compression"), checks);
    let error_pages = error_pages(raw, &at.key("error_pages"), checks);
    let mut positive = |key, span, instead| checks.positive(&at.key(key), span, instead);
    model::Http {
        keepalive_requests: raw.keepalive_requests,
        keepalive_timeout: positive(
            "keepalive_timeout",
            raw.keepalive_timeout,
            "; to close after each response write keepalive_requests: 1",
        ),
        header_timeout: positive("header_timeout", raw.header_timeout, ""),
        body_timeout: positive("body_timeout", raw.body_timeout, ""),
        send_timeout: positive("send_timeout", raw.send_timeout, ""),
        max_header_size: raw.max_header_size.bytes(),
        max_uri_length: raw.max_uri_length.min(raw.max_header_size).bytes(),
        max_body_size: raw.max_body_size.0,
        min_receive_rate: raw.min_receive_rate.0,
        abort_on_half_close: raw.abort_on_half_close,
        http2: http2(&raw.http2, &at.key("http2"), checks),
        compression,
        error_pages,
        server_header: raw.server_header.as_ref().map(|value| value.0.clone()),
        trace: raw.trace,
        path: path_form(raw.slashes, raw.encoded_slashes),
    }
}

/// What paths keep.
pub(super) fn path_form(
    slashes: raw::Slashes,
    encoded_slashes: raw::EncodedSlashes,
) -> model::PathForm {
    model::PathForm {
        slashes: slashes == raw::Slashes::Keep,
        encoded_slashes: encoded_slashes == raw::EncodedSlashes::Keep,
    }
}

fn http2(raw: &raw::Http2, at: &At<'_>, checks: &mut Checks<'_>) -> Option<model::Http2> {
    let idle_timeout = checks.positive(&at.key("idle_timeout"), raw.idle_timeout, "");
    raw.enabled.then_some(model::Http2 {
        max_streams: raw.max_streams,
        idle_timeout,
        max_requests: raw.max_requests,
    })
}

fn compression(
    raw: &raw::Compression,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> Option<Arc<model::Compression>> {
    if raw.enabled && raw.algorithms.is_empty() {
        checks.note(
            &at.key("algorithms"),
            "is empty; for no compression write enabled: false",
        );
    }
    if raw.enabled && raw.types.is_empty() {
        checks.note(
            &at.key("types"),
            "is empty; for no compression write enabled: false",
        );
    }
    let codings = raw.algorithms.iter().map(|coding| match coding {
        raw::Coding::Zstd => model::Coding::Zstd,
        raw::Coding::Br => model::Coding::Br,
        raw::Coding::Gzip => model::Coding::Gzip,
    });
    raw.enabled.then(|| {
        Arc::new(model::Compression {
            types: raw.types.iter().map(|name| name.0.clone()).collect(),
            min_size: raw.min_size.0,
            codings: codings.collect(),
        })
    })
}

fn error_pages(raw: &raw::Http, at: &At<'_>, checks: &mut Checks<'_>) -> Arc<[model::ErrorPage]> {
    let mut pages = Vec::with_capacity(raw.error_pages.0.len());
    for (key, file) in &raw.error_pages.0 {
        let at = at.key(key);
        let status = key
            .parse()
            .ok()
            .filter(|status| (400..=599).contains(status));
        let Some(status) = status else {
            checks.note(
                &at,
                format!("`{}` is not a status from 400 to 599", shown(key)),
            );
            continue;
        };
        let path = checks.path(&at, &file.0);
        checks.read.push(path.clone());
        match read(&path, LARGEST_PAGE) {
            Ok(body) => pages.push(model::ErrorPage {
                status,
                content_type: content_type(&path),
                body: Bytes::from(body),
            }),
            Err(message) => checks.note(&at, format!("{}: {message}", path.display())),
        }
    }
    pages.into()
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "text/html; charset=utf-8",
    }
}
