//! What becomes of bodies besides that they are passed on: they are compressed for clients, and copied for a shadow pool.

pub mod compression;
pub mod mirror;
