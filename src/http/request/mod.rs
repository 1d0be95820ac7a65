//! A request on its way in: what it says, who asks, where it goes, and how its server is asked.

pub mod arrival;
mod client_certificate;
pub mod departure;
mod destination;
pub mod host;
pub mod id;
mod options;
pub mod routes;
mod settle;
pub mod target;
pub mod variables;
