//! Which route takes a request, and what routes change of it: plain functions over paths, hosts and header fields.
//!
//! - [`path`]: the one form that paths are compared and passed on in.
//! - [`table`]: all routes of a listener, compiled; the first that fits.
//! - [`template`]: text with variables of the request, and the header fields that are made of it.
//! - [`rewrite`]: what a server is asked for instead, and [`reverse`]: what its answer says of it, mapped back.
//!   [`destination`]: what a request says of another place, mapped forward.
//! - [`split`]: whose turn it is among several pools.
//! - [`rate_limit`] and [`password`]: who has to wait, and who may.

pub mod destination;
pub mod password;
pub mod path;
pub mod rate_limit;
pub mod reverse;
pub mod rewrite;
pub mod split;
pub mod table;
pub mod template;

pub use destination::Destination;
pub use password::{Passwords, Verdict};
pub use path::{NormalPath, PathForm, normalize};
pub use rate_limit::RateLimiter;
pub use reverse::Reverse;
pub use rewrite::rewritten;
pub use split::Schedule;
pub use table::{Asked, Found, Table};
pub use template::{Values, apply, location};
