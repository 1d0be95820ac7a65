//! TLS towards clients: certificates, who is served with which, and what is known after a handshake.

pub mod certificate;
mod client_auth;
pub mod client_hello;
mod context;
mod established;
mod loaded;
mod names;
mod ocsp;
mod openssl_calls;
mod terminator;
mod ticket_keys;
mod trouble;
mod watch;

pub use context::AlpnChallenges;
pub use established::{ClientCertificate, Established};
pub use loaded::{Loaded, load};
pub use terminator::{HandshakeFailure, ServedCertificate, Terminator};
pub use trouble::Trouble;
