//! The lint: one file a sort of fault.

pub mod file;
pub mod kinds;
pub mod order;
pub mod profile;
pub mod trust;
pub mod validity;
