//! Routes: which one takes a request, and what it does with it. Plain functions over method, target, headers and
//! addresses, without Pingora.

pub mod password;
pub mod rate_limit;
mod recent;
