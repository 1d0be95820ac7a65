//! Which servers a pool has, by DNS: what is asked, and what follows from an answer.
//!
//! A server is who it is by its address, whatever order answers come in. That an answer is asked for again and again, and
//! what it changes of a running pool, is for `server`.

mod answer;
mod resolver;

pub use answer::{Found, Missing, Verdict, judge};
pub use resolver::look_up;
