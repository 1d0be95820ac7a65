//! Certificates by ACME (RFC 8555): obtained and renewed by themselves.
//!
//! Nothing here touches a listener. A certificate is a **file**: [`Store::source`] says which, the [`Manager`] writes
//! it whole or not at all, and who serves it takes it up as it takes up any renewed file. What the authority asks
//! for to see that a name is ours is answered by [`Challenges`], from memory or from the storage, so that of several
//! nodes that share one whichever is asked can answer.
//!
//! ```text
//! Manager -> worker, one a certificate -> schedule (is it due?) -> order -> account, client (the authority)
//!                                      -> store (files, locks) <- Challenges <- listeners
//! ```

mod account;
mod certificate;
mod challenges;
mod client;
mod files;
mod manager;
mod order;
mod schedule;
mod store;
mod tls_alpn;
mod words;
mod worker;

pub use account::read_external_key;
pub use challenges::Challenges;
pub use manager::Manager;
pub use store::Store;
