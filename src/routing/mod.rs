//! Which route takes a request, and what routes change of it: plain functions over paths, hosts and header fields.
//!
//! - [`path`]: the one form that paths are compared and passed on in.
//! - [`table`]: all routes of a listener, compiled; the first that fits.
//! - [`rate_limit`] and [`password`]: who has to wait, and who may.

mod password;
mod path;
mod pending;
mod rate_limit;
mod recent;
mod table;

pub use password::{Passwords, Verdict};
pub use path::{NormalPath, normalize};
pub use pending::*;
pub use rate_limit::RateLimiter;
pub use table::{Asked, Found, Table};
