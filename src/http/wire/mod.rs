//! HTTP on the wire: the two protocols to clients and the two to servers, each as one exchange of messages.
//!
//! [`Client`] and [`Server`] are the two ends of a request's way. Both are driven by polling: what comes is taken piece by
//! piece, what goes is queued, one piece at a time, so that no more than one buffer a direction is ever held. Neither
//! has a clock: whoever drives them knows what is waited for, and how long.

mod buffers;
pub mod client;
mod fields;
pub mod framing;
mod output;
mod response;
pub mod server;
mod trailers;

pub use client::{Client, ClientError};
pub use framing::Framing;
pub use server::{Server, ServerError};
