//! TLS: reading, checking and converting certificates ([`certificate`]).

pub mod certificate;
