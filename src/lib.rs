//! Equipoise: an edge load balancer on Pingora.
//!
//! The library behind the `equipoise` binary. Imports point one way:
//!
//! ```text
//! main -> cli -> server -> { http, tcp, listen, health, acme, admin }
//! { http, tcp } -> { dispatch, client_address, listen } ; http -> routing ; dispatch -> { persistence, pool }
//! { http, tcp, dispatch, health } -> upstream -> { pool, tls } ; http -> acme -> tls
//! pool -> { balance, observe } -> config
//! ```
//!
//! `supervise` is below all of them, and `workers` above it alone.
//!
//! Only `server`, `http`, `listen`, `health` and `upstream` import Pingora; everything else can be tested without
//! a socket. ARCHITECTURE.md walks through the house.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

#[macro_use]
mod streams;

mod recent;

pub mod acme;
pub mod admin;
pub mod allocator;
pub mod ascii;
pub mod balance;
pub mod cli;
pub mod client_address;
mod coalescing;
pub mod config;
pub mod descriptors;
pub mod diagnose;
pub mod discovery;
pub mod dispatch;
pub mod headers;
pub mod health;
pub mod http;
pub mod listen;
pub mod networks;
pub mod observe;
pub mod persistence;
pub mod pool;
pub mod proxy_protocol;
pub mod relay;
pub mod routing;
pub mod server;
pub mod shortage;
mod spare;
pub mod supervise;
pub mod tcp;
pub mod tls;
pub mod unix_socket;
mod upstream;
pub mod workers;
