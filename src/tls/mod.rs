//! TLS towards clients: certificates, who is served with which, and what is known after a handshake.

mod established;

pub use established::{ClientCertificate, Established};
