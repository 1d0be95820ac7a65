//! TLS and HTTP/2 to the servers (sections 4, 7 and 8 of the specification).

mod checks;
mod files;
mod http2;
mod malformed;
mod verification;
