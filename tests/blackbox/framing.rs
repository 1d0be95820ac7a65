//! SPEC sections 8 and 14: where a message ends, and that nobody can be made to see it otherwise.
//!
//! A table of raw requests, from RFC 9112's rules and the public literature on request smuggling, each with the wanted
//! outcome ([`case`]). Every one is sent alone, before a good one, behind a good one, and in two pieces, and what the
//! server got is compared byte by byte ([`recorder`]). Then combinations and mutations of good requests, by seed.

mod case;
mod chunks;
mod codings;
mod fields;
mod frames;
mod good;
mod hops;
mod http2;
mod lengths;
mod pauses;
mod random;
mod recorder;
mod request_line;
mod strict;
mod targets;
