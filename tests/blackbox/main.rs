//! The release's claims, tried from outside: the binary as a process, real sockets, no knowledge of
//! its insides. One file a section of the specification; one binary, so that it links once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::large_stack_arrays,
    clippy::needless_for_each,
    clippy::needless_pass_by_value,
    clippy::similar_names,
    clippy::too_many_lines,
    clippy::wildcard_imports,
    reason = "a test that panics has done its duty; counts that Prometheus gives are whole numbers"
)]

#[path = "../common/mod.rs"]
mod common;

mod acme;
mod admin;
mod answers;
mod availability;
mod balancing;
mod buffers;
mod certificates;
mod checks;
mod client_address;
mod command_line;
mod commands;
mod compression;
mod configuration;
mod connection_rate;
mod costs;
mod counts;
mod dashboard;
mod deploy;
mod descriptors;
mod diagnose;
mod discovery;
mod documents;
mod edge;
mod endings;
mod exchange;
mod framing;
mod grpc;
mod guards;
mod healthcheck;
mod http;
mod http2;
mod identity;
mod log;
mod names;
mod observability;
mod operations;
mod outages;
mod passive;
mod peers;
mod persistence;
mod process;
mod proxy;
mod proxy_protocol;
mod regressions;
mod reload;
mod routing;
mod scenarios;
mod sessions;
mod signals;
mod slow;
mod source;
mod stopping;
mod streaming;
mod systemd;
mod tcp;
mod terminations;
mod threads;
mod tls;
mod upgrade;
mod upstream_tls;
mod websocket;
