//! Which server gets the next request: smooth weighted round robin and weighted least-connections.
//!
//! Pure: no clock, no socket, no threads. A [`Selector`] holds what balancing needs to know of a
//! pool's servers and makes pick and count one step; whoever shares it between threads wraps it in
//! a lock, so that two clients can never both be given the last free place.
//!
//! The picks are those of nginx, one by one (`ngx_http_upstream_get_peer` of
//! `ngx_http_upstream_round_robin.c` and `ngx_http_upstream_get_least_conn_peer` of
//! `ngx_http_upstream_least_conn_module.c`), but found in O(log n) by a `contest` instead of a
//! walk over all servers. `docs/balancing.md` explains both.

mod contest;
#[cfg(test)]
mod model;
#[cfg(test)]
mod same_as_nginx;
mod selector;
#[cfg(test)]
mod tests;

pub use selector::{NoCharge, NoPick, Params, Selector, Slot};
