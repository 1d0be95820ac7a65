//! HTTP on the wire: the two protocols to clients and the two to servers, each as one exchange of messages.
//!
//! [`Client`] and [`Server`] are the two ends of a request's way. Both are driven by polling: what comes is taken piece by
//! piece, what goes is queued, one piece at a time, so that no more than one buffer a direction is ever held. Neither
//! has a clock: whoever drives them knows what is waited for, and how long.

pub(crate) mod authority;
mod buffers;
pub(crate) mod client;
mod fields;
pub(crate) mod framing;
pub mod head;
pub mod http2;
pub(crate) mod message;
mod output;
mod response;
pub(crate) mod response_framing;
pub(crate) mod server;
mod trailers;

pub(crate) use client::{Client, ClientError};
pub(crate) use framing::Framing;
pub(crate) use server::{Server, ServerError};
