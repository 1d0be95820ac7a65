//! Which server gets the next request: smooth weighted round robin, weighted least-connections, consistent hashing, the
//! better of two draws.
//!
//! Pure: no clock, no socket, no threads; randomness comes from a seed. A [`Selector`] holds what balancing needs to know of a
//! pool's servers and makes pick and count one step; whoever shares it between threads wraps it in
//! a lock, so that two clients can never both be given the last free place.
//!
//! The picks of the first two are those of nginx, one by one (`ngx_http_upstream_get_peer` of
//! `ngx_http_upstream_round_robin.c` and `ngx_http_upstream_get_least_conn_peer` of
//! `ngx_http_upstream_least_conn_module.c`), but found in O(log n) by a `contest` instead of a
//! walk over all servers. Who has a key is found by `rendezvous`, how fast a server is by `latency`.
//! `docs/balancing.md` explains all of them.

mod contest;
#[cfg(test)]
mod hash_tests;
mod latency;
#[cfg(test)]
mod model;
mod rendezvous;
#[cfg(test)]
mod same_as_nginx;
mod selector;
#[cfg(test)]
mod tests;

pub use latency::Sample;
pub use selector::{NoCharge, NoPick, Params, Progress, Selector, Slot};

/// A digest of what a server is called, or of what requests have in common. The same on every machine and in every version
/// (XXH3, 64 bits), so that all nodes that have the same servers send the same request to the same one.
pub fn digest(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}
