//! The exchange between a client and a server: half-closes, trailers, switches of protocol, and connections to servers.

mod half_close;
mod http2_servers;
mod switching;
mod trailers;
