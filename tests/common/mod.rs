//! The harness of the black-box tests: the real binary as a process, scripted origin servers, a raw
//! HTTP client, real peers, and the one way to wait: [`eventually`].
//!
//! Nothing here knows the program's insides. Ports are picked by the kernel; every test has its own
//! directory, processes and servers, so that each can run alone and all in parallel.

// A shared module: no single test file uses all of it.
#![allow(dead_code, unused_imports)]

pub mod announced;
pub mod client;
pub mod equipoise;
pub mod h2;
pub mod h2_origin;
pub mod lab;
pub mod load;
pub mod metrics;
pub mod origin;
pub mod peers;
pub mod pki;
pub mod preload;
pub mod secure_origin;
pub mod served;
pub mod setup;
pub mod systemd;
pub mod temp;
pub mod tls;
pub mod wait;

pub use announced::{Announced, Told};
pub use client::{Client, Response, get};
pub use equipoise::{Equipoise, Exit};
pub use h2_origin::{FrameOrigin, Frames, H2Origin};
pub use metrics::Metrics;
pub use origin::{Answer, Body, Origin, Reply, Request};
pub use pki::{Issued, Key, Pki};
pub use preload::preload;
pub use secure_origin::SecureOrigin;
pub use setup::Setup;
pub use temp::{ReservedPort, TempDir};
pub use tls::Tls;
pub use wait::{SOON, Truth, eventually, holds_for};
