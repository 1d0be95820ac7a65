//! Which route takes a request, and what routes change of it: plain functions over paths, hosts and header fields.
//!
//! - [`path`]: the one form that paths are compared and passed on in.
//! - [`table`]: all routes of a listener, compiled; the first that fits.

pub mod path;
pub mod table;
