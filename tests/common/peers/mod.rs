//! Servers and clients that nobody here wrote, from the distribution's packages.

mod apache;
mod nginx;
mod process;
mod tomcat;

pub use apache::Apache;
pub use nginx::Nginx;
pub use process::{Peer, program, run};
pub use tomcat::Tomcat;
