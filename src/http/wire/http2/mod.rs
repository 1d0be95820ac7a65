//! HTTP/2 (RFC 9113): the streams of a connection ([`streams`]), whoever is at its other end, and what is said on them.

mod flow;
mod frames;
mod hpack;
mod judge;
pub mod meter;
pub mod output;
pub mod request;
pub mod request_line;
mod response;
mod section_text;
pub mod streams;
mod unfit;

pub use frames::ErrorCode;
